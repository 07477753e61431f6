//! An attempt that was looked up and may go again, while the sending side of the same daemon asks the books whether anything is due.

use std::sync::Arc;

use dues::engine::collect::Collect;
use dues::engine::reconcile::Reconcile;
use dues::sandbox::{Fault, Rule};
use dues::store::db::{Asked, Hook, Moment, Step};
use std::time::Duration;
use tokio::sync::Notify;

use super::lost::{assert_paid_once, due_under, sends};
use crate::support::world::{BOTH, at};

/// Stops where what is due is asked for, until it is let go.
#[derive(Debug, Default)]
struct Holds {
    arrived: Notify,
    go_on: Notify,
}

impl Hook for Holds {
    fn at(&self, moment: Moment) -> Asked<'_> {
        let here = moment.work == "lease to send" && moment.step == Step::Begin;
        Box::pin(async move {
            if here {
                self.arrived.notify_one();
                self.go_on.notified().await;
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_resend_finds_its_token_and_its_probe_while_nothing_new_is_due() {
    // One token a second; and a circuit that the lost request has opened, whose probe is due.
    for (on, flag) in BOTH
        .into_iter()
        .flat_map(|on| [("budget.writes_per_second", "1"), ("circuit.failures", "1")].map(|flag| (on, flag)))
    {
        let story = format!("{on:?} {flag:?}");
        let mut world = due_under(on, &[flag], vec![Rule::fault("lost", Fault::LostRequest).times(1)]).await;
        world.run_until("2026-01-20T02:14:55Z").await;
        assert_eq!(sends(&world).await, ["1 1"], "{story}");
        world.clock.advance_to(at("2026-01-20T02:15:20Z"));
        let holds = Arc::new(Holds::default());
        let mut held = world.engine.clone();
        held.store = held.store.with_hook(holds.clone());
        let mut collect = Collect::new(held);
        let idle = tokio::spawn(async move { collect.tick(true).await.unwrap() });
        holds.arrived.notified().await;
        let mut reconcile = Reconcile::new(world.engine.clone());
        while reconcile.tick(true).await.unwrap().done > 0 {
            reconcile.flights().gather(Duration::from_secs(1), usize::MAX).await;
        }
        assert_eq!(sends(&world).await, ["1 2"], "{story}");
        holds.go_on.notify_one();
        assert_eq!(idle.await.unwrap().done, 0, "{story}");
        world.run_until("2026-01-20T03:00:00Z").await;
        assert_paid_once(&world, &story).await;
    }
}
