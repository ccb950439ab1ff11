//! The crash matrix: the function dies, by abort, after each single step of I/O
//! of an event. Then either the event comes again, or it never does and the
//! sweep comes.
//!
//! The steps are counted by the function itself (`SYM_CRASH_AFTER_STEP`), up to
//! the first number at which it no longer dies: a new step is in the matrix
//! without anybody listing it.

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use serde_json::{Map, Value};
use sym_test_support::lambda::Answer;

use crate::fixture::{Event, OLD_SCHEMA, ORDERS, PERSON, SWEEP, World};

/// More steps than any event has.
const MOST_STEPS: u32 = 60;

#[tokio::test]
async fn lending_a_role_survives_a_crash_after_any_step() -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut matrix = Matrix::new(world, "role", Event::escalate);
    matrix.fill(Kind::Escalate).await?;
    matrix.fill(Kind::Deescalate).await?;
    matrix.fill(Kind::Sweep).await?;
    matrix.finish(6)
}

#[tokio::test]
async fn the_first_event_of_all_survives_a_crash_after_any_step() -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut matrix = Matrix::new(world, "role, empty schema", Event::escalate);
    matrix.is_schema_new = true;
    matrix.fill(Kind::Escalate).await?;
    matrix.fill(Kind::Deescalate).await?;
    matrix.finish(8)
}

#[tokio::test]
async fn making_a_user_survives_a_crash_after_any_step() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .file("readonly.sql", SETUP)
        .start()
        .await?;
    let mut matrix = Matrix::new(world, "temporary-user", Event::escalate_temporary_user);
    matrix.fill(Kind::Escalate).await?;
    matrix.fill(Kind::Deescalate).await?;
    matrix.finish(12)
}

#[tokio::test]
async fn a_setup_that_fails_survives_a_crash_after_any_step() -> anyhow::Result<()> {
    let setup = format!("{SETUP}\nGRANT SELECT ON TABLE not_there TO {{username}};");
    let world = World::builder().file("readonly.sql", setup).start().await?;
    let name = "temporary-user, no setup";
    let mut matrix = Matrix::new(world, name, Event::escalate_temporary_user);
    matrix.fill(Kind::FailedEscalate).await?;
    matrix.finish(6)
}

#[tokio::test]
async fn making_a_user_across_databases_survives_a_crash_after_any_step() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("LEDGER_DB", "ledger")
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .file("readonly.sql", SETUP)
        .start()
        .await?;
    world.make_ledger_database().await?;
    let name = "temporary-user, two databases";
    let mut matrix = Matrix::new(world, name, Event::escalate_temporary_user);
    matrix.fill(Kind::Escalate).await?;
    matrix.fill(Kind::Deescalate).await?;
    matrix.fill(Kind::Sweep).await?;
    matrix.finish(24)
}

#[tokio::test]
async fn the_sweep_survives_a_crash_after_any_step() -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut matrix = Matrix::new(
        world,
        "sweep of a temporary user",
        Event::escalate_temporary_user,
    );
    matrix.fill(Kind::Sweep).await?;
    matrix.finish(6)
}

/// With a statement that can't be done by granting a role, so that it has to
/// run in the target's database.
const SETUP: &str =
    "GRANT readonly TO {username};\nALTER ROLE {username} SET statement_timeout = '7s';";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Escalate,
    /// Of a user whose setup the server refuses.
    FailedEscalate,
    Deescalate,
    Sweep,
}

#[derive(Clone, Copy)]
enum Aftermath {
    Redelivered,
    Swept,
}

struct Matrix {
    world: World,
    name: &'static str,
    escalate: fn() -> Event,
    is_schema_new: bool,
    table: String,
    steps: u32,
    failures: Vec<String>,
}

impl Matrix {
    fn new(world: World, name: &'static str, escalate: fn() -> Event) -> Matrix {
        let table = format!(
            "\nPostgreSQL {}, {name}\n",
            world.postgres.install().version
        );
        Matrix {
            world,
            name,
            escalate,
            is_schema_new: false,
            table,
            steps: 0,
            failures: Vec::new(),
        }
    }

    /// Lets one event die after each of its steps, with either aftermath.
    async fn fill(&mut self, kind: Kind) -> anyhow::Result<()> {
        for step in 1..=MOST_STEPS {
            let mut cells = Vec::new();
            let mut label = String::new();
            for aftermath in [Aftermath::Redelivered, Aftermath::Swept] {
                match self.crash(kind, step, aftermath).await {
                    Ok(Some(crashed_after)) => {
                        label = crashed_after;
                        cells.push("converged");
                    }
                    Ok(None) => {
                        ensure!(step > 1, "the function never dies: {BUILD}");
                        return Ok(());
                    }
                    Err(error) => {
                        let word = match aftermath {
                            Aftermath::Redelivered => "redelivered",
                            Aftermath::Swept => "swept",
                        };
                        self.failures.push(format!(
                            "{}, {} step {step}, {word}: {error:#}",
                            self.name,
                            kind.word()
                        ));
                        cells.push("FAILED");
                    }
                }
            }
            self.steps += 1;
            let [redelivered, swept] = cells[..] else {
                unreachable!("there are two aftermaths");
            };
            writeln!(
                self.table,
                "  {:<10} {step:>2}  redelivered: {redelivered}  swept: {swept}  {label:.70}",
                kind.word()
            )?;
        }
        anyhow::bail!("an event has more than {MOST_STEPS} steps")
    }

    /// One crash, and what comes after it. Returns after what the function died;
    /// `None` where the event has fewer steps.
    async fn crash(
        &self,
        kind: Kind,
        step: u32,
        aftermath: Aftermath,
    ) -> anyhow::Result<Option<String>> {
        let world = &self.world;
        let before = world.state().await?;
        let escalate = (self.escalate)();
        let mut access = Map::new();
        if matches!(kind, Kind::Deescalate | Kind::Sweep) {
            access = world.body_of(&world.lambda, &escalate.to_string()).await?;
            self.use_access(&access, step).await?;
        }
        if kind == Kind::Sweep {
            world.let_time_pass().await?;
        }
        if self.is_schema_new {
            let reset = "DROP SCHEMA sym CASCADE; CREATE SCHEMA sym AUTHORIZATION sym_bot";
            match kind {
                Kind::Escalate => world.ledger_sql(reset).await?,
                // The host finds an older version than its own.
                _ => world.ledger_sql(OLD_SCHEMA).await?,
            }
        }
        let event = match kind {
            Kind::Escalate | Kind::FailedEscalate => escalate.to_string(),
            Kind::Deescalate => escalate.end().to_string(),
            Kind::Sweep => SWEEP.to_owned(),
        };

        let step = step.to_string();
        let died_after = match world.another(&[("SYM_CRASH_AFTER_STEP", &step)]).await {
            // Ahead of the event: it connects by then.
            Err(error) => Some(died_after(&error.to_string())?),
            Ok(dying) => match dying.invoke(&event).await? {
                Answer::Died(_) => Some(died_after(&dying.logs())?),
                answer => {
                    kind.check(&answer.response()?)?;
                    None
                }
            },
        };
        // Between any two steps, whoever reads the ledger is told the truth.
        if world.has_ledger().await? {
            world.ledger_agrees().await?;
        }

        let fresh = world.another(&[]).await?;
        let expiry = self.expiry(&escalate).await?;
        match (kind, aftermath) {
            (_, Aftermath::Swept) => {
                if world.has_ledger().await? {
                    world.let_time_pass().await?;
                }
                world.body_of(&fresh, SWEEP).await?;
            }
            (Kind::Escalate, Aftermath::Redelivered) => {
                let body = world.body_of(&fresh, &event).await?;
                let again = world.body_of(&fresh, &event).await?;
                ensure!(body == again, "{body:?}, then {again:?}");
                let now = self.expiry(&escalate).await?;
                ensure!(
                    expiry.is_none() || expiry == now,
                    "{expiry:?}, then {now:?}"
                );
                self.use_access(&body, 0).await?;
                access = body;
                world.body_of(&fresh, &escalate.end().to_string()).await?;
            }
            (Kind::FailedEscalate, Aftermath::Redelivered) => {
                kind.check(&fresh.invoke(&event).await?.response()?)?;
                // Nobody has to wait for the end of the run.
                ensure!(world.secrets().await?.is_empty(), "a secret is there");
                world.body_of(&fresh, &escalate.end().to_string()).await?;
            }
            (Kind::Deescalate, Aftermath::Redelivered) => {
                let body = world.body_of(&fresh, &event).await?;
                let expected = match access.contains_key("secret_name") {
                    true => Map::new(),
                    false => Map::from_iter([("username".to_owned(), Value::from(PERSON))]),
                };
                ensure!(body == expected, "{body:?}");
            }
            (Kind::Sweep, Aftermath::Redelivered) => {
                world.body_of(&fresh, &event).await?;
            }
        }
        world.is_as(&before).await?;
        world.ledger_agrees().await?;
        ensure!(world.open_runs().await? == 0, "a run is open");
        self.have_no_access(&access).await?;
        if self.is_schema_new {
            // It remembers the version.
            world.lambda.restart().await?;
        }
        Ok(died_after)
    }

    /// Does with the access what it is for.
    async fn use_access(&self, body: &Map<String, Value>, step: u32) -> anyhow::Result<()> {
        let Some(name) = body.get("secret_name").and_then(Value::as_str) else {
            let counted = self.world.person_counts_orders().await;
            ensure!(counted == Ok(ORDERS), "{counted:?}");
            return Ok(());
        };
        let secret = self.world.secret(name).await?;
        ensure!(
            secret["username"] == body["username"],
            "another user's secret"
        );
        let (user, password) = (text(&secret, "username"), text(&secret, "password"));
        let counted = self.world.count_orders(user, password).await;
        ensure!(counted == Ok(ORDERS), "with the secret: {counted:?}");
        if step > 0 && self.can_create().await? {
            // So that there is something to clear away.
            let session = self.world.login(user, password).await;
            let session = session.map_err(anyhow::Error::msg)?;
            let table = format!("CREATE TABLE {user}_notes ()");
            session.batch_execute(&table).await?;
        }
        Ok(())
    }

    async fn have_no_access(&self, body: &Map<String, Value>) -> anyhow::Result<()> {
        let world = &self.world;
        let counted = world.person_counts_orders().await;
        ensure!(counted == Err("42501".to_owned()), "{counted:?}");
        if let Some(user) = body.get("username").and_then(Value::as_str) {
            let sessions =
                format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'");
            let is_gone = user == PERSON || !world.role_exists(user).await?;
            ensure!(is_gone, "`{user}` is there");
            ensure!(
                user == PERSON || world.query(&sessions).await?.as_deref() == Some("0"),
                "a session is open"
            );
        }
        ensure!(world.secrets().await?.is_empty(), "a secret is there");
        Ok(())
    }

    async fn can_create(&self) -> anyhow::Result<bool> {
        let sql = "SELECT has_schema_privilege('readonly', 'public', 'CREATE')";
        Ok(self.world.query(sql).await?.as_deref() == Some("true"))
    }

    /// When the run ends by itself, if the ledger knows it.
    async fn expiry(&self, event: &Event) -> anyhow::Result<Option<String>> {
        if !self.world.has_ledger().await? {
            return Ok(None);
        }
        let run = event.run_srn();
        let sql = format!("SELECT expires_at FROM sym.grants WHERE run = lower('{run}')");
        self.world.ledger(&sql).await
    }

    /// Prints the table, and fails where a cell has not converged.
    #[expect(
        clippy::print_stdout,
        reason = "the table is what this is for: `--no-capture`"
    )]
    fn finish(self, at_least: u32) -> anyhow::Result<()> {
        println!(
            "{}  {} steps, {} failures",
            self.table,
            self.steps,
            self.failures.len()
        );
        ensure!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        ensure!(self.steps >= at_least, "only {} steps: {BUILD}", self.steps);
        Ok(())
    }
}

impl Kind {
    /// An event of this kind that nothing came between has this answer.
    fn check(self, answer: &Value) -> anyhow::Result<()> {
        let is_success = answer["errors"] == Value::Array(Vec::new());
        ensure!(is_success != (self == Kind::FailedEscalate), "{answer}");
        Ok(())
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Escalate => "escalate",
            Kind::FailedEscalate => "failed",
            Kind::Deescalate => "deescalate",
            Kind::Sweep => "sweep",
        }
    }
}

const BUILD: &str =
    "build it with its feature `crash-steps`, as `cargo build --workspace --all-targets` does";

/// What it said last.
fn died_after(logs: &str) -> anyhow::Result<String> {
    let (_, line) = logs
        .split_once("crash after step ")
        .with_context(|| format!("it died otherwise: {logs}"))?;
    let (_, label) = line
        .lines()
        .next()
        .and_then(|line| line.split_once(": "))
        .with_context(|| format!("it died otherwise: {logs}"))?;
    Ok(label.to_owned())
}

fn text<'a>(secret: &'a Value, field: &str) -> &'a str {
    secret[field].as_str().unwrap_or_default()
}

/// Its first call says so, whatever comes of the others; and waits for nobody.
#[tokio::test]
async fn an_end_of_a_temporary_user_that_dies_is_the_next_sweeps() -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut had_its_access = 0;
    for step in 1..MOST_STEPS {
        let leaver = world.leaver().await?;
        let end = leaver.event.end();
        let step = step.to_string();
        let Ok(dying) = world.another(&[("SYM_CRASH_AFTER_STEP", &step)]).await else {
            // Ahead of the event.
            world.end_removes(&leaver).await?;
            continue;
        };
        if !matches!(dying.invoke(&end.to_string()).await?, Answer::Died(_)) {
            break;
        }
        if world.run_state(&leaver.event).await?.as_deref() == Some("granted") {
            had_its_access += 1;
        }
        if world.run_state(&leaver.event).await?.as_deref() != Some("ended") {
            world.sweep_removes(&leaver).await.context(step)?;
        }
    }
    ensure!(had_its_access > 0, "the first call takes it already");

    let leaver = world.leaver().await?;
    let admin = world.postgres.admin_in("app").await?;
    admin
        .batch_execute("BEGIN; SELECT FROM sym.grants FOR UPDATE")
        .await?;
    let outcome = format!(
        "SELECT sym.give_back(lower('{}'), '{{}}') ->> 'outcome' FROM set_config('lock_timeout', '1ms', false)",
        leaver.event.run_srn()
    );
    assert_eq!(
        world.query(&outcome).await?.as_deref(),
        Some("temporary-user")
    );
    Ok(())
}
