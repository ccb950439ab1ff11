//! A plugin's project: `sym-plugin.toml`, and what of a plugin is in `src/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use serde::Deserialize;

/// The file that makes a directory a project.
pub(crate) const PROJECT_FILE: &str = "sym-plugin.toml";

/// Longest name of a plugin, in bytes.
const MAX_NAME: usize = 64;

/// A project, checked.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) language: Language,
    pub(crate) exports: Exports,
}

/// A language that we have a template and an SDK for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Language {
    /// Rust, with cargo.
    Rust,
    /// TypeScript, with esbuild and componentize-qjs.
    Typescript,
    /// JavaScript, with esbuild and componentize-qjs.
    Javascript,
    /// Python, with componentize-py.
    Python,
    /// Go, with its own compiler.
    Go,
    /// C, with zig's clang.
    C,
}

impl Language {
    /// Its name, as `--lang` and [`PROJECT_FILE`] have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Typescript => "typescript",
            Self::Javascript => "javascript",
            Self::Python => "python",
            Self::Go => "go",
            Self::C => "c",
        }
    }

    /// The command that installs its tools in a new project. `None`: everybody who
    /// writes it has them.
    pub(crate) fn setup(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::Typescript | Self::Javascript => Some("npm install"),
            Self::Python | Self::Go | Self::C => {
                Some("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt")
            }
        }
    }

    /// How its source files end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Rust => "rs",
            Self::Typescript => "ts",
            Self::Javascript => "js",
            Self::Python => "py",
            Self::Go => "go",
            Self::C => "c",
        }
    }
}

/// Which of the two questions a plugin answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Exports {
    /// Who is which database user.
    Resolver,
    /// What a target means.
    Target,
    /// Both.
    Both,
}

impl Exports {
    /// The world of `wit/` that exports this.
    pub(crate) fn world(self) -> &'static str {
        match self {
            Self::Resolver => "user-resolver",
            Self::Target => "target",
            Self::Both => "plugin",
        }
    }

    pub(crate) fn has_resolver(self) -> bool {
        matches!(self, Self::Resolver | Self::Both)
    }

    pub(crate) fn has_target(self) -> bool {
        matches!(self, Self::Target | Self::Both)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: String,
    language: Language,
}

impl Project {
    /// Reads the project in `root`.
    ///
    /// # Errors
    /// It is no project, or its file says what can't be.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join(PROJECT_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "there is no `{}`: name a plugin's project, or make one with `symctl plugin new`",
                path.display()
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("`{}` can't be read", path.display()));
            }
        };
        let file: File = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("`{}` is wrong: {error}", path.display()))?;
        check_name(&file.name)?;
        let has_source = |stem: &str| {
            let source = root.join("src").join(stem);
            source.with_extension(file.language.extension()).is_file()
        };
        let exports = match (has_source("resolver"), has_source("target")) {
            (true, true) => Exports::Both,
            (true, false) => Exports::Resolver,
            (false, true) => Exports::Target,
            (false, false) => bail!(
                "`{}` has neither `resolver.{extension}` nor `target.{extension}`: a plugin is one of them, or both",
                root.join("src").display(),
                extension = file.language.extension()
            ),
        };
        ensure!(
            root.join("wit").is_dir(),
            "`{}` is missing: copy it from a new project of `symctl plugin new`",
            root.join("wit").display()
        );
        Ok(Self {
            root: root.to_owned(),
            name: file.name,
            version: file.version,
            language: file.language,
            exports,
        })
    }

    /// Where what is built goes.
    pub(crate) fn build_directory(&self) -> PathBuf {
        self.root.join("build")
    }

    /// The component.
    pub(crate) fn component(&self) -> PathBuf {
        self.build_directory().join(format!("{}.wasm", self.name))
    }

    /// The newest of its sources, where that was changed after this time.
    pub(crate) fn source_newer_than(&self, time: SystemTime) -> Option<PathBuf> {
        let (changed, path) = newest(&self.root.join("src"))?;
        (changed > time).then_some(path)
    }

    /// A path as its root sees it.
    pub(crate) fn below(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        path.display().to_string()
    }
}

/// The file below a directory that was changed last, and when. What tools leave
/// there, as Python does, is none.
fn newest(directory: &Path) -> Option<(SystemTime, PathBuf)> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let of_entry = |entry: fs::DirEntry| {
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            let is_cache = entry.file_name() == "__pycache__";
            return (!is_cache).then(|| newest(&entry.path())).flatten();
        }
        Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
    };
    entries.filter_map(of_entry).max()
}

/// Refuses a name that isn't one everywhere: as a file, and as a package of
/// cargo's, npm's and Go's.
pub(crate) fn check_name(name: &str) -> Result<()> {
    ensure!(
        name.len() <= MAX_NAME,
        "the plugin's name has {} bytes, at most {MAX_NAME} are allowed",
        name.len()
    );
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    let is_rest = |byte: u8| is_letter(byte) || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        name.bytes().next().is_some_and(is_letter)
            && name.bytes().all(is_rest)
            && !name.ends_with('-'),
        "`{}` is no name for a plugin, expected lower case letters, digits and hyphens, such as `support-access`",
        name.escape_default()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_are_paths_or_packages_nowhere() {
        for name in ["a", "support-access", "r2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a b", "../a", "a/b", "2a", "é", "a_b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn refuses_a_long_name_for_its_length() {
        assert!(check_name(&"a".repeat(64)).is_ok());
        let error = check_name(&"a".repeat(65)).expect_err("is long");
        let sentence = "the plugin's name has 65 bytes, at most 64 are allowed";
        assert_eq!(error.to_string(), sentence);
    }

    #[test]
    fn a_directory_without_a_project_is_told_how_to_make_one() {
        let error = Project::read(Path::new("nowhere")).expect_err("it is not there");
        assert!(
            format!("{error:#}").contains("symctl plugin new"),
            "{error:#}"
        );
    }
}
