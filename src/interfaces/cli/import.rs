//! `dues import`: hands over the subscriptions of a file. The file's rules stand in [`crate::interfaces::import`].

use std::io::IsTerminal;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::SecretString;

use super::{Ground, books_to_enter, exit};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::secret::{SecretError, secret_key};
use crate::engine::greet::Untimely;
use crate::engine::hand_over::Rehearsal;
use crate::engine::open;
use crate::gateway::budget::TokenBucket;
use crate::gateway::http::Http;
use crate::gateway::payments::Client;
use crate::interfaces::import::{Books, Desk, Evidence, Format, Import, Place, Source, Summary};

/// Arguments of `dues import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Columns: reference, plan, source_id, anchor_on (YYYY-MM-DD) are required; first_payment_id, \
    customer_reference, customer_name, customer_email, country, time_zone, next_charge_on are not.\n\n\
    Without next_charge_on the period that runs now is charged at once.\n\n\
    Examples:\n  dues import subscriptions.csv --dry-run      what would happen; writes nothing\n  \
    dues import subscriptions.csv                enters what is good and is not there yet\n  \
    dues import subscriptions.rejects.csv        the rejected rows, once they are mended\n  \
    dues import export.txt --format jsonl        a JSON object on each line")]
pub struct Args {
    /// CSV with a header, or JSON Lines
    file: PathBuf,
    /// The format; without it the file's extension decides
    #[arg(long, value_enum)]
    format: Option<Format>,
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
        let Some(format) = self.format.or_else(|| Format::of(&self.file)) else {
            bail!(
                "{}: the name ends in neither .csv nor .jsonl; say --format csv or --format jsonl",
                self.file.display()
            );
        };
        let source = Source::open(&self.file, format)?;
        let place = self.place()?;
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
        let bar = bar(&self.file, ground.json());
        let import = Import::new(books, evidence, place, format);
        let summary = import.run(source, |bytes| bar.set_position(bytes)).await;
        bar.finish_and_clear();
        let summary = summary?;
        tell(&summary, ground.json())?;
        Ok(ExitCode::from(if summary.rejected == 0 { exit::OK } else { exit::PARTLY }))
    }

    fn place(&self) -> anyhow::Result<Place> {
        match &self.rejects {
            Some(path) => {
                let is_input =
                    path.canonicalize().is_ok_and(|path| self.file.canonicalize().is_ok_and(|it| it == path));
                if is_input {
                    bail!("--rejects names the file that is imported; it would be written over");
                }
                Ok(Place::At(path.clone()))
            }
            None if self.dry_run => Ok(Place::Nowhere),
            None => Ok(Place::Beside(self.file.clone())),
        }
    }
}

/// A running daemon needs the other half.
fn half(per_second: Option<NonZeroU32>) -> TokenBucket {
    TokenBucket::new(per_second.map(|rate| NonZeroU32::new(rate.get() / 2).unwrap_or(NonZeroU32::MIN)))
}

fn tell(summary: &Summary, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&summary.json())?);
        return Ok(());
    }
    for line in summary.rejected_lines() {
        eprintln!("{line}");
    }
    for line in summary.sentences() {
        println!("{line}");
    }
    Ok(())
}

fn bar(file: &Path, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bytes = std::fs::metadata(file).map(|it| it.len()).unwrap_or_default();
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}
