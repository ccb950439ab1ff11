//! The corpus, read.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use sym_test_support::tools;

use super::guest;
use crate::fixture::{Behaviour, target};

/// One hostile thing, and what is to come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(super) name: String,
    #[serde(default = "temporary_user")]
    strategy: String,
    #[serde(default = "grants")]
    pub(super) policy: String,
    pub(super) username: Option<String>,
    roles: Option<Vec<String>>,
    sql: Option<Vec<String>>,
    #[serde(default)]
    args: BTreeMap<String, (String, String)>,
    failure: Option<(String, String)>,
    file: Option<String>,
    pad_to: Option<usize>,
    repeat: Option<usize>,
    pub(crate) expect: String,
    says: Option<String>,
    /// A guest of its own.
    #[serde(skip)]
    component: Option<guest::Guest>,
}

/// A release that is refused.
pub(super) struct Release {
    pub(super) case: Case,
    pub(super) manifest: String,
    pub(super) files: Vec<(String, Vec<u8>)>,
}

/// Which world a guest is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Resolver,
    Target,
}

fn temporary_user() -> String {
    "temporary-user".to_owned()
}

fn grants() -> String {
    "grants".to_owned()
}

fn directory() -> PathBuf {
    tools::workspace().join("tests/hostile")
}

/// The rows of `outputs.toml`.
pub(super) fn outputs() -> anyhow::Result<Vec<Case>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        case: Vec<Case>,
    }
    let text = fs::read_to_string(directory().join("outputs.toml"))?;
    let table: Table = toml::from_str(&text)?;
    Ok(table.case)
}

/// The rows of `releases.toml`.
pub(super) fn releases() -> anyhow::Result<Vec<Release>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        case: Vec<Row>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        name: String,
        manifest: String,
        #[serde(default)]
        files: BTreeMap<String, String>,
        expect: String,
        says: Option<String>,
    }
    let text = fs::read_to_string(directory().join("releases.toml"))?;
    let table: Table = toml::from_str(&text)?;
    let release = |row: Row| Release {
        case: Case::new(row.name, row.expect, row.says),
        manifest: row.manifest,
        files: row
            .files
            .into_iter()
            .map(|(name, text)| (name, text.into_bytes()))
            .collect(),
    };
    Ok(table.case.into_iter().map(release).collect())
}

/// The files of `guests/` of this kind.
pub(crate) fn guests(kind: Kind) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(directory().join("guests"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.context("the name is text")?.to_owned();
        let text = fs::read_to_string(&path)?;
        let (headers, guest) =
            guest::read(&text).with_context(|| format!("in `{}`", path.display()))?;
        let header = |key: &str| headers.get(key).cloned();
        let strategy = match header("kind").as_deref() {
            Some("resolver") if kind == Kind::Resolver => "role",
            Some("target") if kind == Kind::Target => "role",
            Some("resolver" | "target") => continue,
            other => bail!("`{name}` is of kind {other:?}"),
        };
        let expect = header("expect").with_context(|| format!("`{name}` expects nothing"))?;
        let mut case = Case::new(name, expect, header("says"));
        case.strategy = strategy.to_owned();
        case.component = Some(guest);
        cases.push(case);
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    fn new(name: String, expect: String, says: Option<String>) -> Case {
        Case {
            name,
            strategy: "role".to_owned(),
            policy: grants(),
            username: None,
            roles: None,
            sql: None,
            args: BTreeMap::new(),
            failure: None,
            file: None,
            pad_to: None,
            repeat: None,
            expect,
            says,
            component: None,
        }
    }

    pub(super) fn is_role(&self) -> bool {
        self.strategy == "role"
    }

    pub(crate) fn file_name(&self, index: usize) -> String {
        match self.file {
            Some(_) => format!("case-{index}.sql"),
            None => format!("case-{index}.wasm"),
        }
    }

    /// Its table in `plugins.toml`.
    pub(crate) fn entry(&self, file: &str) -> String {
        let key = match self.file {
            Some(_) => "sql",
            None => "component",
        };
        let name = json!(self.name);
        format!(
            "[targets.{name}]\nstrategy = \"{}\"\n{key} = \"{file}\"\n{}",
            self.strategy,
            self.limits()
        )
    }

    /// More keys of that table.
    pub(super) fn limits(&self) -> &'static str {
        match &self.component {
            Some(guest) if guest.has_wasi => "wasi = true\n",
            _ => "",
        }
    }

    /// The component, or the SQL file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if let Some(guest) = &self.component {
            return guest.bytes.clone();
        }
        if let Some(file) = &self.file {
            return file.clone().into_bytes();
        }
        if let Some((code, message)) = &self.failure {
            return target(&Behaviour::Failure(code, &self.padded(message)));
        }
        if let Some(roles) = &self.roles {
            let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
            return target(&Behaviour::Roles(&roles));
        }
        let statements = self.statements();
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        let args: Vec<(&str, bool, &str)> = self
            .args
            .iter()
            .map(|(name, (kind, value))| (name.as_str(), kind == "identifier", value.as_str()))
            .collect();
        target(&Behaviour::SqlWith(&statements, &args))
    }

    fn statements(&self) -> Vec<String> {
        let mut statements = self.sql.clone().unwrap_or_default();
        if let Some(first) = statements.first_mut() {
            *first = self.padded(first);
        }
        let count = statements.len() * self.repeat.unwrap_or(1);
        statements.into_iter().cycle().take(count).collect()
    }

    fn padded(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(length) = self.pad_to {
            // The text's own last letter: white space would be no challenge.
            let last = text.chars().last().unwrap_or(' ');
            while text.len() < length {
                text.push(last);
            }
        }
        text
    }

    /// Whether an answer is what has to come of it.
    pub(super) fn judge(&self, answer: &Value) -> anyhow::Result<()> {
        if self.expect == "ok" {
            ensure!(answer["errors"] == json!([]), "expected a success");
            return Ok(());
        }
        let [Value::String(sentence)] = &answer["errors"].as_array().context("no list")?[..] else {
            bail!("expected one sentence");
        };
        ensure!(answer["body"] == json!({}), "expected an empty body");
        let code = format!(" [{}]", self.expect);
        ensure!(sentence.ends_with(&code), "expected `{code}`");
        if let Some(says) = &self.says {
            ensure!(sentence.contains(says), "expected `{says}`");
        }
        ensure!(sentence.chars().count() <= 800, "it is too long");
        ensure!(
            !sentence.chars().any(char::is_control),
            "it holds control characters"
        );
        // Names may be said. A statement may not, nor what a plugin tells the
        // operator alone.
        let private = self.statements().into_iter().chain(
            self.failure
                .iter()
                .filter(|(code, _)| code != "denied")
                .map(|(_, message)| message.clone()),
        );
        for text in private {
            let words: Vec<&str> = text.split_whitespace().collect();
            for four in words.windows(4) {
                let four = four.join(" ");
                ensure!(!sentence.contains(&four), "it says `{four}`");
            }
        }
        Ok(())
    }
}
