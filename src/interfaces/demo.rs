//! The demo: the production engine on a real SQLite file, the sandbox in this process, and a clock that runs a year in seconds.
//! Everything in it is simulated; nothing leaves the process.

mod cast;
mod report;

use std::path::PathBuf;

use anyhow::Context;
use chrono::{Months, TimeDelta};
use indicatif::{ProgressBar, ProgressStyle};

use crate::chance::Chance;
use crate::clock::{Clock, Instant};
use crate::config::{self, Sources};
use crate::engine::hand_over::Acceptable;
use crate::engine::round::Round;
use crate::engine::{Engine, open};
use crate::sandbox::{self, Sandbox, Script};
pub use report::Report;

/// The first instant of the simulated time.
const BEGINS: &str = "2026-01-01T00:00:00Z";
/// The clock moves at least so far at once: what falls due in between is handled together, as a daemon under load would.
const STEP: TimeDelta = TimeDelta::hours(2);
/// Subscriptions handed over in one transaction.
const SET: usize = 500;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Demo {
    /// The database file; an older demo's is replaced.
    pub database: PathBuf,
    /// Draws customers, faults and ids.
    pub seed: u64,
    /// How long.
    pub months: u32,
    /// How many subscriptions.
    pub subscriptions: u32,
    /// Whether a bar shows how far it is.
    pub progress: bool,
}

impl Demo {
    /// Plays it, and looks at the books afterwards.
    ///
    /// # Errors
    /// A database file that cannot be written, and what the engine could not overcome.
    pub async fn play(&self) -> anyhow::Result<Report> {
        self.clear_file()?;
        self.mark_file()?;
        let begins: Instant = BEGINS.parse().context("the demo's first instant is one")?;
        let ends = begins
            .checked_add_months(Months::new(self.months))
            .context("the demo ends after the calendar does; ask for fewer months")?;
        let clock = Clock::manual(begins);
        let chance = Chance::seeded(self.seed);
        let cast = cast::Cast::draw(self.subscriptions, begins, ends, &chance);
        let sandbox =
            Sandbox::new(sandbox::Settings::default(), Script::of(cast.rules.clone()), clock.clone(), self.seed);
        let settings = self.settings()?;
        let store = open::books(&settings, &clock).await?;
        let secret_key = sandbox::Settings::default().secret_key;
        let transport = sandbox.in_process();
        let engine =
            open::engine(&settings, store.clone(), transport, &secret_key, Chance::seeded(self.seed), true).await?;
        hand_over(&engine, cast).await?;
        self.run(&engine, &clock, begins, ends).await?;
        let report = Report::read(self, &store, &sandbox, begins, ends).await?;
        store.close().await;
        Ok(report)
    }

    async fn run(&self, engine: &Engine, clock: &Clock, begins: Instant, ends: Instant) -> anyhow::Result<()> {
        let bar = self.bar(begins, ends);
        let mut round = Round::new(engine.clone());
        loop {
            round.until_quiet().await?;
            let now = clock.now();
            bar.set_position(u64::try_from((now - begins).num_days()).unwrap_or_default());
            bar.set_message(now.format("%B %Y").to_string());
            if now >= ends {
                break;
            }
            let next = engine.store.next_work_at().await?.unwrap_or(ends);
            clock.advance_to(next.max(now + STEP).min(ends));
            engine.store.heartbeat(clock.now()).await?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn bar(&self, begins: Instant, ends: Instant) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        let days = u64::try_from((ends - begins).num_days()).unwrap_or_default();
        let bar = ProgressBar::new(days);
        if let Ok(style) = ProgressStyle::with_template("simulated time {bar:20} day {pos}/{len}  {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar
    }

    fn settings(&self) -> anyhow::Result<config::Settings> {
        let mut flags: Vec<(String, String)> =
            cast::SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        flags.push(("database.url".to_owned(), format!("sqlite:{}", self.database.display())));
        config::load(&Sources::of_flags(flags))
            .map(|loaded| loaded.settings)
            .map_err(|faults| anyhow::anyhow!("the demo's own settings are wrong:\n{faults}"))
    }

    /// Only a file that a demo made is replaced.
    fn clear_file(&self) -> anyhow::Result<()> {
        let path = &self.database;
        if !path.exists() {
            return Ok(());
        }
        let mark = path.with_extension("simulated");
        anyhow::ensure!(
            mark.exists(),
            "{} exists and no demo made it; give another file with --database",
            path.display()
        );
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut file = path.clone().into_os_string();
            file.push(suffix);
            match std::fs::remove_file(&file) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).context(format!("{} cannot be replaced", path.display())),
            }
        }
        Ok(())
    }

    /// Marks the file as simulated, before anything is written into it.
    fn mark_file(&self) -> anyhow::Result<()> {
        let mark = self.database.with_extension("simulated");
        std::fs::write(&mark, "The database beside this file was made by `dues demo`: everything in it is simulated.\n")
            .with_context(|| {
                format!("{} cannot be written; give another file with --database", self.database.display())
            })
    }
}

async fn hand_over(engine: &Engine, cast: cast::Cast) -> anyhow::Result<()> {
    let mut set: Vec<Acceptable> = Vec::new();
    for subscription in cast.subscriptions {
        set.push(engine.acceptable(subscription)?);
        if set.len() == SET {
            engine.hand_over(&set).await?;
            set.clear();
        }
    }
    engine.hand_over(&set).await?;
    Ok(())
}
