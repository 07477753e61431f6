//! The file in which a sandbox keeps its state between two runs. It is replaced as a whole, so that a reader, or a run after a
//! crash, finds one snapshot or the other and never a half of each.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::snapshot::{Snapshot, SnapshotError};

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// Another sandbox works on it.
    #[error("{} belongs to another sandbox that is running: stop that one, or give this one a file of its own", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// It, or the lock beside it, cannot be opened or read.
    #[error("the state in {} cannot be read", path.display())]
    Unread {
        /// The file that could not be opened.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What it holds cannot be used.
    #[error("the state in {} cannot be used: move the file away to begin with empty books", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SnapshotError,
    },
    /// A snapshot cannot be written.
    #[error("the state cannot be written to {}", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A state file, locked for this process until it is dropped.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// The file is replaced again and again, so that the lock is on one beside it.
    _lock: File,
}

impl StateFile {
    /// Takes the file, whether it exists or not, and reads what an earlier run left.
    ///
    /// # Errors
    /// [`StateFileError`]: another sandbox has it, or it cannot be read or used.
    pub fn open(path: &Path) -> Result<(StateFile, Option<Snapshot>), StateFileError> {
        let beside = with_ending(path, ".lock");
        let unread = |path: &Path, source| StateFileError::Unread { path: path.to_owned(), source };
        let lock = File::options().create(true).truncate(false).write(true).open(&beside);
        let lock = lock.map_err(|source| unread(&beside, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(StateFileError::Taken { path: path.to_owned() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(unread(&beside, source)),
        }
        let snapshot = match std::fs::read(path) {
            Ok(document) => Some(
                Snapshot::read(&document)
                    .map_err(|source| StateFileError::Unusable { path: path.to_owned(), source })?,
            ),
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(unread(path, source)),
        };
        Ok((StateFile { path: path.to_owned(), _lock: lock }, snapshot))
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what the file holds; when this returns, the disk has it.
    ///
    /// # Errors
    /// [`StateFileError::Unwritten`]; the file then holds what it held before.
    pub(super) fn replace(&self, document: &[u8]) -> Result<(), StateFileError> {
        let new = with_ending(&self.path, ".new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(document)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            // The new name is on the disk only when the directory is.
            let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|source| StateFileError::Unwritten { path: self.path.clone(), source })
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
