//! A directory as a store, for local work and for one machine: what S3 does with
//! conditions, a lock and a rename do here.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use nix::fcntl::OFlag;

use super::{Condition, Listed, Object, StoreError};
use crate::plugin::statement::Digest;

/// Writers hold it.
const LOCK: &str = ".lock";

/// Where a file is written before it gets its name. One is enough: whoever
/// writes holds the lock.
const UNFINISHED: &str = ".unfinished";

pub(super) fn get(
    root: &Path,
    key: &str,
    most: u64,
    etag: Option<&str>,
) -> Result<Option<Object>, StoreError> {
    let bytes = read_all(&root.join(key), most)?;
    let found = Digest::of(&bytes).to_string();
    Ok((etag != Some(found.as_str())).then_some(Object { bytes, etag: found }))
}

pub(super) fn put(
    root: &Path,
    key: &str,
    bytes: &[u8],
    condition: Condition<'_>,
) -> Result<(), StoreError> {
    let path = root.join(key);
    fs::create_dir_all(path.parent().unwrap_or(root)).map_err(unavailable)?;
    check_parent(root, key)?;
    let _lock = lock(root)?;
    let holds = match condition {
        Condition::Always => true,
        Condition::IsAbsent => !path.exists(),
        Condition::IsStill(etag) => match read_all(&path, u64::MAX - 1) {
            Ok(now) => Digest::of(&now).to_string() == etag,
            Err(StoreError::Missing) => false,
            Err(error) => return Err(error),
        },
    };
    if !holds {
        return Err(StoreError::Changed);
    }
    let write = || {
        let unfinished = root.join(UNFINISHED);
        // A writer that died has left it, or somebody a link to another's file: a new
        // file is never made through one.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(unavailable)
}

pub(super) fn list(root: &Path, below: &str) -> Result<Vec<Listed>, StoreError> {
    check_parent(root, below)?;
    let entries = match fs::read_dir(root.join(below)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unavailable)?,
    };
    let mut listed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unavailable)?;
        let metadata = match entry.metadata() {
            // Somebody else has deleted it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata.map_err(unavailable)?,
        };
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            listed.push(Listed {
                key: format!("{below}{name}"),
                bytes: metadata.len(),
                written: metadata.modified().ok(),
            });
        }
    }
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(listed)
}

pub(super) fn delete(root: &Path, key: &str) -> Result<(), StoreError> {
    check_parent(root, key)?;
    match fs::remove_file(root.join(key)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unavailable(error)),
        _ => Ok(()),
    }
}

/// Deletes a file that was last written by then. Returns whether it was.
pub(super) fn delete_older(root: &Path, key: &str, than: SystemTime) -> Result<bool, StoreError> {
    let _lock = lock(root)?;
    let written = match root.join(key).symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        metadata => metadata.map_err(unavailable)?.modified().ok(),
    };
    if written.is_none_or(|written| written > than) {
        return Ok(false);
    }
    delete(root, key)?;
    Ok(true)
}

/// Held until it is dropped. The file is never cut short: it could be a link to
/// another's.
fn lock(root: &Path) -> Result<File, StoreError> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let opened = options
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(root.join(LOCK));
    let file = opened.map_err(|error| {
        StoreError::Unavailable(format!(
            "`{LOCK}` can't be opened, which must be no link: {error}"
        ))
    })?;
    file.lock().map_err(unavailable)?;
    Ok(file)
}

/// The directory of a key is the store's own: what a link in its place leads to is
/// somebody else's.
fn check_parent(root: &Path, key: &str) -> Result<(), StoreError> {
    let Some((directory, _)) = key.rsplit_once('/') else {
        return Ok(());
    };
    match root.join(directory).symlink_metadata() {
        Ok(metadata) if !metadata.is_dir() => Err(StoreError::Unavailable(format!(
            "`{directory}` is no directory of the store's own"
        ))),
        _ => Ok(()),
    }
}

fn read_all(path: &Path, most: u64) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    read(path, most, &mut bytes)?;
    Ok(bytes)
}

/// Reads a file into something.
pub(super) fn read(path: &Path, most: u64, into: &mut impl io::Write) -> Result<(), StoreError> {
    let missing = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => StoreError::Missing,
        _ => unavailable(error),
    };
    // Before it is opened: opening a named pipe would wait for a writer.
    if !path.metadata().map_err(missing)?.is_file() {
        return Err(StoreError::Unavailable("no regular file".to_owned()));
    }
    let file = File::open(path).map_err(missing)?;
    let bytes = io::copy(&mut file.take(most.saturating_add(1)), into).map_err(unavailable)?;
    if bytes > most {
        return Err(StoreError::TooLarge { most });
    }
    Ok(())
}

fn unavailable(error: io::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    fn etag(root: &Path) -> String {
        let object = get(root, "a/b", 100, None).expect("is there");
        object.expect("no etag was given").etag
    }

    #[test]
    fn the_first_writer_wins_and_the_second_is_told() {
        let root = tempfile::tempdir().expect("has a directory");
        let root = root.path();
        put(root, "a/b", b"1", Condition::IsAbsent).expect("there was none");
        let again = put(root, "a/b", b"2", Condition::IsAbsent);
        assert!(matches!(again, Err(StoreError::Changed)));
        let first = etag(root);
        put(root, "a/b", b"2", Condition::IsStill(&first)).expect("it was still so");
        let late = put(root, "a/b", b"3", Condition::IsStill(&first));
        assert!(matches!(late, Err(StoreError::Changed)));
        let unchanged = get(root, "a/b", 100, Some(&etag(root))).expect("is there");
        assert!(unchanged.is_none());
    }

    #[test]
    fn no_more_is_read_than_was_asked_for() {
        let root = tempfile::tempdir().expect("has a directory");
        let root = root.path();
        put(root, "a/b", b"123", Condition::Always).expect("is written");
        assert!(get(root, "a/b", 3, None).is_ok());
        assert!(get(root, "a/b", u64::MAX, None).is_ok());
        let error = get(root, "a/b", 2, None).expect_err("is too long");
        assert!(matches!(error, StoreError::TooLarge { most: 2 }));
        let error = get(root, "a/c", 2, None).expect_err("is missing");
        assert!(matches!(error, StoreError::Missing));
    }

    #[test]
    fn a_list_has_what_is_there() {
        let root = tempfile::tempdir().expect("has a directory");
        let root = root.path();
        assert!(list(root, "a/").expect("is empty").is_empty());
        put(root, "a/b", b"123", Condition::Always).expect("is written");
        let listed = list(root, "a/").expect("is read");
        assert_eq!((listed[0].key.as_str(), listed[0].bytes), ("a/b", 3));
        delete(root, "a/b").expect("is deleted");
        delete(root, "a/b").expect("is gone already");
    }

    #[test]
    fn what_was_written_since_is_not_deleted() {
        let root = tempfile::tempdir().expect("has a directory");
        let root = root.path();
        put(root, "a/b", b"1", Condition::Always).expect("is written");
        let written = list(root, "a/").expect("is read")[0].written;
        let written = written.expect("has a time");
        let before = written - Duration::from_secs(1);
        assert_eq!(delete_older(root, "a/b", before).ok(), Some(false));
        assert_eq!(delete_older(root, "a/b", written).ok(), Some(true));
        assert_eq!(delete_older(root, "a/b", written).ok(), Some(false));
        assert!(list(root, "a/").expect("is read").is_empty());
    }

    // Who can write the store can make any name in it a link to what is the publisher's.
    #[test]
    fn no_link_leads_out_of_the_store() {
        let directory = tempfile::tempdir().expect("has a directory");
        let victim = directory.path().join("victim");
        fs::create_dir(&victim).expect("is made");
        let file = victim.join("file");
        fs::write(&file, "mine").expect("is written");
        let root = directory.path().join("store");
        fs::create_dir(&root).expect("is made");
        let is_mine = || fs::read_to_string(&file).expect("is there") == "mine";

        symlink(&file, root.join(UNFINISHED)).expect("is made");
        put(&root, "current.json", b"1", Condition::Always).expect("is written");
        assert!(is_mine());
        assert_eq!(fs::read(root.join("current.json")).ok(), Some(vec![b'1']));

        fs::remove_file(root.join(LOCK)).expect("was there");
        symlink(&file, root.join(LOCK)).expect("is made");
        assert!(put(&root, "current.json", b"2", Condition::Always).is_err());
        assert!(is_mine());
        fs::remove_file(root.join(LOCK)).expect("was there");

        symlink(&victim, root.join("a")).expect("is made");
        assert!(put(&root, "a/b", b"3", Condition::Always).is_err());
        assert!(list(&root, "a/").is_err());
        assert!(delete(&root, "a/file").is_err());
        assert!(delete_older(&root, "a/file", SystemTime::now()).is_err());
        assert!(is_mine());
        assert_eq!(fs::read_dir(&victim).expect("is there").count(), 1);
    }
}
