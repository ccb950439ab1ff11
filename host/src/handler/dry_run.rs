//! What an escalate would do, in words, and what stands in its way: by the same
//! code, in a transaction that is rolled back. Approvers see it beside the
//! Approve button.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::escalate::Planned;
use super::{Body, Ready, Trace};
use crate::error::Result;
use crate::plan::Strategy;
use crate::policy::{AuthorizedPlan, AuthorizedStep};
use crate::postgres::{Connection, Names, NewGrant, role, user};
use crate::request::Request;
use crate::secret::Password;

impl Ready {
    pub(super) async fn dry_run(
        &self,
        request: &Request,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Body> {
        let Planned {
            release,
            plan,
            spent,
        } = self.authorized_plan(request, deadline, trace).await?;
        // Who is asked about it now is mostly given it soon.
        release.start_ahead(&request.target.name, spent);
        let grant = self.new_grant(request, &release);
        let until = self.until(request);
        let words = match plan.strategy() {
            Strategy::Role => self.rehearse_role(&grant, &plan, &until).await?,
            Strategy::TemporaryUser => self.rehearse_user(&grant, &plan, &until).await?,
        };
        let mut body = Body::new();
        body.insert("plan".to_owned(), json!(words));
        Ok(body)
    }

    async fn rehearse_role(
        &self,
        grant: &NewGrant<'_>,
        plan: &AuthorizedPlan,
        until: &str,
    ) -> Result<String> {
        let role = plan.lent_role()?;
        let names = Names {
            user: plan.username().as_str(),
            role: role.as_str(),
            ..Names::default()
        };
        let rehearse = async |connection: &mut Connection| {
            role::rehearse(connection, grant, plan.username(), role).await
        };
        let lent = self
            .database
            .with_ledger(&self.aws, names, rehearse)
            .await?;
        let remark = match (lent.repeated, lent.standing || lent.already) {
            (true, _) => "; lent already by this run",
            (false, true) => "; already a member, and stays one",
            (false, false) => "",
        };
        Ok(format!(
            "{role} for {user} until {until}{remark}",
            user = plan.username()
        ))
    }

    async fn rehearse_user(
        &self,
        grant: &NewGrant<'_>,
        plan: &AuthorizedPlan,
        until: &str,
    ) -> Result<String> {
        let request = grant.request;
        let secret = self.secret_name(request);
        let is_split = self.database.is_split();
        // In another database nothing can be rolled back together: what runs
        // there is said, not tried.
        let steps: Vec<AuthorizedStep> = plan
            .steps()
            .iter()
            .filter(|step| !is_split || matches!(step, AuthorizedStep::GrantRole(_)))
            .cloned()
            .collect();
        let verifier = Password::generate()?.to_verifier()?;
        let new = user::NewUser {
            run: &request.run,
            name: plan.username(),
            connection_limit: self.config.connection_limit,
            steps: &steps,
        };
        let names = Names {
            user: plan.username().as_str(),
            ..Names::default()
        };
        let rehearse = async |connection: &mut Connection| {
            user::rehearse(connection, grant, &secret, &new, &verifier).await
        };
        self.database
            .with_ledger(&self.aws, names, rehearse)
            .await?;
        let mut gets: Vec<String> = Vec::new();
        let mut statements = 0;
        for step in plan.steps() {
            match step {
                AuthorizedStep::GrantRole(role) => gets.push(role.to_string()),
                AuthorizedStep::Sql(_) => statements += 1,
            }
        }
        if statements > 0 {
            gets.push(format!("{statements} statement(s) of the target's"));
        }
        let gets = if gets.is_empty() {
            "nothing".to_owned()
        } else {
            gets.join(", ")
        };
        Ok(format!(
            "temporary user {user} with {gets} until {until}",
            user = plan.username()
        ))
    }

    /// When the lease ends, were it approved now.
    fn until(&self, request: &Request) -> String {
        let lease = self.config.lease_seconds(request.duration_seconds);
        let until = Timestamp::now().saturating_add(Duration::from_secs(u64::from(lease)));
        match until {
            Ok(until) => until.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            Err(_) => "the end of time".to_owned(),
        }
    }
}
