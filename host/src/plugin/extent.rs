//! How much the instances of a component have beside their linear memories and tables,
//! which no limit of a call counts.
//!
//! Read from its bytes, before anything else is done with them: starting an instance takes no
//! fuel and can't be interrupted. What compiling takes, [`compiler`](super::compiler) sees to.

#[cfg(test)]
mod tests;

use wasmtime::wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, DataKind, ElementItems, ElementKind, Encoding,
    Instance, Parser, Payload,
};

use super::component::Refusal;
use crate::event::printable;

/// Most entries of all instances together: functions, globals, imports, exports and
/// passive elements of each core instance, which has up to 32 bytes for each, and what
/// components make of them, a canonical function being ten. A component from Python has
/// 24,500.
const MAX_ENTRIES: u64 = 150_000;

/// Most components and modules that are within one another: what reads them keeps something
/// for each. A component from JavaScript has 4.
const MAX_DEPTH: usize = 20;

/// What a canonical function counts as: the compiler makes a few functions of it.
const ENTRIES_OF_CANONICAL: u64 = 10;

/// The rows of the reference page, in Markdown.
pub(super) fn reference() -> String {
    format!(
        "| {MAX_ENTRIES} | entries of all instances | Functions, globals, imports, exports and passive elements of each core \
         instance, which has up to 32 bytes for each, and what components make of them, a canonical function being \
         {ENTRIES_OF_CANONICAL}. Python has 24,500. |\n\
         | {MAX_DEPTH} | components and modules within one another | What reads them keeps something for each. JavaScript has 4. |\n"
    )
}

/// Reads a component.
///
/// # Errors
/// It has too much.
pub(super) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    let mut walk = Walk::default();
    for payload in Parser::new(0).parse_all(bytes) {
        walk.payload(payload?)?;
    }
    Ok(())
}

/// As the compiler says it.
impl From<BinaryReaderError> for Refusal {
    fn from(error: BinaryReaderError) -> Self {
        Self::new(format!(
            "is no valid component: {}",
            printable(&error.to_string(), 200)
        ))
    }
}

#[derive(Default)]
struct Walk {
    /// What is being read, the outermost first.
    scopes: Vec<Scope>,
    /// Of all core modules, instantiated or not.
    entries: u64,
}

enum Scope {
    Component(Component),
    Module { entries: u64 },
}

/// The entries of a component, and of what it can instantiate.
#[derive(Default)]
struct Component {
    modules: Vec<u64>,
    components: Vec<u64>,
    entries: u64,
}

fn check_entries(count: u64) -> Result<(), Refusal> {
    if count > MAX_ENTRIES {
        return Err(Refusal::new(format!(
            "has more than {MAX_ENTRIES} entries (functions, globals, imports and exports) in its instances: leave out of it \
             what it doesn't need"
        )));
    }
    Ok(())
}

/// The entries of one that is instantiated.
fn of(space: &[u64], index: u32) -> Result<u64, Refusal> {
    space
        .get(index as usize)
        .copied()
        .ok_or_else(|| missing(index))
}

fn missing(index: u32) -> Refusal {
    Refusal::new(format!(
        "is no valid component: it names a module or component {index} that it doesn't have"
    ))
}

/// What could be instantiated then is not known where it is.
fn handed_around() -> Refusal {
    Refusal::new(
        "hands a core module or a component from one of its components to another, which is not supported: \
         make a component whose parts define what they instantiate",
    )
}

impl Component {
    /// One more, with what it has in it.
    fn add(&mut self, entries: u64) -> Result<(), Refusal> {
        self.entries = self.entries.saturating_add(1).saturating_add(entries);
        check_entries(self.entries)
    }
}

/// How many a section of a core module adds.
fn of_section(payload: Payload<'_>) -> Result<u64, Refusal> {
    let mut entries = 0;
    match payload {
        Payload::ImportSection(section) => {
            for import in section.into_imports() {
                import?;
                entries += 1;
            }
        }
        Payload::FunctionSection(section) => entries += u64::from(section.count()),
        Payload::GlobalSection(section) => entries += u64::from(section.count()),
        Payload::ExportSection(section) => entries += u64::from(section.count()),
        Payload::ElementSection(section) => {
            for element in section {
                let element = element?;
                if matches!(element.kind, ElementKind::Passive) {
                    entries += u64::from(match &element.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    });
                }
            }
        }
        Payload::DataSection(section) => {
            for segment in section {
                if matches!(segment?.kind, DataKind::Passive) {
                    entries += 1;
                }
            }
        }
        _ => {}
    }
    Ok(entries)
}

impl Walk {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::Version { encoding, .. } => {
                if self.scopes.len() == MAX_DEPTH {
                    return Err(Refusal::new(format!(
                        "has more than {MAX_DEPTH} components within one another: put them beside one another"
                    )));
                }
                self.scopes.push(match encoding {
                    Encoding::Component => Scope::Component(Component::default()),
                    Encoding::Module => Scope::Module { entries: 0 },
                });
            }
            Payload::End(_) => return self.end(),
            payload => match self.scopes.last_mut() {
                Some(Scope::Module { entries }) => *entries += of_section(payload)?,
                Some(Scope::Component(_)) => self.component(payload)?,
                None => {}
            },
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        let (entries, is_module) = match self.scopes.pop() {
            Some(Scope::Module { entries }) => {
                self.entries = self.entries.saturating_add(entries);
                check_entries(self.entries)?;
                (entries, true)
            }
            Some(Scope::Component(component)) => (component.entries, false),
            None => return Ok(()),
        };
        if let Some(Scope::Component(outer)) = self.scopes.last_mut() {
            let space = if is_module {
                &mut outer.modules
            } else {
                &mut outer.components
            };
            space.push(entries);
        }
        Ok(())
    }

    /// An alias of the component that is being read, which may be of a module or a
    /// component further out.
    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Refusal> {
        let found = match alias {
            ComponentAlias::Outer { kind, count, index } => {
                let outer = self.scopes.iter().nth_back(*count as usize);
                let Some(Scope::Component(outer)) = outer else {
                    return Err(missing(*index));
                };
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        Some((true, of(&outer.modules, *index)?))
                    }
                    ComponentOuterAliasKind::Component => {
                        Some((false, of(&outer.components, *index)?))
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => None,
                }
            }
            ComponentAlias::InstanceExport {
                kind: ComponentExternalKind::Module | ComponentExternalKind::Component,
                ..
            } => return Err(handed_around()),
            ComponentAlias::InstanceExport { .. } | ComponentAlias::CoreInstanceExport { .. } => {
                None
            }
        };
        if let Some(Scope::Component(component)) = self.scopes.last_mut() {
            component.add(0)?;
            match found {
                Some((true, entries)) => component.modules.push(entries),
                Some((false, entries)) => component.components.push(entries),
                None => {}
            }
        }
        Ok(())
    }

    /// A section of the component that is being read.
    fn component(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        if let Payload::ComponentAliasSection(section) = payload {
            for alias in section {
                self.alias(&alias?)?;
            }
            return Ok(());
        }
        let is_outermost = self.scopes.len() == 1;
        let Some(Scope::Component(component)) = self.scopes.last_mut() else {
            return Ok(());
        };
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section {
                    match instance? {
                        Instance::Instantiate { module_index, args } => {
                            let entries = of(&component.modules, module_index)?;
                            component.add(entries.saturating_add(args.len() as u64))?;
                        }
                        Instance::FromExports(exports) => component.add(exports.len() as u64)?,
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    match instance? {
                        ComponentInstance::Instantiate {
                            component_index,
                            args,
                        } => {
                            let entries = of(&component.components, component_index)?;
                            component.add(entries.saturating_add(args.len() as u64))?;
                        }
                        ComponentInstance::FromExports(exports) => {
                            component.add(exports.len() as u64)?;
                        }
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                component.add(u64::from(section.count()) * ENTRIES_OF_CANONICAL)?;
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    match import?.ty {
                        ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)
                            if !is_outermost =>
                        {
                            return Err(handed_around());
                        }
                        // The host has none: what is imported is refused by its name.
                        ComponentTypeRef::Module(_) => component.modules.push(0),
                        ComponentTypeRef::Component(_) => component.components.push(0),
                        _ => component.add(0)?,
                    }
                }
            }
            // What is exported is one more of its kind.
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    component.add(0)?;
                    let space = match export.kind {
                        ComponentExternalKind::Module => &mut component.modules,
                        ComponentExternalKind::Component => &mut component.components,
                        _ => continue,
                    };
                    let entries = of(space, export.index)?;
                    space.push(entries);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
