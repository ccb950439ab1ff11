//! `MODE=shadow`: beside Sym's template on the same events. Nobody's access
//! changes; each event is answered, and logged, with what differs.
//!
//! The template has served the event before: what it did is looked up in the
//! database, by the rules that it comes with, and in its own answer where the
//! event brings it along (`answer`, beside Sym's own fields).

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::escalate::Planned;
use super::{Body, Ready, Trace};
use crate::error::{Code, Error, Result};
use crate::event::{Event, Kind, printable};
use crate::metrics;
use crate::plan::Strategy;
use crate::policy::AuthorizedStep;
use crate::postgres::{Connection, Names, role};
use crate::request::{Ending, Request, TemplateGrant};

/// Longest part of the template's answer that is repeated.
const LONGEST_WORDS: usize = 200;

/// What the event brings along of the template.
#[derive(Default, Deserialize)]
struct Shadowed {
    answer: Option<TemplateAnswer>,
}

/// What the template answered.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TemplateAnswer {
    body: TemplateBody,
    errors: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TemplateBody {
    username: Option<String>,
    secret_name: Option<String>,
}

/// What we would have done, and what differs.
#[derive(Default)]
struct Comparison {
    would: String,
    differences: Vec<String>,
}

impl Comparison {
    fn differs(&mut self, sentence: String) {
        self.differences.push(sentence);
    }

    /// Two names for one thing.
    fn compare(&mut self, what: &str, ours: &str, theirs: &str) {
        if ours != theirs {
            let theirs = printable(theirs, LONGEST_WORDS);
            self.differs(format!(
                "{what} is `{ours}` here, and `{theirs}` by the template"
            ));
        }
    }
}

impl Ready {
    pub(super) async fn shadow(
        &self,
        event: &Event,
        kind: Kind,
        payload: &str,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Body> {
        // An answer of another shape is as good as none.
        let shadowed: Shadowed = serde_json::from_str(payload).unwrap_or_default();
        let answer = shadowed.answer.as_ref();
        let comparison = match kind {
            Kind::Escalate => {
                let request = Request::from_event(event, payload, self.config.duration_unit)?;
                self.check_org(&request.run)?;
                self.shadow_escalate(&request, answer, deadline, trace)
                    .await?
            }
            Kind::Deescalate => {
                let ending = Ending::from_event(event)?.or_the_templates();
                self.check_org(&ending.run)?;
                self.shadow_deescalate(&ending, answer).await?
            }
            Kind::DryRun => {
                let request = Request::from_event(event, payload, self.config.duration_unit)?;
                self.check_org(&request.run)?;
                return Box::pin(self.dry_run(&request, deadline, trace)).await;
            }
            Kind::Sweep => {
                let overdue = self.overdue().await?;
                // By this the alarm `sweep-missing` knows that sweeps run.
                let found = overdue.len() as u64;
                trace.measured.count(metrics::SWEEP_FOUND, found);
                Comparison {
                    would: format!("end {} run(s)", overdue.len()),
                    differences: Vec::new(),
                }
            }
        };
        let run = trace.run.as_ref().map(crate::request::Run::srn);
        for difference in &comparison.differences {
            tracing::warn!(run, difference, "shadow");
        }
        let mut body = Body::new();
        body.insert("would".to_owned(), json!(comparison.would));
        body.insert("differences".to_owned(), json!(comparison.differences));
        Ok(body)
    }

    async fn shadow_escalate(
        &self,
        request: &Request,
        answer: Option<&TemplateAnswer>,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Comparison> {
        let mut comparison = Comparison::default();
        let planned = self.authorized_plan(request, deadline, trace).await;
        let Planned { release, plan, .. } = match planned {
            Ok(planned) => planned,
            Err(error) => return refusal(error, answer),
        };
        let user = plan.username().as_str();
        let has_failed = answer.is_some_and(|answer| !answer.errors.is_empty());
        let (lent, role) = match (plan.strategy(), plan.steps()) {
            (Strategy::Role, [AuthorizedStep::GrantRole(role)]) => {
                let template =
                    TemplateGrant::new(&request.requester.username, &request.target.name);
                let theirs = answer.and_then(|answer| answer.body.username.as_deref());
                comparison.would = format!("lend `{role}` to `{user}`");
                comparison.compare("the role", role.as_str(), &template.role);
                if !has_failed {
                    let theirs = theirs.unwrap_or(&template.user);
                    comparison.compare("the database user", user, theirs);
                }
                let grant = self.new_grant(request, &release);
                let names = Names {
                    user,
                    role: role.as_str(),
                    ..Names::default()
                };
                let rehearse = async |connection: &mut Connection| {
                    role::rehearse(connection, &grant, plan.username(), role).await
                };
                match self.database.with_ledger(&self.aws, names, rehearse).await {
                    Ok(lent) => (lent.standing || lent.already, role),
                    Err(error) => return refusal(error, answer),
                }
            }
            // Its template never commits: there is nothing of it to look up.
            _ => {
                let secret = self.secret_name(request);
                comparison.would = format!("make the user `{user}` and the secret `{secret}`");
                let theirs = answer.and_then(|answer| answer.body.secret_name.as_deref());
                if let (Some(theirs), false) = (theirs, has_failed) {
                    comparison.compare("the secret's name", &secret, theirs);
                }
                report_failure(&mut comparison, answer);
                return Ok(comparison);
            }
        };
        report_failure(&mut comparison, answer);
        if !has_failed && !lent {
            comparison.differs(format!(
                "`{user}` has not got `{role}` by the template, or has it no more"
            ));
        }
        Ok(comparison)
    }

    async fn shadow_deescalate(
        &self,
        ending: &Ending,
        answer: Option<&TemplateAnswer>,
    ) -> Result<Comparison> {
        let rehearse =
            async |connection: &mut Connection| role::rehearse_end(connection, ending).await;
        let rehearsed = self
            .database
            .with_ledger(&self.aws, Names::default(), rehearse)
            .await;
        let ended = match rehearsed {
            Ok(ended) => ended,
            Err(error) => return refusal(error, answer),
        };
        let mut comparison = Comparison::default();
        match (&ended.grant.user_name, &ended.grant.role_name) {
            (Some(user), Some(role)) => {
                comparison.would = format!("take `{role}` back from `{user}`");
                comparison.differs(format!(
                    "`{user}` still has `{role}`: the template has not taken it back"
                ));
            }
            (Some(user), None) if ended.outcome == "temporary-user" => {
                comparison.would = format!("remove `{user}`");
                comparison.differs(format!(
                    "`{user}` was made by this function, and in `MODE=shadow` nobody removes it: run `symctl revoke` with its run"
                ));
            }
            _ => comparison.would = "find nothing to take back".to_owned(),
        }
        report_failure(&mut comparison, answer);
        Ok(comparison)
    }
}

/// We would have answered with an error.
fn refusal(error: Error, answer: Option<&TemplateAnswer>) -> Result<Comparison> {
    // What keeps us from comparing at all is no difference.
    if matches!(
        error.code(),
        Code::DatabaseUnavailable
            | Code::DatabaseLogin
            | Code::SecretUnavailable
            | Code::ReleaseUnavailable
            | Code::OutOfTime
            | Code::Internal
    ) {
        return Err(error);
    }
    let mut comparison = Comparison {
        would: format!("refuse: {}", error.to_public()),
        differences: Vec::new(),
    };
    if answer.is_none_or(|answer| answer.errors.is_empty()) {
        comparison.differs(format!(
            "this function refuses what the template does: {}",
            error.to_public()
        ));
    }
    Ok(comparison)
}

/// The template has answered with an error, and we would not.
fn report_failure(comparison: &mut Comparison, answer: Option<&TemplateAnswer>) {
    let errors = answer
        .map(|answer| answer.errors.as_slice())
        .unwrap_or_default();
    if !errors.is_empty() {
        // Its errors are the driver's words, which may quote anything: they are
        // counted, and not repeated.
        comparison.differs(format!(
            "the template has answered with {} error(s), and this function would not",
            errors.len()
        ));
    }
}
