//! `plugins.toml`, good and bad.

use super::*;

const RESOLVER: &str = "[resolver]\ncomponent = \"r.wasm\"\n";

fn problems(text: &str) -> String {
    match Manifest::parse(text) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn reads_a_whole_manifest() {
    let text = "
        [limits]
        fuel = 5
        [resolver]
        component = \"plugins/r.wasm\"
        wasi = true
        [resolver.config]
        domain = \"example.com\"
        map = { b = 1 }
        [resolver.limits]
        log_lines = 7
        [targets.\"a b\"]
        component = \"t.wasm\"
    ";
    let manifest = Manifest::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    let resolver = manifest.resolver.as_ref().expect("has one");
    assert_eq!((resolver.limits.fuel, resolver.limits.log_lines), (5, 7));
    assert!(resolver.wasi);
    assert_eq!(resolver.config["map"], "{\"b\":1}");
    let Setup::Component(entry) = &manifest.targets["a b"].setup else {
        panic!("is a component")
    };
    assert_eq!(
        (
            entry.section.as_str(),
            entry.limits.fuel,
            entry.limits.log_lines
        ),
        ("targets.\"a b\"", 5, 100)
    );
    let files = manifest.files();
    assert_eq!(
        files.keys().copied().collect::<Vec<_>>(),
        ["plugins/r.wasm", "t.wasm"]
    );
}

#[test]
fn names_line_and_key() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(problems(text), expected);
    }
    check(
        "",
        "`resolver` is missing, expected `[resolver]` with `component = \"….wasm\"`",
    );
    for (text, expected) in [
        (
            "[targets.t]\nstrategy = \"roles\"",
            "line 4: `targets.t.strategy` is `roles`, expected `role` or `temporary-user`",
        ),
        (
            "[targets.t]\nrole = \"a\"\nsql = \"b\"",
            "line 5: `targets.t.sql` is beside `role`, expected one of `component`, `sql` and `role`, or none",
        ),
        (
            "[targets.t]\nrole = \"\"",
            "line 4: `targets.t.role` is empty, expected the name of a role",
        ),
        (
            "[targets.t]\nwasi = true",
            "line 4: `targets.t.wasi` is for a component, and this target has none",
        ),
        (
            "[targets.t]\nstrategy = \"temporary-user\"\nsql = \"r.wasm\"",
            "line 5: `targets.t.sql` is `r.wasm`, which another entry names as its `component`, expected a file of SQL",
        ),
        (
            "[targets.a]\nsql = \"x\"\n[targets.b]\ncomponent = \"x\"",
            "line 4: `targets.a.sql` is `x`, which another entry names as its `component`, expected a file of SQL",
        ),
        ("[targets.\"\"]", "line 3: `targets.\"\"` has an empty name"),
        (
            "[resolver.limits]\nfuel = 0",
            "line 4: `resolver.limits.fuel` is 0, expected 1 to 1000000000000",
        ),
        (
            "[limits]\nwall_milliseconds = 900001",
            "line 4: `limits.wall_milliseconds` is 900001, expected 1 to 900000",
        ),
        (
            "[resolver.config]\nx = nan",
            "line 4: `resolver.config.x` has a number that JSON can't hold",
        ),
    ] {
        check(&format!("{RESOLVER}{text}"), expected);
    }
}

#[test]
fn unknown_keys_and_wrong_types_are_refused_with_their_line() {
    for (text, parts) in [
        (
            "[targets.t]\nsqll = \"x\"",
            ["line 4: ", "unknown field `sqll`", "`sql`"],
        ),
        ("[limit]", ["line 3: ", "unknown field `limit`", "`limits`"]),
        (
            "[resolver.limits]\nfule = 1",
            ["line 4: ", "unknown field `fule`", "`fuel`"],
        ),
        ("[resolver.limits]\nfuel = -1", ["line 4: ", "-1", ""]),
        (
            "[resolver.limits]\nfuel = \"many\"",
            ["line 4: ", "many", ""],
        ),
        ("[targets.t]\n[targets.t]", ["line 4: ", "duplicate", ""]),
        ("[targets", ["line 3: ", "", ""]),
    ] {
        let found = problems(&format!("{RESOLVER}{text}"));
        for part in parts {
            assert!(found.contains(part), "expected `{part}` in: {found}");
        }
    }
}

#[test]
fn all_problems_come_at_once() {
    let text = format!("{RESOLVER}[targets.a]\nstrategy = \"x\"\n[targets.b]\nstrategy = \"y\"\n");
    assert_eq!(problems(&text).matches("line ").count(), 2);
}

#[test]
fn paths_stay_below() {
    for path in [
        "",
        "/etc/passwd",
        "../x.wasm",
        "a/../../x",
        "./../x",
        "a\\\\b",
        "c:x",
        "a\\u0000b",
        ".",
    ] {
        let text = format!("[resolver]\ncomponent = \"{path}\"\n");
        let found = problems(&text);
        assert!(
            found.starts_with("line 2: `resolver.component` is `"),
            "{path}: {found}"
        );
    }
    let dotted = problems("[resolver]\ncomponent = \"./x.wasm\"\n");
    let expected = "line 2: `resolver.component` begins with `./`, expected `x.wasm`";
    assert!(dotted.starts_with(expected), "{dotted}");
    for path in ["x.wasm", "a/b/x.wasm", "..x", "a b.wasm"] {
        assert_eq!(
            problems(&format!("[resolver]\ncomponent = \"{path}\"\n")),
            "no problem"
        );
    }
}
