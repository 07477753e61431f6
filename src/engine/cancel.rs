//! `cancel`: ends a subscription now or at the end of its period. Cancel wins over everything not yet sent; what is on the wire is
//! told.

use crate::clock::Instant;
use crate::domain::subscription::{SubscriptionEvent, SubscriptionState};
use crate::domain::word::IllegalEvent;
use crate::engine::bill::PERIODS_AT_ONCE;
use crate::engine::fence::is_for_the_clock;
use crate::engine::{Engine, EngineError};
use crate::store::subscriptions::Ended;
use crate::store::{Store, StoreError};

/// What a cancellation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canceled {
    /// Its state now.
    pub state: SubscriptionState,
    /// Periods that had begun and were not opened yet: at the end of a period these are still owed.
    pub begun: usize,
    /// At the end of a period: when that is, where its schedule says.
    pub ends_at: Option<Instant>,
    /// Charges that are no longer owed.
    pub voided: u64,
    /// Charges whose payment may be on the wire: their outcome is still recorded.
    pub on_the_wire: u64,
    /// Whether one of these is the first payment, which the customer may still approve: a person is asked where that happens.
    pub first_on_the_wire: bool,
    /// Review cases that have nothing to ask any more.
    pub closed: u64,
}

/// Why a subscription was not canceled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// No such subscription.
    #[error("there is no subscription {0:?}; `dues subscription list` shows them")]
    NotFound(String),
    /// It has ended.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// Which period has begun is not known.
    #[error(
        "the daemons are held because a clock is wrong (`dues ledger show`), so which period has begun is not known: nothing was changed; \
         set the clock right, or cancel now instead of at the period's end"
    )]
    Clock,
    /// The books.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Cancels a subscription of this engine's books; see [`cancel`].
    ///
    /// # Errors
    /// [`CancelError`].
    pub async fn cancel(
        &self,
        name: &str,
        at_period_end: bool,
        reason: &str,
        operator: &str,
    ) -> Result<Canceled, CancelError> {
        cancel(&self.store, name, at_period_end, reason, operator).await
    }
}

/// Cancels the subscription with this shown id or merchant's reference. It needs the books alone, no key and no engine: an operator's
/// command does it beside the running daemon.
///
/// # Errors
/// [`CancelError`].
pub async fn cancel(
    store: &Store,
    name: &str,
    at_period_end: bool,
    reason: &str,
    operator: &str,
) -> Result<Canceled, CancelError> {
    let of = EngineError::of("cancel");
    let mut tx = store.begin("cancel").await.map_err(EngineError::of("cancel"))?;
    let work = async {
        let now = tx.now().await?;
        let Some((id, was)) = tx.subscription_named(name).await? else { return Ok(None) };
        let event = SubscriptionEvent::Cancel;
        let state = match was.after(event) {
            Ok(state) => state,
            Err(illegal) => return Ok(Some(Err(CancelError::Illegal(illegal)))),
        };
        if at_period_end {
            if is_for_the_clock(tx.fence().await?.held_reason.as_deref()) {
                return Ok(Some(Err(CancelError::Clock)));
            }
            // A period that has begun is owed, whether a daemon was there to open it or not: the one after it is the next.
            let schedule = tx.schedules(vec![id]).await?.remove(&id).and_then(Result::ok);
            let next = tx.next_index(id).await?;
            let begun = schedule
                .as_ref()
                .and_then(|it| it.schedule.begun_by(next, now, PERIODS_AT_ONCE).ok())
                .unwrap_or_default();
            let at = begun.last().map_or(next, |last| last.index + 1);
            tx.cancel_at_period_end(id, at, reason, operator, now).await?;
            // Who was to end earlier still is.
            let ends_with = tx.ends_at_index(id).await?.unwrap_or(at);
            let ends_at = schedule.and_then(|it| it.schedule.start_of(ends_with).ok());
            tx.commit().await?;
            return Ok(Some(Ok(Canceled {
                state: was,
                begun: begun.len(),
                ends_at,
                voided: 0,
                on_the_wire: 0,
                first_on_the_wire: false,
                closed: 0,
            })));
        }
        let Ended { voided, on_the_wire, first_on_the_wire, closed } =
            tx.end_subscription(id, was, state, reason, operator, now).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(Some(Ok(Canceled {
            state,
            begun: 0,
            ends_at: None,
            voided,
            on_the_wire,
            first_on_the_wire,
            closed,
        })))
    };
    match work.await.map_err(of)? {
        None => Err(CancelError::NotFound(name.to_owned())),
        Some(Err(refused)) => Err(refused),
        Some(Ok(canceled)) => Ok(canceled),
    }
}
