//! Periods whose dates or prices this daemon cannot tell at once, and the last period before an end.

use crate::helpers::{reasons, tamper};
use crate::support::world::{BOTH, World};

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
