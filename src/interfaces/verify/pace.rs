//! How many look-ups a second a comparison makes: the gateway counts an account's requests whoever makes them, and a daemon that lives
//! may use its whole budget at any moment.

use std::num::NonZeroU32;

use crate::engine::beat::alive;
use crate::store::{Store, StoreError};

/// Requests a second that the gateway grants an account (checkout.com docs, "API rate limits").
const ACCOUNT_PER_SECOND: u32 = 100;
/// Beside a daemon whose budget leaves less of them, or nothing.
const LEAST_BESIDE_A_DAEMON: NonZeroU32 = NonZeroU32::new(5).expect("five is not zero");

/// The pace, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Daemons that are alive.
    pub daemons_alive: usize,
    /// Look-ups a second; none where nothing limits them.
    pub per_second: Option<NonZeroU32>,
}

impl Pace {
    /// The pace as things stand now, where the read budget is `configured`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn of(store: &Store, configured: Option<NonZeroU32>) -> Result<Pace, StoreError> {
        Ok(Pace::beside(alive(&store.nodes().await?, store.now().await?), configured))
    }

    fn beside(daemons_alive: usize, configured: Option<NonZeroU32>) -> Pace {
        let per_second = match configured {
            Some(budget) if daemons_alive > 0 => {
                let left = NonZeroU32::new(ACCOUNT_PER_SECOND.saturating_sub(budget.get()));
                Some(left.unwrap_or(LEAST_BESIDE_A_DAEMON).max(LEAST_BESIDE_A_DAEMON))
            }
            // Alone it has the whole budget; a budget without a limit is that of a simulator, which counts nothing.
            whole => whole,
        };
        Pace { daemons_alive, per_second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_daemon_only_what_its_budget_leaves_of_the_accounts_limit_is_used() {
        let pace = |alive, configured| Pace::beside(alive, NonZeroU32::new(configured)).per_second.map(NonZeroU32::get);
        assert_eq!((pace(0, 90), pace(0, 1), pace(0, 10_000)), (Some(90), Some(1), Some(10_000)));
        assert_eq!((pace(1, 90), pace(3, 90), pace(1, 50)), (Some(10), Some(10), Some(50)));
        assert_eq!((pace(1, 97), pace(1, 100), pace(1, 10_000)), (Some(5), Some(5), Some(5)));
        assert_eq!((Pace::beside(0, None).per_second, Pace::beside(1, None).per_second), (None, None));
    }
}
