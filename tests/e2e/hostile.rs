//! The hostile corpus of `tests/hostile/`: whatever a plugin computes or asks
//! for, it is contained, the answer is one sentence with the right code, the
//! database is as before, and the same process serves the next event.
//!
//! A case is a row of `outputs.toml` or `releases.toml`, or a file in `guests/`.
//! Cases share one server and one process where they can, each as a target of its
//! own. Nothing here stops at the first that fails.

pub(crate) mod cases;
mod guest;
mod snapshot;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sym_test_support::lambda::Lambda;

use self::cases::{Case, Kind, Release};
use self::snapshot::{State, Watch};
use crate::fixture::{Behaviour, Builder, Event, OLD_SCHEMA, World, resolver, target};

/// Roles and people besides those of each world. The bot may lend more of them
/// than any administrator should let it.
const CAST: &str = "
    CREATE ROLE boss SUPERUSER; CREATE ROLE maker CREATEROLE; CREATE ROLE db_maker CREATEDB;
    CREATE ROLE replicator REPLICATION; CREATE ROLE all_rows BYPASSRLS;
    CREATE ROLE third; CREATE ROLE second; CREATE ROLE innocent;
    GRANT boss TO third; GRANT third TO second; GRANT second TO innocent;
    CREATE ROLE bots_friend; GRANT sym_bot TO bots_friend;
    CREATE ROLE visitor_of_another_run LOGIN; GRANT sym_managed TO visitor_of_another_run;
    CREATE ROLE companion; GRANT visitor_of_another_run TO companion;
    CREATE ROLE runner; GRANT pg_execute_server_program TO runner;
    CREATE ROLE watcher; GRANT pg_monitor TO watcher;
    CREATE ROLE rds_superuser; CREATE ROLE cloud_friend; GRANT rds_superuser TO cloud_friend;
    CREATE ROLE cloudsqlsuperuser;
    CREATE ROLE owner; CREATE TABLE owned (); ALTER TABLE owned OWNER TO owner;
    CREATE ROLE author; CREATE FUNCTION written() RETURNS int LANGUAGE sql AS 'SELECT 1';
    ALTER FUNCTION written() OWNER TO author; CREATE ROLE heir; GRANT author TO heir;
    CREATE ROLE landlord; GRANT CREATE ON SCHEMA public TO landlord; CREATE SCHEMA estate AUTHORIZATION landlord;
    CREATE ROLE alice LOGIN; CREATE ROLE boss_person LOGIN SUPERUSER;
    CREATE ROLE unlendable; CREATE ROLE writer;
    CREATE ROLE rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr;
    CREATE ROLE ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp LOGIN;
    GRANT boss, maker, db_maker, replicator, all_rows, innocent, companion, visitor_of_another_run, runner, watcher,
        rds_superuser, cloud_friend, cloudsqlsuperuser, owner, heir, landlord, writer,
        rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr TO sym_bot WITH ADMIN OPTION;
    CREATE TABLE grantable (); GRANT SELECT ON grantable TO sym_bot WITH GRANT OPTION;
    CREATE TABLE visible_table (); GRANT SELECT ON visible_table TO sym_bot;
    CREATE TABLE secret_table ();
";

/// A database user that the honest resolver names for a new temporary user.
const VISITOR: &str = "visitor";

/// Who asks, to be `VISITOR` or the person whose user is there before.
const ASKS_FOR_VISITOR: &str = "v@healthy-health.co";
const ASKS_FOR_PERSON: &str = "sym-user@healthy-health.co";

/// The first letters of requesters to whom the resolver gives hostile answers.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrtuwxyz0123456789";

#[tokio::test]
async fn hostile_answers_get_nothing() -> anyhow::Result<()> {
    run_outputs("grants").await
}

#[tokio::test]
async fn hostile_answers_get_nothing_where_only_roles_are_allowed() -> anyhow::Result<()> {
    run_outputs("roles").await
}

#[tokio::test]
async fn hostile_answers_do_not_break_the_function_where_anything_is_allowed() -> anyhow::Result<()>
{
    run_outputs("any").await
}

async fn run_outputs(policy: &str) -> anyhow::Result<()> {
    let cases: Vec<Case> = cases::outputs()?
        .into_iter()
        .filter(|case| case.policy == policy)
        .collect();
    let usernames: Vec<&str> = cases
        .iter()
        .filter_map(|case| case.username.as_deref())
        .collect();
    let letters: Vec<char> = LETTERS.chars().collect();
    ensure!(usernames.len() <= letters.len(), "add more letters");
    let mut behaviours = vec![
        ('s', Behaviour::User("sym_user")),
        ('v', Behaviour::User(VISITOR)),
    ];
    for (letter, username) in letters.iter().zip(&usernames) {
        behaviours.push((*letter, Behaviour::User(username)));
    }

    let mut manifest = "[resolver]\ncomponent = \"resolver.wasm\"\n[targets.readonly]\n".to_owned();
    let mut builder = World::builder()
        .variable("SQL_POLICY", policy)
        .sql(CAST)
        .file("resolver.wasm", resolver(&behaviours));
    let mut events = Vec::new();
    let mut next_letter = letters.iter();
    for (index, case) in cases.iter().enumerate() {
        let file = case.file_name(index);
        manifest.push_str(&case.entry(&file));
        builder = builder.file(&file, case.bytes());
        let requester = match (&case.username, case.is_role()) {
            (Some(_), _) => {
                let letter = next_letter.next().context("there are enough")?;
                format!("{letter}@healthy-health.co")
            }
            (None, true) => ASKS_FOR_PERSON.to_owned(),
            (None, false) => ASKS_FOR_VISITOR.to_owned(),
        };
        events.push(Event::escalate().target(&case.name).user(&requester));
    }
    let world = builder.file("plugins.toml", manifest).start().await?;
    let process = world.lambda.process_id();
    let mut trial = Trial::begin(&world).await?;
    for (case, event) in cases.iter().zip(&events) {
        trial.check(&world.lambda, case, event).await?;
    }
    ensure!(
        world.lambda.process_id() == process,
        "the function was started again"
    );
    trial.end()
}

#[tokio::test]
async fn hostile_targets_are_contained() -> anyhow::Result<()> {
    let guests = cases::guests(Kind::Target)?;
    let mut manifest =
        "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n".to_owned();
    let mut builder = World::builder();
    for (index, case) in guests.iter().enumerate() {
        let file = case.file_name(index);
        manifest.push_str(&case.entry(&file));
        builder = builder.file(&file, case.bytes());
    }
    let world = builder.file("plugins.toml", manifest).start().await?;
    let process = world.lambda.process_id();
    let mut trial = Trial::begin(&world).await?;
    for case in &guests {
        let event = Event::escalate().target(&case.name);
        trial.check(&world.lambda, case, &event).await?;
    }
    ensure!(
        world.lambda.process_id() == process,
        "the function was started again"
    );
    trial.end()
}

// There is one resolver in a release, so each has a process of its own, whose
// next event is one that needs no plugin: the end of a run.
#[tokio::test]
async fn hostile_resolvers_are_contained() -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut trial = Trial::begin(&world).await?;
    for (index, case) in cases::guests(Kind::Resolver)?.iter().enumerate() {
        let manifest = format!(
            "[resolver]\ncomponent = \"x.wasm\"\n{}[targets.readonly]\n",
            case.limits()
        );
        let lambda = with_release(
            &world,
            &format!("resolver-{index}"),
            &manifest,
            &[("x.wasm", case.bytes())],
        )
        .await?;
        trial.check_alone(&lambda, case, &Event::escalate()).await?;
    }
    trial.end()
}

#[tokio::test]
async fn hostile_releases_are_refused() -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut trial = Trial::begin(&world).await?;
    let honest = resolver(&[('s', Behaviour::User("sym_user"))]);
    for (index, release) in cases::releases()?.into_iter().enumerate() {
        let Release {
            manifest,
            mut files,
            case,
        } = release;
        files.push(("resolver.wasm".to_owned(), honest.clone()));
        let files: Vec<(&str, Vec<u8>)> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.clone()))
            .collect();
        let lambda = with_release(&world, &format!("release-{index}"), &manifest, &files).await?;
        trial
            .check_alone(&lambda, &case, &Event::escalate())
            .await?;
    }
    trial.end()
}

/// One more process of the function, with a release of its own.
async fn with_release(
    world: &World,
    name: &str,
    manifest: &str,
    files: &[(&str, Vec<u8>)],
) -> anyhow::Result<Lambda> {
    let directory = world.plugins_directory().with_file_name(name);
    fs::create_dir(&directory)?;
    fs::write(directory.join("plugins.toml"), manifest)?;
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes)?;
    }
    let plugins = format!("dir://{}", directory.display());
    world.another(&[("PLUGINS", plugins.as_str())]).await
}

/// Cases, one after the other, and what went wrong with them.
struct Trial<'a> {
    world: &'a World,
    watch: Watch,
    before: State,
    wrong: Vec<String>,
    count: usize,
}

impl<'a> Trial<'a> {
    async fn begin(world: &'a World) -> anyhow::Result<Trial<'a>> {
        // So that the first case finds the ledger as the others do.
        world.still_works().await?;
        let watch = Watch::new(world).await?;
        Ok(Trial {
            world,
            before: watch.state(world).await?,
            watch,
            wrong: Vec::new(),
            count: 0,
        })
    }

    /// A case, and an honest event after it.
    async fn check(&mut self, lambda: &Lambda, case: &Case, event: &Event) -> anyhow::Result<()> {
        self.check_alone(lambda, case, event).await?;
        let good = Event::escalate();
        for event in [&good, &good.end()] {
            let answer = self.world.send_to(lambda, &event.to_string()).await?;
            if answer["errors"] != json!([]) {
                self.say(case, &format!("the next event was answered: {answer}"));
            }
        }
        Ok(())
    }

    /// A case, and its end.
    async fn check_alone(
        &mut self,
        lambda: &Lambda,
        case: &Case,
        event: &Event,
    ) -> anyhow::Result<()> {
        self.count += 1;
        let answer = self.world.send_to(lambda, &event.to_string()).await?;
        if let Err(why) = case.judge(&answer) {
            self.say(case, &format!("{why}: {answer}"));
        }
        if case.expect != "ok" {
            let changes = self.before.changes(&self.watch.state(self.world).await?);
            if !changes.is_empty() {
                self.say(case, &format!("was changed: {changes:#?}"));
            }
        }
        let end = self.world.send_to(lambda, &event.end().to_string()).await?;
        if end["errors"] != json!([]) {
            self.say(case, &format!("its end was answered: {end}"));
        }
        let after = self.watch.state(self.world).await?;
        let changes = self.before.changes(&after);
        if !changes.is_empty() || after.open_runs != 0 {
            self.say(
                case,
                &format!(
                    "{} open runs, and left behind: {changes:#?}",
                    after.open_runs
                ),
            );
        }
        Ok(())
    }

    fn say(&mut self, case: &Case, what: &str) {
        self.wrong.push(format!("{}: {what}", case.name));
    }

    fn end(self) -> anyhow::Result<()> {
        ensure!(self.count > 0, "there are no cases");
        ensure!(
            self.wrong.is_empty(),
            "{} of {} cases:\n{}",
            self.wrong.len(),
            self.count,
            self.wrong.join("\n")
        );
        Ok(())
    }
}

#[tokio::test]
async fn a_huge_request_reaches_a_plugin_or_breaks_the_plugin_alone() -> anyhow::Result<()> {
    let manifest = "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n\
        component = \"readonly-target.wasm\"\n[targets.narrow]\ncomponent = \"narrow.wasm\"\n";
    let world = World::builder()
        .file("plugins.toml", manifest)
        // Its memory has 128 KiB, and never grows.
        .file("narrow.wasm", target(&Behaviour::Roles(&["readonly"])))
        .start()
        .await?;
    let huge = Event::escalate().with("/fields/reason", "r".repeat(120_000).into());
    world.body(&huge).await?;
    world.body(&huge.end()).await?;
    let sentence = "plugin `targets.narrow` (sha256 …) answered with something malformed: the function's log says where, \
        its author has to mend it [plugin-trapped]";
    world
        .refuses(&huge.new_run().target("narrow"), sentence)
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn a_plan_that_takes_long_to_check_does_not_stop_the_clock() -> anyhow::Result<()> {
    let manifest = "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n\
        [targets.readonly-sql]\nstrategy = \"temporary-user\"\nsql = \"long.sql\"\n";
    // A second in a debug build.
    let long = format!(
        "ALTER ROLE {{username}} SET search_path = a{};",
        ",a".repeat(30_000)
    );
    let world = World::builder()
        .file("plugins.toml", manifest)
        .file("long.sql", long)
        .start()
        .await?;
    world.still_works().await?;
    world.lambda.set_timeout(Duration::from_millis(700));
    let event = Event::escalate_temporary_user();
    let answer = world.send(&event).await?.to_string();
    assert!(answer.contains("[out-of-time]"), "{answer}");
    world.lambda.set_timeout(Duration::from_secs(30));
    world.body(&event).await?;
    world.body(&event.end()).await?;
    Ok(())
}

/// A world in which `free` runs this statement under `SQL_POLICY=any`.
fn free(statement: &str) -> Builder {
    let manifest = "[resolver]\ncomponent = \"resolver.wasm\"\n[targets.readonly]\n\
        [targets.free]\nstrategy = \"temporary-user\"\ncomponent = \"free.wasm\"\n";
    World::builder()
        .variable("SQL_POLICY", "any")
        .file("plugins.toml", manifest)
        .file(
            "resolver.wasm",
            resolver(&[
                ('s', Behaviour::User("sym_user")),
                ('v', Behaviour::User(VISITOR)),
            ]),
        )
        .file("free.wasm", target(&Behaviour::Sql(&[statement])))
}

const BOTS_PIDS: &str =
    "SELECT jsonb_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE usename = 'sym_bot'";

// A `DO` block can change the session in ways that no parser sees and that
// neither COMMIT nor ROLLBACK takes back.
#[tokio::test]
async fn a_session_that_ran_a_free_statement_serves_no_other_event() -> anyhow::Result<()> {
    let statement = "DO $$ BEGIN
        PERFORM pg_catalog.set_config('search_path', 'evil', false);
        PERFORM pg_catalog.set_config('lock_timeout', '0', false);
        PERFORM pg_advisory_lock(4711);
        CREATE TEMP TABLE orders (id int);
    END $$";
    let world = free(statement).start().await?;
    for is_dry_run in [false, true] {
        world.still_works().await?;
        let before = world.query(BOTS_PIDS).await?.context("it is connected")?;
        let event = Event::escalate().target("free").user(ASKS_FOR_VISITOR);
        if is_dry_run {
            world.body(&event.clone().dry_run()).await?;
        } else {
            world.body(&event).await?;
            world.body(&event.end()).await?;
        }
        world.still_works().await?;
        // The server notices that a client has gone a moment later.
        world
            .wait_until(&format!(
                "NOT EXISTS (SELECT FROM pg_stat_activity WHERE to_jsonb(pid) <@ '{before}'::jsonb)"
            ))
            .await?;
        world
            .wait_until(
                "NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711)",
            )
            .await?;
    }
    Ok(())
}

// What the policy let pass is not what may change a session, so the next event
// needs no new one.
#[tokio::test]
async fn a_session_that_ran_a_grant_is_used_again() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let before: Value = serde_json::from_str(&world.query(BOTS_PIDS).await?.unwrap_or_default())?;
    let event = Event::escalate_temporary_user();
    world.body(&event).await?;
    let after: Value = serde_json::from_str(&world.query(BOTS_PIDS).await?.unwrap_or_default())?;
    assert_eq!(before, after);
    world.body(&event.end()).await?;
    Ok(())
}

// What is put off to the COMMIT would be raised as the function's own word.
#[tokio::test]
async fn a_refusal_that_is_put_off_to_the_commit_is_not_believed() -> anyhow::Result<()> {
    let statement = "DO $$ BEGIN INSERT INTO public.late VALUES (1); END $$";
    let world = free(statement)
        .sql(
            "CREATE TABLE public.late (id int); GRANT INSERT ON public.late TO sym_bot;
             CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION 'sym refuses' USING ERRCODE = 'SYMRF',
                     DETAIL = '{\"code\": \"access-remains\", \"why\": \"privileged\", \"user\": \"call +1 555 0100\"}';
             END $$;
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.late DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        )
        .start()
        .await?;
    let event = Event::escalate().target("free").user(ASKS_FOR_VISITOR);
    let sentence = "the database refused a statement of the function's (SQLSTATE SYMRF): see the function's log \
        [database-refused]";
    world.refuses(&event, sentence).await
}

// The sandbox is frozen with the answer, so nobody is there any more who could end it.
#[tokio::test]
async fn what_there_was_no_time_for_holds_no_lock_after_the_answer() -> anyhow::Result<()> {
    let world = free("SELECT pg_sleep(60)").start().await?;
    world.still_works().await?;
    world.lambda.set_timeout(Duration::from_secs(3));
    let event = Event::escalate().target("free").user(ASKS_FOR_VISITOR);
    let answer = world.send(&event).await?.to_string();
    assert!(answer.contains("[out-of-time]"), "{answer}");
    world.lambda.freeze()?;
    let answered = Instant::now();
    world
        .wait_until(
            "NOT EXISTS (SELECT FROM pg_stat_activity
                WHERE application_name LIKE 'sym-postgres%' AND xact_start IS NOT NULL)",
        )
        .await?;
    let took = answered.elapsed();
    world.lambda.thaw()?;
    // Before 14 the server looks for who has asked when the statement is over: 8 s at most.
    let longest = match world.postgres.install().major {
        14.. => Duration::from_secs(4),
        _ => Duration::from_secs(10),
    };
    assert!(took < longest, "{took:?}");
    world.lambda.set_timeout(Duration::from_secs(20));
    world.body(&event.end()).await?;
    Ok(())
}

// What `docs/security.md` says that `SQL_POLICY=any` gives away, in one statement.
#[tokio::test]
async fn a_free_block_can_do_what_the_bot_can_and_it_outlives_the_user() -> anyhow::Result<()> {
    let world = free("DO $$ BEGIN GRANT readonly TO sym_user; END $$")
        .start()
        .await?;
    let event = Event::escalate().target("free").user(ASKS_FOR_VISITOR);
    world.body(&event).await?;
    world.body(&event.end()).await?;
    assert!(!world.role_exists(VISITOR).await?);
    assert!(world.is_member("sym_user", "readonly").await?);
    Ok(())
}

// Up to PostgreSQL 14 everybody may create in `public`. A function there that
// fits a call better than PostgreSQL's own would run as whoever calls it
// (CVE-2018-1058): as the bot, or as the DBA who runs `symctl`.
#[tokio::test]
async fn functions_that_others_put_into_public_are_never_called() -> anyhow::Result<()> {
    let trap = "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN NULL; END $$";
    let world = World::builder()
        .sql(&format!(
            "CREATE TABLE public.caught (who name); GRANT INSERT ON public.caught TO PUBLIC;
             CREATE FUNCTION public.obj_description(oid, text) RETURNS text {trap};
             CREATE FUNCTION public.hashtextextended(text, int) RETURNS bigint {trap};
             CREATE FUNCTION public.caught(jsonb, jsonb) RETURNS jsonb {trap};
             CREATE AGGREGATE public.jsonb_agg(jsonb) (SFUNC = public.caught, STYPE = jsonb, INITCOND = '[]');
             CREATE AGGREGATE public.jsonb_agg(text) (SFUNC = public.caught_text, STYPE = jsonb, INITCOND = '[]')"
        )
        .replace(
            "CREATE AGGREGATE public.jsonb_agg(text)",
            &format!("CREATE FUNCTION public.caught_text(jsonb, text) RETURNS jsonb {trap}; CREATE AGGREGATE public.jsonb_agg(text)"),
        ))
        // So that the schema is brought up to date, too.
        .sql(OLD_SCHEMA)
        .start()
        .await?;
    world.still_works().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    for arguments in [&["grants"][..], &["doctor"], &["sweep"]] {
        world.symctl(arguments).await?;
    }
    world.let_time_pass().await?;
    world.sweep().await?;
    let caught = world.query("SELECT count(*) FROM caught").await?;
    assert_eq!(caught.as_deref(), Some("0"));
    // They are traps: whoever searches `public` steps into each.
    let careless = world
        .login("sym_user", &world.person_password)
        .await
        .map_err(anyhow::Error::msg)?;
    careless
        .batch_execute(
            "SET search_path = public; SELECT obj_description(1::oid, 'pg_namespace');
             SELECT hashtextextended('x', 0); SELECT jsonb_agg('1'::jsonb); SELECT jsonb_agg('x'::text)",
        )
        .await?;
    let caught = world.query("SELECT count(*) FROM caught").await?;
    assert_eq!(caught.as_deref(), Some("4"));
    Ok(())
}

#[tokio::test]
async fn nobody_else_may_call_the_functions_of_the_ledger() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    world
        .sql("GRANT USAGE ON SCHEMA sym TO sym_user; GRANT ALL ON sym.grants TO sym_user")
        .await?;
    let functions = "SELECT jsonb_agg(DISTINCT oid::regprocedure::text) FROM pg_proc
        WHERE pronamespace = 'sym'::regnamespace
          AND (has_function_privilege('sym_user', oid, 'EXECUTE') OR has_function_privilege('alice', oid, 'EXECUTE'))";
    world.sql("CREATE ROLE alice LOGIN").await?;
    assert_eq!(world.query(functions).await?, None);
    let person = world.login("sym_user", &world.person_password).await;
    let person = person.map_err(anyhow::Error::msg)?;
    let refused = person
        .batch_execute("SELECT sym.give_back('x', '{}')")
        .await
        .expect_err("is refused");
    assert_eq!(refused.code().map(|state| state.code()), Some("42501"));
    Ok(())
}
