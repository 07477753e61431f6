//! A file that appears whole or not at all: it is written under another name beside its place, and takes the place when it is on the disk.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::store::db::directory_of;

/// So much of a file tells what it is.
const HEAD_BYTES: u64 = 100;

/// What stands at a place that is to be written to.
#[derive(Debug, PartialEq, Eq)]
pub enum Stands {
    /// Nothing.
    Nothing,
    /// A regular file, which begins so.
    File(Vec<u8>),
    /// A directory, a link, a device, a pipe: never to be replaced, and never opened.
    Other,
}

impl Stands {
    /// What stands at `place`; a link is not followed.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn at(place: &Path) -> io::Result<Stands> {
        match place.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stands::Nothing),
            Err(error) => return Err(error),
            Ok(found) if !found.is_file() => return Ok(Stands::Other),
            Ok(_) => {}
        }
        let mut head = Vec::new();
        File::open(place)?.take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(Stands::File(head))
    }
}

/// A file on its way to its place. Dropped before [`WholeFile::put`], it is removed.
#[derive(Debug)]
pub struct WholeFile {
    place: PathBuf,
    partial: PathBuf,
    file: File,
    is_put: bool,
}

impl WholeFile {
    /// An empty file for `place`, with these permissions from its first byte on: `.NAME.partial` in the same directory. What a killed process
    /// left under that name is written over.
    ///
    /// # Errors
    /// Where the directory cannot be written to, or another process is writing the same file.
    pub fn beside(place: &Path, mode: u32) -> io::Result<WholeFile> {
        let name = place.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".partial");
        let partial = place.with_file_name(hidden);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(mode).open(&partial)?;
        let busy = || io::Error::new(io::ErrorKind::WouldBlock, "another process is writing it");
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever held the lock before may have put its file in place meanwhile: that one is not ours to write over.
        if fs::metadata(&partial).map(|it| it.ino()).ok() != Some(file.metadata()?.ino()) {
            return Err(busy());
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.set_len(0)?;
        Ok(WholeFile { place: place.to_owned(), partial, file, is_put: false })
    }

    /// Where it is written.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Its size so far, in bytes.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Puts it in its place, when it is on the disk. What stood there is replaced.
    ///
    /// # Errors
    /// Where the disk fails; then the place is as it was.
    pub fn put(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.partial, &self.place)?;
        self.is_put = true;
        let directory = directory_of(&self.place);
        File::open(directory)?.sync_all()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.is_put {
            // Half a file is of no use to anybody; one that cannot be removed is written over the next time.
            let _gone = fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("copy");
        fs::write(&place, "old").unwrap();
        fs::write(directory.path().join(".copy.partial"), "left by a killed process").unwrap();
        let half = WholeFile::beside(&place, 0o600).unwrap();
        assert_eq!(half.bytes().unwrap(), 0);
        let busy = WholeFile::beside(&place, 0o600).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::WouldBlock);
        (&half.file).write_all(b"half").unwrap();
        drop(half);
        assert_eq!((fs::read_to_string(&place).unwrap().as_str(), names(&directory)), ("old", vec!["copy".to_owned()]));
        let whole = WholeFile::beside(&place, 0o600).unwrap();
        fs::write(whole.partial(), "new").unwrap();
        whole.put().unwrap();
        assert_eq!((fs::read_to_string(&place).unwrap().as_str(), names(&directory)), ("new", vec!["copy".to_owned()]));
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
    }

    fn names(directory: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        entries.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}
