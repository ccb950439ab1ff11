//! How much a component has of what no limit of a call counts: what compiling takes
//! memory for, and what its instances have beside their linear memories and tables.
//!
//! Read from its bytes, before anything else is done with them: compiling has no
//! limit of its own, and starting an instance takes no fuel and can't be
//! interrupted.

use wasmtime::wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, CompositeInnerType, ConstExpr, Data, DataKind,
    Element, ElementItems, ElementKind, Encoding, FunctionBody, Instance, Operator, Parser,
    Payload, TableInit, TypeRef,
};

use super::component::Refusal;
use crate::event::printable;

/// Most functions of all core modules together. Compiling takes 5 to 10 kB of memory
/// for each. A component from Python has 13,500.
const MAX_FUNCTIONS: u64 = 60_000;

/// Longest body of a function, in bytes. Compiling takes some 220 bytes of memory for
/// each of them. A component from Python has one of 430,000.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// Most that the bytes of a function's body may be, times its parameters and locals:
/// the compiler has a table of each in each block. A component from Python or
/// JavaScript has one with some 4,000,000.
const MAX_BODY_BYTES_BY_LOCALS: u64 = 64 << 20;

/// Most initializers of one core module: elements, operators of constant expressions,
/// and three for each data segment that is not known when compiling. The compiler
/// makes one function of them all, and takes 7 kB of memory for each. A module of
/// Python has up to 5,500.
const MAX_INITIALIZERS: u64 = 60_000;

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
         | {MAX_FUNCTIONS} | functions of all core modules | Compiling takes up to 10 kB of memory for each. Python has 13,500. |\n\
         | {MAX_BODY_BYTES} | bytes of a function's body | Compiling takes some 220 bytes of memory for each. Python's longest has 430,000. |\n\
         | {MAX_BODY_BYTES_BY_LOCALS} | bytes of a function's body, times its parameters and locals | The compiler has a table of each in each block. Python and JavaScript have up to 4,000,000. |\n\
         | {MAX_INITIALIZERS} | initializers of one core module | Elements, operators of constant expressions, and {INITIALIZERS_OF_DATA} for each data segment that is not known when compiling. Compiling takes 7 kB of memory for each. Python has up to 5,500. |\n\
         | {MAX_ENTRIES} | entries of all instances | Functions, globals, imports, exports and passive elements of each core instance, which has up to 32 bytes for each, and what components make of them, a canonical function being {ENTRIES_OF_CANONICAL}. Python has 24,500. |\n\n\
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
    entries: u64,
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
    /// How many parameters a function of each type has.
    parameters: Vec<usize>,
    /// The types of its own functions.
    functions: Vec<u32>,
    /// How many bodies were read.
    bodies: usize,
    entries: u64,
    initializers: u64,
    imported_memories: u32,
    /// Of its smallest memory, to begin with.
    memory_bytes: Option<u64>,
    data: Segments,
}

/// The active data segments of a module.
#[derive(Default)]
struct Segments {
    count: u64,
    bytes: u64,
    /// From the first byte to behind the last.
    extent: Option<(u64, u64)>,
    /// Whether one hangs on what isn't known before there is an instance.
    is_dynamic: bool,
}

impl Segments {
    /// What they are for the compiler, which puts them into an image where it can.
    fn initializers(&self) -> u64 {
        let extent = self.extent.map_or(0, |(begin, end)| end - begin);
        if !self.is_dynamic && (extent < IMAGE_BYTES || extent < self.bytes.saturating_mul(2)) {
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
                for group in section {
                    for ty in group?.types() {
                        self.parameters.push(match &ty.composite_type.inner {
                            CompositeInnerType::Func(function) => function.params().len(),
                            _ => 0,
                        });
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.entries += 1;
                    if let TypeRef::Memory(_) = import?.ty {
                        self.imported_memories += 1;
                    }
                }
            }
            Payload::FunctionSection(section) => {
                check_functions(u64::from(section.count()))?;
                self.entries += u64::from(section.count());
                self.functions = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::TableSection(section) => {
                for table in section {
                    if let TableInit::Expr(expression) = table?.init {
                        self.initializers += operators(&expression)?;
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let bytes = memory?.initial.saturating_mul(PAGE_BYTES);
                    self.memory_bytes =
                        Some(self.memory_bytes.map_or(bytes, |least| least.min(bytes)));
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
            ElementKind::Active { offset_expr, .. } => {
                self.initializers += operators(offset_expr)?;
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
        self.data.bytes += bytes;
        self.initializers += operators(offset_expr)?.saturating_sub(1);
        let begin = match offset_expr.get_operators_reader().read()? {
            Operator::I32Const { value } => u64::from(value.cast_unsigned()),
            _ => u64::MAX,
        };
        let end = begin.saturating_add(bytes);
        if *memory_index < self.imported_memories || self.memory_bytes.is_none_or(|most| end > most)
        {
            self.data.is_dynamic = true;
        }
        let (least, most) = self.data.extent.unwrap_or((begin, end));
        self.data.extent = Some((least.min(begin), most.max(end)));
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        let bytes = body.range().len() as u64;
        check_most("bytes in one function", bytes, MAX_BODY_BYTES)?;
        let ty = self.functions.get(self.bodies);
        let mut locals = ty
            .and_then(|ty| self.parameters.get(*ty as usize))
            .copied()
            .unwrap_or(0) as u64;
        self.bodies += 1;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
        }
        if bytes.saturating_mul(locals) > MAX_BODY_BYTES_BY_LOCALS {
            return Err(Refusal::new(format!(
                "has a function with {locals} locals in {bytes} bytes, at most {MAX_BODY_BYTES_BY_LOCALS} \
                 are allowed of the one times the other: divide it"
            )));
        }
        Ok(())
    }
}

impl Walk {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::Version { encoding, .. } => self.scopes.push(match encoding {
                Encoding::Component => Scope::Component(Component::default()),
                Encoding::Module => Scope::Module(Module::default()),
            }),
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
                self.functions += module.functions.len() as u64;
                check_functions(self.functions)?;
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
    fn locals_are_counted_by_the_length_of_their_function() {
        let function = |parameters: u64, locals: u64| {
            let (parameters, locals) = (times(" i32", parameters), times(" i32", locals));
            let body = times("nop ", 1 << 20 >> 1);
            of_module(&format!(
                "(func) (func (param{parameters}) (local{locals}) {body})"
            ))
        };
        assert_eq!(function(100, 27), "fits");
        for (parameters, locals) in [(100, 28), (0, 128), (128, 0)] {
            let refused = function(parameters, locals);
            let expected = "has a function with 128 locals in 52";
            assert!(refused.starts_with(expected), "{refused}");
        }
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
