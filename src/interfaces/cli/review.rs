//! `dues review`: lists, shows and resolves what a person must decide.

mod resolve;

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::output::{self, Page, Table, cut, minute, time};
use super::spreadsheet::Spreadsheet;
use super::{Ground, NotFound, exit, journal};
use crate::store::reviews::ShownRow;

/// The longest journal of one charge that is shown.
const JOURNAL_LINES: u32 = 500;

/// Arguments of `dues review`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists open review cases, the newest first
    #[command(after_help = "Examples:\n  dues review list\n  dues review list --all --json")]
    List {
        /// Closed cases too
        #[arg(long)]
        all: bool,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Shows one review case: evidence, the suggested next step, and the journal of its charge
    #[command(after_help = "Examples:\n  dues review show rev_0dg1m2k3p4q5r6s7t8u9v0a1b2\n  \
        dues review show rev_0dg1m2k3p4q5r6s7t8u9v0a1b2 --json")]
    Show {
        /// The case's id, as the list has it
        id: String,
    },
    /// Closes one review case, by an act on its charge or because it was seen to
    #[command(
        after_help = "What works depends on the case; one that does not says which do. It may be run while the daemon runs, and needs no \
        secret key.\n\n\
        Examples:\n  dues review resolve rev_0dg1m2k3p4q5r6s7t8u9v0a1b2 retry \\\n    \
        --reason \"the channel is corrected\"\n  \
        dues review resolve rev_0dg1m2k3p4q5r6s7t8u9v0a1b2 charged \\\n    \
        --payment pay_mbabizu24mvu3mela5njyhpit4 --reason \"found in the dashboard\""
    )]
    Resolve(resolve::Args),
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::List { all, limit } => list(ground, all, limit).await?,
            Command::Show { id } => show(ground, &id).await?,
            Command::Resolve(args) => args.run(ground).await?,
        }
        Ok(ExitCode::from(exit::OK))
    }
}

async fn list(ground: &Ground, all: bool, limit: u32) -> anyhow::Result<()> {
    let (_, store) = ground.books().await?;
    let rows = cut(store.review_list(all, limit + 1).await?, limit);
    if ground.json() {
        return output::json(&rows.iter().map(json_of).collect::<Vec<_>>());
    }
    if ground.csv() {
        return Spreadsheet::print(COLUMNS, rows.iter().map(json_of));
    }
    table(&rows).print()
}

async fn show(ground: &Ground, id: &str) -> anyhow::Result<()> {
    let (_, store) = ground.books().await?;
    let case = store.review_shown(id).await?;
    let case =
        case.ok_or_else(|| NotFound(format!("there is no review case {id:?}; `dues review list --all` shows them")))?;
    let journal = match case.subscription_id {
        Some(subscription) => store.journal_tail(subscription, case.charge_id, JOURNAL_LINES).await?,
        None => Vec::new(),
    };
    if ground.json() {
        let mut document = json_of(&case);
        document["journal"] = journal::json(&journal).into();
        return output::json(&document);
    }
    let of_subscription = case.subscription.as_ref().zip(case.subscription_public_id.as_ref());
    let of_charge = case.charge.as_ref().zip(case.period_index);
    Page::default()
        .field("review case", &case.public_id)
        .field("reason", &case.reason)
        .field("state", if case.resolved_at.is_some() { "closed" } else { "open" })
        .field("evidence", &case.evidence)
        .field("next step", &case.suggestion)
        .field("about", &case.subject)
        .maybe("subscription", of_subscription.map(|(reference, id)| format!("{reference} ({id})")))
        .maybe("charge", of_charge.map(|(id, period)| format!("{id} (period {period})")))
        .maybe("payment", case.payment_id.as_deref())
        .field("opened", time(case.opened_at))
        .maybe("closed", case.resolved_at.map(time))
        .maybe("closed by", case.resolved_by.as_deref())
        .maybe("resolution", case.resolution.as_deref())
        .section(if case.charge_id.is_some() { "Journal of its charge" } else { "Journal" }, journal::table(&journal))
        .print()
}

/// Review cases as a table.
pub fn table(rows: &[ShownRow]) -> Table {
    Table::new(&["ID", "REASON", "SUBSCRIPTION", "OPENED (UTC)", "EVIDENCE"]).rows(rows.iter().map(|row| {
        let closed = row.resolution.as_ref().map_or_else(String::new, |how| format!(" (closed: {how})"));
        [
            row.public_id.clone(),
            row.reason.clone(),
            output::or_dash(row.subscription.as_deref()),
            minute(Some(row.opened_at)),
            format!("{}{closed}", row.evidence),
        ]
    }))
}

/// The keys of a review case in JSON, in the order in which CSV has them.
const COLUMNS: &[&str] = &[
    "id",
    "reason",
    "subject",
    "subscription_id",
    "subscription_reference",
    "charge_id",
    "period_index",
    "payment_id",
    "evidence",
    "suggestion",
    "opened_at",
    "resolved_at",
    "resolution",
    "resolved_by",
];

/// A review case in JSON, as the list has it.
pub fn json_of(row: &ShownRow) -> Value {
    json!({
        "id": row.public_id,
        "reason": row.reason,
        "subject": row.subject,
        "subscription_id": row.subscription_public_id,
        "subscription_reference": row.subscription,
        "charge_id": row.charge,
        "period_index": row.period_index,
        "payment_id": row.payment_id,
        "evidence": row.evidence,
        "suggestion": row.suggestion,
        "opened_at": row.opened_at,
        "resolved_at": row.resolved_at,
        "resolution": row.resolution,
        "resolved_by": row.resolved_by,
    })
}
