//! How long a cold start takes, with native code and compiling in place, for a
//! small and a large component: a measurement, which
//! `cargo xtask bench --only releases` runs.

use std::path::PathBuf;

use anyhow::bail;
use serde_json::Value;
use sym_test_support::padding;

use crate::fixture::{Event, World};
use crate::releases::publisher::Publisher;
use crate::releases::world_of;

/// Which build of the function is measured.
const BOOTSTRAP: &str = "SYM_BENCH_BOOTSTRAP";

/// How large the large component is.
const LARGE_BYTES: usize = 10 << 20;

const STARTS: usize = 3;

#[tokio::test]
#[ignore = "a measurement: `cargo xtask bench --only releases` runs it"]
#[expect(clippy::print_stdout, reason = "a table for the documents")]
async fn cold_starts_by_size_and_native_code() -> anyhow::Result<()> {
    println!("| component | code | release and plugins loaded, ms | until access was given, ms |");
    println!("|---|---|---|---|");
    for (size, padding) in [("small", 0), ("10 MB", LARGE_BYTES)] {
        for (code, arguments) in [
            ("native", &[][..]),
            ("compiled in place", &["--without-native"]),
        ] {
            let publisher = Publisher::in_directory()?;
            let resolver = publisher
                .path(publisher.first())
                .join("default-resolver.wasm");
            if padding > 0 {
                let padded = padding::pad(std::fs::read(&resolver)?, padding);
                std::fs::write(&resolver, padded)?;
            }
            publisher.publish(publisher.first(), "team.key", arguments)?;
            // To compile 10 MB takes more memory than the smallest function has for it.
            let mut builder = World::builder().variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024");
            if let Some(path) = std::env::var_os(BOOTSTRAP) {
                builder = builder.bootstrap(PathBuf::from(path));
            }
            let world = world_of(builder, &publisher).await?;
            let (mut loaded, mut whole) = (Vec::new(), Vec::new());
            for _ in 0..STARTS {
                let start = cold_start(&world).await?;
                // Both components, and never one of them twice.
                let compiled = if arguments.is_empty() { 0.0 } else { 2.0 };
                assert_eq!(start.compiled, compiled);
                loaded.push(start.loaded);
                whole.push(start.whole);
            }
            println!(
                "| {size} | {code} | {:.0} | {:.0} |",
                median(loaded),
                median(whole)
            );
        }
    }
    Ok(())
}

/// What a cold start took, from exec until access was given, in milliseconds.
#[derive(Default)]
struct ColdStart {
    loaded: f64,
    whole: f64,
    compiled: f64,
}

/// Sends an event to a new sandbox, again where its time was up: what the first
/// one began goes on.
async fn cold_start(world: &World) -> anyhow::Result<ColdStart> {
    world.lambda.restart().await?;
    let mut start = ColdStart {
        whole: world.lambda.init_duration().as_secs_f64() * 1000.0,
        ..ColdStart::default()
    };
    let event = Event::escalate();
    loop {
        let answer = world.send(&event).await?;
        let logs = world.lambda.logs();
        let line = logs
            .lines()
            .rfind(|line| line.contains("\"message\":\"event\""));
        let line: Value = serde_json::from_str(line.unwrap_or_default())?;
        let metric = |name: &str| line[name].as_f64().unwrap_or_default();
        start.loaded += metric("ReleaseTime");
        start.whole += metric("Duration");
        start.compiled += metric("CompiledInPlace");
        match line["Code"].as_str() {
            Some("ok") => return Ok(start),
            Some("out-of-time") => {}
            _ => bail!("{answer}"),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
