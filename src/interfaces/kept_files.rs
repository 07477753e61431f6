//! The files that dues lives by. What it writes for others, a backup or the snapshot for finance, never takes the place of one of them.
//! Two paths are one file where the system leads both to the same place, whatever they are called.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use crate::config::{self, Faults, Loaded, Settings, Sources};
use crate::engine::high_water::HighWater;
use crate::engine::open;
use crate::engine::rules::ledger_of;
use crate::store::DatabaseUrl;
use crate::store::db::directory_of;

/// What stands beside a SQLite file and belongs to it.
const BESIDE: [&str; 6] = ["", "-wal", "-shm", "-journal", ".lock", ".sends"];
const BOOKS: &str = "belongs to the books themselves";
const SNAPSHOT: &str = "is the snapshot for finance (finance.snapshot)";

/// The files, and what each one is.
#[derive(Debug, Clone)]
pub struct KeptFiles {
    files: Vec<(PathBuf, &'static str)>,
    drop_ins: PathBuf,
}

/// Reads the config, and refuses a snapshot that would take the place of something else.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let loaded = config::load(sources)?;
    if let Some(place) = &loaded.settings.finance.snapshot
        && let Some(what) = KeptFiles::of(sources, &loaded.settings).at(place)
    {
        return Err(loaded.fault("finance.snapshot", &format!("must be a file of its own: this one {what}")));
    }
    Ok(loaded)
}

impl KeptFiles {
    /// The books and all that stands beside them, the mark, the config, and what holds a secret.
    pub fn of(sources: &Sources, settings: &Settings) -> KeptFiles {
        let mut files = Vec::new();
        if let Ok(DatabaseUrl::Sqlite(path)) = DatabaseUrl::parse(settings.database.url.expose_secret()) {
            // SQLite keeps its log beside the file that a link leads to.
            for path in [path.canonicalize().ok(), Some(path)].into_iter().flatten() {
                files.extend(BESIDE.iter().map(|end| {
                    let mut beside = path.clone().into_os_string();
                    beside.push(end);
                    (PathBuf::from(beside), BOOKS)
                }));
            }
        }
        let mark = HighWater::of(settings, &ledger_of(settings), &open::node_name(settings));
        files.extend(mark.path().map(|path| (path.to_owned(), "holds the count of sends")));
        files.push((sources.main_file().to_owned(), "is the config file"));
        files.extend(settings.gateway.secret_key_file.iter().map(|path| (path.clone(), "holds the secret key")));
        let credentials = sources.environment.iter().find(|(name, _)| name == "CREDENTIALS_DIRECTORY");
        let credentials = credentials.and_then(|(_, directory)| std::fs::read_dir(directory).ok());
        files.extend(credentials.into_iter().flatten().flatten().map(|it| (it.path(), "is a credential of systemd's")));
        files.extend(settings.alerts_command.first().map(|it| (PathBuf::from(it), "is the command of alerts.command")));
        KeptFiles { files, drop_ins: sources.drop_in_dir() }
    }

    /// The same, and the snapshot that the daemon writes.
    #[must_use]
    pub fn and_snapshot(mut self, settings: &Settings) -> KeptFiles {
        self.files.extend(settings.finance.snapshot.iter().map(|path| (path.clone(), SNAPSHOT)));
        self
    }

    /// What the file at `place` is, where it is one of these; it need not be there yet.
    pub fn at(&self, place: &Path) -> Option<&'static str> {
        let (beside, drop_ins) = (directory_of(place).canonicalize().ok(), self.drop_ins.canonicalize().ok());
        if beside.is_some() && beside == drop_ins {
            return Some("would be a config file: its directory holds the drop-in files");
        }
        self.files.iter().find(|(kept, _)| is_same(kept, place)).map(|(_, what)| *what)
    }
}

/// Whether two paths lead to one file, be it there yet or not; a link is taken for itself and for what it leads to.
fn is_same(one: &Path, other: &Path) -> bool {
    let other = places(other);
    places(one).iter().any(|it| other.contains(it))
}

fn places(path: &Path) -> Vec<PathBuf> {
    let own = || Ok::<_, io::Error>(directory_of(path).canonicalize()?.join(path.file_name().unwrap_or_default()));
    [path.canonicalize(), own()].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_file_has_many_paths() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        symlink(at("real"), at("linked")).unwrap();
        std::fs::write(at("real/books"), "").unwrap();
        symlink(at("real/books"), at("name")).unwrap();
        let twice = PathBuf::from(format!("{}//real/./books", directory.path().display()));
        for same in [at("linked/books"), at("linked/../real/books"), at("name"), twice] {
            assert!(is_same(&at("real/books"), &same), "{}", same.display());
        }
        assert!(is_same(&at("real/not yet"), &at("linked/not yet")));
        assert!(!is_same(&at("real/books"), &at("real/other")));
        assert!(!is_same(&at("real/books"), &at("nowhere/books")));
        assert!(is_same(Path::new("a file"), &std::env::current_dir().unwrap().join("a file")));
    }
}
