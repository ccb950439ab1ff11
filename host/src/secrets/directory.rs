//! A directory of files, for local work: `{dir}/{name}.json`, readable by the
//! owner alone.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::unavailable;
use crate::error::Result;
use crate::secret::Secret;

/// Creates it. Returns what is in it, where it was there already.
pub(super) fn create(directory: &Path, secret: &Secret) -> Result<Option<Zeroizing<String>>> {
    let path = path(directory, &secret.name);
    let created = write_new(&path, &secret.json);
    match created {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text =
                fs::read_to_string(&path).map_err(|error| unavailable().with_source(error))?;
            Ok(Some(Zeroizing::new(text)))
        }
        Err(error) => Err(unavailable().with_source(error)),
    }
}

/// Deletes it, and what a try left behind that died while it wrote it.
pub(super) fn delete(directory: &Path, name: &str) -> Result<()> {
    let path = path(directory, name);
    let is_left_behind = |entry: &fs::DirEntry| {
        let entry = entry.path();
        entry
            .extension()
            .is_some_and(|extension| extension == "tmp")
            && entry.with_extension("").file_stem() == path.file_stem()
    };
    let beside = path.parent().and_then(|parent| fs::read_dir(parent).ok());
    let left_behind = beside.into_iter().flatten().flatten();
    for entry in left_behind.filter(is_left_behind) {
        remove(&entry.path())?;
    }
    remove(&path)
}

/// What isn't there is removed.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unavailable().with_source(error)),
        _ => Ok(()),
    }
}

/// A name never climbs: [`secret_name`](crate::secret::secret_name) lets no `/`
/// and no `..` of a requester's through, and the configuration none in a prefix.
fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{}.json", name.trim_start_matches('/')))
}

/// All of it or nothing: a link to a finished file can't be half a file, and it
/// fails where there is one.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut file: File = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&temporary, path)
    };
    let written = write();
    fs::remove_file(&temporary)?;
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(json: &str) -> Secret {
        Secret {
            name: "/symops.com/f/u@a.co/r".to_owned(),
            description: String::new(),
            user_tag: String::new(),
            run_id: "r".to_owned(),
            json: Zeroizing::new(json.to_owned()),
        }
    }

    #[test]
    fn the_first_secret_of_a_run_stays() {
        let directory = tempfile::tempdir().expect("has a directory");
        assert_eq!(
            create(directory.path(), &secret("1")).expect("is written"),
            None
        );
        assert_eq!(
            create(directory.path(), &secret("2"))
                .expect("is read")
                .as_deref()
                .map(String::as_str),
            Some("1")
        );
        delete(directory.path(), &secret("1").name).expect("is deleted");
        delete(directory.path(), &secret("1").name).expect("is gone already");
        assert_eq!(
            create(directory.path(), &secret("3")).expect("is written"),
            None
        );
    }

    #[test]
    fn what_a_crash_left_behind_is_deleted_too() {
        let directory = tempfile::tempdir().expect("has a directory");
        create(directory.path(), &secret("1")).expect("is written");
        let path = path(directory.path(), &secret("1").name);
        let left_behind = path.with_extension("77.tmp");
        let other = path.with_file_name("other.77.tmp");
        fs::write(&left_behind, "2").expect("is written");
        fs::write(&other, "3").expect("is written");
        delete(directory.path(), &secret("1").name).expect("is deleted");
        assert_eq!(
            (path.exists(), left_behind.exists(), other.exists()),
            (false, false, true)
        );
    }

    #[test]
    fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("has a directory");
        create(directory.path(), &secret("1")).expect("is written");
        let mode = fs::metadata(path(directory.path(), &secret("1").name))
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
