//! Where a release comes from.
//!
//! Now: `dir:///path`, the unpacked tree, trusted as the file system that it is
//! on (the function's own zip, a laptop). Whatever the source, every file is read
//! once, into memory; what is hashed is what is run.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::engine::Engine;
use super::manifest::{self, Manifest};
use super::release::Release;
use crate::error::{Code, Error, Result};
use crate::event::printable;

/// Where plugins come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `dir:///path`: a directory with `plugins.toml` and what it names.
    Directory(PathBuf),
}

impl Source {
    /// Reads the variable `PLUGINS`.
    ///
    /// # Errors
    /// One clause that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "is `{}`, expected `dir:///path/of/a/directory`",
                printable(text, 120)
            )
        };
        let path = text.strip_prefix("dir://").ok_or_else(wrong)?;
        if !path.starts_with('/') || path.contains('\0') {
            return Err(wrong());
        }
        Ok(Self::Directory(PathBuf::from(path)))
    }

    /// Loads what is there now. Components are compiled when they are first
    /// needed, or by [`Release::check_all`].
    ///
    /// # Errors
    /// `release-unavailable` where it can't be read, `invalid-plugin` where it is
    /// there and wrong.
    pub async fn load(&self, engine: &Engine) -> Result<Release> {
        match self {
            // Not on another thread: it is a few local files, and nothing else
            // of the event can go on without them.
            Self::Directory(root) => load_directory(root, engine),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir://{}", path.display()),
        }
    }
}

fn load_directory(root: &Path, engine: &Engine) -> Result<Release> {
    let unavailable = |error: io::Error| {
        Error::new(
            Code::ReleaseUnavailable,
            "the plugins can't be read: the function's log says which and why",
        )
        .with_source(format!("{}: {error}", root.display()))
    };
    let root = root.canonicalize().map_err(unavailable)?;
    let text =
        read(&root, manifest::FILE_NAME, manifest::MAX_BYTES).map_err(|error| match error {
            ReadError::Io(error) => unavailable(error),
            wrong => invalid(&format!("`{}` {wrong}", manifest::FILE_NAME)),
        })?;
    let Ok(text) = String::from_utf8(text) else {
        return Err(invalid("`plugins.toml` isn't UTF-8 text"));
    };
    let manifest = Manifest::parse(&text)
        .map_err(|problems| invalid(&format!("{}: {problems}", manifest::FILE_NAME)))?;

    let mut files = BTreeMap::new();
    let mut wrong = Vec::new();
    for (path, kind) in manifest.files() {
        match read(&root, path, kind.max_bytes()) {
            Ok(bytes) => {
                files.insert(path.to_owned(), bytes);
            }
            Err(error) => wrong.push(format!("`{path}` {error}")),
        }
    }
    if !wrong.is_empty() {
        return Err(invalid(&wrong.join("; ")));
    }
    let id = format!("dir-{}", &super::hex(&digest(&text, &files))[..12]);
    Release::assemble(engine, id, &manifest, files)
}

fn invalid(what: &str) -> Error {
    Error::new(
        Code::InvalidPlugin,
        format!("the release is refused: {what}"),
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
