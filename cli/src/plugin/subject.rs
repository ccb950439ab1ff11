//! What `symctl plugin …` works on: a directory with `plugins.toml`, or one
//! component.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use sym_host::error::Error;
use sym_host::plugin::manifest::{FILE_NAME, MAX_COMPONENT_BYTES};
use sym_host::plugin::{Engine, Release};
use sym_host::request::Request;

use super::build::{missing_component, staleness};
use super::cases::event::SAMPLE;
use super::outcome::request_of;
use crate::host::failed;
use crate::output;

/// What a path names.
pub(crate) enum Subject {
    /// A directory with `plugins.toml`.
    Directory(PathBuf),
    /// One component.
    Component(PathBuf),
}

impl Subject {
    /// Looks what is there.
    pub(crate) fn find(path: &Path) -> anyhow::Result<Self> {
        let found = path
            .canonicalize()
            .with_context(|| format!("can't read `{}`", path.display()))?;
        if found.is_file() {
            return Ok(match found.file_name() {
                Some(name) if name == FILE_NAME => {
                    Self::Directory(found.parent().unwrap_or(Path::new("/")).to_owned())
                }
                _ if found.extension().is_some_and(|it| it == "toml") => bail!(
                    "`{0}` is no component: name a directory with `{FILE_NAME}`, or a component (`….wasm`); a file of \
                     cases is for `symctl plugin test --cases {0}`",
                    path.display()
                ),
                _ => Self::Component(found),
            });
        }
        if !has_manifest(&found)? {
            bail!(
                "`{}` has no `{FILE_NAME}`: name a directory that has one, or a component (`….wasm`)",
                path.display()
            );
        }
        Ok(Self::Directory(found))
    }

    /// Says where its component isn't what its sources are.
    pub(crate) fn note_staleness(&self) {
        if let Self::Directory(root) = self
            && let Some(note) = staleness(root)
        {
            output::note(&note);
        }
    }

    /// The bytes of one of its components, by its path in `plugins.toml`.
    pub(crate) fn component(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Directory(root) => read_component(&root.join(path)),
            Self::Component(path) => read_component(path),
        }
    }

    /// Loads it as the host would. `targets` are those that a lone component is
    /// asked for.
    pub(crate) fn load(
        &self,
        engine: &Engine,
        targets: &BTreeSet<String>,
    ) -> anyhow::Result<Release> {
        Ok(match self {
            Self::Directory(path) => match Release::of_directory(engine, path) {
                Ok(release) => release,
                Err(error) => return Err(with_build(path, error)),
            },
            Self::Component(path) => {
                let bytes = read_component(path)?;
                Release::of_component(engine, &name(path), bytes, targets)?
            }
        })
    }
}

/// Whether a directory has a `plugins.toml`.
///
/// # Errors
/// It can't be looked at: nobody knows then.
pub(crate) fn has_manifest(directory: &Path) -> anyhow::Result<bool> {
    let path = directory.join(FILE_NAME);
    match path.metadata() {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error).with_context(|| format!("can't read `{}`", path.display())),
    }
}

/// A project that wasn't built yet is no release, and its author knows no other
/// reason than that.
fn with_build(root: &Path, error: Error) -> anyhow::Error {
    match missing_component(root) {
        Some(component) if error.message().contains(&format!("`{component}` (")) => {
            anyhow!("`{component}` is missing: `symctl plugin build` makes it")
        }
        _ => error.into(),
    }
}

/// Compiles and checks all plugins of a release. All errors but the last are
/// shown.
pub(crate) async fn check_all(release: &Release) -> anyhow::Result<()> {
    let Err(mut errors) = release.check_all().await else {
        return Ok(());
    };
    let last = errors.pop();
    failed(&errors);
    last.map_or(Ok(()), |error| Err(error.into()))
}

/// A UUID, as Sym's runs have, and like those another one from its first digits on and
/// in its last: plugins may well take eight of them.
pub(crate) fn run_id(number: u32) -> String {
    let first = number.wrapping_mul(0x9E37_79B1);
    format!("{first:08x}-{:04x}-4000-8000-{number:012x}", first >> 16)
}

/// The sample event, of this person, for this target, in the run of this id.
pub(crate) fn sample_request(person: &str, target: &str, run: &str) -> anyhow::Result<Request> {
    request_like(SAMPLE, person, target, run)
}

/// An event with all that this one has, of this person, for this target, in the run
/// of this id.
pub(crate) fn request_like(
    event: &str,
    person: &str,
    target: &str,
    run: &str,
) -> anyhow::Result<Request> {
    let mut event: Value = serde_json::from_str(event).context("the event is no JSON")?;
    let srn = event["run"]["srn"].as_str().unwrap_or_default();
    let (flow, _) = srn.rsplit_once(':').unwrap_or_default();
    event["run"]["srn"] = format!("{flow}:{run}").into();
    event["run"]["actors"]["request"]["username"] = person.into();
    event["fields"]["target"]["name"] = target.into();
    Ok(request_of(&event.to_string())?)
}

/// A component's bytes.
pub(crate) fn read_component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let can_not = || format!("can't read `{}`", path.display());
    let bytes = path.metadata().with_context(can_not)?.len();
    if bytes > MAX_COMPONENT_BYTES {
        bail!(
            "`{}` has {bytes} bytes, at most {MAX_COMPONENT_BYTES} are allowed",
            path.display()
        );
    }
    std::fs::read(path).with_context(can_not)
}

/// A file's name, for messages.
pub(crate) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    // A plugin that was written to the contract must not break on our own sample.
    #[test]
    fn runs_are_uuids_that_differ_in_their_first_digits_and_in_their_last() {
        let mut firsts = BTreeSet::new();
        let mut lasts = BTreeSet::new();
        for run in 0..2_000 {
            let request =
                sample_request("ada@a.example", "readonly", &run_id(run)).expect("is an event");
            let parts: Vec<usize> = request.run.id().split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{}", request.run.id());
            firsts.insert(request.run.id()[..8].to_owned());
            lasts.insert(request.run.id()[28..].to_owned());
        }
        assert_eq!(lasts.len(), 2_000);
        assert_eq!(firsts.len(), 2_000);
    }
}
