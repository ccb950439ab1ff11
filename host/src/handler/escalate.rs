//! Giving access: what the plugins ask for, what of it is allowed, and then the
//! change.

use std::sync::Arc;

use serde_json::json;
use tokio::time::Instant;

use super::{Body, Ready, Trace};
use crate::error::{Code, Error, Result};
use crate::event::printable;
use crate::name::RoleName;
use crate::plan::{Plan, Strategy};
use crate::plugin::{Release, Version};
use crate::policy::{AuthorizedPlan, AuthorizedStep};
use crate::postgres::{Connection, Failure, Grant, Names, NewGrant, failure, role, rollback, user};
use crate::record::{self, Record, Recording, Settings};
use crate::request::Request;
use crate::secret::{Credentials, Password, Secret, Verifier, secret_name};
use crate::secrets::Created;

impl Ready {
    pub(super) async fn escalate(
        &self,
        request: &Request,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Body> {
        let (release, plan) = self.authorized_plan(request, deadline, trace).await?;
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
    ) -> Result<(Arc<Release>, AuthorizedPlan)> {
        let mut answer = record::Answer::default();
        let planning = async {
            let accept = async |version: &Version| self.accept(version).await;
            // Boxed, as in `serve`.
            let release = Box::pin(self.releases.current(deadline, accept)).await?;
            trace.release = Some(release.id().to_owned());
            let plan = self.plan(&release, request, deadline, &mut answer).await?;
            Ok((release, plan))
        };
        let ((), planned) = tokio::join!(self.database.warm_up(&self.aws), planning);
        let authorized = planned.and_then(|(release, plan)| {
            let plan = plan.authorize(&self.config.policy)?;
            Ok((release, plan))
        });
        let plan = authorized.as_ref().map(|(_, plan)| plan);
        self.record(request, trace.release.as_deref(), answer.with_plan(plan));
        authorized
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
            lease_seconds: self.lease_seconds(request)
                + u64::from(self.config.expiry_grace_seconds),
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
    ) -> Result<Plan> {
        let target = release.target(&request.target.name).ok_or_else(|| {
            Error::new(
                Code::UnknownTarget,
                format!(
                    "target `{}` is not in `plugins.toml`: add it, or ask for another",
                    printable(&request.target.name, 80)
                ),
            )
        })?;
        let strategy = target.strategy().unwrap_or(self.config.strategy);
        let _timer = self.meters.plugins.start();
        let user = release.resolve_user(request, strategy, deadline).await?;
        self.meters.fuel.add(user.cost.fuel);
        let username = user.value;
        answer.user = Some(username.clone());
        answer.resolver_fuel = Some(user.cost.fuel);
        let setup = release
            .setup(request, strategy, &username, deadline)
            .await?;
        self.meters.fuel.add(setup.cost.fuel);
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

    /// How long the access is for.
    pub(super) fn lease_seconds(&self, request: &Request) -> u64 {
        let longest = self.config.max_duration_seconds;
        u64::from(request.duration_seconds.unwrap_or(longest).min(longest))
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

    async fn make_user(&self, grant: &NewGrant<'_>, plan: &AuthorizedPlan) -> Result<Body> {
        let secret = self.secret_name(grant.request);
        let names = Names {
            user: plan.username().as_str(),
            ..Names::default()
        };
        let make = async |connection: &mut Connection| {
            // Its milliseconds of hashing, while the server writes the row.
            let password = tokio::task::spawn_blocking(new_password);
            let prepared = user::prepare(connection, grant, plan.username(), &secret).await?;
            if prepared.state == "granted" {
                return Ok(prepared);
            }
            let password = password.await;
            let password = password.map_err(|panic| Error::internal(panic.to_string()))??;
            match self
                .make_prepared_user(connection, grant, plan, &prepared, password)
                .await
            {
                // The same event, served at the same moment, was first.
                Err(failure) if failure.is_refusal("already-granted") => {
                    rollback(connection).await?;
                    user::prepare(connection, grant, plan.username(), &secret).await
                }
                Err(failure) => Err(failure),
                Ok(()) => Ok(prepared),
            }
        };
        let granted = self.database.with_ledger(&self.aws, names, make).await?;
        let mut body = Body::new();
        body.insert("secret_name".to_owned(), json!(granted.secret));
        body.insert("username".to_owned(), json!(granted.user_name));
        body.insert("expires_at".to_owned(), json!(granted.expires_at));
        Ok(body)
    }

    /// The user, its setup, its secret, and the COMMIT. The names are those of
    /// the run's first try, whatever the plugins say today.
    async fn make_prepared_user(
        &self,
        connection: &mut Connection,
        grant: &NewGrant<'_>,
        plan: &AuthorizedPlan,
        prepared: &Grant,
        (password, verifier): (Password, Verifier),
    ) -> failure::Result<()> {
        let run = &grant.request.run;
        let (Some(username), Some(secret_name)) = (&prepared.user_name, &prepared.secret) else {
            return Err(Error::internal("a prepared run has a user and a secret").into());
        };
        if username != plan.username().as_str() {
            // Its setup was made for another name.
            return Err(renamed(username, plan.username()));
        }
        let new = user::NewUser {
            run,
            verifier: &verifier,
            connection_limit: self.config.connection_limit,
            steps: plan.steps(),
        };
        let has_statements = plan
            .steps()
            .iter()
            .any(|step| matches!(step, AuthorizedStep::Sql(_)));
        if has_statements && self.database.is_split() {
            let mut database = self
                .database
                .connect_to(&self.aws, &self.config.database.name)
                .await?;
            user::create_across(connection, &mut database, &new).await?;
        } else {
            user::create(connection, &new).await?;
        }
        let database = self.database.config();
        let credentials = Credentials {
            engine: "postgres".to_owned(),
            host: database.host.clone(),
            port: database.port,
            dbname: database.name.clone(),
            username: username.clone(),
            password: password.expose().to_owned(),
        };
        let secret = Secret::new(
            secret_name.clone(),
            &grant.request.requester.username,
            run.id(),
            &credentials,
        );
        let timer = self.meters.secrets.start();
        let created = self.store.create(&self.aws, &secret, username).await;
        drop(timer);
        match created? {
            Created::New => {}
            // From a try that died after it: one run, one password.
            Created::Existing(password) => {
                user::take_password(connection, run, &password.to_verifier()?).await?
            }
        }
        user::commit(connection).await
    }
}

fn new_password() -> Result<(Password, Verifier)> {
    let password = Password::generate()?;
    let verifier = password.to_verifier()?;
    Ok((password, verifier))
}

fn renamed(before: &str, now: &RoleName) -> Failure {
    Error::new(
        Code::RunConflict,
        format!(
            "this run began as `{before}`, and the resolver says `{now}` now: end it, and send a new request",
            before = printable(before, 80)
        ),
    )
    .into()
}
