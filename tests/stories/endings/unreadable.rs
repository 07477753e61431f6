//! Rows that this daemon cannot read: they stop nobody else, nothing of them is lost, and a person is asked.

use std::time::Duration;

use dues::engine::asked::{self, AskError, By, Resolved, Way};
use dues::engine::collect::Collect;

use super::helpers::{NOTHING, decline, reasons, tamper};
use crate::support::world::{BOTH, On, World, at};

/// A currency that the books know and this version of the program does not.
const ODD_CURRENCY: &str = "INSERT INTO currencies (code, exponent) VALUES ('QQQ', 2)";
const SPOIL: &str = "UPDATE charges SET currency = 'QQQ' \
                     WHERE subscription_id IN (SELECT id FROM subscriptions WHERE reference = 'BAD')";
const MEND: &str = "UPDATE charges SET currency = 'HKD'";

/// Two periods that fall due together, the bad one first, and an engine that takes one row at a time.
async fn two_due(on: On) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", &[("engine.batch", "1")]).await;
    world.hand_over("BAD", "monthly", "2026-01-20", None).await;
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    world.clock.advance_to(at("2026-01-20T02:00:00Z"));
    while world.engine.bill().await.unwrap().done > 0 {}
    tamper(&world, ODD_CURRENCY).await;
    world
}

/// Dismisses the case that is open.
async fn dismiss(world: &World) -> Result<Resolved, AskError> {
    let case = world.lines("SELECT public_id AS line FROM review_cases WHERE resolved_at IS NULL").await.remove(0);
    let by = By { operator: "operator", reason: "asked" };
    asked::resolve(&world.store, &world.engine.rules, &case, &Way::Dismiss, by).await
}

/// Some ticks of collect, and what is under way lands between them.
async fn collect(world: &World) {
    let mut collect = Collect::new(world.engine.clone());
    for _ in 0..6 {
        collect.tick(true).await.unwrap();
        collect.flights().gather(Duration::from_secs(60), usize::MAX).await;
    }
}

#[tokio::test]
async fn a_charge_that_cannot_be_read_starves_no_other_and_is_sent_once_it_can() {
    for on in BOTH {
        let mut world = two_due(on).await;
        tamper(&world, SPOIL).await;
        collect(&world).await;
        assert_eq!(world.attempts().await, ["BAD/0/1 created", "ORD-1/0/1 pending"], "{on:?}");
        assert_eq!(world.reviews().await, ["unreadable"], "{on:?}");
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["BAD/0 due -", "ORD-1/0 paid -"], "{on:?}");
        tamper(&world, MEND).await;
        world.run_until("2026-01-21T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["BAD/0 paid -", "ORD-1/0 paid -"], "{on:?}");
        world.assert_books_agree().await;
        dismiss(&world).await.unwrap();
        assert_eq!(world.reviews().await, NOTHING, "{on:?}: its charge waits for nobody");
    }
}

#[tokio::test]
async fn a_pending_payment_whose_charge_cannot_be_read_is_looked_at_later_and_recorded_once_it_can() {
    for on in BOTH {
        let mut world = two_due(on).await;
        collect(&world).await;
        assert_eq!(world.attempts().await, ["BAD/0/1 pending", "ORD-1/0/1 pending"], "{on:?}");
        tamper(&world, SPOIL).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["BAD/0 collecting -", "ORD-1/0 paid -"], "{on:?}");
        assert_eq!(world.reviews().await, ["unreadable"], "{on:?}");
        let waiting = world
            .lines("SELECT CAST(COUNT(*) AS TEXT) AS line FROM attempts WHERE state = 'pending' AND next_at > '2026-01-21'")
            .await;
        assert_eq!(waiting, ["1"], "{on:?}: it is not asked for again and again");
        tamper(&world, MEND).await;
        world.run_until("2026-01-21T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["BAD/0 paid -", "ORD-1/0 paid -"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_zone_that_nobody_knows_hinders_no_payment() {
    for on in BOTH {
        let mut world = two_due(on).await;
        tamper(&world, "UPDATE segments SET zone = 'Mars/Olympus'").await;
        collect(&world).await;
        assert_eq!(world.attempts().await, ["BAD/0/1 pending", "ORD-1/0/1 pending"], "{on:?}");
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["BAD/0 paid -", "ORD-1/0 paid -"], "{on:?}");
        assert_eq!(world.reviews().await, NOTHING, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_decline_whose_next_date_no_zone_gives_is_a_persons_question() {
    for on in BOTH {
        for (code, charge, review) in [
            ("20051", "BAD/0 in_review calendar", "calendar"),
            // No date follows from this one, so the zone is not asked for.
            ("20120", "BAD/0 uncollectible authorisation_gone", "authorisation_gone"),
        ] {
            let mut world = two_due(on).await;
            decline(&world, "BAD", code, 1);
            tamper(&world, "UPDATE segments SET zone = 'Mars/Olympus'").await;
            collect(&world).await;
            world.run_until("2026-01-20T12:00:00Z").await;
            assert_eq!(reasons(&world).await, [charge, "ORD-1/0 paid -"], "{on:?} {code}");
            assert_eq!(world.reviews().await, [review], "{on:?} {code}");
            if review == "calendar" {
                let refused = dismiss(&world).await;
                assert!(
                    matches!(refused, Err(AskError::LastCase { .. })),
                    "{on:?} {refused:?}: nobody would ask again"
                );
            }
        }
    }
}
