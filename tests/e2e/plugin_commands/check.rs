//! `symctl plugin check`.

use serde_json::Value;

use super::Desk;
use crate::fixture::{Behaviour, resolver, resolver_of_all, resolver_where, target, target_where};

/// The findings of one kind that matter at least so much.
fn findings<'a>(result: &'a Value, level: &str, check: &str) -> Vec<&'a str> {
    let findings = result["findings"].as_array().expect("is a list");
    findings
        .iter()
        .filter(|finding| finding["level"] == level && finding["check"] == check)
        .map(|finding| finding["text"].as_str().expect("is text"))
        .collect()
}

#[test]
fn two_people_with_one_name_are_found() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let everybody: Vec<(char, Behaviour<'_>)> = ('a'..='z')
        .map(|letter| (letter, Behaviour::User("everybody")))
        .collect();
    desk.write("resolver.wasm", resolver(&everybody))?;
    let arguments = [
        "plugin",
        "check",
        "resolver.wasm",
        "--strategy",
        "temporary-user",
        "--without-native",
        "--json",
    ];
    let result = desk.json(1, &arguments)?;
    let warnings = findings(&result, "warning", "names");
    assert!(warnings[0].contains("are both `everybody`"), "{warnings:?}");
    // What is no letter traps in this guest, which is found as well.
    assert!(!findings(&result, "error", "names").is_empty(), "{result}");
    // One name for every run is no temporary user's.
    assert!(
        findings(&result, "error", "runs")[0].contains("put the run's id into the name"),
        "{result}"
    );
    Ok(())
}

#[test]
fn our_resolver_is_warned_about_its_domains_and_nothing_else() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let plugins = sym_test_support::tools::target_directory().join("plugins");
    let plugins = plugins.display().to_string();
    let arguments = ["plugin", "check", &plugins, "--json"];
    let result = desk.json(0, &arguments)?;
    assert_eq!(result["ok"], true);
    let warnings = findings(&result, "warning", "names");
    assert!(warnings[0].contains("are both `ada`"), "{warnings:?}");
    assert_eq!(findings(&result, "ok", "native").len(), 4, "{result}");
    for level in ["warning", "error"] {
        for check in ["world", "size", "limits", "start", "plan", "sql", "runs"] {
            assert!(findings(&result, level, check).is_empty(), "{result}");
        }
    }
    // For whoever wants none.
    desk.ends(
        1,
        &[&arguments[..3], &["--strict", "--without-native"]].concat(),
    )?;
    Ok(())
}

#[test]
fn sql_is_read_and_held_against_the_policy() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write(
        "plugins.toml",
        "[targets.a]\nstrategy = 'temporary-user'\nsql = 'a.sql'\n[targets.b]\nstrategy = 'temporary-user'\ncomponent = 'b.wasm'\n",
    )?;
    desk.write("a.sql", "GRANT SELECT ON orders TO {username};")?;
    desk.write("b.wasm", target(&Behaviour::Sql(&["DROP TABLE orders"])))?;
    let arguments = ["plugin", "check", "--without-native", "--json"];
    let result = desk.json(1, &arguments)?;
    assert!(!findings(&result, "warning", "sql").is_empty(), "{result}");
    let errors = findings(&result, "error", "plan");
    assert!(errors[0].contains("[not-allowed]"), "{errors:?}");
    // What is allowed is still advised against.
    let result = desk.json(0, &[&arguments[..], &["--sql-policy", "any"]].concat())?;
    assert!(findings(&result, "warning", "sql").len() >= 2, "{result}");
    Ok(())
}

#[test]
fn a_start_that_leaves_little_is_a_warning() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    // The guest begins with two pages of 64 KiB.
    desk.write(
        "plugins.toml",
        "[resolver]\ncomponent = 'resolver.wasm'\nlimits.memory_bytes = 140_000\n",
    )?;
    let result = desk.json(1, &["plugin", "check", "--without-native", "--json"])?;
    let warnings = findings(&result, "warning", "start");
    assert!(warnings[0].contains("131.1 kB of 140.0 kB"), "{warnings:?}");
    assert!(
        findings(&result, "ok", "limits")[0].contains("`memory_bytes` is 140 000"),
        "{result}"
    );
    Ok(())
}

#[test]
fn a_size_is_held_against_the_limit_of_its_entry() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write(
        "plugins.toml",
        "[targets.readonly]\ncomponent = 'target.wasm'\nlimits.component_bytes = 200_000\n",
    )?;
    let result = desk.json(0, &["plugin", "check", "--without-native", "--json"])?;
    let sizes = findings(&result, "ok", "size");
    assert!(sizes[0].ends_with(" of 200.0 kB"), "{sizes:?}");
    Ok(())
}

#[test]
fn a_domain_is_one() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    for domain in ["", "@a.example", "a b", "a.example\n"] {
        let finished = desk.ends(1, &["plugin", "check", "--domain", domain])?;
        let why = "is no mail domain, expected one such as `a.example`";
        assert!(finished.stderr.contains(why), "{finished:?}");
    }
    Ok(())
}

const CHECK: [&str; 4] = ["plugin", "check", "--without-native", "--json"];

// What an exception, a panic and a setting that is missing look like.
#[test]
fn a_resolver_that_answers_nobody_is_found_with_its_words() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let of_target = "[resolver]\ncomponent = 'resolver.wasm'\n[targets.readonly]\n";
    desk.write("plugins.toml", of_target)?;
    let failure = Behaviour::Failure("failed", "it has no resolve_user");
    desk.write("resolver.wasm", resolver_of_all(&failure))?;
    let result = desk.json(1, &CHECK)?;
    let errors = findings(&result, "error", "names");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let count = errors[0].split_whitespace().nth(4).unwrap_or_default();
    assert!(
        errors[0].contains(&format!("breaks for {count} of {count} people")),
        "{errors:?}"
    );
    assert_eq!(errors[0].matches("it has no resolve_user").count(), 1);
    assert!(
        findings(&result, "error", "call")[0].contains("it has no resolve_user"),
        "{result}"
    );

    let failure = Behaviour::Failure("invalid-config", "domain is missing");
    desk.write("resolver.wasm", resolver_of_all(&failure))?;
    let result = desk.json(1, &CHECK)?;
    let errors = findings(&result, "error", "names");
    assert!(
        errors[0]
            .contains("people a name: `deploy-bot`: failure `invalid-config`: domain is missing"),
        "{errors:?}"
    );

    // Whoever they are, they are of the wrong domain.
    let denial = Behaviour::Failure("denied", "Only for c.example.");
    desk.write("resolver.wasm", resolver_of_all(&denial))?;
    let result = desk.json(0, &CHECK)?;
    let warnings = findings(&result, "warning", "names");
    assert!(
        warnings[0].contains("`--domain`; `deploy-bot`: Only for c.example."),
        "{warnings:?}"
    );
    Ok(())
}

/// Whether the requester's domain ends with an `o`, as the sample event's does.
const IS_OF_THE_SAMPLE: &str = "(i32.eq (i32.load8_u (i32.sub \
    (i32.add (i32.load offset=16 (local.get 0)) (i32.load offset=20 (local.get 0))) (i32.const 1))) (i32.const 111))";

// As every project's that `symctl plugin new` makes: it has the sample's domain.
#[test]
fn a_resolver_for_one_domain_is_asked_for_people_of_it() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let denial = Behaviour::Failure("denied", "Only for one domain.");
    let everybody = Behaviour::User("everybody");
    desk.write(
        "resolver.wasm",
        resolver_where(IS_OF_THE_SAMPLE, [&everybody, &denial]),
    )?;
    let temporary = [&CHECK[..], &["--strategy", "temporary-user"]].concat();
    let result = desk.json(1, &temporary)?;
    let warnings = findings(&result, "warning", "names");
    assert!(warnings[0].contains("are both `everybody`"), "{warnings:?}");
    assert!(
        findings(&result, "ok", "names")[1].contains("people of healthy-health.co, "),
        "{result}"
    );
    assert!(
        findings(&result, "error", "runs")[0].contains("put the run's id into the name"),
        "{result}"
    );

    // Who asks in its cases is of its domain, whether they pass or not.
    let case = "[[case]]\nname = 'a'\nrequester = 'ada@Only.Zoo'\n";
    desk.write("cases/resolver.toml", case)?;
    let result = desk.json(0, &CHECK)?;
    assert!(
        findings(&result, "ok", "names")[0].contains("people of only.zoo, healthy-health.co, "),
        "{result}"
    );

    // What somebody says isn't passed over.
    let result = desk.json(0, &[&CHECK[..], &["--domain", "a.example"]].concat())?;
    let warnings = findings(&result, "warning", "names");
    assert!(warnings[0].contains("names nobody"), "{warnings:?}");
    Ok(())
}

#[test]
fn a_resolver_with_a_list_of_its_people_is_no_warning() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let denial = Behaviour::Failure("denied", "You are not in the list.");
    // `sym-user`: no made-up name begins with an `s` and has a hyphen there.
    let is_listed = "(i32.and (i32.eq (i32.load8_u (i32.load offset=16 (local.get 0))) (i32.const 115)) \
        (i32.eq (i32.load8_u offset=3 (i32.load offset=16 (local.get 0))) (i32.const 45)))";
    desk.write(
        "resolver.wasm",
        resolver_where(is_listed, [&Behaviour::User("listed"), &denial]),
    )?;
    let result = desk.json(0, &[&CHECK[..], &["--strict"]].concat())?;
    assert!(
        findings(&result, "ok", "names")[0].contains(" 0 got one of 0 names"),
        "{result}"
    );
    Ok(())
}

// A setting of the target in Sym, say, which the sample event doesn't have.
#[test]
fn a_target_is_asked_what_its_cases_ask() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.write(
        "plugins.toml",
        "[targets.orders]\ncomponent = 'target.wasm'\n",
    )?;
    let role = Behaviour::Roles(&["readonly"]);
    // The duration that the request has: 36 minutes in the case, 30 in the sample.
    let is_of_the_case = "(i32.eq (i32.load offset=128 (local.get 0)) (i32.const 2160))";
    let failure = Behaviour::Failure("failed", "it has no table");
    let trap = Behaviour::Code("(unreachable)");
    let case = "[[case]]\nname = 'a'\ntarget = 'orders'\nuser = 'ada'\nchange.fields.duration = 36\n\
                expect.steps = [{ grant-role = 'readonly' }]\n";
    for (otherwise, level, code) in [(&failure, "warning", 0), (&trap, "error", 1)] {
        desk.write(
            "target.wasm",
            target_where(is_of_the_case, [&role, otherwise]),
        )?;
        desk.write("cases/target.toml", case)?;
        let result = desk.json(0, &[&CHECK[..], &["--strict"]].concat())?;
        assert_eq!(
            findings(&result, "ok", "plan"),
            ["asks for grant-role readonly"],
        );

        // A case that fails says nothing of what it is made for, and none isn't there.
        for cases in [
            case.replace("'readonly'", "'other'"),
            case.replace("36", "35"),
        ] {
            desk.write("cases/target.toml", cases)?;
            let result = desk.json(code, &CHECK)?;
            assert_eq!(findings(&result, level, "call").len(), 1, "{result}");
        }
        std::fs::remove_dir_all(desk.path("cases"))?;
        let result = desk.json(code, &CHECK)?;
        let found = findings(&result, level, "call");
        let words = match level {
            "warning" => ["it has no table", "write a case"],
            _ => ["breaks on an ordinary request", "wasm trap"],
        };
        assert!(
            words.iter().all(|word| found[0].contains(word)),
            "{found:?}"
        );
        // Once is enough.
        assert!(findings(&result, "warning", "plan").is_empty(), "{result}");
    }
    Ok(())
}

#[test]
fn a_target_that_fails_on_the_sample_event_is_published_with_a_warning() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.ends(0, &["keygen", "team"])?;
    let store = format!("file://{}", desk.path("store").display());
    let publish = ["publish", ".", "--to", &store, "--key", "team.key"];
    let publish = [&publish[..], &["--without-native", "--dry-run"]].concat();
    let failure = Behaviour::Failure("failed", "it has no table");
    let trap = Behaviour::Code("(unreachable)");
    for (behaviour, code, sentence) in [
        (
            &failure,
            0,
            "warning: targets.readonly: fails on the sample event",
        ),
        (&trap, 1, "targets.readonly: breaks on an ordinary request"),
    ] {
        desk.write("target.wasm", target(behaviour))?;
        let finished = desk.ends(code, &publish)?;
        assert!(finished.stderr.contains(sentence), "{finished:?}");
    }
    Ok(())
}

#[test]
fn a_resolver_for_roles_alone_is_not_asked_for_temporary_users() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    // The requester's own name, as README.md's resolver has it, in every run.
    let code = "(i32.store (i32.const 200) (i32.const 0))
        (i32.store (i32.const 204) (i32.load offset=16 (local.get 0)))
        (i32.store (i32.const 208) (i32.load offset=20 (local.get 0)))
        (return (i32.const 200))";
    desk.write("resolver.wasm", resolver_of_all(&Behaviour::Code(code)))?;
    let temporary = ["--strategy", "temporary-user"];
    for (targets, more, code) in [
        ("[targets.readonly]\n", &[][..], 0),
        ("[targets.readonly]\n", &temporary, 1),
        ("[targets.readonly]\nstrategy = 'role'\n", &temporary, 0),
        (
            "[targets.a]\n[targets.b]\nstrategy = 'temporary-user'\n",
            &[],
            1,
        ),
        ("", &[], 0),
        ("", &temporary, 1),
    ] {
        let manifest = format!("[resolver]\ncomponent = 'resolver.wasm'\n{targets}");
        desk.write("plugins.toml", manifest)?;
        let result = desk.json(code, &[&CHECK[..], more].concat())?;
        let runs = findings(&result, "error", "runs");
        assert_eq!(runs.len(), usize::try_from(code)?, "{targets}: {result}");
        let asked = findings(&result, "ok", "names").concat();
        let is_left_out = asked.contains("strategy temporary-user: no target has it");
        assert_eq!(is_left_out, code == 0, "{targets}: {asked}");
    }
    Ok(())
}

// Sym's ids are UUIDs, so it is no error.
#[test]
fn a_temporary_user_of_a_runs_first_letters_is_a_warning() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let run_up_to = |count: &str| {
        format!(
            "(i32.store (i32.const 200) (i32.const 0))
            (i32.store (i32.const 204) (i32.load (local.get 0)))
            (i32.store (i32.const 208) {count})
            (return (i32.const 200))"
        )
    };
    let length = "(i32.load offset=4 (local.get 0))";
    let eight = format!(
        "(if (i32.lt_u {length} (i32.const 8)) (then (unreachable))){}",
        run_up_to("(i32.const 8)")
    );
    for (code, expected) in [
        (
            eight,
            &["breaks in the run `7`", "`ticket-4712` alike, `ticket-4`"][..],
        ),
        (run_up_to(length), &[]),
    ] {
        desk.write("resolver.wasm", resolver_of_all(&Behaviour::Code(&code)))?;
        let temporary = ["--strategy", "temporary-user"];
        let result = desk.json(0, &[&CHECK[..], &temporary].concat())?;
        let warnings = findings(&result, "warning", "runs");
        assert_eq!(warnings.len(), expected.len(), "{result}");
        for (warning, part) in warnings.iter().zip(expected) {
            assert!(warning.contains(part), "{warning}");
        }
    }
    Ok(())
}

#[test]
fn what_is_no_plugin_is_said_once() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    // The one where the other belongs.
    desk.write(
        "plugins.toml",
        "[resolver]\ncomponent = 'target.wasm'\n[targets.readonly]\ncomponent = 'resolver.wasm'\n",
    )?;
    let result = desk.json(1, &CHECK)?;
    for subject in ["resolver", "targets.readonly"] {
        let findings = result["findings"].as_array().expect("is a list");
        let of_it = findings.iter().filter(|found| found["subject"] == subject);
        assert_eq!(of_it.count(), 1, "{result}");
    }
    desk.write("plugins.toml", "")?;
    desk.refuses(&["plugin", "check"], &["there is nothing to check"])
}
