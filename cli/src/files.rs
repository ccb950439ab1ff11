//! Files that are written whole or not at all.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Replaces a file, or makes it. Whoever reads it never sees half of it, and where it
/// can't be written, what was there stays. It keeps its permissions, and where it is a
/// link, what that leads to is replaced.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = match place.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        // The shell's umask takes away what it would take from any new file.
        builder.permissions(Permissions::from_mode(0o666));
        let mut file = builder.tempfile_in(directory)?;
        if let Ok(there) = fs::metadata(&place) {
            file.as_file().set_permissions(there.permissions())?;
        }
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        file.persist(&place)
            .map(drop)
            .map_err(|failed| failed.error)
    };
    write().with_context(|| format!("can't write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_replaced_keeps_its_permissions_and_its_links() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let (file, link) = (directory.path().join("a"), directory.path().join("b"));
        let mode = |path: &Path| anyhow::Ok(fs::metadata(path)?.permissions().mode() & 0o777);
        replace(&file, b"1")?;
        fs::write(directory.path().join("c"), "")?;
        assert_eq!(mode(&file)?, mode(&directory.path().join("c"))?);
        fs::set_permissions(&file, Permissions::from_mode(0o640))?;
        symlink(&file, &link)?;
        replace(&link, b"22")?;
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        assert_eq!((fs::read(&file)?, mode(&file)?), (b"22".to_vec(), 0o640));
        assert_eq!(fs::read_dir(directory.path())?.count(), 3);
        Ok(())
    }
}
