//! Each class of decline leads to its own consequence.

use super::helpers::{NOTHING, cases, decline, reasons, sent};
use crate::support::world::{BOTH, World};

#[tokio::test]
async fn an_empty_wallet_is_asked_five_times_and_then_the_subscription_is_unpaid() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        decline(&world, "ORD-1", "20051", 5);
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-02-15T00:00:00Z").await;
        // Each wait counts from the decline before it: +1, +3, +5, +7 days, at 10:00 in Hong Kong.
        assert_eq!(
            sent(&world).await,
            [
                "ORD-1/0/1 2026-01-20 02:00",
                "ORD-1/0/2 2026-01-21 02:00",
                "ORD-1/0/3 2026-01-24 02:00",
                "ORD-1/0/4 2026-01-29 02:00",
                "ORD-1/0/5 2026-02-05 02:00",
            ],
            "{on:?}"
        );
        assert_eq!(reasons(&world).await, ["ORD-1/0 uncollectible funds"], "{on:?}");
        assert_eq!(cases(&world).await, ["ORD-1/0 exhausted 4"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 unpaid"], "{on:?}");
        world.run_until("2026-03-25T00:00:00Z").await;
        assert_eq!(
            reasons(&world).await,
            ["ORD-1/0 uncollectible funds", "ORD-1/1 skipped unpaid", "ORD-1/2 skipped unpaid"],
            "{on:?}"
        );
        assert_eq!(world.attempts().await.len(), 5, "{on:?}");
        assert_eq!(world.reviews().await, NOTHING, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_technical_decline_is_tried_again_within_hours() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        decline(&world, "ORD-1", "20091", 3);
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-25T00:00:00Z").await;
        // A pending payment is seen declined at its first look, 75 s after it was sent, and the wait counts from there.
        assert_eq!(
            sent(&world).await,
            [
                "ORD-1/0/1 2026-01-20 02:00",
                "ORD-1/0/2 2026-01-20 04:01",
                "ORD-1/0/3 2026-01-20 10:02",
                "ORD-1/0/4 2026-01-21 10:03",
            ],
            "{on:?}"
        );
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(cases(&world).await, ["ORD-1/0 recovered 3"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_technical_decline_without_end_is_given_up_after_three_retries() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        decline(&world, "ORD-1", "20091", 9);
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-02-15T00:00:00Z").await;
        assert_eq!(world.attempts().await.len(), 4, "{on:?}");
        assert_eq!(reasons(&world).await, ["ORD-1/0 uncollectible technical"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 unpaid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_decline_for_risk_is_never_tried_again() {
    for on in BOTH {
        // The first stands in the table, the others are known only by their first digit.
        for code in ["30007", "43401", "30999"] {
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
            decline(&world, "ORD-1", code, 9);
            world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
            world.run_until("2026-02-25T00:00:00Z").await;
            assert_eq!(world.attempts().await, ["ORD-1/0/1 declined"], "{on:?} {code}");
            assert_eq!(
                reasons(&world).await,
                ["ORD-1/0 uncollectible risk", "ORD-1/1 skipped unpaid"],
                "{on:?} {code}"
            );
            assert_eq!(world.subscriptions().await, ["ORD-1 unpaid"], "{on:?} {code}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn a_decline_that_points_at_our_own_set_up_waits_for_a_person_and_spends_no_step() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        decline(&world, "ORD-1", "20106", 1);
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-02-15T00:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 in_review configuration"], "{on:?}");
        assert_eq!(world.reviews().await, ["configuration"], "{on:?}");
        assert_eq!(cases(&world).await, NOTHING, "{on:?}");
        assert_eq!(world.attempts().await, ["ORD-1/0/1 declined"], "{on:?}");
        // The customer is not to blame.
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn an_unknown_code_of_the_issuer_is_a_refusal_and_is_retried_as_one() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        decline(&world, "ORD-1", "20777", 1);
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["ORD-1/0 retrying refused"], "{on:?}");
        world.run_until("2026-01-22T00:00:00Z").await;
        assert_eq!(sent(&world).await, ["ORD-1/0/1 2026-01-20 02:00", "ORD-1/0/2 2026-01-21 02:00"], "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_step_that_an_outage_delays_is_not_spent_and_the_later_ones_count_from_the_last_decline() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        decline(&world, "ORD-1", "20091", 3);
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T03:00:00Z").await;
        // The first retry is due at 04:01, the second would be at 10:02.
        world.sandbox.set_unauthorised(true);
        world.run_until("2026-01-20T13:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 declined", "ORD-1/0/2 created"], "{on:?}");
        assert_eq!(cases(&world).await, ["ORD-1/0 open 1"], "{on:?}: nothing more was spent");
        world.sandbox.set_unauthorised(false);
        world.run_until("2026-01-25T00:00:00Z").await;
        let sent = sent(&world).await;
        assert_eq!(sent.len(), 4, "{on:?} {sent:?}");
        assert!(sent[1].starts_with("ORD-1/0/2 2026-01-20 13:0"), "{on:?} {sent:?}");
        assert!(sent[2].starts_with("ORD-1/0/3 2026-01-20 19:"), "{on:?}: six hours later: {sent:?}");
        assert!(sent[3].starts_with("ORD-1/0/4 2026-01-21 19:"), "{on:?}: a day later: {sent:?}");
        assert_eq!(cases(&world).await, ["ORD-1/0 recovered 3"], "{on:?}");
        assert_eq!(reasons(&world).await, ["ORD-1/0 paid -"], "{on:?}");
        world.assert_books_agree().await;
    }
}
