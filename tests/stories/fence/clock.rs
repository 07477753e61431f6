//! A clock that jumps stops billing and sending until it is right again, or an operator says that it is.

use std::time::Duration;

use chrono::TimeDelta;
use dues::chance::Chance;
use dues::clock::Clock;
use dues::engine::Engine;
use dues::engine::greet::Untimely;
use dues::engine::open;
use dues::engine::round::Round;
use dues::gateway::payments::Client;
use dues::sandbox::{self, Fault, Rule, Sandbox, Script};
use dues::store::fences::NewFence;

use crate::support::world::{BOTH, World, at, count};

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

/// A world whose gateway has said nothing of its time yet, with a daemon that came round.
async fn unheard(on: crate::support::world::On) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", &[("installation.high_water_file", "none")]).await;
    world.engine.take_name(false).await.unwrap();
    world.engine.beat().await.unwrap();
    world
}

/// Another daemon on the same books, with a memory of its own.
async fn another(world: &World) -> Engine {
    let mut settings = world.settings.clone();
    settings.installation.node = "two".to_owned();
    let (transport, key) = (world.sandbox.in_process(), sandbox::Settings::default().secret_key);
    open::engine(&settings, world.store.clone(), transport, &key, Chance::seeded(3), false).await.unwrap()
}

async fn held(engine: &Engine) -> Option<String> {
    engine.beat().await.unwrap().held
}

/// The reasons of all fences there were, in order.
async fn fences(world: &World) -> Vec<String> {
    world.lines("SELECT reason AS line FROM fences ORDER BY id").await
}

async fn acknowledge(world: &World) {
    let mut tx = world.store.begin("acknowledge").await.unwrap();
    tx.acknowledge_fences("operator", "read it", world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn slow_corrections_of_the_clock_do_not_add_up() {
    for on in BOTH {
        let world = unheard(on).await;
        for _ in 0..8 {
            world.clock.jump(TimeDelta::minutes(9));
            world.clock.advance(Duration::from_secs(15));
            assert_eq!(held(&world.engine).await, None, "{on:?}");
        }
        assert_eq!(fences(&world).await, [""; 0], "{on:?}");
    }
}

#[tokio::test]
async fn who_told_of_a_jump_lifts_the_hold_when_it_is_undone_and_who_started_under_it_does_not() {
    for on in BOTH {
        let world = unheard(on).await;
        world.clock.jump(TimeDelta::days(7));
        assert_eq!(held(&world.engine).await.as_deref(), Some("clock"), "{on:?}");
        assert_eq!(held(&world.engine).await.as_deref(), Some("clock"), "{on:?}");
        // A week's gap is what it looks like, too.
        assert_eq!(fences(&world).await, ["gap", "clock"], "{on:?}: it is told once");
        // It has seen no other clock than the wrong one.
        let two = another(&world).await;
        two.take_name(false).await.unwrap();
        assert_eq!(held(&two).await.as_deref(), Some("clock"), "{on:?}");
        assert_eq!(held(&two).await.as_deref(), Some("clock"), "{on:?}");
        world.clock.jump(-TimeDelta::days(7));
        assert_eq!(held(&two).await.as_deref(), Some("clock"), "{on:?}: to it this is the jump");
        assert_eq!(held(&world.engine).await, None, "{on:?}");
    }
}

#[tokio::test]
async fn one_acknowledgement_of_a_jump_is_for_every_daemon() {
    for on in BOTH {
        let world = unheard(on).await;
        let two = another(&world).await;
        two.take_name(false).await.unwrap();
        two.beat().await.unwrap();
        world.clock.jump(TimeDelta::days(7));
        for engine in [&world.engine, &two] {
            assert_eq!(held(engine).await.as_deref(), Some("clock"), "{on:?}");
        }
        acknowledge(&world).await;
        for engine in [&world.engine, &two, &world.engine, &two] {
            assert_eq!(held(engine).await, None, "{on:?}");
        }
        // Books that were used by a clock ahead of this one say so, too.
        assert_eq!(fences(&world).await.iter().filter(|it| *it == "clock").count(), 1, "{on:?}");
    }
}

#[tokio::test]
async fn a_jump_under_another_hold_is_told_when_that_is_lifted() {
    for on in BOTH {
        let world = unheard(on).await;
        let mut tx = world.store.begin("raise").await.unwrap();
        let fence = NewFence { reason: "stranger", detail: "d1-1-0-1".to_owned(), lost_sends: 0, holds: true };
        tx.raise_fence(&fence, "one", world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        world.clock.jump(TimeDelta::days(7));
        for _ in 0..2 {
            assert_eq!(held(&world.engine).await.as_deref(), Some("stranger"), "{on:?}");
        }
        acknowledge(&world).await;
        assert_eq!(held(&world.engine).await.as_deref(), Some("clock"), "{on:?}: nobody has looked at the clock");
        let holds = world.lines("SELECT reason AS line FROM fences WHERE holds = 1 ORDER BY id").await;
        assert_eq!(holds, ["stranger", "clock"], "{on:?}");
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

#[tokio::test]
async fn a_clock_set_forward_by_minutes_cuts_no_rest_of_a_key_short_and_neither_does_a_restart() {
    for on in BOTH {
        for restarts in [false, true] {
            let mut world = weekly(on).await;
            world.run_until("2026-01-21T12:00:00Z").await;
            world.engine.beat().await.unwrap();
            world.sandbox.set_script(Script::of([Rule::fault("lost", Fault::LostRequest).times(1)]));
            while sends(&world).await == 1 {
                world.clock.advance(Duration::from_secs(60));
                world.round.until_quiet().await.unwrap();
            }
            for second in 1..30 {
                world.clock.advance(Duration::from_secs(1));
                if second == 5 && restarts {
                    world.clock.jump(TimeDelta::minutes(55));
                    world = world.restarted(None).await;
                    world.engine.take_name(false).await.unwrap();
                } else if second == 5 {
                    world.clock.jump(TimeDelta::minutes(55));
                }
                world.round.until_quiet().await.unwrap();
                assert_eq!(sends(&world).await, 2, "{on:?}, {restarts}: {second} s after it was sent");
            }
            // Only absence of fifteen minutes is believed, in true time as far as this process has seen it.
            for minute in 1..=16 {
                world.clock.advance(Duration::from_secs(60));
                world.round.until_quiet().await.unwrap();
                let resent = minute > 14 || restarts && minute > 1;
                assert!(minute == 1 || sends(&world).await == 2 + i64::from(resent), "{on:?}, {restarts}: {minute}");
            }
            world.run_until("2026-01-23T12:00:00Z").await;
            assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid"], "{on:?}, {restarts}");
        }
    }
}

async fn sends(world: &World) -> i64 {
    count(&world.store, "SELECT CAST(SUM(sends) AS BIGINT) AS sum FROM attempts").await
}

/// A world whose machine believes that it is `ahead` of the gateway's time, and the gateway.
async fn beside_the_gateway(on: crate::support::world::On, ahead: TimeDelta) -> (World, Sandbox, Clock) {
    let mut world = World::new(on, "2026-01-20T00:00:00Z", &[("installation.high_water_file", "none")]).await;
    let gateways = Clock::manual(at("2026-01-20T00:00:00Z") - ahead);
    let settings = sandbox::Settings::default();
    let key = settings.secret_key.clone();
    let gateway = Sandbox::new(settings, Script::default(), gateways.clone(), 7);
    world.engine.client = Client::new(gateway.in_process(), &key);
    world.round = Round::new(world.engine.clone());
    world.engine.steady.await_gateway();
    world.engine.take_name(false).await.unwrap();
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    (world, gateway, gateways)
}

async fn advance(world: &World, gateways: &Clock, minutes: u64) {
    for clock in [&world.clock, gateways] {
        clock.advance(std::time::Duration::from_mins(minutes));
    }
}

#[tokio::test]
async fn nothing_is_billed_or_sent_before_the_gateway_has_told_its_time() {
    for on in BOTH {
        let (mut world, gateway, gateways) = beside_the_gateway(on, TimeDelta::minutes(5)).await;
        advance(&world, &gateways, 180).await;
        assert_eq!(come_round(&mut world).await, None, "{on:?}");
        assert_eq!(world.charges().await, [""; 0], "{on:?}");
        world.engine.greet().await;
        assert!(!world.engine.steady.awaits_gateway(), "{on:?}");
        assert_eq!(come_round(&mut world).await, None, "{on:?}: five minutes are no reason");
        assert_eq!(world.charges().await, ["ORD-1/0 due"], "{on:?}: it fell due in a gap, and was looked up");
        advance(&world, &gateways, 1).await;
        come_round(&mut world).await;
        assert_eq!(world.charges().await, ["ORD-1/0 collecting"], "{on:?}");
        assert_eq!(gateway.books().payments.len(), 1, "{on:?}");
    }
}

#[tokio::test]
async fn a_clock_that_was_wrong_from_the_start_charges_nobody_early_and_goes_on_when_it_is_right() {
    for on in BOTH {
        for ahead in [TimeDelta::days(3), -TimeDelta::days(3)] {
            let (mut world, gateway, gateways) = beside_the_gateway(on, ahead).await;
            advance(&world, &gateways, 180).await;
            world.engine.greet().await;
            assert!(!world.engine.steady.awaits_gateway(), "{on:?}");
            assert_eq!(come_round(&mut world).await.as_deref(), Some("clock"), "{on:?}");
            assert_eq!(gateway.books().payments.len(), 0, "{on:?} {ahead}: nothing is sent");
            assert_eq!(world.charges().await, [""; 0], "{on:?} {ahead}: nothing is billed");
            assert_eq!(world.reviews().await, ["hold"], "{on:?} {ahead}");
            let told = world.store.fences(1).await.unwrap().remove(0).detail;
            let way = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
            assert_eq!(told, format!("the clock is 259200 seconds {way} the gateway's"), "{on:?}");

            world.clock.jump(-ahead);
            assert_eq!(come_round(&mut world).await, None, "{on:?} {ahead}: it is right again");
            // Ten in the morning in Hong Kong comes by the gateway's time.
            let due_at = at("2026-01-20T02:00:00Z");
            let early = due_at - TimeDelta::minutes(1) - world.clock.now();
            advance(&world, &gateways, u64::try_from(early.num_minutes()).unwrap_or(0)).await;
            come_round(&mut world).await;
            assert!(gateway.books().payments.is_empty() || world.clock.now() >= due_at, "{on:?} {ahead}");
            advance(&world, &gateways, 2).await;
            come_round(&mut world).await;
            assert_eq!(gateway.books().payments.len(), 1, "{on:?} {ahead}: and it is charged");
        }
    }
}

#[tokio::test]
async fn a_command_enters_nothing_by_a_clock_that_is_not_the_gateways() {
    for on in BOTH {
        for (ahead, right) in
            [(TimeDelta::days(31), false), (-TimeDelta::days(31), false), (TimeDelta::minutes(2), true)]
        {
            let (world, _gateway, _) = beside_the_gateway(on, ahead).await;
            let heard = world.engine.hear_the_clock(1).await;
            match heard {
                Ok(()) => assert!(right, "{on:?} {ahead}"),
                Err(Untimely::Wrong(wrong)) => {
                    assert!(!right && wrong.to_string().contains("2678400 seconds"), "{on:?} {ahead}: {wrong}");
                }
                Err(other) => panic!("{on:?} {ahead}: {other}"),
            }
        }
    }
}

#[tokio::test]
async fn an_operator_may_say_that_the_gateways_clock_is_wrong() {
    for on in BOTH {
        let (mut world, gateway, gateways) = beside_the_gateway(on, TimeDelta::days(3)).await;
        advance(&world, &gateways, 180).await;
        world.engine.greet().await;
        assert!(!world.engine.steady.awaits_gateway(), "{on:?}");
        assert_eq!(come_round(&mut world).await.as_deref(), Some("clock"), "{on:?}");
        let mut tx = world.store.begin("acknowledge").await.unwrap();
        tx.acknowledge_fences("operator", "the gateway's clock is wrong", world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(come_round(&mut world).await, None, "{on:?}");
        advance(&world, &gateways, 1).await;
        assert_eq!(come_round(&mut world).await, None, "{on:?}");
        assert_eq!(gateway.books().payments.len(), 1, "{on:?}");
        // Each answer says it again, and it stays acknowledged.
        advance(&world, &gateways, 5).await;
        assert_eq!(come_round(&mut world).await, None, "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
    }
}

#[tokio::test]
async fn no_step_of_dunning_is_taken_by_a_clock_that_jumped() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-19T00:00:00Z", &[("installation.high_water_file", "none")]).await;
        world.sandbox.set_script(Script::of([Rule::decline("short", "20051").times(1)]));
        world.engine.take_name(false).await.unwrap();
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 retrying"], "{on:?}");
        world.engine.beat().await.unwrap();
        world.clock.jump(TimeDelta::days(3));
        assert_eq!(world.engine.dun().await.unwrap().done, 0, "{on:?}");
        assert_eq!(world.attempts().await.len(), 1, "{on:?}");
        world.clock.jump(-TimeDelta::days(3));
        world.run_until("2026-01-22T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}: a day later, as was planned");
        world.assert_books_agree().await;
    }
}
