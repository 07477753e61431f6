//! The brake on a day that would charge more than was planned, and the limit on outcomes that stay unknown.

use chrono::{Days, TimeDelta};
use dues::engine::lift;
use dues::sandbox::{Fault, Rule, Script};
use dues::store::db::Statement;
use dues::store::fences::NewFence;

use crate::support::world::{BOTH, On, World, at};

/// Thirty monthly subscriptions that fall due on the 20th, whose day was planned on the 19th.
async fn planned(on: On, flags: &[(&str, &str)]) -> World {
    let mut all = vec![("installation.high_water_file", "none")];
    all.extend(flags);
    let world = World::new(on, "2026-01-18T00:00:00Z", &all).await;
    world.engine.take_name(false).await.unwrap();
    for number in 0..30 {
        world.hand_over(&format!("ORD-{number:02}"), "monthly", "2026-01-20", None).await;
    }
    world.clock.advance_to(at("2026-01-19T00:00:00Z"));
    world.engine.beat().await.unwrap();
    world
}

/// Forty daily subscriptions from the 15th on.
async fn daily(on: On) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", &[("installation.high_water_file", "none")]).await;
    world.engine.take_name(false).await.unwrap();
    for number in 0..40 {
        world.hand_over(&format!("ORD-{number:02}"), "daily", "2026-01-15", None).await;
    }
    world
}

/// Holds everything until it is acknowledged.
async fn hold(world: &World) {
    let mut tx = world.store.begin("hold").await.unwrap();
    let hold = NewFence { reason: "stranger", detail: "who is it".to_owned(), lost_sends: 0, holds: true };
    tx.raise_fence(&hold, "node", world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// The daemon comes round on the day that is so many after the 15th, and opens what begins.
async fn begin_day(world: &World, day: i64) {
    world.clock.advance_to(at("2026-01-15T02:00:00Z") + TimeDelta::days(day));
    world.engine.beat().await.unwrap();
    while world.engine.bill().await.unwrap().more {}
}

async fn run(world: &World, text: &'static str) {
    let mut tx = world.store.begin("slip").await.unwrap();
    tx.run(Statement::new(text)).await.unwrap();
    tx.commit().await.unwrap();
}

/// Whatever made them, so many more stand in the books that are like this one, and that nobody planned or granted.
async fn again(world: &World, like: &str, count: u32) {
    let subscriptions = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO subscriptions (public_id, reference, customer_id, source_id, state, handed_over_at, next_index, \
         next_charge_at, bill_at, created_at) SELECT 'sub_' || n.i, 'AGAIN-' || n.i, s.customer_id, s.source_id, 'active', \
         s.handed_over_at, 0, s.next_charge_at, s.bill_at, s.created_at FROM n, subscriptions s WHERE s.reference = '{like}'"
    );
    run(world, subscriptions.leak()).await;
    let segments = format!(
        "INSERT INTO segments (subscription_id, first_index, plan_id, anchor_on, zone, hour, interval_unit, interval_count) \
         SELECT s.id, 0, g.plan_id, g.anchor_on, g.zone, g.hour, g.interval_unit, g.interval_count FROM subscriptions s, \
         segments g JOIN subscriptions o ON o.id = g.subscription_id WHERE o.reference = '{like}' AND s.reference LIKE 'AGAIN-%'"
    );
    run(world, segments.leak()).await;
}

async fn braked(world: &World) -> bool {
    world.engine.beat().await.unwrap().braked.is_some()
}

#[tokio::test]
async fn a_day_as_it_was_planned_is_charged() {
    for on in BOTH {
        let mut world = planned(on, &[]).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert!(!braked(&world).await, "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 30, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_price_a_hundred_times_too_high_is_stopped_after_a_few_charges() {
    for on in BOTH {
        let mut world = planned(on, &[]).await;
        run(&world, "UPDATE plans SET amount_minor = 1280000 WHERE name = 'monthly'").await;
        let mut world_after = world.restarted(None).await;
        world_after.run_until("2026-01-20T12:00:00Z").await;
        assert!(braked(&world_after).await, "{on:?}");
        assert_eq!(world_after.reviews().await, ["brake"], "{on:?}");
        assert!(world_after.sandbox.books().payments.len() < 20, "{on:?}");
        world = world_after;
        world.run_until("2026-01-21T12:00:00Z").await;
        assert!(world.sandbox.books().payments.len() < 20, "{on:?}: it stays stopped");
    }
}

#[tokio::test]
async fn a_second_scheduler_that_doubles_the_day_is_stopped_and_an_operator_lets_it_go_on() {
    for on in BOTH {
        let mut world = planned(on, &[]).await;
        again(&world, "ORD-00", 60).await;
        world.run_until("2026-01-20T02:05:00Z").await;
        assert!(braked(&world).await, "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 65, "{on:?}: half as much again and twenty more");

        let mut tx = world.store.begin("resume").await.unwrap();
        let granted = tx.release_brake(world.clock.now().date_naive(), world.clock.now()).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        assert_eq!(granted[0].count, 25, "{on:?}");
        // What was put off when the plan was exceeded does not wait for its next look.
        world.run_until("2026-01-20T02:05:20Z").await;
        assert_eq!(world.sandbox.books().payments.len(), 90, "{on:?}: within seconds");
        world.run_until("2026-01-21T00:00:00Z").await;
        assert!(!braked(&world).await, "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 90, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_catch_up_after_three_days_is_no_exceeded_plan() {
    for on in BOTH {
        let mut world = daily(on).await;
        world.run_until("2026-01-15T12:00:00Z").await;
        world.engine.beat().await.unwrap();
        // Three days pass without a daemon.
        world.clock.advance(std::time::Duration::from_hours(72));
        world.engine.take_name(false).await.unwrap();
        for day in 0..6 {
            let until = at("2026-01-18T23:00:00Z") + TimeDelta::days(day);
            world.engine.beat().await.unwrap();
            world.run_until(&until.to_rfc3339()).await;
            assert!(!braked(&world).await, "{on:?} day {day}");
        }
        let paid = world.charges().await.iter().filter(|it| it.ends_with(" paid")).count();
        assert_eq!(paid, 40 * 9, "{on:?}: nothing was forgotten");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn days_that_the_gateway_was_away_are_owed_to_the_day_on_which_it_is_back() {
    for on in BOTH {
        let mut world = daily(on).await;
        world.sandbox.set_unauthorised(true);
        for day in 0..3 {
            world.engine.beat().await.unwrap();
            world.run_until(&(at("2026-01-15T23:00:00Z") + TimeDelta::days(day)).to_rfc3339()).await;
        }
        world.sandbox.set_unauthorised(false);
        for day in 3..6 {
            world.engine.beat().await.unwrap();
            world.run_until(&(at("2026-01-15T23:00:00Z") + TimeDelta::days(day)).to_rfc3339()).await;
            let plans = world
                .lines(
                    "SELECT day || ' ' || planned_count || '+' || granted_count || '-' || sent_count AS line FROM daily_plans \
                     WHERE currency = 'HKD' ORDER BY day",
                )
                .await;
            assert!(!braked(&world).await, "{on:?} day {day}: {plans:?}");
        }
        let plan = world.store.plans_of_day(world.clock.now().date_naive() - Days::new(1)).await.unwrap();
        assert_eq!(plan.iter().filter(|plan| plan.planned_count > 0).count(), 1, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn what_stood_under_a_hold_for_twenty_days_is_no_exceeded_plan_when_it_is_lifted() {
    for on in BOTH {
        let mut world = daily(on).await;
        hold(&world).await;
        for day in 0..20 {
            begin_day(&world, day).await;
        }
        let standing = world.charges().await.len();
        assert!(standing > 400, "{on:?}: more than a week of plans: {standing}");
        assert!(lift::acknowledge(&world.store, i64::MAX, "read it", "operator").await.unwrap().is_some(), "{on:?}");
        world.run_until("2026-02-03T20:00:00Z").await;
        assert!(!braked(&world).await, "{on:?}");
        assert!(world.sandbox.books().payments.len() >= standing, "{on:?}");
        world.assert_books_agree().await;

        // The day after is as tight as any other.
        world.clock.advance_to(at("2026-02-04T01:00:00Z"));
        world.engine.beat().await.unwrap();
        run(&world, "UPDATE plans SET amount_minor = 10000 WHERE name = 'daily'").await;
        let mut world = world.restarted(None).await;
        world.run_until("2026-02-04T20:00:00Z").await;
        assert!(braked(&world).await, "{on:?}: a price a hundred times too high");
    }
}

#[tokio::test]
async fn what_nobody_planned_is_not_owed_because_it_stood_under_a_hold() {
    for on in BOTH {
        let mut world = daily(on).await;
        hold(&world).await;
        for day in 0..9 {
            if day == 3 {
                world.hand_over("ORD-M", "weekly", "2026-01-17", None).await;
                again(&world, "ORD-M", 200).await;
            }
            begin_day(&world, day).await;
        }
        assert!(lift::acknowledge(&world.store, i64::MAX, "read it", "operator").await.unwrap().is_some(), "{on:?}");
        world.run_until("2026-01-23T20:00:00Z").await;
        assert!(braked(&world).await, "{on:?}: {}", world.sandbox.books().payments.len());
        let waiting = world.store.waiting_by(world.clock.now().date_naive()).await.unwrap();
        let granted = lift::resume_collecting(&world.store, "they are right", "operator").await.unwrap().unwrap();
        assert!(granted[0].count <= waiting[0].count, "{on:?}");
        world.run_until("2026-01-24T00:00:00Z").await;
        assert!(!braked(&world).await, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn while_too_many_outcomes_are_unknown_one_request_probes_every_half_minute() {
    for on in BOTH {
        let mut world = planned(on, &[("engine.in_flight", "6"), ("engine.batch", "6")]).await;
        world.sandbox.set_script(Script::of([Rule::fault("lost", Fault::LostRequest)]));
        world.run_until("2026-01-20T02:00:20Z").await;
        let sends = async || world.lines("SELECT CAST(SUM(sends) AS TEXT) AS line FROM attempts").await[0].clone();
        assert!(sends().await.parse::<i64>().unwrap() <= 12, "{on:?} {}", sends().await);
        let early: i64 = sends().await.parse().unwrap();
        world.run_until("2026-01-20T02:03:20Z").await;
        let later: i64 = world.lines("SELECT CAST(SUM(sends) AS TEXT) AS line FROM attempts").await[0].parse().unwrap();
        assert!((1..=7).contains(&(later - early)), "{on:?} {early} {later}");
        world.sandbox.set_script(Script::default());
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.sandbox.books().payments.len(), 30, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn what_a_catch_up_puts_on_a_later_day_is_added_to_that_days_plan() {
    for on in BOTH {
        let world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "weekly", "2026-01-16", None).await;
        // Two periods begin without a daemon: one is billed today, the other tomorrow.
        world.clock.advance_to(at("2026-01-24T12:00:00Z"));
        world.engine.beat().await.unwrap();
        assert_eq!(world.engine.bill().await.unwrap().done, 1, "{on:?}");
        let plans = "SELECT day || ' ' || planned_count || '+' || granted_count || ' ' || granted_minor AS line FROM daily_plans \
             WHERE currency = 'HKD' ORDER BY day";
        assert_eq!(world.lines(plans).await, ["2026-01-24 1+0 0", "2026-01-25 0+1 1100"], "{on:?}");
    }
}

/// What was put on a later day is not waited for by what is due today, although both fell due in the gap.
#[tokio::test]
async fn what_a_catch_up_puts_on_a_later_day_holds_back_nothing_of_today() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.engine.take_name(false).await.unwrap();
        world.engine.beat().await.unwrap();
        world.hand_over("ORD-1", "weekly", "2026-01-16", None).await;
        world.clock.advance_to(at("2026-01-24T12:00:00Z"));
        world.engine.beat().await.unwrap();
        assert_eq!(world.store.fences(1).await.unwrap()[0].reason, "gap", "{on:?}");
        world.run_until("2026-01-24T12:05:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 due"], "{on:?}");
    }
}
