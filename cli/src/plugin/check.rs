//! `symctl plugin check`: everything that can be said of a plugin before it
//! serves anybody.

mod component;
mod names;
mod people;
mod sql;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use sym_host::plan::{Plan, Strategy};
use sym_host::plugin::Release;
use sym_host::plugin::manifest::FILE_NAME;
use sym_host::policy::{Policy, SqlPolicy};
use sym_host::request::Request;

use super::cases::{Case, parse_sql_policy, parse_strategy};
use super::outcome::{Conditions, Outcome};
use super::subject::{Subject, request_like, run_id, sample_request};
use super::test::{FileVerdict, run_own_cases};
use crate::engine::engine;
use crate::output::{self, Status};
use crate::store::block_on;

/// Where the people are from that a resolver is tried on, unless it denies them.
const DOMAINS: [&str; 2] = ["a.example", "b.example"];
/// How long a resolver is asked for names before it is published. One in Rust takes
/// a quarter of it, by docs/performance.md; one in Python, which starts an interpreter
/// for each person, takes longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Check a plugin: what it imports and exports, its sizes, what its start takes
/// of its limits, what its SQL had better not do, and whether its resolver gives
/// two people one name.
///
/// Exits with 1 where something is wrong; warnings alone are no reason, unless
/// `--strict` is set.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  symctl plugin check\n  symctl plugin check target/plugins --strict\n  symctl plugin check my-resolver.wasm --domain a.example --json"
)]
pub(crate) struct CheckArgs {
    /// A directory with `plugins.toml`, or a component.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The strategy of targets that don't name one.
    #[arg(long, value_parser = parse_strategy, default_value = "role")]
    strategy: Strategy,
    /// The function's SQL_POLICY.
    #[arg(long, value_parser = parse_sql_policy, default_value = "grants")]
    sql_policy: SqlPolicy,
    /// A mail domain of the people that the resolver is tried on. May be given
    /// again. Without it: `a.example` and `b.example`, or where it denies those, the
    /// domains in `cases/`.
    #[arg(long, value_name = "DOMAIN", value_parser = parse_domain)]
    domain: Vec<String>,
    /// Don't compile for Lambda's architectures, which takes a while for large
    /// components.
    #[arg(long)]
    without_native: bool,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Ok,
    Warning,
    Error,
}

/// Something that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    level: Level,
    /// A table of `plugins.toml`.
    subject: String,
    check: Check,
    /// What was found, in a sentence.
    text: String,
}

/// What was looked at: a stable word of the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Check {
    /// What the component exports and imports.
    World,
    /// The component's size.
    Size,
    /// Its native code.
    Native,
    /// Limits that aren't the defaults.
    Limits,
    /// What its start takes.
    Start,
    /// Its answer to an ordinary request.
    Call,
    /// What a target asks for, against the policy.
    Plan,
    /// Advice about SQL.
    Sql,
    /// Two people, one name.
    Names,
    /// Two runs, one name.
    Runs,
}

impl Check {
    /// Whether an error of it keeps a directory from being published: what breaks on
    /// ordinary requests. What is an error for some people, or under one policy, may be
    /// right for others.
    fn stops_publish(self) -> bool {
        match self {
            Self::Call | Self::Runs => true,
            Self::World | Self::Size | Self::Native | Self::Limits | Self::Start => false,
            Self::Plan | Self::Sql | Self::Names => false,
        }
    }
}

/// By which rules a plugin is checked.
struct Rules {
    /// Of targets that don't name one.
    strategy: Strategy,
    sql_policy: SqlPolicy,
    /// Whose people a resolver is asked for. None: [`DOMAINS`], or those of its cases.
    domains: Vec<String>,
    /// Whether native code is made.
    native: bool,
    /// How long a resolver is asked for people's names. `None`: for all of them.
    patience: Option<Duration>,
}

/// What the checks share.
struct Checking<'a> {
    rules: &'a Rules,
    subject: &'a Subject,
    release: &'a Release,
    conditions: Conditions,
    /// What came of its own cases.
    cases: &'a [FileVerdict],
    findings: Vec<Finding>,
}

impl Rules {
    /// Everything that can be said of what a release has.
    async fn check(
        &self,
        subject: &Subject,
        release: &Release,
        cases: &[FileVerdict],
    ) -> anyhow::Result<Vec<Finding>> {
        let mut conditions = Conditions {
            strategy: self.strategy,
            ..Conditions::default()
        };
        conditions.policy.sql = self.sql_policy;
        let mut checking = Checking {
            rules: self,
            subject,
            release,
            conditions,
            cases,
            findings: Vec::new(),
        };
        component::check(&mut checking).await?;
        sql::check(&mut checking).await?;
        names::check(&mut checking).await?;
        Ok(checking.findings)
    }
}

impl Checking<'_> {
    /// What the plugin of a table of `plugins.toml` is asked: a target for itself,
    /// the resolver for any, under the strategy that it then has.
    fn asked_for(&self, section: &str) -> (&str, Strategy) {
        let asked = match section.strip_prefix("targets.") {
            Some(name) => self.release.targets().find(|(target, _)| *target == name),
            None => self.release.targets().next(),
        };
        match asked {
            Some((name, target)) => {
                let strategy = target.strategy().unwrap_or(self.conditions.strategy);
                (name, strategy)
            }
            None => ("target", self.conditions.strategy),
        }
    }

    /// What the plugin of a table of `plugins.toml` is asked: what the first of its
    /// cases asks that passes with an answer, so that nothing is missing that it
    /// needs. Without one, the sample event.
    fn question(&self, section: &str) -> anyhow::Result<Question> {
        let (target, strategy) = self.asked_for(section);
        let is_target = section.starts_with("targets.");
        let mut answered = self.answered(target, strategy);
        // A case that gives the user has asked no resolver.
        let case = answered.find(|(case, _)| is_target || !case.is_user_given());
        let (request, user) = match case {
            Some((case, outcome)) => (case.request.clone(), outcome.user.clone()),
            None => (sample_request("ada@a.example", target, &run_id(0))?, None),
        };
        Ok(Question {
            request,
            strategy,
            user: user.unwrap_or_else(|| "ada".to_owned()),
            is_of_a_case: case.is_some(),
        })
    }

    /// A request of this person for a target, in the run of this id, with all that the
    /// target's cases have.
    fn request_of(
        &self,
        person: &str,
        (target, strategy): (&str, Strategy),
        run: &str,
    ) -> anyhow::Result<Request> {
        match self.answered(target, strategy).next() {
            Some((case, _)) => request_like(&case.request.event_json, person, target, run),
            None => sample_request(person, target, run),
        }
    }

    /// The cases of a target that passed with an answer.
    fn answered(
        &self,
        target: &str,
        strategy: Strategy,
    ) -> impl Iterator<Item = (&Case, &Outcome)> {
        let answered = self.cases.iter().flat_map(FileVerdict::answered);
        answered.filter(move |(case, outcome)| {
            case.request.target.name == target && outcome.strategy == strategy.as_str()
        })
    }

    /// Whether one of these checks found something wrong.
    fn is_wrong(&self, section: &str, checks: &[Check]) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| {
            finding.level != Level::Ok
                && finding.subject == section
                && checks.contains(&finding.check)
        })
    }

    fn add(&mut self, level: Level, subject: &str, check: Check, text: impl Into<String>) {
        self.findings.push(Finding {
            level,
            subject: subject.to_owned(),
            check,
            text: text.into(),
        });
    }
}

/// What a plugin is asked.
struct Question {
    request: Request,
    strategy: Strategy,
    /// For a target.
    user: String,
    /// Whether one of its own cases asks it, and is answered.
    is_of_a_case: bool,
}

/// What stands behind the `@` of an address, as the SDKs read it.
fn parse_domain(text: &str) -> Result<String, String> {
    let is_unclear =
        |character: char| character.is_whitespace() || character.is_control() || character == '@';
    if text.is_empty() || text.contains(is_unclear) {
        return Err("is no mail domain, expected one such as `a.example`".to_owned());
    }
    Ok(text.to_owned())
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Status> {
    let subject = Subject::find(&args.path)?;
    subject.note_staleness();
    let targets = BTreeSet::from(["target".to_owned()]);
    let release = subject.load(&engine()?, &targets)?;
    let rules = Rules {
        strategy: args.strategy,
        sql_policy: args.sql_policy,
        domains: args.domain.clone(),
        native: !args.without_native,
        patience: None,
    };
    let findings = block_on(async {
        let cases = match &subject {
            Subject::Directory(directory) => run_own_cases(directory, &release).await?,
            Subject::Component(_) => Vec::new(),
        };
        rules.check(&subject, &release, &cases).await
    })?;
    if findings.is_empty() {
        bail!("there is nothing to check: `{FILE_NAME}` names neither a resolver nor a target");
    }
    let worst = findings.iter().map(|finding| finding.level).max();
    let is_ok = match worst.unwrap_or(Level::Ok) {
        Level::Ok => true,
        Level::Warning => !args.strict,
        Level::Error => false,
    };
    if args.json {
        output::json(&json!({"release": release.id(), "ok": is_ok, "findings": findings}));
    } else {
        for finding in &findings {
            let mark = match finding.level {
                Level::Ok => "ok  ",
                Level::Warning => "warn",
                Level::Error => "FAIL",
            };
            output::data(&format!("{mark} {}: {}", finding.subject, finding.text));
        }
    }
    Ok(if is_ok { Status::Done } else { Status::Yours })
}

/// What had better be otherwise in a directory that is about to be published, by
/// the rules that hold where nobody says others. Of names only what is wrong
/// whoever the people are: whether two get one name hangs on mail domains, which
/// nobody has said here. First what stops it, then the rest.
pub(crate) async fn advice(
    subject: &Subject,
    release: &Release,
    cases: &[FileVerdict],
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let rules = Rules {
        strategy: Strategy::Role,
        sql_policy: SqlPolicy::Grants,
        domains: Vec::new(),
        native: false,
        patience: Some(PATIENCE),
    };
    let mut findings = rules.check(subject, release, cases).await?;
    findings.retain(|finding| match finding.level {
        Level::Ok => false,
        Level::Warning => finding.check != Check::Names,
        Level::Error => true,
    });
    let (errors, advice): (Vec<_>, Vec<_>) = findings
        .iter()
        .partition(|finding| finding.level == Level::Error && finding.check.stops_publish());
    let texts = |findings: Vec<&Finding>| {
        let findings = findings.into_iter();
        let text = |finding: &Finding| format!("{}: {}", finding.subject, finding.text);
        findings.map(text).collect()
    };
    Ok((texts(errors), texts(advice)))
}

/// Why a target of a release can't work for anybody, whatever the function's
/// SQL_POLICY is. Only of what is the same for everybody who asks: what a component
/// says of one of them says nothing of another.
pub(crate) fn impossible(release: &Release) -> Option<String> {
    let policy = Policy {
        sql: SqlPolicy::Any,
        ..Conditions::default().policy
    };
    release.targets().find_map(|(name, target)| {
        let (strategy, steps) = target.fixed()?;
        let plan = Plan {
            strategy,
            // Nobody's, so that no statement is refused for being about them.
            username: "nobody-in-particular".to_owned(),
            steps,
        };
        let error = plan.authorize(&policy).err()?;
        Some(format!(
            "target `{name}`, {target}, can't work under any SQL_POLICY: {} [{}]",
            error.to_log(),
            error.code()
        ))
    })
}
