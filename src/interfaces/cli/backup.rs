//! `dues backup`: an online copy of the books, checked before it takes its place, and what a restore of it will do.

mod dump;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::ExposeSecret;
use serde_json::json;

use super::output::{self, time};
use super::stop::Stop;
use super::{Ground, WrongUsage, exit};
use crate::clock::{Clock, Instant};
use crate::config::Settings;
use crate::engine::high_water::HighWater;
use crate::engine::open;
use crate::engine::rules::ledger_of;
use crate::interfaces::whole_file::WholeFile;
use crate::store::backup::RowsKept;
use crate::store::{DatabaseUrl, Store};
use dump::Programs;

/// Who may read a backup: its owner alone, for it holds personal data.
const MODE: u32 = 0o600;
/// What stands beside a SQLite file and belongs to it.
const BESIDE: [&str; 6] = ["", "-wal", "-shm", "-journal", ".lock", ".sends"];
/// Between two looks at how much is written.
const LOOK: Duration = Duration::from_millis(200);

/// Arguments of `dues backup`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It may be run while the daemon runs, and stops nothing. On SQLite it writes one file, which needs as much room as the \
    books. On PostgreSQL it runs pg_dump (custom format), which must be installed and be no older than the server. The copy is checked \
    before it takes its place; what was broken off leaves nothing.\n\n\
    It holds the customers' names and e-mail addresses: its owner alone may read it (mode 600), and what `dues customer erase` takes out \
    of the books stays in older backups.\n\n\
    The file with the count of sends (installation.high_water_file) is never part of it: by that file a restored backup is known. After a \
    restore of one older than protocol.gap the daemon holds until `dues ledger acknowledge`; docs/restore.md has the steps.\n\n\
    Examples:\n  dues backup /srv/backup/dues-$(date +%F).db\n  dues backup /srv/backup/dues.dump --force --json"
)]
pub struct Args {
    /// The file to write
    to: PathBuf,
    /// Replaces a file that is there already
    #[arg(long)]
    force: bool,
}

/// A backup that was made and checked.
struct Made {
    /// Not before this instant is what it may lack.
    from: Instant,
    bytes: u64,
    schema: i64,
    rows: RowsKept,
    checked: &'static str,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let loaded = ground.load()?;
        let url = DatabaseUrl::parse(loaded.settings.database.url.expose_secret())?;
        self.may_be_written(&loaded.settings, &url)?;
        let store = open::existing_books(&loaded.settings, &Clock::system()).await?;
        let mut stop = Stop::listen()?;
        let made = tokio::select! {
            biased;
            () = stop.told() => bail!("stopped; nothing was written to {}", self.to.display()),
            made = self.make(&store, &url, ground.json()) => made?,
        };
        store.close().await;
        self.tell(&made, store.kind(), ground.json())?;
        Ok(ExitCode::from(exit::OK))
    }

    /// Refuses a place where something stands that must not be lost.
    fn may_be_written(&self, settings: &Settings, url: &DatabaseUrl) -> anyhow::Result<()> {
        let to = &self.to;
        if to.file_name().is_none() || to.is_dir() {
            return Err(WrongUsage("name the file to write, not a directory").into());
        }
        let mut kept: Vec<PathBuf> = Vec::new();
        if let DatabaseUrl::Sqlite(path) = url {
            kept.extend(BESIDE.iter().map(|end| {
                let mut beside = path.clone().into_os_string();
                beside.push(end);
                PathBuf::from(beside)
            }));
        }
        let mark = HighWater::of(settings, &ledger_of(settings), &open::node_name(settings));
        kept.extend(mark.path().map(Path::to_owned));
        if kept.iter().any(|it| is_same(it, to)) {
            bail!("{} belongs to the books themselves: write the backup elsewhere, best on another disk", to.display());
        }
        if to.symlink_metadata().is_ok() && !self.force {
            bail!("{} is there already: name another file, or say --force to replace it", to.display());
        }
        Ok(())
    }

    async fn make(&self, store: &Store, url: &DatabaseUrl, json: bool) -> anyhow::Result<Made> {
        let schema = store.schema_version().await?;
        if schema == 0 {
            bail!("the database holds no books yet: there is nothing to back up");
        }
        let cannot = || format!("{} cannot be written", self.to.display());
        let file = WholeFile::beside(&self.to, MODE).with_context(cannot)?;
        let from = store.now().await?;
        let made = async {
            match url.libpq()? {
                None => of_sqlite(store, &file, schema, from).await,
                Some(libpq) => {
                    let programs = Programs::for_server(store.postgres_version().await?).await?;
                    programs.dump(&libpq, file.partial()).await?;
                    let (found, rows) = programs.read_back(file.partial()).await?;
                    same_schema(schema, found)?;
                    Ok(Made { from, bytes: file.bytes()?, schema, rows, checked: "the whole archive was read back" })
                }
            }
        };
        let made = watched(made, &file, json).await?;
        file.put().with_context(cannot)?;
        Ok(made)
    }

    fn tell(&self, made: &Made, database: &str, json: bool) -> anyhow::Result<()> {
        let RowsKept { customers, subscriptions, charges, attempts, payments, journal } = made.rows;
        if json {
            return output::json(&json!({
                "to": self.to,
                "database": database,
                "from": made.from,
                "bytes": made.bytes,
                "schema": made.schema,
                "rows": {
                    "customers": customers,
                    "subscriptions": subscriptions,
                    "charges": charges,
                    "attempts": attempts,
                    "payments": payments,
                    "journal": journal,
                },
            }));
        }
        output::line(&format!(
            "{} holds the books as of {}: {} bytes, schema {}, {subscriptions} subscriptions, {customers} customers, {charges} charges, \
             {attempts} attempts, {payments} payments, {journal} lines of the journal\n\
             checked: {}\n\
             It holds the customers' names and e-mail addresses: its owner alone may read it (mode 600).\n\
             After a restore the daemon adopts what the gateway took since. Where the backup is older than protocol.gap by then, it charges \
             nobody until `dues ledger acknowledge`. Leave the file with the count of sends as it is. The steps stand in docs/restore.md.",
            self.to.display(),
            time(made.from),
            made.bytes,
            made.schema,
            made.checked,
        ))
    }
}

async fn of_sqlite(store: &Store, file: &WholeFile, schema: i64, from: Instant) -> anyhow::Result<Made> {
    store.copy_into(file.partial()).await?;
    let copy = Store::open_copy(file.partial(), Clock::system()).await?;
    let faults = copy.faults_of_file().await?;
    if !faults.is_empty() {
        bail!("the copy is not sound, and neither may be the books: {}; nothing was written", faults.join("; "));
    }
    same_schema(schema, copy.schema_version().await?)?;
    let rows = copy.rows_kept().await?;
    copy.close().await;
    Ok(Made {
        from,
        bytes: file.bytes()?,
        schema,
        rows,
        checked: "every page and index, and that no row points to none",
    })
}

fn same_schema(wanted: i64, found: i64) -> anyhow::Result<()> {
    if wanted != found {
        bail!("the books have schema {wanted} and the copy {found}: was `dues migrate` run meanwhile? Try again");
    }
    Ok(())
}

/// Whether two paths lead to one file, be it there yet or not.
fn is_same(one: &Path, other: &Path) -> bool {
    let absolute = |path: &Path| {
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        path.canonicalize()
            .or_else(|_| Ok::<_, std::io::Error>(directory.canonicalize()?.join(path.file_name().unwrap_or_default())))
    };
    matches!((absolute(one), absolute(other)), (Ok(one), Ok(other)) if one == other)
}

/// Shows on a terminal how much of the file is written until the work is done.
async fn watched<T>(work: impl Future<Output = T>, file: &WholeFile, json: bool) -> T {
    let bar = if json || !std::io::stderr().is_terminal() { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let style = ProgressStyle::with_template("{spinner} {bytes} written, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let mut looks = tokio::time::interval(LOOK);
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            biased;
            done = &mut work => break done,
            _ = looks.tick() => bar.set_position(file.bytes().unwrap_or_default()),
        }
    };
    bar.finish_and_clear();
    done
}
