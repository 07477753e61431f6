//! An attempt that was looked up and may go again, while the sending side of the same daemon asks the books whether anything is due.

use std::sync::Arc;
use std::time::Duration;

use dues::engine::Tick;
use dues::engine::collect::Collect;
use dues::engine::reconcile::Reconcile;
use dues::sandbox::{Fault, Rule};
use dues::store::db::{Asked, Hook, Moment, Step};
use tokio::sync::Notify;

use super::lost::{assert_paid_once, due_under, sends};
use crate::support::world::{BOTH, World, at};

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

/// Lets the sending side ask what is due, and the looking side do all of its work meanwhile; what the former came to then.
async fn look_while_it_asks(world: &World) -> Tick {
    let holds = Arc::new(Holds::default());
    let mut held = world.engine.clone();
    held.store = held.store.with_hook(holds.clone());
    let mut collect = Collect::new(held);
    let asking = tokio::spawn(async move { collect.tick(true).await.unwrap() });
    holds.arrived.notified().await;
    let mut reconcile = Reconcile::new(world.engine.clone());
    while reconcile.tick(true).await.unwrap().done > 0 {
        reconcile.flights().gather(Duration::from_secs(1), usize::MAX).await;
    }
    holds.go_on.notify_one();
    asking.await.unwrap()
}

fn lost_once() -> Vec<Rule> {
    vec![Rule::fault("lost", Fault::LostRequest).times(1)]
}

#[tokio::test]
async fn a_resend_finds_its_token_and_its_probe_while_nothing_new_is_due() {
    // One token a second; and a circuit that the lost request has opened, whose probe is due.
    for flag in [("budget.writes_per_second", "1"), ("circuit.failures", "1")] {
        for on in BOTH {
            let story = format!("{on:?} {flag:?}");
            let mut world = due_under(on, &[flag], lost_once()).await;
            world.run_until("2026-01-20T02:14:55Z").await;
            assert_eq!(sends(&world).await, ["1 1"], "{story}");
            world.clock.advance_to(at("2026-01-20T02:15:20Z"));
            assert_eq!(look_while_it_asks(&world).await.done, 0, "{story}");
            assert_eq!(sends(&world).await, ["1 2"], "{story}");
            world.run_until("2026-01-20T03:00:00Z").await;
            assert_paid_once(&world, &story).await;
        }
    }
}

#[tokio::test]
async fn what_is_due_and_finds_no_token_left_comes_round_for_the_next() {
    for on in BOTH {
        let mut world = due_under(on, &[("budget.writes_per_second", "1")], lost_once()).await;
        world.run_until("2026-01-20T02:14:55Z").await;
        world.clock.advance_to(at("2026-01-20T02:15:20Z"));
        world.hand_over("ORD-2", "monthly", "2026-01-20", None).await;
        assert_eq!(world.engine.bill().await.unwrap().done, 1, "{on:?}");
        let tick = look_while_it_asks(&world).await;
        assert_eq!((tick.done, tick.more, tick.wake_at), (0, false, Some(at("2026-01-20T02:15:21Z"))), "{on:?}");
        assert_eq!(sends(&world).await, ["1 2", "1 0"], "{on:?}");
        world.run_until("2026-01-20T03:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-2/0 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}
