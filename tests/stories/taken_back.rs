//! An end of the period that was asked for, and taken back before it came.

use dues::engine::pause::{self, End, PauseError};

use crate::support::world::{BOTH, World, at};

async fn resume(world: &World) -> Result<pause::Moved, PauseError> {
    pause::resume(&world.store, &world.engine.rules, "ORD-1", "stays after all", "operator").await
}

#[tokio::test]
async fn an_end_that_was_taken_back_never_comes() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-21T00:00:00Z").await;
        let canceled = world.engine.cancel("ORD-1", true, "moves abroad", "operator").await.unwrap();
        assert_eq!(canceled.ends_at, Some(at("2026-02-20T02:00:00Z")), "{on:?}");
        let resumed = resume(&world).await.unwrap();
        assert_eq!((resumed.end, resumed.from_index), (End::TakenBack, 1), "{on:?}");
        let left =
            "SELECT COUNT(*) AS sum FROM subscriptions WHERE cancel_at_index IS NOT NULL OR cancel_reason IS NOT NULL";
        assert_eq!(crate::support::world::count(&world.store, left).await, 0, "{on:?}");
        let journal = world
            .lines("SELECT actor || ': ' || act || ': ' || detail AS line FROM journal WHERE act LIKE 'cancel%' ORDER BY id")
            .await;
        let wanted = ["operator: cancel at period end: moves abroad", "operator: cancel taken back: stays after all"];
        assert_eq!(journal, wanted, "{on:?}");
        assert!(resume(&world).await.unwrap_err().to_string().contains("is not to be canceled"), "{on:?}");
        world.run_until("2026-02-21T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn an_end_that_has_come_is_not_taken_back() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-21T00:00:00Z").await;
        world.engine.cancel("ORD-1", true, "moves abroad", "operator").await.unwrap();
        // The period has begun, and no daemon has been there to see it.
        world.clock.advance_to(at("2026-02-20T02:00:01Z"));
        assert!(matches!(resume(&world).await, Err(PauseError::Ended(_))), "{on:?}");
        world.run_until("2026-02-21T00:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert!(resume(&world).await.unwrap_err().to_string().contains("has ended"), "{on:?}");
    }
}

#[tokio::test]
async fn who_is_paused_and_to_be_canceled_goes_on_first_and_keeps_the_end() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-21T00:00:00Z").await;
        world.engine.cancel("ORD-1", true, "moves abroad", "operator").await.unwrap();
        let paused = pause::pause(&world.store, "ORD-1", "away", "operator").await.unwrap();
        assert_eq!(paused.end, End::Stands(1), "{on:?}");
        assert_eq!(resume(&world).await.unwrap().end, End::Stands(1), "{on:?}");
        assert_eq!(resume(&world).await.unwrap().end, End::TakenBack, "{on:?}");
        world.run_until("2026-02-21T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid"], "{on:?}");
    }
}
