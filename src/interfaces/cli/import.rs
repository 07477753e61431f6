//! `dues import`: hands over the subscriptions of a file. The file's rules stand in [`crate::interfaces::import`].

use std::io::IsTerminal;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::SecretString;

use super::{Ground, WrongUsage, books_to_enter, exit};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::secret::{SecretError, secret_key};
use crate::engine::greet::Untimely;
use crate::engine::hand_over::Rehearsal;
use crate::engine::open;
use crate::gateway::budget::TokenBucket;
use crate::gateway::http::Http;
use crate::gateway::payments::Client;
use crate::interfaces::import::{
    Books, Desk, Evidence, Format, Import, Mapping, Place, Progress, Renamed, Source, Summary, template,
};

/// From so long on an import tells how fast it was.
const LONG: TimeDelta = TimeDelta::seconds(10);

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
    dues import shop.csv --map \"Order No=reference\" --map Tariff=plan \\\n    \
    --map Colour=-                             other columns, one passed over")]
pub struct Args {
    /// CSV with a header, or JSON Lines
    #[arg(required_unless_present = "template")]
    file: Option<PathBuf>,
    /// Prints a file to begin with, every column and one row, and ends
    #[arg(long, conflicts_with_all = ["file", "map", "dry_run", "rejects", "accept", "no_evidence"])]
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
    /// Acknowledges what the rows add to the plans of today and tomorrow, however much it is
    #[arg(long)]
    accept: bool,
    /// Does not look first payments up at the gateway
    #[arg(long)]
    no_evidence: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let Some(file) = self.file.as_deref() else {
            print!("{}", template(self.format.unwrap_or(Format::Csv)));
            return Ok(ExitCode::from(exit::OK));
        };
        let Some(format) = self.format.or_else(|| Format::of(file)) else {
            bail!("{}: the name ends in neither .csv nor .jsonl; say --format csv or --format jsonl", file.display());
        };
        let mapping = Mapping::new(self.map.iter().cloned())
            .map_err(|why| anyhow::Error::new(WrongUsage("with --map every column has one name")).context(why))?;
        let source = Source::open(file, format, mapping)?;
        let place = self.place(file)?;
        let (loaded, store) = if self.dry_run {
            ground.books().await?
        } else {
            let loaded = ground.load()?;
            let store = books_to_enter(&loaded.settings, &Clock::system()).await?;
            (loaded, store)
        };
        let transport = Arc::new(Http::new(&loaded.settings.gateway)?);
        let key = secret_key(&loaded.settings, &ground.sources.environment);
        let clock = store.clock().clone();
        let evidence = match &key {
            _ if self.no_evidence => Evidence::Nowhere("--no-evidence says so"),
            Ok(key) => {
                let client = Client::new(transport.clone(), key);
                Evidence::Gateway(Desk::new(client, half(loaded.settings.budget.reads_per_second), clock.clone()))
            }
            Err(SecretError::Missing) => Evidence::Nowhere("there is no secret key"),
            Err(error) => Evidence::Barred(error.to_string()),
        };
        let books = if self.dry_run {
            let rehearsal = Box::new(Rehearsal::new(&loaded.settings, &store).await?);
            Books::Rehearse { store, rehearsal, clock }
        } else {
            // Handing over sends nothing, so an engine without a key is as good.
            let key = key.unwrap_or_else(|_| SecretString::from(""));
            let engine = open::engine(&loaded.settings, store, transport, &key, Chance::from_system(), false).await?;
            if matches!(evidence, Evidence::Gateway(_)) {
                // What falls due at once, and which days' plans it is added to, goes by the clock. Where the gateway is silent nothing is
                // charged either, before a daemon has heard it.
                match engine.hear_the_clock(1).await {
                    Ok(()) | Err(Untimely::Silent) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            Books::Enter { engine: Box::new(engine), acknowledged: self.accept }
        };
        let began_at = Clock::system().now();
        let bar = bar(file, ground.json());
        let import = Import::new(books, evidence, place, format);
        let summary = import.run(source, |progress| advance(&bar, progress)).await;
        bar.finish_and_clear();
        let summary = summary?;
        tell(&summary, Clock::system().now() - began_at, ground.json())?;
        Ok(ExitCode::from(if summary.rejected == 0 { exit::OK } else { exit::PARTLY }))
    }

    fn place(&self, file: &Path) -> anyhow::Result<Place> {
        match &self.rejects {
            Some(path) => {
                let is_input = path.canonicalize().is_ok_and(|path| file.canonicalize().is_ok_and(|it| it == path));
                if is_input {
                    bail!("--rejects names the file that is imported; it would be written over");
                }
                Ok(Place::At(path.clone()))
            }
            None if self.dry_run => Ok(Place::Nowhere),
            None => Ok(Place::Beside(file.to_owned())),
        }
    }
}

/// A running daemon needs the other half.
fn half(per_second: Option<NonZeroU32>) -> TokenBucket {
    TokenBucket::new(per_second.map(|rate| NonZeroU32::new(rate.get() / 2).unwrap_or(NonZeroU32::MIN)))
}

fn tell(summary: &Summary, took: TimeDelta, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&summary.json())?);
        return Ok(());
    }
    for line in summary.rejected_lines() {
        eprintln!("{line}");
    }
    for line in summary.sentences().into_iter().chain(pace(summary.read, took)) {
        println!("{line}");
    }
    Ok(())
}

/// How fast it went, where it was so long that somebody wants to know.
fn pace(rows: u64, took: TimeDelta) -> Option<String> {
    let seconds = u64::try_from(took.num_seconds()).ok().filter(|_| took >= LONG)?;
    Some(format!("It took {seconds} s, {} rows a second.", rows.checked_div(seconds)?))
}

/// The time that is left goes by the bytes, since nobody has counted the rows.
fn bar(file: &Path, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bytes = std::fs::metadata(file).map(|it| it.len()).unwrap_or_default();
    let style = ProgressStyle::with_template("{bar:15} {msg}, {bytes} of {total_bytes}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style).with_message("0 rows")
}

fn advance(bar: &ProgressBar, progress: Progress) {
    let millis = bar.elapsed().as_millis().max(1);
    let a_second = u128::from(progress.rows) * 1_000 / millis;
    bar.set_message(format!("{} rows, {a_second} rows/s", progress.rows));
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
