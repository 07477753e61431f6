//! `dues demo`: a year of billing in seconds.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use super::output::Table;
use super::spreadsheet::Spreadsheet;
use super::{Format, Ground, exit, output};
use crate::interfaces::demo::Demo;

/// The months as CSV has them.
const COLUMNS: &[&str] =
    &["month", "currency", "charges", "due", "collected", "recovered", "open", "flagged", "uncollectible"];

/// And as a screen of eighty columns has room for them.
const HEADINGS: &[&str] = &["MONTH", "CUR", "COUNT", "DUE", "COLLECTED", "BY RETRY", "OPEN", "FLAGGED", "GIVEN UP"];

/// Arguments of `dues demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything in it is simulated: the gateway is a sandbox in this process, the time a clock turned by hand.\n\n\
    Examples:\n  dues demo\n  dues demo --months 24 --subscriptions 1000 --seed 7\n  dues demo --json | jq .months"
)]
pub struct Args {
    /// Draws customers, faults and ids: the same seed plays the same demo
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// How many months to bill
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=120))]
    months: u32,
    /// How many subscriptions to hand over
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    subscriptions: u32,
    /// The SQLite file it leaves behind to look at
    #[arg(long, value_name = "FILE", default_value = "dues-demo.db")]
    database: PathBuf,
}

impl Args {
    /// Plays it and prints what finance would see.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let demo = Demo {
            database: self.database,
            seed: self.seed,
            months: self.months,
            subscriptions: self.subscriptions,
            progress: ground.format == Format::Text && std::io::stderr().is_terminal(),
        };
        let report = demo.play().await?;
        if ground.json() {
            output::json(&report)?;
        } else if ground.csv() {
            output::remark("simulated: no wallet, no gateway and no money was touched");
            let months = report.months.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
            Spreadsheet::print(COLUMNS, months)?;
        } else {
            output::line(&report.opening())?;
            let months = report.months.iter().map(|it| {
                [
                    it.month.clone(),
                    it.currency.clone(),
                    it.charges.to_string(),
                    it.due.clone(),
                    it.collected.clone(),
                    it.recovered.clone(),
                    it.open.clone(),
                    it.flagged.clone(),
                    it.uncollectible.clone(),
                ]
            });
            Table::new(HEADINGS).right(&HEADINGS[2..]).rows(months).print()?;
            output::line(&report.closing())?;
        }
        Ok(ExitCode::from(if report.agrees() { exit::OK } else { exit::FAILED }))
    }
}
