//! What is looked up before it is sent: within the budget of reads, and never sent by a daemon that stops.

use std::time::Duration;

use dues::engine::collect::Collect;

use crate::support::world::{BOTH, World, at};

#[tokio::test]
async fn a_stopping_daemon_sends_nothing_that_its_look_ups_clear() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("protocol.look_first", "always")]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.clock.advance_to(at("2026-01-20T02:00:00Z"));
        world.engine.bill().await.unwrap();
        let mut collect = Collect::new(world.engine.clone());
        collect.tick(true).await.unwrap();
        assert_eq!(collect.flights().len(), 1, "{on:?}: it is looked up");
        collect.flights().gather(Duration::from_secs(60), 1).await;
        collect.tick(false).await.unwrap();
        assert!(collect.flights().is_empty(), "{on:?}: nothing flies any more");
        assert_eq!(world.attempts().await, ["ORD-1/0/1 created"], "{on:?}");
        assert!(world.sandbox.books().key_sends.is_empty(), "{on:?}");

        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}: the next daemon sends it");
        world.assert_books_agree().await;
    }
}
