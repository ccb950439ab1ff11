//! The JSON Schema of `plugins.toml` says what the function says: a validator of
//! others takes what it takes, and refuses what it refuses.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sym_host::plugin::manifest;
use sym_test_support::tools;

const RESOLVER: &str = "[resolver]\ncomponent = \"r.wasm\"\n";

const GOOD: [&str; 10] = [
    "",
    "config = {a = 1, b = [true, 1.5], c = {d = 1979-05-27}}\nwasi = true\nlimits = {fuel = 1}",
    "[limits]\nfuel = 1000000000000\nwall_milliseconds = 900000",
    "[targets.a]",
    "[targets.\"a b\"]\nrole = \"readonly\"\nstrategy = \"role\"",
    "[targets.a]\nsql = \"a/b.sql\"\nstrategy = \"temporary-user\"",
    "[targets.a]\nsql = \"..x\"",
    "[targets.a]\ncomponent = \"t.wasm\"\nconfig = {}\n[targets.a.limits]\nlog_lines = 7",
    "[targets.a]\ncomponent = \"a b.wasm\"\nwasi = false",
    "[targets.a]\n[targets.b]\n[targets.\"ü\"]",
];

const BAD: [&str; 31] = [
    "[resolvers]",
    "wasm = \"x\"",
    "wasi = \"yes\"",
    "config = 1",
    "[limit]",
    "[limits]\nfule = 1",
    "[limits]\nfuel = 0",
    "[limits]\nfuel = -1",
    "[limits]\nfuel = 1.5",
    "[limits]\nfuel = \"many\"",
    "[limits]\nwall_milliseconds = 900001",
    "[limits]\ntables = 1001",
    "[targets.\"\"]",
    "[targets.\" \"]",
    "[targets.t]\nsqll = \"x\"",
    "[targets.t]\nstrategy = \"roles\"",
    "[targets.t]\nrole = \"\"",
    "[targets.t]\nrole = 1",
    "[targets.t]\nwasi = true",
    "[targets.t]\nconfig = {}",
    "[targets.t]\nrole = \"a\"\nlimits = {}",
    "[targets.t]\nrole = \"a\"\nsql = \"b\"",
    "[targets.t]\nrole = \"a\"\ncomponent = \"b\"",
    "[targets.t]\nsql = \"a\"\ncomponent = \"b\"",
    "[targets.t]\nsql = \"a.sql\"\nstrategy = \"role\"",
    "[targets.t]\nsql = \"/etc/passwd\"",
    "[targets.t]\nsql = \"../x.sql\"",
    "[targets.t]\nsql = \"a/../../x\"",
    "[targets.t]\nsql = \"./x\"",
    "[targets.t]\nsql = \".\"",
    "[targets.t]\nsql = \"c:\\\\x\"",
];

/// What a validator says of each: whether it is good.
fn validated(texts: &[String]) -> anyhow::Result<Vec<bool>> {
    let schema = tools::workspace().join("plugins/plugins.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema)?)?;
    let documents: Result<Vec<Value>, _> = texts.iter().map(|text| toml::from_str(text)).collect();
    let input = serde_json::json!({"schema": schema, "documents": documents?});
    // It comes with moto, which checks its requests by it.
    let script = "import json, sys; from jsonschema import Draft7Validator as V\n\
        given = json.load(sys.stdin); V.check_schema(given['schema']); validator = V(given['schema'])\n\
        print(json.dumps([validator.is_valid(document) for document in given['documents']]))";
    let mut child = tools::moto()?
        .command()
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("is piped")?;
    stdin.write_all(input.to_string().as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the validator failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn the_schema_takes_what_the_function_takes_and_nothing_else() -> anyhow::Result<()> {
    let ours = fs::read_to_string(tools::workspace().join("plugins/plugins.toml"))?;
    let mut texts = vec![(ours, true), (String::new(), false)];
    texts.extend(GOOD.map(|text| (format!("{RESOLVER}{text}"), true)));
    texts.extend(BAD.map(|text| (format!("{RESOLVER}{text}"), false)));
    let (texts, expected): (Vec<String>, Vec<bool>) = texts.into_iter().unzip();
    let found = validated(&texts)?;
    assert_eq!(found.len(), texts.len());
    for ((text, is_good), found) in texts.iter().zip(expected).zip(found) {
        let checked = manifest::check(text);
        assert_eq!(
            checked.is_ok(),
            is_good,
            "the function: {checked:?}\n{text}"
        );
        assert_eq!(found, is_good, "the schema:\n{text}");
    }
    Ok(())
}
