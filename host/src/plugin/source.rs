//! Where a release comes from.
//!
//! `dir:///path` is the unpacked tree, trusted as the file system that it is on
//! (the function's own zip, a laptop). `s3://` and `file://` are stores of
//! published releases, which are trusted for their signatures alone. Whatever the
//! source, every file is read once, into memory; what is hashed is what is run.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::engine::Engine;
use super::manifest::{self, Manifest, Problems};
use super::published::{Published, Version};
use super::release::{self, Release};
use super::release_store::ReleaseStore;
use super::trust::Trust;
use crate::aws::Aws;
use crate::error::{Code, Error, Result};
use crate::event::printable;

/// An eighth of the smallest function's memory.
const LIGHT_BYTES: u64 = 16 << 20;

/// Where plugins come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `dir:///path`: a directory with `plugins.toml` and what it names.
    Directory(PathBuf),
    /// `s3://bucket/prefix` or `file:///path`: a store of published releases.
    Published(Published),
}

/// A release, and what tells it from a later one.
pub struct Loaded {
    /// The release.
    pub release: Release,
    /// Where its pointer stands. `None`: it can't change while we run.
    pub version: Option<Version>,
}

impl Source {
    /// Reads the variable `PLUGINS`. `trust` is for stores: without it, they are
    /// refused. `audience` is the function's name.
    ///
    /// # Errors
    /// One clause that says what was expected.
    pub fn parse(text: &str, trust: Option<&Trust>, audience: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "is `{}`, expected `s3://bucket/prefix`, `file:///path/of/a/store` or `dir:///path/of/a/directory`",
                printable(text, 120)
            )
        };
        if let Some(path) = text.strip_prefix("dir://") {
            if !path.starts_with('/') || path.contains('\0') {
                return Err(wrong());
            }
            return Ok(Self::Directory(PathBuf::from(path)));
        }
        let store = ReleaseStore::parse(text).map_err(|_| wrong())?;
        let Some(trust) = trust else {
            return Err(format!("is `{store}`, which needs `PLUGIN_TRUST`"));
        };
        Ok(Self::Published(Published {
            store,
            trust: trust.clone(),
            audience: audience.to_owned(),
        }))
    }

    /// Loads what is there now. Components are compiled when they are first
    /// needed, or by [`Release::check_all`].
    ///
    /// # Errors
    /// `release-unavailable` where it can't be read, `invalid-plugin` where it is
    /// there and wrong.
    pub async fn load(&self, engine: &Engine, aws: &Aws) -> Result<Loaded> {
        match self {
            // Not on another thread: it is a few local files, and nothing else
            // of the event can go on without them.
            Self::Directory(root) => Ok(Loaded {
                release: load_directory(root, engine)?,
                version: None,
            }),
            Self::Published(published) => {
                let pointer = published.pointer(aws, None).await?;
                let pointer =
                    pointer.ok_or_else(|| Error::internal("a first pointer that is no news"))?;
                let (release, version) = published.load(engine, aws, pointer).await?;
                Ok(Loaded {
                    release,
                    version: Some(version),
                })
            }
        }
    }

    /// Loads what is there now if it is another than `known`. Of a published
    /// release all is compiled and checked: what is to be accepted has to work.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_another(
        &self,
        engine: &Engine,
        aws: &Aws,
        known: Option<&Version>,
    ) -> Result<Option<Loaded>> {
        let Self::Published(published) = self else {
            // It can't change while we run.
            return match known {
                Some(_) => Ok(None),
                None => self.load(engine, aws).await.map(Some),
            };
        };
        let Some(pointer) = published.pointer(aws, known).await? else {
            return Ok(None);
        };
        let (release, version) = published.load(engine, aws, pointer).await?;
        checked(release, version).await.map(Some)
    }

    /// Loads what is there now if that is quick and small: a published release of
    /// at most [`LIGHT_BYTES`], with nothing in it to compile. `None`: it isn't.
    ///
    /// For before the first event, which may well be the end of an access: a
    /// release that is too much for the function must not be in its way.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_light(&self, engine: &Engine, aws: &Aws) -> Result<Option<Loaded>> {
        let Self::Published(published) = self else {
            return Ok(None);
        };
        let pointer = published.pointer(aws, None).await?;
        let Some(pointer) = pointer.filter(|pointer| pointer.bytes() <= LIGHT_BYTES) else {
            return Ok(None);
        };
        let (release, version) = published.load(engine, aws, pointer).await?;
        match release.is_native() {
            true => checked(release, version).await.map(Some),
            false => Ok(None),
        }
    }
}

/// A published release whose plugins all work.
async fn checked(release: Release, version: Version) -> Result<Loaded> {
    if let Err(errors) = release.check_all().await {
        let first = errors.into_iter().next();
        return Err(first.unwrap_or_else(|| Error::internal("refused without a reason")));
    }
    Ok(Loaded {
        release,
        version: Some(version),
    })
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir://{}", path.display()),
            Self::Published(published) => published.store.fmt(f),
        }
    }
}

fn load_directory(root: &Path, engine: &Engine) -> Result<Release> {
    assemble_directory(engine, read_directory(root)?)
}

/// A directory, read, as a release.
pub(super) fn assemble_directory(engine: &Engine, read: ReadDirectory) -> Result<Release> {
    let (text, manifest, files) = read;
    let id = format!("dir-{}", &super::hex(&digest(&text, &files))[..12]);
    let files = files
        .into_iter()
        .map(|(path, bytes)| (path, release::File::Bytes(bytes)))
        .collect();
    Release::assemble(engine, id, &manifest, files)
}

/// `plugins.toml`, what it says, and the files that it names.
pub(super) type ReadDirectory = (String, Manifest, BTreeMap<String, Vec<u8>>);

pub(super) fn read_directory(root: &Path) -> Result<ReadDirectory> {
    read_directory_with(root, Manifest::parse)
}

/// The same with a manifest of another kind.
pub(super) fn read_directory_with(
    root: &Path,
    parse: fn(&str) -> Result<Manifest, Problems<'_>>,
) -> Result<ReadDirectory> {
    let unavailable = |path: &Path, error: io::Error| {
        Error::new(Code::ReleaseUnavailable, "the plugins can't be read")
            .with_pointer(": the function's log says which and why")
            .with_source(format!("{}: {error}", path.display()))
    };
    let root = root
        .canonicalize()
        .map_err(|error| unavailable(root, error))?;
    let text =
        read(&root, manifest::FILE_NAME, manifest::MAX_BYTES).map_err(|error| match error {
            ReadError::Io(error) => unavailable(&root.join(manifest::FILE_NAME), error),
            wrong => invalid_directory(&format!("`{}` {wrong}", manifest::FILE_NAME)),
        })?;
    let Ok(text) = String::from_utf8(text) else {
        return Err(invalid_directory("`plugins.toml` isn't UTF-8 text"));
    };
    let manifest = parse(&text)
        .map_err(|problems| invalid_directory(&format!("{}: {problems}", manifest::FILE_NAME)))?;

    let mut files = BTreeMap::new();
    let mut wrong = Vec::new();
    for (path, kind) in manifest.files() {
        match read(&root, path, kind.max_bytes()) {
            Ok(bytes) => {
                files.insert(path.to_owned(), bytes);
            }
            Err(error) => wrong.push(format!("`{path}` (`{}`) {error}", manifest.namer(path))),
        }
    }
    if !wrong.is_empty() {
        return Err(invalid_directory(&wrong.join("; ")));
    }
    Ok((text, manifest, files))
}

fn invalid_directory(what: &str) -> Error {
    Error::new(
        Code::InvalidPlugin,
        format!("the release is refused: {what}"),
    )
}

/// A published release is refused, by its id.
pub(super) fn invalid(id: &str, what: &str) -> Error {
    Error::new(
        Code::InvalidPlugin,
        format!("release {id} is refused: {what}"),
    )
}

/// A digest of all files and their names. Each part is preceded by its length, so
/// that nothing can move from one to the next unseen.
fn digest(manifest: &str, files: &BTreeMap<String, Vec<u8>>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(manifest.as_bytes());
    for (path, bytes) in files {
        part(path.as_bytes());
        part(bytes);
    }
    digest.finalize().into()
}

/// Why a file of a release can't be used: a clause whose subject is the file.
enum ReadError {
    Io(io::Error),
    Outside,
    NoFile,
    TooLarge { most: u64 },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => f.write_str("is missing"),
            Self::Io(error) => write!(f, "can't be read: {}", error.kind()),
            Self::Outside => f.write_str("is a link that leads out of the directory"),
            Self::NoFile => f.write_str("is no regular file"),
            Self::TooLarge { most } => {
                write!(f, "is larger than {most} bytes, the most that is allowed")
            }
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read(root: &Path, path: &str, most: u64) -> Result<Vec<u8>, ReadError> {
    let path = root.join(path).canonicalize()?;
    if !path.starts_with(root) {
        return Err(ReadError::Outside);
    }
    // Before it is opened: opening a named pipe would wait for a writer.
    if !path.metadata()?.is_file() {
        return Err(ReadError::NoFile);
    }
    // The size is what arrives, not what was announced.
    let mut bytes = Vec::new();
    File::open(&path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(ReadError::TooLarge { most });
    }
    Ok(bytes)
}
