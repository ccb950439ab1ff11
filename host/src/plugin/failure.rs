//! Why a call gave no answer: the plugin said so, passed a limit, or broke.

use wasmtime::{Trap, WasmBacktrace};

use super::bindings::sym::postgres::types::Failure;
use super::component::Plugin;
use super::limits::Limit;
use super::world::Export;
use crate::env;
use crate::error::{Code, Error};
use crate::event::printable;

/// Longest sentence of a plugin's that a requester gets to read, in characters.
const MAX_DENIAL_CHARACTERS: usize = 500;

/// The code of failures that nobody chose: an exception, a panic. The SDKs of the
/// languages that can answer after one use it too.
pub(super) const FAILED: &str = "failed";

/// What is known of a panic that no line of level `error` came before: what the
/// SDKs of all languages log of an exception, a panic or an assertion. Left are
/// the ends that a language's own library comes to.
const WITHOUT_A_WORD: &str = "it ended itself without a word: it called exit or abort, or reached for what a plugin \
    doesn't have, such as a clock, files, a network, or in Python an import inside a function; its project's README \
    says more";

/// The plugin said no, or that it can't.
pub(super) fn failed<E: Export + 'static>(plugin: &Plugin<E>, failure: &Failure) -> Error {
    let said = printable(failure.message.trim(), MAX_DENIAL_CHARACTERS);
    if failure.code == "denied" {
        let said = if said.is_empty() {
            format!("{} denied it and gave no reason", plugin.subject())
        } else {
            said
        };
        return Error::new(Code::Denied, said);
    }
    // The sentence is meant for the operator. It may hold anything that the
    // plugin knows, so it is for the log; the code is a word, and short.
    answered(plugin, failure.code.trim()).with_source(if said.is_empty() {
        "the plugin gave no message".to_owned()
    } else {
        said
    })
}

/// The plugin panicked, and its SDK logged about what before the instance ended:
/// the failure that it would have answered with, could it still answer. `said` is
/// the plugin's own, so the requester reads none of it.
pub(super) fn panicked<E: Export + 'static>(
    plugin: &Plugin<E>,
    said: &str,
    error: &wasmtime::Error,
) -> Error {
    let said = printable(said, MAX_DENIAL_CHARACTERS);
    answered(plugin, FAILED).with_source(format!("{said}: {}", detail(error)))
}

fn answered<E: Export + 'static>(plugin: &Plugin<E>, code: &str) -> Error {
    Error::new(
        Code::PluginFailed,
        format!(
            "{} answered with failure `{}`",
            plugin.subject(),
            printable(code, 60)
        ),
    )
    .with_pointer(": its message is in the function's log")
}

/// The plugin passed a limit.
pub(super) fn exceeded<E: Export + 'static>(plugin: &Plugin<E>, limit: Limit) -> Error {
    Error::new(
        limit.code(),
        format!(
            "{} {}, its limit `{}` is {}: mend the plugin, or raise the limit in `[{}.limits]` of plugins.toml",
            plugin.subject(),
            limit.deed(),
            limit.key(),
            plugin.limits().get(limit),
            plugin.name()
        ),
    )
}

/// The plugin needed more stack than there is for every plugin.
fn too_deep<E: Export + 'static>(plugin: &Plugin<E>, error: &wasmtime::Error) -> Error {
    Error::new(
        Code::PluginStack,
        format!(
            "{} called itself too deeply, the limit `{}` is {} bytes: mend the plugin, or raise the function's variable",
            plugin.subject(),
            env::PLUGIN_STACK_BYTES.name,
            plugin.engine().stack_bytes()
        ),
    )
    .with_source(detail(error))
}

/// Whether a panic, an abort or a failed assertion ended the call: compilers make
/// the instruction `unreachable` of each.
pub(super) fn is_panic(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<Trap>() == Some(&Trap::UnreachableCodeReached)
}

/// The call ended without an answer. Each cause that has a type is known by it;
/// two of wasmtime's have none that we can name, and are known by their text. A
/// test fails when an update of wasmtime changes it.
pub(super) fn broken<E: Export + 'static>(plugin: &Plugin<E>, error: &wasmtime::Error) -> Error {
    if let Some(limit) = error.downcast_ref::<Limit>() {
        return exceeded(plugin, *limit);
    }
    let trapped_for = |how: &str, cause: String| {
        Error::new(Code::PluginTrapped, format!("{} {how}", plugin.subject()))
            .with_pointer(": the function's log says where, its author has to mend it")
            .with_source(cause)
    };
    let trapped = |how: &str| trapped_for(how, detail(error));
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::OutOfFuel => exceeded(plugin, Limit::Fuel),
            Trap::UnreachableCodeReached => {
                trapped_for("panicked", format!("{WITHOUT_A_WORD}: {}", detail(error)))
            }
            Trap::StackOverflow => too_deep(plugin, error),
            Trap::MemoryOutOfBounds => {
                trapped("read or wrote outside its memory, or called itself too deeply")
            }
            _ => trapped("trapped"),
        };
    }
    if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() {
        return trapped("exited instead of answering");
    }
    let text = error.root_cause().to_string();
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        return exceeded(plugin, Limit::OutputBytes);
    }
    if text.starts_with("resource limit exceeded: ") {
        let counted = [
            ("table", Limit::Tables),
            ("memory", Limit::Memories),
            ("instance", Limit::Instances),
        ];
        if let Some((_, limit)) = counted
            .iter()
            .find(|(what, _)| text.contains(&format!(": {what} count")))
        {
            return exceeded(plugin, *limit);
        }
    }
    // What is left breaks the rules of the component model: text that isn't
    // UTF-8, a pointer outside its memory, a case that doesn't exist.
    trapped("answered with something malformed")
}

/// The root cause and the plugin's own functions on the way to it, innermost
/// first. `Display` of wasmtime's error has neither.
fn detail(error: &wasmtime::Error) -> String {
    let mut detail = printable(&error.root_cause().to_string(), 300);
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let names: Vec<String> = backtrace
            .frames()
            .iter()
            .take(8)
            .map(|frame| match frame.func_name() {
                Some(name) => printable(name, 100),
                None => format!("function {}", frame.func_index()),
            })
            .collect();
        if !names.is_empty() {
            detail = format!("{detail}, in {}", names.join(" < "));
        }
    }
    detail
}
