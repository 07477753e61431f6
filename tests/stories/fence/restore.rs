//! Restores, gaps and fail-overs.

use chrono::TimeDelta;
use dues::engine::beat::Beat;

use crate::support::world::{BOTH, On, World, at, empty_books};

/// A world with a daily subscription, its mark in a file of its own.
async fn daily(on: On, gap: &str) -> (World, tempfile::TempDir) {
    let outside = tempfile::tempdir().unwrap();
    let mark = outside.path().join("sends").display().to_string();
    let flags = [("installation.high_water_file", &*mark), ("protocol.gap", gap)];
    let world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
    world.engine.take_name(false).await.unwrap();
    world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
    (world, outside)
}

/// Goes through time as a daemon does that comes round often enough to leave no gap.
async fn live_until(world: &mut World, until: &str) {
    while world.clock.now() < at(until) {
        let step = TimeDelta::from_std(world.settings.protocol.gap / 2).unwrap();
        let step = (world.clock.now() + step).min(at(until));
        world.run_until(&step.to_rfc3339()).await;
        world.engine.beat().await.unwrap();
    }
}

async fn reasons(world: &World) -> Vec<String> {
    world.store.fences(20).await.unwrap().into_iter().rev().map(|fence| fence.reason).collect()
}

async fn beat(world: &World) -> Beat {
    world.engine.beat().await.unwrap()
}

async fn acknowledge(world: &World) {
    let mut tx = world.store.begin("acknowledge").await.unwrap();
    tx.acknowledge_fences("operator", "read it", world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Days are charged on, none twice, and both books agree.
async fn assert_whole(world: &World, days: usize, story: &str) {
    let charges = world.charges().await;
    assert_eq!(charges.iter().filter(|it| it.ends_with(" paid")).count(), days, "{story} {charges:?}");
    let theirs = world.sandbox.books();
    assert_eq!(theirs.payments.len(), days, "{story}");
    world.assert_books_agree().await;
}

#[tokio::test]
async fn a_backup_of_three_days_ago_holds_until_it_is_acknowledged_and_charges_nobody_twice() {
    for on in BOTH {
        for file_restored_too in [false, true] {
            let story = format!("{on:?}, file restored too: {file_restored_too}");
            let (mut world, outside) = daily(on, "2h").await;
            live_until(&mut world, "2026-01-16T12:00:00Z").await;
            let (mut world, backup) = world.backed_up().await;
            let mark = std::fs::read(outside.path().join("sends")).unwrap();
            live_until(&mut world, "2026-01-19T12:00:00Z").await;
            assert_whole(&world, 5, &story).await;

            if file_restored_too {
                std::fs::write(outside.path().join("sends"), mark).unwrap();
            }
            let mark = std::fs::read_to_string(outside.path().join("sends")).unwrap();
            let mut world = world.restarted(Some(&backup)).await;
            world.engine.take_name(false).await.unwrap();
            let kept = std::fs::read_to_string(outside.path().join("sends")).unwrap();
            assert_eq!(kept, mark, "{story}: it would tell a second restore as well");
            live_until(&mut world, "2026-01-19T18:00:00Z").await;
            let held = beat(&world).await.held;
            let wanted = if file_restored_too { "stranger" } else { "rewound" };
            assert_eq!(held.as_deref(), Some(wanted), "{story}");
            assert_eq!(world.sandbox.books().payments.len(), 5, "{story}: nothing is sent");
            assert_eq!(world.reviews().await, ["hold"], "{story}");
            let adopted = world.store.adopted_since(at("2026-01-19T00:00:00Z")).await.unwrap();
            assert!(!adopted.is_empty(), "{story}");

            live_until(&mut world, "2026-01-20T12:00:00Z").await;
            assert_eq!(world.sandbox.books().payments.len(), 5, "{story}: a day later it still waits");
            acknowledge(&world).await;
            live_until(&mut world, "2026-01-22T12:00:00Z").await;
            assert_eq!(beat(&world).await.held, None, "{story}");
            assert_whole(&world, 8, &story).await;
        }
    }
}

#[tokio::test]
async fn books_that_were_lost_and_are_entered_anew_look_up_what_fell_due_before_they_began() {
    let flags = [("installation.high_water_file", "none"), ("protocol.gap", "2d")];
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_whole(&world, 1, &format!("{on:?}")).await;

        // Database and file are gone. The shop hands its subscription over again, as it did the first time.
        let elsewhere = tempfile::tempdir().unwrap();
        let mut world = world.restarted(Some(&empty_books(on, &elsewhere))).await;
        world.engine.take_name(false).await.unwrap();
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-21T12:00:00Z").await;
        assert_whole(&world, 1, &format!("{on:?}")).await;
        assert_eq!(beat(&world).await.held.as_deref(), Some("stranger"), "{on:?}: an operator is told");
        acknowledge(&world).await;
        live_until(&mut world, "2026-02-21T12:00:00Z").await;
        assert_whole(&world, 2, &format!("{on:?}")).await;
    }
}

#[tokio::test]
async fn a_fail_over_that_lost_minutes_adopts_what_it_forgot_and_goes_on() {
    for on in BOTH {
        let (mut world, _outside) = daily(on, "10m").await;
        live_until(&mut world, "2026-01-16T01:58:00Z").await;
        let (mut world, backup) = world.backed_up().await;
        live_until(&mut world, "2026-01-16T02:03:00Z").await;
        assert_eq!(world.sandbox.books().payments.len(), 2, "{on:?}");
        let mut world = world.restarted(Some(&backup)).await;
        world.engine.take_name(false).await.unwrap();
        let expected = "SELECT CAST(strangers_left AS TEXT) AS line FROM installation";
        assert_eq!(world.lines(expected).await, ["1"], "{on:?}");
        live_until(&mut world, "2026-01-16T12:00:00Z").await;
        assert_eq!(reasons(&world).await, ["rewound"], "{on:?}");
        assert_eq!(
            world.lines(expected).await,
            ["0"],
            "{on:?}: the one that was lost has turned up, another would hold"
        );
        assert_eq!(beat(&world).await.held, None, "{on:?}");
        assert_whole(&world, 2, &format!("{on:?}")).await;
    }
}

#[tokio::test]
async fn after_a_gap_what_is_due_is_looked_up_before_it_is_sent_and_otherwise_is_not() {
    for on in BOTH {
        for (stopped_minutes, asked, wanted) in [(5, false, &[][..]), (11, false, &["gap"]), (5, true, &["asked"])] {
            let story = format!("{on:?} {stopped_minutes} {asked}");
            let (mut world, _outside) = daily(on, "10m").await;
            live_until(&mut world, "2026-01-16T01:58:00Z").await;
            let world = world.restarted(None).await;
            world.clock.advance_to(at("2026-01-16T01:58:00Z") + TimeDelta::minutes(stopped_minutes));
            let mut world = world;
            world.engine.take_name(asked).await.unwrap();
            assert_eq!(reasons(&world).await, wanted, "{story}");
            world.run_until("2026-01-16T02:12:00Z").await;
            let epochs = world.lines("SELECT CAST(lease_epoch AS TEXT) AS line FROM attempts ORDER BY id DESC").await;
            // A look-up before the send is a lease of its own.
            assert_eq!(epochs[0] > epochs[1], stopped_minutes > 5 || asked, "{story} {epochs:?}");
            assert_whole(&world, 2, &story).await;
        }
    }
}

#[tokio::test]
async fn a_mark_of_other_books_holds_before_anything_is_sent() {
    for on in BOTH {
        let (mut world, outside) = daily(on, "10m").await;
        std::fs::write(outside.path().join("sends"), "another-ledger node 5\n").unwrap();
        live_until(&mut world, "2026-01-16T12:00:00Z").await;
        assert_eq!(beat(&world).await.held.as_deref(), Some("other_ledger"), "{on:?}");
        assert_eq!(reasons(&world).await, ["other_ledger"], "{on:?}: told once, however often it comes round");
        assert!(world.sandbox.books().payments.len() <= 1, "{on:?}");
    }
}

#[tokio::test]
async fn a_mark_that_cannot_be_kept_lets_nothing_go_out() {
    for on in BOTH {
        let (mut world, outside) = daily(on, "10m").await;
        let place = outside.path().join("sends");
        let _not_there_yet = std::fs::remove_file(&place);
        std::fs::create_dir(&place).unwrap();
        world.run_until("2026-01-15T03:00:00Z").await;
        assert_eq!(world.sandbox.books().payments.len(), 0, "{on:?}");
        assert!(world.engine.beat().await.is_err(), "{on:?}");
        std::fs::remove_dir(&place).unwrap();
        world.engine.beat().await.unwrap();
        world.run_until("2026-01-15T12:00:00Z").await;
        assert_whole(&world, 1, &format!("{on:?}")).await;
    }
}

#[tokio::test]
async fn the_mark_of_a_daemon_that_was_renamed_tells_of_a_restore_and_of_nothing_else() {
    for on in BOTH {
        for (restored, wanted) in [(false, &[][..]), (true, &["rewound"])] {
            let (mut world, _outside) = daily(on, "2h").await;
            live_until(&mut world, "2026-01-16T12:00:00Z").await;
            let (mut world, backup) = world.backed_up().await;
            live_until(&mut world, "2026-01-16T12:30:00Z").await;
            for name in ["ORD-2", "ORD-3", "ORD-4"] {
                world.hand_over(name, "daily", "2026-01-16", None).await;
            }
            live_until(&mut world, "2026-01-16T13:00:00Z").await;
            world.settings.installation.node = "renamed".to_owned();
            let world = world.restarted(restored.then_some(backup.as_str())).await;
            world.engine.take_name(false).await.unwrap();
            assert_eq!(reasons(&world).await, wanted, "{on:?} {restored}");
            // Each of the three was sent once since the copy.
            let lost = world.store.fences(9).await.unwrap().iter().map(|it| it.lost_sends).sum::<i64>();
            assert_eq!(lost, if restored { 3 } else { 0 }, "{on:?}");
        }
    }
}

/// The whole machine is set back, the file outside the books too: only the gateway knows what is missing. Who canceled meanwhile is not
/// charged before that is seen, in whatever order things fall due.
#[tokio::test]
async fn nobody_is_charged_before_all_that_fell_due_was_looked_up() {
    let flags = [("protocol.gap", "2h"), ("engine.batch", "1"), ("engine.in_flight", "1")];
    for on in BOTH {
        for canceled_is_due in ["2026-01-17", "2026-01-19"] {
            let story = format!("{on:?} {canceled_is_due}");
            let outside = tempfile::tempdir().unwrap();
            let file = outside.path().join("sends").display().to_string();
            let flags: Vec<_> = flags.into_iter().chain([("installation.high_water_file", file.as_str())]).collect();
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
            world.engine.take_name(false).await.unwrap();
            // Its row is the first of all.
            world.hand_over("LEAVES", "weekly", canceled_is_due, None).await;
            world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
            live_until(&mut world, "2026-01-16T12:00:00Z").await;
            let (mut world, backup) = world.backed_up().await;
            let mark = std::fs::read(outside.path().join("sends")).unwrap();
            dues::engine::cancel::cancel(&world.store, "LEAVES", false, "left", "operator").await.unwrap();
            live_until(&mut world, "2026-01-18T23:00:00Z").await;
            let before = world.sandbox.books().payments.len();
            assert_eq!(before, 4, "{story}");

            std::fs::write(outside.path().join("sends"), mark).unwrap();
            let mut world = world.restarted(Some(&backup)).await;
            world.engine.take_name(false).await.unwrap();
            live_until(&mut world, "2026-01-20T12:00:00Z").await;
            assert_eq!(beat(&world).await.held.as_deref(), Some("stranger"), "{story}");
            assert_eq!(world.sandbox.books().payments.len(), before, "{story}: nobody was charged");
        }
    }
}

/// The same with so many that their look-ups take their time: who was looked up early waits for the last.
#[tokio::test]
async fn nobody_is_charged_while_others_wait_for_their_look_up() {
    for on in BOTH {
        let outside = tempfile::tempdir().unwrap();
        let file = outside.path().join("sends").display().to_string();
        let own = [("protocol.gap", "2h"), ("budget.reads_per_second", "1"), ("installation.high_water_file", &file)];
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &own).await;
        world.engine.take_name(false).await.unwrap();
        world.hand_over("LEAVES", "daily", "2026-01-17", None).await;
        for number in 1..=12 {
            // They have left long ago: nothing of theirs was charged in the time that is lost, but of the last.
            let anchor = if number == 12 { "2026-01-15" } else { "2026-01-17" };
            world.hand_over(&format!("ORD-{number}"), "daily", anchor, None).await;
        }
        live_until(&mut world, "2026-01-16T12:00:00Z").await;
        let (mut world, backup) = world.backed_up().await;
        let mark = std::fs::read(outside.path().join("sends")).unwrap();
        let names = world.lines("SELECT reference AS line FROM subscriptions WHERE reference <> 'ORD-12'").await;
        for name in names {
            dues::engine::cancel::cancel(&world.store, &name, false, "left", "operator").await.unwrap();
        }
        live_until(&mut world, "2026-01-17T12:00:00Z").await;
        let before = world.sandbox.books().payments.len();
        assert_eq!(before, 3, "{on:?}");

        std::fs::write(outside.path().join("sends"), mark).unwrap();
        let mut world = world.restarted(Some(&backup)).await;
        world.engine.take_name(false).await.unwrap();
        world.round.until_quiet().await.unwrap();
        beat(&world).await;
        let told = world.lines("SELECT condition AS line FROM nodes").await;
        assert!(told[0].starts_with("what fell due before now is looked up"), "{on:?}: {told:?}");
        live_until(&mut world, "2026-01-17T18:00:00Z").await;
        assert_eq!(beat(&world).await.held.as_deref(), Some("stranger"), "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), before, "{on:?}: nobody was charged");
    }
}

/// A daemon that was stopped for longer than the gap, with its process, sends nothing before it has come round and seen that.
#[tokio::test]
async fn a_daemon_that_overslept_looks_up_before_it_sends() {
    for on in BOTH {
        let (mut world, _outside) = daily(on, "2h").await;
        world.engine.steady.expect_rounds(world.clock.since_boot());
        live_until(&mut world, "2026-01-15T12:00:00Z").await;
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}");
        world.clock.advance_to(at("2026-01-16T12:00:00Z"));
        world.round.until_quiet().await.unwrap();
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}: due, and not sent");
        beat(&world).await;
        assert_eq!(reasons(&world).await, ["gap"], "{on:?}");
        live_until(&mut world, "2026-01-16T13:00:00Z").await;
        assert_whole(&world, 2, &format!("{on:?}")).await;
    }
}
