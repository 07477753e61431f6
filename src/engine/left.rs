//! How much is still to be looked up since the fence. Until that is nothing, the list of what was adopted is a list so far.

use std::time::Duration;

use crate::clock::Instant;
use crate::engine::rules::delta;
use crate::store::{Store, StoreError};

/// Charges that are still to be looked up on account of the fence raised at `fence`, under audits at these `ages` that are leased for
/// so long.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn still_to_be_looked_up(
    store: &Store,
    fence: Option<Instant>,
    ages: &[Duration],
    lease: Duration,
) -> Result<u64, StoreError> {
    let now = store.now().await?;
    let left = store.left_to_look_up(now, fence).await?;
    // An audit under way stands at the end of its lease, and comes back then if the gateway gives no answer: while look-ups fail, none of
    // them may look as if it were done. One that comes by itself stands at an age of its charge, to the microsecond.
    let by_itself = |opened_at, audit_at| ages.iter().any(|age| opened_at + delta(*age) == audit_at);
    let near = store.near_audits(now, now + delta(lease)).await?;
    let under_way = near.iter().filter(|it| !by_itself(it.opened_at, it.audit_at)).count();
    Ok(u64::try_from(left).unwrap_or_default() + u64::try_from(under_way).unwrap_or_default())
}
