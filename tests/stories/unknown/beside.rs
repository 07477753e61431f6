//! Two payments of one period that may both take money, first payments whose answer was lost, and looks that never conclude.

use std::time::Duration;

use dues::domain::calendar::Zone;
use dues::engine::begin::Beginning;
use dues::gateway::payments::Terminal;
use dues::sandbox::{Effect, Fault, On as Meets, Outcome, Rule, Script};
use dues::store::customers::NewCustomer;

use super::lost::{assert_paid_once, due_under, sends};
use crate::support::world::{BOTH, On, World, at, source_of};

fn captured_after(hours: u64) -> Rule {
    let after = Some(Duration::from_hours(hours));
    Rule::new("late", Effect::Settle { outcome: Some(Outcome::Capture), after })
}

/// Until `until` every read shows the payment as Declined, whatever it is.
fn shown_declined(until: &str) -> Rule {
    Rule::fault("declined", Fault::Status("Declined".to_owned())).between(at("2026-01-20T00:00:00Z"), at(until))
}

/// From the second day on, one request is lost on its way.
fn second_request_lost() -> Rule {
    Rule::fault("lost", Fault::LostRequest).times(1).between(at("2026-01-21T00:00:00Z"), at("2026-02-01T00:00:00Z"))
}

#[tokio::test]
async fn a_decline_that_turns_captured_beside_a_retry_that_may_have_been_sent_is_a_double() {
    for on in BOTH {
        let rules = vec![shown_declined("2026-01-21T02:00:20Z"), second_request_lost()];
        let mut world = due_under(on, &[], rules).await;
        world.run_until("2026-01-21T02:10:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured", "ORD-1/0/2 superseded"], "{on:?}");
        assert_eq!(world.reviews().await, ["double"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_retry_that_was_not_sent_follows_the_earlier_payment_that_is_open_after_all() {
    for on in BOTH {
        let mut world = due_under(on, &[], vec![captured_after(30), shown_declined("2026-01-21T01:59:59Z")]).await;
        world.run_until("2026-01-21T03:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 declined", "ORD-1/0/2 pending"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 1", "2 0"], "{on:?}");
        world.run_until("2026-01-21T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn an_open_payment_beside_a_retry_that_may_have_been_sent_is_a_persons_and_still_looked_at() {
    for on in BOTH {
        let rules = vec![captured_after(30), shown_declined("2026-01-21T02:00:20Z"), second_request_lost()];
        let mut world = due_under(on, &[], rules).await;
        world.run_until("2026-01-21T07:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(world.reviews().await, ["double"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 1", "2 1"], "{on:?}: nothing more is sent");
        world.run_until("2026-01-21T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured", "ORD-1/0/2 superseded"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_look_that_never_concludes_is_shown_to_a_person_and_goes_on() {
    for on in BOTH {
        let broken = Rule::fault("broken", Fault::HtmlBody)
            .on(Meets::Get)
            .between(at("2026-01-20T00:00:00Z"), at("2026-01-24T00:00:00Z"));
        let mut world = due_under(on, &[], vec![broken]).await;
        world.run_until("2026-01-23T01:00:00Z").await;
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.run_until("2026-01-23T03:00:00Z").await;
        assert_eq!(world.reviews().await, ["pending_too_long"], "{on:?}");
        world.run_until("2026-01-25T00:00:00Z").await;
        assert_paid_once(&world, &format!("{on:?}")).await;
    }
}

async fn first_payment_under(on: On, flags: &[(&str, &str)], rules: Vec<Rule>) -> World {
    let world = World::new(on, "2026-01-15T04:00:00Z", flags).await;
    world.sandbox.set_script(Script::of(rules));
    let beginning = Beginning {
        reference: "ORD-1".to_owned(),
        plan: "monthly".to_owned(),
        customer: NewCustomer {
            reference: "ORD-1".to_owned(),
            name: Some("Wallet Customer".to_owned()),
            email: Some("customer@example.com".to_owned()),
            country: "HK".to_owned(),
        },
        zone: "Asia/Hong_Kong".parse::<Zone>().unwrap(),
        anchor_on: None,
        terminal: Terminal::Web,
        another: false,
    };
    world.engine.begin(&beginning).await.unwrap();
    world
}

#[tokio::test]
async fn a_first_payment_whose_answer_was_lost_learns_its_source_by_its_own_key() {
    for on in BOTH {
        let mut world = first_payment_under(on, &[], vec![Rule::fault("lost", Fault::LostResponse).times(2)]).await;
        // What was committed may have been sent a minute later, and a key rests for half a minute from then.
        world.run_until("2026-01-15T04:01:29Z").await;
        assert_eq!(sends(&world).await, ["1 1"], "{on:?}: its key rests");
        world.run_until("2026-01-15T04:05:00Z").await;
        assert_eq!(sends(&world).await, ["1 3"], "{on:?}: the second answer was lost as well");
        let payments = world.sandbox.books().payments;
        assert_eq!(payments.len(), 1, "{on:?}");
        assert!(world.sandbox.approve(&payments[0].id));
        world.run_until("2026-01-15T08:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        assert_paid_once(&world, &format!("{on:?}")).await;
    }
}

#[tokio::test]
async fn a_first_payment_that_was_captured_before_its_source_was_known_learns_it_too() {
    for on in BOTH {
        let at_once = Effect::Settle { outcome: Some(Outcome::Capture), after: Some(Duration::ZERO) };
        let rules = vec![Rule::new("at once", at_once), Rule::fault("lost", Fault::LostResponse).times(1)];
        let mut world = first_payment_under(on, &[], rules).await;
        world.run_until("2026-01-15T08:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        assert_paid_once(&world, &format!("{on:?}")).await;
    }
}

#[tokio::test]
async fn a_first_payment_behind_a_server_error_is_not_sent_again_and_a_person_is_asked_for_its_source() {
    for on in BOTH {
        let at_once = Effect::Settle { outcome: Some(Outcome::Capture), after: Some(Duration::ZERO) };
        let rules = vec![Rule::new("at once", at_once), Rule::fault("after", Fault::ErrorAfter(502)).times(1)];
        let mut world = first_payment_under(on, &[], rules).await;
        world.run_until("2026-01-15T08:00:00Z").await;
        assert_eq!(sends(&world).await, ["1 1"], "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.reviews().await, ["source_unknown"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_first_payment_that_never_arrived_is_never_followed_by_a_retry_without_a_source() {
    for on in BOTH {
        let flags = [("protocol.auto_after_window", "true"), ("protocol.resend", "never")];
        let lost = vec![Rule::fault("lost", Fault::LostRequest).times(1)];
        let mut world = first_payment_under(on, &flags, lost).await;
        world.hand_over_on(&source_of("ORD-2"), "ORD-2", "daily", "2026-01-15", None).await;
        world.run_until("2026-01-18T00:00:00Z").await;
        assert_eq!(world.charges().await[0], "ORD-1/0 in_review", "{on:?}");
        assert_eq!(world.reviews().await, ["unresolved"], "{on:?}");
    }
}

#[tokio::test]
async fn when_several_cases_recover_at_once_the_subscription_is_not_left_behind() {
    for on in BOTH {
        let empty = |from: &str, until: &str| Rule::decline("empty", "20051").between(at(from), at(until));
        let mut world = World::new(on, "2026-01-19T00:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([
            empty("2026-01-20T00:00:00Z", "2026-01-21T12:00:00Z"),
            empty("2026-01-23T00:00:00Z", "2026-01-23T12:00:00Z"),
        ]));
        world.hand_over("ORD-1", "daily", "2026-01-20", None).await;
        world.run_until("2026-01-24T01:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 past_due"], "{on:?}");
        world.run_until("2026-01-24T06:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.assert_books_agree().await;
    }
}
