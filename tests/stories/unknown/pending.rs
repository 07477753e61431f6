//! Payments that exist and do not end, or that the gateway does not show.

use std::time::Duration;

use dues::sandbox::{Effect, Fault, Outcome, Rule};

use super::lost::{assert_paid_once, due_under, sends};
use crate::support::world::{BOTH, World, at};

/// The reasons of review cases that were closed.
async fn closed_reviews(world: &World) -> Vec<String> {
    world.lines("SELECT reason AS line FROM review_cases WHERE resolved_at IS NOT NULL ORDER BY reason").await
}

#[tokio::test]
async fn a_payment_that_pends_for_days_is_polled_on_and_paid_at_last() {
    for on in BOTH {
        let slow = Effect::Settle { outcome: Some(Outcome::Capture), after: Some(Duration::from_hours(5 * 24)) };
        let mut world = due_under(on, &[], vec![Rule::new("slow", slow)]).await;
        world.run_until("2026-01-23T01:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 collecting"], "{on:?}");
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.run_until("2026-01-23T08:30:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(world.reviews().await, ["pending_too_long"], "{on:?}");
        world.run_until("2026-01-26T12:00:00Z").await;
        assert_eq!(sends(&world).await, ["1 1"], "{on:?}");
        assert_paid_once(&world, &format!("{on:?}")).await;
        assert_eq!(closed_reviews(&world).await, ["pending_too_long"], "{on:?}");
    }
}

#[tokio::test]
async fn a_payment_that_never_ends_stays_with_a_person_and_is_still_looked_at() {
    for on in BOTH {
        let mut world = due_under(on, &[], vec![Rule::outcome("never", Outcome::Pending)]).await;
        world.run_until("2026-02-10T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
        assert_eq!(world.reviews().await, ["pending_too_long"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 1"], "{on:?}");
        let next = world.store.next_work_at().await.unwrap();
        assert!(next.is_some_and(|next| next <= at("2026-02-11T00:00:00Z")), "{on:?} {next:?}");
        let looks = world.lines("SELECT CAST(looks AS TEXT) AS line FROM attempts").await;
        assert!(looks[0].parse::<i64>().unwrap() > 20, "{on:?} {looks:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_that_the_gateway_does_not_show_is_never_taken_for_unpaid() {
    for on in BOTH {
        let hidden = Effect::Lag { lookup: None, read: Some(Duration::from_hours(2)) };
        let mut world = due_under(on, &[], vec![Rule::new("hidden", hidden)]).await;
        world.run_until("2026-01-20T02:10:00Z").await;
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.run_until("2026-01-20T02:30:00Z").await;
        assert_eq!(world.reviews().await, ["not_found"], "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        world.run_until("2026-01-22T00:00:00Z").await;
        assert_eq!(sends(&world).await, ["1 1"], "{on:?}");
        assert_paid_once(&world, &format!("{on:?}")).await;
        assert_eq!(closed_reviews(&world).await, ["not_found"], "{on:?}");
    }
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_pending_until_it_is_known() {
    for on in BOTH {
        let odd = Rule::fault("odd", Fault::Status("Marinated".to_owned()))
            .between(at("2026-01-20T00:00:00Z"), at("2026-01-20T10:00:00Z"));
        let mut world = due_under(on, &[], vec![odd]).await;
        world.run_until("2026-01-20T09:59:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 collecting"], "{on:?}");
        world.run_until("2026-01-21T00:00:00Z").await;
        assert_eq!(sends(&world).await, ["1 1"], "{on:?}");
        assert_paid_once(&world, &format!("{on:?}")).await;
    }
}
