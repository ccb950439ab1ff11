//! A directory as a store, for local work and for one machine: what S3 does with
//! conditions, a lock and a rename do here.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

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
    let lock = File::create(root.join(LOCK)).map_err(unavailable)?;
    lock.lock().map_err(unavailable)?;
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
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(unavailable)
}

pub(super) fn list(root: &Path, below: &str) -> Result<Vec<Listed>, StoreError> {
    let entries = match fs::read_dir(root.join(below)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unavailable)?,
    };
    let mut listed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unavailable)?;
        let metadata = entry.metadata().map_err(unavailable)?;
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            listed.push(Listed {
                key: format!("{below}{name}"),
                bytes: metadata.len(),
            });
        }
    }
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(listed)
}

pub(super) fn delete(root: &Path, key: &str) -> Result<(), StoreError> {
    match fs::remove_file(root.join(key)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unavailable(error)),
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
    let bytes = io::copy(&mut file.take(most + 1), into).map_err(unavailable)?;
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
}
