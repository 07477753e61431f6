//! How subscriptions end: the authorisation is withdrawn, an operator cancels, or dunning says so.

use dues::engine::cancel::CancelError;
use dues::engine::hand_over::HandOver;
use dues::sandbox::{Outcome, Rule, Script};
use dues::store::customers::NewCustomer;

use super::helpers::{NOTHING, decline, reasons};
use crate::support::world::{BOTH, World, at, source_of};

/// Hands over a monthly subscription that is charged to the wallet of `owner`.
async fn hand_over_to_wallet_of(world: &World, owner: &str, reference: &str, anchor_on: &str) {
    let hand_over = HandOver {
        reference: reference.to_owned(),
        plan: "monthly".to_owned(),
        source_id: source_of(owner),
        first_payment_id: None,
        customer: NewCustomer {
            reference: format!("customer of {owner}"),
            name: Some("Wallet Customer".to_owned()),
            email: Some(format!("{}@example.com", owner.to_lowercase())),
            country: "HK".to_owned(),
        },
        anchor_on: anchor_on.parse().unwrap(),
        zone: "Asia/Hong_Kong".parse().unwrap(),
        next_charge_on: None,
    };
    let acceptable = world.engine.acceptable(hand_over).unwrap();
    world.engine.hand_over(&[acceptable]).await.unwrap();
}

#[tokio::test]
async fn an_authorisation_withdrawn_stops_every_subscription_on_its_source() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let short = Rule::decline("short", "20051").for_source(&source_of("ORD-1")).times(1);
        let gone = Rule::decline("gone", "20120").for_source(&source_of("ORD-1"));
        world.sandbox.set_script(Script::of([short, gone]));
        world.hand_over("ORD-1", "monthly", "2026-01-22", None).await;
        hand_over_to_wallet_of(&world, "ORD-1", "ORD-2", "2026-01-20").await;
        hand_over_to_wallet_of(&world, "ORD-1", "ORD-3", "2026-01-28").await;
        world.hand_over("ORD-9", "monthly", "2026-01-28", None).await;
        // ORD-2 is short on the 20th and again on the 21st by a withdrawn authorisation.
        world.run_until("2026-03-01T00:00:00Z").await;
        assert_eq!(
            world.subscriptions().await,
            ["ORD-1 unpaid", "ORD-2 unpaid", "ORD-3 unpaid", "ORD-9 active"],
            "{on:?}"
        );
        assert_eq!(
            reasons(&world).await,
            [
                "ORD-1/0 skipped unpaid",
                "ORD-1/1 skipped unpaid",
                "ORD-2/0 uncollectible authorisation_gone",
                "ORD-2/1 skipped unpaid",
                "ORD-3/0 skipped unpaid",
                "ORD-3/1 skipped unpaid",
                "ORD-9/0 paid -",
                "ORD-9/1 paid -",
            ],
            "{on:?}"
        );
        let states = world.lines("SELECT state AS line FROM sources ORDER BY gateway_source_id").await;
        assert_eq!(states, ["revoked", "active"], "{on:?}");
        assert_eq!(world.reviews().await, ["authorisation_gone"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn dunning_may_end_in_cancel_or_go_on() {
    for on in BOTH {
        for (end, subscription, later) in
            [("cancel", "ORD-1 canceled", None), ("keep", "ORD-1 active", Some("ORD-1/1 paid -"))]
        {
            let flags = [
                ("dunning.gentle.funds", "1d"),
                ("dunning.gentle.refused", "1d"),
                ("dunning.gentle.technical", "2h"),
                ("dunning.gentle.end", end),
                ("plans.monthly.dunning", "gentle"),
            ];
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
            decline(&world, "ORD-1", "20051", 2);
            world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
            world.run_until("2026-02-25T00:00:00Z").await;
            let mut wanted = vec!["ORD-1/0 uncollectible funds"];
            wanted.extend(later);
            assert_eq!(reasons(&world).await, wanted, "{on:?} {end}");
            assert_eq!(world.subscriptions().await, [subscription], "{on:?} {end}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn a_cancellation_voids_what_is_not_sent_and_charges_nothing_later() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        decline(&world, "ORD-1", "20051", 1);
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        let canceled = world.engine.cancel("ORD-1", false, "asked by letter", "operator").await.unwrap();
        assert_eq!((canceled.voided, canceled.on_the_wire), (1, 0), "{on:?}");
        let again = world.engine.cancel("ORD-1", false, "twice", "operator").await;
        assert!(matches!(again, Err(CancelError::Illegal(_))), "{on:?}: {again:?}");
        world.run_until("2026-04-01T00:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 void canceled"], "{on:?}");
        assert_eq!(world.attempts().await, ["ORD-1/0/1 declined"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_cancellation_at_the_end_of_a_period_lets_the_paid_one_stand() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-25T00:00:00Z").await;
        world.engine.cancel("ORD-1", true, "asked by letter", "operator").await.unwrap();
        world.run_until("2026-02-19T00:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.run_until("2026-04-01T00:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_period_that_had_begun_when_its_end_was_asked_for_is_owed_although_no_daemon_had_opened_it() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-25T00:00:00Z").await;
        // The daemon is down when the second period begins.
        world.clock.advance_to(at("2026-02-21T00:00:00Z"));
        let canceled = world.engine.cancel("ORD-1", true, "asked by letter", "operator").await.unwrap();
        assert_eq!(canceled.begun, 1, "{on:?}");
        world.run_until("2026-04-01T00:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -", "ORD-1/1 paid -"], "{on:?}: the third is not");
        assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
        assert_eq!(world.reviews().await, NOTHING, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn who_asks_again_for_the_end_of_a_period_ends_no_later() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-25T00:00:00Z").await;
        world.engine.cancel("ORD-1", true, "asked by letter", "operator").await.unwrap();
        // The daemon is down when the second period would begin, and the letter is worked off a second time.
        world.clock.advance_to(at("2026-02-21T00:00:00Z"));
        world.engine.cancel("ORD-1", true, "asked by letter", "operator").await.unwrap();
        world.run_until("2026-04-01T00:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_on_the_wire_at_a_cancellation_is_recorded_and_is_the_last() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let slow = dues::sandbox::Effect::Settle {
            outcome: Some(Outcome::Capture),
            after: Some(std::time::Duration::from_secs(36_000)),
        };
        world.sandbox.set_script(Script::of([Rule::new("slow", slow)]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T03:00:00Z").await;
        let canceled = world.engine.cancel("ORD-1", false, "asked by letter", "operator").await.unwrap();
        assert_eq!((canceled.voided, canceled.on_the_wire), (0, 1), "{on:?}");
        world.run_until("2026-04-01T00:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
        assert_eq!(world.reviews().await, NOTHING, "{on:?}");
        world.assert_books_agree().await;
    }
}
