//! What can be said of each component: its world, its sizes, and what its start
//! takes.

use sym_host::error::Code;
use sym_host::plugin::manifest::MAX_COMPONENT_BYTES;
use sym_host::plugin::package::{TARGETS, precompile};
use sym_host::plugin::statement::MAX_NATIVE_BYTES;
use sym_host::plugin::trial::Part;
use sym_host::plugin::{Called, Limit};

use super::{Checking, Level};
use crate::plugin::show::{bytes, number};
use crate::plugin::subject::sample_request;

/// What share of a limit, in percent, a start may take before it is worth a
/// warning: the rest is what the plugin has for its work.
const START_PERCENT: u64 = 50;

pub(super) async fn check(checking: &mut Checking<'_>) -> anyhow::Result<()> {
    for part in checking.release.parts() {
        let section = part.section().to_owned();
        if let Err(error) = part.check().await {
            checking.add(Level::Error, &section, "world", error.to_log());
            continue;
        }
        let wasi = if part.has_wasi() { " and WASI" } else { "" };
        checking.add(
            Level::Ok,
            &section,
            "world",
            format!(
                "`{}` exports `{}@0.1`, and imports what every plugin may{wasi}",
                part.path(),
                part.interface()
            ),
        );
        sizes(checking, &part)?;
        limits(checking, &part);
        start(checking, &part).await?;
    }
    Ok(())
}

fn sizes(checking: &mut Checking<'_>, part: &Part) -> anyhow::Result<()> {
    let component = checking.subject.component(part.path())?;
    let size = component.len() as u64;
    checking.add(
        Level::Ok,
        part.section(),
        "size",
        format!("{} of {}", bytes(size), bytes(MAX_COMPONENT_BYTES)),
    );
    if checking.args.without_native {
        return Ok(());
    }
    for target in TARGETS {
        match precompile(&component, target) {
            Ok(code) => {
                let size = code.len() as u64;
                let level = if size > MAX_NATIVE_BYTES {
                    Level::Error
                } else {
                    Level::Ok
                };
                let text = format!(
                    "native code for {target}: {} of {}",
                    bytes(size),
                    bytes(MAX_NATIVE_BYTES)
                );
                checking.add(level, part.section(), "native", text);
            }
            Err(error) => {
                checking.add(Level::Error, part.section(), "native", error.to_log());
            }
        }
    }
    Ok(())
}

/// Limits that are not the defaults: whoever reviews the release asks why.
fn limits(checking: &mut Checking<'_>, part: &Part) {
    let raised: Vec<String> = Limit::ALL
        .iter()
        .filter(|limit| part.limits().get(**limit) != limit.default_value())
        .map(|limit| {
            format!(
                "`{}` is {}, the default is {}",
                limit.key(),
                number(part.limits().get(*limit)),
                number(limit.default_value())
            )
        })
        .collect();
    let text = if raised.is_empty() {
        "limits are the defaults".to_owned()
    } else {
        raised.join("; ")
    };
    checking.add(Level::Ok, part.section(), "limits", text);
}

async fn start(checking: &mut Checking<'_>, part: &Part) -> anyhow::Result<()> {
    let (target, strategy) = checking.asked_for(part.section());
    let request = sample_request("ada@a.example", target, 0)?;
    let called = part.call(&request, strategy, "ada").await;
    let limits = part.limits();
    let shares = [
        (
            "fuel",
            called.start.fuel,
            limits.fuel,
            number as fn(u64) -> String,
        ),
        (
            "memory",
            called.start.memory_bytes,
            limits.memory_bytes,
            bytes,
        ),
    ];
    let is_dear = shares
        .iter()
        .any(|(_, used, limit, _)| used.saturating_mul(100) > limit.saturating_mul(START_PERCENT));
    let text: Vec<String> = shares
        .iter()
        .map(|(what, used, limit, words)| format!("{} of {} {what}", words(*used), words(*limit)))
        .collect();
    let (level, hint) = if is_dear {
        (
            Level::Warning,
            ": little is left for its work, raise the limit or make it smaller",
        )
    } else {
        (Level::Ok, "")
    };
    let text = format!("its start takes {}{hint}", text.join(" and "));
    checking.add(level, part.section(), "start", text);
    // A refusal or a failure may be right for an invented request. A trap is not.
    if let Some(why) = breakage(&called) {
        let text = format!("breaks on an ordinary request: {why}");
        checking.add(Level::Error, part.section(), "call", text);
    }
    Ok(())
}

/// Why a plugin broke or passed a limit, where it did, rather than to answer or
/// refuse.
pub(super) fn breakage<T>(called: &Called<T>) -> Option<String> {
    let error = called.result.as_ref().err()?;
    let is_breakage = match &called.failure {
        Some(said) => said.is_breakage(),
        None => matches!(
            error.code(),
            Code::PluginTrapped
                | Code::PluginFuel
                | Code::PluginTime
                | Code::PluginMemory
                | Code::PluginStack
                | Code::PluginOutput
                | Code::PluginLog
        ),
    };
    is_breakage.then(|| error.to_log())
}
