//! `pause` and `resume`: a subscription stands still for a while. Periods that begin meanwhile are skipped, whether a daemon is there to
//! see them begin or not; what was owed before stays owed, and is sent when it goes on. One that is not paused but is to end with its
//! period is resumed too: the end is taken back, as long as it has not come.

use crate::clock::Instant;
use crate::domain::calendar::CalendarError;
use crate::domain::dunning::DunningEnd;
use crate::domain::source::SourceState;
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::domain::word::IllegalEvent;
use crate::engine::EngineError;
use crate::engine::bill::PERIODS_AT_ONCE;
use crate::engine::decide::AFTER_NOT_YET;
use crate::engine::fence::is_for_the_clock;
use crate::engine::grants::Grants;
use crate::engine::rules::Rules;
use crate::store::{Store, StoreError, Tx};

/// What pausing or resuming came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Its state now.
    pub state: SubscriptionState,
    /// The first period that is skipped, or billed again.
    pub from_index: i64,
    /// When that period begins.
    pub from_at: Instant,
    /// What becomes of an end that was asked for.
    pub end: End,
}

/// An end of the period that was asked for, after a pause or a resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// None was.
    None,
    /// It stands: the subscription is canceled when this period would begin.
    Stands(i64),
    /// It was taken back: the subscription goes on.
    TakenBack,
}

/// Why nothing was paused or resumed.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// No such subscription.
    #[error("there is no subscription {0:?}; `dues subscription list` shows them")]
    NotFound(String),
    /// Its state forbids it.
    #[error("{name} is {}, and cannot be {asked}: {next}", illegal.state)]
    Illegal {
        /// The subscription.
        name: String,
        /// What its machine says.
        illegal: IllegalEvent,
        /// What was asked for.
        asked: &'static str,
        /// What works instead.
        next: &'static str,
    },
    /// The period with which it ends has begun.
    #[error(
        "{0} has come to the end that was asked for, and is canceled as soon as what it owes is collected: that cannot be taken back any \
         more; `dues subscription show` tells how it stands"
    )]
    Ended(String),
    /// Which period has begun is not known.
    #[error(
        "the daemons are held because a clock is wrong (`dues ledger show`), so which period has begun is not known: nothing was \
         changed; set the clock right first"
    )]
    Clock,
    /// Which period has begun is not known either.
    #[error("the schedule of {name} cannot be read, so nothing was changed: {why}; `dues review list` may tell more")]
    Unreadable {
        /// The subscription.
        name: String,
        /// Why.
        why: String,
    },
    /// The books.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Pauses the subscription with this shown id or merchant's reference, from its next period on.
///
/// # Errors
/// [`PauseError`].
pub async fn pause(store: &Store, name: &str, reason: &str, operator: &str) -> Result<Moved, PauseError> {
    let work = async {
        let mut tx = store.begin("pause").await?;
        let now = tx.now().await?;
        let stands = match stand(&mut tx, name, SubscriptionEvent::Pause, now).await? {
            Ok(stands) => stands,
            Err(refused) => return Ok(Err(refused)),
        };
        let Stands { id, was, state, from_index, from_at, ends_at_index, plan_id: _ } = stands;
        tx.pause_subscription(id, (was, state), from_index, reason, operator, now).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(Ok(Moved { state, from_index, from_at, end: standing(ends_at_index) }))
    };
    work.await.map_err(EngineError::of("pause"))?
}

/// Resumes it: what waited is sent, and the next period that begins is billed. Where it is not paused but is to be canceled at the end of
/// its period, that is taken back; who is paused and to be canceled only goes on, and keeps the end.
///
/// # Errors
/// [`PauseError`].
pub async fn resume(
    store: &Store,
    rules: &Rules,
    name: &str,
    reason: &str,
    operator: &str,
) -> Result<Moved, PauseError> {
    let work = async {
        let mut tx = store.begin("resume").await?;
        let now = tx.now().await?;
        let stands = match stand(&mut tx, name, SubscriptionEvent::Resume, now).await? {
            Ok(stands) => stands,
            Err(refused) => return Ok(Err(refused)),
        };
        let Stands { id, was, state, from_index, from_at, ends_at_index, plan_id } = stands;
        let end = if was == SubscriptionState::Paused { standing(ends_at_index) } else { End::TakenBack };
        if end == End::TakenBack {
            let Some(index) = ends_at_index.filter(|index| *index >= from_index) else {
                return Ok(Err(PauseError::Ended(name.to_owned())));
            };
            tx.take_end_back(id, was, index, reason, operator, now).await?;
            grant_next(&mut tx, rules, plan_id, from_at).await?;
            tx.commit().await?;
            return Ok(Ok(Moved { state: was, from_index, from_at, end }));
        }
        // It goes on as what became of its source and its dunning meanwhile has it.
        let meanwhile = tx.meanwhile(id).await?;
        let has_source = meanwhile.source_state.as_deref() == Some(SourceState::Active.as_str());
        let suspends =
            |policy: &i64| rules.policy(Some(*policy), "").is_some_and(|(_, it)| it.end == DunningEnd::Suspend);
        let event = if !has_source || tx.exhausted_in_pause(id).await?.iter().any(suspends) {
            Some(SubscriptionEvent::Suspend)
        } else {
            (meanwhile.open_cases > 0).then_some(SubscriptionEvent::FallBehind)
        };
        let state = event.and_then(|event| state.after(event).ok()).unwrap_or(state);
        tx.resume_subscription(id, (was, state), (from_index, AFTER_NOT_YET), reason, operator, now).await?;
        grant_next(&mut tx, rules, plan_id, from_at).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(Ok(Moved { state, from_index, from_at, end }))
    };
    work.await.map_err(EngineError::of("resume"))?
}

/// A day whose plan is frozen already was planned without whoever goes on.
async fn grant_next(tx: &mut Tx, rules: &Rules, plan_id: Option<i64>, from_at: Instant) -> Result<(), StoreError> {
    if let Some(stored) = plan_id.and_then(|id| rules.plan(id)) {
        let mut grants = Grants::default();
        grants.add_next(from_at, stored.plan.interval, &stored.plan.price);
        grants.give(tx, &rules.brake, true).await?;
    }
    Ok(())
}

fn standing(ends_at_index: Option<i64>) -> End {
    ends_at_index.map_or(End::None, End::Stands)
}

/// How a subscription stands when an operator pauses or resumes it.
struct Stands {
    id: i64,
    was: SubscriptionState,
    state: SubscriptionState,
    /// The first period that has not begun.
    from_index: i64,
    from_at: Instant,
    /// Canceled when this period would begin.
    ends_at_index: Option<i64>,
    /// Its plan version.
    plan_id: Option<i64>,
}

async fn stand(
    tx: &mut Tx,
    name: &str,
    event: SubscriptionEvent,
    now: Instant,
) -> Result<Result<Stands, PauseError>, StoreError> {
    let Some((id, was)) = tx.subscription_named(name).await? else {
        return Ok(Err(PauseError::NotFound(name.to_owned())));
    };
    let ends_at_index = tx.ends_at_index(id).await?;
    let takes_back = event == SubscriptionEvent::Resume && ends_at_index.is_some() && !was.has_ended();
    let state = match was.after(event) {
        Ok(state) => state,
        Err(_) if takes_back => was,
        Err(illegal) => {
            let asked = if event == SubscriptionEvent::Pause { "paused" } else { "resumed" };
            let (name, next) = (name.to_owned(), instead(was, event));
            return Ok(Err(PauseError::Illegal { name, illegal, asked, next }));
        }
    };
    if is_for_the_clock(tx.fence().await?.held_reason.as_deref()) {
        return Ok(Err(PauseError::Clock));
    }
    // Without its dates nobody knows which period is skipped or billed.
    let unreadable = |why: String| Ok(Err(PauseError::Unreadable { name: name.to_owned(), why }));
    let stored = match tx.schedules(vec![id]).await?.remove(&id) {
        Some(Ok(stored)) => stored,
        Some(Err(error)) => return unreadable(error.to_string()),
        None => return unreadable("it has none".to_owned()),
    };
    let next = tx.next_index(id).await?;
    // A period that has begun is owed, or skipped, by what held when it began, whether a daemon was there to open it or not.
    let dates = || {
        let begun = stored.schedule.begun_by(next, now, PERIODS_AT_ONCE)?;
        let from_index = begun.last().map_or(next, |last| last.index + 1);
        Ok::<_, CalendarError>((from_index, stored.schedule.start_of(from_index)?))
    };
    let (from_index, from_at) = match dates() {
        Ok(dates) => dates,
        Err(error) => return unreadable(error.to_string()),
    };
    Ok(Ok(Stands { id, was, state, from_index, from_at, ends_at_index, plan_id: stored.plan_of(from_index) }))
}

/// What works where this does not.
fn instead(state: SubscriptionState, event: SubscriptionEvent) -> &'static str {
    match (state, event) {
        (SubscriptionState::Paused, SubscriptionEvent::Pause) => {
            "it stands still already; `dues subscription resume` lets it go on"
        }
        (
            SubscriptionState::Active | SubscriptionState::PastDue | SubscriptionState::Trialing,
            SubscriptionEvent::Resume,
        ) => "it was not paused, is not to be canceled, and is charged on schedule",
        (SubscriptionState::Unpaid, _) => {
            "its periods are skipped already, because it is unpaid; `dues charge list` shows why"
        }
        (SubscriptionState::Incomplete | SubscriptionState::IncompleteExpired, _) => {
            "its first payment was not made; `dues subscription show` tells how it stands, `dues subscription cancel` ends it"
        }
        (SubscriptionState::Trialing, _) => "its trial is not over; `dues subscription cancel` ends it",
        _ => "it has ended, and no later period is charged; `dues subscription show` tells what became of it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_cannot_be_paused_or_resumed_is_told_what_works() {
        use SubscriptionEvent::{Pause, Resume};
        use SubscriptionState as S;
        let table = [
            (S::Paused, Pause, "it stands still already"),
            (S::Active, Resume, "it was not paused"),
            (S::PastDue, Resume, "it was not paused"),
            (S::Trialing, Resume, "it was not paused"),
            (S::Trialing, Pause, "its trial is not over"),
            (S::Unpaid, Pause, "its periods are skipped already"),
            (S::Unpaid, Resume, "its periods are skipped already"),
            (S::Incomplete, Pause, "its first payment was not made"),
            (S::IncompleteExpired, Resume, "its first payment was not made"),
            (S::Canceled, Pause, "it has ended"),
        ];
        for (state, event, begins) in table {
            let told = instead(state, event);
            assert!(told.starts_with(begins), "{state} {event:?}: {told}");
        }
    }
}
