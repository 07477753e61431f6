//! The high-water mark outside the database: how many sends this daemon has committed, in a small file that no backup of the books
//! brings back. Where it stands above the books, the books were set back in time.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret;

use crate::config::Settings;
use crate::domain::reference::LedgerId;
use crate::store::DatabaseUrl;

/// Where systemd lets a service keep its state.
const STATE_DIRECTORY: &str = "/var/lib/dues";
/// More than a mark ever has.
const LONGEST_BYTES: u64 = 512;

/// The file, where there is a place for one.
#[derive(Debug, Clone)]
pub struct HighWater {
    path: Option<PathBuf>,
    ledger: String,
    node: String,
    /// What was written last.
    written: Arc<Mutex<i64>>,
    /// Whether the last could not be written.
    fails: Arc<AtomicBool>,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// There is no place for one: the fence rests on heartbeat and timeline alone.
    NoPlace,
    /// It was never written here, or is gone.
    Missing,
    /// It belongs to these books, and another daemon wrote it.
    OfAnother {
        /// Which.
        node: String,
        /// So many sends of it.
        sends: i64,
    },
    /// It belongs to other books, or cannot be read as a mark.
    Foreign(String),
    /// So many sends.
    Sends(i64),
}

/// Why the mark could not be kept; nothing is sent then.
#[derive(Debug, thiserror::Error)]
#[error("the high-water file {} could not be {step}; nothing is sent until it can", path.display())]
pub struct HighWaterError {
    path: PathBuf,
    step: &'static str,
    source: std::io::Error,
}

impl HighWater {
    /// The file that the settings name; where they name none, beside a SQLite database, or in the state directory.
    pub fn of(settings: &Settings, ledger: &LedgerId, node: &str) -> HighWater {
        let path = match settings.installation.high_water_file.as_str() {
            "none" => None,
            "" => own_place(settings, ledger, node),
            path => Some(PathBuf::from(path)),
        };
        HighWater {
            path,
            ledger: ledger.to_string(),
            node: node.to_owned(),
            written: Arc::new(Mutex::new(-1)),
            fails: Arc::default(),
        }
    }

    /// No file: for who is no daemon.
    pub(super) fn nowhere() -> HighWater {
        HighWater {
            path: None,
            ledger: String::new(),
            node: String::new(),
            written: Arc::new(Mutex::new(-1)),
            fails: Arc::default(),
        }
    }

    /// Where it stands.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What the file says now.
    ///
    /// # Errors
    /// [`HighWaterError`] where it is there and cannot be read.
    pub fn read(&self) -> Result<Mark, HighWaterError> {
        let Some(path) = &self.path else {
            // Without a place it is known as long as this process lives.
            return Ok(if self.written() < 0 { Mark::NoPlace } else { Mark::Sends(self.written()) });
        };
        let fault = |source| HighWaterError { path: path.clone(), step: "read", source };
        let mut text = String::new();
        match File::open(path) {
            Ok(file) => file.take(LONGEST_BYTES).read_to_string(&mut text).map_err(fault)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Mark::Missing),
            Err(error) => return Err(fault(error)),
        };
        let mut words = text.split_whitespace();
        let (ledger, node, sends) = (words.next(), words.next(), words.next().and_then(|it| it.parse().ok()));
        Ok(match (ledger, node, sends) {
            (None, None, None) => Mark::Missing,
            (Some(ledger), Some(node), Some(sends)) if ledger == self.ledger && node == self.node => Mark::Sends(sends),
            (Some(ledger), _, _) if ledger != self.ledger => Mark::Foreign("it belongs to another ledger".to_owned()),
            (_, Some(node), Some(sends)) => Mark::OfAnother { node: node.to_owned(), sends },
            _ => Mark::Foreign("it cannot be read as a mark".to_owned()),
        })
    }

    /// What this process wrote last; below 0 where it has written nothing yet.
    pub(super) fn written(&self) -> i64 {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last mark could not be written.
    pub(super) fn fails(&self) -> bool {
        self.fails.load(Ordering::SeqCst)
    }

    /// Makes a file anew that is gone, tries again where the last mark could not be written, and, where the books are `trusted`, takes
    /// the place of what another daemon wrote.
    ///
    /// # Errors
    /// [`HighWaterError`].
    pub(super) fn keep(&self, sends: i64, trusted: bool) -> Result<(), HighWaterError> {
        let anew = match self.read()? {
            Mark::Missing => true,
            Mark::OfAnother { .. } | Mark::Foreign(_) => trusted,
            Mark::NoPlace | Mark::Sends(_) => self.fails(),
        };
        if !anew {
            return Ok(());
        }
        let wanted = sends.max(self.written());
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = -1;
        self.raise_to(wanted)
    }

    /// Raises the mark, and returns when it is on the disk. Called after the sends were committed, and before any of them goes out.
    ///
    /// # Errors
    /// [`HighWaterError`]: nothing may be sent.
    pub fn raise_to(&self, sends: i64) -> Result<(), HighWaterError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.path else {
            *written = sends.max(*written);
            return Ok(());
        };
        if sends <= *written {
            return Ok(());
        }
        self.fails.store(true, Ordering::SeqCst);
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            // One line of fixed width, written in place: it is never half of an old and half of a new one.
            let line = format!("{} {} {sends:>20}\n", self.ledger, self.node);
            file.rewind()?;
            file.write_all(line.as_bytes())?;
            file.set_len(u64::try_from(line.len()).unwrap_or(LONGEST_BYTES))?;
            file.sync_data()
        };
        write().map_err(|source| HighWaterError { path: path.clone(), step: "written", source })?;
        self.fails.store(false, Ordering::SeqCst);
        *written = sends;
        Ok(())
    }
}

fn own_place(settings: &Settings, ledger: &LedgerId, node: &str) -> Option<PathBuf> {
    match DatabaseUrl::parse(settings.database.url.expose_secret()) {
        Ok(DatabaseUrl::Sqlite(path)) => {
            let mut beside = path.into_os_string();
            beside.push(".sends");
            Some(PathBuf::from(beside))
        }
        Ok(DatabaseUrl::Postgres(_)) => {
            let state = std::env::var_os("STATE_DIRECTORY").map_or(PathBuf::from(STATE_DIRECTORY), PathBuf::from);
            let short: String = ledger.to_string().chars().take(12).collect();
            state.is_dir().then(|| state.join(format!("sends-{short}-{node}")))
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &tempfile::TempDir, ledger: &str, node: &str) -> HighWater {
        HighWater {
            path: Some(directory.path().join("sends")),
            ledger: ledger.to_owned(),
            node: node.to_owned(),
            written: Arc::new(Mutex::new(-1)),
            fails: Arc::default(),
        }
    }

    #[test]
    fn a_mark_is_read_back_by_its_own_daemon_alone() {
        let directory = tempfile::tempdir().unwrap();
        let mine = file(&directory, "ledger", "one");
        assert_eq!(mine.read().unwrap(), Mark::Missing);
        mine.raise_to(7).unwrap();
        mine.raise_to(3).unwrap();
        assert_eq!(mine.read().unwrap(), Mark::Sends(7), "a mark never falls");
        mine.raise_to(1_234_567).unwrap();
        assert_eq!(mine.read().unwrap(), Mark::Sends(1_234_567));
        assert!(matches!(file(&directory, "other", "one").read().unwrap(), Mark::Foreign(_)));
        assert!(matches!(file(&directory, "ledger", "two").read().unwrap(), Mark::OfAnother { sends: 1_234_567, .. }));
    }

    #[test]
    fn what_is_no_mark_is_foreign_and_never_zero() {
        let directory = tempfile::tempdir().unwrap();
        let mine = file(&directory, "ledger", "one");
        for text in ["ledger", "ledger one", "ledger one many", "\u{0}\u{0}\u{0}"] {
            std::fs::write(directory.path().join("sends"), text).unwrap();
            assert!(matches!(mine.read().unwrap(), Mark::Foreign(_)), "{text:?}");
        }
    }

    #[test]
    fn a_mark_that_cannot_be_kept_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = HighWater { path: Some(directory.path().join("no/sends")), ..file(&directory, "ledger", "one") };
        assert!(nowhere.raise_to(1).is_err());
    }

    #[test]
    fn without_a_place_a_mark_is_known_while_its_process_lives() {
        let nowhere = HighWater::nowhere();
        assert_eq!((nowhere.path(), nowhere.read().unwrap(), nowhere.written()), (None, Mark::NoPlace, -1));
        nowhere.raise_to(0).unwrap();
        assert_eq!(nowhere.read().unwrap(), Mark::Sends(0));
        nowhere.raise_to(7).unwrap();
        assert_eq!((nowhere.read().unwrap(), nowhere.written()), (Mark::Sends(7), 7));
    }

    #[test]
    fn a_file_that_is_there_and_cannot_be_read_is_not_a_missing_one() {
        let directory = tempfile::tempdir().unwrap();
        let mine = file(&directory, "ledger", "one");
        std::fs::write(directory.path().join("sends"), "").unwrap();
        assert_eq!(mine.read().unwrap(), Mark::Missing, "nothing was ever written into it");
        let below = HighWater { path: Some(directory.path().join("sends/below")), ..file(&directory, "ledger", "one") };
        assert!(below.read().is_err());
    }

    #[test]
    fn a_mark_that_could_not_be_written_is_written_as_soon_as_it_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("later");
        let later = HighWater { path: Some(place.join("sends")), ..file(&directory, "ledger", "one") };
        assert!(!later.fails());
        assert!(later.raise_to(3).is_err());
        assert!(later.fails());
        std::fs::create_dir(&place).unwrap();
        later.keep(2, true).unwrap();
        assert_eq!((later.read().unwrap(), later.fails()), (Mark::Sends(2), false));
        later.raise_to(9).unwrap();
        later.keep(2, true).unwrap();
        assert_eq!(later.read().unwrap(), Mark::Sends(9), "what stands there is not lowered");
    }
}
