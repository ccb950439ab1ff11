//! Giving access: what the plugins ask for, what of it is allowed, and then the
//! change.

use std::sync::Arc;

use serde_json::json;
use tokio::time::Instant;

use super::{Body, Ready, Trace};
use crate::blocking::on_another_thread;
use crate::error::Result;
use crate::plan::{Plan, Strategy};
use crate::plugin::{Release, Spent, Version};
use crate::policy::AuthorizedPlan;
use crate::postgres::{Connection, Names, NewGrant, role};
use crate::record::{self, Record, Recording, Settings};
use crate::request::Request;
use crate::secret::secret_name;

/// From how many bytes of statements on a plan is checked on another thread: the parser
/// takes its time by their length, a second and more for the longest on a small
/// function, and keeps the event's clock from ringing. Below, changing the thread costs
/// as much.
const LONG_PLAN_BYTES: usize = 4096;

/// What is to be done for a request.
pub(super) struct Planned {
    /// Who says so.
    pub(super) release: Arc<Release>,
    pub(super) plan: AuthorizedPlan,
    /// What is left of asking.
    pub(super) spent: Vec<Spent>,
}

impl Ready {
    pub(super) async fn escalate(
        &self,
        request: &Request,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Body> {
        if self.config.strategy == Strategy::TemporaryUser {
            self.passwords.begin();
        }
        let Planned {
            release,
            plan,
            spent,
        } = self.authorized_plan(request, deadline, trace).await?;
        // From here on the event waits for the database.
        release.start_ahead(&request.target.name, spent);
        let grant = self.new_grant(request, &release);
        match plan.strategy() {
            Strategy::Role => Box::pin(self.lend(&grant, &plan)).await,
            Strategy::TemporaryUser => Box::pin(self.make_user(&grant, &plan)).await,
        }
    }

    /// What the plugins ask for, checked, and a connection beside it: that takes
    /// longer than the plugins, and needs nothing of them.
    pub(super) async fn authorized_plan(
        &self,
        request: &Request,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Planned> {
        let mut answer = record::Answer::default();
        let mut spent = Vec::new();
        let planning = async {
            let accept = async |version: &Version| self.accept(version).await;
            // Boxed, as in `serve`.
            let release = Box::pin(self.releases.current(deadline, accept)).await?;
            trace.release = Some(release.id().to_owned());
            let plan = self.plan(&release, request, deadline, &mut answer, &mut spent);
            let plan = plan.await?;
            Ok((release, plan))
        };
        let (connected, planned) =
            tokio::join!(self.database.ensure_connected(&self.aws), planning);
        let authorized = match planned {
            Ok((release, plan)) => self.authorize(plan).await.map(|plan| (release, plan)),
            Err(error) => Err(error),
        };
        let plan = authorized.as_ref().map(|(_, plan)| plan);
        self.record(request, trace.release.as_deref(), answer.with_plan(plan));
        let (release, plan) = authorized?;
        connected?;
        Ok(Planned {
            release,
            plan,
            spent,
        })
    }

    /// Checks what the plugins ask for.
    async fn authorize(&self, plan: Plan) -> Result<AuthorizedPlan> {
        if plan.sql_bytes() < LONG_PLAN_BYTES {
            return plan.authorize(&self.config.policy);
        }
        let policy = self.config.policy.clone();
        on_another_thread(move || plan.authorize(&policy)).await
    }

    /// Has the log keep the event and its answer, where the operator wants it.
    fn record(&self, request: &Request, release: Option<&str>, answer: record::Answer) {
        let config = &self.config;
        let record = || Record {
            schema: record::SCHEMA,
            masked: false,
            release: release.unwrap_or_default().to_owned(),
            event: request.event_json.clone(),
            settings: Settings::new(config.strategy, config.duration_unit, &config.policy),
            answer,
        };
        let record = match config.record {
            Recording::Off => return,
            Recording::Full => record(),
            Recording::Masked => self.mask.mask(record()),
        };
        match serde_json::to_string(&record) {
            Ok(record) => tracing::info!(record, "record"),
            Err(error) => tracing::warn!(%error, "the event can't be recorded"),
        }
    }

    /// The ledger's new row.
    pub(super) fn new_grant<'a>(&self, request: &'a Request, release: &'a Release) -> NewGrant<'a> {
        NewGrant {
            request,
            release: release.id(),
            lease_seconds: self.config.expiry_seconds(request.duration_seconds),
            replay_window_seconds: self.config.replay_window_seconds,
        }
    }

    /// What the plugins ask for.
    async fn plan(
        &self,
        release: &Release,
        request: &Request,
        deadline: Instant,
        answer: &mut record::Answer,
        spent: &mut Vec<Spent>,
    ) -> Result<Plan> {
        let target = release.asked(request)?;
        let strategy = target.strategy().unwrap_or(self.config.strategy);
        let _timer = self.meters.plugins.start();
        let user = release.resolve_user(request, strategy, deadline).await?;
        self.meters.fuel.add(user.cost.fuel);
        spent.push(user.spent);
        let username = user.value;
        answer.user = Some(username.clone());
        answer.resolver_fuel = Some(user.cost.fuel);
        let setup = release
            .setup(request, strategy, &username, deadline)
            .await?;
        self.meters.fuel.add(setup.cost.fuel);
        spent.push(setup.spent);
        answer.target_fuel = Some(setup.cost.fuel).filter(|fuel| *fuel > 0);
        let steps = setup.value;
        Ok(Plan {
            strategy,
            username,
            steps,
        })
    }

    /// Where a temporary user's credentials go.
    pub(super) fn secret_name(&self, request: &Request) -> String {
        let secrets = &self.config.secrets;
        secret_name(
            &secrets.prefix,
            &secrets.function,
            &request.requester.username,
            request.run.id(),
        )
    }

    async fn lend(&self, grant: &NewGrant<'_>, plan: &AuthorizedPlan) -> Result<Body> {
        let role = plan.lent_role()?;
        let names = Names {
            user: plan.username().as_str(),
            role: role.as_str(),
            ..Names::default()
        };
        let lend = async |connection: &mut Connection| {
            role::lend(connection, grant, plan.username(), role).await
        };
        let granted = self.database.with_ledger(&self.aws, names, lend).await?;
        let mut body = Body::new();
        body.insert("username".to_owned(), json!(granted.user_name));
        Ok(body)
    }
}
