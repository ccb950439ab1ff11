//! `cargo xtask languages`: what we promise of plugins in other languages.
//!
//! For each language, the way of a new user: `symctl plugin new`, `build`, `test`
//! of the template as it is. Then the conformance vectors of `tests/conformance`,
//! by a plugin that is laid over such a project. All of it by the built `symctl`,
//! so in the host's own engine.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use sym_test_support::tools;

use crate::terminal;

mod new_user;

/// What the vectors' directory has beside the languages: the common vectors.
const CASES: &str = "cases";

/// What the templates' directory has beside the languages.
const COMMON: &str = "common";

/// Build each language's template and conformance plugin, and run their cases.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask languages python c")]
pub(crate) struct LanguagesArgs {
    /// These alone, instead of all.
    languages: Vec<String>,
    /// Walk through each README's commands instead, in an empty home, and say how
    /// long each took.
    #[arg(long)]
    as_new_user: bool,
}

pub(crate) fn run(arguments: &LanguagesArgs) -> Result<ExitCode> {
    let known = all()?;
    for language in &arguments.languages {
        ensure!(
            known.contains(language),
            "there is no language `{language}`, expected one of {}",
            known.join(", ")
        );
    }
    let wanted = match arguments.languages.as_slice() {
        [] => &known,
        some => some,
    };
    if arguments.as_new_user {
        new_user::walk(wanted)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut made = Vec::new();
    let mut failed = false;
    for language in wanted {
        match check(language) {
            Ok(passed) => made.push(passed),
            Err(error) => {
                failed = true;
                terminal::error(&format!("{language}: {error:#}"));
            }
        }
    }
    terminal::print(&table(&made));
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Every language that has a template.
///
/// # Errors
///
/// A language has vectors and no template, or there are none at all.
pub(crate) fn all() -> Result<Vec<String>> {
    let templates = directories(&tools::workspace().join("guest-sdk/templates"), COMMON)?;
    let vectors = directories(&vectors(), CASES)?;
    ensure!(
        vectors.is_subset(&templates),
        "tests/conformance has a language that guest-sdk/templates has not"
    );
    ensure!(!vectors.is_empty(), "tests/conformance has no language");
    Ok(templates.into_iter().collect())
}

/// The names of the directories in one, but for `other`.
fn directories(path: &Path, other: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).with_context(|| format!("can't read `{}`", path.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && name != other {
            names.insert(name);
        }
    }
    Ok(names)
}

/// The project that `symctl plugin new` makes in a language, built: a directory
/// with `plugins.toml`. What is there is taken as it is.
///
/// # Errors
///
/// Those of [`check`].
pub(crate) fn project(language: &str) -> Result<PathBuf> {
    let project = directory().join(language).join("template");
    if !project.join("build/template.wasm").is_file() {
        check(language)?;
    }
    Ok(project)
}

fn vectors() -> PathBuf {
    tools::workspace().join("tests/conformance")
}

/// What was built, and how many cases passed.
pub(crate) struct Passed {
    language: String,
    template_cases: u64,
    /// `None`: the language has no vectors of its own, as JavaScript has
    /// TypeScript's.
    vectors: Option<u64>,
    bytes: u64,
    took: Duration,
}

/// Builds and runs what there is of a language.
///
/// # Errors
///
/// A tool can't be had, something doesn't build, or a case fails.
pub(crate) fn check(language: &str) -> Result<Passed> {
    let started_at = Instant::now();
    let symctl = Symctl {
        program: tools::binary("symctl")?,
        path: tools::language_path(language)?,
    };
    let project = symctl.create(language, "template")?;
    symctl.build(&project)?;
    let template_cases = symctl.test(&project, &[])?;
    if language == "rust" {
        check_front_page(&symctl)?;
        check_mapping(&symctl)?;
    }
    if language == "javascript" {
        check_exports(&symctl)?;
    }

    let own = vectors().join(language);
    let (vectors, project) = if own.is_dir() {
        let project = symctl.create(language, "conformance")?;
        copy(&own.join("src"), &project.join("src"))?;
        symctl.build(&project)?;
        let cases = [vectors().join(CASES), own.join(CASES)];
        let component = project.join("build/conformance.wasm");
        (Some(symctl.test(&component, &cases)?), project)
    } else {
        (None, project)
    };
    let name = if vectors.is_some() {
        "conformance"
    } else {
        "template"
    };
    let component = project.join("build").join(name).with_extension("wasm");
    Ok(Passed {
        language: language.to_owned(),
        template_cases,
        vectors,
        bytes: fs::metadata(component)?.len(),
        took: started_at.elapsed(),
    })
}

/// The plugin that the Rust SDK's documentation begins with needs a setting of its
/// target's. Who takes it as it is has to get past every check.
fn check_front_page(symctl: &Symctl) -> Result<()> {
    let project = symctl.create("rust", "front-page")?;
    let sdk = fs::read_to_string(project.join("sym/src/lib.rs"))?;
    let example = sdk.split("//! ```\n").nth(1);
    // After the plugin comes its test, which is for the machine that it is written on.
    let plugin = example.and_then(|example| example.split_once("//! // In a test"));
    let (plugin, _) = plugin.context("the Rust SDK's documentation begins with no plugin")?;
    let plugin = plugin.replace("//! ", "").replace("//!", "");
    fs::write(project.join("src/lib.rs"), plugin)?;
    let component = "component = \"build/front-page.wasm\"";
    let manifest = format!(
        "[resolver]\n{component}\n[targets.orders]\nstrategy = \"temporary-user\"\n{component}\n"
    );
    fs::write(project.join("plugins.toml"), manifest)?;
    let cases = project.join("cases");
    fs::remove_dir_all(&cases)?;
    fs::create_dir(&cases)?;
    let case = "[[case]]\nname = \"a person may update the table\"\ntarget = \"orders\"\n\
                change.fields.target.settings = { table = \"orders\" }\n\
                expect.user = \"sym_user_2c15cb7d\"\n";
    fs::write(cases.join("orders.toml"), case)?;
    symctl.build(&project)?;
    symctl.test(&project, &[])?;
    let mut check = symctl.command();
    check.args(["check", "--without-native"]).arg(&project);
    succeed(&mut check, "symctl plugin check")
}

/// The resolver of docs/plugins.md, and the manifest beside it, as they are.
fn check_mapping(symctl: &Symctl) -> Result<()> {
    let page = fs::read_to_string(tools::workspace().join("docs/plugins.md"))?;
    let section = page.split("\n## A mapping, with a default\n").nth(1);
    let block = |language: &str| {
        let block = section?.split_once(&format!("\n```{language}\n"))?.1;
        Some(block.split_once("\n```\n")?.0)
    };
    let missing = "docs/plugins.md has no mapping";
    let project = symctl.create("rust", "who")?;
    fs::write(project.join("src/lib.rs"), block("rust").context(missing)?)?;
    fs::write(
        project.join("plugins.toml"),
        block("toml").context(missing)?,
    )?;
    let cases = project.join("cases");
    fs::remove_dir_all(&cases)?;
    fs::create_dir(&cases)?;
    fs::write(cases.join("who.toml"), MAPPING_CASES)?;
    symctl.build(&project)?;
    symctl.test(&project, &[])?;
    Ok(())
}

/// What somebody forgot to export is named when the plugin is built.
fn check_exports(symctl: &Symctl) -> Result<()> {
    let project = symctl.create("javascript", "unexported")?;
    for (file, name) in [("resolver", "resolveUser"), ("target", "setup")] {
        let path = project.join("src").join(file).with_extension("js");
        let source = fs::read_to_string(&path)?;
        fs::write(&path, source.replace("export function", "function"))?;
        let built = symctl.build(&project);
        let why = built.err().context("what isn't exported was built")?;
        let sentence = format!("src/{file} exports no function `{name}`");
        ensure!(why.to_string().contains(&sentence), "{why}");
        fs::write(&path, source)?;
    }
    Ok(())
}

const MAPPING_CASES: &str = r#"
[[case]]
name = "who is listed is that user"
requester = "Ada@a.example"
expect.user = "ada_dev"

[[case]]
name = "who isn't listed is the default"
requester = "eve@a.example"
expect.user = "guest"

[[case]]
name = "a temporary user is the run's"
strategy = "temporary-user"
requester = "bob@a.example"
expect.user = "bob_dba_2c15cb7d"

[[case]]
name = "who is of another domain gets nothing"
requester = "ada@b.example"
expect.failure.code = "denied"
"#;

/// The built `symctl`, with a language's tools on its search path.
struct Symctl {
    program: PathBuf,
    path: OsString,
}

impl Symctl {
    /// Makes a new project in `target/languages`, in place of the last one.
    fn create(&self, language: &str, name: &str) -> Result<PathBuf> {
        let root = directory().join(language).join(name);
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        let mut command = self.command();
        command.args(["new", name, "--lang", language, "--directory"]);
        succeed(command.arg(&root), "symctl plugin new")?;
        Ok(root)
    }

    fn build(&self, project: &Path) -> Result<()> {
        let mut command = self.command();
        // cargo compiles what all projects have in common once.
        command.env("CARGO_TARGET_DIR", directory().join("cargo"));
        succeed(command.arg("build").arg(project), "symctl plugin build")
    }

    /// Runs cases, and gives their number. Each of them has to pass.
    fn test(&self, subject: &Path, cases: &[PathBuf]) -> Result<u64> {
        let mut command = self.command();
        command.arg("test").arg("--json").arg(subject);
        for path in cases {
            command.arg("--cases").arg(path);
        }
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .context("`symctl plugin test` can't be started")?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`symctl plugin test` failed ({})", output.status))?;
        let failed: Vec<String> = failures(&report);
        ensure!(
            failed.is_empty() && output.status.success(),
            "{} of the cases failed: {}",
            failed.len(),
            failed.join("; ")
        );
        match report["passed"].as_u64() {
            Some(passed) if passed > 0 => Ok(passed),
            _ => bail!("no case ran"),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("plugin")
            .env("PATH", &self.path)
            .env("XDG_CACHE_HOME", directory().join("cache"));
        command
    }
}

/// The names of the cases that failed, with what differed.
fn failures(report: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let cases = list(&report["files"])
        .into_iter()
        .flat_map(|file| list(&file["cases"]));
    cases
        .filter(|case| case["passed"] != true)
        .map(|case| format!("{} ({})", case["name"], case["differences"]))
        .collect()
}

fn succeed(command: &mut Command, name: &str) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{name}` can't be started"))?;
    ensure!(
        output.status.success(),
        "`{name}` failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).trim()
    );
    Ok(())
}

fn directory() -> PathBuf {
    tools::target_directory().join("languages")
}

/// Copies the files of a directory over another's.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// What was built and passed, for people.
pub(crate) fn table(made: &[Passed]) -> String {
    let mut table = format!(
        "{:<12} {:>14} {:>8} {:>12} {:>10}\n",
        "language", "template cases", "vectors", "component", "took"
    );
    for passed in made {
        let vectors = passed
            .vectors
            .map_or("-".to_owned(), |count| count.to_string());
        table.push_str(&format!(
            "{:<12} {:>14} {:>8} {:>12} {:>10}\n",
            passed.language,
            passed.template_cases,
            vectors,
            passed.bytes,
            terminal::duration(passed.took)
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_case_that_failed_is_named() {
        let report = json!({"files": [{"cases": [
            {"name": "a", "passed": true, "differences": []},
            {"name": "b", "passed": false, "differences": ["c"]},
            {"name": "d"},
        ]}]});
        assert_eq!(failures(&report), [r#""b" (["c"])"#, r#""d" (null)"#]);
    }

    #[test]
    fn every_promised_language_has_a_template_and_most_have_vectors() {
        let languages = all().expect("there are some");
        assert_eq!(
            languages,
            ["c", "go", "javascript", "python", "rust", "typescript"]
        );
        let vectors = directories(&vectors(), CASES).expect("there are some");
        assert_eq!(vectors.len(), 5);
    }
}
