//! `pause` and `resume`: a subscription stands still for a while. Periods that begin meanwhile are skipped, whether a daemon is there to
//! see them begin or not; what was owed before stays owed, and is sent when it goes on.

use crate::clock::Instant;
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::domain::word::IllegalEvent;
use crate::engine::EngineError;
use crate::engine::bill::PERIODS_AT_ONCE;
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
    /// When that period begins; none where its schedule cannot be read.
    pub from_at: Option<Instant>,
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
        let Stands { id, was, state, from_index, from_at } = stands;
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
        let Stands { id, was, state, from_index, from_at } = stands;
        // Who was behind when it was paused still is.
        let behind = tx.open_cases_of(id).await? > 0;
        let state = if behind { state.after(SubscriptionEvent::FallBehind).unwrap_or(state) } else { state };
        tx.resume_subscription(id, (was, state), from_index, reason, operator, now).await?;
        if let Some(from_at) = from_at {
            // A day whose plan is frozen already was planned without it.
            let schedule = tx.schedules(vec![id]).await?.remove(&id).and_then(Result::ok);
            let plan = schedule.and_then(|it| it.plan_of(from_index)).and_then(|id| rules.plan(id));
            if let Some(stored) = plan {
                let mut grants = Grants::default();
                grants.add_next(from_at, stored.plan.interval, &stored.plan.price);
                grants.give(&mut tx, &rules.brake, true).await?;
            }
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
    from_at: Option<Instant>,
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
    let schedule = tx.schedules(vec![id]).await?.remove(&id).and_then(Result::ok).map(|it| it.schedule);
    let next = tx.next_index(id).await?;
    // A period that has begun is owed, or skipped, by what held when it began, whether a daemon was there to open it or not.
    let begun = schedule.as_ref().and_then(|it| it.begun_by(next, now, PERIODS_AT_ONCE).ok()).unwrap_or_default();
    let from_index = begun.last().map_or(next, |last| last.index + 1);
    let from_at = schedule.as_ref().and_then(|it| it.start_of(from_index).ok());
    Ok(Ok(Stands { id, was, state, from_index, from_at }))
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
            "its first payment was not made; `dues subscribe --resume` takes it up again, `dues subscription cancel` ends it"
        }
        (SubscriptionState::Trialing, _) => "its trial is not over; `dues subscription cancel` ends it",
        _ => "it has ended, and no later period is charged; `dues subscription show` tells what became of it",
    }
}
