//! `dues charge show`: one charge with every attempt and every payment under its reference.

use serde_json::{Value, json};

use super::super::journal;
use super::{Ground, NotFound, json_of, output};
use crate::interfaces::cli::output::{Amount, Page, Table, minute, or_dash, time};
use crate::store::Store;
use crate::store::charges::{ShownAttemptRow, ShownCaseRow, ShownPaymentRow, ShownRow};
use crate::store::journal::ShownRow as JournalRow;

/// The longest journal of one charge that is shown.
const JOURNAL_LINES: u32 = 500;

/// Arguments of `dues charge show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The charge's id, or the reference that its payments carry
    #[arg(value_name = "ID|REFERENCE")]
    name: String,
}

/// What was read.
struct Found {
    charge: ShownRow,
    attempts: Vec<ShownAttemptRow>,
    payments: Vec<ShownPaymentRow>,
    case: Option<ShownCaseRow>,
    journal: Vec<JournalRow>,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<()> {
        let (_, store) = ground.books().await?;
        let found = find(&store, &self.name).await?;
        if ground.json() { output::json(&document(&found)?) } else { page(&found)?.print() }
    }
}

async fn find(store: &Store, name: &str) -> anyhow::Result<Found> {
    let charge = store.charge_shown(name).await?.ok_or_else(|| {
        NotFound(format!("there is no charge {name:?}; `dues charge list --subscription NAME` shows those of one"))
    })?;
    Ok(Found {
        attempts: store.attempts_shown([charge.id]).await?,
        payments: store.payments_shown(charge.id).await?,
        case: store.dunning_case_shown(charge.id).await?,
        journal: store.journal_tail(charge.subscription_id, Some(charge.id), JOURNAL_LINES).await?,
        charge,
    })
}

fn page(found: &Found) -> anyhow::Result<Page> {
    let row = &found.charge;
    let state = match &row.reason {
        Some(reason) => format!("{} ({reason})", row.state),
        None => row.state.clone(),
    };
    let page = Page::default()
        .field("charge", &row.public_id)
        .field("reference", &row.reference)
        .field("subscription", format!("{} ({})", row.subscription, row.subscription_public_id))
        .field("period", format!("{}: {} to {}", row.period_index, time(row.period_start_at), time(row.period_end_at)))
        .field("plan", format!("{} version {}", row.plan, row.plan_version))
        .field("amount", Amount::of(row.amount_minor, &row.currency)?.shown())
        .field("state", state)
        .field("due", time(row.due_at))
        .field("opened", time(row.opened_at))
        .maybe("paid", row.paid_at.map(time))
        .maybe("paid by", row.paid_by.as_deref())
        .maybe("dunning", found.case.as_ref().map(dunning))
        .section("Attempts", attempts(&found.attempts))
        .section("Payments", payments(&found.payments)?)
        .section("Journal", journal::table(&found.journal));
    Ok(page)
}

fn dunning(case: &ShownCaseRow) -> String {
    let steps = match case.steps {
        1 => "1 retry".to_owned(),
        steps => format!("{steps} retries"),
    };
    let next = case.next_step_at.map_or_else(String::new, |at| format!(", next on {}", time(at)));
    format!("{} after {steps}{next} (policy {} version {})", case.state, case.policy, case.policy_version)
}

fn attempts(rows: &[ShownAttemptRow]) -> Table {
    let headings =
        &["N", "STATE", "SENDS", "CREATED (UTC)", "SENT (UTC)", "NEXT LOOK (UTC)", "SETTLED (UTC)", "PAYMENT"];
    Table::new(headings).rows(rows.iter().map(|it| {
        [
            it.n.to_string(),
            it.state.clone(),
            it.sends.to_string(),
            minute(Some(it.created_at)),
            minute(it.first_sent_at),
            minute(it.next_at),
            minute(it.settled_at),
            or_dash(it.payment_id.as_deref()),
        ]
    }))
}

fn payments(rows: &[ShownPaymentRow]) -> anyhow::Result<Table> {
    let mut table =
        Table::new(&["ID", "ATTEMPT", "STATUS", "AMOUNT", "CODE", "CLASS", "SINCE (UTC)"]).right(&["AMOUNT"]);
    for it in rows {
        let amount = amount_of(it)?.map(|amount| amount.shown());
        table.push([
            it.gateway_payment_id.clone(),
            it.attempt_n.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            it.status.clone(),
            or_dash(amount.as_deref()),
            or_dash(it.response_code.as_deref()),
            or_dash(it.decline_class.as_deref()),
            minute(Some(it.status_at)),
        ]);
    }
    Ok(table)
}

/// The gateway's figure, where it gave one.
fn amount_of(row: &ShownPaymentRow) -> anyhow::Result<Option<Amount>> {
    match (row.amount_minor, &row.currency) {
        (Some(minor), Some(currency)) => Ok(Some(Amount::of(minor, currency)?)),
        _ => Ok(None),
    }
}

fn document(found: &Found) -> anyhow::Result<Value> {
    let mut document = json_of(&found.charge)?;
    document["attempts"] = found.attempts.iter().map(attempt_json).collect();
    document["payments"] = found.payments.iter().map(payment_json).collect::<anyhow::Result<Vec<_>>>()?.into();
    document["dunning_case"] = found.case.as_ref().map_or(Value::Null, |case| {
        json!({
            "policy": case.policy,
            "policy_version": case.policy_version,
            "state": case.state,
            "steps": case.steps,
            "next_step_at": case.next_step_at,
            "opened_at": case.opened_at,
            "closed_at": case.closed_at,
        })
    });
    document["journal"] = journal::json(&found.journal).into();
    Ok(document)
}

/// An attempt in JSON.
pub fn attempt_json(row: &ShownAttemptRow) -> Value {
    json!({
        "n": row.n,
        "kind": row.kind,
        "state": row.state,
        "idempotency_key": row.idempotency_key,
        "payment_id": row.payment_id,
        "sends": row.sends,
        "looks": row.looks,
        "created_at": row.created_at,
        "first_sent_at": row.first_sent_at,
        "last_sent_at": row.last_sent_at,
        "next_at": row.next_at,
        "settled_at": row.settled_at,
    })
}

fn payment_json(row: &ShownPaymentRow) -> anyhow::Result<Value> {
    Ok(json!({
        "id": row.gateway_payment_id,
        "attempt_n": row.attempt_n,
        "kind": row.kind,
        "status": row.status,
        "amount_minor": row.amount_minor,
        "amount": amount_of(row)?.map(|amount| amount.decimal),
        "currency": row.currency,
        "captured_minor": row.captured_minor,
        "refunded_minor": row.refunded_minor,
        "response_code": row.response_code,
        "decline_class": row.decline_class,
        "request_id": row.request_id,
        "first_seen_at": row.first_seen_at,
        "status_at": row.status_at,
    }))
}
