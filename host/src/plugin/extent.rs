//! How much a component has of what no limit of a call counts: what compiling takes
//! memory for, and what its instances have beside their linear memories and tables.
//!
//! Read from its bytes, before anything else is done with them: compiling has no
//! limit of its own, and starting an instance takes no fuel and can't be
//! interrupted.

mod body;

use std::collections::BTreeMap;

use wasmtime::wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, CompositeInnerType, ConstExpr, Data, DataKind,
    Element, ElementItems, ElementKind, Encoding, FunctionBody, Instance, Operator, Parser,
    Payload, TableInit, TypeRef,
};

use self::body::{Arity, Body, Types};
use super::component::Refusal;
use crate::event::printable;

/// Most core modules and components together, instantiated or not. Compiling takes time
/// and memory for each pair of them. A component from Python has 42.
const MAX_PARTS: u64 = 1_000;

/// Most components and modules that are within one another. A component from JavaScript
/// has 4.
const MAX_DEPTH: usize = 20;

/// Most types of all core modules together. Compiling takes 7 kB of memory for each. A
/// component from Python has 1,300.
const MAX_TYPES: u64 = 10_000;

/// Most functions of all core modules together. Compiling takes 5 to 10 kB of memory
/// for each. A component from Python has 13,500.
const MAX_FUNCTIONS: u64 = 60_000;

/// Longest body of a function, in bytes. A component from Python has one of 430,000.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// Most memory that compiling one function may take, in bytes, by an estimate of what
/// each of its operators takes: 100 bytes for a local, 23,000 for a call by a table. A
/// component from Python has one of 134,000,000.
const MAX_COST: u64 = 700_000_000;

/// Most of that for all functions together, which are compiled one after the other. What
/// remains of each is up to 7 % of it. A component from Python has 3,100,000,000.
const MAX_TOTAL_COST: u64 = 16_000_000_000;

/// Most that the blocks of a function may be, times its variables: the compiler has a
/// table of each in each block, and takes a kilobyte or two where two values of one come
/// together. A component from JavaScript has one with 393,000.
const MAX_BLOCKS_BY_VARIABLES: u64 = 2 << 20;

/// Most initializers of one core module: elements, operators of constant expressions,
/// and three for each data segment that is not known when compiling. The compiler
/// makes one function of them all, and takes 7 kB of memory for each. A module of
/// Python has up to 5,500.
const MAX_INITIALIZERS: u64 = 60_000;

/// Most bytes of the images of all memories together: the pages from the first byte of a
/// memory's data to its last, where the compiler makes one. A component from Python has
/// 12,400,000.
const MAX_IMAGE_BYTES: u64 = 64 << 20;

/// Most elements of all tables together that are known when compiling, from the
/// beginning of a table to the last of them. Compiling takes 15 bytes of memory for
/// each. A component from Go has 6,000.
const MAX_TABLE_ELEMENTS: u64 = 1_000_000;

/// A table's elements beyond it are never known when compiling.
///
/// Source: wasmtime, `ModuleTranslation::try_func_table_init`.
const TABLE_ELEMENTS: u64 = 1 << 20;

/// Most entries of all instances together: functions, globals, imports, exports and
/// passive elements of each core instance, which has up to 32 bytes for each, and what
/// components make of them, a canonical function being ten. A component from Python has
/// 24,500.
const MAX_ENTRIES: u64 = 150_000;

/// What a canonical function counts as: the compiler makes a few functions of it.
const ENTRIES_OF_CANONICAL: u64 = 10;

/// What a data segment counts as.
const INITIALIZERS_OF_DATA: u64 = 3;

/// Of a linear memory.
const PAGE_BYTES: u64 = 64 << 10;

/// A memory's image that is smaller is always made when compiling.
///
/// Source: wasmtime, `Config::memory_guaranteed_dense_image_size`.
const IMAGE_BYTES: u64 = 16 << 20;

/// The section of the reference page, in Markdown.
pub(super) fn reference() -> String {
    format!(
        "\n## Limits of a component\n\n\
         Compiling has no limit of its own, and starting an instance takes no fuel and can't be interrupted.\n\
         So these are looked at before, by the function, by `symctl plugin` and by `symctl publish`; \
         a component that passes one is refused with `invalid-plugin`, and no key raises it.\n\n\
         | most | of what | why |\n|---|---|---|\n\
         | {MAX_PARTS} | core modules and components | Compiling takes time and memory for each pair of them. Python has 42. |\n\
         | {MAX_DEPTH} | components and modules within one another | The same. JavaScript has 4. |\n\
         | {MAX_TYPES} | types of all core modules | Compiling takes 7 kB of memory for each. Python has 1,300. |\n\
         | {MAX_FUNCTIONS} | functions of all core modules | Compiling takes up to 10 kB of memory for each. Python has 13,500. |\n\
         | {MAX_BODY_BYTES} | bytes of a function's body | Python's longest has 430,000. |\n\
         | {MAX_COST} | bytes of memory to compile one function | An estimate by its operators: 100 bytes for a local or a constant, 400 for an access to memory, up to 2,500 for arithmetic with integers and for a call, with 500 for each value that goes in or out, 6,500 to 11,000 where control parts or comes together, 23,000 for what isn't named, as a call by a table, a vector or a number with a fraction. Python has up to 134,000,000. |\n\
         | {MAX_TOTAL_COST} | bytes of memory to compile all functions, added up | They are compiled one after the other; up to 7 % remains of what each takes. Python has 3,100,000,000. |\n\
         | {MAX_BLOCKS_BY_VARIABLES} | blocks of a function, times its variables | The compiler has a table of each in each block. Variables are parameters, locals, results of blocks, and parameters of loops and ifs. JavaScript has up to 393,000. |\n\
         | {MAX_IMAGE_BYTES} | bytes of images of memories | The pages from the first byte of a memory's data to the last, of all core modules, instantiated or not, where the compiler makes an image of it. Python has 12,400,000. |\n\
         | {MAX_TABLE_ELEMENTS} | elements of tables | From the beginning of a table to the last that is known when compiling, of all core modules. Go has 6,000. |\n\
         | {MAX_INITIALIZERS} | initializers of one core module | Elements, operators of constant expressions, and {INITIALIZERS_OF_DATA} for each data segment that is not known when compiling. Compiling takes 7 kB of memory for each. Python has up to 5,500. |\n\
         | {MAX_ENTRIES} | entries of all instances | Functions, globals, imports, exports and passive elements of each core instance, which has up to 32 bytes for each, and what components make of them, a canonical function being {ENTRIES_OF_CANONICAL}. Python has 24,500. |\n\n\
         At one of these limits the process that compiles has up to 770 MB, 48 MB of them without a component: \
         `cargo test --workspace --lib -- --ignored --nocapture what_compiling_takes_at_the_limits`.\n\
         Only where the values of a hundred variables differ in ten thousand blocks did it have 1.7 GB, after 50 seconds.\n\n\
         Of native code they are not looked at again: `symctl publish` has looked at the component.\n\
         Whoever signs native code of anything else can have it take memory that `memory_bytes` doesn't count, \
         as it can do everything that machine code can ([security.md](security.md)).\n"
    )
}

/// Reads a component.
///
/// # Errors
/// What it has too much of.
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
    functions: u64,
    cost: u64,
    entries: u64,
    types: u64,
    image_bytes: u64,
    table_elements: u64,
    /// Modules and components.
    parts: u64,
}

enum Scope {
    Component(Component),
    Module(Module),
}

/// The entries of a component, and of what it can instantiate.
#[derive(Default)]
struct Component {
    modules: Vec<u64>,
    components: Vec<u64>,
    entries: u64,
}

#[derive(Default)]
struct Module {
    /// Of the functions of each of its types.
    arities: Vec<Arity>,
    /// The types of its functions, the imported ones first.
    functions: Vec<u32>,
    imported_functions: usize,
    /// How many bodies were read.
    bodies: usize,
    /// Of all of them.
    cost: u64,
    entries: u64,
    initializers: u64,
    imported_memories: usize,
    /// Of each memory of its own, to begin with.
    memory_bytes: Vec<u64>,
    data: Segments,
    /// Of each table, how many elements the compiler makes a list of.
    table_elements: BTreeMap<u32, u64>,
    tables: u32,
}

/// The active data segments of a module.
#[derive(Default)]
struct Segments {
    count: u64,
    /// Whether one hangs on what isn't known before there is an instance.
    is_dynamic: bool,
    by_memory: BTreeMap<u32, Image>,
}

/// What is put into one memory.
#[derive(Default)]
struct Image {
    /// Sum of its segments.
    bytes: u64,
    /// From the first byte to behind the last.
    extent: Option<(u64, u64)>,
}

impl Image {
    fn length(&self) -> u64 {
        self.extent.map_or(0, |(begin, end)| end - begin)
    }

    /// The image has whole pages of the machine's memory, which may be as large as those
    /// of WebAssembly.
    fn paged_length(&self) -> u64 {
        self.extent.map_or(0, |(begin, end)| {
            (end.div_ceil(PAGE_BYTES) - begin / PAGE_BYTES) * PAGE_BYTES
        })
    }
}

impl Segments {
    /// How long the images are that the compiler makes, or nothing where it can't.
    fn image_bytes(&self) -> Option<u64> {
        let is_dense = |image: &Image| {
            let length = image.length();
            length < IMAGE_BYTES || length < image.bytes.saturating_mul(2)
        };
        if self.is_dynamic || !self.by_memory.values().all(is_dense) {
            return None;
        }
        Some(self.by_memory.values().map(Image::paged_length).sum())
    }

    /// What they are for the compiler, which puts them into an image where it can.
    fn initializers(&self) -> u64 {
        if self.image_bytes().is_some() {
            return 0;
        }
        self.count * INITIALIZERS_OF_DATA
    }
}

fn check_most(what: &str, count: u64, most: u64) -> Result<(), Refusal> {
    if count > most {
        return Err(Refusal::new(format!(
            "has {count} {what}, at most {most} are allowed: leave out of it what it doesn't need"
        )));
    }
    Ok(())
}

fn check_functions(count: u64) -> Result<(), Refusal> {
    check_most("functions", count, MAX_FUNCTIONS)
}

fn check_types(count: u64) -> Result<(), Refusal> {
    check_most("types in its core modules", count, MAX_TYPES)
}

fn check_entries(count: u64) -> Result<(), Refusal> {
    check_most(
        "entries (functions, globals, imports and exports) in its instances",
        count,
        MAX_ENTRIES,
    )
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

/// How many operators a constant expression has, its end left out.
fn operators(expression: &ConstExpr<'_>) -> Result<u64, Refusal> {
    let mut reader = expression.get_operators_reader();
    let mut count = 0;
    while !reader.eof() {
        if !matches!(reader.read()?, Operator::End) {
            count += 1;
        }
    }
    Ok(count)
}

/// The number that a constant expression is, where it is nothing but that.
fn constant(expression: &ConstExpr<'_>) -> Result<Option<u64>, Refusal> {
    let mut reader = expression.get_operators_reader();
    let Operator::I32Const { value } = reader.read()? else {
        return Ok(None);
    };
    let is_all = matches!(reader.read()?, Operator::End);
    Ok(is_all.then_some(u64::from(value.cast_unsigned())))
}

impl Component {
    /// One more, with what it has in it.
    fn add(&mut self, entries: u64) {
        self.entries = self.entries.saturating_add(1).saturating_add(entries);
    }
}

impl Module {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::TypeSection(section) => {
                check_types(u64::from(section.count()))?;
                for group in section {
                    for ty in group?.types() {
                        self.arities.push(match &ty.composite_type.inner {
                            CompositeInnerType::Func(function) => Arity {
                                parameters: function.params().len() as u64,
                                results: function.results().len() as u64,
                            },
                            _ => Arity::default(),
                        });
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.entries += 1;
                    match import?.ty {
                        TypeRef::Func(ty) => {
                            self.functions.push(ty);
                            self.imported_functions += 1;
                        }
                        TypeRef::Memory(_) => self.imported_memories += 1,
                        TypeRef::Table(_) => self.tables += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                check_functions(u64::from(section.count()))?;
                self.entries += u64::from(section.count());
                for ty in section {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let table = table?;
                    if let TableInit::Expr(expression) = table.init {
                        self.initializers += operators(&expression)?;
                        self.add_elements(self.tables, table.ty.initial);
                    }
                    self.tables += 1;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let bytes = memory?.initial.saturating_mul(PAGE_BYTES);
                    self.memory_bytes.push(bytes);
                }
            }
            Payload::GlobalSection(section) => {
                self.entries += u64::from(section.count());
                for global in section {
                    self.initializers += operators(&global?.init_expr)?;
                }
            }
            Payload::ExportSection(section) => self.entries += u64::from(section.count()),
            Payload::ElementSection(section) => {
                for element in section {
                    self.element(element?)?;
                }
            }
            Payload::DataSection(section) => {
                for segment in section {
                    self.segment(&segment?)?;
                }
            }
            Payload::CodeSectionEntry(body) => self.body(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn element(&mut self, element: Element<'_>) -> Result<(), Refusal> {
        let count = match &element.items {
            ElementItems::Functions(items) => items.count(),
            ElementItems::Expressions(_, items) => items.count(),
        };
        match &element.kind {
            ElementKind::Declared => return Ok(()),
            ElementKind::Passive => self.entries += u64::from(count),
            ElementKind::Active {
                table_index,
                offset_expr,
            } => {
                self.initializers += operators(offset_expr)?;
                if let Some(begin) = constant(offset_expr)? {
                    let end = begin.saturating_add(u64::from(count));
                    self.add_elements(table_index.unwrap_or(0), end);
                }
            }
        }
        match element.items {
            ElementItems::Functions(_) => self.initializers += u64::from(count),
            ElementItems::Expressions(_, items) => {
                for expression in items {
                    self.initializers += operators(&expression?)?;
                }
            }
        }
        Ok(())
    }

    /// What has an element of a table in it that is known when compiling has all up to it.
    fn add_elements(&mut self, table: u32, end: u64) {
        if end <= TABLE_ELEMENTS {
            let most = self.table_elements.entry(table).or_default();
            *most = (*most).max(end);
        }
    }

    fn segment(&mut self, segment: &Data<'_>) -> Result<(), Refusal> {
        let DataKind::Active {
            memory_index,
            offset_expr,
        } = &segment.kind
        else {
            self.entries += 1;
            return Ok(());
        };
        let bytes = segment.data.len() as u64;
        self.data.count += 1;
        self.initializers += operators(offset_expr)?.saturating_sub(1);
        let begin = constant(offset_expr)?.unwrap_or(u64::MAX);
        let end = begin.saturating_add(bytes);
        let most = (*memory_index as usize)
            .checked_sub(self.imported_memories)
            .and_then(|own| self.memory_bytes.get(own));
        if most.is_none_or(|most| end > *most) {
            self.data.is_dynamic = true;
        }
        if bytes == 0 {
            return Ok(());
        }
        let image = self.data.by_memory.entry(*memory_index).or_default();
        image.bytes += bytes;
        let (first, last) = image.extent.unwrap_or((begin, end));
        image.extent = Some((first.min(begin), last.max(end)));
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        let bytes = body.range().len() as u64;
        check_most("bytes in one function", bytes, MAX_BODY_BYTES)?;
        let types = Types {
            arities: &self.arities,
            functions: &self.functions,
        };
        let function = self.imported_functions + self.bodies;
        self.bodies += 1;
        let parameters = types.of_function(function).parameters;
        let Body {
            cost,
            blocks,
            variables,
        } = Body::read(body, parameters, &types)?;
        if cost > MAX_COST {
            return Err(Refusal::new(format!(
                "has a function of {bytes} bytes that would take {cost} bytes of memory to compile, \
                 at most {MAX_COST} are allowed: divide it"
            )));
        }
        self.cost += cost;
        if blocks.saturating_mul(variables) > MAX_BLOCKS_BY_VARIABLES {
            return Err(Refusal::new(format!(
                "has a function with {variables} variables (parameters, locals and results of blocks) in {blocks} blocks, \
                 at most {MAX_BLOCKS_BY_VARIABLES} are allowed of the one times the other: divide it"
            )));
        }
        Ok(())
    }
}

impl Walk {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.scopes.push(match encoding {
                    Encoding::Component => Scope::Component(Component::default()),
                    Encoding::Module => Scope::Module(Module::default()),
                });
                self.parts += 1;
                check_most("core modules and components", self.parts, MAX_PARTS)?;
                let depth = self.scopes.len();
                if depth > MAX_DEPTH {
                    return Err(Refusal::new(format!(
                        "has more than {MAX_DEPTH} components within one another: put them beside one another"
                    )));
                }
            }
            Payload::End(_) => return self.end(),
            payload => match self.scopes.last_mut() {
                Some(Scope::Module(module)) => module.payload(payload)?,
                Some(Scope::Component(_)) => self.component(payload)?,
                None => {}
            },
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        let (entries, is_module) = match self.scopes.pop() {
            Some(Scope::Module(module)) => {
                let functions = module.functions.len() - module.imported_functions;
                self.functions += functions as u64;
                check_functions(self.functions)?;
                self.cost += module.cost;
                if self.cost > MAX_TOTAL_COST {
                    return Err(Refusal::new(format!(
                        "has functions that would take {} bytes of memory to compile, added up, \
                         at most {MAX_TOTAL_COST} are allowed: leave out of it what it doesn't need",
                        self.cost
                    )));
                }
                self.types += module.arities.len() as u64;
                check_types(self.types)?;
                self.image_bytes += module.data.image_bytes().unwrap_or(0);
                check_most(
                    "bytes in the images of its memories, from the first of its data to the last",
                    self.image_bytes,
                    MAX_IMAGE_BYTES,
                )?;
                self.table_elements += module.table_elements.values().sum::<u64>();
                check_most(
                    "elements in its tables, up to the last that is set",
                    self.table_elements,
                    MAX_TABLE_ELEMENTS,
                )?;
                self.entries = self.entries.saturating_add(module.entries);
                check_entries(self.entries)?;
                let initializers = module.initializers + module.data.initializers();
                check_most(
                    "initializers (elements, globals and data) in one core module",
                    initializers,
                    MAX_INITIALIZERS,
                )?;
                (module.entries, true)
            }
            Some(Scope::Component(component)) => {
                check_entries(component.entries)?;
                (component.entries, false)
            }
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
            component.add(0);
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
                            component.add(entries.saturating_add(args.len() as u64));
                        }
                        Instance::FromExports(exports) => component.add(exports.len() as u64),
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
                            component.add(entries.saturating_add(args.len() as u64));
                        }
                        ComponentInstance::FromExports(exports) => {
                            component.add(exports.len() as u64);
                        }
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                component.add(u64::from(section.count()) * ENTRIES_OF_CANONICAL);
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
                        _ => component.add(0),
                    }
                }
            }
            // What is exported is one more of its kind.
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    component.add(0);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> String {
        let bytes = wat::parse_str(text).expect("is WebAssembly");
        check(&bytes).map_or_else(|refusal| refusal.to_string(), |()| "fits".to_owned())
    }

    fn of_module(fields: &str) -> String {
        checked(&format!("(component (core module {fields}))"))
    }

    #[track_caller]
    fn fits_up_to(most: u64, checked: impl Fn(u64) -> String, refusal: &str) {
        assert_eq!(checked(most), "fits");
        let refused = checked(most + 1);
        assert!(refused.contains(refusal), "{refused}");
    }

    fn times(text: &str, count: u64) -> String {
        text.repeat(count as usize)
    }

    #[test]
    fn what_the_compiler_makes_functions_of_is_counted() {
        fits_up_to(
            MAX_FUNCTIONS,
            |count| of_module(&times("(func)", count)),
            "has 60001 functions, at most 60000 are allowed",
        );
        // All modules have them together.
        let module = format!("(core module {})", times("(func)", MAX_FUNCTIONS / 2 + 1));
        let refused = checked(&format!("(component {module} (component {module}))"));
        assert!(refused.starts_with("has 60002 functions"), "{refused}");
        // The length of the body has no locals, and its own end.
        fits_up_to(
            MAX_BODY_BYTES - 2,
            |count| of_module(&format!("(func {})", times("nop ", count))),
            "has 1048577 bytes in one function",
        );
    }

    #[test]
    fn variables_are_counted_by_the_blocks_of_their_function() {
        let refusal = "has a function with ";
        // Function, 16383 blocks, and their variables.
        let blocks = times("block end ", (1 << 14) - 1);
        for own in [0, 100, 128] {
            fits_up_to(
                128 - own,
                |count| {
                    let (parameters, locals) = (times(" i32", own), times(" i32", count));
                    of_module(&format!(
                        "(import \"a\" \"f\" (func)) (func (param{parameters}) (local{locals}) {blocks})"
                    ))
                },
                "has a function with 129 variables (parameters, locals and results of blocks) in 16384 blocks",
            );
        }
        fits_up_to(
            1447,
            |count| {
                of_module(&format!(
                    "(func {})",
                    times("block (result i32) end ", count)
                ))
            },
            refusal,
        );
        fits_up_to(
            835,
            |count| of_module(&format!("(func {})", times("if (result i32) end ", count))),
            refusal,
        );
        fits_up_to(
            34,
            |count| {
                let (values, loops) = (times(" i32", count), times("loop (type 0) end ", 100));
                of_module(&format!(
                    "(type (func (param{values}) (result{values}))) (func {loops})"
                ))
            },
            refusal,
        );
    }

    /// A module whose functions take as much as may be, less `MARGIN`.
    fn dear(functions: u64, operators: &str) -> String {
        let wide = times(" i32", 1000);
        let calls = times("call $wide ", 697);
        let others = times(&format!("(func {calls})"), functions - 1);
        format!(
            "(type $none (func)) (type $some (func (param i32 i32 i32) (result i32 i32))) \
             (type $wide (func (param{wide}) (result{wide}))) (import \"a\" \"f\" (func (type $none))) \
             (import \"a\" \"g\" (func $some (type $some))) (import \"a\" \"h\" (func $wide (type $wide))) \
             (memory 1) (table 1 funcref) {others} (func {calls} {operators})"
        )
    }

    /// What each of 697 calls of [`dear`] takes.
    const WIDE: u64 = 2_500 + 2_000 * 500;
    const MARGIN: u64 = MAX_COST - 697 * WIDE;

    #[test]
    fn what_operators_take_is_counted() {
        for (operator, cost) in [
            ("local.get 0 ", 100),
            ("i32.load offset=33554431 ", 400),
            ("i32.add ", 1_500),
            ("call 0 ", 2_500),
            ("call $some ", 2_500 + 5 * 500),
            ("memory.copy ", 5_000),
            ("br_if 0 ", 6_500),
            ("br_table 0 0 0 ", 6_500 + 2 * 1_000),
            ("loop end ", 11_000),
            ("i32.load offset=33554432 ", 23_000),
            ("f64.add ", 23_000),
            ("i32.rotl ", 23_000),
            ("i8x16.popcnt ", 23_000),
            ("table.copy ", 23_000),
            ("call_indirect (type $some) ", 23_000 + 5 * 500),
        ] {
            fits_up_to(
                MARGIN / cost,
                |count| of_module(&dear(1, &times(operator, count))),
                "bytes of memory to compile, at most 700000000 are allowed: divide it",
            );
        }
        // 22 functions, and as much of one more as is left.
        let all = 22 * 697 * WIDE;
        fits_up_to(
            (MAX_TOTAL_COST - all) / WIDE,
            |count| {
                of_module(&format!(
                    "{} (func {})",
                    dear(22, ""),
                    times("call $wide ", count)
                ))
            },
            "bytes of memory to compile, added up, at most 16000000000 are allowed",
        );
    }

    #[test]
    fn modules_types_and_their_depth_are_counted() {
        // The component itself is one.
        fits_up_to(
            MAX_PARTS - 1,
            |count| checked(&format!("(component {})", times("(core module)", count))),
            "has 1001 core modules and components, at most 1000 are allowed",
        );
        fits_up_to(
            MAX_DEPTH as u64,
            |count| {
                checked(&format!(
                    "{}{}",
                    times("(component ", count),
                    times(")", count)
                ))
            },
            "has more than 20 components within one another",
        );
        fits_up_to(
            MAX_TYPES,
            |count| of_module(&times("(type (func))", count)),
            "has 10001 types in its core modules, at most 10000 are allowed",
        );
        let module = format!(
            "(core module {})",
            times("(type (func))", MAX_TYPES / 2 + 1)
        );
        let refused = checked(&format!("(component {module} {module})"));
        assert!(refused.starts_with("has 10002 types"), "{refused}");
    }

    /// A memory whose image is almost as large as one with a hole may be.
    fn with_image(memory: u64) -> String {
        format!(
            "(memory 256) (data (memory {memory}) (i32.const 1) \"a\") \
             (data (memory {memory}) (i32.const 16777215) \"a\")"
        )
    }

    #[test]
    fn images_and_tables_are_counted() {
        let most = MAX_IMAGE_BYTES / IMAGE_BYTES;
        fits_up_to(
            most,
            |count| {
                let module = format!("(core module {})", with_image(0));
                checked(&format!("(component {})", times(&module, count)))
            },
            "has 83886080 bytes in the images of its memories, from the first of its data to the last, at most 67108864",
        );
        // Each memory has its own.
        fits_up_to(
            most,
            |count| of_module(&(0..count).map(with_image).collect::<String>()),
            "bytes in the images",
        );
        // Whole pages.
        let small = format!(
            "(core module {})",
            times("(memory 1)", 100)
                + &(0..100)
                    .map(|memory| format!("(data (memory {memory}) (i32.const 9) \"a\")"))
                    .collect::<String>()
        );
        let refused = checked(&format!("(component {})", times(&small, 16)));
        assert!(refused.contains("bytes in the images"), "{refused}");

        let table = |size, element| {
            format!(
                "(core module (func $f) (table {size} funcref) (elem (i32.const {element}) func $f))"
            )
        };
        let refusal = "elements in its tables, up to the last that is set, at most 1000000";
        fits_up_to(
            MAX_TABLE_ELEMENTS - 1,
            |last| {
                checked(&format!(
                    "(component {})",
                    table(MAX_TABLE_ELEMENTS + 1, last)
                ))
            },
            refusal,
        );
        // Each has its own, and all count.
        let half = table(MAX_TABLE_ELEMENTS, MAX_TABLE_ELEMENTS / 2);
        let refused = checked(&format!("(component {half} {half})"));
        assert!(refused.contains(refusal), "{refused}");
        let two = "(table 600000 funcref) (elem (table 0) (i32.const 599999) func $f) \
                   (table 600000 funcref) (elem (table 1) (i32.const 599999) func $f) (func $f)";
        assert!(of_module(two).contains(refusal), "{}", of_module(two));
        // It is not known when compiling.
        let far = table(2 << 20, 1 << 20);
        assert_eq!(checked(&format!("(component {far})")), "fits");
    }

    /// Peak of what this process has of memory, in bytes, since it was set back.
    #[cfg(all(target_os = "linux", feature = "compiler"))]
    fn peak_bytes() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("is Linux");
        let peak = status.split("VmHWM:").nth(1).expect("is there");
        let kilobytes = peak.split_whitespace().next().expect("is a number");
        kilobytes.parse::<u64>().expect("is a number") << 10
    }

    // Minutes, and a gigabyte of memory: not among the others. Each is compiled in a
    // process of its own, as what one gives back may stay with its process.
    #[test]
    #[ignore = "measures"]
    #[allow(clippy::print_stdout, reason = "it is for who measures")]
    #[cfg(all(target_os = "linux", feature = "compiler"))]
    fn what_compiling_takes_at_the_limits() {
        const CASE: &str = "SYM_TEST_EXTENT";
        let in_one = |operators: &str, count: u64| {
            format!(
                "(core module (type $wide (func (param{wide}) (result{wide}))) \
                 (func $f) (func $wide (type $wide) unreachable) (memory 1) (table 1 funcref) \
                 (func (local i32) {}))",
                times(operators, count),
                wide = times(" i32", 100),
            )
        };
        let modules = |count: u64, fields: &str| times(&format!("(core module {fields})"), count);
        let types: String = (0..MAX_TYPES)
            .map(|number| {
                let parameters: String = (0..14)
                    .map(|bit| {
                        if number >> bit & 1 == 0 {
                            " i32"
                        } else {
                            " i64"
                        }
                    })
                    .collect();
                format!("(type (func (param{parameters})))")
            })
            .collect();
        let wide_calls = format!(
            "{} {} {}",
            times("i32.const 0 ", 100),
            times("call $wide ", MAX_COST / 102_500 - 1),
            times("drop ", 100),
        );
        let table = "(func $f) (table 100000 funcref) (elem (i32.const 99999) func $f)";
        let cases = [
            ("nothing", String::new()),
            ("functions", modules(1, &times("(func)", MAX_FUNCTIONS))),
            ("calls", in_one("call $f ", MAX_COST / 2_500)),
            ("calls with 200 values", in_one(&wide_calls, 1)),
            (
                "a third of the calls by a table",
                in_one("i32.const 0 call_indirect ", MAX_COST / 23_100 / 3),
            ),
            (
                "a third of the ifs",
                in_one("local.get 0 if end ", MAX_COST / 6_600 / 3),
            ),
            (
                "copies of memory",
                in_one("local.get 0 local.get 0 local.get 0 memory.copy ", 100_000),
            ),
            (
                "variables",
                in_one("block (result i32) i32.const 0 end drop ", 1446),
            ),
            (
                "images",
                modules(MAX_IMAGE_BYTES / IMAGE_BYTES, &with_image(0)),
            ),
            ("elements of tables", modules(10, table)),
            ("types", modules(1, &types)),
            ("modules", modules(MAX_PARTS - 1, "")),
        ];
        let Ok(case) = std::env::var(CASE) else {
            for (case, _) in cases {
                let output = std::process::Command::new(std::env::current_exe().expect("is there"))
                    .args([
                        "--ignored",
                        "--nocapture",
                        "what_compiling_takes_at_the_limits",
                    ])
                    .env(CASE, case)
                    .output()
                    .expect("runs");
                assert!(output.status.success(), "{output:?}");
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                println!(
                    "{}",
                    text.lines()
                        .find(|line| line.contains(" MB "))
                        .expect("tells")
                );
            }
            return;
        };
        let (what, fields) = cases
            .iter()
            .find(|(what, _)| *what == case)
            .expect("is one");
        let text = format!("(component {fields})");
        let bytes = wat::parse_str(&text).expect("is WebAssembly");
        check(&bytes).expect("is at the limit");
        drop(text);
        std::fs::write("/proc/self/clear_refs", "5").expect("is Linux");
        let start = std::time::Instant::now();
        let engine = crate::plugin::engine::Engine::new().expect("starts");
        let component = wasmtime::component::Component::from_binary(engine.wasmtime(), &bytes);
        component.expect("compiles");
        println!(
            "{what}: {} MB in {:.1} s",
            peak_bytes() / 1_000_000,
            start.elapsed().as_secs_f64()
        );
    }

    #[test]
    fn what_an_instance_is_started_with_is_counted() {
        // The segment's offset is one.
        let table = "(table 1 funcref) (func $f)";
        for (kind, items, own) in [
            ("(i32.const 0) func", "$f ", 1),
            ("func", "$f ", 0),
            ("(i32.const 0) funcref", "(ref.func $f) ", 1),
        ] {
            fits_up_to(
                MAX_INITIALIZERS - own,
                |count| of_module(&format!("{table} (elem {kind} {})", times(items, count))),
                "initializers (elements, globals and data) in one core module",
            );
        }
        fits_up_to(
            MAX_INITIALIZERS / 2,
            |count| of_module(&times("(global i32 i32.const 1)", 2 * count)),
            "has 60002 initializers",
        );
        let sum = times(" i32.const 1 i32.add", MAX_INITIALIZERS);
        let refused = of_module(&format!("(global i32 i32.const 1{sum})"));
        assert!(refused.starts_with("has 120001 initializers"), "{refused}");
    }

    #[test]
    fn data_counts_where_it_is_in_no_image() {
        let segments = times("(data (i32.const 9) \"a\")", MAX_INITIALIZERS / 3 + 1);
        assert_eq!(of_module(&format!("(memory 1) {segments}")), "fits");
        let far = "(data (i32.const 20000000) \"a\")";
        for module in [
            "(import \"a\" \"m\" (memory 1))".to_owned(),
            "(import \"a\" \"g\" (global $g i32)) (memory 1) (data (global.get $g) \"a\")"
                .to_owned(),
            // The image would have a large hole.
            format!("(memory 1000) {far}"),
            // It doesn't fit.
            format!("(memory 1) {far}"),
        ] {
            let refused = of_module(&format!("{module} {segments}"));
            assert!(refused.contains(" initializers"), "{module}: {refused}");
        }
    }

    #[test]
    fn each_instance_counts_again_however_it_comes_about() {
        let module = format!(
            "(core module $m {})",
            times("(global i32 i32.const 1)", 999)
        );
        let all = |count| times("(core instance (instantiate $m))", count);
        fits_up_to(
            MAX_ENTRIES / 1000,
            |count| checked(&format!("(component {module} {})", all(count))),
            "has 151000 entries (functions, globals, imports and exports) in its instances",
        );
        // Ten of a component with ten of a component with two.
        let ten = times("(instance (instantiate $c))", 10);
        let two = format!(
            "(component $c (alias outer $o $m (core module $m)) {})",
            all(2)
        );
        let nested = format!("(component $o {module} (component $c {two} {ten}) {ten})");
        assert!(
            checked(&nested).contains(" entries "),
            "{}",
            checked(&nested)
        );
        // What is exported can be instantiated by another number.
        let exported = format!(
            "(component {module} (export $e \"m\" (core module $m)) {})",
            times("(core instance (instantiate $e))", 151)
        );
        assert!(checked(&exported).contains(" entries "));
        // Nothing in them, but a billion of them.
        let thousand = times("(instance (instantiate $c))", 1000);
        let mut empty = String::new();
        for _ in 0..3 {
            empty = format!(
                "(component $c {empty} {})",
                if empty.is_empty() { "" } else { &thousand }
            );
        }
        assert!(checked(&format!("(component {empty} {thousand})")).contains(" entries "));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        for text in [
            "(component (component (import \"m\" (core module)) (core instance (instantiate 0))))",
            "(component (component (import \"c\" (component))))",
            "(component (component $c (core module $m) (export \"m\" (core module $m)))
                (instance $i (instantiate $c)) (alias export $i \"m\" (core module $m)))",
        ] {
            let refused = checked(text);
            assert!(refused.starts_with("hands a core module"), "{refused}");
        }
        let refused = check(b"\0asm\x0d\0\x01\0\x01\x05").expect_err("is cut off");
        assert!(refused.to_string().starts_with("is no valid component: "));
    }
}
