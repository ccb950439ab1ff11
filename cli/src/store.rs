//! What the subcommands that look into a store of releases share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use sym_host::aws::Aws;
use sym_host::plugin::ENGINE_ID;
use sym_host::plugin::dsse::{self, Envelope, pre_authentication_encoding};
use sym_host::plugin::package::TARGETS;
use sym_host::plugin::release_store::{
    self, CURRENT, Condition, ReleaseStore, StoreError, Unreachable,
};
use sym_host::plugin::statement::{Digest, MAX_SERIAL, Statement};
use sym_host::plugin::trust::PublicKey;

use crate::output::{self, Status};

/// Most releases that are named for the person to choose.
pub(crate) const SHOWN: usize = 5;

/// A store, and how to reach it.
pub(crate) struct Store {
    store: ReleaseStore,
    aws: Aws,
}

/// A statement in a store. Nobody has verified it: it is for showing.
pub(crate) struct Found {
    /// Where it lies.
    pub(crate) key: String,
    /// Of what was signed, if it was.
    pub(crate) digest: Digest,
    pub(crate) statement: Statement,
    pub(crate) signed_by: Vec<String>,
    envelope: Envelope,
}

impl Found {
    /// Whether one of these keys did sign it.
    pub(crate) fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        is_signed_by(&self.envelope, keys)
    }

    /// Who signed it, by its own words.
    pub(crate) fn signers(&self) -> String {
        let named = self.signed_by.iter().filter(|name| !name.trim().is_empty());
        let named: Vec<&str> = named.map(String::as_str).collect();
        match (self.signed_by.len(), &named[..]) {
            (0, _) => "nobody".to_owned(),
            (_, []) => "somebody without a name".to_owned(),
            (_, named) => named.join(", "),
        }
    }

    /// Every object that it is made of, with its length.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (Digest, u64)> {
        let files = self.statement.files.iter();
        let native = self.statement.native.iter();
        files
            .map(|file| (file.sha256, file.bytes))
            .chain(native.map(|native| (native.sha256, native.bytes)))
    }

    /// Whether each of its objects is one of these keys.
    pub(crate) fn is_whole(&self, there: &BTreeSet<String>) -> bool {
        self.objects()
            .all(|(digest, _)| there.contains(&release_store::object_key(digest)))
    }

    /// Whether it is the same release, wherever it lies and whoever signed it.
    pub(crate) fn is_same(&self, other: &Found) -> bool {
        self.digest == other.digest
    }

    /// As the function's log and the ledger name it.
    pub(crate) fn id(&self) -> String {
        format!("r{}-{}", self.statement.serial, self.digest.short())
    }
}

fn is_signed_by(envelope: &Envelope, keys: &[PublicKey]) -> bool {
    let message = pre_authentication_encoding(&envelope.payload);
    let mut signatures = envelope.signatures.iter();
    signatures.any(|signature| {
        keys.iter()
            .any(|key| key.verifies(&message, &signature.bytes))
    })
}

/// The pointer.
pub(crate) struct Current {
    pub(crate) release: Found,
    pub(crate) etag: String,
    /// As it lies there.
    bytes: Vec<u8>,
}

/// What some keys signed, and what they didn't.
pub(crate) struct Believed {
    /// The release in use; `None` in a store without a pointer.
    pub(crate) current: Option<Current>,
    /// All that one of the keys signed, the newest first.
    pub(crate) releases: Vec<Found>,
    /// Where the rest of what should be statements lies.
    pub(crate) unsigned: Vec<String>,
}

/// Runs something that waits for the network.
pub(crate) fn block_on<T>(run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run)
}

impl Store {
    pub(crate) fn open(url: &str) -> anyhow::Result<Self> {
        let store = ReleaseStore::parse(url).map_err(|why| anyhow!("the store's URL {why}"))?;
        if let ReleaseStore::Directory(path) = &store
            && path.is_file()
        {
            bail!("`{url}` is a file, expected a directory");
        }
        Ok(Self {
            store,
            aws: Aws::patient(),
        })
    }

    pub(crate) fn url(&self) -> String {
        self.store.to_string()
    }

    /// What there is to say of a store that has no pointer: nothing was published to it,
    /// as to one whose URL was mistyped, or the pointer was deleted.
    pub(crate) async fn nothing(&self) -> anyhow::Error {
        match self.is_empty().await {
            Ok(true) => anyhow!(
                "nothing was published to `{}` yet: `symctl publish`",
                self.url()
            ),
            Ok(false) => anyhow!("{}", self.not_in_use()),
            Err(error) => error,
        }
    }

    /// Whether it has no statement beside the pointer.
    pub(crate) async fn is_empty(&self) -> anyhow::Result<bool> {
        Ok(self.list(release_store::RELEASES).await?.is_empty())
    }

    /// The same of a store that has statements.
    pub(crate) fn not_in_use(&self) -> String {
        format!(
            "no release of `{url}` is in use, `{CURRENT}` is missing: put one in use with `symctl rollback {url} RELEASE`, of \
             those that `symctl releases {url}` shows, or with `symctl publish`",
            url = self.url()
        )
    }

    /// The release in use; `None` in a store without a pointer. Fails with what to do
    /// where the pointer can't be read as a release.
    pub(crate) async fn current(&self) -> anyhow::Result<Option<Current>> {
        let object = match self.store.get(&self.aws, CURRENT, dsse::MAX_BYTES).await {
            Ok(object) => object,
            Err(StoreError::Missing) => return Ok(None),
            Err(error @ StoreError::TooLarge { .. }) => {
                return Err(no_pointer(failed(CURRENT, error)));
            }
            Err(error) => return Err(failed(CURRENT, error)),
        };
        Ok(Some(Current {
            release: read(CURRENT, &object.bytes).map_err(no_pointer)?,
            etag: object.etag,
            bytes: object.bytes,
        }))
    }

    /// The release in use. Fails where none of these keys signed it: its serial may be
    /// anybody's.
    pub(crate) async fn trusted(&self, keys: &[PublicKey]) -> anyhow::Result<Option<Current>> {
        let current = self.current().await?;
        if let Some(current) = &current
            && !current.release.is_signed_by(keys)
        {
            bail!(
                "the release in use, {}, is signed by none of your keys: name all of the function's PLUGIN_TRUST with \
                 `--trust`; if nobody of yours signed it, {WAY_OUT}",
                current.release.id()
            );
        }
        Ok(current)
    }

    /// The release in use, and which of all statements one of these keys signed. Fails
    /// where [`trusted`](Self::trusted) does, and where one that counts can't be read: it
    /// would count as if it weren't there.
    pub(crate) async fn believed(&self, keys: &[PublicKey]) -> anyhow::Result<Believed> {
        let current = self.trusted(keys).await?;
        let mut releases = Vec::new();
        let mut unsigned = Vec::new();
        for entry in self.list(release_store::RELEASES).await? {
            let key = entry.key;
            let bytes = match self.store.get(&self.aws, &key, dsse::MAX_BYTES).await {
                Ok(object) => object.bytes,
                // Somebody else collects garbage.
                Err(StoreError::Missing) => continue,
                // No function reads so much.
                Err(StoreError::TooLarge { .. }) => {
                    unsigned.push(key);
                    continue;
                }
                Err(error) => return Err(failed(&key, error)),
            };
            match Envelope::from_json(&bytes) {
                Ok(envelope) if is_signed_by(&envelope, keys) => releases.push(read(&key, &bytes)?),
                _ => unsigned.push(key),
            }
        }
        releases.sort_by_key(|found| std::cmp::Reverse(found.statement.serial));
        Ok(Believed {
            current,
            releases,
            unsigned,
        })
    }

    /// All releases, the newest first. What is none, or is gone, is said and left out.
    pub(crate) async fn releases(&self) -> anyhow::Result<Vec<Found>> {
        let mut releases = Vec::new();
        for entry in self.list(release_store::RELEASES).await? {
            let key = entry.key;
            let found = match self.store.get(&self.aws, &key, dsse::MAX_BYTES).await {
                Ok(object) => read(&key, &object.bytes),
                Err(error @ (StoreError::Missing | StoreError::TooLarge { .. })) => {
                    Err(failed(&key, error))
                }
                // What can't be read now would look as if it weren't there.
                Err(error) => return Err(failed(&key, error)),
            };
            match found {
                Ok(found) => releases.push(found),
                Err(error) => left_out(&error),
            }
        }
        releases.sort_by_key(|found| std::cmp::Reverse(found.statement.serial));
        Ok(releases)
    }

    /// An object's bytes, at most as many as these.
    pub(crate) async fn object(&self, digest: Digest, most: u64) -> anyhow::Result<Vec<u8>> {
        let key = release_store::object_key(digest);
        let object = self.store.get(&self.aws, &key, most).await;
        Ok(object.map_err(|error| failed(&key, error))?.bytes)
    }

    /// Puts bytes under the name of their digest. Returns whether they were new.
    pub(crate) async fn upload(&self, key: &str, bytes: &[u8]) -> anyhow::Result<bool> {
        let put = self.store.put_new(&self.aws, key, bytes).await;
        if put.map_err(|error| failed(key, error))? {
            return Ok(true);
        }
        // The name is the digest: what else is there was put there by mistake,
        // or worse, and every host refuses it.
        if self.holds(key, bytes).await {
            return Ok(false);
        }
        output::note(&format!("`{key}` was not what its name says: written anew"));
        let put = self.store.put(&self.aws, key, bytes, Condition::Always);
        put.await.map_err(|error| failed(key, error))?;
        Ok(true)
    }

    /// Brings an object of a release that is about to be switched to. Returns whether it
    /// was written. What the release in use needs too is only looked at: no `symctl gc`
    /// deletes it. The rest is written even where it is there already, and perhaps
    /// garbage to a `symctl gc` that is at work: that deletes nothing young.
    pub(crate) async fn bring(
        &self,
        digest: Digest,
        bytes: &[u8],
        before: Option<&Current>,
    ) -> anyhow::Result<bool> {
        let key = release_store::object_key(digest);
        let mut in_use = before.iter().flat_map(|current| current.release.objects());
        if in_use.any(|(other, _)| other == digest) {
            return self.upload(&key, bytes).await;
        }
        let put = self.store.put(&self.aws, &key, bytes, Condition::Always);
        put.await.map_err(|error| failed(&key, error))?;
        Ok(true)
    }

    /// Puts the statement in use beside those that were, where whoever switched to it
    /// couldn't: it is about to be replaced.
    pub(crate) async fn remember(
        &self,
        current: &Current,
        releases: &[Found],
    ) -> anyhow::Result<()> {
        let digest = current.release.digest;
        let key = release_store::release_key(digest);
        // A copy elsewhere is nothing that a pin finds.
        if releases
            .iter()
            .any(|found| found.key == key && found.digest == digest)
        {
            return Ok(());
        }
        self.upload(&key, &current.bytes).await.map(drop)
    }

    /// Switches to a release, unless somebody else did since `before` was read. This is
    /// what brings the statement to the store: one that is signed and doesn't get in use
    /// lies nowhere for anybody to put in use later.
    pub(crate) async fn switch(
        &self,
        id: &str,
        envelope: &[u8],
        before: Option<&Current>,
    ) -> anyhow::Result<()> {
        let condition = match before {
            Some(current) => Condition::IsStill(&current.etag),
            None => Condition::IsAbsent,
        };
        let put = self.store.put(&self.aws, CURRENT, envelope, condition);
        let Err(error) = put.await else {
            return Ok(());
        };
        // It may have arrived, and the answer not.
        let now = self.store.get(&self.aws, CURRENT, dsse::MAX_BYTES).await;
        if now.as_ref().is_ok_and(|now| now.bytes == envelope) {
            return Ok(());
        }
        let url = self.url();
        let error = match error {
            StoreError::Changed => {
                return Err(anyhow!(
                    "another release was published to `{url}` at the same time, and is in use; this one isn't: look at it with \
                     `symctl status`, and publish again",
                ));
            }
            error => failed(CURRENT, error),
        };
        let again = if is_unreachable(&error) {
            ": try again"
        } else {
            ""
        };
        Err(error.context(match now.map(|now| read(CURRENT, &now.bytes)) {
            Ok(Ok(now)) => format!("{id} is not in use, {} is{again}", now.id()),
            Err(StoreError::Missing) => format!("{id} is not in use, nothing is{again}"),
            _ => format!(
                "whether {id} is in use now can't be seen: look with `symctl status {url}` before you try again"
            ),
        }))
    }

    /// What is left to do for a release that is in use: its statement is put beside the
    /// others, and what a `symctl gc` that was at work has deleted is brought again. If
    /// that fails, the release is in use all the same, and the sentence says so.
    pub(crate) async fn settle(
        &self,
        id: &str,
        digest: Digest,
        envelope: &[u8],
        objects: &[(Digest, Vec<u8>)],
    ) -> Status {
        let settled = async {
            let key = release_store::release_key(digest);
            self.upload(&key, envelope).await?;
            let there = self.objects().await?;
            for (digest, bytes) in objects {
                let key = release_store::object_key(*digest);
                if !there.contains(&key) {
                    self.upload(&key, bytes).await?;
                }
            }
            anyhow::Ok(())
        };
        let Err(error) = settled.await else {
            return Status::Done;
        };
        output::error(&error.context(format!(
            "{id} is in use now, but it couldn't be seen whether all of it is still there: don't roll back for that; \
             `symctl verify` looks, and where something is missing, publish what it holds once more"
        )));
        Status::Ours
    }

    /// Whether an object is just these bytes.
    async fn holds(&self, key: &str, bytes: &[u8]) -> bool {
        let there = self.store.get(&self.aws, key, bytes.len() as u64).await;
        there.is_ok_and(|object| object.bytes == bytes)
    }

    /// The keys and lengths of a directory.
    pub(crate) async fn list(&self, below: &str) -> anyhow::Result<Vec<release_store::Listed>> {
        let listed = self.store.list(&self.aws, below).await;
        listed.map_err(|error| failed(below, error))
    }

    /// The keys of all objects.
    pub(crate) async fn objects(&self) -> anyhow::Result<BTreeSet<String>> {
        let listed = self.list(release_store::OBJECTS).await?;
        Ok(listed.into_iter().map(|object| object.key).collect())
    }

    pub(crate) async fn delete(&self, key: &str) -> anyhow::Result<()> {
        let deleted = self.store.delete(&self.aws, key).await;
        deleted.map_err(|error| failed(key, error))
    }

    /// Deletes what was last written by then. Returns whether it was.
    pub(crate) async fn delete_older(&self, key: &str, than: SystemTime) -> anyhow::Result<bool> {
        let deleted = self.store.delete_older(&self.aws, key, than).await;
        deleted.map_err(|error| failed(key, error))
    }
}

/// The release of a name: as `symctl releases` shows it, the beginning of that, or its
/// digest.
pub(crate) fn find<'a>(name: &str, releases: &'a [Found]) -> anyhow::Result<&'a Found> {
    // `r1` is not `r12`.
    let is_it = |found: &&Found| {
        found.id() == name
            || found
                .id()
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('-'))
            || found.digest.to_string() == name
            || (name.contains('-') && found.id().starts_with(name))
    };
    let mut found = releases.iter().filter(is_it);
    let Some(first) = found.next() else {
        bail!(
            "there is no release `{name}` that your key or one of `--trust` signed: `symctl releases` shows what there is"
        );
    };
    // Who can write the store can put the same one there twice.
    if !found.all(|other| other.is_same(first)) {
        let ids = releases.iter().filter(is_it).map(|found| found.id());
        let ids: BTreeSet<String> = ids.collect();
        let ids: Vec<String> = ids.into_iter().take(SHOWN).collect();
        bail!(
            "`{name}` is the beginning of several releases, give more of it: {}",
            ids.join(", ")
        );
    }
    Ok(first)
}

/// Which serial comes next.
#[derive(Args)]
pub(crate) struct SerialArgs {
    /// A serial that the function has accepted, where the store has lost the release that
    /// had it: the new release's is higher. The function's refusal names it.
    #[arg(long, value_name = "SERIAL", value_parser = serial)]
    after: Option<u64>,
}

impl SerialArgs {
    /// The serial after all of these, and after that of `--after`.
    pub(crate) fn next<'a>(
        &self,
        releases: impl Iterator<Item = &'a Found>,
    ) -> anyhow::Result<u64> {
        let known = releases.map(|found| found.statement.serial);
        let highest = known.chain(self.after).max().unwrap_or_default();
        ensure!(
            highest < MAX_SERIAL,
            "no serial is left after {highest}, so no release can follow: docs/releases.md, `When a key was stolen`, says how the \
             function's ledger goes back to a lower one"
        );
        Ok(highest + 1)
    }

    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        self.after.is_none()
    }
}

fn serial(text: &str) -> Result<u64, &'static str> {
    let serial = text.parse().ok();
    let serial = serial.filter(|serial| (1..=MAX_SERIAL).contains(serial));
    serial.ok_or("expected the serial of a release, such as `57`")
}

/// Warns where functions of the release in use are none of the next one's.
pub(crate) fn warn_of_left_out(current: &Found, audience: &[String], how: &str) {
    let before = current.statement.audience.iter();
    let left_out = before.filter(|name| !audience.contains(name));
    let names: Vec<String> = left_out.map(|name| format!("`{name}`")).collect();
    if !names.is_empty() {
        output::note(&format!(
            "warning: the release in use is for {} too, and this one isn't: {how}",
            names.join(", ")
        ));
    }
}

/// Warns of components without native code for functions of this version, by the
/// architecture of these.
pub(crate) fn warn_of_compiling(id: &str, statement: &Statement, components: &BTreeSet<&str>) {
    let is_native = |path: &str, target: &str| {
        let file = statement.file(path);
        let mut native = statement.native.iter();
        native.any(|native| {
            file.is_some_and(|file| file.sha256 == native.of)
                && native.engine == ENGINE_ID
                && native.target == target
        })
    };
    let mut lacking: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for target in TARGETS {
        let components = components.iter().copied();
        let without: Vec<&str> = components.filter(|path| !is_native(path, target)).collect();
        if !without.is_empty() {
            lacking.entry(without).or_default().push(target);
        }
    }
    let engines = statement.native.iter().map(|native| native.engine.as_str());
    let engines: BTreeSet<&str> = engines.filter(|engine| *engine != ENGINE_ID).collect();
    let engines: Vec<&str> = engines.into_iter().collect();
    let others = match engines[..] {
        [] => String::new(),
        _ => format!(", though for the engine {}", engines.join(", ")),
    };
    for (without, targets) in lacking {
        let shown: Vec<String> = without
            .iter()
            .take(SHOWN)
            .map(|path| format!("`{path}`"))
            .collect();
        let more = match without.len() - shown.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        output::note(&format!(
            "warning: {id} has no native code of {}{more} for {} and this version's engine {ENGINE_ID}{others}: functions have to \
             compile it themselves, and refuse it where they have too little memory for that (docs/releases.md) or no \
             compiler (the slim build); `symctl publish` makes native code anew",
            shown.join(", "),
            targets.join(" and ")
        ));
    }
}

/// What mends a pointer that isn't ours.
const WAY_OUT: &str = "delete `current.json` from the store, and put a release in use with `symctl rollback` and its name, or with \
                       `symctl publish`";

/// A pointer that can't be read, with what to do.
fn no_pointer(why: anyhow::Error) -> anyhow::Error {
    anyhow!("{why:#}; if nobody of yours wrote that, {WAY_OUT}")
}

/// What can't be read may be anybody's.
pub(crate) fn left_out(error: &anyhow::Error) {
    let title = "left out: ";
    let why = output::indented(&format!("{error:#}"), title.len());
    output::note(&format!("{title}{why}"));
}

fn read(key: &str, bytes: &[u8]) -> anyhow::Result<Found> {
    let wrong = |why: String| anyhow!("`{key}` {why}");
    let envelope = Envelope::from_json(bytes).map_err(wrong)?;
    let statement = Statement::from_json(&envelope.payload).map_err(wrong)?;
    let signatures = envelope.signatures.iter();
    Ok(Found {
        key: key.to_owned(),
        digest: envelope.digest(),
        statement,
        signed_by: signatures
            .map(|signature| signature.key_id.clone())
            .collect(),
        envelope,
    })
}

fn failed(key: &str, error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Unavailable(detail) => {
            let cause = anyhow::Error::new(Unreachable(detail));
            cause.context(format!("`{key}` can't be read or written"))
        }
        error => anyhow!("`{key}` {error}"),
    }
}

/// Whether it is the store that is to blame, or the way to it.
pub(crate) fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Unreachable>())
}

/// The time of now, for a statement.
pub(crate) fn now() -> anyhow::Result<String> {
    let now = jiff::Timestamp::now();
    let seconds = jiff::Timestamp::from_second(now.as_second());
    Ok(seconds.context("the clock is wrong")?.to_string())
}

/// What makes statements.
pub(crate) fn publisher() -> String {
    format!("symctl {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // What a retry of the AWS SDK's meets when the answer to the first try was
    // lost.
    #[tokio::test]
    async fn a_switch_that_arrived_unheard_is_done_and_anothers_is_not() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let store = Store::open(&format!("file://{}", directory.path().display()))?;
        store.switch("r1", b"ours", None).await?;
        store.switch("r1", b"ours", None).await?;
        for other in [&b"their"[..], b"thei", b"theirs"] {
            let error = store
                .switch("r1", other, None)
                .await
                .expect_err("is another's");
            assert!(error.to_string().contains("at the same time"), "{error}");
        }
        assert!(store.holds(CURRENT, b"ours").await);
        Ok(())
    }

    fn digest(envelope: &[u8]) -> Digest {
        Envelope::from_json(envelope).map_or(Digest::of(b""), |envelope| envelope.digest())
    }

    fn statement(serial: u64) -> Vec<u8> {
        let digest = Digest::of(b"").to_string();
        let payload = serde_json::json!({
            "schema": 1, "audience": ["sym-postgres"], "serial": serial, "created": "2026-01-02T03:04:05Z",
            "publisher": publisher(), "native": [],
            "files": [{"path": "plugins.toml", "sha256": digest, "bytes": 0}],
        });
        let payload = payload.to_string().into_bytes();
        let signatures = Vec::new();
        Envelope {
            payload,
            signatures,
        }
        .to_json()
    }

    // A link in place of the lock, so that nothing can be written.
    fn break_writing(root: &std::path::Path) -> anyhow::Result<()> {
        let lock = root.join(".lock");
        std::fs::remove_file(&lock)?;
        Ok(std::os::unix::fs::symlink("elsewhere", &lock)?)
    }

    #[tokio::test]
    async fn a_switch_that_fails_says_what_is_in_use_and_leaves_no_statement() -> anyhow::Result<()>
    {
        let directory = tempfile::tempdir()?;
        let store = Store::open(&format!("file://{}", directory.path().display()))?;
        store.switch("r1", &statement(1), None).await?;
        let before = store.current().await?;
        break_writing(directory.path())?;
        let failed = store.switch("r2", &statement(2), before.as_ref()).await;
        let error = failed.expect_err("can't be written");
        assert!(error.chain().any(|cause| cause.is::<Unreachable>()));
        let text = format!("{error:#}");
        assert!(text.starts_with("r2 is not in use, r1-"), "{text}");
        assert!(store.list(release_store::RELEASES).await?.is_empty());
        // The answer to one that arrived was lost.
        store.switch("r1", &statement(1), before.as_ref()).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_fails_after_the_switch_is_no_failure_of_the_switch() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let store = Store::open(&format!("file://{}", directory.path().display()))?;
        let first = statement(1);
        store.switch("r1", &first, None).await?;
        let lock = directory.path().join(".lock");
        break_writing(directory.path())?;
        let digest = digest(&first);
        let settled = store.settle("r1", digest, &first, &[]).await;
        assert_eq!(settled, Status::Ours);

        // The next one makes up for it.
        std::fs::remove_file(lock)?;
        let current = store.current().await?.context("is in use")?;
        store.remember(&current, &[]).await?;
        let listed = store.list(release_store::RELEASES).await?;
        assert_eq!(listed[0].key, release_store::release_key(digest));
        let objects = [(Digest::of(b"a"), b"a".to_vec())];
        let settled = store.settle("r1", digest, &first, &objects).await;
        assert_eq!(settled, Status::Done);
        assert_eq!(store.objects().await?.len(), 1);
        Ok(())
    }
}
