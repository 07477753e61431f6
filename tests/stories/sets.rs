//! Work is done in sets of a set size: a full one says that there may be more, and whoever made work for another verb rings for it.

use std::time::Duration;

use dues::engine::collect::Collect;
use dues::engine::reconcile::Reconcile;
use dues::sandbox::{Fault, On as Requests, Rule, Script};
use tokio::sync::Notify;

use crate::support::world::{BOTH, World, at};

/// Whether somebody has rung since the last time.
async fn rang(bell: &Notify) -> bool {
    tokio::time::timeout(Duration::ZERO, bell.notified()).await.is_ok()
}

#[tokio::test]
async fn periods_are_opened_in_sets_until_none_is_left() {
    for on in BOTH {
        let world = World::new(on, "2026-01-15T00:00:00Z", &[("engine.batch", "2")]).await;
        for reference in ["ORD-1", "ORD-2", "ORD-3"] {
            world.hand_over(reference, "monthly", "2026-01-20", None).await;
        }
        let early = world.engine.bill().await.unwrap();
        assert_eq!((early.done, early.more), (0, false), "{on:?}");
        assert!(!rang(&world.engine.bells.collect).await, "{on:?}: there is nothing to send");
        world.clock.advance_to(at("2026-01-20T02:00:00Z"));
        let full = world.engine.bill().await.unwrap();
        assert_eq!((full.done, full.more), (2, true), "{on:?}");
        assert!(rang(&world.engine.bells.collect).await, "{on:?}");
        let rest = world.engine.bill().await.unwrap();
        assert_eq!((rest.done, rest.more), (1, false), "{on:?}");
        assert!(rang(&world.engine.bells.collect).await, "{on:?}: one is enough");
        let none = world.engine.bill().await.unwrap();
        assert_eq!((none.done, none.more), (0, false), "{on:?}");
        assert!(!rang(&world.engine.bells.collect).await, "{on:?}");
    }
}

#[tokio::test]
async fn retries_are_opened_in_sets_until_none_is_left() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("engine.batch", "2")]).await;
        world.sandbox.set_script(Script::of([Rule::decline("empty", "20051")]));
        for reference in ["ORD-1", "ORD-2", "ORD-3"] {
            world.hand_over(reference, "monthly", "2026-01-20", None).await;
        }
        world.run_until("2026-01-20T12:00:00Z").await;
        while rang(&world.engine.bells.collect).await {}
        let early = world.engine.dun().await.unwrap();
        assert_eq!((early.done, early.more), (0, false), "{on:?}");
        assert!(!rang(&world.engine.bells.collect).await, "{on:?}");
        world.clock.advance_to(at("2026-01-25T02:00:00Z"));
        let full = world.engine.dun().await.unwrap();
        assert_eq!((full.done, full.more), (2, true), "{on:?}");
        assert!(rang(&world.engine.bells.collect).await, "{on:?}");
        let rest = world.engine.dun().await.unwrap();
        assert_eq!((rest.done, rest.more), (1, false), "{on:?}");
        assert!(rang(&world.engine.bells.collect).await, "{on:?}: one is enough");
        let none = world.engine.dun().await.unwrap();
        assert_eq!((none.done, none.more), (0, false), "{on:?}");
        assert!(!rang(&world.engine.bells.collect).await, "{on:?}");
    }
}

#[tokio::test]
async fn requests_leave_in_sets_and_whoever_stops_records_what_has_landed() {
    for on in BOTH {
        let flags = [("engine.in_flight", "4"), ("engine.batch", "4")];
        let world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
        for reference in ["ORD-1", "ORD-2", "ORD-3", "ORD-4", "ORD-5", "ORD-6", "ORD-7"] {
            world.hand_over(reference, "monthly", "2026-01-20", None).await;
        }
        world.clock.advance_to(at("2026-01-20T02:00:00Z"));
        assert_eq!(world.engine.bill().await.unwrap().done, 4, "{on:?}");
        assert_eq!(world.engine.bill().await.unwrap().done, 3, "{on:?}");
        let mut collect = Collect::new(world.engine.clone());
        let full = collect.tick(true).await.unwrap();
        assert_eq!((full.done, full.more), (4, true), "{on:?}: a full flight leaves");
        let rest = collect.tick(true).await.unwrap();
        assert_eq!((rest.done, rest.more), (7, false), "{on:?}: four are recorded, and three leave");
        let last = collect.tick(false).await.unwrap();
        assert_eq!((last.done, last.more), (3, false), "{on:?}: three are recorded");
        assert!(collect.flights().is_empty(), "{on:?}");
        // Their payments are looked at in the same way.
        world.clock.advance(Duration::from_hours(1));
        let mut reconcile = Reconcile::new(world.engine.clone());
        let full = reconcile.tick(true).await.unwrap();
        assert_eq!((full.done, full.more), (4, true), "{on:?}");
        let rest = reconcile.tick(true).await.unwrap();
        assert_eq!((rest.done, rest.more), (7, false), "{on:?}");
        let last = reconcile.tick(false).await.unwrap();
        assert_eq!((last.done, last.more), (3, false), "{on:?}");
        assert!(world.charges().await.iter().all(|it| it.ends_with(" paid")), "{on:?}");
    }
}

#[tokio::test]
async fn a_round_goes_on_until_nothing_moves_and_says_how_much_did() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        assert_eq!(world.round.until_quiet().await.unwrap(), 0, "{on:?}");
        world.clock.advance_to(at("2026-01-20T02:00:00Z"));
        assert_eq!(world.round.until_quiet().await.unwrap(), 3, "{on:?}: opened, sent, recorded");
        world.clock.advance(Duration::from_hours(1));
        assert_eq!(world.round.until_quiet().await.unwrap(), 2, "{on:?}: looked at, recorded");
        assert_eq!(world.round.until_quiet().await.unwrap(), 0, "{on:?}");
    }
}

#[tokio::test]
async fn whoever_must_look_is_rung_for() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let refused = Rule::fault("refused", Fault::ErrorBefore(422)).on(Requests::Post);
        world.sandbox.set_script(Script::of([refused]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T01:00:00Z").await;
        assert!(!rang(&world.engine.bells.review).await, "{on:?}");
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.reviews().await, ["rejected"], "{on:?}");
        assert!(rang(&world.engine.bells.review).await, "{on:?}");
    }
}
