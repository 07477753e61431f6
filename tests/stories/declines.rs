//! What a decline means, class by class, and how a dunning case ends.

use dues::sandbox::{Fault, On, Rule, Script};
use dues::store::db::Statement;

use crate::support::world::{BOTH, World, at, source_of};

async fn declined_with(on: crate::support::world::On, code: &str, times: u64) -> World {
    let world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
    world.sandbox.set_script(Script::of([Rule::decline("declined", code).times(times)]));
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    world
}

/// When the next step of the only case comes, to the minute.
async fn next_step(world: &World) -> Vec<String> {
    let steps = world
        .lines("SELECT CAST(next_step_at AS TEXT) AS line FROM dunning_cases WHERE next_step_at IS NOT NULL")
        .await;
    steps.iter().map(|step| step[..16].replace(' ', "T")).collect()
}

#[tokio::test]
async fn each_class_of_decline_waits_in_its_own_way() {
    let table = [
        ("20051", "retrying", Some("2026-01-21T02:00")),
        ("20005", "retrying", Some("2026-01-21T02:00")),
        ("20068", "retrying", Some("2026-01-20T04:0")),
        ("20999", "retrying", Some("2026-01-21T02:00")),
        ("30999", "uncollectible", None),
        ("40999", "uncollectible", None),
    ];
    for on in BOTH {
        for (code, state, step) in table {
            let mut world = declined_with(on, code, 1).await;
            world.run_until("2026-01-20T02:10:00Z").await;
            assert_eq!(world.charges().await, [format!("ORD-1/0 {state}")], "{on:?} {code}");
            let steps = next_step(&world).await;
            assert_eq!(steps.len(), usize::from(step.is_some()), "{on:?} {code} {steps:?}");
            assert!(step.is_none_or(|step| steps[0].starts_with(step)), "{on:?} {code} {steps:?}");
        }
    }
}

#[tokio::test]
async fn our_own_set_up_is_no_fault_of_the_customers() {
    for on in BOTH {
        // Configuration codes are those of the default table: one of them is enough here.
        let mut world = declined_with(on, "20003", 1).await;
        world.run_until("2026-01-22T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(world.reviews().await, ["configuration"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        assert_eq!(next_step(&world).await, [""; 0], "{on:?}");
    }
}

#[tokio::test]
async fn a_wallet_that_was_unbound_stops_everything_on_it_by_one_act() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let wallet = source_of("shared");
        world.hand_over_on(&wallet, "ORD-1", "monthly", "2026-01-20", None).await;
        world.hand_over_on(&wallet, "ORD-2", "monthly", "2026-01-25", None).await;
        world.hand_over_on(&wallet, "ORD-3", "weekly", "2026-01-19", None).await;
        world.hand_over("ORD-4", "monthly", "2026-01-20", None).await;
        world.sandbox.set_script(Script::of([Rule::decline("empty", "20051").for_source(&wallet).times(1)]));
        world.run_until("2026-01-19T12:00:00Z").await;
        world.sandbox.set_script(Script::default());
        world.sandbox.revoke_source(&wallet);
        world.run_until("2026-03-01T00:00:00Z").await;
        let subscriptions = world.subscriptions().await;
        assert_eq!(subscriptions, ["ORD-1 unpaid", "ORD-2 unpaid", "ORD-3 unpaid", "ORD-4 active"], "{on:?}");
        assert_eq!(world.reviews().await, ["authorisation_gone"], "{on:?}");
        let charges = world.charges().await;
        assert_eq!(
            charges[..4],
            ["ORD-1/0 uncollectible", "ORD-1/1 skipped", "ORD-2/0 skipped", "ORD-2/1 skipped"],
            "{on:?}"
        );
        assert!(charges.contains(&"ORD-3/0 uncollectible".to_owned()), "{on:?} {charges:?}");
        let reasons = world.lines("SELECT DISTINCT reason AS line FROM charges WHERE state = 'skipped'").await;
        assert_eq!(reasons, ["unpaid"], "{on:?}");
        let open = world.lines("SELECT state AS line FROM dunning_cases WHERE state = 'open'").await;
        assert_eq!(open, [""; 0], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_decline_whose_code_cannot_be_read_waits_for_it() {
    for on in BOTH {
        let mut world = declined_with(on, "30999", 1).await;
        let unreadable = Rule::fault("unreadable", Fault::HtmlBody).on(On::Get);
        let unreadable = unreadable.between(at("2026-01-20T00:00:00Z"), at("2026-01-20T06:00:00Z"));
        let declined = Rule::decline("declined", "30999").times(1);
        world.sandbox.set_script(Script::of([declined, unreadable]));
        world.run_until("2026-01-20T05:59:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 collecting"], "{on:?}");
        world.run_until("2026-01-20T07:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 uncollectible"], "{on:?}");
    }
}

#[tokio::test]
async fn when_the_steps_are_used_up_the_policy_says_what_becomes_of_the_subscription() {
    for on in BOTH {
        for (end, state) in [("suspend", "unpaid"), ("cancel", "canceled"), ("keep", "active")] {
            let flags = [("dunning.standard.end", end)];
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
            world.sandbox.set_script(Script::of([Rule::decline("empty", "20051").times(5)]));
            world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
            world.run_until("2026-02-10T00:00:00Z").await;
            assert_eq!(world.charges().await, ["ORD-1/0 uncollectible"], "{on:?} {end}");
            assert_eq!(world.subscriptions().await, [format!("ORD-1 {state}")], "{on:?} {end}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn two_debts_paid_together_end_the_arrears() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("plans.daily.billing_hour", "0")]).await;
        world.hand_over("ORD-1", "daily", "2026-01-20", Some("2026-01-20")).await;
        // The 20th is declined twice and the 23rd once, so both are tried again on the 24th at 10:00 in Hong Kong.
        let declined =
            [("19T15:00", "19T17:00"), ("21T01:00", "21T03:00"), ("22T15:00", "22T17:00")].map(|(from, until)| {
                let instant = |text: &str| at(&format!("2026-01-{text}:00Z"));
                Rule::decline("empty wallet", "20051").between(instant(from), instant(until))
            });
        world.sandbox.set_script(Script::of(declined));
        world.run_until("2026-01-23T12:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 past_due"], "{on:?}");
        world.run_until("2026-01-30T12:00:00Z").await;
        let charges = world.charges().await;
        assert!(charges.iter().all(|it| it.ends_with(" paid")), "{on:?} {charges:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_retry_that_cannot_be_made_is_a_persons_and_holds_up_nobody_else() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([Rule::decline("empty", "20051").times(2)]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.hand_over("ORD-2", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 retrying", "ORD-2/0 retrying"], "{on:?}");
        let mut tx = world.store.begin("test").await.unwrap();
        // A newer dues may know a currency that this one does not.
        let newer = "INSERT INTO currencies SELECT 'ZZZ', exponent FROM currencies WHERE code = 'HKD'";
        tx.run(Statement::new(newer)).await.unwrap();
        let foreign = "UPDATE charges SET currency = 'ZZZ' WHERE subscription_id = \
            (SELECT id FROM subscriptions WHERE reference = 'ORD-1')";
        tx.run(Statement::new(foreign)).await.unwrap();
        tx.commit().await.unwrap();
        world.clock.advance_to(at("2026-01-25T12:00:00Z"));
        world.run_until("2026-01-25T12:10:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 in_review", "ORD-2/0 paid"], "{on:?}");
        let why = "charges row 1: currency holds \"ZZZ\"";
        let evidence = world.lines("SELECT reason || ': ' || evidence AS line FROM review_cases").await;
        let wanted = format!("contradiction: its next retry cannot be made: {why}");
        assert!(evidence.len() == 1 && evidence[0].starts_with(&wanted), "{on:?} {evidence:?}");
        let told = "SELECT j.act || ' ' || s.reference || ' ' || j.was || ' > ' || j.now || ': ' || j.detail AS line FROM journal j \
            JOIN subscriptions s ON s.id = j.subscription_id JOIN charges c ON c.id = j.charge_id WHERE j.now = 'in_review'";
        let told = world.lines(told).await;
        let wanted = format!("charge ORD-1 retrying > in_review: {why}");
        assert!(told.len() == 1 && told[0].starts_with(&wanted), "{on:?} {told:?}");
    }
}
