//! The gateway's trouble is not the customer's: refused keys, rate limits, server errors. Nothing is burnt, and all of it is collected
//! afterwards.

use std::time::Duration;

use dues::sandbox::{Effect, Fault, On, Rule, Script};

use crate::support::world::{BOTH, World, at};

#[tokio::test]
async fn six_hours_of_a_refused_key_burn_nothing_and_change_no_state() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        for reference in ["ORD-1", "ORD-2", "ORD-3"] {
            world.hand_over(reference, "monthly", "2026-01-20", None).await;
        }
        world.sandbox.set_unauthorised(true);
        world.run_until("2026-01-20T08:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 due", "ORD-2/0 due", "ORD-3/0 due"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active", "ORD-2 active", "ORD-3 active"], "{on:?}");
        let burnt = world.lines("SELECT CAST(SUM(sends) AS TEXT) AS line FROM attempts").await;
        assert_eq!(burnt, ["0"], "{on:?}");
        world.sandbox.set_unauthorised(false);
        world.run_until("2026-01-20T09:00:00Z").await;
        assert_eq!(
            world.attempts().await,
            ["ORD-1/0/1 captured", "ORD-2/0/1 captured", "ORD-3/0/1 captured"],
            "{on:?}"
        );
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_key_refused_while_payments_are_pending_loses_none_of_them() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T02:00:10Z").await;
        world.sandbox.set_unauthorised(true);
        world.run_until("2026-01-20T08:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
        world.sandbox.set_unauthorised(false);
        world.run_until("2026-01-20T09:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_lost_right_to_charge_sends_two_charges_to_a_person_and_holds_back_all_others() {
    for on in BOTH {
        let flags = [("plans.weekly.billing_hour", "11")];
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
        let slow = Rule::new("slow", Effect::Settle { outcome: None, after: Some(Duration::from_hours(3)) });
        let forbidden = Rule::fault("no right to charge", Fault::Forbidden);
        world.sandbox.set_script(Script::of([
            slow.for_customer("ord-0@example.com"),
            forbidden.between(at("2026-01-20T02:30:00Z"), at("2026-01-20T08:00:00Z")),
        ]));
        world.hand_over("ORD-0", "monthly", "2026-01-20", None).await;
        for reference in ["ORD-1", "ORD-2", "ORD-3", "ORD-4", "ORD-5"] {
            world.hand_over(reference, "weekly", "2026-01-20", None).await;
        }
        world.run_until("2026-01-20T07:59:00Z").await;

        let mut states = world.attempts().await;
        assert_eq!(states.remove(0), "ORD-0/0/1 captured", "{on:?}: reads go on");
        let rejected = states.iter().filter(|state| state.ends_with("rejected")).count();
        let waiting = states.iter().filter(|state| state.ends_with("created")).count();
        assert_eq!((rejected, waiting), (2, 3), "{on:?} {states:?}");
        assert_eq!(world.reviews().await, ["rejected", "rejected"], "{on:?}");
        let sends = "SELECT CAST(SUM(sends) AS TEXT) AS line FROM attempts WHERE state = 'created'";
        assert_eq!(world.lines(sends).await, ["0"], "{on:?}: every send is given back");
        let state = world.engine.gate.state();
        assert!(!state.closed && state.cause.unwrap().contains("refuses our requests (403)"), "{on:?}");
        let sent: u32 = world.sandbox.books().key_sends.values().sum();
        assert!(sent < 1 + 5 + 35, "{on:?}: one probe in ten minutes, not {sent} sends");

        world.run_until("2026-01-20T10:00:00Z").await;
        let captured = world.attempts().await.iter().filter(|state| state.ends_with("captured")).count();
        assert_eq!(captured, 4, "{on:?}");
        assert!(world.engine.gate.state().closed, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_that_alone_is_forbidden_holds_back_no_other() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let forbidden = Rule::fault("this one", Fault::Forbidden).for_customer("ord-2@example.com");
        world.sandbox.set_script(Script::of([forbidden]));
        for reference in ["ORD-1", "ORD-2", "ORD-3"] {
            world.hand_over(reference, "daily", "2026-01-20", None).await;
        }
        world.run_until("2026-01-23T12:00:00Z").await;
        let states = world.attempts().await;
        let rejected = states.iter().filter(|state| state.ends_with("rejected")).count();
        let captured = states.iter().filter(|state| state.ends_with("captured")).count();
        assert_eq!((rejected, captured), (4, 8), "{on:?} {states:?}");
        let evidence = world.lines("SELECT evidence AS line FROM review_cases WHERE reason = 'rejected'").await;
        assert!(evidence.iter().all(|line| line.ends_with(" with HTTP 403 and no error code")), "{on:?} {evidence:?}");
        assert!(world.engine.gate.state().closed, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn an_open_circuit_closes_by_a_look_although_nothing_is_to_be_sent() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("circuit.failures", "1")]).await;
        let down = Rule::fault("reads are down", Fault::ErrorBefore(503)).on(On::Get);
        let down = down.between(at("2026-01-20T00:00:00Z"), at("2026-01-20T04:00:00Z"));
        world.sandbox.set_script(Script::of([down]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T03:59:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
        assert!(!world.engine.gate.state().closed, "{on:?}");
        world.run_until("2026-01-20T04:30:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        assert!(world.engine.gate.state().closed, "{on:?}");
    }
}

#[tokio::test]
async fn a_rate_limit_storm_pauses_and_burns_no_attempt() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let storm = Rule::fault("storm", Fault::RateLimited);
        world.sandbox.set_script(Script::of([storm.between(at("2026-01-20T00:00:00Z"), at("2026-01-20T02:05:00Z"))]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.hand_over("ORD-2", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T02:04:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 due", "ORD-2/0 due"], "{on:?}");
        world.run_until("2026-01-20T03:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured", "ORD-2/0/1 captured"], "{on:?}");
        assert_eq!(world.lines("SELECT CAST(SUM(sends) AS TEXT) AS line FROM attempts").await, ["2"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_rate_limit_storm_is_told_and_ends_in_one_probe_now_and_then() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let storm = Rule::fault("storm", Fault::RateLimited).on(On::Post);
        world.sandbox.set_script(Script::of([storm.between(at("2026-01-20T00:00:00Z"), at("2026-01-20T03:00:00Z"))]));
        for number in 0..12 {
            world.hand_over(&format!("ORD-{number:02}"), "monthly", "2026-01-20", None).await;
        }
        let leased = "SELECT CAST(SUM(lease_epoch) AS TEXT) AS line FROM attempts";
        world.run_until("2026-01-20T02:01:00Z").await;
        let first_minute = posts(&world);
        assert!(first_minute <= 12 * 5, "{on:?}: five volleys at the most, not {first_minute} requests");
        world.run_until("2026-01-20T02:10:00Z").await;
        let (posts, leases) = (posts(&world), world.lines(leased).await);
        let state = world.engine.gate.state();
        assert!(!state.closed && state.cause.is_some_and(|it| it.contains("limits our rate (429)")), "{on:?}");
        assert_eq!(world.engine.gate.figures(world.clock.now()).cause, Some("rate_limited"), "{on:?}");
        world.engine.beat().await.unwrap();
        let condition = world.lines("SELECT COALESCE(condition, '-') AS line FROM nodes").await;
        assert!(condition[0].contains("limits our rate (429)"), "{on:?} {condition:?}");

        world.clock.advance(Duration::from_secs(10));
        world.round.until_quiet().await.unwrap();
        assert_eq!(world.lines(leased).await, leases, "{on:?}: nothing is claimed while none may go");
        world.run_until("2026-01-20T02:20:10Z").await;
        let probes = self::posts(&world) - posts;
        assert!((10..=20).contains(&probes), "{on:?}: one in half a minute at the most, not {probes} in ten");

        world.run_until("2026-01-20T04:00:00Z").await;
        assert!(world.engine.gate.state().closed, "{on:?}");
        let states = world.attempts().await;
        assert!(states.iter().all(|state| state.ends_with("/1 captured")), "{on:?} {states:?}");
        let once = world.lines("SELECT CAST(MAX(sends) AS TEXT) AS line FROM attempts").await;
        assert_eq!(once, ["1"], "{on:?}: what was not taken is given back");
        assert_eq!(world.lines("SELECT state AS line FROM dunning_cases").await, [""; 0], "{on:?}: no step is spent");
        world.assert_books_agree().await;
    }
}

/// POST requests that the gateway was sent.
fn posts(world: &World) -> u64 {
    world.engine.gate.figures(world.clock.now()).writes.spent
}

#[tokio::test]
async fn payments_alone_that_fail_are_held_back_although_looks_are_answered() {
    for on in BOTH {
        // So many unknown outcomes are let be that nothing but the circuit holds sending back.
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("protocol.unknown_limit", "1000")]).await;
        let storm = Rule::fault("storm", Fault::ErrorBefore(503)).on(On::Post);
        world.sandbox.set_script(Script::of([storm.between(at("2026-01-20T00:00:00Z"), at("2026-01-20T02:10:00Z"))]));
        for number in 0..40 {
            world.hand_over(&format!("ORD-{number:02}"), "monthly", "2026-01-20", None).await;
        }
        world.run_until("2026-01-20T02:00:00Z").await;
        let volley = posts(&world);
        assert!(volley < 12, "{on:?}: a burst of the budget, not {volley}");
        let state = world.engine.gate.state();
        let cause = state.cause.unwrap_or_default();
        assert!(!state.closed && cause.contains("POST requests met server errors or silence"), "{on:?} {cause}");
        let looked = "SELECT CAST(COUNT(*) AS TEXT) AS line FROM attempts WHERE state = 'unknown' AND looks > 0";
        assert_eq!(world.lines(looked).await, [volley.to_string()], "{on:?}: all that was sent is looked up at once");
        world.run_until("2026-01-20T02:09:59Z").await;
        assert!(!world.engine.gate.state().closed, "{on:?}: no look-up closes it");
        let probes = posts(&world) - volley;
        assert!((10..=20).contains(&probes), "{on:?}: one in half a minute at the most, not {probes} in ten");
        world.run_until("2026-01-20T02:11:00Z").await;
        assert!(world.engine.gate.state().closed, "{on:?}: a payment does");
        world.run_until("2026-01-20T08:00:00Z").await;
        let states = world.attempts().await;
        assert!(states.iter().all(|state| state.ends_with("/1 captured")), "{on:?} {states:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_storm_of_server_errors_opens_the_circuit_and_one_probe_ends_it() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let storm = Rule::fault("storm", Fault::ErrorBefore(503)).on(On::Any);
        world.sandbox.set_script(Script::of([storm.between(at("2026-01-20T00:00:00Z"), at("2026-01-20T03:00:00Z"))]));
        for reference in ["ORD-1", "ORD-2", "ORD-3", "ORD-4", "ORD-5", "ORD-6"] {
            world.hand_over(reference, "monthly", "2026-01-20", None).await;
        }
        world.run_until("2026-01-20T02:59:00Z").await;
        assert!(!world.engine.gate.state().closed, "{on:?}");
        let cause = world.engine.gate.state().cause.unwrap_or_default();
        assert!(cause.contains("last: api.checkout.com, HTTP 503; see"), "{on:?} {cause}");
        // Two hours of watching follow a server error before a key is sent again.
        world.run_until("2026-01-20T08:00:00Z").await;
        assert!(world.engine.gate.state().closed, "{on:?}");
        let states = world.attempts().await;
        assert!(states.iter().all(|state| state.ends_with("/1 captured")), "{on:?} {states:?}");
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.assert_books_agree().await;
    }
}
