//! `dues subscription show`: all that the books know of one subscription, but for the customer's personal data.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{charge, journal, review};
use super::{Ground, ends_now, json_of, next_charge_at, not_found, output};
use crate::domain::calendar::{Zone, local_date_time};
use crate::interfaces::cli::output::{Amount, Page, Table, minute, time};
use crate::store::Store;
use crate::store::charges::{self, ShownAttemptRow};
use crate::store::journal::ShownRow as JournalRow;
use crate::store::reviews::ShownRow as ReviewRow;
use crate::store::subscriptions::{ShownRow, ShownSegmentRow};

/// Arguments of `dues subscription show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The subscription's id, or the merchant's own reference
    name: String,
    /// So many charges, and as many lines of the journal, at most: the latest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// What was read.
struct Found {
    subscription: ShownRow,
    segments: Vec<ShownSegmentRow>,
    charges: Vec<charges::ShownRow>,
    attempts: BTreeMap<i64, Vec<ShownAttemptRow>>,
    reviews: Vec<ReviewRow>,
    journal: Vec<JournalRow>,
    limit: u32,
}

impl Found {
    /// The heading of so many lines, which says where there may be more.
    fn headed(&self, what: &str, lines: usize, order: &str) -> String {
        if u32::try_from(lines).is_ok_and(|lines| lines < self.limit) {
            format!("{what}, {order}")
        } else {
            format!("{what}, {order}; these are {lines}, and --limit N shows more where there are")
        }
    }
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<()> {
        let (_, store) = ground.books().await?;
        let found = find(&store, &self.name, self.limit).await?;
        if ground.json() { output::json(&document(&found)?) } else { page(&found)?.print() }
    }
}

async fn find(store: &Store, name: &str, limit: u32) -> anyhow::Result<Found> {
    let subscription = store.subscription_shown(name).await?.ok_or_else(|| not_found(name))?;
    let filter = charges::Filter { subscription: Some(subscription.public_id.clone()), limit, ..Default::default() };
    let charges = store.charge_list(&filter).await?;
    let mut attempts: BTreeMap<i64, Vec<ShownAttemptRow>> = BTreeMap::new();
    for attempt in store.attempts_shown(charges.iter().map(|charge| charge.id)).await? {
        attempts.entry(attempt.charge_id).or_default().push(attempt);
    }
    Ok(Found {
        segments: store.segments_shown(subscription.id).await?,
        reviews: store.open_reviews_of(subscription.id).await?,
        journal: store.journal_tail(subscription.id, None, limit).await?,
        subscription,
        charges,
        attempts,
        limit,
    })
}

fn page(found: &Found) -> anyhow::Result<Page> {
    let row = &found.subscription;
    let price = Amount::of(row.amount_minor, &row.currency)?;
    let source = row.source.as_ref().map(|id| match &row.source_state {
        Some(state) => format!("{id} ({state})"),
        None => id.clone(),
    });
    let page = Page::default()
        .field("subscription", &row.public_id)
        .field("reference", &row.reference)
        .field("state", &row.state)
        .maybe("canceled because", row.cancel_reason.as_deref().filter(|_| row.ended_at.is_some()))
        .maybe("ended", row.ended_at.map(time))
        .field("customer", &row.customer)
        .field("plan", format!("{} version {}, {}", row.plan, row.plan_version, price.shown()))
        .field("next charge", next_charge(row))
        .field("source", source.unwrap_or_else(|| "none yet".to_owned()))
        .maybe("first payment", row.first_payment_id.as_deref())
        .field("handed over", time(row.handed_over_at))
        .section("Schedule", schedule(&found.segments))
        .section(found.headed("Charges", found.charges.len(), "the latest first"), charges_table(found)?)
        .section("Open review cases", review::table(&found.reviews))
        .section(found.headed("Journal", found.journal.len(), "the latest last"), journal::table(&found.journal));
    Ok(page)
}

/// The next charge, in both times, or why there is none.
fn next_charge(row: &ShownRow) -> String {
    let both_times = || match row.zone.parse::<Zone>() {
        Ok(zone) => {
            let local = local_date_time(&zone, row.next_charge_at).format("%Y-%m-%d %H:%M");
            format!("{local} in {zone}, which is {}", time(row.next_charge_at))
        }
        // The rules of the zone may be missing on this machine; the instant is not in doubt.
        Err(_) => time(row.next_charge_at),
    };
    if next_charge_at(row).is_some() {
        return format!("{} (period {})", both_times(), row.next_index);
    }
    match row.state.as_str() {
        "canceled" | "completed" => "none, it has ended".to_owned(),
        "incomplete_expired" => "none, its first payment came to nothing".to_owned(),
        "incomplete" => "none before its first payment".to_owned(),
        _ if ends_now(row) => {
            let reason = row.cancel_reason.as_deref().unwrap_or("no reason given");
            format!("none, it is canceled on {}: {reason}", both_times())
        }
        state => format!("none while it is {state}; its next period begins on {}", both_times()),
    }
}

fn schedule(segments: &[ShownSegmentRow]) -> Table {
    Table::new(&["FROM PERIOD", "ANCHOR", "HOUR", "ZONE", "EVERY", "PLAN"]).rows(segments.iter().map(|it| {
        [
            it.first_index.to_string(),
            it.anchor_on.clone(),
            format!("{:02}:00", it.hour),
            it.zone.clone(),
            format!("{} {}", it.interval_count, it.interval_unit),
            format!("{} version {}", it.plan, it.plan_version),
        ]
    }))
}

fn charges_table(found: &Found) -> anyhow::Result<Table> {
    let mut table =
        Table::new(&["ID", "PERIOD", "DUE (UTC)", "AMOUNT", "STATE", "ATTEMPTS"]).right(&["PERIOD", "AMOUNT"]);
    for row in &found.charges {
        let attempts = found.attempts.get(&row.id).map(Vec::as_slice).unwrap_or_default();
        // How many, and what became of the last; each of them is on the charge's own page.
        let tried = attempts.last().map_or_else(String::new, |last| format!("{}, {}", attempts.len(), last.state));
        let state = match &row.reason {
            Some(reason) => format!("{} ({reason})", row.state),
            None => row.state.clone(),
        };
        table.push([
            row.public_id.clone(),
            row.period_index.to_string(),
            minute(Some(row.due_at)),
            Amount::of(row.amount_minor, &row.currency)?.shown(),
            state,
            tried,
        ]);
    }
    Ok(table)
}

fn document(found: &Found) -> anyhow::Result<serde_json::Value> {
    let mut document = json_of(&found.subscription)?;
    let segment = |it: &ShownSegmentRow| {
        json!({
            "first_index": it.first_index,
            "anchor_on": it.anchor_on,
            "hour": it.hour,
            "zone": it.zone,
            "interval_unit": it.interval_unit,
            "interval_count": it.interval_count,
            "plan": it.plan,
            "plan_version": it.plan_version,
        })
    };
    document["schedule"] = found.segments.iter().map(segment).collect();
    let mut charges = Vec::new();
    for row in &found.charges {
        let mut charge = charge::json_of(row)?;
        let attempts = found.attempts.get(&row.id).map(Vec::as_slice).unwrap_or_default();
        charge["attempts"] = attempts.iter().map(charge::attempt_json).collect();
        charges.push(charge);
    }
    document["charges"] = charges.into();
    document["open_review_cases"] = found.reviews.iter().map(review::json_of).collect();
    document["journal"] = journal::json(&found.journal).into();
    Ok(document)
}
