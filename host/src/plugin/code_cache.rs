//! Native code that this user's own commands compiled before: from an edit to a
//! verdict, compiling is nearly all of the time.
//!
//! For `symctl` alone. The function has no such thing: what it loads as machine
//! code was signed.
//!
//! **Invariant:** the directory belongs to who runs this, and nobody else may
//! write it, so whoever could put code there could run code as this user anyway.
//! That is why it is never a directory of a project: those come from others.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use wasmtime::component::Component;

use super::compiler::OwnCode;
use super::component::Refusal;
use super::engine::Engine;
use super::native;
use super::statement::Digest;
use crate::error::{Code, Error, Result};

/// Most that is kept, in bytes: what was used longest ago goes first. A plugin in
/// Python has 60 MB, and each build of it is another one.
const MAX_BYTES: u64 = 512 << 20;

/// Bytes of the digest behind the code.
const DIGEST_BYTES: usize = 32;

/// Keeps what was compiled, for the same component and the same engine.
pub struct CodeCache(PathBuf);

impl CodeCache {
    /// Keeps code in a directory, and makes it where it is missing. `None`: it
    /// can't be made.
    ///
    /// # Errors
    /// A clause that says why nothing is loaded from there: somebody else could
    /// have written it.
    pub fn in_directory(path: &Path) -> Result<Option<Self>, String> {
        if !path.exists() {
            let mut directories = DirBuilder::new();
            if directories
                .recursive(true)
                .mode(0o700)
                .create(path)
                .is_err()
            {
                return Ok(None);
            }
        }
        let Ok(found) = fs::metadata(path) else {
            return Ok(None);
        };
        if !found.is_dir() {
            return Err("is no directory".to_owned());
        }
        if found.uid() != nix::unistd::geteuid().as_raw() {
            return Err("belongs to another user".to_owned());
        }
        if found.mode() & 0o022 != 0 {
            return Err("can be written by other users".to_owned());
        }
        // Who may write beside it can put another in its place, unless that is sticky.
        let parent = path.parent().and_then(|parent| fs::metadata(parent).ok());
        if parent.is_some_and(|parent| parent.mode() & 0o1002 == 0o002) {
            return Err("is in a directory that other users can write".to_owned());
        }
        Ok(Some(Self(path.to_owned())))
    }

    /// The component, of code that is kept or made now.
    pub(super) fn component(&self, engine: &Engine, bytes: &[u8]) -> Result<Component, Refusal> {
        let path = self.path(engine, bytes);
        // Code that doesn't load is made anew: it may be of another version.
        if let Some(code) = read(&path)
            && let Ok(component) = native::load_own(engine, &OwnCode::Bytes(code))
        {
            return Ok(component);
        }
        let code = engine.native_code(bytes)?;
        let component = engine.load(&code)?;
        // It is a help and no promise: a full disk is no reason not to run.
        let _ = code.into_bytes().and_then(|code| self.write(&path, &code));
        Ok(component)
    }

    /// The component's digest, and all that its code hangs on.
    fn path(&self, engine: &Engine, bytes: &[u8]) -> PathBuf {
        let mut hash = DefaultHasher::new();
        engine
            .wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut hash);
        self.0
            .join(format!("{}-{:016x}", Digest::of(bytes), hash.finish()))
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}-{number}", std::process::id()));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, code);
        let written = fs::write(&unfinished, [code, digest.as_ref()].concat())
            .and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written.and_then(|()| self.make_room())
    }

    fn make_room(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let found = entry.metadata()?;
            files.push((found.modified()?, found.len(), entry.path()));
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, freed, path) in files {
            if bytes <= MAX_BYTES {
                break;
            }
            fs::remove_file(path)?;
            bytes -= freed;
        }
        Ok(())
    }
}

/// Code as it was written, whole. The digest is against a disk that broke, not
/// against people.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let digest = bytes.split_off(bytes.len().checked_sub(DIGEST_BYTES)?);
    let found = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    if found.as_ref() != digest {
        return None;
    }
    // So that it isn't what was used longest ago.
    let _ = File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_modified(SystemTime::now()));
    Some(bytes)
}

/// What it takes until a component's instances can be made.
#[derive(Clone, Copy, Debug)]
pub struct Preparation {
    /// Compiling it: what `symctl publish` does, and a function for a component
    /// without native code.
    pub compile: Duration,
    /// Taking the native code's digest and loading it: what a function does with
    /// a release's.
    pub load: Duration,
    /// The native code, in bytes.
    pub native_bytes: u64,
}

impl Preparation {
    /// Prepares a component, and measures it.
    ///
    /// # Errors
    /// `invalid-plugin`.
    pub fn measure(engine: &Engine, component: &[u8]) -> Result<Self> {
        let refused = |refusal| Error::new(Code::InvalidPlugin, format!("the component {refusal}"));
        let start = Instant::now();
        let code = engine.native_code(component).map_err(refused)?;
        let compile = start.elapsed();
        let code = code.into_bytes();
        let code =
            code.map_err(|error| Error::internal(format!("native code can't be read: {error}")))?;
        let native_bytes = code.len() as u64;
        let start = Instant::now();
        let _ = Digest::of(&code);
        drop(engine.load(&OwnCode::Bytes(code)).map_err(refused)?);
        Ok(Self {
            compile,
            load: start.elapsed(),
            native_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn component() -> Vec<u8> {
        wat::parse_str("(component)").expect("is valid")
    }

    fn cache(directory: &Path) -> CodeCache {
        CodeCache::in_directory(directory)
            .expect("is ours")
            .expect("is there")
    }

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory)
            .expect("is there")
            .map(|entry| entry.expect("is readable").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn what_is_kept_is_loaded_and_what_broke_is_made_anew() {
        let root = tempfile::tempdir().expect("has room");
        let directory = root.path().join("a/b");
        let engine = Engine::new().expect("starts");
        let load = || {
            let loaded = cache(&directory).component(&engine, &component());
            loaded.expect("loads");
        };
        load();
        let kept = names(&directory);
        let [name] = kept.as_slice() else {
            panic!("{kept:?}")
        };
        let path = directory.join(name);
        let good = fs::read(&path).expect("is there");
        let inode = || fs::metadata(&path).expect("is there").ino();
        let first = inode();
        load();
        assert_eq!(inode(), first, "nothing was written");
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for broken in [&good[..good.len() / 2], &[], &flipped] {
            fs::write(&path, broken).expect("has room");
            assert!(read(&path).is_none());
            load();
            assert!(read(&path).is_some(), "is whole again");
        }
        assert_eq!(names(&directory), kept);
    }

    // Whoever can write there would run their code as this user.
    #[test]
    fn a_directory_of_others_is_refused() {
        let root = tempfile::tempdir().expect("has room");
        let directory = root.path().join("kept");
        cache(&directory);
        let mode = |path: &Path| fs::metadata(path).expect("is there").mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        for mode in [0o720, 0o702, 0o777] {
            fs::set_permissions(&directory, Permissions::from_mode(mode)).expect("is ours");
            let refused = CodeCache::in_directory(&directory).err();
            assert_eq!(refused.as_deref(), Some("can be written by other users"));
        }
        // Only root can give something away, and to anybody else root's is foreign.
        let foreign = if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&directory, Some(65534), None).expect("root may");
            directory
        } else {
            PathBuf::from("/")
        };
        let refused = CodeCache::in_directory(&foreign).err();
        assert_eq!(refused.as_deref(), Some("belongs to another user"));
        let file = root.path().join("file");
        fs::write(&file, "").expect("has room");
        assert!(CodeCache::in_directory(&file).is_err());
        let nowhere = Path::new("/proc/nowhere");
        assert!(matches!(CodeCache::in_directory(nowhere), Ok(None)));
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let root = tempfile::tempdir().expect("has room");
        let cache = cache(root.path());
        for (name, age) in [("old", 3), ("older", 4), ("new", 1)] {
            let file = File::create(root.path().join(name)).expect("has room");
            // Without a block on the disk.
            file.set_len(MAX_BYTES / 3).expect("may have holes");
            let modified = SystemTime::now() - Duration::from_secs(age);
            file.set_modified(modified).expect("is ours");
        }
        cache.make_room().expect("is ours");
        assert_eq!(names(root.path()).len(), 3, "just as much as may be");
        fs::write(root.path().join("newest"), "x").expect("has room");
        fs::write(root.path().join("newest"), [0; 3]).expect("has room");
        cache.make_room().expect("is ours");
        let mut kept = names(root.path());
        kept.sort();
        assert_eq!(kept, ["new", "newest", "old"]);
    }
}
