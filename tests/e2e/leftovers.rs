//! What people leave behind, or others do meanwhile: open sessions, objects,
//! grants by others, changed users, a changed ledger. The access is gone in
//! each, or a sentence says what remains and who has to act.

mod functions;
mod identities;
mod logins;
mod memberships;
mod objects;
mod owners;
mod sessions;

use anyhow::ensure;
use serde_json::Value;
use tokio_postgres::Client;

use crate::fixture::{Event, PERSON, World, count_orders, refusal};

fn denied() -> Result<i64, String> {
    Err("42501".to_owned())
}

/// Nobody can do anything with this session any more.
async fn is_ended(session: &Client) -> bool {
    matches!(count_orders(session).await, Err(code) if code == "57P01" || code == "closed")
}

async fn person(world: &World) -> Client {
    let session = world.login(PERSON, &world.person_password).await;
    session.expect("the person can log in")
}

fn has_set_option(world: &World) -> bool {
    world.postgres.install().major >= 16
}

/// A temporary user, and what its secret says.
struct TemporaryUser {
    event: Event,
    name: String,
    password: String,
}

impl TemporaryUser {
    async fn make(world: &World) -> anyhow::Result<TemporaryUser> {
        let event = Event::escalate_temporary_user();
        let body = world.body(&event).await?;
        let secret = world
            .secret(body["secret_name"].as_str().unwrap_or_default())
            .await?;
        let text = |field: &str| secret[field].as_str().unwrap_or_default().to_owned();
        Ok(TemporaryUser {
            event,
            name: text("username"),
            password: text("password"),
        })
    }

    async fn session(&self, world: &World) -> Client {
        let session = world.login(&self.name, &self.password).await;
        session.expect("the user can log in")
    }

    /// It was disabled, and is looked after by the sweep until it is gone.
    async fn is_disabled(&self, world: &World) -> anyhow::Result<()> {
        let login = world.count_orders(&self.name, &self.password).await;
        ensure!(login == Err("28P01".to_owned()), "{login:?}");
        let has_role = format!("SELECT pg_has_role('{}', 'readonly', 'MEMBER')", self.name);
        ensure!(
            world.query(&has_role).await?.as_deref() == Some("false"),
            "it has the role"
        );
        ensure!(world.secrets().await?.is_empty(), "its secret is there");
        ensure!(
            world.run_state(&self.event).await?.as_deref() == Some("ending"),
            "it isn't ending"
        );
        Ok(())
    }

    fn blocked(&self) -> Value {
        refusal(&format!(
            "temporary user `{}` can't log in any more, but could not be dropped: something in the \
             database still depends on it; the function's log names it [access-remains]",
            self.name
        ))
    }
}
