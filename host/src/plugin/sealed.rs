//! Bytes that can't change any more: a memfd whose seals are set.
//!
//! Native code of a plugin in Python has 36 MB. From a buffer wasmtime copies it,
//! and it is in memory twice; a file is mapped. A file that somebody may change
//! after its digest was taken proves nothing; this one nobody may, this process
//! included. `cargo xtask bench --only releases` measures the two.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use super::statement::Digest;

/// Bytes on their way in.
pub(super) struct Sealing(File);

/// Bytes that are what they were when their digest was taken.
pub(super) struct Sealed {
    file: File,
    bytes: u64,
    digest: Digest,
}

impl Sealing {
    /// Nothing yet.
    ///
    /// # Errors
    /// The system has no such memory, or none left.
    #[cfg(target_os = "linux")]
    pub(super) fn new() -> io::Result<Self> {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let memory = memfd_create(c"sym-native-code", flags)?;
        Ok(Self(File::from(memory)))
    }

    /// Native code is for Linux alone.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where another process can put them.
    ///
    /// # Errors
    /// This one has too many descriptors.
    #[cfg(feature = "compiler")]
    pub(super) fn try_clone(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// From here on they stay as they are; what they are is read after that.
    ///
    /// # Errors
    /// They can't be sealed or read.
    pub(super) fn seal(self) -> io::Result<Sealed> {
        let mut file = self.0;
        set_seals(&file)?;
        file.rewind()?;
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut chunk = vec![0; 64 << 10];
        let mut bytes = 0;
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            hash.update(&chunk[..count]);
            bytes += count as u64;
        }
        Ok(Sealed {
            file,
            bytes,
            digest: Digest::from_sha256(&hash.finish()),
        })
    }
}

#[cfg(target_os = "linux")]
fn set_seals(file: &File) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn set_seals(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sealed {
    /// How many there are.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Their digest.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// Where this process can open them, as long as this value lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_sealed_stays_as_it_is() {
        let mut sealing = Sealing::new().expect("Linux lets us");
        sealing.write_all(b"native").expect("there is room");
        let sealed = sealing.seal().expect("nobody has it mapped");
        assert_eq!(sealed.bytes(), 6);
        assert_eq!(sealed.digest(), Digest::of(b"native"));
        // By a new descriptor, longer, shorter, and by the one that wrote it.
        let write = || fs::File::options().write(true).open(sealed.path());
        assert!(write().and_then(|mut file| file.write_all(b"N")).is_err());
        assert!(write().and_then(|file| file.set_len(7)).is_err());
        assert!(write().and_then(|file| file.set_len(0)).is_err());
        assert!((&sealed.file).write_all(b"N").is_err());
        assert_eq!(fs::read(sealed.path()).expect("is there"), b"native");
    }
}
