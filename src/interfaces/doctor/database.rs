//! The database: whether it can be reached, is at this program's schema, belongs to this config, keeps what it has committed, and has
//! room. It is opened so that nothing can be written.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::{CLOCKS_APART_AT_MOST, DATABASE_WAIT, Finding, Part, told};
use crate::clock::Clock;
use crate::config::Loaded;
use crate::engine::{Rules, open};
use crate::interfaces::daemon;
use crate::store::db::{directory_of, two_owners};
use crate::store::durability::{Durability, FINANCE_ROLE, PostgresRow};
use crate::store::{Store, StoreError};

/// The structure of a SQLite file is looked through for so long.
const QUICK_CHECK_WAIT: Duration = Duration::from_secs(30);
/// What SQLite says of a file that is damaged.
const DAMAGED: &str = "is malformed";
/// Under so many bytes the books may fail to grow within the day.
const FREE_BYTES_NEEDED: u64 = 128 << 20;
/// Under so many bytes somebody should make room.
const FREE_BYTES_WANTED: u64 = 1 << 30;
/// `PRAGMA synchronous` where every commit waits for the disk.
const SYNCHRONOUS_FULL: i64 = 2;
/// The oldest PostgreSQL that is tested, as the server numbers itself.
const POSTGRES_AT_LEAST: i64 = 150_000;

/// What was seen, and the books for who looks further.
#[derive(Debug)]
pub(super) struct Seen {
    pub findings: Vec<Finding>,
    pub store: Option<Store>,
    /// In which somebody is billed.
    pub zones: BTreeSet<String>,
}

pub(super) async fn examine(loaded: &Loaded, clock: &Clock) -> Seen {
    let mut seen = Seen { findings: Vec::new(), store: None, zones: BTreeSet::new() };
    let shown = shown_url(loaded);
    let opened = within(DATABASE_WAIT, open::books_to_look(&loaded.settings, clock)).await;
    let store = match opened {
        Ok(store) => store,
        Err(Unseen::Late) => {
            seen.findings.push(late(&shown));
            return seen;
        }
        Err(Unseen::Failed(error)) => {
            seen.findings.push(unopened(&error, loaded.settings.database.migrate));
            return seen;
        }
    };
    seen.findings.push(match within(DATABASE_WAIT, store.check_schema()).await {
        Ok(()) => Part::Database.ok(format!("{shown} can be reached, and is at this program's schema")),
        Err(error) => schema(&shown, error, loaded.settings.database.migrate),
    });
    durability(&store, &mut seen.findings).await;
    // Without this program's schema there is nothing that it could read.
    if seen.findings[0].level == super::Level::Ok {
        seen.findings.extend(pins(loaded, &store).await);
        seen.findings.extend(withheld(loaded, &store).await);
        seen.findings.extend(finance_role(&store).await);
        seen.zones = within(DATABASE_WAIT, store.zones_in_use()).await.unwrap_or_default();
    }
    seen.store = Some(store);
    seen
}

/// Why something was not seen.
enum Unseen {
    Late,
    Failed(StoreError),
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Unseen> {
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Unseen::Failed(error)),
        Err(_) => Err(Unseen::Late),
    }
}

fn late(what: &str) -> Finding {
    let text = format!("{what}: no answer within {} s", DATABASE_WAIT.as_secs());
    Part::Database.fault(text, "see whether the server is overloaded, or another program holds a lock; then ask again")
}

fn failed(what: &str, unseen: Unseen) -> Finding {
    match unseen {
        Unseen::Late => late(what),
        Unseen::Failed(error) => Part::Database
            .fault(format!("{what}: {}", told(&error)), "see what the database says of it; then ask again"),
    }
}

fn unopened(error: &StoreError, migrate: bool) -> Finding {
    match error {
        // The daemon makes it.
        StoreError::NoDatabase { path } if migrate => Part::Database
            .warning(format!("there is no database {} yet", path.display()), "run `dues migrate`, or start the daemon"),
        StoreError::NoDatabase { .. } => Part::Database.fault(error.to_string(), "run `dues migrate`"),
        StoreError::NotWritable { .. } => Part::Database.fault(
            told(error),
            "run the doctor as the daemon's user; where that user is refused too, give it the file and its directory (chown)",
        ),
        StoreError::Unopened { why, .. } if why.starts_with("reached") => Part::Database.fault(
            told(error),
            "start the database server, or put host and port in database.url right; then ask again",
        ),
        StoreError::Url(_) => Part::Config.fault(error.to_string(), "mend it; `dues check` says when it is right"),
        _ if told(error).contains(DAMAGED) => Part::Database.fault(
            told(error),
            "the file is damaged: stop the daemon, keep the file as it is, and restore the latest backup as docs/restore.md tells",
        ),
        _ => Part::Database.fault(
            told(error),
            "do what it says; where the daemon's user may do more than this one, run the doctor as the daemon's user",
        ),
    }
}

fn schema(shown: &str, unseen: Unseen, migrate: bool) -> Finding {
    match unseen {
        Unseen::Failed(StoreError::Schema { found, wanted }) if found < wanted => {
            let text = format!("{shown} can be reached, but holds schema {found}, and this dues wants {wanted}");
            if migrate {
                Part::Database.warning(text, "run `dues migrate`, or start the daemon, which does it too")
            } else {
                Part::Database.fault(text, "run `dues migrate`: database.migrate keeps the daemon from it")
            }
        }
        Unseen::Failed(StoreError::Schema { found, wanted }) => Part::Database.fault(
            format!("{shown} holds schema {found}, and this dues knows {wanted} only"),
            "install the dues that made it, or a newer one",
        ),
        unseen => failed(shown, unseen),
    }
}

async fn durability(store: &Store, findings: &mut Vec<Finding>) {
    match within(DATABASE_WAIT, store.durability()).await {
        Ok(Durability::Sqlite { path, write_ahead, synchronous }) => {
            findings.push(sqlite(write_ahead, synchronous));
            findings.extend(owners(&path));
            findings.push(free_space(&path));
            findings.push(structure(store).await);
        }
        Ok(Durability::Postgres(row)) => {
            findings.extend(postgres(&row));
            findings.push(Part::Database.note(
                "how much room the server's disk has is not looked at: PostgreSQL does not tell; watch it there",
            ));
            findings.extend(clocks(store).await);
        }
        Err(unseen) => findings.push(failed("its settings", unseen)),
    }
}

fn sqlite(write_ahead: bool, synchronous: i64) -> Finding {
    if !write_ahead {
        return Part::Database.warning(
            "the SQLite file has no write-ahead log (journal_mode is not WAL): finance cannot read while the daemon writes",
            "start the daemon, or run `dues migrate`: both set it; see to it that no other program changes it",
        );
    }
    if synchronous != SYNCHRONOUS_FULL {
        let text = format!("SQLite does not wait for the disk at every commit (synchronous = {synchronous})");
        return Part::Database
            .fault(text, "install dues anew: this program was built with a SQLite that it does not know");
    }
    Part::Database.ok("a commit outlives a crash: journal_mode WAL, synchronous FULL")
}

fn postgres(row: &PostgresRow) -> Vec<Finding> {
    let mut findings = Vec::new();
    let version = &row.version;
    findings.push(if row.version_number < POSTGRES_AT_LEAST {
        let text = format!("PostgreSQL {version} is older than any that dues is tested on");
        Part::Database.warning(text, format!("use PostgreSQL {} or newer", POSTGRES_AT_LEAST / 10_000))
    } else {
        Part::Database.ok(format!("PostgreSQL {version}"))
    });
    if row.standby != 0 {
        let text = "the server is a standby, which takes no writes";
        findings.push(Part::Database.fault(text, "name the primary server in database.url"));
    }
    let weak: Vec<String> = [
        ("synchronous_commit", &row.synchronous_commit),
        ("fsync", &row.fsync),
        ("full_page_writes", &row.full_page_writes),
    ]
    .into_iter()
    .filter(|(_, value)| *value == "off")
    .map(|(name, value)| format!("{name} = {value}"))
    .collect();
    findings.push(if weak.is_empty() {
        Part::Database.ok(format!(
            "a commit outlives a crash: synchronous_commit {}, fsync {}, full_page_writes {}",
            row.synchronous_commit, row.fsync, row.full_page_writes
        ))
    } else {
        Part::Database.fault(
            format!("a commit may be lost in a crash, and a charge with it: {}", weak.join(", ")),
            "set them to on in postgresql.conf, and restart the server",
        )
    });
    findings
}

/// The database's clock beside this machine's. SQLite has none of its own.
async fn clocks(store: &Store) -> Option<Finding> {
    let now = match within(DATABASE_WAIT, store.now()).await {
        Ok(now) => now,
        Err(unseen) => return Some(failed("its clock", unseen)),
    };
    let apart = now - store.clock().now();
    let text = format!("the database's clock is {} s from this machine's", apart.num_seconds());
    let next = "run a time service such as systemd-timesyncd or chrony on both";
    (apart.abs() > CLOCKS_APART_AT_MOST).then(|| Part::Database.warning(text, next))
}

/// That the file is not the user's to whom its directory belongs, as after a command that root ran.
fn owners(path: &Path) -> Option<Finding> {
    let (file, directory) = two_owners(path)?;
    let shown = path.display();
    let text = format!("{shown} belongs to {file}, and its directory to {directory}: one of them cannot write it");
    let next =
        format!("where the daemon runs as {directory}: chown --reference={} {shown}*", directory_of(path).display());
    Some(Part::Database.warning(text, next))
}

fn free_space(path: &Path) -> Finding {
    let directory = directory_of(path);
    let shown = directory.display();
    let free = match rustix::fs::statvfs(directory) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Part::Database.note(format!("how much room {shown} has is not known: {error}")),
    };
    room(free, &shown.to_string())
}

fn room(free_bytes: u64, shown: &str) -> Finding {
    let text = format!("{} MiB are free in {shown}", free_bytes >> 20);
    let next = "make room on that disk, or move the books to a larger one";
    if free_bytes < FREE_BYTES_NEEDED {
        Part::Database.fault(text, next)
    } else if free_bytes < FREE_BYTES_WANTED {
        Part::Database.warning(text, next)
    } else {
        Part::Database.ok(text)
    }
}

async fn structure(store: &Store) -> Finding {
    match within(QUICK_CHECK_WAIT, store.quick_check()).await {
        Ok(None) => Part::Database.ok("the structure of the SQLite file is whole (quick_check)"),
        Ok(Some(why)) => Part::Database.fault(
            format!("the SQLite file is damaged: {}", why.lines().next_back().unwrap_or_default()),
            "stop the daemon, keep a copy of the file, restore the last backup, and read what `dues ledger show` says",
        ),
        Err(Unseen::Late) => Part::Database.note(format!(
            "the SQLite file is too large to be looked through within {} s; `PRAGMA quick_check` of sqlite3 does it in peace",
            QUICK_CHECK_WAIT.as_secs()
        )),
        Err(unseen) => failed("its structure", unseen),
    }
}

/// Whether the books are this config's. A fault of the config: another database, or other settings, would mend it.
async fn pins(loaded: &Loaded, store: &Store) -> Option<Finding> {
    match within(DATABASE_WAIT, store.installation()).await {
        Ok(None) => Some(Part::Database.note("nobody has begun these books yet")),
        Ok(Some(row)) => {
            let error = row.admit(&open::pins_of(&loaded.settings)).err()?;
            Some(
                Part::Config
                    .fault(error.to_string(), "name the right database in database.url, or put the setting back"),
            )
        }
        Err(unseen) => Some(failed("the installation", unseen)),
    }
}

/// A price of the config that changes so far that nobody is entered on it.
async fn withheld(loaded: &Loaded, store: &Store) -> Option<Finding> {
    match within(DATABASE_WAIT, Rules::withheld_of(&loaded.settings, store)).await {
        Ok(names) if names.is_empty() => None,
        Ok(names) => {
            let next =
                "run `dues plans`; then accept it with `dues plans --accept PLAN --reason TEXT`, or put the price back";
            Some(Part::Config.warning(daemon::withheld(&names), next))
        }
        Err(unseen) => Some(failed("the plans", unseen)),
    }
}

async fn finance_role(store: &Store) -> Option<Finding> {
    let row = match within(DATABASE_WAIT, store.finance_role()).await {
        Ok(row) => row?,
        Err(unseen) => return Some(failed(FINANCE_ROLE, unseen)),
    };
    let again = "run docs/postgres-finance-role.sql on this database again";
    Some(if !row.writable.is_empty() {
        let text = format!("the role {FINANCE_ROLE} can write: {}", row.writable);
        Part::Database.fault(text, format!("REVOKE ALL ON {} FROM {FINANCE_ROLE}, and from PUBLIC", row.writable))
    } else if row.reads_customers != 0 {
        let text = format!("the role {FINANCE_ROLE} can read the customers' names and addresses");
        Part::Database.warning(text, format!("REVOKE ALL ON customers FROM {FINANCE_ROLE}, and from PUBLIC"))
    } else if !row.unreadable.is_empty() {
        Part::Database.warning(format!("the role {FINANCE_ROLE} cannot read: {}", row.unreadable), again)
    } else {
        Part::Database.ok(format!("the role {FINANCE_ROLE} reads finance's views, and writes nothing"))
    })
}

/// The database's address without its password.
fn shown_url(loaded: &Loaded) -> String {
    let url = loaded.effective.iter().find(|value| value.key == "database.url");
    url.map_or("", |value| value.value_shown.trim_matches('"')).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::doctor::Level;

    fn server() -> PostgresRow {
        let on = || "on".to_owned();
        PostgresRow {
            version: "15.14".to_owned(),
            version_number: 150_014,
            synchronous_commit: on(),
            fsync: on(),
            full_page_writes: on(),
            standby: 0,
        }
    }

    fn worst(row: &PostgresRow) -> Level {
        postgres(row).iter().map(|it| it.level).max().unwrap()
    }

    #[test]
    fn a_server_that_may_lose_a_commit_is_a_fault() {
        assert_eq!(worst(&server()), Level::Ok);
        let off = || "off".to_owned();
        for row in [
            PostgresRow { synchronous_commit: off(), ..server() },
            PostgresRow { fsync: off(), ..server() },
            PostgresRow { full_page_writes: off(), ..server() },
            PostgresRow { standby: 1, ..server() },
        ] {
            assert_eq!(worst(&row), Level::Fault, "{row:?}");
        }
        assert_eq!(worst(&PostgresRow { version_number: 140_010, ..server() }), Level::Warning);
    }

    #[test]
    fn a_file_without_its_settings_or_its_room_is_told() {
        assert_eq!(sqlite(true, SYNCHRONOUS_FULL).level, Level::Ok);
        assert_eq!(sqlite(false, SYNCHRONOUS_FULL).level, Level::Warning);
        assert_eq!(sqlite(true, 1).level, Level::Fault);
        for (bytes, level) in [(0, Level::Fault), (1 << 29, Level::Warning), (1 << 30, Level::Ok)] {
            assert_eq!(room(bytes, "here").level, level, "{bytes}");
        }
    }
}
