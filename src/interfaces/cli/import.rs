//! `dues import`: hands over the subscriptions of a file. The file's rules stand in [`crate::interfaces::import`].

use std::fs::File;
use std::io::{BufReader, IsTerminal, Read};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::SecretString;

use super::stop::Stop;
use super::{Ground, WrongUsage, books_to_enter, exit, output};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::Settings;
use crate::config::secret::{SecretError, secret_key};
use crate::engine::beat::ALIVE_WITHIN;
use crate::engine::greet::Untimely;
use crate::engine::hand_over::{Rehearsal, Terms};
use crate::engine::open;
use crate::gateway::budget::TokenBucket;
use crate::gateway::http::Http;
use crate::gateway::payments::Client;
use crate::interfaces::import::{
    Books, Desk, Evidence, Format, Import, ImportError, Input, Mapping, Place, Progress, Renamed, Source, Summary,
    Unreadable, is_rejects, template,
};
use crate::interfaces::kept_files::KeptFiles;
use crate::store::Store;

/// From so long on an import tells how fast it was.
const LONG: TimeDelta = TimeDelta::seconds(10);

/// So much of a file tells whether it is one of rejected rows.
const HEAD_BYTES: u64 = 65_536;

/// Arguments of `dues import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Columns: reference, plan, source_id, anchor_on (YYYY-MM-DD) are required; first_payment_id, \
    customer_reference, customer_name, customer_email, country, time_zone, next_charge_on are not, nor are amount_minor, \
    amount and currency, which must agree with the plan's price where they are given.\n\n\
    Without next_charge_on the period that runs now is charged at once.\n\n\
    Examples:\n  dues import --template > subscriptions.csv   a file to begin with\n  \
    dues import subscriptions.csv --dry-run      what would happen; writes nothing\n  \
    dues import subscriptions.csv                enters what is good and new\n  \
    dues import subscriptions.rejects.csv        the rejected rows, once mended\n  \
    dues import export.txt --format jsonl        a JSON object on each line\n  \
    dues import - --format csv --rejects no.csv  what comes from standard input\n  \
    dues import shop.csv --map \"Order No=reference\" --map Tariff=plan \\\n    \
    --map Colour=-                             other columns, one passed over")]
pub struct Args {
    /// CSV with a header, or JSON Lines; - is standard input
    #[arg(required_unless_present = "template")]
    file: Option<PathBuf>,
    /// Prints a file to begin with, every column and one row, and ends
    #[arg(long, conflicts_with_all = ["file", "map", "dry_run", "rejects", "accept", "another", "no_evidence"])]
    template: bool,
    /// The format; without it the file's extension decides
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// A column that the file calls otherwise, or with - for ours one to be passed over; may be given again
    #[arg(long, value_name = "THEIRS=ours")]
    map: Vec<Renamed>,
    /// Checks every row and writes nothing into the books
    #[arg(long)]
    dry_run: bool,
    /// Where rejected rows are written; without it a new file beside the input, and none in a dry run
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Acknowledges what the rows add to the plans of today and tomorrow, however much it is; without it a file that goes beyond
    /// them is refused whole
    #[arg(long)]
    accept: bool,
    /// Enters a row although its source is charged for the same plan already, by a row before it or in the books
    #[arg(long)]
    another: bool,
    /// Does not look first payments up at the gateway
    #[arg(long)]
    no_evidence: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let Some(file) = self.file.as_deref() else {
            if ground.json() {
                return Err(
                    WrongUsage("--template prints a file to fill in: --format jsonl has it in JSON Lines").into()
                );
            }
            output::line(template(self.format.unwrap_or(Format::Csv)).trim_end())?;
            return Ok(ExitCode::from(exit::OK));
        };
        let Some(format) = self.format.or_else(|| Format::of(file)) else {
            return Err(anyhow::Error::new(WrongUsage("say --format csv or --format jsonl"))
                .context(format!("{}: the name ends in neither .csv nor .jsonl", file.display())));
        };
        // A command line that is wrong whatever the file holds.
        drop(mapping(&self.map)?);
        let place = self.place(file)?;
        if let Place::At(path) = &place {
            may_take_rejects(path, &KeptFiles::of(&ground.sources, &ground.load()?.settings))?;
        }
        let unreadable = |error| ImportError::Unreadable { path: file.to_owned(), source: Unreadable::Io(error) };
        let reading = Reading { input: Input::open(file).map_err(unreadable)?, format, names: self.map.clone() };
        // Before anything else is opened: a wrong header.
        drop(reading.source()?);
        let (loaded, store) = if self.dry_run {
            ground.books().await?
        } else {
            let loaded = ground.load()?;
            let store = books_to_enter(&loaded.settings, &Clock::system()).await?;
            (loaded, store)
        };
        let settings = &loaded.settings;
        agrees_with_the_daemons(settings, &store).await?;
        let terms = Terms { acknowledged: self.accept, another: self.another };
        let transport = Arc::new(Http::new(&settings.gateway)?);
        let key = secret_key(settings, &ground.sources.environment);
        let clock = store.clock().clone();
        let evidence = || match &key {
            _ if self.no_evidence => Evidence::Nowhere("--no-evidence says so"),
            Ok(key) => {
                let client = Client::new(transport.clone(), key);
                Evidence::Gateway(Desk::new(client, half(settings.budget.reads_per_second), clock.clone()))
            }
            Err(SecretError::Missing) => Evidence::Nowhere("there is no secret key"),
            Err(error) => Evidence::Barred(error.to_string()),
        };
        let began_at = Clock::system().now();
        let halt = halt()?;
        let bar = bar(&reading.input, ground.json());
        let books = if self.dry_run {
            rehearsed(settings, &store).await?
        } else {
            // Handing over sends nothing, so an engine without a key is as good.
            let key = key.as_ref().map_or_else(|_| SecretString::from(""), Clone::clone);
            let chance = Chance::from_system();
            let engine = open::engine(settings, store.clone(), transport.clone(), &key, chance, false).await?;
            if matches!(evidence(), Evidence::Gateway(_)) {
                // What falls due at once, and which days' plans it is added to, goes by the clock. Where the gateway is silent nothing is
                // charged either, before a daemon has heard it.
                match engine.hear_the_clock(1).await {
                    Ok(()) | Err(Untimely::Silent) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            Books::Enter { engine: Box::new(engine) }
        };
        let import = Import::new(books, terms, evidence(), place, format)?;
        // Nobody has acknowledged anything: before a row goes in it is seen whether the days' plans have room for all.
        let refused = if self.dry_run || self.accept {
            None
        } else {
            reading.beyond_plan(settings, &store, terms, evidence(), &halt, &bar).await?
        };
        let summary = match refused {
            Some(refused) => import.abandon().map(|()| refused),
            None => import.run(reading.source()?, &halt, |progress| advance(&bar, "done", progress)).await,
        };
        bar.finish_and_clear();
        let summary = summary?;
        let told = tell(&summary, Clock::system().now() - began_at, ground.json());
        told.with_context(|| {
            format!("the import is over ({} rows entered), but its end cannot be told", summary.went_in())
        })?;
        Ok(ExitCode::from(if summary.is_whole() { exit::OK } else { exit::PARTLY }))
    }

    fn place(&self, file: &Path) -> anyhow::Result<Place> {
        match &self.rejects {
            Some(path) => {
                let is_input = path.canonicalize().is_ok_and(|path| file.canonicalize().is_ok_and(|it| it == path));
                if is_input {
                    let why = "--rejects names the file that is imported; it would be written over";
                    return Err(WrongUsage(why).into());
                }
                Ok(Place::At(path.clone()))
            }
            None if self.dry_run => Ok(Place::Nowhere),
            None if Input::is_placeless(file) => Err(WrongUsage(
                "what is imported is no file that a rejects file could stand beside: say where it goes with --rejects",
            )
            .into()),
            None => Ok(Place::Beside(file.to_owned())),
        }
    }
}

/// Refuses a place where something stands that must not be lost: only an earlier rejects file is written over.
fn may_take_rejects(path: &Path, kept: &KeptFiles) -> anyhow::Result<()> {
    let shown = path.display();
    if let Some(what) = kept.at(path) {
        bail!("{shown} {what}: name another file with --rejects");
    }
    let cannot = || format!("{shown} cannot be read, and may be no rejects file: name another file with --rejects");
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {
            let mut head = Vec::new();
            File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head)).with_context(cannot)?;
            if head.is_empty() || is_rejects(&head) {
                return Ok(());
            }
            bail!(
                "{shown} holds something else than rejected rows, which would be lost: name another file with --rejects"
            )
        }
        // A pipe or a device holds nothing; of what is not there the opening tells.
        _ => Ok(()),
    }
}

/// What is said of what falls due is true only where the running daemons decide alike.
async fn agrees_with_the_daemons(settings: &Settings, store: &Store) -> anyhow::Result<()> {
    let ours = settings.catch_up.of_handed_over();
    let living = store.catch_up_of_living(store.now().await? - ALIVE_WITHIN).await?;
    match living.into_iter().find(|it| it.catch_up != ours) {
        None => Ok(()),
        Some(it) => bail!(
            "the running daemon {:?} charges what was handed over by other rules than these, and what is said here would not be what is \
             charged: catch_up has {} there, and {ours} here. Import with the daemon's config, or let the daemon take this one up first \
             (systemctl reload dues)",
            it.name,
            it.catch_up
        ),
    }
}

fn mapping(names: &[Renamed]) -> anyhow::Result<Mapping> {
    Mapping::new(names.iter().cloned())
        .map_err(|why| anyhow::Error::new(WrongUsage("with --map every column has one name")).context(why))
}

/// How the file is read, each time anew.
struct Reading {
    input: Input,
    format: Format,
    names: Vec<Renamed>,
}

impl Reading {
    fn source(&self) -> anyhow::Result<Source<BufReader<File>>> {
        Ok(Source::open(&self.input.shown, &self.input.file, self.format, mapping(&self.names)?)?)
    }

    /// What the file comes to where the days' plans have no room for it. What the gateway says of first payments is asked only where that
    /// may be what makes room.
    async fn beyond_plan(
        &self,
        settings: &Settings,
        store: &Store,
        terms: Terms,
        evidence: Evidence,
        halt: &AtomicBool,
        bar: &ProgressBar,
    ) -> anyhow::Result<Option<Summary>> {
        let mut refused = None;
        for evidence in [Evidence::Presumed, evidence] {
            let books = rehearsed(settings, store).await?;
            let rehearsal = Import::new(books, terms, evidence, Place::Nowhere, self.format)?;
            let told = rehearsal.run(self.source()?, halt, |progress| advance(bar, "looked at", progress)).await?;
            if told.stopped {
                return Ok(Some(Summary::stopped_before()));
            }
            if !told.exceeds_plan() {
                return Ok(None);
            }
            refused = Some(told.refused());
        }
        Ok(refused)
    }
}

async fn rehearsed(settings: &Settings, store: &Store) -> anyhow::Result<Books> {
    let rehearsal = Box::new(Rehearsal::new(settings, store).await?);
    Ok(Books::Rehearse { store: store.clone(), rehearsal, clock: store.clock().clone() })
}

/// Set by SIGTERM or Ctrl-C: the set of rows under way is finished, and what went in is told. A second one ends it at once, as a database
/// that does not answer may want; nothing is half done then either.
fn halt() -> anyhow::Result<Arc<AtomicBool>> {
    let (halt, mut stop) = (Arc::new(AtomicBool::new(false)), Stop::listen()?);
    let told = halt.clone();
    tokio::spawn(async move {
        stop.told().await;
        told.store(true, Ordering::SeqCst);
        output::aside(
            "stopping when the rows under way are entered; once more ends it at once, with nothing half done",
        );
        stop.told().await;
        std::process::exit(i32::from(exit::FAILED));
    });
    Ok(halt)
}

/// A running daemon needs the other half.
fn half(per_second: Option<NonZeroU32>) -> TokenBucket {
    TokenBucket::new(per_second.map(|rate| NonZeroU32::new(rate.get() / 2).unwrap_or(NonZeroU32::MIN)))
}

fn tell(summary: &Summary, took: TimeDelta, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&summary.json());
    }
    for line in summary.rejected_lines() {
        output::aside(&line);
    }
    for line in summary.sentences().into_iter().chain(pace(summary.read, took)) {
        output::line(&line)?;
    }
    Ok(())
}

/// How fast it went, where it was so long that somebody wants to know.
fn pace(rows: u64, took: TimeDelta) -> Option<String> {
    let seconds = u64::try_from(took.num_seconds()).ok().filter(|_| took >= LONG)?;
    Some(format!("It took {seconds} s, {} rows a second.", rows.checked_div(seconds)?))
}

/// The time that is left goes by the bytes, since nobody has counted the rows.
fn bar(input: &Input, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:15} {msg}, {bytes} of {total_bytes}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(input.bytes()).with_style(style).with_message("0 rows")
}

fn advance(bar: &ProgressBar, what: &str, progress: Progress) {
    let millis = bar.elapsed().as_millis().max(1);
    let a_second = u128::from(progress.rows) * 1_000 / millis;
    bar.set_message(format!("{} rows {what}, {a_second} rows/s", progress.rows));
    bar.set_position(progress.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_import_tells_its_pace() {
        let told = |seconds| pace(1_000_000, TimeDelta::seconds(seconds));
        assert_eq!(told(160).as_deref(), Some("It took 160 s, 6250 rows a second."));
        // A clock that was set back meanwhile tells nothing.
        assert_eq!([told(9), told(-20)], [None, None]);
    }
}
