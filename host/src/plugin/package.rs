//! A directory on its way into a store: its files as a release has them, and the
//! native code of its components.
//!
//! It signs nothing and writes nothing: `symctl` does.

use std::path::Path;

use super::engine::Engine;
use super::manifest::{FileKind, Manifest};
use super::release::Release;
use super::source;
use super::statement::{Digest, FileEntry};
#[cfg(feature = "all-targets")]
use super::{compiler, extent};
use crate::error::{Error, Result};

/// The files of a release-to-be, read once.
pub struct Package {
    /// `plugins.toml` first, then what it names.
    pub files: Vec<PackedFile>,
}

/// One of them.
pub struct PackedFile {
    /// As the statement will have it.
    pub entry: FileEntry,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it is to be compiled.
    pub is_component: bool,
}

impl Package {
    /// Reads `plugins.toml` and what it names.
    ///
    /// # Errors
    /// As those of a release from `dir://`.
    pub fn read(root: &Path) -> Result<Self> {
        let (text, manifest, mut bytes) = source::read_directory(root)?;
        let packed = |path: &str, bytes: Vec<u8>, is_component| PackedFile {
            entry: FileEntry {
                path: path.to_owned(),
                sha256: Digest::of(&bytes),
                bytes: bytes.len() as u64,
            },
            bytes,
            is_component,
        };
        let mut files = vec![packed(super::manifest::FILE_NAME, text.into_bytes(), false)];
        for (path, kind) in manifest.files() {
            if let Some(bytes) = bytes.remove(path) {
                files.push(packed(path, bytes, kind == FileKind::Component));
            }
        }
        Ok(Self { files })
    }

    /// The release of just these bytes, whatever has become of the directory.
    ///
    /// # Errors
    /// As those of a release from `dir://`.
    pub fn release(&self, engine: &Engine) -> Result<Release> {
        let mut files = self.files.iter();
        let text = files.next().map(|file| file.bytes.clone());
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| Error::internal("a package without a manifest"))?;
        let manifest = Manifest::parse(&text)
            .map_err(|problems| Error::internal(format!("a package's manifest: {problems}")))?;
        let files = files.map(|file| (file.entry.path.clone(), file.bytes.clone()));
        let files = files.collect();
        source::assemble_directory(engine, (text, manifest, files))
    }
}

/// The targets for which `symctl publish` makes native code: Lambda's two
/// architectures.
pub const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// Compiles a component for one of [`TARGETS`].
///
/// # Errors
/// `invalid-plugin`.
#[cfg(feature = "all-targets")]
pub fn precompile(component: &[u8], target: &str) -> Result<Vec<u8>> {
    use crate::error::{Code, Error};
    let refused = |refusal| Error::new(Code::InvalidPlugin, format!("the component {refusal}"));
    extent::check(component).map_err(refused)?;
    let engine = super::engine::compiler_for(target)
        .map_err(|error| Error::internal(format!("no compiler for {target}: {error:#}")))?;
    let code = compiler::compile(&engine, Some(target), component).map_err(refused)?;
    let code = code.into_bytes();
    code.map_err(|error| Error::internal(format!("native code can't be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_package_is_the_release_that_was_read() {
        let directory = tempfile::tempdir().expect("has a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("is written");
        };
        write(
            "plugins.toml",
            "[resolver]\ncomponent = \"r.wasm\"\n[targets.a]\nsql = \"a.sql\"\n",
        );
        write("r.wasm", "not compiled here");
        write("a.sql", "GRANT a TO {username}");
        let engine = Engine::new().expect("starts");
        let package = Package::read(directory.path()).expect("is read");
        let id = |package: &Package| {
            let release = package.release(&engine).expect("is a release");
            release.id().to_owned()
        };
        let before = id(&package);
        write("a.sql", "GRANT b TO {username}");
        assert_eq!(id(&package), before);
        let now = Package::read(directory.path()).expect("is read");
        assert_ne!(id(&now), before);
    }
}
