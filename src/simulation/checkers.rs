//! The checkers: promises held against the sandbox's own books and against ours, after every step and at the end.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::faults::Kind;
use super::gateway::Gateway;
use super::stage::Stage;
use super::world::World;
use crate::store::standings::StandingRow;
use crate::store::{Store, StoreError};

/// A subscription that was canceled owes no period that had begun so shortly before: bill may have waited for the period before.
const MAY_BE_UNBILLED: TimeDelta = TimeDelta::days(4);

/// The states of a subscription in which nobody has given up a period of it.
const BILLED: [&str; 3] = ["trialing", "active", "past_due"];

/// Lines of a subscription's journal that a breach is told with.
const LINES_OF_THE_JOURNAL: u32 = 100;

/// After every step: no send broke the gateway's rules. Sends and payments are judged where they happen, on the wire.
pub(super) fn after_a_step(stage: &Stage, gateway: &Gateway) {
    let (own, all) = gateway.breaches();
    if own > 0 {
        stage.broken("no request breaks the gateway's rules", None, format!("{all:?}, some of them by copies"));
    }
}

/// At the end, when nothing goes wrong any more and all is quiet.
pub(super) async fn at_the_end(
    stage: &Stage,
    world: &World,
    gateway: &Gateway,
    store: &Store,
) -> Result<(), StoreError> {
    let theirs = gateway.sandbox.books();
    for (reference, captures) in theirs.captures_by_reference() {
        if captures > 1 {
            let seen = format!("{reference} was captured {captures} times");
            stage.broken("a period is charged once", Some(reference), seen);
        }
    }
    let mut captured: BTreeMap<&str, i64> = BTreeMap::new();
    for payment in theirs.payments.iter().filter(|payment| payment.captured_minor > 0) {
        *captured.entry(payment.reference.as_str()).or_default() += payment.captured_minor;
    }
    let standings = store.standings().await?;
    for standing in &standings {
        check_standing(stage, standing, captured.get(standing.reference.as_str()).copied().unwrap_or_default());
    }
    check_calendar(stage, world, &standings);
    for row in store.taken().await? {
        let (ours, gateways) = (row.captured_minor, theirs.captured_minor(&row.currency));
        if ours != gateways {
            let seen = format!("{}: ours {ours}, the gateway's {gateways} minor units", row.currency);
            stage.broken("our sums are the gateway's", None, seen);
        }
    }
    let exceptions = store.exceptions().await?;
    if exceptions > 0 {
        stage.broken("finance_exceptions is empty", None, format!("{exceptions} rows"));
    }
    if !theirs.unknown_fields.is_empty() {
        stage.broken("every field is known to the gateway", None, format!("{:?}", theirs.unknown_fields));
    }
    tell_of_the_broken(stage, gateway, store, &standings).await
}

/// What both books say of the periods about which a promise was not kept.
async fn tell_of_the_broken(
    stage: &Stage,
    gateway: &Gateway,
    store: &Store,
    standings: &[StandingRow],
) -> Result<(), StoreError> {
    let subjects: Vec<String> = stage.breaches().into_iter().filter_map(|it| it.subject).collect();
    for row in standings.iter().filter(|row| subjects.contains(&row.reference)) {
        let of = format!("{} of {}", row.reference, row.subscription);
        for payment in gateway.sandbox.payments_of(&row.reference) {
            let (status, requested_at) = (payment.status.as_str(), payment.requested_at);
            stage.tell(format_args!("{of}: the gateway has a payment of {requested_at}, {status}"));
        }
        let Some(subscription) = store.subscription_shown(&row.subscription).await? else { continue };
        for line in store.journal_tail(subscription.id, None, LINES_OF_THE_JOURNAL).await? {
            let words = [line.was, line.now, line.detail].map(Option::unwrap_or_default).join(" | ");
            let (at, act, period) = (line.at, line.act, line.period_index);
            stage.tell(format_args!("{of}: the journal of {at}: {act}, period {period:?}: {words}"));
        }
    }
    Ok(())
}

fn check_standing(stage: &Stage, row: &StandingRow, captured_minor: i64) {
    let broken = |promise: &'static str, seen: String| {
        let seen = format!("{} ({}/{}): {seen}", row.reference, row.subscription, row.period_index);
        stage.broken(promise, Some(&row.reference), seen);
    };
    let state = row.state.as_str();
    let has_reason = row.reason.is_some();
    let will_move = row.live > 0 || row.step_at.is_some() || row.reviews > 0;
    match state {
        "paid" if captured_minor != row.amount_minor => {
            broken("paid means captured", format!("the gateway took {captured_minor} of {}", row.amount_minor));
        }
        "paid" => {}
        _ if captured_minor > 0 => broken("captured means paid", format!("{state}, and {captured_minor} was taken")),
        "due" | "collecting" | "retrying" if !will_move => broken("nothing is stuck", format!("{state} for ever")),
        "in_review" if row.reviews == 0 => broken("nothing is stuck", "in review without a case".to_owned()),
        "void" if BILLED.contains(&row.subscription_state.as_str()) => {
            broken("who stays is charged", format!("void, and the subscription is {}", row.subscription_state));
        }
        "uncollectible" | "void" | "held" | "skipped" | "in_review" if !has_reason => {
            broken("every period is explained", format!("{state} without a reason"));
        }
        _ => {}
    }
    if row.live > 1 {
        broken("one attempt is live", format!("{} are", row.live));
    }
    if row.overtaken > 0 {
        broken("attempts follow one another", "an attempt was sent beside an earlier live one".to_owned());
    }
    if row.unsettled > 0 && row.reviews == 0 {
        broken("unknown ends", format!("{} attempts are still on the wire, and no person is asked", row.unsettled));
    }
    if row.most_sends > 5 {
        broken("a key is sent five times at most", format!("{} sends", row.most_sends));
    }
}

/// Every period that began by the calendar has its row.
fn check_calendar(stage: &Stage, world: &World, standings: &[StandingRow]) {
    let mut rows: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for row in standings {
        rows.entry(row.subscription.as_str()).or_default().push(row.period_index);
    }
    for member in &world.members {
        let reference = member.hand_over.reference.as_str();
        let until = member.canceled_at.unwrap_or(world.ends).min(world.ends) - MAY_BE_UNBILLED;
        let known = rows.get(reference).map(Vec::as_slice).unwrap_or_default();
        for index in 0.. {
            let Some(due_at) = member.due_at(index).filter(|at| *at <= until) else { break };
            if !known.contains(&index) {
                let seen = format!("{reference}: period {index}, due {due_at}, has no row");
                stage.broken("every due period has its row", Some(reference), seen);
            }
        }
    }
}

/// What the journal tells of rare paths.
pub(super) async fn count_the_journal(stage: &Stage, store: &Store) -> Result<(), StoreError> {
    let set_back = stage.counts().contains_key(Kind::Restore.as_str());
    for row in store.transitions().await? {
        let times = u64::try_from(row.times).unwrap_or_default();
        stage.tell(format_args!("{times} times {} {} -> {}", row.act, row.was, row.now));
        let name = match (row.act.as_str(), row.was.as_str(), row.now.as_str()) {
            ("attempt", "withdrawn", "pending" | "captured") if set_back => "taken back, and sent by lost books",
            ("attempt", "rejected" | "withdrawn", "pending" | "captured") => {
                let seen = format!("{times} attempts that were {} have a payment", row.was);
                stage.broken("only proof ends an attempt", None, seen);
                continue;
            }
            ("attempt", "unknown", "pending" | "captured" | "declined") => "look-up adopted a payment",
            ("attempt", "created", "pending" | "captured") => "look-up before a send adopted a payment",
            ("attempt", "sending", "unknown") => "outcome unknown",
            ("attempt", "unknown", "sending") => "absent, and sent again",
            ("attempt", _, "absent") => "absent for good",
            ("attempt", _, "superseded") => "superseded by another attempt's payment",
            ("attempt", "sending", "created") => "send given back",
            ("charge", "uncollectible", "paid") => "status flip found",
            ("stranger", ..) => "stranger adopted",
            ("charge", _, "in_review") => "a person is asked",
            ("charge", _, "uncollectible") => "given up after dunning",
            _ => continue,
        };
        stage.count(name, times);
    }
    for fence in store.fences(10_000).await? {
        stage.count("fence raised", 1);
        stage.count("hold reached", u64::try_from(fence.holds).unwrap_or_default());
        stage.count("hold acknowledged", u64::from(fence.acknowledged_by.is_some_and(|by| by == "operator")));
        stage.count("clock jump seen", u64::from(fence.reason == "clock"));
        stage.count("books known to be set back", u64::from(fence.reason == "rewound"));
    }
    let past = store.attempts_past_their_key().await?;
    stage.count("the key's life was over", u64::try_from(past).unwrap_or_default());
    Ok(())
}
