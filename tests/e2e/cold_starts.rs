//! How long a cold start takes, with native code and compiling in place, for a
//! small and a large component: a measurement, which `cargo xtask bench` runs.

use std::path::PathBuf;

use serde_json::Value;
use sym_test_support::padding;

use crate::fixture::{Event, World};
use crate::releases::publisher::Publisher;
use crate::releases::world_of;

/// Which build of the function is measured.
const BOOTSTRAP: &str = "SYM_BENCH_BOOTSTRAP";

/// How large the large component is.
const LARGE_BYTES: usize = 10 << 20;

const STARTS: usize = 5;

#[tokio::test]
#[ignore = "a measurement: `cargo xtask bench` runs it"]
#[expect(clippy::print_stdout, reason = "a table for the documents")]
async fn cold_starts_by_size_and_native_code() -> anyhow::Result<()> {
    println!("| component | code | release and plugins loaded, ms | whole first event, ms |");
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
            let mut builder = World::builder();
            if let Some(path) = std::env::var_os(BOOTSTRAP) {
                builder = builder.bootstrap(PathBuf::from(path));
            }
            let world = world_of(builder, &publisher).await?;
            let (mut loaded, mut whole) = (Vec::new(), Vec::new());
            for _ in 0..STARTS {
                world.lambda.restart().await?;
                world.body(&Event::escalate()).await?;
                let logs = world.lambda.logs();
                let line = logs
                    .lines()
                    .rfind(|line| line.contains("\"message\":\"event\""));
                let line: Value = serde_json::from_str(line.unwrap_or_default())?;
                let is_compiled = line["CompiledInPlace"].is_number();
                assert_eq!(is_compiled, !arguments.is_empty(), "{line}");
                loaded.push(line["ReleaseTime"].as_f64().unwrap_or_default());
                whole.push(line["Duration"].as_f64().unwrap_or_default());
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
