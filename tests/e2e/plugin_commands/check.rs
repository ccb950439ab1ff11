//! `symctl plugin check`.

use serde_json::Value;

use super::Desk;
use crate::fixture::{Behaviour, resolver, target};

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
