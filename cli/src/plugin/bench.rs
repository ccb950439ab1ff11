//! `symctl plugin bench`: what a plugin costs, cold and warm.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use sym_host::plan::Strategy;
use sym_host::plugin::trial::Part;
use sym_host::plugin::{ENGINE_ID, Preparation};
use sym_host::request::Request;

use super::cases::parse_strategy;
use super::outcome::request_of;
use super::show::{bytes, milliseconds, number};
use super::subject::{Subject, run_id, sample_request};
use crate::engine::engine;
use crate::input;
use crate::output::{self, Status};
use crate::store::block_on;

/// Measure a plugin, cold and warm. Each number is a median.
///
/// Cold: compiling it (what `symctl publish` does for a function), loading the
/// native code that came of it (what a function does, its digest included), and
/// the first call, of which its instance is a part. Warm: calls after that.
///
/// Fuel is the same on every machine; times are this machine's, and of this build
/// of symctl: measure with a release build.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  symctl plugin bench\n  symctl plugin bench my-target.wasm --event event.json --calls 1000"
)]
pub(crate) struct BenchArgs {
    /// A directory with `plugins.toml`, or a component.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The event to ask for, instead of a sample.
    #[arg(long)]
    event: Option<PathBuf>,
    /// The strategy that the plugins are told.
    #[arg(long, value_parser = parse_strategy, default_value = "role")]
    strategy: Strategy,
    /// How often it is loaded afresh.
    #[arg(long, value_name = "COUNT", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    loads: u32,
    /// How often it is called once it is loaded.
    #[arg(long, value_name = "COUNT", default_value = "200", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What one entry of `plugins.toml` costs. Times are medians, in microseconds.
#[derive(Serialize)]
struct Measured {
    section: String,
    component: String,
    component_bytes: u64,
    /// Of this machine's architecture.
    native_bytes: u64,
    /// Compiling it: once, by `symctl publish`, or by a function without native
    /// code.
    compile_microseconds: u64,
    /// Loading the native code, its digest taken: what a function does once.
    load_microseconds: u64,
    /// The first call afterwards, its instance included.
    first_call_microseconds: u64,
    /// Of that, making the instance.
    first_instance_microseconds: u64,
    /// A call later, its instance included.
    call_microseconds: u64,
    /// Of that, making the instance.
    instance_microseconds: u64,
    /// 95 of 100 calls took no longer.
    call_95th_microseconds: u64,
    fuel: u64,
    memory_bytes: u64,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<Status> {
    let subject = Subject::find(&args.path)?;
    let request = match &args.event {
        Some(path) => request_of(&input::event(path)?)?,
        None => sample_request("sym-user@healthy-health.co", "readonly", &run_id(0))?,
    };
    let engine = engine()?;
    let targets = BTreeSet::from([request.target.name.clone()]);
    let count = subject.load(&engine, &targets)?.parts().len();
    if count == 0 {
        bail!("there is no component here to measure");
    }
    let mut measured = Vec::new();
    for index in 0..count {
        let mut cold = Cold::default();
        let mut last = None;
        for _ in 0..args.loads {
            // Each time anew: no call was made of it yet.
            let release = subject.load(&engine, &targets)?;
            let part = release.parts().into_iter().nth(index);
            let part =
                part.ok_or_else(|| anyhow!("the plugins changed while they were measured"))?;
            let component = subject.component(part.path())?;
            cold.component_bytes = component.len() as u64;
            let preparation = Preparation::measure(&engine, &component)?;
            cold.native_bytes = preparation.native_bytes;
            cold.compile.push(micros(preparation.compile));
            cold.load.push(micros(preparation.load));
            block_on(async { Ok(part.check().await?) })?;
            let first = block_on(call(&part, &request, args.strategy))?;
            cold.first_call.push(first.whole);
            cold.first_instance.push(first.instance);
            last = Some(part);
        }
        if let Some(part) = last {
            measured.push(block_on(warm(&part, &request, args, cold))?);
        }
    }
    if args.json {
        output::json(
            &json!({"engine": ENGINE_ID, "loads": args.loads, "calls": args.calls, "plugins": measured}),
        );
    } else {
        for (index, one) in measured.iter().enumerate() {
            if index > 0 {
                output::data("");
            }
            print(one);
        }
    }
    Ok(Status::Done)
}

fn print(measured: &Measured) {
    let line = |title: &str, text: String| output::data(&format!("{title:24} {text}"));
    output::data(&format!("{} ({})", measured.section, measured.component));
    line("  component", bytes(measured.component_bytes));
    line("  native code", bytes(measured.native_bytes));
    output::data("  cold");
    line("    compile", milliseconds(measured.compile_microseconds));
    line("    load", milliseconds(measured.load_microseconds));
    line(
        "    first call",
        milliseconds(measured.first_call_microseconds),
    );
    line(
        "      instantiate",
        milliseconds(measured.first_instance_microseconds),
    );
    output::data("  warm");
    line("    call", milliseconds(measured.call_microseconds));
    line(
        "      instantiate",
        milliseconds(measured.instance_microseconds),
    );
    line(
        "    95 % of calls",
        milliseconds(measured.call_95th_microseconds),
    );
    line("  fuel", number(measured.fuel));
    line("  memory", bytes(measured.memory_bytes));
}

/// What was measured before the calls that are counted.
#[derive(Default)]
struct Cold {
    component_bytes: u64,
    native_bytes: u64,
    compile: Vec<u64>,
    load: Vec<u64>,
    first_call: Vec<u64>,
    first_instance: Vec<u64>,
}

/// One call.
struct Call {
    whole: u64,
    instance: u64,
    fuel: u64,
    memory_bytes: u64,
}

async fn call(part: &Part, request: &Request, strategy: Strategy) -> anyhow::Result<Call> {
    let called = part.call(request, strategy, "sym_user").await;
    // What refuses costs as much as what answers; what broke measures nothing.
    if let Err(error) = called.result
        && called.failure.is_none()
    {
        return Err(error.into());
    }
    Ok(Call {
        whole: micros(called.cost.wall),
        instance: micros(called.start.wall),
        fuel: called.cost.fuel,
        memory_bytes: called.cost.memory_bytes,
    })
}

async fn warm(
    part: &Part,
    request: &Request,
    args: &BenchArgs,
    mut cold: Cold,
) -> anyhow::Result<Measured> {
    let mut whole = Vec::new();
    let mut instance = Vec::new();
    let mut fuel = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..args.calls {
        let call = call(part, request, args.strategy).await?;
        whole.push(call.whole);
        instance.push(call.instance);
        fuel.push(call.fuel);
        memory.push(call.memory_bytes);
    }
    Ok(Measured {
        section: part.section().to_owned(),
        component: part.path().to_owned(),
        component_bytes: cold.component_bytes,
        native_bytes: cold.native_bytes,
        compile_microseconds: quantile(&mut cold.compile, 50),
        load_microseconds: quantile(&mut cold.load, 50),
        first_call_microseconds: quantile(&mut cold.first_call, 50),
        first_instance_microseconds: quantile(&mut cold.first_instance, 50),
        call_microseconds: quantile(&mut whole, 50),
        instance_microseconds: quantile(&mut instance, 50),
        call_95th_microseconds: quantile(&mut whole, 95),
        fuel: quantile(&mut fuel, 50),
        memory_bytes: quantile(&mut memory, 50),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The value that this share, in percent, doesn't pass. Of at least one value.
fn quantile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert_eq!(quantile(&mut [7], 50), 7);
        assert_eq!(quantile(&mut [3, 1, 2], 50), 2);
        assert_eq!(quantile(&mut (1..=100).collect::<Vec<u64>>(), 95), 95);
    }
}
