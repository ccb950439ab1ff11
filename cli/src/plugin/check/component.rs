//! What can be said of each component: its world, its sizes, and what its start
//! takes.

use sym_host::error::Code;
use sym_host::plugin::package::{TARGETS, precompile};
use sym_host::plugin::statement::MAX_NATIVE_BYTES;
use sym_host::plugin::trial::Part;
use sym_host::plugin::{Called, Limit};

use super::{Check, Checking, Level};
use crate::plugin::show::{bytes, number};

/// What share of a limit, in percent, a start may take before it is worth a
/// warning: the rest is what the plugin has for its work.
const START_PERCENT: u64 = 50;

pub(super) async fn check(checking: &mut Checking<'_>) -> anyhow::Result<()> {
    for part in checking.release.parts() {
        let section = part.section().to_owned();
        if let Err(error) = part.check().await {
            checking.add(Level::Error, &section, Check::World, error.to_log());
            continue;
        }
        let wasi = if part.has_wasi() { " and WASI" } else { "" };
        checking.add(
            Level::Ok,
            &section,
            Check::World,
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
        Check::Size,
        format!(
            "{} of {}",
            bytes(size),
            bytes(part.limits().component_bytes)
        ),
    );
    if !checking.rules.native {
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
                checking.add(level, part.section(), Check::Native, text);
            }
            Err(error) => {
                checking.add(Level::Error, part.section(), Check::Native, error.to_log());
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
    checking.add(Level::Ok, part.section(), Check::Limits, text);
}

async fn start(checking: &mut Checking<'_>, part: &Part) -> anyhow::Result<()> {
    let question = checking.question(part.section())?;
    let called = part
        .call(&question.request, question.strategy, &question.user)
        .await;
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
    checking.add(level, part.section(), Check::Start, text);
    let Some(why) = breakage(&called) else {
        return Ok(());
    };
    // The sample event may lack a setting that the target needs. No trap is right
    // for that, and a failure is.
    let is_target = part.section().starts_with("targets.");
    if is_target && !question.is_of_a_case && is_answer(&called) {
        let text = format!(
            "fails on the sample event, which may lack what it needs: {why}; write a case that it answers into `cases/`, \
             and it is asked for that"
        );
        checking.add(Level::Warning, part.section(), Check::Call, text);
    } else {
        let text = format!("breaks on an ordinary request: {why}");
        checking.add(Level::Error, part.section(), Check::Call, text);
    }
    Ok(())
}

/// Whether a failure is the plugin's own answer, and not what the host makes of a
/// panic: that has the trap in its text.
fn is_answer<T>(called: &Called<T>) -> bool {
    let error = called.result.as_ref().err();
    called.failure.is_some() && error.is_some_and(|error| !error.to_log().contains("wasm trap: "))
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
