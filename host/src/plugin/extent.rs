//! How much a component has of what no limit of a call counts: what compiling takes
//! memory for, and what its instances have beside their linear memories and tables.
//!
//! Read from its bytes, before anything else is done with them: compiling has no
//! limit of its own, and starting an instance takes no fuel and can't be
//! interrupted.

mod body;
#[cfg(test)]
mod tests;

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
