//! `symctl plugin run`: one event, and everything that a plugin makes of it, on
//! one screen.

mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::json;
use sym_host::plan::Strategy;
use sym_host::plugin::Limits;
use sym_host::plugin::trial::Given;
use sym_host::policy::{Policy, SqlPolicy};
use sym_host::request::Request;
use sym_host::sql::quote_identifier;

use super::build::{PROJECT_FILE, build};
use super::cases::event::{self, Changes};
use super::cases::{parse_sql_policy, parse_strategy};
use super::outcome::{Conditions, Outcome, StepText, request_of};
use super::show;
use super::subject::{Subject, check_all};
use crate::engine::engine;
use crate::output::{self, Status};
use crate::store::block_on;

/// Run a plugin on one event: what it is asked, what it answers, the SQL that
/// would run, its log, and what it took against its limits. No database.
///
/// Exits with 1 where there is no plan: the plugin refused, passed a limit, or
/// asked for what the policy refuses.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  symctl plugin run\n  symctl plugin run --requester ada@a.example --target reporting\n  symctl plugin run events/v6/escalate-role.json\n  symctl plugin run event.json --plugin my-target.wasm --user ada --strategy temporary-user\n  symctl plugin run event.json --config 'domains=[\"a.example\"]' --limit fuel=100000\n  symctl plugin run --watch"
)]
pub(crate) struct RunArgs {
    /// The event, as JSON; `-` reads standard input. Without it, a sample: an escalate
    /// event of `sym-user@healthy-health.co` for the target `readonly`.
    event: Option<PathBuf>,
    /// Who asks, in place of whom the event says.
    #[arg(long, value_name = "NAME")]
    requester: Option<String>,
    /// What they ask for, in place of what the event says.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// A directory with `plugins.toml`, or a component.
    #[arg(long, value_name = "PATH", default_value = ".")]
    plugin: PathBuf,
    #[command(flatten)]
    conditions: ConditionArgs,
    /// Run again after each change of the plugin or the event, until it is
    /// interrupted. A project (`sym-plugin.toml`) is built first each time.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What stands beside the event.
#[derive(Args)]
pub(crate) struct ConditionArgs {
    /// The database user: then no resolver is asked.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A setting, over those of `plugins.toml`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    config: Vec<(String, String)>,
    /// A limit, over those of `plugins.toml`.
    #[arg(long, value_name = "KEY=NUMBER", value_parser = parse_limit)]
    limit: Vec<(String, u64)>,
    #[command(flatten)]
    settings: SettingArgs,
}

/// The function's settings that an answer hangs on.
#[derive(Args)]
pub(crate) struct SettingArgs {
    /// The strategy of targets that don't name one: `role` or `temporary-user`.
    #[arg(long, value_parser = parse_strategy, default_value = "role")]
    strategy: Strategy,
    /// The function's SQL_POLICY: `roles`, `grants` or `any`.
    #[arg(long, value_parser = parse_sql_policy, default_value = "grants")]
    sql_policy: SqlPolicy,
    /// The function's GRANTABLE_ROLES. Without it: any that isn't privileged.
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    grantable_roles: Option<Vec<String>>,
}

fn parse_pair(text: &str) -> anyhow::Result<(String, String)> {
    let pair = text.split_once('=');
    let (key, value) = pair.context("expected `key=value`")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn parse_limit(text: &str) -> anyhow::Result<(String, u64)> {
    let (key, value) = parse_pair(text)?;
    let number = value.replace('_', "");
    let number = number
        .parse()
        .with_context(|| format!("`{value}` is no number"))?;
    let set = Limits::default().set(&key, number);
    set.map_err(|why| anyhow!("`{key}` {why}"))?;
    Ok((key, number))
}

impl ConditionArgs {
    pub(crate) fn conditions(&self) -> Conditions {
        Conditions {
            given: Given {
                user: self.user.clone(),
                config: self.config.iter().cloned().collect::<BTreeMap<_, _>>(),
                limits: self.limit.iter().cloned().collect::<BTreeMap<_, _>>(),
            },
            ..self.settings.conditions()
        }
    }
}

impl SettingArgs {
    pub(crate) fn conditions(&self) -> Conditions {
        let default = Conditions::default();
        let roles = self.grantable_roles.as_ref();
        Conditions {
            strategy: self.strategy,
            policy: Policy {
                sql: self.sql_policy,
                grantable_roles: roles.map(|roles| roles.iter().cloned().collect()),
                ..default.policy
            },
            ..default
        }
    }
}

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Status> {
    if !args.watch {
        return once(args);
    }
    let event = args.event.as_deref();
    if event.is_some_and(|path| path.as_os_str() == "-") {
        bail!("`--watch` needs an event that is a file: standard input can be read once");
    }
    let mut watched = vec![args.plugin.as_path()];
    watched.extend(event);
    watch::watch(&watched, || {
        let result = build_project(&args.plugin).and_then(|()| once(args));
        if let Err(error) = result {
            output::error(&error);
        }
    })
}

/// Builds what has sources here. A directory without them is taken as it is.
fn build_project(path: &Path) -> anyhow::Result<()> {
    if path.join(PROJECT_FILE).is_file() {
        build(path)?;
    }
    Ok(())
}

fn once(args: &RunArgs) -> anyhow::Result<Status> {
    let changes = Changes {
        requester: args.requester.as_deref(),
        target: args.target.as_deref(),
        ..Changes::default()
    };
    let event = event::event(args.event.as_deref(), &changes)?;
    let request = request_of(&event)?;
    let subject = Subject::find(&args.plugin)?;
    subject.note_staleness();
    let targets = BTreeSet::from([request.target.name.clone()]);
    let release = subject.load(&engine()?, &targets)?;
    let conditions = args.conditions.conditions();
    if conditions.given.user.is_none() && !release.has_resolver() {
        bail!("there is no resolver here: give the database user with `--user`");
    }
    let outcome = block_on(async {
        // So that the time is the call's, and not the compiler's.
        check_all(&release).await?;
        anyhow::Ok(Outcome::of(&release, &request, &conditions).await)
    })?;
    if args.json {
        output::json(&json!({"release": release.id(), "outcome": outcome}));
    } else {
        print(args.event.as_deref(), &request, release.id(), &outcome);
    }
    let error = outcome.error.as_ref();
    Ok(match outcome.refusal() {
        None => Status::Done,
        Some(_) if error.is_some_and(|error| error.is_ours) => Status::Ours,
        Some(_) => Status::Yours,
    })
}

fn print(path: Option<&Path>, request: &Request, release: &str, outcome: &Outcome) {
    let duration = match request.duration_seconds {
        Some(seconds) => format!("{} min", seconds / 60),
        None => "no duration".to_owned(),
    };
    let reason = match &request.reason {
        Some(reason) => format!(", \"{reason}\""),
        None => String::new(),
    };
    let event = path.map_or("a sample".to_owned(), |path| path.display().to_string());
    output::data(&format!("event    {event} ({release})"));
    output::data(&format!(
        "asks     {} for target {}, strategy {}, {duration}{reason}",
        request.requester.username, request.target.name, outcome.strategy
    ));
    output::data("");
    output::data(&format!(
        "user     {}",
        outcome.user.as_deref().unwrap_or("-")
    ));
    for (index, step) in outcome.steps.iter().flatten().enumerate() {
        let title = if index == 0 { "SQL" } else { "" };
        let sql = in_sql(step, outcome.user.as_deref().unwrap_or_default());
        output::data(&format!("{title:8} {sql};"));
    }
    if let Some(why) = outcome.refusal() {
        output::data(&format!("refused  {why}"));
    }
    for (index, advice) in outcome.advice.iter().enumerate() {
        let title = if index == 0 { "advice" } else { "" };
        output::data(&format!("{title:8} {advice}"));
    }
    if !outcome.log.is_empty() {
        output::data("");
        for (index, line) in outcome.log.iter().enumerate() {
            let title = if index == 0 { "log" } else { "" };
            output::data(&format!("{title:8} {line}"));
        }
    }
    if !outcome.calls.is_empty() {
        output::data("");
        output::table(&show::costs(&outcome.calls));
    }
}

/// A step as the SQL that it comes to.
fn in_sql(step: &StepText, user: &str) -> String {
    match step {
        StepText::Sql(sql) => sql.clone(),
        StepText::GrantRole(role) => {
            // Both were checked: they are names.
            let quoted = |name: &str| quote_identifier(name).unwrap_or_else(|_| name.to_owned());
            format!("GRANT {} TO {}", quoted(role), quoted(user))
        }
    }
}
