//! The everyday: a period, its charge, its day; an empty wallet; one lost answer.

use dues::sandbox::{Fault, Rule, Script};

use crate::support::world::{BOTH, World, source_of};

#[tokio::test]
async fn a_period_is_charged_once_and_on_its_day() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-31", None).await;
        world.run_until("2026-01-31T01:59:59Z").await;
        assert_eq!(world.charges().await, [""; 0], "{on:?}");
        world.run_until("2026-04-30T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid", "ORD-1/2 paid", "ORD-1/3 paid"], "{on:?}");
        let days = world.lines("SELECT CAST(due_at AS TEXT) AS line FROM charges ORDER BY due_at").await;
        let days: Vec<&str> = days.iter().map(|day| &day[..10]).collect();
        assert_eq!(days, ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"], "{on:?}");
        world.assert_books_agree().await;
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
    }
}

#[tokio::test]
async fn an_empty_wallet_is_asked_again_and_pays_later() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let empty = Rule::decline("empty wallet", "20051").for_source(&source_of("ORD-1")).times(2);
        world.sandbox.set_script(Script::of([empty]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-21T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 retrying"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 past_due"], "{on:?}");
        world.run_until("2026-02-01T00:00:00Z").await;
        assert_eq!(
            world.attempts().await,
            ["ORD-1/0/1 declined", "ORD-1/0/2 declined", "ORD-1/0/3 captured"],
            "{on:?}"
        );
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_never_charged_again() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([Rule::fault("lost", Fault::LostResponse).times(1)]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-21T00:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        world.assert_books_agree().await;
    }
}
