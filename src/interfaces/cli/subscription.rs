//! `dues subscription`: lists, shows, pauses, resumes and cancels subscriptions.

mod cancel;
mod pause;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::output::{self, Amount, Table, cut, minute};
use super::spreadsheet::Spreadsheet;
use super::words::one_of;
use super::{Ground, NotFound, exit};
use crate::clock::Instant;
use crate::domain::subscription::SubscriptionState;
use crate::store::subscriptions::{Filter, ShownRow};

/// Arguments of `dues subscription`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists subscriptions, the newest first
    #[command(after_help = "Examples:\n  dues subscription list\n  dues subscription list --state past_due\n  \
        dues subscription list --plan monthly --json")]
    List(ListArgs),
    /// Shows one subscription: schedule, source, charges, review cases and journal
    #[command(after_help = "The customer's name and e-mail address are not shown.\n\n\
        Examples:\n  dues subscription show ORD-1001\n  dues subscription show ORD-1001 --json")]
    Show(show::Args),
    /// Lets one subscription stand still: its periods are skipped until it is resumed
    #[command(
        after_help = "It may be run while the daemon runs, and needs no secret key. A period that has begun is still owed; what is \
        not sent yet waits until it is resumed.\n\n\
        Examples:\n  dues subscription pause ORD-1001 --reason \"abroad until spring\""
    )]
    Pause(pause::Args),
    /// Lets a paused subscription go on with its next period, or takes back a cancellation at the period's end
    #[command(
        after_help = "Periods that began while it stood still stay skipped. A cancellation is taken back until the period with which \
        it would end the subscription has begun; one that is paused as well goes on first, and a second resume takes the end back.\n\n\
        Examples:\n  dues subscription resume ORD-1001 --reason \"is back\""
    )]
    Resume(pause::Args),
    /// Cancels one subscription, now or at the end of its period
    #[command(
        after_help = "It may be run while the daemon runs, and needs no secret key. What is not sent yet is never sent. \
        A payment that is on its way cannot be called back: its outcome is still recorded.\n\n\
        Examples:\n  dues subscription cancel ORD-1001 --reason \"asked by the customer\"\n  \
        dues subscription cancel ORD-1001 --reason \"moves abroad\" --at-period-end"
    )]
    Cancel(cancel::Args),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those in this state
    #[arg(long, value_parser = one_of::<SubscriptionState>(SubscriptionState::ALL.iter().map(|it| it.as_str())))]
    state: Option<SubscriptionState>,
    /// Only those whose next period is on this plan
    #[arg(long)]
    plan: Option<String>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::List(args) => args.run(ground).await?,
            Command::Show(args) => args.run(ground).await?,
            Command::Pause(args) => args.pause(ground).await?,
            Command::Resume(args) => args.resume(ground).await?,
            Command::Cancel(args) => args.run(ground).await?,
        }
        Ok(ExitCode::from(exit::OK))
    }
}

impl ListArgs {
    async fn run(self, ground: &Ground) -> anyhow::Result<()> {
        let (_, store) = ground.books().await?;
        let filter = Filter { state: self.state, plan: self.plan, limit: self.limit + 1 };
        let rows = cut(store.subscription_list(&filter).await?, self.limit);
        if ground.json() {
            return output::json(&rows.iter().map(json_of).collect::<anyhow::Result<Vec<_>>>()?);
        }
        if ground.csv() {
            return Spreadsheet::print(COLUMNS, rows.iter().map(json_of).collect::<anyhow::Result<Vec<_>>>()?);
        }
        let headings = &["REFERENCE", "STATE", "PLAN", "PRICE", "NEXT CHARGE (UTC)", "ID"];
        let mut table = Table::new(headings).right(&["PRICE"]);
        for row in &rows {
            table.push([
                row.reference.clone(),
                row.state.clone(),
                row.plan.clone(),
                Amount::of(row.amount_minor, &row.currency)?.shown(),
                minute(next_charge_at(row)),
                row.public_id.clone(),
            ]);
        }
        table.print()
    }
}

/// When it is charged next; none where its next period is not billed as things stand.
fn next_charge_at(row: &ShownRow) -> Option<Instant> {
    let state = row.state.parse::<SubscriptionState>().ok()?;
    let bills = matches!(state, SubscriptionState::Trialing | SubscriptionState::Active | SubscriptionState::PastDue);
    (bills && !ends_now(row)).then_some(row.next_charge_at)
}

/// Whether it is canceled instead of opening its next period.
fn ends_now(row: &ShownRow) -> bool {
    row.cancel_at_index.is_some_and(|index| index <= row.next_index)
}

/// The keys of a subscription in JSON, in the order in which CSV has them.
const COLUMNS: &[&str] = &[
    "id",
    "reference",
    "customer_reference",
    "state",
    "plan",
    "plan_version",
    "amount_minor",
    "amount",
    "currency",
    "zone",
    "source_id",
    "source_state",
    "next_period_index",
    "next_charge_at",
    "cancel_at_index",
    "cancel_reason",
    "first_payment_id",
    "handed_over_at",
    "created_at",
    "ended_at",
];

/// A subscription in JSON, as the list has it.
fn json_of(row: &ShownRow) -> anyhow::Result<Value> {
    let price = Amount::of(row.amount_minor, &row.currency)?;
    Ok(json!({
        "id": row.public_id,
        "reference": row.reference,
        "customer_reference": row.customer,
        "state": row.state,
        "plan": row.plan,
        "plan_version": row.plan_version,
        "amount_minor": price.minor,
        "amount": price.decimal,
        "currency": price.currency,
        "zone": row.zone,
        "source_id": row.source,
        "source_state": row.source_state,
        "next_period_index": row.next_index,
        "next_charge_at": next_charge_at(row),
        "cancel_at_index": row.cancel_at_index,
        "cancel_reason": row.cancel_reason,
        "first_payment_id": row.first_payment_id,
        "handed_over_at": row.handed_over_at,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
    }))
}

/// That there is no subscription of this name, and where to look.
fn not_found(name: &str) -> NotFound {
    NotFound(format!("there is no subscription {name:?}; `dues subscription list` shows them"))
}
