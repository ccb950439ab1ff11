//! The least that a warm event takes here, whoever serves it: what the budgets that
//! compare with the templates are to be read beside.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use sym_test_support::aws::Service;
use sym_test_support::lambda::Lambda;

use super::figures::{Figures, Unit, milliseconds};
use super::world::{Plugins, Wire, World};
use crate::demo::stage::{DATABASE, PERSON, ROLE};

const SAMPLES: usize = 200;

/// Measures each by itself, one after the other:
///
/// - `least/event`: the function answers what is no event, and asks nobody.
/// - `least/role`: a GRANT, a row that says so, and a look whether it holds, in one
///   transaction and one round trip.
/// - `least/user-server`: CREATE ROLE with a password that is hashed already.
/// - `least/user-secret`: one CreateSecret, by a connection of its own.
pub(super) async fn measure(world: &World, figures: &mut Figures) -> Result<()> {
    let mut set = |what: &str, samples: Vec<Duration>| {
        let name = format!("least/{what}");
        figures.set_median(name, &milliseconds(&samples), Unit::Milliseconds);
    };
    set("event", events(world).await?);
    set("role", grants(world).await?);
    set("user-server", users(world).await?);
    set("user-secret", secrets(world).await?);
    Ok(())
}

async fn events(world: &World) -> Result<Vec<Duration>> {
    let variables = world.hosts_variables("role", Wire::Direct, Plugins::File);
    let lambda = Lambda::start(&super::bootstrap()?, variables).await?;
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let (answer, duration) = lambda.invoke_timed("{}").await?;
        let answer = answer.response()?;
        let errors = answer["errors"].as_array();
        ensure!(
            errors.is_some_and(|errors| !errors.is_empty()),
            "the function took what is no event, and answered {answer}"
        );
        samples.push(duration);
    }
    Ok(samples)
}

async fn grants(world: &World) -> Result<Vec<Duration>> {
    let admin = world.postgres.admin_in(DATABASE).await?;
    admin
        .batch_execute("CREATE TABLE least (run text PRIMARY KEY, granted_at timestamptz NOT NULL)")
        .await?;
    let mut samples = Vec::with_capacity(SAMPLES);
    for run in 0..SAMPLES {
        let all = format!(
            "BEGIN; GRANT {ROLE} TO {PERSON}; INSERT INTO least VALUES ('{run}', now()); \
             SELECT pg_has_role('{PERSON}', '{ROLE}', 'MEMBER'); COMMIT"
        );
        samples.push(timed(&admin, &all).await?);
        let revoke = format!("REVOKE {ROLE} FROM {PERSON}");
        admin.batch_execute(&revoke).await?;
    }
    admin.batch_execute("DROP TABLE least").await?;
    Ok(samples)
}

async fn users(world: &World) -> Result<Vec<Duration>> {
    let admin = world.postgres.admin_in(DATABASE).await?;
    admin
        .batch_execute("CREATE ROLE least LOGIN PASSWORD 'hashed by the server'")
        .await?;
    let hashed = "SELECT rolpassword FROM pg_authid WHERE rolname = 'least'";
    let hashed: String = admin.query_one(hashed, &[]).await?.get(0);
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        admin.batch_execute("DROP ROLE least").await?;
        let create = format!("CREATE ROLE least LOGIN PASSWORD '{hashed}'");
        samples.push(timed(&admin, &create).await?);
    }
    admin.batch_execute("DROP ROLE least").await?;
    Ok(samples)
}

async fn secrets(world: &World) -> Result<Vec<Duration>> {
    let mut samples = Vec::with_capacity(SAMPLES);
    for number in 0..SAMPLES {
        let name = format!("least-{number}");
        let input = json!({"Name": name, "SecretString": "{}", "ClientRequestToken": format!("{number:032}")});
        let start = Instant::now();
        let create = world
            .aws
            .call(Service::SecretsManager, "CreateSecret", &input);
        create.await?;
        samples.push(start.elapsed());
    }
    Ok(samples)
}

async fn timed(client: &tokio_postgres::Client, sql: &str) -> Result<Duration> {
    let start = Instant::now();
    client.batch_execute(sql).await?;
    Ok(start.elapsed())
}
