//! Requests and answers that get lost, and answers that say nothing.

use std::time::Duration;

use dues::sandbox::{Effect, Fault, Rule, Script};

use crate::support::world::{BOTH, On, World};

/// A subscription that falls due on 2026-01-20 at 02:00 UTC, under `rules`.
pub async fn due_under(on: On, flags: &[(&str, &str)], rules: Vec<Rule>) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", flags).await;
    world.sandbox.set_script(Script::of(rules));
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    world
}

/// How often each attempt was sent, as `n sends`.
pub async fn sends(world: &World) -> Vec<String> {
    world.lines("SELECT CAST(n AS TEXT) || ' ' || CAST(sends AS TEXT) AS line FROM attempts ORDER BY id").await
}

/// The one charge was paid by its first attempt, once, and nothing is left for a person.
pub async fn assert_paid_once(world: &World, story: &str) {
    assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{story}");
    assert_eq!(world.attempts().await, ["ORD-1/0/1 captured"], "{story}");
    assert_eq!(world.reviews().await, [""; 0], "{story}");
    assert_eq!(world.collected_minor().await, 12_800, "{story}");
    world.assert_books_agree().await;
}

#[tokio::test]
async fn a_lost_request_is_sent_again_with_its_key_once_its_absence_was_watched() {
    for on in BOTH {
        let lost = Rule::fault("lost", Fault::LostRequest).times(1);
        let mut world = due_under(on, &[], vec![lost]).await;
        world.run_until("2026-01-20T02:14:30Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 unknown"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 1"], "{on:?}");
        world.run_until("2026-01-20T03:00:00Z").await;
        assert_eq!(sends(&world).await, ["1 2"], "{on:?}");
        assert_paid_once(&world, &format!("{on:?}")).await;
    }
}

#[tokio::test]
async fn a_server_error_is_watched_longer_before_the_key_is_sent_again() {
    for on in BOTH {
        let before = Rule::fault("before", Fault::ErrorBefore(502)).times(1);
        let mut world = due_under(on, &[], vec![before]).await;
        world.run_until("2026-01-20T03:59:30Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 unknown"], "{on:?}");
        assert_eq!(sends(&world).await, ["1 1"], "{on:?}");
        world.run_until("2026-01-20T05:00:00Z").await;
        assert_eq!(sends(&world).await, ["1 2"], "{on:?}");
        assert_paid_once(&world, &format!("{on:?}")).await;
    }
}

#[tokio::test]
async fn a_server_error_after_the_effect_is_never_paid_twice() {
    for on in BOTH {
        let after = Rule::fault("after", Fault::ErrorAfter(502)).times(1);
        // The look-up is late as well, but less late than we wait.
        let late = Rule::new("late", Effect::Lag { lookup: Some(Duration::from_mins(90)), read: None });
        for rules in [vec![after.clone()], vec![after, late]] {
            let mut world = due_under(on, &[], rules).await;
            world.run_until("2026-01-20T06:00:00Z").await;
            assert_eq!(sends(&world).await, ["1 1"], "{on:?}");
            assert_paid_once(&world, &format!("{on:?}")).await;
        }
    }
}

#[tokio::test]
async fn an_unreadable_answer_proves_nothing_and_the_look_up_finds_the_payment() {
    for on in BOTH {
        for fault in [Fault::HtmlBody, Fault::TruncatedBody, Fault::Huge] {
            let story = format!("{on:?} {fault:?}");
            let mut world = due_under(on, &[], vec![Rule::fault("spoilt", fault).times(1)]).await;
            world.run_until("2026-01-20T03:00:00Z").await;
            assert_eq!(sends(&world).await, ["1 1"], "{story}");
            assert_paid_once(&world, &story).await;
        }
    }
}
