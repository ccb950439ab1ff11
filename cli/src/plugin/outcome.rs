//! What came of asking plugins, in words and numbers: what cases expect, what
//! `run` shows, and what is compared between releases.

use serde::Serialize;
use sym_host::error::{Blame, Code, Error};
use sym_host::event::{Event, Kind};
use sym_host::plan::{Plan, Strategy};
use sym_host::plugin::trial::{Given, Trial};
use sym_host::plugin::{Called, Cost, Limits, Release};
use sym_host::policy::{AuthorizedPlan, Policy, SqlPolicy};
pub(crate) use sym_host::record::StepText;
use sym_host::request::{DurationUnit, Request};

/// What came of one event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) strategy: &'static str,
    /// The database user, as far as it is known.
    pub(crate) user: Option<String>,
    /// What the policy let pass, as it would run. `None` where there is no plan.
    pub(crate) steps: Option<Vec<StepText>>,
    /// The plugin said that it doesn't answer.
    pub(crate) failure: Option<FailureText>,
    /// Anything else that went wrong.
    pub(crate) error: Option<ErrorText>,
    /// `level: message`.
    pub(crate) log: Vec<String>,
    /// Advice about the steps.
    pub(crate) advice: Vec<String>,
    /// What the user has once the plan was carried out. `None`: it wasn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) privileges: Option<Vec<String>>,
    /// What was called, and what it took.
    pub(crate) calls: Vec<Call>,
    #[serde(skip)]
    pub(crate) plan: Option<AuthorizedPlan>,
}

/// A plugin's failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FailureText {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// The host's error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorText {
    pub(crate) code: String,
    /// With its causes.
    pub(crate) message: String,
    #[serde(skip)]
    pub(crate) is_ours: bool,
}

/// One call of a plugin.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
    /// `resolver` or `target`.
    pub(crate) part: &'static str,
    pub(crate) fuel: Used,
    pub(crate) memory_bytes: Used,
    pub(crate) microseconds: Used,
    pub(crate) log_lines: Used,
    pub(crate) log_bytes: Used,
    /// Of these, what was used before the plugin's function was called.
    pub(crate) start_fuel: u64,
    pub(crate) start_memory_bytes: u64,
}

/// How much of what there is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Used {
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

/// What stands beside the event.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// For targets that don't name one.
    pub(crate) strategy: Strategy,
    pub(crate) policy: Policy,
    pub(crate) given: Given,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            strategy: Strategy::Role,
            policy: Policy {
                sql: SqlPolicy::Grants,
                grantable_roles: None,
                bot: "sym_bot".to_owned(),
            },
            given: Given::default(),
        }
    }
}

/// Reads an event as the host does. Only an event that asks plugins is one here.
pub(crate) fn request_of(event_json: &str) -> Result<Request, Error> {
    request_in_units(event_json, DurationUnit::Minutes)
}

/// The same, where DURATION_UNIT says this.
pub(crate) fn request_in_units(event_json: &str, unit: DurationUnit) -> Result<Request, Error> {
    let event = Event::parse(event_json)?;
    match event.kind()? {
        Kind::Escalate | Kind::DryRun => Request::from_event(&event, event_json, unit),
        kind @ (Kind::Deescalate | Kind::Sweep) => Err(Error::new(
            Code::UnsupportedEvent,
            format!(
                "the event's type is `{}`, which asks no plugin: take one of type `escalate`",
                kind.as_str()
            ),
        )),
    }
}

impl Outcome {
    /// Asks a release, and holds what it says against the policy.
    pub(crate) async fn of(release: &Release, request: &Request, conditions: &Conditions) -> Self {
        let given = &conditions.given;
        match release.try_out(request, conditions.strategy, given).await {
            Ok(trial) => Self::of_trial(trial, &conditions.policy),
            Err(error) => Self {
                strategy: conditions.strategy.as_str(),
                user: None,
                steps: None,
                failure: None,
                error: Some(ErrorText::of(&error)),
                log: Vec::new(),
                advice: Vec::new(),
                privileges: None,
                calls: Vec::new(),
                plan: None,
            },
        }
    }

    fn of_trial(trial: Trial, policy: &Policy) -> Self {
        let mut outcome = Self {
            strategy: trial.strategy.as_str(),
            user: trial.user.clone(),
            steps: None,
            failure: None,
            error: None,
            log: Vec::new(),
            advice: Vec::new(),
            privileges: None,
            calls: Vec::new(),
            plan: None,
        };
        if let Some(called) = &trial.resolver {
            outcome.add("resolver", called);
        }
        if let Some(called) = &trial.target {
            outcome.add("target", called);
        }
        if outcome.failure.is_some() {
            return outcome;
        }
        if let Some(error) = trial.error() {
            outcome.error = Some(ErrorText::of(error));
            return outcome;
        }
        if let Some(plan) = trial.plan() {
            outcome.advice = plan.lint().iter().map(ToString::to_string).collect();
            match plan.authorize(policy) {
                Ok(plan) => {
                    outcome.steps = Some(plan.steps().iter().map(StepText::from).collect());
                    outcome.plan = Some(plan);
                }
                Err(error) => outcome.error = Some(ErrorText::of(&error)),
            }
        } else if let Some(user) = &trial.user {
            outcome.error = name_error(user, policy).as_ref().map(ErrorText::of);
        }
        outcome
    }

    fn add<T>(&mut self, part: &'static str, called: &Called<T>) {
        let lines = called.log.iter();
        self.log
            .extend(lines.map(|line| format!("{}: {}", line.level, line.message)));
        if let Some(limits) = &called.limits {
            self.calls
                .push(Call::of(part, &called.cost, &called.start, limits));
        }
        if let Some(said) = &called.failure {
            self.failure = Some(FailureText {
                code: said.code.clone(),
                message: said.message.clone(),
            });
        }
    }

    /// What the whole took.
    pub(crate) fn total(&self, what: impl Fn(&Call) -> Used) -> u64 {
        self.calls.iter().map(|call| what(call).used).sum()
    }

    /// What stands in the way, in one line.
    pub(crate) fn refusal(&self) -> Option<String> {
        match (&self.failure, &self.error) {
            (Some(failure), _) => Some(format!("failure `{}`: {}", failure.code, failure.message)),
            (None, Some(error)) => Some(format!("{} [{}]", error.message, error.code)),
            (None, None) => None,
        }
    }
}

/// Whether the policy has something against a user of this name. Asked where
/// there is a resolver alone.
pub(crate) fn name_error(user: &str, policy: &Policy) -> Option<Error> {
    let plan = Plan {
        strategy: Strategy::TemporaryUser,
        username: user.to_owned(),
        steps: Vec::new(),
    };
    plan.authorize(policy).err()
}

impl ErrorText {
    fn of(error: &Error) -> Self {
        Self {
            code: error.code().to_string(),
            message: error.to_log(),
            is_ours: matches!(error.code().blame(), Blame::Upstream | Blame::Host),
        }
    }
}

impl Call {
    fn of(part: &'static str, cost: &Cost, start: &Cost, limits: &Limits) -> Self {
        let used = |used, limit| Used { used, limit };
        let micros = u64::try_from(cost.wall.as_micros()).unwrap_or(u64::MAX);
        Self {
            part,
            fuel: used(cost.fuel, limits.fuel),
            memory_bytes: used(cost.memory_bytes, limits.memory_bytes),
            microseconds: used(micros, limits.wall_milliseconds.saturating_mul(1000)),
            log_lines: used(cost.log_lines, limits.log_lines),
            log_bytes: used(cost.log_bytes, limits.log_bytes),
            start_fuel: start.fuel,
            start_memory_bytes: start.memory_bytes,
        }
    }
}
