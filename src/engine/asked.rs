//! An operator's acts on charges and review cases, beside the running daemons. They need the books and the config, no key: what is to be
//! sent is written down, and a daemon sends it.

use chrono::Days;

use crate::clock::Instant;
use crate::domain::charge::{ChargeEvent, ChargeState};
use crate::domain::money::{Currency, Money};
use crate::domain::review::{Resolution, ReviewReason};
use crate::domain::source::SourceState;
use crate::domain::subscription::SubscriptionState;
use crate::engine::EngineError;
use crate::engine::books::Books;
use crate::engine::decide::{asked, cancel_it};
use crate::engine::fence::is_for_the_clock;
use crate::engine::grants::Grants;
use crate::engine::rules::Rules;
use crate::store::changes::{Changes, ChargeChange};
use crate::store::charges::{HeldRow, NamedRow};
use crate::store::journal::Entry;
use crate::store::reviews::ToResolveRow;
use crate::store::{Store, StoreError, Tx, parse};

pub use crate::engine::decide::{Ask, Refusal};

/// Whom an act is done by, and why.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The operator's name.
    pub operator: &'a str,
    /// In the operator's words.
    pub reason: &'a str,
}

/// What an act on a charge came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// The charge's shown id.
    pub charge: String,
    /// Its state now.
    pub state: ChargeState,
    /// When an attempt of it is sent; none where a daemon's next round says so.
    pub send_at: Option<Instant>,
}

/// What resolving a review case came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The case's shown id.
    pub review: String,
    /// How it was resolved.
    pub resolution: Resolution,
    /// The charges that were moved by it.
    pub charges: Vec<Acted>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No such charge.
    #[error("there is no charge {0:?}; `dues charge list` shows them")]
    NoCharge(String),
    /// No such case.
    #[error("there is no review case {0:?}; `dues review list --all` shows them")]
    NoReview(String),
    /// Somebody, or a later outcome, was first.
    #[error("{review} is closed already, by {by}: {resolution}")]
    Closed {
        /// The case.
        review: String,
        /// Who closed it.
        by: String,
        /// How.
        resolution: String,
    },
    /// The case has other ways out.
    #[error("a case of {reason} is not resolved by {resolution}: {}", ways_out(*.reason, .waits_for_it.as_deref()))]
    NoChoice {
        /// Why the case is open.
        reason: ReviewReason,
        /// What was asked.
        resolution: Resolution,
        /// The subscription that waits for the first payment which the case is about.
        waits_for_it: Option<String>,
    },
    /// The charge would be left in review with nobody to ask.
    #[error("{charge} is in review and this is its only open case: dismissed, it would wait for nobody{}", other_ways(*.reason))]
    LastCase {
        /// The charge.
        charge: String,
        /// Why the case is open.
        reason: ReviewReason,
    },
    /// The state of the charge, or the wire, forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// When anything would be sent is not known.
    #[error(
        "the daemons are held because a clock is wrong (`dues ledger show`), so when anything would be sent is not known: nothing was \
         changed; set the clock right first"
    )]
    Clock,
    /// Another hand changed it at the same moment.
    #[error("{0} was changed by another hand at the same moment, and nothing was done; look at it again")]
    Moved(String),
    /// The books.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What works for a case of this reason, as a sentence.
fn ways_out(reason: ReviewReason, waits_for_it: Option<&str>) -> String {
    let words = |ways: &[Resolution]| ways.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" or ");
    match (reason, reason.resolutions(), waits_for_it) {
        (ReviewReason::Hold, ..) => "`dues ledger acknowledge` lifts the hold".to_owned(),
        (ReviewReason::Brake, ..) => "`dues resume-collecting` lifts the brake".to_owned(),
        (_, [], _) => format!("it closes by itself when the gateway gives an answer; {}", reason.next_step()),
        (_, ways, Some(subscription)) if ways.contains(&Resolution::Void) => {
            let first = match words(&reason.resolutions_of_a_first_payment()) {
                none if none.is_empty() => String::new(),
                some => format!("{some} works, or "),
            };
            format!("it is about a first payment; {first}{}", cancel_it(subscription))
        }
        (_, ways, _) => format!("{} works", words(ways)),
    }
}

/// What else works for a case that cannot be dismissed.
fn other_ways(reason: ReviewReason) -> String {
    let ways = reason.resolutions().iter().filter(|it| **it != Resolution::Dismiss);
    let ways: Vec<&str> = ways.map(|it| it.as_str()).collect();
    if ways.is_empty() { String::new() } else { format!("; {} works", ways.join(" or ")) }
}

/// Does what is asked for the charge with this shown id or reference.
///
/// # Errors
/// [`AskError`].
pub async fn ask(store: &Store, rules: &Rules, name: &str, ask: &Ask, by: By<'_>) -> Result<Acted, AskError> {
    let work = async {
        let mut tx = store.begin("ask").await?;
        let now = tx.now().await?;
        let Some(row) = tx.charge_named(name).await? else { return Ok(Err(AskError::NoCharge(name.to_owned()))) };
        if *ask != Ask::Void && is_for_the_clock(tx.fence().await?.held_reason.as_deref()) {
            return Ok(Err(AskError::Clock));
        }
        let acted = match act(&mut tx, rules, &row, ask, by, now).await? {
            Ok(acted) => acted,
            Err(refused) => return Ok(Err(refused.into())),
        };
        tx.answer_reviews(&[row.id], ANSWERED, &told(ask.as_str(), by), by.operator, now).await?;
        tx.commit().await?;
        Ok(Ok(acted))
    };
    done(work.await, name)
}

/// Resolves a review case.
///
/// # Errors
/// [`AskError`].
pub async fn resolve(
    store: &Store,
    rules: &Rules,
    review: &str,
    resolution: &Way,
    by: By<'_>,
) -> Result<Resolved, AskError> {
    let work = async {
        let mut tx = store.begin("resolve").await?;
        let now = tx.now().await?;
        let Some(case) = tx.review_to_resolve(review).await? else {
            return Ok(Err(AskError::NoReview(review.to_owned())));
        };
        let reason: ReviewReason = parse("review_cases", case.id, "reason", &case.reason)?;
        let word = resolution.word();
        if let Some(how) = &case.resolution {
            let by = case.resolved_by.clone().unwrap_or_default();
            return Ok(Err(AskError::Closed { review: review.to_owned(), by, resolution: how.clone() }));
        }
        let works = match &case.waits_for_it {
            Some(_) => reason.resolutions_of_a_first_payment().contains(&word),
            None => reason.resolutions().contains(&word),
        };
        if !works {
            let waits_for_it = case.waits_for_it;
            return Ok(Err(AskError::NoChoice { reason, resolution: word, waits_for_it }));
        }
        let dates_nothing = matches!(word, Resolution::Void | Resolution::Skip | Resolution::Dismiss);
        if !dates_nothing && is_for_the_clock(tx.fence().await?.held_reason.as_deref()) {
            return Ok(Err(AskError::Clock));
        }
        let charges = match carry_out(&mut tx, rules, &case, reason, resolution, by, now).await? {
            Ok(charges) => charges,
            Err(refused) => return Ok(Err(refused)),
        };
        tx.resolve_review(case.id, &told(word.as_str(), by), by.operator, now).await?;
        let entry = Entry {
            act: "review resolved",
            subscription_id: case.subscription_id,
            charge_id: case.charge_id,
            was: Some(reason.as_str()),
            now: Some(word.as_str()),
            detail: Some(format!("{}: {}", case.public_id, by.reason)),
            ..Entry::default()
        };
        tx.write_journal(by.operator, now, &[entry]).await?;
        tx.commit().await?;
        Ok(Ok(Resolved { review: case.public_id, resolution: word, charges }))
    };
    done(work.await, review)
}

/// How a case is resolved, with what that needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By an act on its charge.
    Charge(Ask),
    /// The periods that are held are billed, one a day.
    Bill,
    /// They are not.
    Skip,
    /// It has been seen to, and nothing is to be changed here.
    Dismiss,
}

impl Way {
    /// Its word.
    pub fn word(&self) -> Resolution {
        match self {
            Way::Charge(Ask::Retry) => Resolution::Retry,
            Way::Charge(Ask::Void) => Resolution::Void,
            Way::Charge(Ask::NotCharged) => Resolution::NotCharged,
            Way::Charge(Ask::Charged(_)) => Resolution::Charged,
            Way::Bill => Resolution::Bill,
            Way::Skip => Resolution::Skip,
            Way::Dismiss => Resolution::Dismiss,
        }
    }
}

/// Questions that an act on their charge answers; what is about money that was taken stays open.
const ANSWERED: &[ReviewReason] = &[
    ReviewReason::Rejected,
    ReviewReason::Unresolved,
    ReviewReason::NotFound,
    ReviewReason::Calendar,
    ReviewReason::Configuration,
    ReviewReason::OverLimit,
    ReviewReason::BodyChanged,
    ReviewReason::Contradiction,
];

async fn carry_out(
    tx: &mut Tx,
    rules: &Rules,
    case: &ToResolveRow,
    reason: ReviewReason,
    way: &Way,
    by: By<'_>,
    now: Instant,
) -> Result<Result<Vec<Acted>, AskError>, StoreError> {
    match way {
        Way::Dismiss => {
            if let Some(charge) = &case.charge {
                // The charge is held first, so that two cases of it are not dismissed beside each other.
                let row = tx.charge_named(charge).await?;
                let in_review = row.is_some_and(|row| row.state == ChargeState::InReview.as_str());
                if in_review && tx.open_reviews_of_charge(charge).await? <= 1 {
                    return Ok(Err(AskError::LastCase { charge: charge.clone(), reason }));
                }
            }
            if let Some(id) = case.subscription_id.filter(|_| reason.is_about_the_schedule()) {
                tx.wake_subscription(id, now).await?;
            }
            Ok(Ok(Vec::new()))
        }
        Way::Charge(ask) => {
            let Some(row) = tx.charge_named(case.charge.as_deref().unwrap_or_default()).await? else {
                return Ok(Err(AskError::NoCharge(case.subject.clone())));
            };
            let acted = act(tx, rules, &row, ask, by, now).await?;
            tx.answer_reviews(&[row.id], ANSWERED, &told(ask.as_str(), by), by.operator, now).await?;
            Ok(acted.map(|it| vec![it]).map_err(AskError::from))
        }
        Way::Bill | Way::Skip => {
            let held = match case.subscription_id {
                Some(id) => tx.held_charges(id).await?,
                None => Vec::new(),
            };
            let moved = if *way == Way::Bill {
                release(tx, rules, &held, by, now).await?
            } else {
                let event = ChargeEvent::Skip;
                Ok(put_aside(tx, &held, event, Some("asked"), by, now).await?)
            };
            Ok(moved.map_err(AskError::from))
        }
    }
}

/// One act on one charge.
async fn act(
    tx: &mut Tx,
    rules: &Rules,
    row: &NamedRow,
    ask: &Ask,
    by: By<'_>,
    now: Instant,
) -> Result<Result<Acted, Refusal>, StoreError> {
    let state: ChargeState = parse("charges", row.id, "state", &row.state)?;
    let one = |moved: Vec<Acted>| moved.into_iter().next();
    if state == ChargeState::Held && matches!(ask, Ask::Retry | Ask::Void) {
        let held: Vec<HeldRow> =
            tx.held_charges(row.subscription_id).await?.into_iter().filter(|it| it.id == row.id).collect();
        let moved = match ask {
            Ask::Void => put_aside(tx, &held, ChargeEvent::Void, Some("forgiven"), by, now).await?,
            _ => match release(tx, rules, &held, by, now).await? {
                Ok(moved) => moved,
                Err(refused) => return Ok(Err(refused)),
            },
        };
        return Ok(one(moved).ok_or_else(|| nothing_to(ask, row, state)));
    }
    let mut books = Books::read(tx.situations(vec![row.id]).await?);
    if let Some(unreadable) = books.unreadable.pop() {
        return Err(unreadable.why);
    }
    let Some(mut desk) = books.desk(row.id) else { return Ok(Err(nothing_to(ask, row, state))) };
    if let Err(refused) = asked(&mut desk, rules, now, ask) {
        return Ok(Err(refused));
    }
    desk.asked(ask.as_str(), by.reason);
    let (charge, state) = (desk.charge.public_id.clone(), desk.charge.state);
    books.lay_back(desk);
    let mut changes = books.decided(now).changes;
    // The operator's own words close the cases.
    changes.answered.clear();
    tx.apply(changes, by.operator, now).await?;
    Ok(Ok(Acted { charge, state, send_at: None }))
}

/// Bills held charges, the first at once and each further one a day later, as the catch-up rule bills.
async fn release(
    tx: &mut Tx,
    rules: &Rules,
    held: &[HeldRow],
    by: By<'_>,
    now: Instant,
) -> Result<Result<Vec<Acted>, Refusal>, StoreError> {
    let (mut attempts, mut moved, mut grants) = (Vec::new(), Vec::new(), Grants::default());
    let rows = tx.collectables(held.iter().map(|it| it.id).collect()).await?;
    for (place, (row, of)) in rows.iter().zip(held).enumerate() {
        let state: SubscriptionState = parse("subscriptions", row.subscription_id, "state", &of.subscription_state)?;
        if !state.is_chargeable() {
            let subscription = row.subscription_reference.clone();
            return Ok(Err(Refusal::Subscription { subscription, state, instead: "" }));
        }
        let active = of.source_state.as_deref() == Some(SourceState::Active.as_str());
        let Some(source) = row.gateway_source_id.as_deref().filter(|_| active) else {
            let state = of.source_state.clone().unwrap_or_else(|| "missing".to_owned());
            return Ok(Err(Refusal::Source { subscription: row.subscription_reference.clone(), state }));
        };
        let currency: Currency = parse("charges", row.charge_id, "currency", &row.currency)?;
        let send_at = now + Days::new(u64::try_from(place).unwrap_or_default());
        attempts.push(row.owed(currency).later(rules, source, row.last_n + 1, send_at));
        grants.add(send_at, &Money::new(row.amount_minor, currency));
        moved.push(Acted { charge: of.public_id.clone(), state: ChargeState::Due, send_at: Some(send_at) });
    }
    put_aside(tx, held, ChargeEvent::Release, None, by, now).await?;
    tx.create_attempts(&attempts, now).await?;
    tx.audit_from(held.iter().map(|it| it.id).collect(), rules.first_audit(now)).await?;
    grants.give(tx, &rules.brake, true).await?;
    Ok(Ok(moved))
}

/// Moves held charges by one event.
async fn put_aside(
    tx: &mut Tx,
    held: &[HeldRow],
    event: ChargeEvent,
    reason: Option<&str>,
    by: By<'_>,
    now: Instant,
) -> Result<Vec<Acted>, StoreError> {
    let (mut changes, mut moved) = (Changes::default(), Vec::new());
    for row in held {
        let was = ChargeState::Held;
        let Ok(state) = was.after(event) else { continue };
        let reason = reason.map(str::to_owned);
        changes.charges.push(ChargeChange { id: row.id, was, state, reason, paid_at: None, paid_by: None });
        changes.journal.push(Entry {
            act: "charge",
            subscription_id: Some(row.subscription_id),
            charge_id: Some(row.id),
            was: Some(was.as_str()),
            now: Some(state.as_str()),
            detail: Some(by.reason.to_owned()),
            ..Entry::default()
        });
        moved.push(Acted { charge: row.public_id.clone(), state, send_at: None });
    }
    tx.apply(changes, by.operator, now).await?;
    Ok(moved)
}

fn nothing_to(ask: &Ask, row: &NamedRow, state: ChargeState) -> Refusal {
    Refusal::State { charge: row.public_id.clone(), state, what: ask.as_str() }
}

fn told(what: &str, by: By<'_>) -> String {
    format!("{what}: {}", by.reason)
}

fn done<T>(worked: Result<Result<T, AskError>, StoreError>, name: &str) -> Result<T, AskError> {
    match worked {
        Ok(done) => done,
        Err(StoreError::Moved { .. }) => Err(AskError::Moved(name.to_owned())),
        Err(error) => Err(EngineError::of("ask")(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_is_resolved_the_wrong_way_is_told_the_right_ones() {
        let table = [
            (ReviewReason::Hold, None, "`dues ledger acknowledge` lifts the hold"),
            (ReviewReason::Brake, None, "`dues resume-collecting` lifts the brake"),
            (ReviewReason::Rejected, None, "retry or void works"),
            (ReviewReason::Contradiction, None, "retry or void or dismiss works"),
            (ReviewReason::CatchUpHeld, Some("ORD-1"), "bill or skip works"),
            (ReviewReason::Unresolved, Some("ORD-1"), "not-charged or charged works"),
        ];
        for (reason, waits_for_it, wanted) in table {
            assert_eq!(ways_out(reason, waits_for_it), wanted, "{reason}");
        }
        let ended = cancel_it("ORD-1");
        assert_eq!(
            ways_out(ReviewReason::Rejected, Some("ORD-1")),
            format!("it is about a first payment; {ended}"),
            "neither way is left"
        );
        assert_eq!(
            ways_out(ReviewReason::Contradiction, Some("ORD-1")),
            format!("it is about a first payment; retry or dismiss works, or {ended}")
        );
        let waits = ways_out(ReviewReason::PendingTooLong, None);
        assert!(
            waits.starts_with("it closes by itself when the gateway gives an answer; ask the gateway's"),
            "{waits}"
        );
    }

    #[test]
    fn a_charge_that_would_wait_for_nobody_is_told_what_else_ends_its_case() {
        assert_eq!(other_ways(ReviewReason::Contradiction), "; retry or void works");
        assert_eq!(other_ways(ReviewReason::Double), "");
    }
}
