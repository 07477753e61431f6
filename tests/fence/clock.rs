//! A clock that jumps stops billing and sending until it is right again, or an operator says that it is.

use chrono::TimeDelta;

use crate::support::world::{BOTH, World};

async fn weekly(on: crate::support::world::On) -> World {
    let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("installation.high_water_file", "none")]).await;
    world.engine.take_name(false).await.unwrap();
    world.hand_over("ORD-1", "weekly", "2026-01-15", None).await;
    world.run_until("2026-01-15T12:00:00Z").await;
    world.engine.beat().await.unwrap();
    world
}

async fn come_round(world: &mut World) -> Option<String> {
    world.round.until_quiet().await.unwrap();
    let held = world.engine.beat().await.unwrap().held;
    world.round.until_quiet().await.unwrap();
    held
}

#[tokio::test]
async fn a_week_gained_in_a_moment_charges_nobody_and_is_forgotten_when_the_clock_is_right_again() {
    for on in BOTH {
        let mut world = weekly(on).await;
        world.clock.jump(TimeDelta::days(7));
        assert_eq!(come_round(&mut world).await.as_deref(), Some("clock"), "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}: nothing is charged before its day");
        world.clock.jump(-TimeDelta::days(7));
        assert_eq!(come_round(&mut world).await, None, "{on:?}");
        world.run_until("2026-01-22T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid"], "{on:?}");
    }
}

#[tokio::test]
async fn an_operator_may_say_that_the_clock_is_right_as_it_is() {
    for on in BOTH {
        let mut world = weekly(on).await;
        world.clock.jump(TimeDelta::days(7));
        assert_eq!(come_round(&mut world).await.as_deref(), Some("clock"), "{on:?}");
        assert_eq!(come_round(&mut world).await.as_deref(), Some("clock"), "{on:?}");
        let mut tx = world.store.begin("acknowledge").await.unwrap();
        tx.acknowledge_fences("operator", "the machine slept", world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(come_round(&mut world).await, None, "{on:?}");
        world.run_until("2026-01-22T13:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid"], "{on:?}");
    }
}

#[tokio::test]
async fn a_clock_set_back_stops_too_and_a_small_step_does_not() {
    for on in BOTH {
        let mut world = weekly(on).await;
        world.clock.jump(-TimeDelta::seconds(5));
        assert_eq!(come_round(&mut world).await, None, "{on:?}");
        world.clock.jump(-TimeDelta::hours(2));
        assert_eq!(come_round(&mut world).await.as_deref(), Some("clock"), "{on:?}");
    }
}
