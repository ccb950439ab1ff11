//! `symctl plugin run`, `bench` and `inspect`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::{Desk, event_of};

#[test]
fn one_screen_has_the_question_the_answer_and_the_cost() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write("event.json", event_of("a@a.example")?)?;
    let finished = desk.ends(0, &["plugin", "run", "event.json"])?;
    for part in [
        "a@a.example for target readonly, strategy role, 30 min, \"Fix Ticket 123\"",
        "user     ada",
        "SQL      GRANT \"readonly\" TO \"ada\";",
        "of 50 000 000 (< 1 %)",
        "of 67.1 MB",
        "of 2000.0 ms",
    ] {
        assert!(
            finished.stdout.contains(part),
            "`{part}`: {}",
            finished.stdout
        );
    }
    let outcome = desk.json(0, &["plugin", "run", "event.json", "--json"])?;
    assert_eq!(outcome["outcome"]["steps"][0]["grant-role"], "readonly");
    assert_eq!(outcome["outcome"]["calls"][1]["fuel"]["limit"], 50_000_000);
    Ok(())
}

#[test]
fn a_project_needs_no_event_of_its_own() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write("event.json", event_of("a@a.example")?)?;
    for (arguments, code, part) in [
        (
            &["--requester", "a@a.example"][..],
            0,
            "a@a.example for target readonly,",
        ),
        (&["--user", "ada"], 0, "event    a sample ("),
        (
            &["--user", "ada", "--target", "other"],
            1,
            "for target other,",
        ),
        (
            &["event.json", "--requester", "c@a.example"],
            1,
            "failure `denied`: Ask your lead.",
        ),
    ] {
        let finished = desk.ends(code, &[&["plugin", "run"], arguments].concat())?;
        assert!(finished.stdout.contains(part), "`{part}`: {finished:?}");
    }
    Ok(())
}

#[test]
fn what_is_refused_or_too_dear_ends_with_1() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    for (requester, more, part) in [
        ("c@a.example", &[][..], "failure `denied`: Ask your lead."),
        (
            "d@a.example",
            &["--limit", "fuel=100_000"],
            "its limit `fuel` is 100000",
        ),
        (
            "e@a.example",
            &[],
            "is reserved for PostgreSQL [not-allowed]",
        ),
        (
            "a@a.example",
            &["--grantable-roles", "other"],
            "[not-allowed]",
        ),
    ] {
        desk.write("event.json", event_of(requester)?)?;
        let finished = desk.ends(1, &[&["plugin", "run", "event.json"], more].concat())?;
        assert!(
            finished.stdout.contains(part),
            "`{part}`: {}",
            finished.stdout
        );
        assert!(finished.stdout.contains("refused"), "{}", finished.stdout);
    }
    Ok(())
}

#[test]
fn wrong_words_are_answered_in_a_sentence() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write("event.json", event_of("a@a.example")?)?;
    desk.write(
        "ending.json",
        event_of("a@a.example")?.replace("\"escalate\"", "\"deescalate\""),
    )?;
    desk.write("broken.json", "{")?;
    desk.write("module.wasm", b"\0asm\x01\0\0\0")?;
    for (arguments, parts) in [
        (&["run", "no.json"][..], &["no.json"][..]),
        (&["run", "broken.json"], &["[invalid-event]"]),
        (&["run", "ending.json"], &["asks no plugin"]),
        (&["run", "event.json", "--plugin", "no.wasm"], &["no.wasm"]),
        (&["run", "event.json", "--plugin", "cases"], &["cases"]),
        (
            &["run", "event.json", "--plugin", "target.wasm"],
            &["--user"],
        ),
        (
            &["run", "event.json", "--plugin", "module.wasm"],
            &["is a core module"],
        ),
        (
            &["run", "event.json", "--limit", "fuel=much"],
            &["`much` is no number"],
        ),
        (
            &["run", "event.json", "--limit", "speed=1"],
            &["`speed` is no limit"],
        ),
        (
            &["run", "event.json", "--strategy", "x"],
            &["`x` is no strategy"],
        ),
        (&["run", "-", "--watch"], &["--watch"]),
        (&["inspect", "module.wasm"], &["module.wasm"]),
        (&["inspect", "file:///nowhere"], &["--trust"]),
        (&["bench", "--calls", "0"], &["--calls"]),
        (&["check", "module.wasm"], &["is a core module"]),
    ] {
        desk.refuses(&[&["plugin"], arguments].concat(), parts)?;
    }
    Ok(())
}

#[test]
fn a_save_runs_it_again() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write("event.json", event_of("a@a.example")?)?;
    let mut child = desk
        .command(&["plugin", "run", "event.json", "--watch"])?
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    let mut user = || {
        lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("user     ").map(str::to_owned))
    };
    assert_eq!(user().as_deref(), Some("ada"));
    desk.write("event.json", event_of("bob@a.example")?)?;
    assert_eq!(user().as_deref(), Some("bob"));
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[test]
fn the_cost_is_the_same_wherever_it_is_measured() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write("event.json", event_of("a@a.example")?)?;
    let run = desk.json(0, &["plugin", "run", "event.json", "--json"])?;
    let bench = [
        "plugin",
        "bench",
        "--event",
        "event.json",
        "--loads",
        "1",
        "--calls",
        "3",
        "--json",
    ];
    let bench = desk.json(0, &bench)?;
    for (index, section) in ["resolver", "targets.readonly"].iter().enumerate() {
        assert_eq!(bench["plugins"][index]["section"], *section);
        let fuel = &run["outcome"]["calls"][index]["fuel"]["used"];
        assert!(fuel.as_u64() > Some(0), "{run}");
        assert_eq!(bench["plugins"][index]["fuel"], *fuel);
    }
    Ok(())
}

#[test]
fn a_component_says_what_it_is() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let found = desk.json(0, &["plugin", "inspect", "--json"])?;
    let resolver = &found["components"][0];
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        &std::fs::read(desk.path("resolver.wasm"))?,
    );
    let digest: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(resolver["sha256"], digest);
    assert_eq!(resolver["world"], "sym:postgres/user-resolver");
    assert_eq!(resolver["imports"][0], "sym:postgres/types@0.1.0");
    assert_eq!(found["components"][1]["world"], "sym:postgres/target");
    // What is none is told the same by all.
    for (bytes, what) in [
        (&b""[..], "is no WebAssembly"),
        (b"(component)", "is no WebAssembly"),
        (b"\0asm\x01\0\0\0", "is a core module"),
    ] {
        desk.write("none.wasm", bytes)?;
        let inspect = desk.ends(1, &["plugin", "inspect", "none.wasm"])?;
        assert!(inspect.stderr.contains(what), "{inspect:?}");
        let check = desk.ends(1, &["plugin", "check", "none.wasm"])?;
        assert_eq!(inspect.stderr, check.stderr);
    }
    let wit = desk
        .ends(0, &["plugin", "inspect", "target.wasm", "--wit"])?
        .stdout;
    assert!(
        wit.contains("export sym:postgres/target-setup@0.1.0;"),
        "{wit}"
    );
    Ok(())
}
