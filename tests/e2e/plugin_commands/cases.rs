//! `symctl plugin test`.

use sym_test_support::postgres::Postgres;
use sym_test_support::tools::{self, Major};

use super::Desk;
use crate::fixture::{Behaviour, resolver};

const CASES: &str = r#"# Who is who.
[[case]]
name = "a is ada"
requester = "a@a.example"
expect.user = "ada"
expect.steps = [{ grant-role = "readonly" }]

[[case]]
name = "c is denied"
requester = "c@a.example"
expect.failure.code = "denied"
expect.failure.message = "Ask your lead."

[[case]]
name = "d never ends"
requester = "d@a.example"
limits.fuel = 100_000
expect.error = "plugin-fuel"

[[case]]
name = "e is nobody"
requester = "e@a.example"
expect.error = "not-allowed"
"#;

#[test]
fn what_is_expected_passes() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write("cases/people.toml", CASES)?;
    let finished = desk.ends(0, &["plugin", "test"])?;
    assert!(
        finished.stdout.contains("4 passed, 0 failed"),
        "{finished:?}"
    );
    assert!(finished.stdout.contains("100 000 fuel"), "{finished:?}");
    let some = desk.json(0, &["plugin", "test", "--filter", "ada", "--json"])?;
    assert_eq!(some["passed"], 1, "{some}");
    assert_eq!(some["files"][0]["cases"][0]["outcome"]["user"], "ada");
    Ok(())
}

#[test]
fn what_differs_is_shown_and_can_be_taken_over() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let wrong = CASES
        .replace("expect.user = \"ada\"", "expect.user = \"eve\"  # not yet")
        .replace("\"readonly\" }", "\"admin\" }")
        .replace("expect.error = \"plugin-fuel\"", "expect.user = \"dan\"");
    desk.write("cases/people.toml", &wrong)?;
    // A new project has no `target`.
    let finished = desk.ends(1, &["plugin", "test", "--junit", "target/report.xml"])?;
    for part in [
        "FAIL a is ada",
        "expected eve",
        "found    ada",
        "expected grant-role admin",
        "FAIL d never ends",
        "its limit `fuel` is 100000",
        "2 passed, 2 failed",
    ] {
        assert!(
            finished.stdout.contains(part),
            "`{part}`: {}",
            finished.stdout
        );
    }
    let xml = desk.read("target/report.xml")?;
    assert!(xml.contains("tests=\"4\" failures=\"2\""), "{xml}");
    assert!(xml.contains("user: expected eve, found ada"), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), 4, "{xml}");

    // Where nothing can be tested, there is no report of another time.
    desk.write("cases/broken.toml", "[[case]")?;
    desk.ends(1, &["plugin", "test", "--junit", "target/report.xml"])?;
    assert!(!desk.path("target/report.xml").exists());
    std::fs::remove_file(desk.path("cases/broken.toml"))?;

    // Where the report can't be written, its results are shown all the same.
    let finished = desk.ends(1, &["plugin", "test", "--junit", "plugins.toml/report.xml"])?;
    assert!(
        finished.stdout.contains("2 passed, 2 failed"),
        "{finished:?}"
    );
    assert!(
        finished.stderr.contains("can't write the report"),
        "{finished:?}"
    );

    // As on a full disk: files can be made, and nothing be written to them.
    let before = desk.read("cases/people.toml")?;
    let update = desk.command(&["plugin", "test", "--update"])?;
    let mut full = std::process::Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"])
        .arg(update.get_program())
        .args(update.get_args())
        .env("XDG_CACHE_HOME", desk.path("cache"))
        .current_dir(desk.path("."));
    let output = full.output()?;
    let errors = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("people.toml`: "), "{errors}");
    assert_eq!(desk.read("cases/people.toml")?, before);
    assert_eq!(std::fs::read_dir(desk.path("cases"))?.count(), 1);

    desk.ends(0, &["plugin", "test", "--update"])?;
    let expected = CASES.replace("expect.user = \"ada\"", "expect.user = \"ada\"  # not yet");
    assert_eq!(desk.read("cases/people.toml")?, expected);
    desk.ends(0, &["plugin", "test"])?;
    Ok(())
}

#[test]
fn what_was_published_is_inspected_and_compared() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.ends(0, &["keygen", "team"])?;
    let store = format!("file://{}", desk.path("store").display());
    let publish = [
        "publish",
        ".",
        "--to",
        &store,
        "--key",
        "team.key",
        "--without-native",
        "--json",
    ];
    let release = desk.json(0, &publish)?;

    // What was published says who signed it.
    let trust = desk.read("team.pub")?;
    let inspect = ["plugin", "inspect", &store, "--trust", &trust, "--json"];
    let found = desk.json(0, &inspect)?;
    assert_eq!(found["release"]["release"], release["release"]);
    assert_eq!(found["release"]["signers"][0], "team");
    assert_eq!(found["components"].as_array().map(Vec::len), Some(2));
    let known = format!("{store}#r1");
    let diff = [
        "diff",
        &known,
        ".",
        "--events",
        "event.json",
        "--trust",
        &trust,
    ];
    desk.write("event.json", super::event_of("a@a.example")?)?;
    desk.ends(0, &diff)?;

    // A copy of it under another name is no other release.
    let statement = desk.read("store/current.json")?;
    desk.write(
        &format!("store/releases/{}.json", "0".repeat(64)),
        statement,
    )?;
    desk.ends(0, &diff)?;
    Ok(())
}

// Records and answers are other people's words, and of as many lines as they like.
#[test]
fn no_answer_begins_a_line_of_a_comparison() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write("event.json", super::event_of("c@a.example")?)?;
    desk.ends(0, &["record", "event.json", "--into", "records"])?;
    let record = std::fs::read_dir(desk.path("records"))?.next();
    let record = record.expect("was written")?.path();
    let text = std::fs::read_to_string(&record)?;
    let text = text.replace("\"release\":\"", "\"release\":\"r1\\nsame   r1");
    std::fs::write(&record, text)?;
    for file in ["plugins.toml", "target.wasm"] {
        desk.write(&format!("other/{file}"), std::fs::read(desk.path(file))?)?;
    }
    let check = |part: &str, arguments: &[&str]| {
        let finished = desk.ends(1, arguments)?;
        assert!(finished.stdout.contains(part), "{finished:?}");
        let mut lines = finished.stdout.lines();
        assert!(!lines.any(|line| line.starts_with("same")), "{finished:?}");
        anyhow::Ok(())
    };
    let said = Behaviour::Failure("denied", "Not today.\nsame   c");
    desk.write("other/resolver.wasm", resolver(&[('c', said)]))?;
    let diff = ["diff", ".", "other", "--events", "event.json"];
    check("              same   c", &diff)?;
    let answers = Behaviour::User("cid");
    desk.write("other/resolver.wasm", resolver(&[('c', answers)]))?;
    check(
        "r1\n              same   r1",
        &["replay", "records", "--release", "other"],
    )
}

#[test]
fn a_lone_component_is_tested_too() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write(
        "mine.toml",
        "[[case]]\nname = 'x'\nuser = 'ada'\ntarget = 'anything'\nexpect.steps = [{grant-role = 'readonly'}]\n",
    )?;
    desk.ends(
        0,
        &["plugin", "test", "target.wasm", "--cases", "mine.toml"],
    )?;
    desk.write("mine.toml", "[[case]]\nname = 'x'\nexpect.steps = []\n")?;
    let finished = desk.ends(
        1,
        &["plugin", "test", "target.wasm", "--cases", "mine.toml"],
    )?;
    assert!(
        finished
            .stdout
            .contains("the database user has to be given"),
        "{finished:?}"
    );
    Ok(())
}

#[test]
fn cases_that_make_no_sense_are_refused_in_a_sentence() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.refuses(&["plugin", "test"], &["there are no cases", "--cases"])?;
    for (cases, parts) in [
        ("", &["has no case", "[[case]]"][..]),
        ("[[case]]\nexpect.user = 'ada'", &["missing field `name`"]),
        ("[[case]]\nname = ''", &["empty name"]),
        (
            "[[case]]\nname = 'x'\n[[case]]\nname = 'x'",
            &["two cases are named `x`"],
        ),
        (
            "[[case]]\nname = 'x'\nexpects.user = 'ada'",
            &["unknown field `expects`"],
        ),
        (
            "[[case]]\nname = 'x'\nexpect.usr = 'ada'",
            &["unknown field `usr`"],
        ),
        (
            "[[case]]\nname = 'x'\nexpect.error = 'plugin-fule'",
            &[
                "case `x`",
                "`expect.error` is `plugin-fule`",
                ", plugin-fuel,",
            ],
        ),
        (
            "[[case]]\nname = 'x'\nevent = 'no.json'",
            &["case `x`", "no.json"],
        ),
        (
            "[[case]]\nname = 'x'\nremove = ['run.actor']",
            &["`run.actor`", "doesn't have"],
        ),
        (
            "[[case]]\nname = 'x'\nchange.event.type = 'deescalate'",
            &["asks no plugin"],
        ),
        (
            "[[case]]\nname = 'x'\nremove = ['run.srn']",
            &["`run.srn` is missing"],
        ),
        (
            "[[case]]\nname = 'x'\nlimits.fuel = 0",
            &["`limits.fuel` is 0", "expected 1 to"],
        ),
        (
            "[[case]]\nname = 'x'\nlimits.speed = 1",
            &["`limits.speed` is no limit"],
        ),
        (
            "[[case]]\nname = 'x'\nstrategy = 'lend'",
            &["`lend` is no strategy"],
        ),
        (
            "policy.sql = 'all'\n[[case]]\nname = 'x'",
            &["`all` is no policy"],
        ),
    ] {
        desk.write("cases/x.toml", cases)?;
        desk.refuses(&["plugin", "test"], parts)?;
    }
    desk.write("cases/x.toml", CASES)?;
    desk.refuses(
        &["plugin", "test", "--filter", "nobody has this"],
        &["no case has `nobody has this` in its name"],
    )?;
    // A file of cases where their directory belongs.
    desk.refuses(
        &["plugin", "test", "cases/x.toml"],
        &["`cases/x.toml` is no component", "--cases cases/x.toml`"],
    )?;
    desk.write(
        "cases/x.toml",
        "[[case]]\nname = 'x'\nrequester = 'a@a.example'\n",
    )?;
    let finished = desk.ends(1, &["plugin", "test"])?;
    assert!(
        finished.stdout.contains("the case expects nothing"),
        "{finished:?}"
    );
    Ok(())
}

// A file's mistake is one sentence, once.
#[test]
fn a_file_of_sql_is_refused_in_one_sentence() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write("cases/people.toml", CASES)?;
    desk.write(
        "plugins.toml",
        "[targets.a]\nstrategy = 'temporary-user'\nsql = 'a.sql'\n",
    )?;
    for (sql, why) in [
        ("", "holds no statement"),
        ("GRANT x TO '{username}'", "inside quotes"),
        ("GRANT x TO {user}", "for which there is no value"),
    ] {
        desk.write("a.sql", sql)?;
        let finished = desk.ends(1, &["plugin", "test"])?;
        assert_eq!(finished.stderr.matches(why).count(), 1, "{finished:?}");
    }
    Ok(())
}

/// A project whose sources nothing can build: its tool is no program.
fn project(desk: &Desk) -> anyhow::Result<()> {
    let manifest = desk.read("plugins.toml")?;
    desk.write(
        "plugins.toml",
        manifest.replace("target.wasm", "build/x.wasm"),
    )?;
    desk.write(
        "sym-plugin.toml",
        "name = 'x'\nversion = '1.0.0'\nlanguage = 'python'\n",
    )?;
    desk.write("src/target.py", "# It says what a target means.\n")?;
    desk.write("wit/sym.wit", "")?;
    desk.write(".venv/bin/componentize-py", "")?;
    desk.write("cases/people.toml", CASES)
}

#[test]
fn a_build_that_fails_leaves_no_component_to_test() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let target = std::fs::read(desk.path("target.wasm"))?;
    project(&desk)?;
    let sentence = "`build/x.wasm` is missing: `symctl plugin build` makes it";
    desk.refuses(&["plugin", "test"], &[sentence])?;
    desk.write("build/x.wasm", target)?;
    desk.ends(0, &["plugin", "test"])?;
    desk.ends(1, &["plugin", "build"])?;
    desk.refuses(&["plugin", "test"], &[sentence])
}

// As after a first dependency, which cargo's own words lead nobody out of.
#[test]
fn a_lock_that_is_behind_is_said_with_what_mends_it() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let package = |name: &str| format!("[package]\nname = '{name}'\nedition = '2024'\n");
    let root = format!("{}[workspace]\n", package("x"));
    desk.write("more/Cargo.toml", package("more"))?;
    desk.write("more/src/lib.rs", "")?;
    desk.write("wit/sym.wit", "")?;
    desk.write("src/target.rs", "")?;
    desk.write("src/lib.rs", "it doesn't compile")?;
    desk.write(
        "sym-plugin.toml",
        "name = 'x'\nversion = '1.0.0'\nlanguage = 'rust'\n",
    )?;
    desk.write("Cargo.toml", &root)?;
    let lock = "version = 4\n\n[[package]]\nname = \"x\"\nversion = \"0.0.0\"\n";
    desk.write("Cargo.lock", lock)?;
    let sentence =
        "`Cargo.lock` doesn't match `Cargo.toml`: run `cargo update --workspace`, then build again";
    let finished = desk.ends(1, &["plugin", "build"])?;
    assert!(!finished.stderr.contains(sentence), "{finished:?}");
    let dependency = format!("{root}[dependencies]\nmore.path = 'more'\n");
    desk.write("Cargo.toml", dependency)?;
    let finished = desk.ends(1, &["plugin", "build"])?;
    assert!(finished.stderr.contains(sentence), "{finished:?}");
    Ok(())
}

#[test]
fn a_component_that_is_older_than_its_sources_is_noted() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let target = std::fs::read(desk.path("target.wasm"))?;
    project(&desk)?;
    desk.write("build/x.wasm", target)?;
    desk.write("event.json", super::event_of("a@a.example")?)?;
    let commands = [
        &["plugin", "test"][..],
        &["plugin", "check", "--without-native"],
        &["plugin", "run", "event.json"],
    ];
    let note = "`build/x.wasm` is older than `src/more/names.py`: `symctl plugin build`\n";
    for arguments in commands {
        assert_eq!(desk.symctl(arguments)?.stderr, "", "{arguments:?}");
    }
    desk.write("src/more/names.py", "")?;
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    let source = std::fs::File::options()
        .write(true)
        .open(desk.path("src/more/names.py"))?;
    source.set_modified(later)?;
    // What Python leaves there is no source.
    desk.write("src/__pycache__/names.pyc", "")?;
    for arguments in commands {
        assert_eq!(desk.symctl(arguments)?.stderr, note, "{arguments:?}");
    }
    desk.ends(0, &["keygen", "team"])?;
    let store = format!("file://{}", desk.path("store").display());
    let publish = ["publish", ".", "--to", &store, "--key", "team.key"];
    let publish = [&publish[..], &["--without-native", "--dry-run"]].concat();
    let finished = desk.ends(0, &publish)?;
    assert_eq!(finished.stderr.matches(note).count(), 1, "{finished:?}");
    Ok(())
}

#[tokio::test]
async fn a_plan_is_carried_out_and_rolled_back() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let postgres = Postgres::start(&tools::postgres_install(Major::from_env()?)?)?;
    postgres.create_database("app").await?;
    // Whoever may create there could have one for whoever asks.
    postgres
        .execute_sql(
            "app",
            "CREATE FUNCTION public.quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$",
        )
        .await?;
    let url = format!(
        "host=127.0.0.1 port={} user=postgres password={} dbname=app",
        postgres.port(),
        postgres.superuser_password()
    );
    desk.write(
        "schema.sql",
        "CREATE ROLE readonly; CREATE TABLE orders (id int); GRANT SELECT ON orders TO readonly",
    )?;
    let case = "[[case]]\nname = 'a'\nrequester = 'a@a.example'\n";
    desk.write("cases/x.toml", case)?;
    let test = ["plugin", "test", "--against-postgres", &url];
    let with_setup = [&test[..], &["--setup", "schema.sql"]].concat();
    let finished = desk.ends(1, &with_setup)?;
    let found = "has SELECT on table public.orders (through readonly)";
    assert!(finished.stdout.contains(found), "{finished:?}");
    desk.ends(0, &[&with_setup[..], &["--update"]].concat())?;
    let updated = desk.read("cases/x.toml")?;
    assert!(updated.contains("\"member of readonly\""), "{updated}");
    desk.ends(0, &with_setup)?;

    // Without a database nobody knows, and nobody says that it is right.
    let finished = desk.ends(0, &["plugin", "test", "--junit", "cases.xml"])?;
    let skipped =
        "       privileges\n         skipped  nothing but `--against-postgres` looks at it\n";
    assert!(finished.stdout.contains("  part a  "), "{finished:?}");
    assert!(finished.stdout.contains(skipped), "{finished:?}");
    let count = "1 passed (1 in part), 0 failed";
    assert!(finished.stdout.contains(count), "{finished:?}");
    let xml = desk.read("cases.xml")?;
    assert_eq!(
        xml.matches("failures=\"0\" skipped=\"1\"").count(),
        2,
        "{xml}"
    );
    assert!(
        xml.contains("<skipped message=\"privileges: nothing but "),
        "{xml}"
    );
    desk.write("alone/x.toml", format!("{case}expect.privileges = []\n"))?;
    let alone = ["plugin", "test", "--cases", "alone"];
    let finished = desk.ends(1, &alone)?;
    let why =
        "the case expects `privileges` alone, which nothing but `--against-postgres` looks at";
    assert!(finished.stdout.contains(why), "{finished:?}");
    let with_database = [&alone[..], &with_setup[2..]].concat();
    let finished = desk.ends(1, &with_database)?;
    assert!(
        finished
            .stdout
            .contains("found    SELECT on table public.orders"),
        "{finished:?}"
    );

    // Nothing of it stayed, so the role isn't there any more.
    let finished = desk.ends(1, &test)?;
    let why = "role \"readonly\" does not exist [42704]";
    assert!(finished.stdout.contains(why), "{finished:?}");
    let admin = postgres.admin_in("app").await?;
    let rows = admin
        .query(
            "SELECT 1 FROM pg_roles WHERE rolname IN ('ada', 'readonly')",
            &[],
        )
        .await?;
    assert!(rows.is_empty());

    // What the first has committed is its own.
    for (number, setup) in [
        "BEGIN; CREATE ROLE readonly; CREATE TABLE t0 (id int); COMMIT",
        "COMMIT; BEGIN; CREATE ROLE readonly",
        "CREATE ROLE readonly; ROLLBACK",
        "ROLLBACK; BEGIN; CREATE ROLE readonly",
    ]
    .into_iter()
    .enumerate()
    {
        desk.write("schema.sql", setup)?;
        let why = "`--setup` ends the transaction that is to be rolled back: leave BEGIN, COMMIT and ROLLBACK out of it";
        desk.refuses(&with_setup, &[why])?;
        let left =
            "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname IN ('ada', 'readonly')";
        let row = admin.query_one(left, &[]).await?;
        let committed = (number == 0).then_some("readonly");
        assert_eq!(row.get::<_, Option<&str>>(0), committed, "{setup}");
        admin.batch_execute("DROP ROLE IF EXISTS readonly").await?;
    }
    desk.write("schema.sql", "CREATE TABLE")?;
    desk.refuses(&with_setup, &["`--setup` failed: syntax error"])?;

    let nowhere = [
        "plugin",
        "test",
        "--against-postgres",
        "host=127.0.0.1 port=1",
    ];
    desk.refuses(&nowhere, &["can't be connected to"])
}
