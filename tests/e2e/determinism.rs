//! The same release and the same event: the same answer, the same log and the
//! same fuel, again and again, in another process, and from the native code that
//! `symctl`, which is another build of the compiler, published.
//!
//! `host/src/plugin/tests/determinism.rs` has machine code for other CPUs and
//! with other optimizations.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sym_host::aws::Aws;
use sym_host::event::Event;
use sym_host::plan::Strategy;
use sym_host::plugin::trust::Trust;
use sym_host::plugin::{Answer, Cost, Engine, Release, Source};
use sym_host::request::{DurationUnit, Request};
use tokio::time::Instant;

use crate::fixture;
use crate::hostile::cases::{self, Kind};
use crate::releases::publisher::Publisher;

/// Before what another process prints.
const MARK: &str = "the answers are ";

/// Events: each schema, and each strategy of Sym's own.
const SAMPLES: [&str; 2] = ["v4/escalate-role", "v6/escalate-temporary-user"];

/// Where another process finds the release.
const DIRECTORY: &str = "SYM_TEST_RELEASE";

/// The function for which the release is published.
const AUDIENCE: &str = "sym-postgres";

/// Logs the run that it gets, at each level, and breaks.
const TALKER: &str = "(local $level i32) (loop $again
    (call $log (local.get $level) (i32.load (local.get 0)) (i32.load offset=4 (local.get 0)))
    (br_if $again (i32.lt_u (local.tee $level (i32.add (local.get $level) (i32.const 1))) (i32.const 4))))";

/// Adds one that logs, and the guests of `tests/hostile/` that can be loaded, to
/// a release.
fn add_hostile_guests(directory: &Path) -> anyhow::Result<usize> {
    let mut manifest = fs::read_to_string(directory.join("plugins.toml"))?;
    manifest.push_str("[targets.talker]\ncomponent = \"talker.wasm\"\n");
    let talker = fixture::target(&fixture::Behaviour::Code(TALKER));
    fs::write(directory.join("talker.wasm"), talker)?;
    let mut count = 1;
    for (index, case) in cases::guests(Kind::Target)?.iter().enumerate() {
        if case.expect == "invalid-plugin" {
            continue;
        }
        let file = case.file_name(index);
        manifest.push_str(&case.entry(&file));
        fs::write(directory.join(&file), case.bytes())?;
        count += 1;
    }
    fs::write(directory.join("plugins.toml"), manifest)?;
    Ok(count)
}

async fn load(source: &Source) -> anyhow::Result<Release> {
    Ok(source.load(&Engine::new()?, &Aws::default()).await?.release)
}

/// What all plugins of a release answer to all samples, what they log, and the
/// fuel.
async fn answers(release: &Release) -> anyhow::Result<Value> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_max_level(tracing::Level::TRACE)
        .without_time()
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut answers = Vec::new();
    for sample in SAMPLES {
        let payload = fixture::Event::sample(sample).to_string();
        let event = Event::parse(&payload)?;
        for strategy in [Strategy::Role, Strategy::TemporaryUser] {
            for (target, _) in release.targets() {
                let mut request = Request::from_event(&event, &payload, DurationUnit::Minutes)?;
                target.clone_into(&mut request.target.name);
                let deadline = Instant::now() + Duration::from_secs(60);
                let user = release.resolve_user(&request, strategy, deadline).await?;
                let setup = release.setup(&request, strategy, &user.value, deadline);
                let setup = match setup.await {
                    Ok(Answer { value, cost, .. }) => json!([format!("{value:?}"), counted(cost)]),
                    // A limit that was passed, a trap, or an SQL file for a role
                    // that is lent.
                    Err(error) => json!(error.to_public()),
                };
                answers.push(json!([
                    sample,
                    strategy.as_str(),
                    target,
                    user.value,
                    counted(user.cost),
                    setup
                ]));
            }
        }
    }
    // Each line names the release, which is another one wherever it lies.
    let lines: Vec<String> = log
        .lines()
        .iter()
        .map(|line| line.replace(release.id(), "this release"))
        .collect();
    Ok(json!({"answers": answers, "log": lines}))
}

/// What a call took, but for the time.
fn counted(cost: Cost) -> Value {
    json!([cost.fuel, cost.memory_bytes, cost.log_lines, cost.log_bytes])
}

#[tokio::test]
async fn plugins_answer_the_same_for_the_same_fuel_again_and_elsewhere() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let directory = publisher.path(publisher.first());
    let guests = add_hostile_guests(&directory)?;
    ensure!(guests >= 20, "{guests} guests are too few");

    let compiled_here = load(&Source::Directory(directory.clone())).await?;
    let first = answers(&compiled_here).await?;
    let count = first["answers"].as_array().map_or(0, Vec::len);
    ensure!(
        count >= SAMPLES.len() * 2 * guests,
        "{count} answers are too few"
    );
    let fuel = first["answers"][0][4][0].as_u64();
    ensure!(fuel > Some(0), "no fuel was used: {first}");
    let lines = first["log"].as_array().map_or(0, Vec::len);
    ensure!(lines == SAMPLES.len() * 2 * 4, "{lines} lines were logged");
    same("again", &answers(&compiled_here).await?, &first)?;

    // Many of them break on whatever they are asked.
    let more = ["--audience", AUDIENCE, "--despite-errors"];
    publisher.publish(publisher.first(), "team.key", &more)?;
    // The components themselves go: what answers is the native code.
    for file in publisher.statement()?["files"]
        .as_array()
        .context("files")?
    {
        if file["path"]
            .as_str()
            .is_some_and(|path| path.ends_with(".wasm"))
        {
            // Two paths may be one object.
            let _ = fs::remove_file(publisher.object(&file["sha256"]));
        }
    }
    let trust = Trust::parse(&publisher.trust()).map_err(anyhow::Error::msg)?;
    let published = Source::parse(&publisher.url(), Some(&trust), AUDIENCE);
    let published = load(&published.map_err(anyhow::Error::msg)?).await?;
    same("published", &answers(&published).await?, &first)?;

    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", "determinism::prints_the_answers"])
        .args(["--include-ignored", "--nocapture"])
        .env(DIRECTORY, &directory)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let other = text
        .lines()
        .find_map(|line| Some(line.split_once(MARK)?.1))
        .with_context(|| format!("the other process printed: {text}"))?;
    same("in another process", &serde_json::from_str(other)?, &first)
}

/// Says which of many is another.
fn same(how: &str, found: &Value, expected: &Value) -> anyhow::Result<()> {
    for part in ["answers", "log"] {
        let list = |value: &Value| value[part].as_array().cloned().unwrap_or_default();
        let (found, expected) = (list(found), list(expected));
        for (found, expected) in found.iter().zip(&expected) {
            ensure!(found == expected, "{how}: {found}\n{expected}");
        }
        ensure!(found.len() == expected.len(), "{how}: not as many {part}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "is the other process of the test above"]
async fn prints_the_answers() -> anyhow::Result<()> {
    let directory = std::env::var_os(DIRECTORY).context("no release is named")?;
    let release = load(&Source::Directory(directory.into())).await?;
    writeln!(std::io::stdout(), "{MARK}{}", answers(&release).await?)?;
    Ok(())
}

/// What plugins logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("is whole");
        let text = String::from_utf8_lossy(&bytes);
        let plugins = text.lines().filter(|line| line.contains(" plugin: "));
        plugins.map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("is whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
