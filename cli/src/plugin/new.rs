//! `symctl plugin new`: a project that builds and has tests, from the templates
//! in `guest-sdk/`.
//!
//! A project has its SDK and the contract with it (`sym/`, `wit/`): nothing of
//! ours has to be fetched to build it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use include_dir::{Dir, include_dir};

use super::build::{Exports, Language, check_name};
use crate::output::{self, Status};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/templates");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit");
static RUST_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/src");
static JAVASCRIPT_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/javascript");
static PYTHON_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/python");
static GO_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/go");
static C_SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/c");

/// The Rust SDK's manifest, and the workspace's, which it takes versions from.
const RUST_SDK_MANIFEST: &str = include_str!("../../../guest-sdk/Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../Cargo.toml");

/// The name that the templates have, wherever a project's name belongs.
const PLACEHOLDER: &str = "my-plugin";

/// Templates of files that every language's projects have.
const COMMON: &str = "common";

/// What no project has in git.
const GITIGNORE: &str = "/build/\n/target/\n/node_modules/\n/.venv/\n__pycache__/\n";

/// Make a project for a plugin: sources, tests, its SDK, and a README with the
/// commands from here to production.
#[derive(Args)]
#[command(after_help = "Example: symctl plugin new support-access --lang python --kind resolver")]
pub(crate) struct NewArgs {
    /// The plugin's name: lower case letters, digits and hyphens.
    name: String,
    /// The language to write it in.
    #[arg(long, value_enum)]
    lang: Language,
    /// What it says: who is which database user, what a target means, or both.
    #[arg(long, value_enum, default_value = "both")]
    kind: Exports,
    /// Where to make it, instead of a directory of its name.
    #[arg(long)]
    directory: Option<PathBuf>,
}

pub(crate) fn run(args: &NewArgs) -> Result<Status> {
    check_name(&args.name)?;
    let is_needed = packages(args.lang)?.contains(&args.name);
    ensure!(
        !is_needed,
        "`{}` is the name of a package that the project needs: choose another",
        args.name
    );
    let root = match &args.directory {
        Some(directory) => directory.clone(),
        None => PathBuf::from(&args.name),
    };
    create(&root, &args.name, args.lang, args.kind)?;
    output::note(&format!(
        "made `{}`; next:\n\n  cd {}\n{}  symctl plugin build\n  symctl plugin test\n\n\
         README.md goes on from there.",
        root.display(),
        as_word(&root.display().to_string()),
        args.lang
            .setup()
            .map(|command| format!("  {command}\n"))
            .unwrap_or_default(),
    ));
    Ok(Status::Done)
}

/// The packages of a template that a project can't have the name of: those that it names
/// as a package itself, and whose tools want no two of one name.
fn packages(language: Language) -> Result<Vec<String>> {
    let lock = |name: &str| {
        let path = format!("{}/{name}", language.as_str());
        let file = TEMPLATES.get_file(&path);
        let text = file.and_then(include_dir::File::contents_utf8);
        text.with_context(|| format!("there is no template `{path}`"))
    };
    match language {
        Language::Rust => {
            let lock: toml::Table = lock("Cargo.lock")?.parse()?;
            let packages = lock.get("package").and_then(toml::Value::as_array);
            let packages = packages.context("Cargo.lock has no packages")?.iter();
            let names = packages.filter_map(|package| package.get("name")?.as_str());
            let others = names.filter(|name| *name != PLACEHOLDER);
            Ok(others.map(str::to_owned).collect())
        }
        Language::Typescript | Language::Javascript => {
            let lock: serde_json::Value = serde_json::from_str(lock("package-lock.json")?)?;
            let packages = lock["packages"].as_object();
            let paths = packages
                .context("package-lock.json has no packages")?
                .keys();
            let names = paths.filter_map(|path| path.rsplit_once("node_modules/"));
            Ok(names.map(|(_, name)| name.to_owned()).collect())
        }
        // Their projects are no packages of the tool that installs others.
        Language::Python | Language::Go | Language::C => Ok(Vec::new()),
    }
}

/// A path as one word of a shell's.
fn as_word(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+:@%".contains(&byte);
    match path.bytes().all(is_plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// Makes a project, all of it or nothing: half of one would be in the way of the next
/// try.
///
/// # Errors
/// There is something in `root` already, or it can't be written.
fn create(root: &Path, name: &str, language: Language, kind: Exports) -> Result<()> {
    let is_taken = match fs::read_dir(root) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => root.exists(),
    };
    if is_taken {
        bail!(
            "`{}` is there already: choose another name, or another `--directory`",
            root.display()
        );
    }
    let is_new = !root.exists();
    let made = fill(root, name, language, kind);
    if made.is_err() {
        // What can't be removed is said by the next try.
        let _ = fs::remove_dir_all(root);
        if !is_new {
            let _ = fs::create_dir(root);
        }
    }
    made
}

/// Writes a project into an empty directory, or one that isn't there yet.
fn fill(root: &Path, name: &str, language: Language, kind: Exports) -> Result<()> {
    for template in [COMMON, language.as_str()] {
        let directory = TEMPLATES
            .get_dir(template)
            .with_context(|| format!("there is no template `{template}`"))?;
        for file in files(directory) {
            let path = file.path().strip_prefix(template)?;
            let text = file.contents_utf8().context("a template is no text")?;
            if let Some(text) = adapt(path, text, name, kind) {
                write(&root.join(path), text.as_bytes())?;
            }
        }
    }
    copy(&WIT, &root.join("wit"))?;
    write(&root.join(".gitignore"), GITIGNORE.as_bytes())?;
    let sdk = root.join("sym");
    match language {
        Language::Rust => {
            copy(&RUST_SDK, &sdk.join("src"))?;
            write(&sdk.join("Cargo.toml"), rust_sdk_manifest()?.as_bytes())
        }
        Language::Typescript | Language::Javascript => copy(&JAVASCRIPT_SDK, &sdk),
        Language::Python => copy(&PYTHON_SDK, &root.join("src/sym")),
        Language::Go => copy(&GO_SDK, &sdk),
        Language::C => copy(&C_SDK, &sdk),
    }
}

/// A template's file for this project. `None`: it is of the other kind.
fn adapt(path: &Path, text: &str, name: &str, kind: Exports) -> Option<String> {
    let mut text = text.replace(PLACEHOLDER, name);
    let unwanted = match kind {
        Exports::Both => return Some(text),
        Exports::Resolver => "target",
        Exports::Target => "resolver",
    };
    if path.file_stem().is_some_and(|stem| stem == unwanted) {
        return None;
    }
    if path.ends_with("src/lib.rs") {
        text = text.replace(&format!("mod {unwanted};\n"), "");
    }
    if path.ends_with("plugins.toml") {
        // Its parts begin with a comment each, and are parted by an empty line.
        let is_wanted = |part: &&str| !part.contains(&format!("[{unwanted}"));
        text = text
            .split("\n\n")
            .filter(is_wanted)
            .collect::<Vec<_>>()
            .join("\n\n");
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    Some(text)
}

/// Every file below a directory.
fn files<'a>(directory: &'a Dir<'a>) -> Vec<&'a include_dir::File<'a>> {
    let below = directory.dirs().flat_map(files);
    directory.files().chain(below).collect()
}

fn copy(directory: &Dir<'_>, to: &Path) -> Result<()> {
    for file in files(directory) {
        write(&to.join(file.path()), file.contents())?;
    }
    Ok(())
}

fn write(path: &Path, contents: &[u8]) -> Result<()> {
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, contents))
        .with_context(|| format!("`{}` can't be written", path.display()))
}

/// The Rust SDK's manifest for a place outside of our workspace: with the
/// versions that the workspace has.
fn rust_sdk_manifest() -> Result<String> {
    let workspace: toml::Table = WORKSPACE_MANIFEST.parse()?;
    let workspace = &workspace["workspace"];
    let mut manifest: toml::Table = RUST_SDK_MANIFEST.parse()?;
    // What is for working on the SDK itself.
    manifest.remove("lints");
    manifest.remove("dev-dependencies");
    for (section, source) in [("package", "package"), ("dependencies", "dependencies")] {
        let Some(toml::Value::Table(entries)) = manifest.get_mut(section) else {
            bail!("the SDK's manifest has no `{section}`");
        };
        for (key, value) in entries {
            let is_inherited = value.get("workspace").is_some();
            if let (true, Some(inherited)) = (is_inherited, workspace[source].get(key)) {
                *value = inherited.clone();
            }
        }
    }
    Ok(toml::to_string(&manifest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rust_sdk_hangs_on_no_workspace() {
        let manifest = rust_sdk_manifest().expect("can be made");
        assert!(!manifest.contains("workspace"), "{manifest}");
        assert!(manifest.contains("wit-bindgen"), "{manifest}");
    }

    #[test]
    fn no_project_has_the_name_of_what_it_needs() {
        for (language, names) in [
            (
                Language::Rust,
                &["sym-guest-sdk", "wit-bindgen", "serde"][..],
            ),
            (Language::Typescript, &["esbuild", "typescript"]),
            (Language::Javascript, &["esbuild"]),
        ] {
            let packages = packages(language).expect("are listed");
            for name in names {
                assert!(packages.iter().any(|package| package == name), "{name}");
            }
            assert!(!packages.iter().any(|package| package == PLACEHOLDER));
        }
    }

    #[test]
    fn a_path_stays_one_word() {
        for (path, word) in [
            ("a/b-1.x", "a/b-1.x"),
            ("my plugin", "'my plugin'"),
            ("a;b", "'a;b'"),
            ("ada's", r"'ada'\''s'"),
        ] {
            assert_eq!(as_word(path), word);
        }
    }

    #[test]
    fn every_language_has_a_template_that_names_its_tools_versions() {
        for (language, file) in [
            (Language::Rust, "Cargo.lock"),
            (Language::Typescript, "package-lock.json"),
            (Language::Javascript, "package-lock.json"),
            (Language::Python, "requirements.txt"),
            (Language::Go, "requirements.txt"),
            (Language::C, "requirements.txt"),
        ] {
            let path = format!("{}/{file}", language.as_str());
            assert!(TEMPLATES.get_file(&path).is_some(), "{path}");
        }
    }

    #[test]
    fn one_kind_has_no_trace_of_the_other() {
        let text = "mod resolver;\nmod target;\n";
        let path = Path::new("src/lib.rs");
        let one = adapt(path, text, "a", Exports::Target);
        assert_eq!(one.as_deref(), Some("mod target;\n"));
        let path = Path::new("src/resolver.py");
        assert_eq!(adapt(path, "", "a", Exports::Target), None);
        assert!(adapt(path, "", "a", Exports::Both).is_some());
        let path = Path::new("plugins.toml");
        let text = include_str!("../../../guest-sdk/templates/common/plugins.toml");
        for (kind, one, other) in [
            (Exports::Target, "[targets.", "resolver"),
            (Exports::Resolver, "[resolver]", "[targets"),
        ] {
            let text = adapt(path, text, "ada", kind).expect("every kind has it");
            assert!(text.contains(one) && !text.contains(other), "{text}");
            assert!(text.contains("build/ada.wasm"), "{text}");
        }
    }
}
