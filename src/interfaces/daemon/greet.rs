//! The gateway is greeted before anything is billed or sent, again and again until it answers; and now and then while the clock is wrong.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;

/// How often it is seen whether there is need.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// A gateway that has not answered for so long is told of. The first greeting may wait for the budget to fill.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// Greets whenever there is need, until `stop`.
pub(super) async fn greet(engine: Engine, stop: CancellationToken) {
    let began = engine.clock.since_boot();
    let mut told = false;
    loop {
        let awaited = engine.steady.awaits_gateway();
        let again = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            again = engine.greet() => again,
        };
        if awaited && !engine.steady.awaits_gateway() {
            // What waited for it goes on at once.
            engine.bells.collect.notify_one();
            engine.bells.reconcile.notify_one();
            if told {
                tracing::info!("the gateway answers");
            }
        } else if awaited && !told && engine.clock.since_boot().saturating_sub(began) >= TOLD_AFTER {
            told = true;
            tracing::warn!("the gateway has not answered yet: nothing is billed or sent until its clock is known");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(again.unwrap_or(LOOKS_EVERY)) => {}
        }
    }
}
