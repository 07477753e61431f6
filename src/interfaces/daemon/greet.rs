//! The gateway is greeted before anything is billed or sent, again and again until it answers.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;

/// Between two greetings.
const AGAIN: Duration = Duration::from_secs(1);

/// Greets until an answer has come, or `stop`.
pub(super) async fn greet(engine: Engine, stop: CancellationToken) {
    let mut told = false;
    loop {
        let answered = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            answered = engine.greet() => answered,
        };
        if answered {
            engine.bells.collect.notify_one();
            return;
        }
        if !told {
            told = true;
            tracing::warn!("the gateway has not answered yet: nothing is billed or sent until its clock is known");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}
