//! A daemon's name belongs to one process.

use dues::engine::beat::BeatError;
use dues::store::StoreError;

use crate::support::world::{BOTH, World};

#[tokio::test]
async fn a_daemon_whose_name_was_taken_sends_nothing_more_and_ends() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-19T00:00:00Z", &[("installation.high_water_file", "none")]).await;
        world.engine.take_name(false).await.unwrap();
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        let mut tx = world.store.begin("take").await.unwrap();
        tx.register_node(&world.engine.node, "elsewhere/1/1", world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        world.clock.advance_to("2026-01-20T12:00:00Z".parse().unwrap());
        assert!(world.round.until_quiet().await.is_err(), "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 0, "{on:?}");
        assert!(matches!(world.engine.beat().await, Err(BeatError::Replaced(_))), "{on:?}");
    }
}

#[tokio::test]
async fn a_name_is_free_when_its_process_has_ended_or_was_not_seen_for_half_a_minute() {
    for on in BOTH {
        let world = World::new(on, "2026-01-19T00:00:00Z", &[("installation.high_water_file", "none")]).await;
        let take = async |process: &str| {
            let mut tx = world.store.begin("take").await.unwrap();
            tx.register_node(&world.engine.node, process, world.clock.now()).await.unwrap();
            tx.commit().await.unwrap();
        };
        take("elsewhere/1/1").await;
        let refused = world.engine.take_name(false).await;
        let Err(BeatError::Engine(dues::engine::EngineError::Store { source: StoreError::NodeTaken { .. }, .. })) =
            refused
        else {
            panic!("{on:?}: {refused:?}");
        };
        world.clock.advance(std::time::Duration::from_secs(31));
        world.engine.take_name(false).await.unwrap();
        // Of this machine, but of a process that is gone.
        let boot = world.engine.process.split('/').next().unwrap();
        take(&format!("{boot}/1/1")).await;
        world.engine.take_name(false).await.unwrap();
    }
}
