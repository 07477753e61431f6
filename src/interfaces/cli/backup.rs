//! `dues backup`: an online copy of the books, checked before it takes its place, and what a restore of it will do.

mod dump;

use std::io::IsTerminal;
use std::path::PathBuf;
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
use crate::engine::open;
use crate::interfaces::kept_files::KeptFiles;
use crate::interfaces::whole_file::{Stands, WholeFile};
use crate::store::backup::{RowsKept, is_backup};
use crate::store::{DatabaseUrl, Store};
use dump::Programs;

/// Who may read a backup: its owner alone, for it holds personal data.
const MODE: u32 = 0o600;
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
    /// Replaces a backup that is there already; nothing else is ever replaced
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
        let kept = KeptFiles::of(&ground.sources, &loaded.settings).and_snapshot(&loaded.settings);
        self.may_be_written(&kept)?;
        let store = open::existing_books(&loaded.settings, &Clock::system()).await?;
        let mut stop = Stop::listen()?;
        let made = tokio::select! {
            biased;
            () = stop.told() => bail!("stopped; nothing was written to {}", self.to.display()),
            made = self.make(&store, &url, &kept, ground.json()) => made?,
        };
        store.close().await;
        self.tell(&made, store.kind(), ground.json())?;
        Ok(ExitCode::from(exit::OK))
    }

    /// Refuses a place where something stands that must not be lost.
    fn may_be_written(&self, kept: &KeptFiles) -> anyhow::Result<()> {
        let to = &self.to;
        let shown = to.display();
        if to.as_os_str() == "-" {
            return Err(WrongUsage(
                "a backup is a file that is checked before it takes its place, not the output: name the file",
            )
            .into());
        }
        if to.file_name().is_none() || to.is_dir() {
            return Err(WrongUsage("name the file to write, not a directory").into());
        }
        if let Some(what) = kept.at(to) {
            bail!("{shown} {what}: write the backup elsewhere, best on another disk");
        }
        match Stands::at(to).with_context(|| format!("{shown} cannot be read"))? {
            Stands::Nothing => Ok(()),
            Stands::Other => bail!("{shown} is a link, a device or the like, and no plain file: name another file"),
            Stands::File(_) if !self.force => {
                bail!("{shown} is there already: name another file, or say --force to replace it")
            }
            Stands::File(head) if head.is_empty() || is_backup(&head) => Ok(()),
            Stands::File(_) => bail!(
                "{shown} holds something else than a backup, which not even --force replaces: name another file, or move it away"
            ),
        }
    }

    async fn make(&self, store: &Store, url: &DatabaseUrl, kept: &KeptFiles, json: bool) -> anyhow::Result<Made> {
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
        // What stood there when the copy was begun may be something else by now.
        self.may_be_written(kept)?;
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
