//! A release from a store: its pointer, who signed it, and its objects, in this
//! order. Nothing else is fetched for a release that is refused.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::dsse;
use super::engine::{ENGINE_ID, Engine, TARGET};
use super::manifest::{self, Manifest};
use super::release::{File, Release};
use super::release_store::{self, ReleaseStore, StoreError, Unreachable};
use super::source::invalid;
use super::statement::{NativeEntry, Statement};
use super::trust::{self, Trust, VerifiedRelease};
use crate::aws::Aws;
use crate::error::{Code, Error, Result};

/// How many objects are fetched at once: enough to hide the latency of each, and
/// few enough for the smallest function's memory.
const AT_ONCE: usize = 8;

/// Where published releases are, and whose are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The store.
    pub store: ReleaseStore,
    /// Whose releases run.
    pub trust: Trust,
    /// The function's name.
    pub audience: String,
}

/// What is kept of a release's pointer, to see whether there is another.
#[derive(Clone, Debug)]
pub struct Version {
    /// Of the pointer.
    etag: String,
    /// The release's serial; `None` where the configuration pins the release,
    /// which is newer and older than none.
    pub serial: Option<u64>,
    /// The release's id.
    pub release: String,
}

/// A statement that is believed, and where its pointer stands.
pub struct Pointer {
    /// The release that it names.
    pub release: VerifiedRelease,
    version: Version,
}

impl Pointer {
    /// How many bytes have to be fetched for it.
    pub(super) fn bytes(&self) -> u64 {
        let statement = self.release.statement();
        let bytes = objects(statement)
            .into_iter()
            .map(|(path, native)| match native {
                Some(native) => native.bytes,
                None => statement.file(path).map_or(0, |file| file.bytes),
            });
        bytes.fold(0, u64::saturating_add)
    }
}

impl Published {
    /// Reads the pointer and verifies what it holds. `None`: it is still the one
    /// of `known`.
    ///
    /// # Errors
    /// `release-unavailable`, `invalid-plugin`.
    pub async fn pointer(&self, aws: &Aws, known: Option<&Version>) -> Result<Option<Pointer>> {
        let key = match &self.trust {
            // It can't change.
            Trust::Pin(_) if known.is_some() => return Ok(None),
            Trust::Pin(digest) => release_store::release_key(*digest),
            Trust::Keys(_) => release_store::CURRENT.to_owned(),
        };
        let etag = known.map(|version| version.etag.as_str());
        let object = self
            .store
            .get_if_changed(aws, &key, dsse::MAX_BYTES, etag)
            .await
            .map_err(|error| match error {
                StoreError::Missing if key == release_store::CURRENT => nothing(),
                error => unavailable(&format!("`{key}`"), error),
            })?;
        let Some(object) = object else {
            return Ok(None);
        };
        let release = self.trust.verify(&object.bytes, &self.audience)?;
        let serial = match &self.trust {
            Trust::Pin(_) => None,
            Trust::Keys(_) => Some(release.statement().serial),
        };
        if let (Some(serial), Some(current)) = (serial, known.and_then(|version| version.serial))
            && serial < current
        {
            return Err(older(serial, current));
        }
        let version = Version {
            etag: object.etag,
            serial,
            release: release.id().to_owned(),
        };
        Ok(Some(Pointer { release, version }))
    }

    /// Fetches and verifies what the release is made of.
    ///
    /// # Errors
    /// As [`pointer`](Self::pointer).
    pub async fn load(
        &self,
        engine: &Engine,
        aws: &Aws,
        pointer: Pointer,
    ) -> Result<(Release, Version)> {
        let Pointer { release, version } = pointer;
        let mut fetches = Vec::new();
        for (path, native) in objects(release.statement()) {
            fetches.push(self.fetch(aws, &release, path, native));
        }
        let files = stream::iter(fetches)
            .buffer_unordered(AT_ONCE)
            .try_collect::<BTreeMap<String, File>>()
            .await?;
        let assembled = assemble(engine, &release, files)?;
        Ok((assembled, version))
    }

    /// Fetches and verifies what [`load`](Self::load) has no use for here: native code
    /// for other hosts, and components in whose place native code was taken.
    ///
    /// # Errors
    /// As [`pointer`](Self::pointer).
    pub async fn verify_the_rest(&self, aws: &Aws, release: &VerifiedRelease) -> Result<()> {
        let statement = release.statement();
        let loaded = objects(statement);
        let components = loaded.iter().filter(|(_, native)| native.is_some());
        let components = components.map(|(path, _)| (*path, None));
        let is_loaded = |entry: &NativeEntry| {
            let mut loaded = loaded.iter();
            loaded.any(|(_, native)| native.is_some_and(|native| native == entry))
        };
        let natives = statement.native.iter().filter(|entry| !is_loaded(entry));
        let natives = natives.map(|entry| ("", Some(entry)));
        // One at a time: any of them may be large.
        for (path, native) in components.chain(natives) {
            self.fetch(aws, release, path, native).await?;
        }
        Ok(())
    }

    async fn fetch(
        &self,
        aws: &Aws,
        release: &VerifiedRelease,
        path: &str,
        native: Option<&NativeEntry>,
    ) -> Result<(String, File)> {
        let failed = |what: &str, error| match error {
            StoreError::TooLarge { most } => invalid(
                release.id(),
                &format!("{what} is longer than the {most} bytes that were signed"),
            ),
            error => unavailable(&format!("{what} of release {}", release.id()), error),
        };
        let file = match native {
            Some(entry) => {
                let what = trust::what_of_native(release.statement(), entry);
                let key = release_store::object_key(entry.sha256);
                let code = self.store.get_sealed(aws, &key, entry.bytes).await;
                let code = code.map_err(|error| failed(&what, error))?;
                let component = release.statement().file(path);
                File::Native {
                    component: entry.of,
                    component_bytes: component.map_or(0, |component| component.bytes),
                    code: release.native(entry, code)?,
                }
            }
            None => {
                let entry = release
                    .statement()
                    .file(path)
                    .ok_or_else(|| Error::internal("a file of the statement has gone"))?;
                let what = trust::what_of_file(entry);
                let most = entry.bytes.min(manifest::MAX_COMPONENT_BYTES);
                let key = release_store::object_key(entry.sha256);
                let object = self.store.get(aws, &key, most).await;
                let object = object.map_err(|error| failed(&what, error))?;
                File::Bytes(release.file(path, object.bytes)?.into_bytes())
            }
        };
        Ok((path.to_owned(), file))
    }
}

/// What to fetch: each file, or in its place the native code that this host can
/// run. A component whose code is there is not needed itself.
fn objects(statement: &Statement) -> Vec<(&str, Option<&NativeEntry>)> {
    let native = |file: &super::statement::FileEntry| {
        statement.native.iter().find(|native| {
            native.of == file.sha256
                && native.engine == ENGINE_ID
                && Some(native.target.as_str()) == TARGET
        })
    };
    statement
        .files
        .iter()
        .map(|file| (file.path.as_str(), native(file)))
        .collect()
}

fn assemble(
    engine: &Engine,
    release: &VerifiedRelease,
    mut files: BTreeMap<String, File>,
) -> Result<Release> {
    let refused = |what: &str| invalid(release.id(), what);
    let text = match files.remove(manifest::FILE_NAME) {
        Some(File::Bytes(bytes)) if bytes.len() as u64 <= manifest::MAX_BYTES => bytes,
        Some(File::Bytes(_)) => {
            return Err(refused(&format!(
                "`plugins.toml` is larger than {} bytes, the most that is allowed",
                manifest::MAX_BYTES
            )));
        }
        _ => return Err(refused("`plugins.toml` is native code")),
    };
    let text = String::from_utf8(text).map_err(|_| refused("`plugins.toml` isn't UTF-8 text"))?;
    let manifest = Manifest::parse(&text)
        .map_err(|problems| refused(&format!("{}: {problems}", manifest::FILE_NAME)))?;
    let named = manifest.files();
    for (path, kind) in &named {
        match files.get(*path) {
            None => return Err(refused(&format!("`{path}` is named and not signed"))),
            Some(File::Native { .. }) if *kind == manifest::FileKind::Sql => {
                return Err(refused(&format!("`{path}` is SQL, and has native code")));
            }
            Some(File::Bytes(bytes)) if bytes.len() as u64 > kind.max_bytes() => {
                return Err(refused(&format!(
                    "`{path}` is larger than {} bytes, the most that is allowed",
                    kind.max_bytes()
                )));
            }
            Some(_) => {}
        }
    }
    if files.len() != named.len() {
        return Err(refused("it has files that `plugins.toml` doesn't name"));
    }
    drop(named);
    Release::assemble(engine, release.id().to_owned(), &manifest, files)
}

/// A release that was current before another.
pub(super) fn older(serial: u64, highest: u64) -> Error {
    Error::new(
        Code::InvalidPlugin,
        format!(
            "the release is refused: its serial {serial} is lower than {highest}, which was in use: run `symctl \
             publish … --after {highest}` or `symctl rollback … --after {highest}`"
        ),
    )
}

/// A store without a release, such as one whose URL was mistyped.
fn nothing() -> Error {
    Error::new(
        Code::ReleaseUnavailable,
        "nothing was published to the plugins' store yet, `current.json` is missing: `symctl publish`, or correct \
         `PLUGINS`",
    )
}

fn unavailable(what: &str, error: StoreError) -> Error {
    let unavailable = |sentence: String| Error::new(Code::ReleaseUnavailable, sentence);
    match error {
        StoreError::Unavailable(detail) => {
            unavailable("the plugins' release can't be reached: try again".to_owned())
                .with_pointer(", and if it stays so, see the function's log")
                .with_source(Unreachable(format!("{what}: {detail}")))
        }
        StoreError::TooLarge { .. } => Error::new(
            Code::InvalidPlugin,
            format!("the release is refused: {what} {error}"),
        ),
        StoreError::Missing | StoreError::Changed | StoreError::Unconditional => {
            unavailable(format!("the plugins' release isn't whole: {what} {error}"))
        }
    }
}
