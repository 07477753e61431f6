//! Periods whose dates or prices this daemon cannot tell at once, and the last period before an end.

use std::sync::Arc;

use dues::domain::money::Money;
use dues::engine::hand_over::HandOver;
use dues::engine::rules::Rules;
use dues::store::customers::NewCustomer;

use super::helpers::{NOTHING, decline, reasons, tamper, timed};
use crate::support::world::{BOTH, On, World, at, source_of};

#[tokio::test]
async fn a_zone_that_nobody_knows_holds_up_its_own_subscription_alone() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("LOST", "monthly", "2026-01-20", None).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        tamper(
            &world,
            "UPDATE segments SET zone = 'Mars/Olympus' \
             WHERE subscription_id IN (SELECT id FROM subscriptions WHERE reference = 'LOST')",
        )
        .await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -"], "{on:?}");
        assert_eq!(world.reviews().await, ["calendar"], "{on:?}");
        tamper(&world, "UPDATE segments SET zone = 'Asia/Hong_Kong'").await;
        world.run_until("2026-01-21T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["LOST/0 paid -", "ORD-1/0 paid -"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_start_that_new_rules_of_its_zone_move_later_is_waited_for() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        // Ten o'clock in London comes eight hours after ten o'clock in Hong Kong, for which the row waits.
        tamper(&world, "UPDATE segments SET zone = 'Europe/London'").await;
        world.clock.advance_to(at("2026-01-20T02:00:00Z"));
        assert_eq!(world.engine.bill().await.unwrap().done, 1, "{on:?}");
        assert_eq!(world.engine.bill().await.unwrap().done, 0, "{on:?}: it is not looked at again before that");
        let next = timed(&world, "SELECT CAST(next_charge_at AS TEXT) AS line FROM subscriptions").await;
        assert_eq!(next, ["2026-01-20 10:00"], "{on:?}");
        assert_eq!(reasons(&world).await, NOTHING, "{on:?}");
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -"], "{on:?}");
        assert_eq!(world.reviews().await, NOTHING, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_period_owed_before_the_end_is_collected_although_downtime_delayed_it() {
    for on in BOTH {
        for (declines, charge) in [(0, "ORD-1/0 paid -"), (9, "ORD-1/0 void canceled")] {
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
            if declines > 0 {
                decline(&world, "ORD-1", "20051", declines);
            }
            world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
            tamper(&world, "UPDATE subscriptions SET cancel_at_index = 1").await;
            world.clock.advance_to(at("2026-02-25T00:00:00Z"));
            world.round.until_quiet().await.unwrap();
            assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
            assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}: its last period is being collected");
            world.run_until("2026-04-25T00:00:00Z").await;
            assert_eq!(reasons(&world).await, [charge], "{on:?}");
            assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
            let ended = timed(&world, "SELECT CAST(ended_at AS TEXT) AS line FROM subscriptions").await;
            assert_eq!(ended[0][..10], *"2026-02-25", "{on:?}");
            assert_eq!(world.reviews().await, NOTHING, "{on:?}");
            world.assert_books_agree().await;
        }
    }
}

/// A world with a subscription on a plan version that its daemon, started before, has not read.
async fn on_a_newer_plan(on: On) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
    let mut settings = world.settings.clone();
    let plan = settings.plans.get_mut("monthly").unwrap();
    plan.price = Money::new(13_000, plan.price.currency);
    let mut later = world.engine.clone();
    later.rules = Arc::new(Rules::load(&settings, &world.store).await.unwrap());
    let hand_over = HandOver {
        reference: "ORD-1".to_owned(),
        plan: "monthly".to_owned(),
        source_id: source_of("ORD-1"),
        first_payment_id: None,
        customer: NewCustomer {
            reference: "ORD-1".to_owned(),
            name: Some("Wallet Customer".to_owned()),
            email: Some("customer@example.com".to_owned()),
            country: "HK".to_owned(),
        },
        anchor_on: "2026-01-20".parse().unwrap(),
        zone: "Asia/Hong_Kong".parse().unwrap(),
        next_charge_on: None,
    };
    let acceptable = later.acceptable(hand_over).unwrap();
    later.hand_over(&[acceptable]).await.unwrap();
    world
}

#[tokio::test]
async fn a_plan_version_newer_than_the_daemon_is_read_from_the_books() {
    for on in BOTH {
        let mut world = on_a_newer_plan(on).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -"], "{on:?}");
        assert_eq!(world.collected_minor().await, 13_000, "{on:?}");
        assert_eq!(world.reviews().await, NOTHING, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_plan_version_that_cannot_be_read_is_waited_for_and_a_person_is_asked_after_a_day() {
    for on in BOTH {
        let mut world = on_a_newer_plan(on).await;
        tamper(&world, "INSERT INTO currencies (code, exponent) VALUES ('QQQ', 2)").await;
        tamper(&world, "UPDATE plans SET currency = 'QQQ' WHERE name = 'monthly' AND version = 2").await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(reasons(&world).await, NOTHING, "{on:?}");
        assert_eq!(world.reviews().await, NOTHING, "{on:?}");
        world.run_until("2026-01-21T03:00:00Z").await;
        assert_eq!(world.reviews().await, ["unreadable"], "{on:?}");
        let evidence = world.lines("SELECT evidence AS line FROM review_cases").await.remove(0);
        assert!(evidence.contains("currency holds"), "{on:?}: {evidence}");
        tamper(&world, "UPDATE plans SET currency = 'HKD'").await;
        world.run_until("2026-01-21T03:30:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -"], "{on:?}");
    }
}
