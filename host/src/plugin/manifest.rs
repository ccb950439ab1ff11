//! `plugins.toml`: which plugin answers what, and what it may.
//!
//! ```toml
//! [resolver]
//! component = "resolver.wasm"
//! [resolver.config]
//! domain = "example.com"
//!
//! [targets.readonly]                  # lends the role `readonly`
//!
//! [targets.reporting]
//! strategy = "temporary-user"
//! sql = "reporting.sql"
//! ```
//!
//! Pure: text in, checked entries out. The files that it names are read by
//! [`source`](super::source), from [`Manifest::files`] alone.

mod check;
mod raw;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

pub use self::check::config_text;
use self::check::section;
use self::raw::RawManifest;
pub use self::schema::schema;
use super::limits::Limits;
use crate::event::shown;
use crate::plan::Strategy;

/// The file's name in a release.
pub const FILE_NAME: &str = "plugins.toml";
/// Longest manifest, in bytes.
pub const MAX_BYTES: u64 = 256 << 10;
/// Largest component, in bytes. One with a whole Python in it has 18 MB.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;
/// Longest SQL file, in bytes.
pub const MAX_SQL_BYTES: u64 = 256 << 10;
/// Most targets. Sym's menu has no use for that many.
pub const MAX_TARGETS: usize = 1000;

/// Checks what a `plugins.toml` says; the files that it names are not looked at.
///
/// # Errors
/// All that is wrong, each with its line and its key.
pub fn check(text: &str) -> Result<(), String> {
    Manifest::parse(text)
        .map(drop)
        .map_err(|problems| problems.to_string())
}

/// A checked manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// `None` in a [part](Manifest::parse_part) of a release alone.
    pub(super) resolver: Option<Entry>,
    pub(super) targets: BTreeMap<String, Target>,
}

/// What runs a component.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its table: `resolver`, `targets.readonly`.
    pub(super) section: String,
    /// Its file, relative to the manifest.
    pub(super) component: String,
    /// Its settings, as the plugin gets them.
    pub(super) config: BTreeMap<String, String>,
    pub(super) limits: Limits,
    pub(super) wasi: bool,
}

/// What a target is.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) strategy: Option<Strategy>,
    pub(super) setup: Setup,
}

/// Who says what the target means.
#[derive(Clone, Debug)]
pub(super) enum Setup {
    Component(Entry),
    Sql(String),
    Role(String),
}

/// What a file is, and so how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A WebAssembly component.
    Component,
    /// The statements of a target.
    Sql,
}

impl FileKind {
    pub(super) fn max_bytes(self) -> u64 {
        match self {
            Self::Component => MAX_COMPONENT_BYTES,
            Self::Sql => MAX_SQL_BYTES,
        }
    }
}

impl Manifest {
    /// The first table that names a file, as it is written there.
    pub(super) fn namer(&self, path: &str) -> String {
        let of_resolver = self.resolver.iter().map(|entry| (&entry.component, None));
        let of_targets = self
            .targets
            .iter()
            .filter_map(|(name, target)| match &target.setup {
                Setup::Component(entry) => Some((&entry.component, Some(name))),
                Setup::Sql(path) => Some((path, Some(name))),
                Setup::Role(_) => None,
            });
        let mut named = of_resolver.chain(of_targets);
        match named.find(|(named, _)| *named == path) {
            Some((_, Some(target))) => section(target),
            _ => "resolver".to_owned(),
        }
    }

    /// Every file that it names, once: paths below the manifest's directory.
    pub fn files(&self) -> BTreeMap<&str, FileKind> {
        let targets = self
            .targets
            .values()
            .filter_map(|target| match &target.setup {
                Setup::Component(entry) => Some((entry.component.as_str(), FileKind::Component)),
                Setup::Sql(path) => Some((path.as_str(), FileKind::Sql)),
                Setup::Role(_) => None,
            });
        targets
            .chain(
                self.resolver
                    .iter()
                    .map(|entry| (entry.component.as_str(), FileKind::Component)),
            )
            .collect()
    }

    /// The limits of each component, in the order of the targets' names.
    pub fn limits(&self) -> impl Iterator<Item = Limits> {
        let resolver = self.resolver.iter().map(|entry| entry.limits);
        let targets = self
            .targets
            .values()
            .filter_map(|target| match &target.setup {
                Setup::Component(entry) => Some(entry.limits),
                Setup::Sql(_) | Setup::Role(_) => None,
            });
        resolver.chain(targets)
    }

    /// Checks a manifest.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Problems<'_>> {
        Self::parse_with(text, true)
    }

    /// The same for a part of a release, which may have no resolver: what the
    /// author of a target works on.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse_part(text: &str) -> Result<Self, Problems<'_>> {
        Self::parse_with(text, false)
    }

    fn parse_with(text: &str, is_whole: bool) -> Result<Self, Problems<'_>> {
        let mut problems = Problems {
            text,
            found: Vec::new(),
        };
        let raw: RawManifest = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                // The parser's own lines, with its back quotes.
                let message = error.message().chars();
                let message = message.filter(|character| !character.is_control());
                let message: String = message.map(shown).take(400).collect();
                problems.add(error.span(), "", message);
                return Err(problems);
            }
        };
        let defaults = check::limits(&mut problems, "limits", &raw.limits, Limits::default());
        let resolver = match &raw.resolver {
            Some(raw) => check::entry(
                &mut problems,
                "resolver",
                &raw.component,
                &raw.run(),
                defaults,
            ),
            None if !is_whole => None,
            None => {
                problems.add(
                    None,
                    "resolver",
                    "is missing, expected `[resolver]` with `component = \"….wasm\"`",
                );
                None
            }
        };
        if raw.targets.len() > MAX_TARGETS {
            problems.add(
                None,
                "targets",
                format!(
                    "are {}, at most {MAX_TARGETS} are allowed",
                    raw.targets.len()
                ),
            );
        }
        let mut targets = BTreeMap::new();
        for (name, raw) in &raw.targets {
            targets.extend(check::target(&mut problems, name, raw, defaults));
        }
        check::kinds(&mut problems, &raw);
        if problems.found.is_empty() {
            Ok(Self { resolver, targets })
        } else {
            Err(problems)
        }
    }
}

/// All that is wrong, each with its line and its key.
#[derive(Debug)]
pub struct Problems<'a> {
    text: &'a str,
    found: Vec<String>,
}

impl Problems<'_> {
    fn add(&mut self, span: Option<Range<usize>>, key: &str, what: impl fmt::Display) {
        let line = span
            .and_then(|span| self.text.get(..span.start))
            .map(|before| before.matches('\n').count() + 1);
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("`{key}` ")
        };
        self.found.push(format!("{line}{key}{what}"));
    }
}

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let shown = &self.found[..self.found.len().min(SHOWN)];
        f.write_str(&shown.join("; "))?;
        match self.found.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
