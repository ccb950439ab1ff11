//! Finds events in files: records in lines of a log, and events by themselves.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use sym_host::plan::Strategy;
use sym_host::policy::{Policy, SqlPolicy};
use sym_host::record::{Record, SCHEMA, Settings};
use sym_host::request::{DurationUnit, Request};

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
        std::fs::read_to_string(path).with_context(|| format!("can't read `{}`", path.display()))?
    };
    // One event is one JSON value, on however many lines.
    if let Ok(value) = serde_json::from_str::<Value>(&text)
        && value.get("event").is_some_and(Value::is_object)
        && value.get("run").is_some()
    {
        return Ok(vec![Asked {
            request: request_in_units(&text, DurationUnit::Minutes)?,
            conditions: Conditions::default(),
            record: None,
        }]);
    }
    let mut asked = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(record) =
            record(line).with_context(|| format!("line {} of `{}`", index + 1, path.display()))?
        {
            asked.push(asked_of(record).with_context(|| {
                format!("the record in line {} of `{}`", index + 1, path.display())
            })?);
        }
    }
    Ok(asked)
}

/// The record of a line, if it has one. Tools put a time or a stream's name in
/// front of what the function logged.
fn record(line: &str) -> anyhow::Result<Option<Record>> {
    let Some(start) = line.find('{') else {
        return Ok(None);
    };
    let Ok(value) = serde_json::from_str::<Value>(&line[start..]) else {
        return Ok(None);
    };
    let text = match value.get("record") {
        Some(Value::String(text)) => text.as_str(),
        _ if value.get("schema").is_some() && value.get("answer").is_some() => &line[start..],
        _ => return Ok(None),
    };
    let schema = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|value| value.get("schema").and_then(Value::as_u64));
    if schema != Some(u64::from(SCHEMA)) {
        bail!("a record of another version: use the symctl of the function that wrote it");
    }
    serde_json::from_str(text)
        .map(Some)
        .map_err(|error| anyhow!("the record can't be read, was it cut? {error}"))
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
