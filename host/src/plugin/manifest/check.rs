//! What each key of `plugins.toml` may say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use toml::Spanned;

use super::raw::{RawManifest, RawTarget, Run};
use super::{Entry, FILE_NAME, Problems, Setup, Target};
use crate::event::printable;
use crate::plan::Strategy;
use crate::plugin::limits::{Limit, Limits, RawLimits};
use crate::request::MAX_TARGET_BYTES;

pub(super) fn target(
    problems: &mut Problems<'_>,
    name: &Spanned<String>,
    raw: &RawTarget,
    defaults: Limits,
) -> Option<(String, Target)> {
    let section = section(name.get_ref());
    if let Err(why) = check_target_name(name.get_ref()) {
        problems.add(Some(name.span()), &section, why);
        return None;
    }
    let key = |key: &str| format!("{section}.{key}");
    let strategy = raw.strategy.as_ref().and_then(|text| {
        let strategy = Strategy::parse(text.get_ref());
        if strategy.is_none() {
            let found = printable(text.get_ref(), 40);
            let what = format!("is `{found}`, expected `role` or `temporary-user`");
            problems.add(Some(text.span()), &key("strategy"), what);
        }
        strategy
    });
    let given = [
        ("component", &raw.component),
        ("sql", &raw.sql),
        ("role", &raw.role),
    ];
    let mut given: Vec<_> = given
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_ref()?)))
        .collect();
    given.sort_by_key(|(_, value)| value.span().start);
    if let [(first, _), (second, value), ..] = given[..] {
        let what =
            format!("is beside `{first}`, expected one of `component`, `sql` and `role`, or none");
        problems.add(Some(value.span()), &key(second), what);
        return None;
    }
    if raw.component.is_none() {
        let run = raw.run();
        let spans = [
            ("config", run.config.map(Spanned::span)),
            ("limits", run.limits.map(Spanned::span)),
            ("wasi", run.wasi.map(Spanned::span)),
        ];
        for (name, span) in spans.into_iter().filter(|(_, span)| span.is_some()) {
            problems.add(
                span,
                &key(name),
                "is for a component, and this target has none",
            );
        }
    }
    let setup = match given.first() {
        Some(("component", path)) => {
            Setup::Component(entry(problems, &section, path, &raw.run(), defaults)?)
        }
        Some(("sql", path)) => {
            if strategy == Some(Strategy::Role) {
                let what = "can't be run for the strategy `role`, which lends a role and nothing else: \
                            name it with `role`, or set the strategy to `temporary-user`";
                problems.add(Some(path.span()), &key("sql"), what);
            }
            Setup::Sql(checked_path(problems, &key("sql"), path)?)
        }
        Some((_, role)) => {
            if role.get_ref().is_empty() {
                problems.add(
                    Some(role.span()),
                    &key("role"),
                    "is empty, expected the name of a role",
                );
            }
            Setup::Role((*role).get_ref().clone())
        }
        // As in the page that we implement: the target `readonly` is the role
        // `readonly`.
        None => Setup::Role(name.get_ref().clone()),
    };
    Some((name.get_ref().clone(), Target { strategy, setup }))
}

/// A file is a component or SQL, whoever names it.
pub(super) fn kinds(problems: &mut Problems<'_>, raw: &RawManifest) {
    let of_targets = raw.targets.values();
    let components: BTreeSet<&str> = of_targets
        .filter_map(|target| target.component.as_ref())
        .chain(raw.resolver.iter().map(|resolver| &resolver.component))
        .map(|path| path.get_ref().as_str())
        .collect();
    for (name, target) in &raw.targets {
        if let Some(path) = &target.sql
            && components.contains(path.get_ref().as_str())
        {
            let path_shown = printable(path.get_ref(), 80);
            let what = format!(
                "is `{path_shown}`, which another entry names as its `component`, expected a file of SQL"
            );
            problems.add(
                Some(path.span()),
                &format!("{}.sql", section(name.get_ref())),
                what,
            );
        }
    }
}

pub(super) fn entry(
    problems: &mut Problems<'_>,
    section: &str,
    component: &Spanned<String>,
    run: &Run<'_>,
    defaults: Limits,
) -> Option<Entry> {
    let limits = match run.limits {
        Some(raw) => limits(
            problems,
            &format!("{section}.limits"),
            raw.get_ref(),
            defaults,
        ),
        None => defaults,
    };
    let mut config = BTreeMap::new();
    for (key, value) in run.config.map(Spanned::get_ref).into_iter().flatten() {
        match config_text(value) {
            Ok(text) => {
                config.insert(key.get_ref().clone(), text);
            }
            Err(why) => {
                problems.add(
                    Some(key.span()),
                    &format!("{section}.config.{}", printable(key.get_ref(), 60)),
                    why,
                );
            }
        }
    }
    Some(Entry {
        section: section.to_owned(),
        component: checked_path(problems, &format!("{section}.component"), component)?,
        config,
        limits,
        wasi: run.wasi.is_some_and(|wasi| *wasi.get_ref()),
    })
}

pub(super) fn limits(
    problems: &mut Problems<'_>,
    table: &str,
    raw: &RawLimits,
    defaults: Limits,
) -> Limits {
    defaults.with(raw, |limit: Limit, value| {
        let what = format!("is {}, expected 1 to {}", value.get_ref(), limit.most());
        problems.add(
            Some(value.span()),
            &format!("{table}.{}", limit.key()),
            what,
        );
    })
}

/// The target's table, as TOML would write it.
pub(super) fn section(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(is_bare) {
        format!("targets.{name}")
    } else {
        format!("targets.\"{}\"", printable(name, 80))
    }
}

/// The same rule as for the event's field, so that every entry can be reached.
fn check_target_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("has an empty name".to_owned());
    }
    if name.len() > MAX_TARGET_BYTES {
        return Err(format!(
            "has a name of {} bytes, at most {MAX_TARGET_BYTES} are allowed",
            name.len()
        ));
    }
    if name.chars().any(char::is_control) {
        return Err("has a control character in its name".to_owned());
    }
    Ok(())
}

fn is_below(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && !text.contains(['\\', ':'])
        && !text.chars().any(char::is_control)
        && Path::new(text)
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
}

/// A path that can't lead out of the directory by what it says. What symbolic
/// links do is for whoever opens it.
fn checked_path(problems: &mut Problems<'_>, key: &str, path: &Spanned<String>) -> Option<String> {
    let text = path.get_ref();
    if is_below(text) {
        return Some(text.clone());
    }
    if let Some(rest) = text.strip_prefix("./")
        && is_below(rest)
    {
        // One file has one name: statements are signed by it.
        let rest = printable(rest, 80);
        problems.add(
            Some(path.span()),
            key,
            format!("begins with `./`, expected `{rest}`"),
        );
        return None;
    }
    let what = format!(
        "is `{}`, expected a path below the directory of {FILE_NAME}, such as `plugins/x.wasm`",
        printable(text, 80)
    );
    problems.add(Some(path.span()), key, what);
    None
}

/// A setting as plugins get it: text as it is, anything else as JSON.
///
/// # Errors
/// A clause whose subject is the setting.
pub fn config_text(value: &toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Datetime(time) => Ok(time.to_string()),
        other => Ok(json(other)?.to_string()),
    }
}

fn json(value: &toml::Value) -> Result<serde_json::Value, &'static str> {
    use serde_json::Value;
    Ok(match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::Number(
            serde_json::Number::from_f64(*number).ok_or("has a number that JSON can't hold")?,
        ),
        toml::Value::Boolean(is_set) => Value::Bool(*is_set),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(values) => {
            Value::Array(values.iter().map(json).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let fields = table
                .iter()
                .map(|(key, value)| json(value).map(|value| (key.clone(), value)));
            Value::Object(fields.collect::<Result<_, _>>()?)
        }
    })
}
