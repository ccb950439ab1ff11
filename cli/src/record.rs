//! `symctl record`: events and what was answered, each as a file that can be
//! asked again.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::json;
use sym_host::plugin::Release;
use sym_host::record::{Answer, Mask, Record, SCHEMA, Settings};
use sym_host::request::DurationUnit;
use tempfile::NamedTempFile;

use crate::engine::engine;
use crate::output::{self, Status};
use crate::plugin::outcome::{Conditions, Outcome};
use crate::plugin::release::TrustArgs;
use crate::plugin::run::SettingArgs;
use crate::replay::{Asked, answer_of, read};
use crate::store::block_on;

/// Write records to files, one for each: those in the function's log, and those
/// of events that are asked here and now. `symctl replay` and `symctl diff` read
/// them.
///
/// The function logs records where its variable RECORD is `full` or `masked`.
/// What is there already is left as it is, and nothing is overwritten: a run's
/// second record has a number in its file's name.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  aws logs tail /aws/lambda/sym-postgres --since 1d | symctl record - --into records/\n  symctl record log.jsonl --into records/ --mask\n  symctl record events/v6/escalate-role.json --release plugins/ --into records/"
)]
pub(crate) struct RecordArgs {
    /// Lines of the function's log, with what tools print around them; or an
    /// event, which is asked of `--release`. `-` reads standard input.
    #[arg(required = true)]
    from: Vec<PathBuf>,
    /// The directory to write to, made where it is missing.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Put pseudonyms in the place of people, and leave free text and statements
    /// out, as RECORD=masked does.
    #[arg(long)]
    mask: bool,
    /// What events are asked of: a directory with `plugins.toml`, or a store's
    /// URL, with `#r7` for one that isn't in use.
    #[arg(long, value_name = "RELEASE", default_value = ".")]
    release: String,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RecordArgs) -> anyhow::Result<Status> {
    let mut asked = Vec::new();
    for path in &args.from {
        let found = read(path)?;
        if found.is_empty() {
            bail!(
                "`{}` has no record and is no event: the function writes records where its variable RECORD is `full` or `masked`",
                path.display()
            );
        }
        asked.extend(found);
    }
    let mut records = Vec::new();
    for (asked, answered) in asked.iter().zip(answers(args, &asked)?) {
        let run = asked.request.run.id().to_owned();
        let record = asked.record.clone().or(answered);
        records.push((run, record.context("an event has no answer")?));
    }
    if args.mask {
        let mask = Mask::new(&key()?);
        for (_, record) in &mut records {
            if !record.masked {
                *record = mask.mask(record.clone());
            }
        }
    }
    fs::create_dir_all(&args.into)
        .with_context(|| format!("can't make `{}`", args.into.display()))?;
    let mut files = Vec::new();
    for (run, record) in &records {
        files.push(keep(&args.into, run, record)?);
    }
    let written = files.iter().filter(|file| file.is_new).count();
    let known = files.len() - written;
    if args.json {
        let paths = |is_new| {
            let files = files.iter().filter(move |file| file.is_new == is_new);
            files.map(|file| &file.path).collect::<Vec<_>>()
        };
        output::json(&json!({"written": paths(true), "known": paths(false)}));
    } else {
        for file in files.iter().filter(|file| file.is_new) {
            output::data(&file.path.display().to_string());
        }
        output::note(&format!(
            "{} records: {written} written, {known} there already",
            files.len()
        ));
    }
    Ok(Status::Done)
}

/// The records of events that have none yet: each is asked now.
fn answers(args: &RecordArgs, asked: &[Asked]) -> anyhow::Result<Vec<Option<Record>>> {
    let events = || asked.iter().filter(|asked| asked.record.is_none());
    let targets: BTreeSet<String> = events()
        .map(|asked| asked.request.target.name.clone())
        .collect();
    if targets.is_empty() {
        return Ok(vec![None; asked.len()]);
    }
    let conditions = args.settings.conditions();
    block_on(async {
        let engine = engine()?;
        let release = args.trust.open(&engine, &args.release, &targets).await?;
        let mut answers = Vec::new();
        for asked in asked {
            answers.push(match asked.record {
                Some(_) => None,
                None => Some(ask(&release, asked, &conditions).await),
            });
        }
        Ok(answers)
    })
}

async fn ask(release: &Release, asked: &Asked, conditions: &Conditions) -> Record {
    let outcome = Outcome::of(release, &asked.request, conditions).await;
    let answer: Answer = answer_of(&outcome);
    Record {
        schema: SCHEMA,
        masked: false,
        release: release.id().to_owned(),
        event: asked.request.event_json.clone(),
        settings: Settings::new(
            conditions.strategy,
            DurationUnit::Minutes,
            &conditions.policy,
        ),
        answer,
    }
}

/// Known to nobody afterwards, so that no name can be tried out on a pseudonym.
fn key() -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow!("there is no randomness: {error}"))?;
    Ok(key)
}

/// Where a record is.
struct Kept {
    path: PathBuf,
    is_new: bool,
}

/// Writes a record to a file of its run, unless it is there.
fn keep(directory: &Path, run: &str, record: &Record) -> anyhow::Result<Kept> {
    let mut number = 1;
    loop {
        let name = match number {
            1 => format!("{run}.json"),
            _ => format!("{run}-{number}.json"),
        };
        let path = directory.join(name);
        let can_not = || format!("can't write `{}`", path.display());
        // Whole or not at all, and for this user alone: there may be people in it.
        let mut file = NamedTempFile::new_in(directory).with_context(can_not)?;
        let line = serde_json::to_string(record)? + "\n";
        file.write_all(line.as_bytes()).with_context(can_not)?;
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(Kept { path, is_new: true }),
            Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => {
                let text = fs::read_to_string(&path).with_context(can_not)?;
                let there = serde_json::from_str::<Record>(&text);
                if there.is_ok_and(|there| is_same(&there, record)) {
                    let is_new = false;
                    return Ok(Kept { path, is_new });
                }
            }
            Err(failed) => return Err(failed.error).with_context(can_not),
        }
        number += 1;
    }
}

/// Whether two records of a run are of the same answer. Pseudonyms are others
/// each time that something is masked, and what was asked shows in the fuel.
fn is_same(one: &Record, other: &Record) -> bool {
    if !(one.masked && other.masked) {
        return one == other;
    }
    let without_people = |record: &Record| {
        let mut record = record.clone();
        record.event.clear();
        record.answer.user = None;
        record
    };
    without_people(one) == without_people(other)
}
