//! `lift`: an operator has looked into what stopped the daemons, and lets them go on: the hold of a fence, or the brake. It needs the
//! books alone, no key and no engine, and is done beside the running daemons, which see it before their next send.

use crate::domain::review::ReviewReason;
use crate::engine::EngineError;
use crate::engine::fence::is_for_the_clock;
use crate::store::daily_plans::Amounts;
use crate::store::journal::Entry;
use crate::store::{Store, StoreError};

/// Why a hold was not lifted.
#[derive(Debug, thiserror::Error)]
pub enum LiftError {
    /// Another fence was raised while the operator read.
    #[error("another fence was raised meanwhile, so the hold stays: read `dues ledger show` again")]
    RaisedMeanwhile,
    /// Which day's plan it would be granted to is not known.
    #[error(
        "the daemons are held because a clock is wrong (`dues ledger show`), so which day's plan is exceeded is not known: nothing was \
         changed; set the clock right first"
    )]
    Clock,
    /// The books.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Lifts the hold, where the operator has read of every fence up to number `read`. How many fences were acknowledged; none where
/// nothing was held.
///
/// # Errors
/// [`LiftError`].
pub async fn acknowledge(store: &Store, read: i64, reason: &str, operator: &str) -> Result<Option<u64>, LiftError> {
    let work = async {
        let mut tx = store.begin("acknowledge").await?;
        let now = tx.now().await?;
        // From here to the end of this transaction no daemon raises a fence.
        if tx.fence().await?.held_at.is_none() {
            return Ok(Ok(None));
        }
        if tx.last_fence().await? > read {
            return Ok(Err(LiftError::RaisedMeanwhile));
        }
        let acknowledged = tx.acknowledge_fences(operator, reason, now).await?;
        tx.write_journal(operator, now, &[lifted("hold", "held", reason)]).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(Ok(Some(acknowledged)))
    };
    work.await.map_err(EngineError::of("acknowledge"))?
}

/// Lifts the brake. What is granted beyond today's plan, which is all that waits to be sent today; none where nothing was stopped.
///
/// # Errors
/// [`LiftError`].
pub async fn resume_collecting(store: &Store, reason: &str, operator: &str) -> Result<Option<Vec<Amounts>>, LiftError> {
    let work = async {
        let mut tx = store.begin("resume").await?;
        let now = tx.now().await?;
        if is_for_the_clock(tx.fence().await?.held_reason.as_deref()) {
            return Ok(Err(LiftError::Clock));
        }
        let day = now.date_naive();
        // A grant is added to a plan: a day that no daemon has planned yet would lose it.
        if tx.daily_plans(day).await?.is_empty() {
            tx.freeze_day(day, now).await?;
        }
        let granted = tx.release_brake(day, now).await?;
        if granted.is_some() {
            tx.close_reviews_of(ReviewReason::Brake, reason, operator, now).await?;
            tx.write_journal(operator, now, &[lifted("brake", "braked", reason)]).await?;
        }
        tx.commit().await?;
        Ok::<_, StoreError>(Ok(granted))
    };
    work.await.map_err(EngineError::of("resume collecting"))?
}

fn lifted(act: &'static str, was: &'static str, reason: &str) -> Entry {
    Entry { act, was: Some(was), now: Some("lifted"), detail: Some(reason.to_owned()), ..Entry::default() }
}
