//! `dues report`: the finance views, and the questions of docs/finance.md, as tables, CSV and JSON.

mod print;

use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde_json::json;

use super::output::{self, Table};
use super::spreadsheet::Spreadsheet;
use super::{Ground, WrongUsage, exit};
use crate::clock::Clock;
use crate::domain::money::Currency;
use crate::engine::open;
use crate::store::reports::{Filter, Report};

/// Rows of a table where nobody says how many; CSV and JSON have all.
const TABLE_ROWS: u32 = 1_000;

/// Arguments of `dues report`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It reads the finance views and nothing else, so the read-only login of finance will do. Months are those of UTC. \
    A table has 1000 rows at most, and of the views the columns that a person needs; --csv and --json have all of both, and hold no \
    more than a few rows in memory. docs/finance.md says what every report and column means, and has the queries.\n\n\
    Examples:\n  dues report\n  dues report collected --month 2026-10\n  dues report chase --currency HKD --csv > chase.csv\n  \
    dues report charges --month 2026-10 --json | jq length"
)]
pub struct Args {
    /// Which report; without it they are listed
    #[arg(value_name = "NAME", value_parser = names(), hide_possible_values = true)]
    name: Option<&'static Report>,
    /// Lists the reports
    #[arg(long, conflicts_with = "name")]
    list: bool,
    /// Only what is about this month of UTC
    #[arg(long, value_name = "YYYY-MM", requires = "name", value_parser = month)]
    month: Option<String>,
    /// Only what is in this currency
    #[arg(long, value_name = "CODE", requires = "name")]
    currency: Option<Currency>,
    /// So many rows at most
    #[arg(long, value_name = "N", requires = "name", value_parser = clap::value_parser!(u32).range(1..=4_000_000_000))]
    limit: Option<u32>,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let Some(report) = self.name else {
            list(ground)?;
            return Ok(ExitCode::from(exit::OK));
        };
        if self.month.is_some() && report.month.is_none() {
            return Err(WrongUsage("this report is about no month: leave --month out").into());
        }
        if self.currency.is_some() && !report.has_currency() {
            return Err(WrongUsage("this report is about no currency: leave --currency out").into());
        }
        let loaded = ground.load()?;
        let store = open::readable_books(&loaded.settings, &Clock::system()).await?;
        store.check_views().await?;
        let filter = Filter {
            month: self.month,
            currency: self.currency.map(|currency| currency.code().to_owned()),
            limit: self.limit,
        };
        if ground.json() {
            print::json(&store, report, &filter).await?;
        } else if ground.csv() {
            print::csv(&store, report, &filter).await?;
        } else {
            print::table(&store, report, &filter, self.limit.unwrap_or(TABLE_ROWS)).await?;
        }
        Ok(ExitCode::from(exit::OK))
    }
}

/// Every report with its question.
fn list(ground: &Ground) -> anyhow::Result<()> {
    let document = || {
        Report::all().map(
            |it| json!({ "name": it.name, "about": it.about, "month": it.month, "by_currency": it.has_currency() }),
        )
    };
    if ground.json() {
        return output::json(&document().collect::<Vec<_>>());
    }
    if ground.csv() {
        return Spreadsheet::print(&["name", "about", "month", "by_currency"], document());
    }
    Table::new(&["NAME", "ABOUT"]).rows(Report::all().map(|it| [it.name.to_owned(), it.about.to_owned()])).print()
}

fn names() -> impl TypedValueParser<Value = &'static Report> {
    let values = Report::all().map(|report| PossibleValue::new(report.name).help(report.about));
    PossibleValuesParser::new(values).try_map(|name| {
        let found = Report::all().find(|report| report.name == name);
        found.ok_or("`dues report --list` lists the reports")
    })
}

fn month(text: &str) -> Result<String, String> {
    super::charge::month(text).map(|_| text.to_owned())
}
