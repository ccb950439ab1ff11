//! `plugins.toml`: which plugin answers what, and what it may.
//!
//! ```toml
//! [resolver]
//! component = "resolver.wasm"
//! [resolver.config]
//! domain = "example.com"
//!
//! [targets.readonly]                  # lends the role `readonly`
//!
//! [targets.reporting]
//! strategy = "temporary-user"
//! sql = "reporting.sql"
//! ```
//!
//! Pure: text in, checked entries out. The files that it names are read by
//! [`source`](super::source), from [`Manifest::files`] alone.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Component, Path};

use serde::Deserialize;
use toml::Spanned;

use super::limits::{Limit, Limits, RawLimits};
use crate::event::printable;
use crate::plan::Strategy;
use crate::request::MAX_TARGET_BYTES;

/// The file's name in a release.
pub const FILE_NAME: &str = "plugins.toml";
/// Longest manifest, in bytes.
pub const MAX_BYTES: u64 = 256 << 10;
/// Largest component, in bytes. One with a whole Python in it has 18 MB.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;
/// Longest SQL file, in bytes.
pub const MAX_SQL_BYTES: u64 = 256 << 10;
/// Most targets. Sym's menu has no use for that many.
pub const MAX_TARGETS: usize = 1000;

/// A checked manifest.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) resolver: Entry,
    pub(super) targets: BTreeMap<String, Target>,
}

/// What runs a component.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its table: `resolver`, `targets.readonly`.
    pub(super) section: String,
    /// Its file, relative to the manifest.
    pub(super) component: String,
    /// Its settings, as the plugin gets them.
    pub(super) config: BTreeMap<String, String>,
    pub(super) limits: Limits,
    pub(super) wasi: bool,
}

/// What a target is.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) strategy: Option<Strategy>,
    pub(super) setup: Setup,
}

/// Who says what the target means.
#[derive(Clone, Debug)]
pub(super) enum Setup {
    Component(Entry),
    Sql(String),
    Role(String),
}

/// What a file is, and so how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Component,
    Sql,
}

impl FileKind {
    pub(super) fn max_bytes(self) -> u64 {
        match self {
            Self::Component => MAX_COMPONENT_BYTES,
            Self::Sql => MAX_SQL_BYTES,
        }
    }
}

impl Manifest {
    /// Every file that it names, once.
    pub(super) fn files(&self) -> BTreeMap<&str, FileKind> {
        let targets = self
            .targets
            .values()
            .filter_map(|target| match &target.setup {
                Setup::Component(entry) => Some((entry.component.as_str(), FileKind::Component)),
                Setup::Sql(path) => Some((path.as_str(), FileKind::Sql)),
                Setup::Role(_) => None,
            });
        targets
            .chain([(self.resolver.component.as_str(), FileKind::Component)])
            .collect()
    }

    /// Checks a manifest. The error has all that is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, Problems<'_>> {
        let mut problems = Problems {
            text,
            found: Vec::new(),
        };
        let raw: RawManifest = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                let message: String = error
                    .message()
                    .chars()
                    .filter(|character| !character.is_control())
                    .collect();
                problems.add(
                    error.span(),
                    "",
                    message.chars().take(400).collect::<String>(),
                );
                return Err(problems);
            }
        };
        let defaults = limits(&mut problems, "limits", &raw.limits, Limits::default());
        let resolver = match &raw.resolver {
            Some(raw) => entry(
                &mut problems,
                "resolver",
                &raw.component,
                &raw.run(),
                defaults,
            ),
            None => {
                problems.add(
                    None,
                    "resolver",
                    "is missing, expected `[resolver]` with `component = \"….wasm\"`",
                );
                None
            }
        };
        if raw.targets.len() > MAX_TARGETS {
            problems.add(
                None,
                "targets",
                format!(
                    "are {}, at most {MAX_TARGETS} are allowed",
                    raw.targets.len()
                ),
            );
        }
        let mut targets = BTreeMap::new();
        for (name, raw) in &raw.targets {
            targets.extend(target(&mut problems, name, raw, defaults));
        }
        match resolver {
            Some(resolver) if problems.found.is_empty() => Ok(Self { resolver, targets }),
            _ => Err(problems),
        }
    }
}

/// All that is wrong, each with its line and its key.
pub(super) struct Problems<'a> {
    text: &'a str,
    found: Vec<String>,
}

impl Problems<'_> {
    fn add(&mut self, span: Option<Range<usize>>, key: &str, what: impl fmt::Display) {
        let line = span
            .and_then(|span| self.text.get(..span.start))
            .map(|before| before.matches('\n').count() + 1);
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("`{key}` ")
        };
        self.found.push(format!("{line}{key}{what}"));
    }
}

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let shown = &self.found[..self.found.len().min(SHOWN)];
        f.write_str(&shown.join("; "))?;
        match self.found.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    resolver: Option<RawResolver>,
    #[serde(default)]
    targets: BTreeMap<Spanned<String>, RawTarget>,
    #[serde(default)]
    limits: RawLimits,
}

type RawConfig = BTreeMap<Spanned<String>, toml::Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResolver {
    component: Spanned<String>,
    config: Option<Spanned<RawConfig>>,
    limits: Option<Spanned<RawLimits>>,
    wasi: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    strategy: Option<Spanned<String>>,
    component: Option<Spanned<String>>,
    sql: Option<Spanned<String>>,
    role: Option<Spanned<String>>,
    config: Option<Spanned<RawConfig>>,
    limits: Option<Spanned<RawLimits>>,
    wasi: Option<Spanned<bool>>,
}

/// How a component runs: the keys that both tables have. Not by serde's
/// `flatten`, which would take the line numbers away.
struct Run<'a> {
    config: Option<&'a Spanned<RawConfig>>,
    limits: Option<&'a Spanned<RawLimits>>,
    wasi: Option<&'a Spanned<bool>>,
}

impl RawResolver {
    fn run(&self) -> Run<'_> {
        Run {
            config: self.config.as_ref(),
            limits: self.limits.as_ref(),
            wasi: self.wasi.as_ref(),
        }
    }
}

impl RawTarget {
    fn run(&self) -> Run<'_> {
        Run {
            config: self.config.as_ref(),
            limits: self.limits.as_ref(),
            wasi: self.wasi.as_ref(),
        }
    }
}

fn target(
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

fn entry(
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

fn limits(problems: &mut Problems<'_>, table: &str, raw: &RawLimits, defaults: Limits) -> Limits {
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
fn section(name: &str) -> String {
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

/// A path that can't lead out of the directory by what it says. What symbolic
/// links do is for whoever opens it.
fn checked_path(problems: &mut Problems<'_>, key: &str, path: &Spanned<String>) -> Option<String> {
    let text = path.get_ref();
    let is_plain = !text.is_empty()
        && text.len() <= 255
        && !text.contains(['\\', ':'])
        && !text.chars().any(char::is_control)
        && Path::new(text)
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
    if is_plain {
        return Some(text.clone());
    }
    let what = format!(
        "is `{}`, expected a path below the directory of {FILE_NAME}, such as `plugins/x.wasm`",
        printable(text, 80)
    );
    problems.add(Some(path.span()), key, what);
    None
}

/// A setting as plugins get it: text as it is, anything else as JSON.
fn config_text(value: &toml::Value) -> Result<String, &'static str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const RESOLVER: &str = "[resolver]\ncomponent = \"r.wasm\"\n";

    fn problems(text: &str) -> String {
        match Manifest::parse(text) {
            Ok(_) => "no problem".to_owned(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn reads_a_whole_manifest() {
        let text = "
            [limits]
            fuel = 5
            [resolver]
            component = \"plugins/r.wasm\"
            wasi = true
            [resolver.config]
            domain = \"example.com\"
            map = { b = 1 }
            [resolver.limits]
            log_lines = 7
            [targets.\"a b\"]
            component = \"t.wasm\"
        ";
        let manifest = Manifest::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
        let resolver = &manifest.resolver;
        assert_eq!((resolver.limits.fuel, resolver.limits.log_lines), (5, 7));
        assert!(resolver.wasi);
        assert_eq!(resolver.config["map"], "{\"b\":1}");
        let Setup::Component(entry) = &manifest.targets["a b"].setup else {
            panic!("is a component")
        };
        assert_eq!(
            (
                entry.section.as_str(),
                entry.limits.fuel,
                entry.limits.log_lines
            ),
            ("targets.\"a b\"", 5, 100)
        );
        let files = manifest.files();
        assert_eq!(
            files.keys().copied().collect::<Vec<_>>(),
            ["plugins/r.wasm", "t.wasm"]
        );
    }

    #[test]
    fn names_line_and_key() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(problems(text), expected);
        }
        check(
            "",
            "`resolver` is missing, expected `[resolver]` with `component = \"….wasm\"`",
        );
        for (text, expected) in [
            (
                "[targets.t]\nstrategy = \"roles\"",
                "line 4: `targets.t.strategy` is `roles`, expected `role` or `temporary-user`",
            ),
            (
                "[targets.t]\nrole = \"a\"\nsql = \"b\"",
                "line 5: `targets.t.sql` is beside `role`, expected one of `component`, `sql` and `role`, or none",
            ),
            (
                "[targets.t]\nrole = \"\"",
                "line 4: `targets.t.role` is empty, expected the name of a role",
            ),
            (
                "[targets.t]\nwasi = true",
                "line 4: `targets.t.wasi` is for a component, and this target has none",
            ),
            ("[targets.\"\"]", "line 3: `targets.\"\"` has an empty name"),
            (
                "[resolver.limits]\nfuel = 0",
                "line 4: `resolver.limits.fuel` is 0, expected 1 to 1000000000000",
            ),
            (
                "[limits]\nwall_milliseconds = 900001",
                "line 4: `limits.wall_milliseconds` is 900001, expected 1 to 900000",
            ),
            (
                "[resolver.config]\nx = nan",
                "line 4: `resolver.config.x` has a number that JSON can't hold",
            ),
        ] {
            check(&format!("{RESOLVER}{text}"), expected);
        }
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_with_their_line() {
        for (text, parts) in [
            (
                "[targets.t]\nsqll = \"x\"",
                ["line 4: ", "unknown field `sqll`", "`sql`"],
            ),
            ("[limit]", ["line 3: ", "unknown field `limit`", "`limits`"]),
            (
                "[resolver.limits]\nfule = 1",
                ["line 4: ", "unknown field `fule`", "`fuel`"],
            ),
            ("[resolver.limits]\nfuel = -1", ["line 4: ", "-1", ""]),
            (
                "[resolver.limits]\nfuel = \"many\"",
                ["line 4: ", "many", ""],
            ),
            ("[targets.t]\n[targets.t]", ["line 4: ", "duplicate", ""]),
            ("[targets", ["line 3: ", "", ""]),
        ] {
            let found = problems(&format!("{RESOLVER}{text}"));
            for part in parts {
                assert!(found.contains(part), "expected `{part}` in: {found}");
            }
        }
    }

    #[test]
    fn all_problems_come_at_once() {
        let text =
            format!("{RESOLVER}[targets.a]\nstrategy = \"x\"\n[targets.b]\nstrategy = \"y\"\n");
        assert_eq!(problems(&text).matches("line ").count(), 2);
    }

    #[test]
    fn paths_stay_below() {
        for path in [
            "",
            "/etc/passwd",
            "../x.wasm",
            "a/../../x",
            "./x",
            "a\\\\b",
            "c:x",
            "a\\u0000b",
            ".",
        ] {
            let text = format!("[resolver]\ncomponent = \"{path}\"\n");
            let found = problems(&text);
            assert!(
                found.starts_with("line 2: `resolver.component` is `"),
                "{path}: {found}"
            );
        }
        for path in ["x.wasm", "a/b/x.wasm", "..x", "a b.wasm"] {
            assert_eq!(
                problems(&format!("[resolver]\ncomponent = \"{path}\"\n")),
                "no problem"
            );
        }
    }
}
