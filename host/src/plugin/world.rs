//! Whether a component is one that we can run, in words that its author
//! understands: what it imports, what it exports, and of which types.

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Component, InstancePre};

use super::bindings::exports::sym::postgres::{resolver, target_setup};
use super::bindings::sym::postgres::types::{Failure, Request, Step};
use super::component::Refusal;
use super::engine::Engine;
use super::store::State;
use super::wasi;
use crate::event::printable;

/// The contract's version up to its last number, as names of interfaces have it.
/// Within it, old plugins run on newer hosts.
const VERSION: &str = "0.1.";

/// What a plugin is there for: one of the interfaces of `wit/`.
pub(super) trait Export {
    /// Its interface, without the version.
    const INTERFACE: &str;
    /// The interface's one function.
    const FUNCTION: &str;
    /// The function's parameters.
    const PARAMETERS: &[&str];
    /// The function's type, as `wit/` has it.
    const SIGNATURE: &str;
    /// Where to find the function in an instance.
    type Indices: Send + Sync;

    /// Looks the function up.
    fn indices(pre: &InstancePre<State>) -> wasmtime::Result<Self::Indices>;

    /// Compares the function's type with ours.
    fn check_type(function: &ComponentFunc, component: &Component) -> wasmtime::Result<()>;
}

/// `resolve-user`.
pub(super) struct Resolver;

impl Export for Resolver {
    const INTERFACE: &str = "sym:postgres/resolver";
    const FUNCTION: &str = "resolve-user";
    const PARAMETERS: &[&str] = &["request"];
    const SIGNATURE: &str = "func(request: request) -> result<string, failure>";
    type Indices = resolver::GuestIndices;

    fn indices(pre: &InstancePre<State>) -> wasmtime::Result<Self::Indices> {
        resolver::GuestIndices::new(pre)
    }

    fn check_type(function: &ComponentFunc, component: &Component) -> wasmtime::Result<()> {
        // Not part of wasmtime's documented interface; its version is pinned, and
        // a call checks the same once more.
        function.typecheck::<(&Request,), (Result<String, Failure>,)>(
            &component.component_type().instance_type(),
        )
    }
}

/// `setup`.
pub(super) struct TargetSetup;

impl Export for TargetSetup {
    const INTERFACE: &str = "sym:postgres/target-setup";
    const FUNCTION: &str = "setup";
    const PARAMETERS: &[&str] = &["request", "username"];
    const SIGNATURE: &str =
        "func(request: request, username: string) -> result<list<step>, failure>";
    type Indices = target_setup::GuestIndices;

    fn indices(pre: &InstancePre<State>) -> wasmtime::Result<Self::Indices> {
        target_setup::GuestIndices::new(pre)
    }

    fn check_type(function: &ComponentFunc, component: &Component) -> wasmtime::Result<()> {
        function.typecheck::<(&Request, &str), (Result<Vec<Step>, Failure>,)>(
            &component.component_type().instance_type(),
        )
    }
}

/// Refuses a component that wants more than it may have.
pub(super) fn check_imports(
    engine: &Engine,
    component: &Component,
    wasi: bool,
) -> Result<(), Refusal> {
    let ty = component.component_type();
    let names: Vec<&str> = ty
        .imports(engine.wasmtime())
        .map(|(name, _)| name)
        .collect();
    let foreign = names.into_iter().filter(|name| !is_ours(name));
    let (grantable, forbidden): (Vec<&str>, Vec<&str>) = foreign.partition(|name| is_wasi(name));
    let ours = "`sym:postgres/log@0.1` and `sym:postgres/config@0.1`";
    if !forbidden.is_empty() {
        let forbidden = list(&forbidden);
        let more = if wasi {
            ", and of WASI 0.2 the interfaces cli, clocks, io, random and an empty filesystem"
        } else {
            ""
        };
        return Err(Refusal::new(format!(
            "imports {forbidden}, which this host gives to no plugin: it may import {ours}{more}"
        )));
    }
    if !grantable.is_empty() && !wasi {
        return Err(Refusal::new(format!(
            "imports WASI ({}), which its entry doesn't grant: it may import {ours}. Build it without WASI \
             (Rust: for wasm32-unknown-unknown), or set `wasi = true` in its entry",
            list(&grantable)
        )));
    }
    Ok(())
}

/// Whether a component wants WASI.
pub(super) fn wants_wasi(engine: &Engine, component: &Component) -> bool {
    let ty = component.component_type();
    let mut names = ty.imports(engine.wasmtime()).map(|(name, _)| name);
    names.any(is_wasi)
}

/// Whether a component exports an interface of this name, whatever is in it.
pub(super) fn has_export<E: Export>(engine: &Engine, component: &Component) -> bool {
    let ty = component.component_type();
    let mut names = ty.exports(engine.wasmtime()).map(|(name, _)| name);
    names.any(|name| is_version_of(name, E::INTERFACE, VERSION))
}

/// The names of our interfaces begin the same in every version; a plugin that was
/// built against a later 0.1 may still need no more of it than we have.
fn is_ours(name: &str) -> bool {
    ["types", "log", "config"]
        .iter()
        .any(|interface| is_version_of(name, &format!("sym:postgres/{interface}"), VERSION))
}

fn is_wasi(name: &str) -> bool {
    wasi::INTERFACES
        .iter()
        .any(|interface| is_version_of(name, interface, wasi::VERSION))
}

fn is_version_of(name: &str, interface: &str, version: &str) -> bool {
    name.strip_prefix(interface)
        .and_then(|rest| rest.strip_prefix('@'))
        .and_then(|rest| rest.strip_prefix(version))
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Refuses a component that doesn't export what its entry is there for.
pub(super) fn check_export<E: Export>(
    engine: &Engine,
    component: &Component,
) -> Result<(), Refusal> {
    let ty = component.component_type();
    let expected = format!(
        "expected `{}@0.1` with `{}: {}`",
        E::INTERFACE,
        E::FUNCTION,
        E::SIGNATURE
    );
    let found = ty
        .exports(engine.wasmtime())
        .find_map(|(name, export)| match export.ty {
            ComponentItem::ComponentInstance(instance)
                if is_version_of(name, E::INTERFACE, VERSION) =>
            {
                Some((name, instance))
            }
            _ => None,
        });
    let Some((interface, instance)) = found else {
        let names: Vec<&str> = ty
            .exports(engine.wasmtime())
            .map(|(name, _)| name)
            .collect();
        let exports = if names.is_empty() {
            "nothing".to_owned()
        } else {
            list(&names)
        };
        return Err(Refusal::new(format!("exports {exports}, {expected}")));
    };
    let Some(function) = function::<E>(engine, &instance) else {
        let names: Vec<&str> = instance
            .exports(engine.wasmtime())
            .map(|(name, _)| name)
            .collect();
        let exports = if names.is_empty() {
            "with nothing in it".to_owned()
        } else {
            format!("with {}", list(&names))
        };
        return Err(Refusal::new(format!(
            "exports `{interface}` {exports}, {expected}"
        )));
    };
    let parameters: Vec<&str> = function.params().map(|(name, _)| name).collect();
    if parameters.len() != E::PARAMETERS.len() {
        return Err(Refusal::new(format!(
            "exports `{}` with {}, expected {}",
            E::FUNCTION,
            count_parameters(&parameters),
            count_parameters(E::PARAMETERS)
        )));
    }
    E::check_type(&function, component).map_err(|error| {
        Refusal::new(format!(
            "exports `{}: {}`, expected `{}` of sym:postgres@0.1: {}",
            E::FUNCTION,
            signature(&function),
            E::SIGNATURE,
            printable(&format!("{error:#}"), 300)
        ))
    })
}

fn function<E: Export>(engine: &Engine, instance: &ComponentInstance) -> Option<ComponentFunc> {
    match instance.get_export(engine.wasmtime(), E::FUNCTION)?.ty {
        ComponentItem::ComponentFunc(function) => Some(function),
        _ => None,
    }
}

fn count_parameters(names: &[&str]) -> String {
    match names {
        [] => "no parameters".to_owned(),
        [_] => format!("1 parameter ({})", list(names)),
        _ => format!("{} parameters ({})", names.len(), list(names)),
    }
}

/// Names for a sentence. They are the component's own words, so they are cut and
/// cleaned, and only the first few are shown.
fn list(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", printable(name, 80)))
        .collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn signature(function: &ComponentFunc) -> String {
    let parameters: Vec<String> = function
        .params()
        .map(|(name, ty)| format!("{}: {}", printable(name, 40), words(&ty, 0)))
        .collect();
    let results: Vec<String> = function.results().map(|ty| words(&ty, 0)).collect();
    let result = if results.is_empty() {
        String::new()
    } else {
        format!(" -> {}", results.join(", "))
    };
    printable(&format!("func({}){result}", parameters.join(", ")), 300)
}

/// A type as WIT would write it; records and variants, which have no names in a
/// component's type, by what they are made of.
fn words(ty: &Type, depth: usize) -> String {
    // A hostile component may nest types as deep as it likes.
    if depth > 3 {
        return "…".to_owned();
    }
    let inner = |ty: &Type| words(ty, depth + 1);
    let optional = |ty: Option<Type>| ty.map_or("_".to_owned(), |ty| inner(&ty));
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::S8 => "s8".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::S16 => "s16".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::S32 => "s32".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::S64 => "s64".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::List(list) => format!("list<{}>", inner(&list.ty())),
        Type::Option(option) => format!("option<{}>", inner(&option.ty())),
        Type::Result(result) => format!(
            "result<{}, {}>",
            optional(result.ok()),
            optional(result.err())
        ),
        Type::Tuple(tuple) => {
            let types: Vec<String> = tuple.types().take(8).map(|ty| inner(&ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        Type::Record(record) => {
            let names: Vec<&str> = record.fields().take(16).map(|field| field.name).collect();
            format!("record {{{}}}", names.join(", "))
        }
        Type::Variant(variant) => {
            let names: Vec<&str> = variant.cases().take(16).map(|case| case.name).collect();
            format!("variant {{{}}}", names.join(", "))
        }
        Type::Enum(names) => format!(
            "enum {{{}}}",
            names.names().take(16).collect::<Vec<_>>().join(", ")
        ),
        Type::Flags(names) => format!(
            "flags {{{}}}",
            names.names().take(16).collect::<Vec<_>>().join(", ")
        ),
        // Resources, streams and what later versions add: none is in our contract.
        _ => "another kind of type".to_owned(),
    }
}
