//! Troubles of the gateway and of the network, and what stands in the books afterwards: never a second charge, never a silent one,
//! never a customer blamed. Each story runs on both databases.

use std::time::Duration;

use crate::support::world::{BOTH, World, at};
use dues::sandbox::{Effect, Fault, On as Requests, Outcome, Rule, Script};

async fn world(on: crate::support::world::On, flags: &[(&str, &str)], rules: Vec<Rule>) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", flags).await;
    world.sandbox.set_script(Script::of(rules));
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    world
}

#[tokio::test]
async fn a_request_that_never_arrived_is_sent_again_with_its_own_key() {
    for on in BOTH {
        let mut world = world(on, &[], vec![Rule::fault("lost", Fault::LostRequest).times(1)]).await;
        world.run_until("2026-01-20T02:10:00Z").await;
        assert_eq!(
            world.attempts().await,
            ["ORD-1/0/1 unknown"],
            "{on:?}: absence takes a quarter of an hour to believe"
        );
        world.run_until("2026-01-21T00:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        let sends = world.lines("SELECT CAST(sends AS TEXT) AS line FROM attempts").await;
        assert_eq!(sends, ["2"], "{on:?}");
        assert_eq!(world.sandbox.books().key_sends.len(), 1, "{on:?}: one key");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn an_error_that_hides_the_effect_is_looked_up() {
    for on in BOTH {
        for fault in
            [Fault::ErrorAfter(502), Fault::ErrorBefore(503), Fault::TruncatedBody, Fault::HtmlBody, Fault::Huge]
        {
            let mut world = world(on, &[], vec![Rule::fault("trouble", fault.clone()).times(1)]).await;
            world.run_until("2026-01-21T00:00:00Z").await;
            assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?} {fault:?}");
            assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?} {fault:?}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn a_look_up_that_does_not_conclude_never_proves_absence() {
    for on in BOTH {
        let blind = Rule::fault("blind", Fault::ErrorBefore(503))
            .on(Requests::Get)
            .between(at("2026-01-20T02:00:00Z"), at("2026-01-20T03:00:00Z"));
        let mut world = world(on, &[], vec![Rule::fault("lost", Fault::LostResponse).times(1), blind]).await;
        world.run_until("2026-01-20T02:59:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 unknown"], "{on:?}");
        world.run_until("2026-01-21T00:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_pending_for_days_is_shown_to_a_person_and_never_charged_again() {
    for on in BOTH {
        let slow = Rule::new("slow", Effect::Settle { outcome: None, after: Some(Duration::from_secs(5 * 86_400)) });
        let mut world = world(on, &[], vec![slow]).await;
        world.run_until("2026-01-24T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(world.reviews().await, ["pending_too_long"], "{on:?}");
        world.run_until("2026-01-27T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.reviews().await, [""; 0], "{on:?}: the outcome answered it");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_that_never_ends_always_has_a_next_look() {
    for on in BOTH {
        let mut world = world(on, &[], vec![Rule::outcome("for ever", Outcome::Pending)]).await;
        world.run_until("2026-02-15T00:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
        let next =
            world.lines("SELECT CAST(COUNT(*) AS TEXT) AS line FROM attempts WHERE next_at > '2026-02-15'").await;
        assert_eq!(next, ["1"], "{on:?}");
    }
}

#[tokio::test]
async fn an_id_that_the_gateway_does_not_know_is_not_unpaid() {
    for on in BOTH {
        let late = Rule::new("late", Effect::Lag { lookup: None, read: Some(Duration::from_secs(7200)) });
        let mut world = world(on, &[], vec![late]).await;
        world.run_until("2026-01-20T03:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(world.reviews().await, ["not_found"], "{on:?}");
        world.run_until("2026-01-22T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_status_nobody_knows_is_neither_paid_nor_failed() {
    for on in BOTH {
        let odd = Rule::fault("odd", Fault::Status("On Hold".to_owned()))
            .on(Requests::Get)
            .between(at("2026-01-20T00:00:00Z"), at("2026-01-20T12:00:00Z"));
        let mut world = world(on, &[], vec![odd]).await;
        world.run_until("2026-01-20T11:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
        world.run_until("2026-01-22T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_refused_key_costs_no_customer_anything() {
    for on in BOTH {
        let mut world = world(on, &[], Vec::new()).await;
        world.sandbox.set_unauthorised(true);
        world.run_until("2026-01-20T08:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 due"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        let sends = world.lines("SELECT CAST(sends AS TEXT) AS line FROM attempts").await;
        assert_eq!(sends, ["0"], "{on:?}: every send is given back");
        assert!(!world.engine.gate.state().closed, "{on:?}: sending pauses");
        world.sandbox.set_unauthorised(false);
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_storm_of_errors_and_refusals_burns_no_attempt() {
    for on in BOTH {
        for fault in [Fault::RateLimited, Fault::ErrorBefore(500)] {
            let storm = Rule::fault("storm", fault.clone())
                .on(Requests::Any)
                .between(at("2026-01-20T00:00:00Z"), at("2026-01-20T02:20:00Z"));
            let mut world = world(on, &[], vec![storm]).await;
            world.run_until("2026-01-21T00:00:00Z").await;
            assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?} {fault:?}");
            assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?} {fault:?}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn past_its_keys_life_an_absent_attempt_is_a_persons_question_or_has_a_witness() {
    for on in BOTH {
        let lost = || vec![Rule::fault("lost", Fault::LostRequest).times(1)];
        let never = ("protocol.resend", "never");
        let mut alone = world(on, &[never], lost()).await;
        alone.run_until("2026-01-25T00:00:00Z").await;
        assert_eq!(alone.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(alone.reviews().await, ["unresolved"], "{on:?}");
        assert_eq!(alone.sandbox.books().payments.len(), 0, "{on:?}");

        let mut seen = world(on, &[never, ("protocol.auto_after_window", "true")], lost()).await;
        seen.hand_over("ORD-2", "weekly", "2026-01-21", None).await;
        seen.run_until("2026-01-25T00:00:00Z").await;
        assert_eq!(
            seen.attempts().await,
            ["ORD-1/0/1 absent", "ORD-1/0/2 captured", "ORD-2/0/1 captured"],
            "{on:?}: a later payment that a look-up finds proves that look-ups work"
        );
        let steps = seen.lines("SELECT CAST(steps AS TEXT) AS line FROM dunning_cases").await;
        assert_eq!(steps, ["0"], "{on:?}: no step is spent on trouble that was not the customer's");
        seen.assert_books_agree().await;
    }
}
