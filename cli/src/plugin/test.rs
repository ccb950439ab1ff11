//! `symctl plugin test`: the cases of a plugin, in the host's engine and under
//! its policy.

mod database;
mod junit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use sym_host::error::Code;
use sym_host::plugin::Release;
use sym_host::request::Request;

use self::database::Database;
use super::cases::{self, Case, CaseFile, Difference, judge, update};
use super::outcome::{ErrorText, Outcome};
use super::show;
use super::subject::{Subject, check_all};
use crate::engine::engine;
use crate::files::replace;
use crate::input;
use crate::output::{self, Status};
use crate::store::block_on;

/// Run a plugin's cases: each an event, what stands beside it, and what has to
/// come of it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  symctl plugin test\n  symctl plugin test my-resolver.wasm --cases cases/ --filter hyphen\n  symctl plugin test --update\n  symctl plugin test --junit target/cases.xml\n  symctl plugin test --against-postgres postgres://me@127.0.0.1/scratch --setup schema.sql"
)]
pub(crate) struct TestArgs {
    /// A directory with `plugins.toml`, or a component.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// A file of cases, or a directory of them, instead of `cases/` beside
    /// `plugins.toml`.
    #[arg(long, value_name = "PATH")]
    cases: Vec<PathBuf>,
    /// Run those alone whose name has this in it.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write what came out into the cases that failed. Read it before you keep
    /// it.
    #[arg(long)]
    update: bool,
    /// Carry each plan out in this database, compare what the user has then with
    /// the case's `expect.privileges`, and roll it back. A `postgres://` URL or a
    /// libpq connection string; the user needs CREATEROLE, and no TLS is spoken,
    /// so take a database of your own.
    #[arg(long, value_name = "URL")]
    against_postgres: Option<String>,
    /// SQL that comes first each time, and is rolled back too: the tables and
    /// roles that the plans are about. It may not end the transaction.
    #[arg(long, value_name = "FILE", requires = "against_postgres")]
    setup: Option<PathBuf>,
    /// Write a report as JUnit XML. Its directory is made where it is missing.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Why a part of a case was skipped.
const NEEDS_DATABASE: &str = "nothing but `--against-postgres` looks at it";

/// What came of a file of cases.
pub(crate) struct FileVerdict {
    file: CaseFile,
    /// In the order of the file, without those that were filtered out.
    pub(crate) verdicts: Vec<Verdict>,
}

/// What came of a case.
#[derive(Serialize)]
pub(crate) struct Verdict {
    #[serde(skip)]
    index: usize,
    pub(crate) name: String,
    pub(crate) passed: bool,
    /// What of `expect` was not looked at.
    skipped: Vec<&'static str>,
    differences: Vec<Difference>,
    outcome: Outcome,
    milliseconds: f64,
}

impl FileVerdict {
    /// What its cases ask, whatever came of them.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.file.cases.iter().map(|case| &case.request)
    }

    /// The cases that passed with an answer, under no settings and limits but those
    /// of `plugins.toml`: what they ask is what the plugin is made for.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (&Case, &Outcome)> {
        let passed = self.verdicts.iter().filter(|verdict| verdict.passed);
        passed.filter_map(|verdict| {
            let case = &self.file.cases[verdict.index];
            let given = &case.conditions.given;
            let outcome = &verdict.outcome;
            let is_its_own = given.config.is_empty() && given.limits.is_empty();
            let has_answer = outcome.failure.is_none() && outcome.error.is_none();
            (is_its_own && has_answer).then_some((case, outcome))
        })
    }
}

impl Verdict {
    /// Whether it passed, and not all of it was looked at.
    fn is_passed_in_part(&self) -> bool {
        self.passed && !self.skipped.is_empty()
    }
}

pub(crate) fn run(args: &TestArgs) -> anyhow::Result<Status> {
    if let Some(path) = &args.junit {
        remove_old_report(path)
            .with_context(|| format!("can't remove the old report `{}`", path.display()))?;
    }
    let subject = Subject::find(&args.path)?;
    subject.note_staleness();
    let mut paths = Vec::new();
    for path in &args.cases {
        paths.extend(cases::find(path)?);
    }
    if args.cases.is_empty() {
        paths = own_cases(&subject)?;
    }
    let start = Instant::now();
    let results = block_on(async {
        let database = match &args.against_postgres {
            Some(url) => Some(Database::connect(url, setup(args)?).await?),
            None => None,
        };
        run_cases(&subject, &paths, args.filter.as_deref(), database).await
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let (mut passed, mut failed) = (0, 0);
    let (mut skipped, mut has_bug) = (0, false);
    for verdict in results.iter().flat_map(|result| &result.verdicts) {
        passed += usize::from(verdict.passed);
        failed += usize::from(!verdict.passed);
        skipped += usize::from(verdict.is_passed_in_part());
        let error = verdict.outcome.error.as_ref();
        has_bug |= !verdict.passed && error.is_some_and(|error| error.is_ours);
    }
    if passed + failed == 0 {
        let filter = args.filter.as_deref().unwrap_or_default();
        bail!("no case has `{filter}` in its name, which `--filter` asks for");
    }
    if args.json {
        output::json(&json!({
            "passed": passed, "skipped": skipped, "failed": failed, "files": as_json(&results),
        }));
    } else {
        for result in &results {
            print(result);
        }
        let in_part = match skipped {
            0 => String::new(),
            count => format!(" ({count} in part)"),
        };
        output::data(&format!(
            "{passed} passed{in_part}, {failed} failed, in {seconds:.1} s"
        ));
    }
    // After the results: they are worth having where it can't be written.
    if let Some(path) = &args.junit {
        write_report(path, &junit::report(&results, seconds))
            .with_context(|| format!("can't write the report `{}`", path.display()))?;
    }
    if args.update {
        write_updates(&results)?;
        return Ok(if has_bug { Status::Ours } else { Status::Done });
    }
    Ok(match (failed, has_bug) {
        (0, _) => Status::Done,
        (_, true) => Status::Ours,
        (_, false) => Status::Yours,
    })
}

/// Where nothing can be tested, what was found at another time is no report of it.
fn remove_old_report(path: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind;
    match std::fs::remove_file(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(())
        }
        result => result,
    }
}

/// A new project has no `target` yet.
fn write_report(path: &Path, report: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, report)
}

fn setup(args: &TestArgs) -> anyhow::Result<Option<String>> {
    let Some(path) = &args.setup else {
        return Ok(None);
    };
    input::text("the setup", path).map(Some)
}

/// The cases beside `plugins.toml`.
fn own_cases(subject: &Subject) -> anyhow::Result<Vec<PathBuf>> {
    match subject {
        Subject::Directory(path) if path.join(cases::DIRECTORY).is_dir() => {
            cases::find(&path.join(cases::DIRECTORY))
        }
        Subject::Directory(path) => bail!(
            "there are no cases: write them to `{}`, or name others with `--cases`",
            path.join(cases::DIRECTORY).join("….toml").display()
        ),
        Subject::Component(path) => bail!(
            "`{}` is a component, and may have cases anywhere: name them with `--cases`",
            path.display()
        ),
    }
}

/// Runs the cases that come with a directory, for whoever publishes it. Nothing
/// where it has none.
///
/// # Errors
/// The cases can't be read.
pub(crate) async fn run_own_cases(
    directory: &Path,
    release: &Release,
) -> anyhow::Result<Vec<FileVerdict>> {
    let cases = directory.join(cases::DIRECTORY);
    if !cases.is_dir() {
        return Ok(Vec::new());
    }
    let files = read(&cases::find(&cases)?)?;
    Ok(run_files(release, files, None, None).await)
}

/// Runs files of cases.
///
/// # Errors
/// The cases can't be read, or the release is refused. What a plugin does wrong
/// is in the verdicts.
async fn run_cases(
    subject: &Subject,
    paths: &[PathBuf],
    filter: Option<&str>,
    database: Option<Database>,
) -> anyhow::Result<Vec<FileVerdict>> {
    let files = read(paths)?;
    let targets: BTreeSet<String> = files
        .iter()
        .flat_map(|file| &file.cases)
        .map(|case| case.request.target.name.clone())
        .collect();
    let release = subject.load(&engine()?, &targets)?;
    // Once, so that a plugin that can't be used is one sentence and not one for
    // each case; and so that no case pays for compiling.
    check_all(&release).await?;
    Ok(run_files(&release, files, filter, database).await)
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<CaseFile>> {
    paths.iter().map(|path| CaseFile::read(path)).collect()
}

async fn run_files(
    release: &Release,
    files: Vec<CaseFile>,
    filter: Option<&str>,
    mut database: Option<Database>,
) -> Vec<FileVerdict> {
    let mut results = Vec::new();
    for file in files {
        let mut verdicts = Vec::new();
        for case in &file.cases {
            if filter.is_none_or(|filter| case.name.contains(filter)) {
                verdicts.push(run_case(release, case, database.as_mut()).await);
            }
        }
        results.push(FileVerdict { file, verdicts });
    }
    results
}

async fn run_case(release: &Release, case: &Case, database: Option<&mut Database>) -> Verdict {
    let start = Instant::now();
    let has_database = database.is_some();
    let mut outcome = Outcome::of(release, &case.request, &case.conditions).await;
    if let (Some(database), Some(plan)) = (database, &outcome.plan) {
        match database.rehearse(plan).await {
            Ok(privileges) => outcome.privileges = Some(privileges),
            Err(error) => {
                outcome.error = Some(ErrorText {
                    code: Code::DatabaseRefused.to_string(),
                    message: format!("{error:#}"),
                    is_ours: false,
                });
            }
        }
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    let differences = judge(&case.expect, &outcome, has_database);
    Verdict {
        index: case.index,
        name: case.name.clone(),
        passed: differences.is_empty(),
        skipped: case.expect.skipped(has_database),
        differences,
        outcome,
        milliseconds,
    }
}

fn print(result: &FileVerdict) {
    if result.verdicts.is_empty() {
        return;
    }
    output::data(&shown(&result.file.path));
    let names = result.verdicts.iter().map(|verdict| &verdict.name);
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    for verdict in &result.verdicts {
        let mark = match (verdict.passed, verdict.is_passed_in_part()) {
            (false, _) => "FAIL",
            (true, true) => "part",
            (true, false) => "ok  ",
        };
        let cost = show::cost_in_short(&verdict.outcome);
        let line = format!("  {mark} {:width$}  {cost}", verdict.name);
        output::data(line.trim_end());
        for difference in &verdict.differences {
            output::data(&format!("       {}", difference.what));
            output::data(&block("expected", &difference.expected));
            output::data(&block("found", &difference.found));
        }
        for what in &verdict.skipped {
            output::data(&format!("       {what}"));
            output::data(&block("skipped", NEEDS_DATABASE));
        }
        for privilege in verdict.outcome.privileges.iter().flatten() {
            output::data(&format!("       has {privilege}"));
        }
        if !verdict.passed && !verdict.outcome.log.is_empty() {
            output::data("       the plugins' log");
            output::data(&block("", &verdict.outcome.log.join("\n")));
        }
    }
}

/// A text of several lines, each below the other.
fn block(title: &str, text: &str) -> String {
    let mut block = String::new();
    for (index, line) in text.split('\n').enumerate() {
        let title = if index == 0 { title } else { "" };
        block.push_str(format!("         {title:8} {line}").trim_end());
        block.push('\n');
    }
    block
}

/// A path as it is shown: from here, where it is below.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn as_json(results: &[FileVerdict]) -> Vec<serde_json::Value> {
    let files = results.iter();
    files
        .map(|result| json!({"path": shown(&result.file.path), "cases": result.verdicts}))
        .collect()
}

fn write_updates(results: &[FileVerdict]) -> anyhow::Result<()> {
    for result in results {
        let failed = result.verdicts.iter().filter(|verdict| !verdict.passed);
        let news: Vec<update::News<'_>> = failed
            .map(|verdict| update::News {
                index: verdict.index,
                outcome: &verdict.outcome,
                is_user_given: result.file.cases[verdict.index].is_user_given(),
            })
            .collect();
        if news.is_empty() {
            continue;
        }
        let path = &result.file.path;
        let text = update::update(&result.file.text, &news)
            .with_context(|| format!("can't update `{}`", path.display()))?;
        replace(path, text.as_bytes())?;
        output::note(&format!(
            "wrote what came out of {} case(s) into `{}`: read it before you keep it",
            news.len(),
            shown(path)
        ));
    }
    Ok(())
}
