//! Making a temporary user: the user and its secret, side by side, and both or
//! neither.

use std::sync::OnceLock;

use serde_json::json;

use super::{Body, Ready};
use crate::error::{Error, Result};
use crate::policy::{AuthorizedPlan, AuthorizedStep};
use crate::postgres::{Connection, Failure, Grant, Names, NewGrant, failure, rollback, user};
use crate::secret::{Credentials, Password, Secret};
use crate::secrets::Created;

impl Ready {
    pub(super) async fn make_user(
        &self,
        grant: &NewGrant<'_>,
        plan: &AuthorizedPlan,
    ) -> Result<Body> {
        let secret = self.secret_name(grant.request);
        let names = Names {
            user: plan.username().as_str(),
            ..Names::default()
        };
        let stored = OnceLock::new();
        let make = async |connection: &mut Connection| {
            self.make_once(connection, grant, plan, &secret, &stored)
                .await
        };
        let made = self.database.with_ledger(&self.aws, names, make).await;
        if made.is_err()
            && let Some(stored) = stored.into_inner()
        {
            self.forget_secret(grant, plan, &stored, names).await;
        }
        let made = made?;
        let mut body = Body::new();
        body.insert("secret_name".to_owned(), json!(made.secret));
        body.insert("username".to_owned(), json!(made.user_name));
        body.insert("expires_at".to_owned(), json!(made.expires_at));
        Ok(body)
    }

    /// The user, its secret, its setup, and the COMMIT. The names are those of
    /// the run's first try, whatever the plugins and the configuration say today. `stored`
    /// becomes the name of its secret once that is there, be it by a try that died after it.
    async fn make_once(
        &self,
        connection: &mut Connection,
        grant: &NewGrant<'_>,
        plan: &AuthorizedPlan,
        secret: &str,
        stored: &OnceLock<String>,
    ) -> failure::Result<Grant> {
        let run = &grant.request.run;
        let new = user::NewUser {
            run,
            name: plan.username(),
            connection_limit: self.config.connection_limit,
            steps: plan.steps(),
        };
        let (password, verifier) = self.passwords.take().await?;
        let store = async |prepared: &Grant| {
            let created = self.store_secret(grant, prepared, &password).await;
            // What is left to wait for is the database.
            self.passwords.begin();
            if let (Ok(_), Some(name)) = (&created, &prepared.secret) {
                stored.get_or_init(|| name.clone());
            }
            created
        };
        let has_statements = plan
            .steps()
            .iter()
            .any(|step| matches!(step, AuthorizedStep::Sql(_)));
        let before = if self.database.is_split() {
            let prepared = user::prepare(connection, grant, new.name, secret).await?;
            if prepared.state == "granted" {
                return Ok(prepared);
            }
            Some(prepared)
        } else {
            None
        };
        // What an earlier try has given in the other database is taken there, though this one's
        // release may have no statement.
        let across = before.filter(|prepared| has_statements || prepared.user_oid.is_some());
        let is_across = across.is_some();
        let (prepared, created) = if let Some(prepared) = across {
            match prepared.user_name.as_deref() {
                Some(before) if before != new.name.as_str() => {
                    // Its setup was made for another name.
                    return Err(Failure::renamed(before));
                }
                _ => {}
            }
            let mut database = self
                .database
                .connect_to(&self.aws, &self.config.database.name)
                .await?;
            let across = user::make_across(connection, &mut database, &new, &verifier).await;
            match across {
                // The same event, served at the same moment, may have been first: it took the
                // user up, and what was to be done here failed by that.
                Err(failure) if !failure.is_gone() => {
                    rollback(connection).await?;
                    let prepared = user::prepare(connection, grant, new.name, secret).await?;
                    return match prepared.state.as_str() {
                        "granted" => Ok(prepared),
                        _ => Err(failure),
                    };
                }
                result => result?,
            }
            let created = store(&prepared).await;
            (prepared, Some(created))
        } else {
            user::make(connection, grant, secret, &new, &verifier, store).await?
        };
        let password = match created {
            // An earlier try, or the same event served at the same moment, was first.
            None => return Ok(prepared),
            Some(created) => match created? {
                Created::New => None,
                // From a try that died after it: one run, one password.
                Created::Existing(password) => Some(password.to_verifier()?),
            },
        };
        if !is_across {
            user::equip(connection, &new, password.as_ref()).await?;
            return Ok(prepared);
        }
        if let Some(verifier) = &password {
            user::take_password(connection, run, verifier).await?;
        }
        user::commit(connection).await?;
        Ok(prepared)
    }

    async fn store_secret(
        &self,
        grant: &NewGrant<'_>,
        prepared: &Grant,
        password: &Password,
    ) -> Result<Created> {
        let (Some(username), Some(name)) = (&prepared.user_name, &prepared.secret) else {
            return Err(Error::internal("a prepared run has a user and a secret"));
        };
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
            name.clone(),
            &grant.request.requester.username,
            grant.request.run.id(),
            &credentials,
        );
        let _timer = self.meters.secrets.start();
        self.store.create(&self.aws, &secret, username).await
    }

    /// Deletes the secret of a user that was not made. While the run is held, nobody
    /// else makes the user; where somebody has, the secret is theirs now. What fails
    /// here is left to the sweep, as after a crash: the run is `pending` still.
    async fn forget_secret(
        &self,
        grant: &NewGrant<'_>,
        plan: &AuthorizedPlan,
        secret: &str,
        names: Names<'_>,
    ) {
        let run = &grant.request.run;
        let forget = async |connection: &mut Connection| {
            match user::hold(connection, run, plan.username()).await {
                Err(failure) if failure.is_refusal("already-granted") => {}
                // It has ended meanwhile, perhaps before the secret was there.
                Err(failure) if !failure.is_refused() => return Err(failure),
                Ok(()) | Err(_) => self.store.delete(&self.aws, secret).await?,
            }
            rollback(connection).await
        };
        if let Err(error) = self.database.with_ledger(&self.aws, names, forget).await {
            tracing::warn!(
                run = run.srn(),
                cause = error.to_log(),
                "the secret of a user that was not made is left to the sweep"
            );
        }
    }
}
