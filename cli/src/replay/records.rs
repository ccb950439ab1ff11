//! Finds events in files: records in lines of a log, and events by themselves.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use sym_host::error::{Code, Error};
use sym_host::plan::Strategy;
use sym_host::policy::{Policy, SqlPolicy};
use sym_host::record::{Record, SCHEMA, Settings};
use sym_host::request::{DurationUnit, Request};

use crate::input;
use crate::output;
use crate::plugin::outcome::{Conditions, request_in_units};

/// Something that a release can be asked.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) conditions: Conditions,
    /// What it was taken from; `None` for an event by itself.
    pub(crate) record: Option<Record>,
}

/// Reads a file: a log with records in it, or one event.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Asked>> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("can't read standard input")?
    } else {
        input::text("the events", path)?
    };
    let of_file = || format!("`{}`", path.display());
    // One event is one JSON value, on however many lines.
    if let Ok(value) = serde_json::from_str::<Value>(&text)
        && value.get("event").is_some_and(Value::is_object)
        && value.get("run").is_some()
    {
        return Ok(vec![Asked {
            request: request_in_units(&text, DurationUnit::Minutes).with_context(of_file)?,
            conditions: Conditions::default(),
            record: None,
        }]);
    }
    records(&text)
        .with_context(of_file)?
        .into_iter()
        .map(|record| asked_of(record).with_context(|| format!("a record in `{}`", path.display())))
        .collect()
}

/// What was found at some paths.
pub(crate) struct Found {
    /// Each with its file.
    pub(crate) asked: Vec<(PathBuf, Asked)>,
    /// How many files have an event that asks no plugin: a directory of events has
    /// endings too.
    pub(crate) skipped: usize,
}

impl Found {
    /// Says how much was left out.
    pub(crate) fn note_skipped(&self) {
        if self.skipped > 0 {
            let skipped = self.skipped;
            output::note(&format!("{skipped} files have events that ask no plugin"));
        }
    }
}

/// Reads all of these files, and those of directories.
pub(crate) fn find(paths: &[PathBuf]) -> anyhow::Result<Found> {
    let mut found = Found {
        asked: Vec::new(),
        skipped: 0,
    };
    for path in files(paths)? {
        match read(&path) {
            Ok(asked) => {
                let asked = asked.into_iter().map(|asked| (path.clone(), asked));
                found.asked.extend(asked);
            }
            Err(error) if is_ending(&error) => found.skipped += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn is_ending(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<Error>().map(Error::code);
    code == Some(Code::UnsupportedEvent)
}

/// The files at these paths: they themselves, and the `….json` and `….jsonl` of
/// directories.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let can_not = || format!("can't read the directory `{}`", path.display());
        // What is no directory may be a pipe.
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        for entry in std::fs::read_dir(path).with_context(can_not)? {
            let path = entry.with_context(can_not)?.path();
            let is_event = path
                .extension()
                .is_some_and(|extension| extension == "json" || extension == "jsonl");
            if is_event && path.is_file() {
                files.push(path);
            }
        }
        if files.len() == before {
            bail!(
                "the directory `{}` has no `….json` and no `….jsonl`; those in directories below it aren't looked at, so \
                 name them",
                path.display()
            );
        }
    }
    files.sort();
    Ok(files)
}

/// The records in a text: one by itself, or lines of a log, with what tools print
/// around them.
fn records(text: &str) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('{') {
        let start = at + found;
        let line = || format!("line {}", text[..start].matches('\n').count() + 1);
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            at = start + values.byte_offset();
            records.extend(records_of(&value).with_context(line)?);
            continue;
        }
        // No JSON: part of somebody's sentence, or a record that isn't whole.
        let rest = text[start..].lines().next().unwrap_or_default();
        if rest.contains("\"record\":\"{") {
            bail!("the record in {} can't be read, was it cut?", line());
        }
        at = start + 1;
    }
    Ok(records)
}

/// The records of a line of a log, of a record, or of what
/// `aws logs filter-log-events` prints as JSON.
fn records_of(value: &Value) -> anyhow::Result<Vec<Record>> {
    if let Some(Value::Array(events)) = value.get("events") {
        let messages = events.iter().filter_map(|event| event["message"].as_str());
        let records = messages.map(records).collect::<anyhow::Result<Vec<_>>>()?;
        return Ok(records.concat());
    }
    let text = match value.get("record") {
        Some(Value::String(text)) => text.clone(),
        _ if value.get("schema").is_some() && value.get("answer").is_some() => value.to_string(),
        _ => return Ok(Vec::new()),
    };
    let schema = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|value| value.get("schema").and_then(Value::as_u64));
    if schema != Some(u64::from(SCHEMA)) {
        bail!("a record of another version: use the symctl of the function that wrote it");
    }
    let record = serde_json::from_str(&text)
        .map_err(|error| anyhow!("the record can't be read, was it cut? {error}"))?;
    Ok(vec![record])
}

fn asked_of(record: Record) -> anyhow::Result<Asked> {
    let Settings {
        strategy,
        duration_unit,
        sql_policy,
        grantable_roles,
        bot,
    } = &record.settings;
    let unknown =
        |what: &str, value: &str| anyhow!("has {what} `{value}`, which this symctl doesn't know");
    let unit = match duration_unit.as_str() {
        "minutes" => DurationUnit::Minutes,
        "seconds" => DurationUnit::Seconds,
        other => return Err(unknown("the duration unit", other)),
    };
    let conditions = Conditions {
        strategy: Strategy::parse(strategy).ok_or_else(|| unknown("the strategy", strategy))?,
        policy: Policy {
            sql: SqlPolicy::parse(sql_policy).ok_or_else(|| unknown("the policy", sql_policy))?,
            grantable_roles: grantable_roles.clone(),
            bot: bot.clone(),
        },
        ..Conditions::default()
    };
    Ok(Asked {
        request: request_in_units(&record.event, unit)?,
        conditions,
        record: Some(record),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"schema":1,"masked":false,"release":"r1","event":"{}","settings":{"strategy":"role","duration_unit":"minutes","sql_policy":"grants","grantable_roles":null,"bot":"sym_bot"},"answer":{"user":"ada","steps":[],"error":null,"resolver_fuel":1,"target_fuel":null}}"#;

    /// As the function writes it.
    fn line() -> String {
        serde_json::json!({"level": "INFO", "record": RECORD, "target": "record"}).to_string()
    }

    #[track_caller]
    fn check(text: &str, expected: usize) {
        let found = records(text).expect("is readable");
        assert_eq!(found.len(), expected, "{text}");
        let is_it = |record: &Record| record.answer.user.as_deref() == Some("ada");
        assert!(found.iter().all(is_it), "{text}");
    }

    // Each of the forms in which the AWS CLI prints a log.
    #[test]
    fn records_are_found_in_what_tools_print() {
        let line = line();
        check(RECORD, 1);
        check(&format!("{line}\n{line}\n"), 2);
        let tail = "2026-11-22T10:00:00.000000+00:00 2026/11/22/[$LATEST]0a";
        check(&format!("{tail} START RequestId: x\n{tail} {line}\n"), 1);
        let pretty: Value = serde_json::from_str(&line).expect("is JSON");
        check(&format!("{tail}\n{pretty:#}\n{tail}\n{pretty:#}\n"), 2);
        let text = format!("EVENTS\t37\t1700\t2026/11/22/[$LATEST]0a\t{line}\n\t1700\n");
        check(&text.repeat(2), 2);
        let events = serde_json::json!({"events": [{"message": line}, {"message": "START"}, {"message": RECORD}]});
        check(&format!("{events:#}"), 2);
        check("what {is} no JSON {\"a\": 1} at all {", 0);
        check("", 0);
    }

    #[test]
    fn a_record_that_is_not_whole_is_named() {
        let line = line();
        for cut in [line.len() / 2, line.len() - 1] {
            let text = format!("START\n{}\nEND\n", &line[..cut]);
            let error = records(&text).expect_err("is cut").to_string();
            assert_eq!(error, "the record in line 2 can't be read, was it cut?");
        }
        let old = line.replace("schema\\\":1", "schema\\\":0");
        let error = records(&old).expect_err("is of another version");
        assert!(
            format!("{error:#}").contains("another version"),
            "{error:#}"
        );
    }
}
