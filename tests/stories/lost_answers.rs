//! An answer that was lost is unknown: it is looked up, never guessed, and a key is sent again only where absence was watched.

use std::time::Duration;

use dues::sandbox::{Effect, Fault, On, Outcome, Rule, Script};

use crate::support::world::{BOTH, World, at};

async fn one_month(
    on: crate::support::world::On,
    flags: &[(&str, &str)],
    rules: impl IntoIterator<Item = Rule>,
) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", flags).await;
    world.sandbox.set_script(Script::of(rules));
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    world
}

async fn sends(world: &World) -> Vec<String> {
    world.lines("SELECT CAST(n AS TEXT) || ' sent ' || CAST(sends AS TEXT) AS line FROM attempts ORDER BY id").await
}

#[tokio::test]
async fn a_request_that_never_arrived_is_sent_again_with_its_own_key_once() {
    for on in BOTH {
        let mut world = one_month(on, &[], [Rule::fault("lost", Fault::LostRequest).times(1)]).await;
        world.run_until("2026-01-20T02:14:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 unknown"], "{on:?}");
        world.run_until("2026-01-20T03:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 sent 2"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_retry_that_never_arrived_is_sent_again_although_its_elder_is_listed() {
    for on in BOTH {
        let empty = Rule::decline("empty wallet", "20051").times(1);
        let lost = Rule::fault("the second is lost", Fault::LostRequest).every(2).times(1);
        let mut world = one_month(on, &[], [empty, lost]).await;
        world.run_until("2026-01-21T03:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 declined", "ORD-1/0/2 captured"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 sent 1", "2 sent 2"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn whatever_hides_an_answer_the_payment_behind_it_is_found_and_not_made_again() {
    let harms = [
        Fault::LostResponse,
        Fault::ErrorAfter(502),
        Fault::TruncatedBody,
        Fault::HtmlBody,
        Fault::Huge,
        Fault::Slow(Duration::from_mins(2)),
    ];
    for on in BOTH {
        for harm in harms.clone() {
            let mut world = one_month(on, &[], [Rule::fault("harm", harm.clone()).times(1)]).await;
            world.run_until("2026-01-20T02:30:00Z").await;
            assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?} {harm:?}");
            assert_eq!(sends(&world).await, ["1 sent 1"], "{on:?} {harm:?}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn after_a_server_error_absence_is_watched_for_longer() {
    for on in BOTH {
        let mut world = one_month(on, &[], [Rule::fault("before", Fault::ErrorBefore(500)).times(1)]).await;
        world.run_until("2026-01-20T03:59:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 unknown"], "{on:?}");
        world.run_until("2026-01-20T04:10:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_that_look_ups_show_late_is_not_made_twice() {
    for on in BOTH {
        let lag = Effect::Lag { lookup: Some(Duration::from_mins(12)), read: None };
        let lost = Rule::fault("lost", Fault::LostResponse).times(1);
        let mut world = one_month(on, &[], [Rule::new("lag", lag), lost]).await;
        world.run_until("2026-01-20T03:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 sent 1"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn look_ups_that_fail_for_hours_prove_no_absence() {
    for on in BOTH {
        let lost = Rule::fault("lost", Fault::LostResponse).times(1);
        let broken = Rule::fault("broken", Fault::HtmlBody).on(On::Get);
        let broken = broken.between(at("2026-01-20T00:00:00Z"), at("2026-01-20T12:00:00Z"));
        let mut world = one_month(on, &[], [lost, broken]).await;
        world.run_until("2026-01-20T11:59:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 unknown"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 sent 1"], "{on:?}");
        world.run_until("2026-01-20T12:30:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn five_sends_are_the_most_and_then_a_person_decides() {
    for on in BOTH {
        let mut world = one_month(on, &[], [Rule::fault("lost", Fault::LostRequest)]).await;
        world.run_until("2026-01-25T00:00:00Z").await;
        assert_eq!(sends(&world).await, ["1 sent 5"], "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(world.reviews().await, ["unresolved"], "{on:?}");
        assert_eq!(world.attempts().await, ["ORD-1/0/1 unknown"], "{on:?}");
    }
}

#[tokio::test]
async fn past_its_life_a_key_is_never_sent_again() {
    for on in BOTH {
        let lost = Rule::fault("lost", Fault::LostRequest).times(1);
        let broken = Rule::fault("broken", Fault::HtmlBody).on(On::Get);
        let broken = broken.between(at("2026-01-20T00:00:00Z"), at("2026-01-21T00:30:00Z"));
        let mut world = one_month(on, &[], [lost, broken]).await;
        world.run_until("2026-01-22T00:00:00Z").await;
        assert_eq!(sends(&world).await, ["1 sent 1"], "{on:?}");
        assert_eq!(world.reviews().await, ["unresolved"], "{on:?}");
    }
}

#[tokio::test]
async fn a_witness_lets_the_next_attempt_follow_without_a_spent_step() {
    for on in BOTH {
        let flags = [("protocol.auto_after_window", "true"), ("protocol.resend", "never")];
        let lost = Rule::fault("lost", Fault::LostRequest).times(1);
        let mut world = one_month(on, &flags, [lost]).await;
        world.hand_over("ORD-2", "daily", "2026-01-20", None).await;
        world.run_until("2026-01-23T00:00:00Z").await;
        let attempts = world.attempts().await;
        assert_eq!(attempts[..2], ["ORD-1/0/1 absent", "ORD-1/0/2 captured"], "{on:?}");
        assert_eq!(world.lines("SELECT CAST(steps AS TEXT) AS line FROM dunning_cases").await, ["0"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_canceled_subscription_owes_nothing_for_a_request_that_never_arrived() {
    for on in BOTH {
        let mut world = one_month(on, &[], [Rule::fault("lost", Fault::LostRequest).times(1)]).await;
        world.run_until("2026-01-20T02:01:00Z").await;
        world.engine.cancel("ORD-1", false, "asked", "operator").await.unwrap();
        world.run_until("2026-01-21T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 void"], "{on:?}");
        assert_eq!(world.attempts().await, ["ORD-1/0/1 absent"], "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 0, "{on:?}");
    }
}

#[tokio::test]
async fn a_payment_that_a_cancellation_did_not_stop_is_paid() {
    for on in BOTH {
        let mut world = one_month(on, &[], [Rule::fault("lost", Fault::LostResponse).times(1)]).await;
        let slow =
            Rule::new("slow", Effect::Settle { outcome: Some(Outcome::Capture), after: Some(Duration::from_hours(1)) });
        let lost = Rule::fault("lost", Fault::LostResponse).times(1);
        world.sandbox.set_script(Script::of([slow, lost]));
        world.run_until("2026-01-20T02:00:00Z").await;
        world.engine.cancel("ORD-1", false, "asked", "operator").await.unwrap();
        world.run_until("2026-01-21T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
        world.assert_books_agree().await;
    }
}
