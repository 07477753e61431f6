//! A daemon's name belongs to one process.

use std::sync::Arc;
use std::time::Duration;

use dues::engine::beat::BeatError;
use dues::engine::high_water::HighWater;
use dues::engine::{Engine, Gate};
use dues::store::StoreError;

use crate::support::world::{BOTH, On, World};

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

/// The same engine as another daemon of another machine has it.
fn another(world: &World, name: &str) -> Engine {
    Engine { node: name.into(), process: format!("{name}/1/1").into(), ..world.engine.clone() }
}

#[tokio::test]
async fn the_first_daemon_of_all_sees_no_gap_and_one_of_a_new_name_sees_it() {
    let flags = [("installation.high_water_file", "none"), ("protocol.gap", "1h")];
    for on in BOTH {
        let world = World::new(on, "2026-01-19T00:00:00Z", &flags).await;
        let reasons = async || world.store.fences(9).await.unwrap().into_iter().map(|it| it.reason).collect::<Vec<_>>();
        world.clock.advance(std::time::Duration::from_hours(48));
        world.engine.take_name(false).await.unwrap();
        assert_eq!(reasons().await, [""; 0], "{on:?}: the books were made days before they were used");
        let two = another(&world, "two");
        two.take_name(false).await.unwrap();
        assert_eq!(reasons().await, [""; 0], "{on:?}: beside one that is alive");
        world.clock.advance(std::time::Duration::from_hours(2));
        another(&world, "three").take_name(false).await.unwrap();
        assert_eq!(reasons().await, ["gap"], "{on:?}: when nobody was");
    }
}

#[tokio::test]
async fn daemons_that_came_round_lately_are_counted() {
    for on in BOTH {
        let world = World::new(on, "2026-01-19T00:00:00Z", &[("installation.high_water_file", "none")]).await;
        let two = another(&world, "two");
        for engine in [&world.engine, &two] {
            engine.take_name(false).await.unwrap();
        }
        assert_eq!(world.engine.beat().await.unwrap().living, 2, "{on:?}");
        world.clock.advance(std::time::Duration::from_secs(90));
        assert_eq!(two.beat().await.unwrap().living, 1, "{on:?}");
    }
}

#[tokio::test]
async fn two_daemons_together_never_have_more_than_the_budget() {
    let flags = [("installation.high_water_file", "none"), ("budget.writes_per_second", "90")];
    for on in BOTH {
        let world = World::new(on, "2026-01-19T00:00:00Z", &flags).await;
        let gate = || Arc::new(Gate::new(&world.settings.budget, &world.settings.circuit));
        let one = Engine { gate: gate(), share: Arc::default(), ..another(&world, "one") };
        let two = Engine { gate: gate(), share: Arc::default(), ..another(&world, "two") };
        let rates = || [&one, &two].map(|it| it.gate.figures(world.clock.now()).writes.per_second.unwrap());
        one.take_name(false).await.unwrap();
        assert_eq!(rates()[0], 90, "{on:?}: alone it has the whole");
        world.clock.advance(Duration::from_secs(3));
        two.take_name(false).await.unwrap();
        assert_eq!(rates(), [90, 1], "{on:?}: as little as it can work with, while the other spends the whole");
        world.clock.advance(Duration::from_secs(1));
        two.beat().await.unwrap();
        assert_eq!(rates(), [90, 1], "{on:?}: the other has not come round yet");
        world.clock.advance(Duration::from_secs(1));
        one.beat().await.unwrap();
        assert_eq!(rates(), [45, 1], "{on:?}");
        two.beat().await.unwrap();
        assert_eq!(rates(), [45, 45], "{on:?}");
        // Started anew under its name, it finds its part kept by the other.
        let two = Engine { gate: gate(), share: Arc::default(), process: "two/1/2".into(), ..two.clone() };
        world.store.node_stopped("two", "two/1/1", world.clock.now()).await.unwrap();
        two.take_name(false).await.unwrap();
        assert_eq!(two.gate.figures(world.clock.now()).writes.per_second, Some(1), "{on:?}: unless it had stopped");
        world.clock.advance(Duration::from_secs(1));
        one.beat().await.unwrap();
        two.beat().await.unwrap();
        let three = Engine { gate: gate(), share: Arc::default(), ..two.clone() };
        three.take_name(false).await.unwrap();
        assert_eq!(three.gate.figures(world.clock.now()).writes.per_second, Some(45), "{on:?}");
    }
}

#[tokio::test]
async fn the_mark_of_a_sqlite_file_stands_beside_it() {
    let world = World::new(On::Sqlite, "2026-01-19T00:00:00Z", &[]).await;
    let mark = HighWater::of(&world.settings, &world.engine.rules.ledger, "one");
    let path = mark.path().unwrap().display().to_string();
    assert!(path.ends_with("/dues.db.sends"), "{path}");
    let none = World::new(On::Sqlite, "2026-01-19T00:00:00Z", &[("installation.high_water_file", "none")]).await;
    assert_eq!(HighWater::of(&none.settings, &none.engine.rules.ledger, "one").path(), None);
}
