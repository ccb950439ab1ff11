//! What `--json` prints: each key and its type, as docs/plugin-json.md has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Context as _;
use serde_json::Value;
use sym_test_support::tools;

use super::{Desk, event_of};
use crate::fixture::{Behaviour, target};

/// Documented, and not to be had of these plugins, which neither log nor ask for
/// SQL, nor without a database or a store.
const ELSEWHERE: [&str; 5] = [
    "outcome.advice[]",
    "outcome.log[]",
    "outcome.privileges[]",
    "outcome.steps[].sql",
    "release.",
];

/// The types of each key: of leaves, and of what is documented as a whole.
type Keys = BTreeMap<String, BTreeSet<String>>;

/// The table of a command, by its title.
fn documented(command: &str) -> anyhow::Result<Keys> {
    let page = fs::read_to_string(tools::workspace().join("docs/plugin-json.md"))?;
    let section = page.split("\n## ").find_map(|section| {
        let (title, rows) = section.split_once('\n')?;
        (title == format!("symctl {command}")).then_some(rows)
    });
    let mut keys = Keys::new();
    for row in section.context("the command has a section")?.lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        if let [key, types, _] = cells.as_slice()
            && let Some(key) = key.strip_prefix("| `")
        {
            let types = types.split(" or ").map(str::to_owned).collect();
            keys.insert(key.trim_end_matches('`').to_owned(), types);
        }
    }
    Ok(keys)
}

/// Adds what is in a value, down to what is documented as a whole.
fn add(found: &mut Keys, documented: &Keys, path: &str, value: &Value) {
    let ty = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    let below = |key: &str| key.len() > path.len() && key.starts_with(path);
    let has_parts = documented.keys().any(|key| below(key));
    if documented.contains_key(path) || !has_parts {
        let types = found.entry(path.to_owned()).or_default();
        types.insert(ty.to_owned());
    }
    match value {
        Value::Array(values) if has_parts => {
            for value in values {
                add(found, documented, &format!("{path}[]"), value);
            }
        }
        Value::Object(fields) if has_parts => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                add(found, documented, &format!("{path}{dot}{key}"), value);
            }
        }
        _ => {}
    }
}

#[track_caller]
fn check(command: &str, values: &[Value]) -> anyhow::Result<()> {
    let documented = documented(command)?;
    let mut found = Keys::new();
    for value in values {
        add(&mut found, &documented, "", value);
    }
    for (key, types) in &found {
        let known = documented.get(key);
        let known = known.with_context(|| format!("{command}: `{key}` isn't documented"))?;
        assert!(types.is_subset(known), "{command}: `{key}` is {types:?}");
    }
    let is_elsewhere = |key: &str| ELSEWHERE.iter().any(|other| key.starts_with(other));
    for key in documented.keys() {
        assert!(
            found.contains_key(key) || is_elsewhere(key),
            "{command}: nothing has `{key}`"
        );
    }
    Ok(())
}

#[test]
fn json_is_what_its_page_says() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let mut runs = Vec::new();
    // An answer, a denial, and a loop without end.
    for (person, code) in [("a@a.example", 0), ("c@a.example", 1), ("d@a.example", 1)] {
        desk.write("event.json", event_of(person)?)?;
        runs.push(desk.json(code, &["plugin", "run", "event.json", "--json"])?);
    }
    check("plugin run", &runs)?;
    desk.write(
        "cases/a.toml",
        "[[case]]\nname = \"a\"\nrequester = \"a@a.example\"\nexpect.user = \"bob\"\nexpect.privileges = []\n",
    )?;
    check(
        "plugin test",
        &[desk.json(1, &["plugin", "test", "--json"])?],
    )?;
    let once = ["plugin", "bench", "--loads", "1", "--calls", "1", "--json"];
    desk.write("event.json", event_of("a@a.example")?)?;
    let bench = [&once[..], &["--event", "event.json"]].concat();
    check("plugin bench", &[desk.json(0, &bench)?])?;
    let ours = tools::target_directory().join("plugins");
    let ours = ours.display().to_string();
    let inspect = desk.json(0, &["plugin", "inspect", &ours, "--json"])?;
    check("plugin inspect", &[inspect])?;
    desk.write(
        "plugins.toml",
        "[targets.readonly]\ncomponent = \"target.wasm\"\n",
    )?;
    check(
        "plugin check",
        &[desk.json(0, &["plugin", "check", "--json", "--without-native"])?],
    )
}

#[test]
fn json_of_releases_is_what_its_page_says() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let store = format!("file://{}", desk.path("store").display());
    let json = |arguments: &[&str]| desk.json(0, &[arguments, &["--json"]].concat());
    let keygen = json(&["keygen", "team"])?;
    check("keygen", std::slice::from_ref(&keygen))?;
    let trust = keygen["trust"].as_str().context("is text")?;
    let sign = ["--to", &store, "--key", "team.key", "--without-native"];
    let mut published = Vec::new();
    // The first has no release before it; the third is another one again.
    for role in ["readonly", "reporting", "support"] {
        let target = target(&Behaviour::Roles(&[role]));
        desk.write("target.wasm", target)?;
        published.push(json(&[&["publish", "."][..], &sign].concat())?);
    }
    check("publish", &published)?;
    check("releases", &[json(&["releases", &store])?])?;
    check("status", &[json(&["status", &store])?])?;
    check("verify", &[json(&["verify", &store, "--trust", trust])?])?;

    desk.write("event.json", event_of("a@a.example")?)?;
    let diff = ["diff", &format!("{store}#r1"), ".", "--trust", trust];
    let diff = [&diff[..], &["--events", "event.json", "--json"]].concat();
    check("diff", &[desk.json(1, &diff)?])?;
    let record = ["record", "event.json", "--release", "."];
    let record = [&record[..], &["--into", "records"]].concat();
    check("record", &[json(&record)?, json(&record)?])?;
    let target = target(&Behaviour::Roles(&["other"]));
    desk.write("target.wasm", target)?;
    let replay = ["replay", "records", "--release", ".", "--json"];
    check("replay", &[desk.json(1, &replay)?])
}
