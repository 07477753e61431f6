//! `greet`: one harmless read before anything is billed or sent, so that a clock which was wrong before the daemon started is held
//! against the gateway's. It tells of a refused key, too, before a payment does.

use crate::engine::Engine;
use crate::engine::gate::Kind;
use crate::engine::reconcile::look_up;

impl Engine {
    /// Asks the gateway, where the budget grants it. Whether an answer has come, to this question or to another.
    pub async fn greet(&self) -> bool {
        if !self.steady.awaits_gateway() {
            return true;
        }
        let read = self.gate.ask(Kind::Read, 1, self.clock.now());
        if read.requests() > 0 {
            read.used();
            // No payment bears the ledger's own name as its reference.
            look_up(self, &self.rules.ledger.to_string(), None).await;
        }
        !self.steady.awaits_gateway()
    }
}
