//! `symctl plugin …`: what the author of a plugin sees, for what is right and for
//! what isn't.

mod cases;
mod check;
mod compiling;
mod json;
mod run;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sym_test_support::tools;
use tempfile::TempDir;

use crate::fixture::{Behaviour, Finished, resolver, target};

/// A directory of a plugin's author.
struct Desk(TempDir);

impl Desk {
    /// With `plugins.toml`, a resolver that answers by the first letter of who
    /// asks, and a target.
    fn new() -> anyhow::Result<Self> {
        let desk = Self(tempfile::Builder::new().prefix("sym-desk-").tempdir()?);
        desk.write(
            "plugins.toml",
            "[resolver]\ncomponent = \"resolver.wasm\"\n[targets.readonly]\ncomponent = \"target.wasm\"\n",
        )?;
        let people = [
            ('a', Behaviour::User("ada")),
            ('b', Behaviour::User("bob")),
            ('c', Behaviour::Failure("denied", "Ask your lead.")),
            ('d', Behaviour::Code("(loop $again (br $again))")),
            ('e', Behaviour::User("pg_monitor")),
        ];
        desk.write("resolver.wasm", resolver(&people))?;
        desk.write("target.wasm", target(&Behaviour::Roles(&["readonly"])))?;
        Ok(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(fs::write(path, bytes)?)
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.path(name))?)
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(tools::binary("symctl")?);
        // Not the tester's own.
        command
            .args(arguments)
            .env("XDG_CACHE_HOME", self.path("cache"))
            .current_dir(self.0.path());
        Ok(command)
    }

    /// Runs `symctl` here.
    fn symctl(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        let output = self.command(arguments)?.output()?;
        Ok(Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Runs it, which has to end with this code, and gives its output.
    #[track_caller]
    fn ends(&self, code: i32, arguments: &[&str]) -> anyhow::Result<Finished> {
        let finished = self.symctl(arguments)?;
        assert_eq!(finished.code, Some(code), "{arguments:?}: {finished:?}");
        Ok(finished)
    }

    /// Runs it, which has to refuse with one sentence that has all of this in it.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], parts: &[&str]) -> anyhow::Result<()> {
        let finished = self.ends(1, arguments)?;
        let sentence = finished.stderr.trim();
        assert!(sentence.starts_with("error: "), "{finished:?}");
        for part in parts {
            assert!(sentence.contains(part), "`{part}` is not in: {sentence}");
        }
        Ok(())
    }

    #[track_caller]
    fn json(&self, code: i32, arguments: &[&str]) -> anyhow::Result<Value> {
        self.ends(code, arguments)?.json()
    }
}

/// The sample event with another requester.
fn event_of(requester: &str) -> anyhow::Result<String> {
    let path = tools::workspace().join("events/v6/escalate-role.json");
    let mut event: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    event["run"]["actors"]["request"]["username"] = requester.into();
    Ok(event.to_string())
}

// As on a full disk: short files can be written, and long ones not.
#[test]
fn a_project_is_made_whole_or_not_at_all() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let symctl = tools::binary("symctl")?;
    let new = format!("{} plugin new mine --lang rust", symctl.display());
    let limited = format!("trap '' XFSZ; ulimit -f 4; {new}");
    for directory in ["", " --directory empty"] {
        fs::create_dir_all(desk.path("empty"))?;
        let run = |script: &str| {
            let mut shell = Command::new("sh");
            let script = format!("{script}{directory}");
            shell
                .args(["-c", &script])
                .current_dir(desk.0.path())
                .output()
        };
        let output = run(&limited)?;
        let errors = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("can't be written"), "{errors}");
        assert!(!desk.path("mine").exists());
        assert_eq!(fs::read_dir(desk.path("empty"))?.count(), 0);
        let output = run(&new)?;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        fs::remove_dir_all(desk.path("mine"))
            .or_else(|_| fs::remove_dir_all(desk.path("empty")))?;
    }
    Ok(())
}

#[test]
fn a_project_that_could_not_be_built_is_not_made() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    for (name, language) in [("sym-guest-sdk", "rust"), ("esbuild", "javascript")] {
        let new = ["plugin", "new", name, "--lang", language];
        desk.refuses(&new, &["is the name of a package that the project needs"])?;
        assert!(!desk.path(name).exists());
    }
    Ok(())
}

/// Our own plugins and their cases, as `cargo xtask plugins` built them.
#[test]
fn the_cases_of_our_own_plugins_pass() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let plugins = tools::target_directory().join("plugins");
    let cases = tools::workspace().join("plugins/cases");
    let [plugins, cases] = [plugins, cases].map(|path| path.display().to_string());
    let result = desk.json(
        0,
        &["plugin", "test", &plugins, "--cases", &cases, "--json"],
    )?;
    assert_eq!(result["failed"], 0, "{result}");
    assert!(result["passed"].as_u64() >= Some(20), "{result}");
    Ok(())
}

// CREATEROLE is more than anybody should give unasked.
#[test]
fn the_setup_is_for_the_strategy_that_is_named() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let setup = [
        "setup-sql",
        "--pg",
        "16",
        "--database",
        "app",
        "--roles",
        "r",
    ];
    let finished = desk.ends(1, &setup)?;
    assert!(finished.stderr.contains("--strategy"), "{finished:?}");
    for (strategy, has_create_role) in [("role", false), ("temporary-user", true)] {
        let finished = desk.ends(0, &[&setup[..], &["--strategy", strategy]].concat())?;
        let mut lines = finished.stdout.lines();
        let is_given = lines.any(|line| !line.starts_with("--") && line.contains(" CREATEROLE"));
        assert_eq!(is_given, has_create_role, "{finished:?}");
    }
    Ok(())
}

#[test]
fn the_setup_takes_names_as_they_are_meant() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let setup = ["setup-sql", "--pg", "16", "--strategy", "role"];
    let spaced = ["--database", "app", "--roles", "readonly, support "];
    let finished = desk.ends(0, &[&setup[..], &spaced].concat())?;
    assert!(
        finished.stdout.contains("CREATE ROLE support;"),
        "{finished:?}"
    );
    let long = "a".repeat(64);
    for (option, name, why) in [
        ("--user", "", "`--user` is an empty name"),
        ("--ledger", "", "`--ledger` is an empty name"),
        (
            "--user",
            &long,
            "`--user` is a name of 64 bytes, at most 63 are allowed",
        ),
        (
            "--ledger",
            "a\nSELECT 1; --",
            "`--ledger` has a control character, such as the end of a line, in a name",
        ),
    ] {
        let names = ["--database", "app", "--roles", "readonly", option, name];
        let finished = desk.ends(1, &[&setup[..], &names].concat())?;
        assert!(finished.stderr.contains(why), "{finished:?}");
        assert_eq!(finished.stdout, "", "{finished:?}");
    }
    Ok(())
}

#[test]
fn the_exit_code_says_whose_it_is() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.ends(0, &["--help"])?;
    desk.ends(0, &["completions", "bash"])?;
    for wrong in [
        &["no-such-command"][..],
        &["plugin", "run"],
        &["completions", "x"],
    ] {
        desk.ends(1, wrong)?;
    }
    // A database that isn't there is nobody's mistake who types.
    let output = desk
        .command(&["grants"])?
        .envs([
            ("DB_HOST", "127.0.0.1"),
            ("DB_PORT", "1"),
            ("DB_USER", "sym_bot"),
            ("DB_PASSWORD", "x"),
            ("DB_TLS", "disable"),
        ])
        .output()?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let errors = String::from_utf8(output.stderr)?;
    assert!(errors.contains("[database-unavailable]"), "{errors}");
    Ok(())
}
