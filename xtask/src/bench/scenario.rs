//! Whole functions: how long they take to start and to answer, how much memory
//! they take, and how often they wait for the database.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sym_test_support::lambda::Lambda;
use sym_test_support::tools::{self, BuildEnvironment};

use super::control_group::ControlGroup;
use super::figures::{Figure, Figures, Unit, milliseconds, quantile};
use super::least;
use super::template::Template;
use super::world::{Plugins, Run, Wire, World};
use crate::demo::stage::Store;
use crate::{cargo, dist, languages, terminal};

/// Warm pairs of escalate and deescalate after each cold start.
const WARM_PAIRS: u32 = 50;

/// The person of the sample events.
const PERSON: &str = "sym-user@healthy-health.co";

/// One function in one surrounding.
struct Scenario<'a> {
    world: &'a World,
    /// Where its figures go, such as `host/role`.
    name: String,
    program: PathBuf,
    strategy: &'static str,
    variables: Vec<(String, String)>,
    /// The same with a wire that counts.
    counted: Option<Vec<(String, String)>>,
    samples: Samples,
}

/// What is measured beside this build.
pub(super) struct Others {
    /// The Python templates.
    pub(super) template: Option<Template>,
    /// Another build of the function: `beside/role` is its `host/role`.
    pub(super) bootstrap: Option<PathBuf>,
}

#[derive(Default)]
struct Samples {
    init: Vec<Duration>,
    first: Vec<Duration>,
    escalate: Vec<Duration>,
    deescalate: Vec<Duration>,
    peak_rss_bytes: Vec<u64>,
}

/// Measures all functions in turns: what disturbs one disturbs all.
pub(super) async fn functions(
    others: &Others,
    names: &[String],
    rounds: u32,
    figures: &mut Figures,
) -> Result<()> {
    let world = World::start().await?;
    let mut scenarios = hosts("host", &super::bootstrap()?, &world);
    if let Some(template) = &others.template {
        scenarios.extend(templates(template, &world));
    }
    // A database of its own: a ledger is brought up to date by the newer of two.
    let beside = match &others.bootstrap {
        Some(bootstrap) => Some((bootstrap, World::start().await?)),
        None => None,
    };
    if let Some((bootstrap, world)) = &beside {
        scenarios.extend(hosts("beside", bootstrap, world));
    }
    if !names.is_empty() {
        scenarios.retain(|scenario| names.contains(&scenario.name));
        ensure!(
            !scenarios.is_empty(),
            "there is no function of that name: {}",
            names.join(", ")
        );
    }
    for round in 1..=rounds {
        terminal::error(&format!("functions: round {round} of {rounds}"));
        for scenario in &mut scenarios {
            scenario
                .measure()
                .await
                .with_context(|| format!("`{}`", scenario.name))?;
        }
    }
    if names.is_empty() {
        least::measure(&world, figures).await?;
    }
    let megabytes = zip_megabytes(&super::bootstrap()?)?;
    figures.set("host/zip", Figure::single(megabytes, Unit::Megabytes));
    for scenario in &scenarios {
        scenario.report(figures);
        scenario.count_round_trips(figures).await?;
        if !scenario.name.starts_with("template/") {
            scenario.charge_memory(figures).await?;
        }
    }
    Ok(())
}

/// Our function, by one build of it.
fn hosts<'a>(prefix: &str, bootstrap: &Path, world: &'a World) -> Vec<Scenario<'a>> {
    use Plugins::{Compiled, File, Python, S3};
    use Wire::{Direct, Distant, Tls};
    let host = |(name, strategy, wire, plugins)| Scenario {
        world,
        name: format!("{prefix}/{name}"),
        program: bootstrap.to_owned(),
        strategy,
        variables: world.hosts_variables(strategy, wire, plugins),
        counted: (wire == Wire::Direct)
            .then(|| world.hosts_variables(strategy, Wire::Counting, plugins)),
        samples: Samples::default(),
    };
    [
        ("role", "role", Direct, File),
        ("role-tls", "role", Tls, File),
        ("role-5ms", "role", Distant, File),
        ("role-s3", "role", Direct, S3),
        ("role-compiled", "role", Direct, Compiled),
        ("role-python", "role", Direct, Python),
        ("user", "temporary-user", Direct, File),
        ("user-5ms", "temporary-user", Distant, File),
        ("user-s3", "temporary-user", Direct, S3),
    ]
    .map(host)
    .into()
}

fn templates<'a>(template: &Template, world: &'a World) -> Vec<Scenario<'a>> {
    use Wire::{Direct, Distant};
    let (role, user) = (&template.role, &template.temporary_user);
    let theirs = |(name, strategy, program, wire): (&str, _, &PathBuf, _)| Scenario {
        world,
        name: format!("template/{name}"),
        program: program.clone(),
        strategy,
        variables: world.templates_variables(wire),
        counted: (wire == Direct).then(|| world.templates_variables(Wire::Counting)),
        samples: Samples::default(),
    };
    [
        ("role", "role", role, Direct),
        ("role-5ms", "role", role, Distant),
        ("user", "temporary-user", user, Direct),
        ("user-5ms", "temporary-user", user, Distant),
    ]
    .map(theirs)
    .into()
}

impl Scenario<'_> {
    /// A cold start, and warm events after it.
    async fn measure(&mut self) -> Result<()> {
        // Once for nothing: how much of the program this machine has in memory hangs
        // on what ran before.
        drop(Lambda::start(&self.program, self.variables.clone()).await?);
        let lambda = Lambda::start(&self.program, self.variables.clone()).await?;
        self.samples.init.push(lambda.init_duration());
        let run = self.run()?;
        let first = timed(&lambda, &run.escalate).await?;
        self.samples.first.push(first);
        timed(&lambda, &run.deescalate).await?;
        for _ in 0..WARM_PAIRS {
            let run = self.run()?;
            self.samples
                .escalate
                .push(timed(&lambda, &run.escalate).await?);
            self.samples
                .deescalate
                .push(timed(&lambda, &run.deescalate).await?);
        }
        self.samples.peak_rss_bytes.push(lambda.peak_rss_bytes()?);
        Ok(())
    }

    fn run(&self) -> Result<Run> {
        Run::new(self.strategy, PERSON, "readonly")
    }

    fn report(&self, figures: &mut Figures) {
        let samples = &self.samples;
        let (init, first) = (milliseconds(&samples.init), milliseconds(&samples.first));
        let cold: Vec<f64> = init
            .iter()
            .zip(&first)
            .map(|(init, first)| init + first)
            .collect();
        let mut set = |what: &str, samples: &[f64], unit| {
            figures.set_median(format!("{}/{what}", self.name), samples, unit);
        };
        set("init", &init, Unit::Milliseconds);
        set("first", &first, Unit::Milliseconds);
        set("cold", &cold, Unit::Milliseconds);
        for (what, durations) in [
            ("escalate", &samples.escalate),
            ("deescalate", &samples.deescalate),
        ] {
            let durations = milliseconds(durations);
            set(what, &durations, Unit::Milliseconds);
            if let Some(p99) = quantile(&durations, 0.99) {
                set(&format!("{what}-p99"), &[p99], Unit::Milliseconds);
            }
        }
        let megabytes: Vec<f64> = samples
            .peak_rss_bytes
            .iter()
            .map(|bytes| *bytes as f64 / 1e6)
            .collect();
        set("memory", &megabytes, Unit::Megabytes);
    }

    /// The warm escalate's, counted on the wire.
    async fn count_round_trips(&self, figures: &mut Figures) -> Result<()> {
        let Some(variables) = &self.counted else {
            return Ok(());
        };
        let lambda = Lambda::start(&self.program, variables.clone()).await?;
        let (first, second) = (self.run()?, self.run()?);
        timed(&lambda, &first.escalate).await?;
        timed(&lambda, &first.deescalate).await?;
        self.world.reset_round_trips();
        timed(&lambda, &second.escalate).await?;
        let name = format!("{}/round-trips", self.name);
        figures.set_median(name, &[self.world.round_trips() as f64], Unit::Count);
        timed(&lambda, &second.deescalate).await?;
        Ok(())
    }
}

impl Scenario<'_> {
    /// What Lambda's smallest function would be charged for: a cold start and some
    /// events.
    async fn charge_memory(&self, figures: &mut Figures) -> Result<()> {
        let Some(group) = ControlGroup::new()? else {
            return Ok(());
        };
        let program = group.enter(&self.program)?;
        let lambda = Lambda::start(&program, self.variables.clone()).await?;
        for _ in 0..WARM_PAIRS {
            let run = self.run()?;
            timed(&lambda, &run.escalate).await?;
            timed(&lambda, &run.deescalate).await?;
        }
        drop(lambda);
        let megabytes = group.peak_bytes()? as f64 / 1e6;
        let name = format!("{}/charged", self.name);
        figures.set(name, Figure::single(megabytes, Unit::Megabytes));
        Ok(())
    }
}

/// Sends an event that has to succeed.
pub(super) async fn timed(lambda: &Lambda, event: &str) -> Result<Duration> {
    let (answer, duration) = lambda.invoke_timed(event).await?;
    let answer = answer.response()?;
    ensure!(
        answer["errors"].as_array().is_some_and(Vec::is_empty),
        "the function answered {answer}; its log: {}",
        lambda.logs()
    );
    Ok(duration)
}

/// Parts of the library, measured by `host/benches/parts.rs` with criterion.
pub(super) async fn parts(environment: &BuildEnvironment, figures: &mut Figures) -> Result<()> {
    terminal::error("parts: cargo bench");
    let plugins = tools::workspace().join("target/plugins");
    let store = Store::publish(&plugins).await?;
    let mut projects = Vec::new();
    for language in languages::all()? {
        let project = languages::project(&language)?;
        projects.push(format!("{language}={}", project.display()));
    }
    let status = cargo::command(environment)
        .args([
            "bench",
            "--package",
            "sym-host",
            "--bench",
            "parts",
            "--",
            "--noplot",
        ])
        .env("RUSTFLAGS", dist::flags()?)
        .env("CARGO_TARGET_DIR", dist::directory())
        .env("SYM_BENCH_STORE", store.url())
        .env("SYM_BENCH_TRUST", &store.trust)
        .env("SYM_BENCH_PLUGINS", &plugins)
        .env("SYM_BENCH_LANGUAGES", projects.join(","))
        .status()?;
    ensure!(status.success(), "`cargo bench` failed");
    let results = dist::directory().join("criterion");
    for part in fs::read_dir(&results)? {
        let part = part?;
        let path = part.path().join("new/estimates.json");
        let Ok(text) = fs::read(&path) else { continue };
        let estimates: Value = serde_json::from_slice(&text)?;
        let nanoseconds = |what: &str| {
            estimates[what]["point_estimate"]
                .as_f64()
                .with_context(|| format!("`{}` has no {what}", path.display()))
        };
        let figure = Figure {
            value: nanoseconds("median")? / 1e6,
            spread: nanoseconds("median_abs_dev")? / 1e6,
            unit: Unit::Milliseconds,
        };
        figures.set(
            format!("parts/{}", part.file_name().to_string_lossy()),
            figure,
        );
    }
    Ok(())
}

/// What the function's zip has in bytes, near enough: the binary, deflated.
pub(super) fn zip_megabytes(program: &Path) -> Result<f64> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&fs::read(program)?)?;
    Ok(encoder.finish()?.len() as f64 / 1e6)
}
