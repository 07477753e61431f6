//! A round: every verb in turn, again and again, until none has anything to do at this instant. The demo, `dues subscribe` and the
//! tests go round like this under a clock of their own; the daemon instead gives each verb a loop.

use std::time::Duration;

use crate::engine::collect::Collect;
use crate::engine::reconcile::Reconcile;
use crate::engine::{Engine, EngineError};

/// Rounds at one instant before something is taken for stuck: each moves rows towards a later next look.
const MOST_ROUNDS: usize = 100_000;
/// Answers wait so long for company.
const LINGER: Duration = Duration::from_secs(60);

/// All verbs of one daemon.
#[derive(Debug)]
pub struct Round {
    engine: Engine,
    collect: Collect,
    reconcile: Reconcile,
    periods: bool,
}

impl Round {
    /// Over all the books.
    pub fn new(engine: Engine) -> Self {
        Round {
            collect: Collect::new(engine.clone()),
            reconcile: Reconcile::new(engine.clone()),
            engine,
            periods: true,
        }
    }

    /// Over one charge alone: nothing else is billed, sent or looked at.
    pub fn of_charge(engine: Engine, charge_id: i64) -> Self {
        Round {
            collect: Collect::of_charge(engine.clone(), charge_id),
            reconcile: Reconcile::of_charge(engine.clone(), charge_id),
            engine,
            periods: false,
        }
    }

    /// Goes round until nothing is left to do now; how many rows were moved. Under a clock that is turned by hand an answer may take
    /// time: it is recorded by a later round, when the clock was turned.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn until_quiet(&mut self) -> Result<usize, EngineError> {
        let mut moved = 0;
        for _ in 0..MOST_ROUNDS {
            let mut done = 0;
            if self.periods {
                done += self.engine.bill().await?.done;
                done += self.engine.dun().await?.done;
            }
            done += self.collect.tick(true).await?.done;
            while self.collect.flights().gather(LINGER, usize::MAX).await {
                done += self.collect.tick(true).await?.done;
            }
            done += self.reconcile.tick(true).await?.done;
            while self.reconcile.flights().gather(LINGER, usize::MAX).await {
                done += self.reconcile.tick(true).await?.done;
            }
            moved += done;
            if done == 0 {
                return Ok(moved);
            }
        }
        tracing::warn!("the engine does not come to rest at one instant");
        Ok(moved)
    }
}
