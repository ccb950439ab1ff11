//! The event of a case, or of a run: a file's, or a sample, with a few things changed.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use crate::input;

/// What a case without an event of its own changes: the repository's sample.
pub(crate) const SAMPLE: &str = include_str!("../../../../events/v6/escalate-role.json");

/// What an event has otherwise.
#[derive(Default)]
pub(crate) struct Changes<'a> {
    /// `run.actors.request.username`.
    pub(crate) requester: Option<&'a str>,
    /// `fields.target.name`.
    pub(crate) target: Option<&'a str>,
    /// Laid over the event, table by table.
    pub(crate) change: Option<&'a toml::Table>,
    /// Paths to what is taken out of the event.
    pub(crate) remove: &'a [String],
}

pub(crate) fn event(path: Option<&Path>, changes: &Changes<'_>) -> anyhow::Result<String> {
    let text = match path {
        Some(path) => &input::event(path)?,
        None => SAMPLE,
    };
    let is_changed = !changes.remove.is_empty()
        || changes.change.is_some_and(|change| !change.is_empty())
        || changes.requester.is_some()
        || changes.target.is_some();
    // As it was sent, byte for byte, where nothing changes.
    if !is_changed {
        return Ok(text.to_owned());
    }
    let mut event: Value = serde_json::from_str(text).context("the event is not valid JSON")?;
    for path in changes.remove {
        remove(&mut event, path)?;
    }
    if let Some(requester) = &changes.requester {
        let change = json!({"run": {"actors": {"request": {"username": requester}}}});
        lay_over(&mut event, change);
    }
    if let Some(target) = &changes.target {
        lay_over(&mut event, json!({"fields": {"target": {"name": target}}}));
    }
    if let Some(change) = changes.change {
        lay_over(&mut event, to_json(change)?);
    }
    Ok(event.to_string())
}

fn remove(event: &mut Value, path: &str) -> anyhow::Result<()> {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut place = Some(event);
    for name in parents.split('.').filter(|name| !name.is_empty()) {
        place = place.and_then(|value| value.get_mut(name));
    }
    let removed = place
        .and_then(Value::as_object_mut)
        .and_then(|object| object.remove(last));
    if removed.is_none() {
        bail!("`remove` names `{path}`, which the event doesn't have");
    }
    Ok(())
}

/// Objects are merged, everything else is replaced.
fn lay_over(value: &mut Value, change: Value) {
    match (value, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (key, change) in changes {
                lay_over(fields.entry(key).or_insert(Value::Null), change);
            }
        }
        (value, change) => *value = change,
    }
}

fn to_json(table: &toml::Table) -> anyhow::Result<Value> {
    let mut object = Map::new();
    for (key, value) in table {
        object.insert(key.clone(), value_to_json(key, value)?);
    }
    Ok(Value::Object(object))
}

fn value_to_json(key: &str, value: &toml::Value) -> anyhow::Result<Value> {
    Ok(match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(is_set) => json!(is_set),
        toml::Value::Datetime(_) => {
            bail!("`{key}` is a date, which JSON has no form for: put it in quotes")
        }
        toml::Value::Array(values) => Value::Array(
            values
                .iter()
                .map(|value| value_to_json(key, value))
                .collect::<anyhow::Result<_>>()?,
        ),
        toml::Value::Table(table) => to_json(table)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::RawCase;
    use super::*;

    fn changes(text: &str) -> RawCase {
        toml::from_str(&format!("name = 'x'\n{text}")).expect("is TOML")
    }

    #[test]
    fn what_is_not_named_stays() {
        let changes = changes(
            "requester = 'ada@a.example'\ntarget = 'x'\nremove = ['run.actors.approve', 'actor']\n\
             change.fields.duration = 60\nchange.fields.target.settings = { arn = 'y' }",
        );
        let changed: Value =
            serde_json::from_str(&event(None, &changes.changes()).expect("is an event"))
                .expect("is JSON");
        assert_eq!(
            changed["run"]["actors"]["request"]["username"],
            "ada@a.example"
        );
        assert_eq!(
            changed["run"]["actors"]["request"]["identity"]["service"],
            "slack"
        );
        assert_eq!(changed["run"]["actors"].get("approve"), None);
        assert_eq!(changed.get("actor"), None);
        assert_eq!(changed["fields"]["duration"], 60);
        assert_eq!(changed["fields"]["target"]["settings"]["arn"], "y");
        assert_eq!(changed["fields"]["target"]["label"], "Postgres");
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error() {
        let error =
            event(None, &changes("remove = ['run.actor']").changes()).expect_err("is refused");
        assert!(error.to_string().contains("`run.actor`"), "{error}");
    }

    #[test]
    fn an_event_without_changes_stays_as_it_was_sent() {
        assert_eq!(
            event(None, &changes("").changes()).expect("is read"),
            SAMPLE
        );
    }
}
