//! Cases: what a plugin is asked and what it has to answer, in TOML beside it.
//!
//! ```toml
//! [[case]]
//! name = "a hyphen becomes an underscore"
//! requester = "sym-user@a.example"
//! expect.user = "sym_user"
//! ```

pub(crate) mod event;
mod judge;
pub(crate) mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use sym_host::error::Code;
use sym_host::plan::Strategy;
use sym_host::plugin::manifest::config_text;
use sym_host::plugin::{Limits, trial::Given};
use sym_host::policy::{Policy, SqlPolicy};
use sym_host::request::Request;

use self::event::Changes;
pub(crate) use self::judge::{Difference, judge};
use super::outcome::{Conditions, StepText, request_of};
use crate::input;

/// The directory of a plugin's cases, beside `plugins.toml`.
pub(crate) const DIRECTORY: &str = "cases";
/// Longest file of cases, in bytes.
const MAX_BYTES: u64 = 8 << 20;

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    event: Option<PathBuf>,
    strategy: Option<String>,
    #[serde(default)]
    policy: RawPolicy,
    #[serde(default)]
    config: BTreeMap<String, toml::Value>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    #[serde(default)]
    case: Vec<RawCase>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    sql: Option<String>,
    grantable_roles: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    event: Option<PathBuf>,
    /// `run.actors.request.username` of the event.
    requester: Option<String>,
    /// `fields.target.name` of the event.
    target: Option<String>,
    /// Laid over the event, table by table.
    #[serde(default)]
    change: toml::Table,
    /// Paths to what is taken out of the event.
    #[serde(default)]
    remove: Vec<String>,
    user: Option<String>,
    strategy: Option<String>,
    #[serde(default)]
    config: BTreeMap<String, toml::Value>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    #[serde(default)]
    expect: Expectation,
}

impl RawCase {
    fn changes(&self) -> Changes<'_> {
        Changes {
            requester: self.requester.as_deref(),
            target: self.target.as_deref(),
            change: Some(&self.change),
            remove: &self.remove,
        }
    }
}

/// What has to come of it. What isn't named isn't looked at, but for failures and
/// errors: those are never passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    user: Option<String>,
    steps: Option<Vec<StepText>>,
    failure: Option<ExpectedFailure>,
    error: Option<String>,
    log: Option<Vec<String>>,
    /// What the user has then. Only looked at with `--against-postgres`.
    privileges: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedFailure {
    code: String,
    message: Option<String>,
}

/// A file of cases, ready to run.
pub(crate) struct CaseFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) cases: Vec<Case>,
}

/// One case.
pub(crate) struct Case {
    /// Its place in the file.
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) request: Request,
    pub(crate) conditions: Conditions,
    pub(crate) expect: Expectation,
}

impl Case {
    /// Whether the database user is the case's own.
    pub(crate) fn is_user_given(&self) -> bool {
        self.conditions.given.user.is_some()
    }
}

impl CaseFile {
    /// Reads a file, and the events that it names.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let can_not = || format!("can't read the cases `{}`", path.display());
        if path.metadata().with_context(can_not)?.len() > MAX_BYTES {
            bail!(
                "the cases `{}` are longer than {MAX_BYTES} bytes: split the file",
                path.display()
            );
        }
        let text = input::text("the cases", path)?;
        let raw: RawFile =
            toml::from_str(&text).map_err(|error| anyhow!("`{}`: {error}", path.display()))?;
        if raw.case.is_empty() {
            bail!(
                "`{}` has no case: begin one with `[[case]]` and a `name`",
                path.display()
            );
        }
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut names = BTreeSet::new();
        let mut cases = Vec::new();
        for (index, case) in raw.case.iter().enumerate() {
            let name = &case.name;
            if name.trim().is_empty() {
                bail!("`{}`: case {} has an empty name", path.display(), index + 1);
            }
            if !names.insert(name) {
                bail!(
                    "`{}`: two cases are named `{name}`, so nobody can tell them apart",
                    path.display()
                );
            }
            let case = raw
                .case(directory, index, case)
                .with_context(|| format!("`{}`, case `{name}`", path.display()))?;
            cases.push(case);
        }
        Ok(Self {
            path: path.to_owned(),
            cases: cases
                .into_iter()
                .zip(raw.case)
                .map(|(mut case, raw)| {
                    case.expect = raw.expect;
                    case
                })
                .collect(),
            text,
        })
    }
}

impl RawFile {
    fn case(&self, directory: &Path, index: usize, case: &RawCase) -> anyhow::Result<Case> {
        let event = case.event.as_ref().or(self.event.as_ref());
        let event = event.map(|event| directory.join(event));
        let event = event::event(event.as_deref(), &case.changes())?;
        let request = request_of(&event).map_err(|error| anyhow!(error.to_log()))?;
        if let Some(code) = &case.expect.error {
            check_code(code)?;
        }
        let mut limits = self.limits.clone();
        limits.extend(case.limits.clone());
        for (key, value) in &limits {
            Limits::default()
                .set(key, *value)
                .map_err(|why| anyhow!("`limits.{key}` {why}"))?;
        }
        let mut config = BTreeMap::new();
        for (key, value) in self.config.iter().chain(&case.config) {
            let text = config_text(value).map_err(|why| anyhow!("`config.{key}` {why}"))?;
            config.insert(key.clone(), text);
        }
        let strategy = match case.strategy.as_ref().or(self.strategy.as_ref()) {
            Some(text) => parse_strategy(text).context("`strategy` is wrong")?,
            None => Strategy::Role,
        };
        let default = Conditions::default().policy;
        let sql = match &self.policy.sql {
            Some(text) => parse_sql_policy(text).context("`policy.sql` is wrong")?,
            None => default.sql,
        };
        Ok(Case {
            index,
            name: case.name.clone(),
            request,
            conditions: Conditions {
                strategy,
                policy: Policy {
                    sql,
                    grantable_roles: self.policy.grantable_roles.clone(),
                    ..default
                },
                given: Given {
                    user: case.user.clone(),
                    config,
                    limits,
                },
            },
            expect: Expectation::default(),
        })
    }
}

/// Refuses what no error of the host's has as its code: such a case never passes.
fn check_code(text: &str) -> anyhow::Result<()> {
    let codes = || Code::ALL.iter().map(|code| code.as_str());
    if codes().any(|code| code == text) {
        return Ok(());
    }
    let all: Vec<&str> = codes().collect();
    bail!(
        "`expect.error` is `{text}`, expected one of {}",
        all.join(", ")
    )
}

/// A strategy by its name.
pub(crate) fn parse_strategy(text: &str) -> anyhow::Result<Strategy> {
    Strategy::parse(text)
        .ok_or_else(|| anyhow!("`{text}` is no strategy, expected `role` or `temporary-user`"))
}

/// A policy by its name.
pub(crate) fn parse_sql_policy(text: &str) -> anyhow::Result<SqlPolicy> {
    SqlPolicy::parse(text)
        .ok_or_else(|| anyhow!("`{text}` is no policy, expected `roles`, `grants` or `any`"))
}

/// The files of cases at a path: the file itself, or those of a directory.
pub(crate) fn find(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let can_not = || format!("can't read the cases `{}`", path.display());
    if path.metadata().with_context(can_not)?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(can_not)? {
        let path = entry.with_context(can_not)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        bail!(
            "`{}` has no cases: write them to a `….toml` there",
            path.display()
        );
    }
    Ok(files)
}
