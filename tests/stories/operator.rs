//! What an operator does by hand: pauses, tries again, forgives, and decides review cases.

use dues::engine::asked::{self, Ask, AskError, By, Refusal, Way};
use dues::engine::pause::{self, PauseError};
use dues::sandbox::{Fault, On as Request, Rule, Script};

use crate::support::world::{BOTH, On, World, at, source_of};

const BY: By<'static> = By { operator: "operator", reason: "asked" };

async fn pause(world: &World) -> Result<pause::Moved, PauseError> {
    pause::pause(&world.store, "ORD-1", "away", "operator").await
}

async fn resume(world: &World) -> Result<pause::Moved, PauseError> {
    pause::resume(&world.store, &world.engine.rules, "ORD-1", "back", "operator").await
}

async fn ask(world: &World, ask: Ask) -> Result<asked::Acted, AskError> {
    let charge =
        world.lines("SELECT public_id AS line FROM charges ORDER BY period_index DESC LIMIT 1").await.remove(0);
    asked::ask(&world.store, &world.engine.rules, &charge, &ask, BY).await
}

async fn resolve(world: &World, way: Way) -> Result<asked::Resolved, AskError> {
    let review =
        world.lines("SELECT public_id AS line FROM review_cases WHERE resolved_at IS NULL ORDER BY id LIMIT 1").await;
    asked::resolve(&world.store, &world.engine.rules, &review[0], &way, BY).await
}

async fn resolutions(world: &World) -> Vec<String> {
    world.lines("SELECT reason || ' ' || resolution AS line FROM review_cases WHERE resolved_at IS NOT NULL").await
}

#[tokio::test]
async fn a_paused_subscription_skips_its_periods_and_goes_on_with_the_next() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-21T00:00:00Z").await;
        let paused = pause(&world).await.unwrap();
        assert_eq!((paused.from_index, paused.from_at), (1, at("2026-02-20T02:00:00Z")), "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 paused"], "{on:?}");
        world.run_until("2026-03-25T00:00:00Z").await;
        let resumed = resume(&world).await.unwrap();
        assert_eq!((resumed.from_index, resumed.from_at), (3, at("2026-04-20T02:00:00Z")), "{on:?}");
        world.run_until("2026-04-21T00:00:00Z").await;
        let wanted = ["ORD-1/0 paid", "ORD-1/1 skipped", "ORD-1/2 skipped", "ORD-1/3 paid"];
        assert_eq!(world.charges().await, wanted, "{on:?}");
        let why = world.lines("SELECT DISTINCT reason AS line FROM charges WHERE state = 'skipped'").await;
        assert_eq!(why, ["paused"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn what_begins_while_nobody_is_there_is_skipped_or_owed_by_what_held_when_it_began() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "daily", "2026-01-16", None).await;
        // No daemon runs from the 16th to the 22nd. Two days begin before the pause, three in it, one after it.
        world.clock.advance_to(at("2026-01-17T12:00:00Z"));
        assert_eq!(pause(&world).await.unwrap().from_index, 2, "{on:?}");
        world.clock.advance_to(at("2026-01-20T12:00:00Z"));
        assert_eq!(resume(&world).await.unwrap().from_index, 5, "{on:?}");
        world.clock.advance_to(at("2026-01-21T12:00:00Z"));
        world.run_until("2026-01-25T12:00:00Z").await;
        let charges = world.charges().await;
        let wanted = ["0 paid", "1 paid", "2 skipped", "3 skipped", "4 skipped", "5 paid", "6 paid"];
        assert_eq!(charges[..7], wanted.map(|it| format!("ORD-1/{it}")), "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_pause_that_skips_no_period_changes_none() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "daily", "2026-01-16", None).await;
        world.run_until("2026-01-16T12:00:00Z").await;
        for hours in [1, 2] {
            pause(&world).await.unwrap();
            world.clock.advance(std::time::Duration::from_hours(hours));
            resume(&world).await.unwrap();
        }
        world.run_until("2026-01-18T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid", "ORD-1/2 paid"], "{on:?}");
    }
}

#[tokio::test]
async fn what_was_owed_before_a_pause_is_collected_after_it_and_whoever_was_behind_still_is() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let empty = Rule::decline("empty wallet", "20051").for_source(&source_of("ORD-1")).times(1);
        world.sandbox.set_script(Script::of([empty]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 past_due"], "{on:?}");
        pause(&world).await.unwrap();
        world.run_until("2026-01-25T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 retrying"], "{on:?}: nothing is sent meanwhile");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}");
        resume(&world).await.unwrap();
        assert_eq!(world.subscriptions().await, ["ORD-1 past_due"], "{on:?}");
        world.run_until("2026-01-25T13:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_under_way_when_a_pause_begins_is_settled_and_its_debt_kept() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let empty = Rule::decline("empty wallet", "20051").for_source(&source_of("ORD-1")).times(1);
        world.sandbox.set_script(Script::of([empty]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T02:00:10Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
        pause(&world).await.unwrap();
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 retrying"], "{on:?}");
        resume(&world).await.unwrap();
        world.run_until("2026-01-22T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_pause_is_refused_with_what_works_instead() {
    for on in BOTH {
        let world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        assert!(matches!(pause(&world).await, Err(PauseError::NotFound(_))), "{on:?}");
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        let told = |refused: Result<pause::Moved, PauseError>| refused.unwrap_err().to_string();
        assert!(told(resume(&world).await).contains("was not paused"), "{on:?}");
        pause(&world).await.unwrap();
        assert!(told(pause(&world).await).contains("dues subscription resume"), "{on:?}");
        world.engine.cancel("ORD-1", false, "left", "operator").await.unwrap();
        assert!(told(resume(&world).await).contains("has ended"), "{on:?}");
    }
}

/// A world whose one charge was declined by `code`, for ever.
async fn declined(on: On, code: &str) -> World {
    let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
    world.sandbox.set_script(Script::of([Rule::decline("declined", code)]));
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    world.run_until("2026-01-20T12:00:00Z").await;
    world
}

#[tokio::test]
async fn a_charge_that_is_tried_again_by_hand_spends_no_step() {
    for on in BOTH {
        let mut world = declined(on, "20051").await;
        let acted = ask(&world, Ask::Retry).await.unwrap();
        assert_eq!(acted.state.as_str(), "retrying", "{on:?}");
        world.run_until("2026-01-20T13:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 declined", "ORD-1/0/2 declined"], "{on:?}");
        let steps = world.lines("SELECT CAST(steps AS TEXT) AS line FROM dunning_cases").await;
        assert_eq!(steps, ["0"], "{on:?}");
        world.sandbox.set_script(Script::default());
        world.run_until("2026-01-22T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}: by the step of its policy");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_charge_that_was_given_up_is_tried_again_and_paid() {
    for on in BOTH {
        let mut world = declined(on, "30041").await;
        assert_eq!(world.charges().await, ["ORD-1/0 uncollectible"], "{on:?}");
        world.sandbox.set_script(Script::default());
        ask(&world, Ask::Retry).await.unwrap();
        world.run_until("2026-01-20T13:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        let refused = ask(&world, Ask::Retry).await;
        assert!(matches!(refused, Err(AskError::Refused(Refusal::State { .. }))), "{on:?} {refused:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_forgiven_charge_is_never_sent_and_lets_its_subscription_recover() {
    for on in BOTH {
        let mut world = declined(on, "20051").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 past_due"], "{on:?}");
        ask(&world, Ask::Void).await.unwrap();
        assert_eq!(world.charges().await, ["ORD-1/0 void"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.run_until("2026-02-15T12:00:00Z").await;
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}");
        let journal = world.lines("SELECT actor || ' ' || detail AS line FROM journal WHERE act = 'asked'").await;
        assert_eq!(journal, ["operator void: asked"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn nothing_is_decided_beside_a_payment_that_may_take_money() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T02:00:10Z").await;
        for act in [Ask::Retry, Ask::Void] {
            let refused = ask(&world, act).await;
            assert!(matches!(refused, Err(AskError::Refused(Refusal::OnTheWire { n: 1, .. }))), "{on:?} {refused:?}");
        }
        for act in [Ask::NotCharged, Ask::Charged("pay_other".to_owned())] {
            let refused = ask(&world, act).await;
            assert!(matches!(refused, Err(AskError::Refused(Refusal::NothingUnknown { .. }))), "{on:?} {refused:?}");
        }
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
    }
}

/// A world whose one payment's answers were all lost, until its key was over and a person is asked.
async fn unresolved(on: On, fault: Fault) -> World {
    let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
    let hidden = Rule::fault("hidden", Fault::HtmlBody).on(Request::Get);
    world.sandbox.set_script(Script::of([Rule::fault("lost", fault).on(Request::Post), hidden]));
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    world.run_until("2026-01-20T12:00:00Z").await;
    let early = ask(&world, Ask::NotCharged).await;
    assert!(matches!(early, Err(AskError::Refused(Refusal::KeyAlive { .. }))), "{on:?} {early:?}");
    world.run_until("2026-01-26T12:00:00Z").await;
    assert_eq!(world.reviews().await, ["unresolved"], "{on:?}");
    world
}

#[tokio::test]
async fn what_a_person_found_not_to_be_charged_is_charged_once_after_a_look() {
    for on in BOTH {
        let mut world = unresolved(on, Fault::LostRequest).await;
        world.sandbox.set_script(Script::default());
        resolve(&world, Way::Charge(Ask::NotCharged)).await.unwrap();
        world.run_until("2026-01-26T13:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 absent", "ORD-1/0/2 captured"], "{on:?}");
        assert_eq!(resolutions(&world).await, ["unresolved not-charged: asked"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_person_who_is_wrong_about_that_makes_no_second_payment() {
    for on in BOTH {
        let mut world = unresolved(on, Fault::LostResponse).await;
        world.sandbox.set_script(Script::default());
        resolve(&world, Way::Charge(Ask::NotCharged)).await.unwrap();
        world.run_until("2026-01-26T13:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}: the look before the send found it");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_that_a_person_found_counts_when_the_gateway_says_so() {
    for on in BOTH {
        let mut world = unresolved(on, Fault::LostResponse).await;
        world.sandbox.set_script(Script::default());
        let payment = world.sandbox.books().payments[0].id.clone();
        resolve(&world, Way::Charge(Ask::Charged(payment))).await.unwrap();
        world.run_until("2026-01-26T13:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn held_periods_are_billed_one_a_day_or_skipped_as_a_person_decides() {
    for on in BOTH {
        for (way, states) in [(Way::Bill, ["paid", "paid"]), (Way::Skip, ["skipped", "skipped"])] {
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("catch_up.missed", "hold")]).await;
            world.hand_over("ORD-1", "weekly", "2026-01-16", None).await;
            world.clock.advance_to(at("2026-01-24T12:00:00Z"));
            world.run_until("2026-01-24T13:00:00Z").await;
            assert_eq!(world.charges().await, ["ORD-1/0 held", "ORD-1/1 held"], "{on:?}");
            let refused = resolve(&world, Way::Dismiss).await;
            assert!(refused.unwrap_err().to_string().contains("bill or skip works"), "{on:?}");
            let resolved = resolve(&world, way.clone()).await.unwrap();
            assert_eq!(resolved.charges.len(), 2, "{on:?}");
            world.run_until("2026-01-24T20:00:00Z").await;
            let first = world.charges().await;
            assert_eq!(first[0], format!("ORD-1/0 {}", states[0]), "{on:?}");
            assert_eq!(first[1] == "ORD-1/1 due", way == Way::Bill, "{on:?} {first:?}: a day later");
            world.run_until("2026-01-26T12:00:00Z").await;
            assert_eq!(world.charges().await[1], format!("ORD-1/1 {}", states[1]), "{on:?}");
            let again = resolve_closed(&world).await;
            assert!(matches!(again, Err(AskError::Closed { .. })), "{on:?} {again:?}");
            world.assert_books_agree().await;
        }
    }
}

async fn resolve_closed(world: &World) -> Result<asked::Resolved, AskError> {
    let review = world.lines("SELECT public_id AS line FROM review_cases ORDER BY id LIMIT 1").await.remove(0);
    asked::resolve(&world.store, &world.engine.rules, &review, &Way::Bill, BY).await
}

#[tokio::test]
async fn a_held_charge_is_billed_or_forgiven_by_itself() {
    for on in BOTH {
        for (act, wanted) in [(Ask::Retry, "ORD-1/1 paid"), (Ask::Void, "ORD-1/1 void")] {
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("catch_up.missed", "hold")]).await;
            world.hand_over("ORD-1", "weekly", "2026-01-16", None).await;
            world.clock.advance_to(at("2026-01-24T12:00:00Z"));
            world.run_until("2026-01-24T13:00:00Z").await;
            ask(&world, act).await.unwrap();
            world.run_until("2026-01-24T20:00:00Z").await;
            assert_eq!(world.charges().await, ["ORD-1/0 held", wanted], "{on:?}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn a_case_that_waits_for_a_charge_is_not_dismissed_and_a_hold_names_its_own_command() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.sandbox.set_script(Script::of([Rule::fault("refused", Fault::ErrorBefore(422)).on(Request::Post)]));
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.reviews().await, ["rejected"], "{on:?}");
        let refused = resolve(&world, Way::Dismiss).await;
        assert!(refused.unwrap_err().to_string().contains("retry or void works"), "{on:?}");
        world.sandbox.set_script(Script::default());
        resolve(&world, Way::Charge(Ask::Retry)).await.unwrap();
        world.run_until("2026-01-20T13:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(resolutions(&world).await, ["rejected retry: asked"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn an_end_that_comes_after_a_pause_leaves_no_period_between_them_out() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("catch_up.max_periods", "9")]).await;
        world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
        world.run_until("2026-01-17T12:00:00Z").await;
        // The daemon is down. Periods 3 and 4 begin in a pause, 5 after it; before 6 it is to end.
        assert_eq!(pause(&world).await.unwrap().from_index, 3, "{on:?}");
        world.clock.advance_to(at("2026-01-19T12:00:00Z"));
        assert_eq!(resume(&world).await.unwrap().from_index, 5, "{on:?}");
        world.clock.advance_to(at("2026-01-20T12:00:00Z"));
        world.engine.cancel("ORD-1", true, "left", "operator").await.unwrap();
        world.clock.advance_to(at("2026-01-21T12:00:00Z"));
        world.run_until("2026-01-25T12:00:00Z").await;
        let wanted = ["0 paid", "1 paid", "2 paid", "3 skipped", "4 skipped", "5 paid"];
        assert_eq!(world.charges().await, wanted.map(|it| format!("ORD-1/{it}")), "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 canceled"], "{on:?}");
    }
}

#[tokio::test]
async fn whoever_lost_the_wallet_or_ran_out_of_steps_in_a_pause_is_unpaid_after_it() {
    for on in BOTH {
        for (code, source) in [("200R1", "revoked"), ("30041", "active")] {
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
            world.sandbox.set_script(Script::of([Rule::decline("declined", code).for_source(&source_of("ORD-1"))]));
            world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
            world.run_until("2026-01-20T02:00:10Z").await;
            pause(&world).await.unwrap();
            world.run_until("2026-01-21T12:00:00Z").await;
            assert_eq!(world.charges().await, ["ORD-1/0 uncollectible"], "{on:?} {code}");
            assert_eq!(world.lines("SELECT state AS line FROM sources").await, [source], "{on:?} {code}");
            assert_eq!(world.subscriptions().await, ["ORD-1 paused"], "{on:?} {code}");
            let resumed = resume(&world).await.unwrap();
            assert_eq!(resumed.state.as_str(), "unpaid", "{on:?} {code}");
            world.run_until("2026-02-21T12:00:00Z").await;
            assert_eq!(world.charges().await, ["ORD-1/0 uncollectible", "ORD-1/1 skipped"], "{on:?} {code}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn a_payment_that_was_named_wrongly_is_named_again() {
    for on in BOTH {
        let mut world = unresolved(on, Fault::LostResponse).await;
        world.sandbox.set_script(Script::default());
        resolve(&world, Way::Charge(Ask::Charged("pay_mistyped".to_owned()))).await.unwrap();
        world.run_until("2026-01-28T12:00:00Z").await;
        assert_eq!(world.reviews().await, ["not_found"], "{on:?}");
        let payment = world.sandbox.books().payments[0].id.clone();
        resolve(&world, Way::Charge(Ask::Charged(payment))).await.unwrap();
        world.run_until("2026-01-28T13:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_payment_that_was_named_wrongly_and_never_was_is_charged_once() {
    for on in BOTH {
        let mut world = unresolved(on, Fault::LostRequest).await;
        world.sandbox.set_script(Script::default());
        resolve(&world, Way::Charge(Ask::Charged("pay_mistyped".to_owned()))).await.unwrap();
        world.run_until("2026-01-28T12:00:00Z").await;
        assert_eq!(world.reviews().await, ["not_found"], "{on:?}");
        resolve(&world, Way::Charge(Ask::NotCharged)).await.unwrap();
        world.run_until("2026-01-28T13:00:00Z").await;
        assert_eq!(world.attempts().await, ["ORD-1/0/1 absent", "ORD-1/0/2 captured"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn nothing_is_asked_for_by_a_clock_that_is_wrong_but_to_forgive() {
    for on in BOTH {
        let world = declined(on, "20051").await;
        let mut tx = world.store.begin("hold").await.unwrap();
        let fence = dues::store::fences::NewFence {
            reason: "clock",
            detail: "it jumped".to_owned(),
            lost_sends: 0,
            holds: true,
        };
        tx.raise_fence(&fence, "node", world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(matches!(ask(&world, Ask::Retry).await, Err(AskError::Clock)), "{on:?}");
        assert!(matches!(pause(&world).await, Err(PauseError::Clock)), "{on:?}");
        ask(&world, Ask::Void).await.unwrap();
    }
}
