//! `dues charge`: lists and shows charges, tries them again and voids them.

pub mod act;
mod show;

use std::process::ExitCode;

use chrono::{Months, NaiveDate};
use clap::Subcommand;
use serde_json::{Value, json};

use super::output::{self, Amount, Table, cut, minute};
use super::spreadsheet::Spreadsheet;
use super::words::one_of;
use super::{Ground, NotFound, exit};
use crate::clock::Instant;
use crate::domain::charge::ChargeState;
use crate::engine::asked::Ask;
use crate::store::charges::{Filter, ShownRow};

pub use show::attempt_json;

/// Arguments of `dues charge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists charges, the latest due first
    #[command(
        after_help = "Examples:\n  dues charge list --state retrying\n  dues charge list --subscription ORD-1001\n  \
        dues charge list --month 2026-11 --limit 100000 --json"
    )]
    List(ListArgs),
    /// Shows one charge: attempts, payments, dunning case and journal
    #[command(after_help = "Examples:\n  dues charge show d1-t26t2ii4kkbtpadadftgb9bhsk-12\n  \
        dues charge show d1-t26t2ii4kkbtpadadftgb9bhsk-12 --json\n\n\
        The reference is the one that the payment carries in the gateway's dashboard.")]
    Show(show::Args),
    /// Tries one charge again now, or bills one that was held back
    #[command(
        after_help = "It may be run while the daemon runs, and needs no secret key: the daemon looks the reference up, and sends. \
        Such a retry spends no dunning step. Nothing is sent beside an attempt that may still take money.\n\n\
        Examples:\n  dues charge retry d1-t26t2ii4kkbtpadadftgb9bhsk-12 \\\n    \
        --reason \"the plan's price is corrected\""
    )]
    Retry(act::Args),
    /// Forgives one charge: it is not owed any more, and never sent
    #[command(after_help = "Nothing is voided beside an attempt that may still take money.\n\n\
        Examples:\n  dues charge void d1-t26t2ii4kkbtpadadftgb9bhsk-12 --reason \"paid in the shop\"")]
    Void(act::Args),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those in this state
    #[arg(long, value_parser = one_of::<ChargeState>(ChargeState::ALL.iter().map(|it| it.as_str())))]
    state: Option<ChargeState>,
    /// Only those of this subscription: its id, or the merchant's own reference
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    /// Only those that fell due in this month of UTC
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<Month>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// A month of UTC: its first instant, and the first after it.
#[derive(Debug, Clone, Copy)]
pub struct Month {
    from: Instant,
    before: Instant,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::List(args) => args.run(ground).await?,
            Command::Show(args) => args.run(ground).await?,
            Command::Retry(args) => args.run(ground, Ask::Retry).await?,
            Command::Void(args) => args.run(ground, Ask::Void).await?,
        }
        Ok(ExitCode::from(exit::OK))
    }
}

impl ListArgs {
    async fn run(self, ground: &Ground) -> anyhow::Result<()> {
        let (_, store) = ground.books().await?;
        if let Some(name) = &self.subscription
            && store.subscription_shown(name).await?.is_none()
        {
            let message = format!("there is no subscription {name:?}; `dues subscription list` shows them");
            return Err(NotFound(message).into());
        }
        let filter = Filter {
            state: self.state,
            subscription: self.subscription,
            due_from: self.month.map(|month| month.from),
            due_before: self.month.map(|month| month.before),
            limit: self.limit + 1,
        };
        let rows = cut(store.charge_list(&filter).await?, self.limit);
        if ground.json() {
            return output::json(&rows.iter().map(json_of).collect::<anyhow::Result<Vec<_>>>()?);
        }
        if ground.csv() {
            return Spreadsheet::print(COLUMNS, rows.iter().map(json_of).collect::<anyhow::Result<Vec<_>>>()?);
        }
        let headings = &["ID", "SUBSCRIPTION", "PERIOD", "DUE (UTC)", "AMOUNT", "STATE", "REASON"];
        let mut table = Table::new(headings).right(&["PERIOD", "AMOUNT"]);
        for row in &rows {
            table.push([
                row.public_id.clone(),
                row.subscription.clone(),
                row.period_index.to_string(),
                minute(Some(row.due_at)),
                Amount::of(row.amount_minor, &row.currency)?.shown(),
                row.state.clone(),
                row.reason.clone().unwrap_or_default(),
            ]);
        }
        table.print()
    }
}

/// The keys of a charge in JSON, in the order in which CSV has them.
const COLUMNS: &[&str] = &[
    "id",
    "reference",
    "subscription_id",
    "subscription_reference",
    "period_index",
    "period_start_at",
    "period_end_at",
    "plan",
    "plan_version",
    "amount_minor",
    "amount",
    "currency",
    "state",
    "reason",
    "due_at",
    "opened_at",
    "paid_at",
    "paid_by",
];

/// A charge in JSON, as the list has it.
///
/// # Errors
/// Where its currency is none.
pub fn json_of(row: &ShownRow) -> anyhow::Result<Value> {
    let owed = Amount::of(row.amount_minor, &row.currency)?;
    Ok(json!({
        "id": row.public_id,
        "reference": row.reference,
        "subscription_id": row.subscription_public_id,
        "subscription_reference": row.subscription,
        "period_index": row.period_index,
        "period_start_at": row.period_start_at,
        "period_end_at": row.period_end_at,
        "plan": row.plan,
        "plan_version": row.plan_version,
        "amount_minor": owed.minor,
        "amount": owed.decimal,
        "currency": owed.currency,
        "state": row.state,
        "reason": row.reason,
        "due_at": row.due_at,
        "opened_at": row.opened_at,
        "paid_at": row.paid_at,
        "paid_by": row.paid_by,
    }))
}

/// Reads a month, `2026-11`.
///
/// # Errors
/// What it must look like.
pub fn month(text: &str) -> Result<Month, String> {
    let refused = || "a month has the form YYYY-MM, such as 2026-11".to_owned();
    if text.len() != 7 {
        return Err(refused());
    }
    let first: NaiveDate = format!("{text}-01").parse().map_err(|_| refused())?;
    let next = first.checked_add_months(Months::new(1)).ok_or_else(refused)?;
    let midnight = |on: NaiveDate| on.and_time(chrono::NaiveTime::MIN).and_utc();
    Ok(Month { from: midnight(first), before: midnight(next) })
}
