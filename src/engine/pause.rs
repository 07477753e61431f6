//! `pause` and `resume`: a subscription stands still for a while. Periods that begin meanwhile are skipped, whether a daemon is there to
//! see them begin or not; what was owed before stays owed, and is sent when it goes on.

use crate::clock::Instant;
use crate::domain::calendar::CalendarError;
use crate::domain::dunning::DunningEnd;
use crate::domain::source::SourceState;
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::domain::word::IllegalEvent;
use crate::engine::EngineError;
use crate::engine::bill::PERIODS_AT_ONCE;
use crate::engine::decide::AFTER_NOT_YET;
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
}

/// Why nothing was paused or resumed.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// No such subscription.
    #[error("there is no subscription {0:?}; `dues subscription list` shows them")]
    NotFound(String),
    /// Its state forbids it.
    #[error("{name} {illegal}: {next}")]
    Illegal {
        /// The subscription.
        name: String,
        /// What its machine says.
        illegal: IllegalEvent,
        /// What works instead.
        next: &'static str,
    },
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
        let Stands { id, was, state, from_index, from_at, plan_id: _ } = stands;
        tx.pause_subscription(id, (was, state), from_index, reason, operator, now).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(Ok(Moved { state, from_index, from_at }))
    };
    work.await.map_err(EngineError::of("pause"))?
}

/// Resumes it: what waited is sent, and the next period that begins is billed.
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
        let Stands { id, was, state, from_index, from_at, plan_id } = stands;
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
        // A day whose plan is frozen already was planned without it.
        if let Some(stored) = plan_id.and_then(|id| rules.plan(id)) {
            let mut grants = Grants::default();
            grants.add_next(from_at, stored.plan.interval, &stored.plan.price);
            grants.give(&mut tx, &rules.brake, true).await?;
        }
        tx.commit().await?;
        Ok::<_, StoreError>(Ok(Moved { state, from_index, from_at }))
    };
    work.await.map_err(EngineError::of("resume"))?
}

/// How a subscription stands when an operator pauses or resumes it.
struct Stands {
    id: i64,
    was: SubscriptionState,
    state: SubscriptionState,
    /// The first period that has not begun.
    from_index: i64,
    from_at: Instant,
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
    let state = match was.after(event) {
        Ok(state) => state,
        Err(illegal) => {
            return Ok(Err(PauseError::Illegal { name: name.to_owned(), illegal, next: instead(was, event) }));
        }
    };
    if tx.fence().await?.held_reason.as_deref() == Some("clock") {
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
    Ok(Ok(Stands { id, was, state, from_index, from_at, plan_id: stored.plan_of(from_index) }))
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
        ) => "it was not paused, and is charged on schedule",
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
