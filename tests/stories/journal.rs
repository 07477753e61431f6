//! The journal tells a subscription's whole life: who did what, to which charge and attempt, from which state to which. A line that is
//! missing here could not be explained to anybody later.

use dues::engine::asked::{self, Ask, By, Way};
use dues::engine::begin::Beginning;
use dues::engine::lift::{self, LiftError};
use dues::engine::pause;
use dues::gateway::payments::Terminal;
use dues::sandbox::{Fault, On, Rule, Script};
use dues::store::customers::NewCustomer;
use dues::store::fences::NewFence;

use crate::support::world::{BOTH, World, at, source_of};

/// `act, period/attempt, was > now, detail`; what a line does not tell is a dash.
const LINES: &str = "SELECT CASE j.actor WHEN 'operator' THEN 'operator: ' ELSE '' END || j.act || ', ' || COALESCE(s.reference, '-') || \
    '/' || COALESCE(CAST(c.period_index AS TEXT), '-') || '/' || COALESCE(CAST(j.attempt_n AS TEXT), '-') || ', ' || \
    COALESCE(j.was, '-') || ' > ' || COALESCE(j.now, '-') || ', ' || COALESCE(j.detail, '-') AS line \
    FROM journal j LEFT JOIN subscriptions s ON s.id = j.subscription_id LEFT JOIN charges c ON c.id = j.charge_id ORDER BY j.id";

/// The journal, its payments' and cases' ids cut to their beginning.
async fn journal(world: &World) -> Vec<String> {
    let cut = |word: &str| ["pay_", "rev_"].into_iter().find(|it| word.starts_with(it)).map(str::to_owned);
    let short = |word: &str| cut(word).unwrap_or_else(|| word.to_owned());
    let lines = world.lines(LINES).await;
    lines.iter().map(|line| line.split(' ').map(short).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn of_a_first_payment_two_periods_a_pause_and_an_end() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T04:00:00Z", &[]).await;
        let beginning = Beginning {
            reference: "ORD-1".to_owned(),
            plan: "monthly".to_owned(),
            customer: NewCustomer {
                reference: "CUST-1".to_owned(),
                name: None,
                email: Some("customer@example.com".to_owned()),
                country: "HK".to_owned(),
            },
            zone: "Asia/Hong_Kong".parse().unwrap(),
            anchor_on: None,
            terminal: Terminal::Web,
            another: false,
        };
        world.engine.begin(&beginning).await.unwrap();
        world.run_until("2026-01-15T04:05:00Z").await;
        let payment = world.sandbox.books().payments[0].id.clone();
        assert!(world.sandbox.approve(&payment));
        world.run_until("2026-02-16T00:00:00Z").await;
        pause::pause(&world.store, "ORD-1", "away", "operator").await.unwrap();
        world.run_until("2026-03-16T00:00:00Z").await;
        pause::resume(&world.store, &world.engine.rules, "ORD-1", "back", "operator").await.unwrap();
        world.run_until("2026-04-16T00:00:00Z").await;
        world.engine.cancel("ORD-1", true, "moved away", "operator").await.unwrap();
        world.run_until("2026-05-16T00:00:00Z").await;
        let told = [
            "subscription, ORD-1/0/-, - > incomplete, -",
            "attempt, ORD-1/0/1, created > sending, -",
            "charge, ORD-1/0/-, due > collecting, -",
            "attempt, ORD-1/0/1, sending > pending, pay_",
            "attempt, ORD-1/0/1, pending > captured, pay_",
            "charge, ORD-1/0/-, collecting > paid, -",
            "source, ORD-1/0/-, provisional > active, -",
            "subscription, ORD-1/0/-, incomplete > active, -",
            "charge, ORD-1/1/-, - > due, -",
            "attempt, ORD-1/1/1, created > sending, -",
            "charge, ORD-1/1/-, due > collecting, -",
            "attempt, ORD-1/1/1, sending > pending, pay_",
            "attempt, ORD-1/1/1, pending > captured, pay_",
            "charge, ORD-1/1/-, collecting > paid, -",
            "operator: subscription, ORD-1/-/-, active > paused, away",
            "charge, ORD-1/2/-, - > skipped, paused",
            "operator: subscription, ORD-1/-/-, paused > active, back",
            "charge, ORD-1/3/-, - > due, -",
            "attempt, ORD-1/3/1, created > sending, -",
            "charge, ORD-1/3/-, due > collecting, -",
            "attempt, ORD-1/3/1, sending > pending, pay_",
            "attempt, ORD-1/3/1, pending > captured, pay_",
            "charge, ORD-1/3/-, collecting > paid, -",
            "operator: cancel at period end, ORD-1/-/-, - > -, moved away",
            "subscription, ORD-1/-/-, active > canceled, at the end of its period",
        ];
        assert_eq!(journal(&world).await, told, "{on:?}");
    }
}

#[tokio::test]
async fn of_a_wallet_that_stays_empty() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([Rule::decline("empty", "20051").for_source(&source_of("ORD-1"))]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-02-25T00:00:00Z").await;
        let told = [
            "subscription, ORD-1/-/-, - > active, handed over",
            "charge, ORD-1/0/-, - > due, -",
            "attempt, ORD-1/0/1, created > sending, -",
            "charge, ORD-1/0/-, due > collecting, -",
            "attempt, ORD-1/0/1, sending > pending, pay_",
            "attempt, ORD-1/0/1, pending > declined, pay_ 20051 funds",
            "charge, ORD-1/0/-, collecting > retrying, funds",
            "subscription, ORD-1/0/-, active > past_due, -",
            "dunning step, ORD-1/0/2, - > created, -",
            "attempt, ORD-1/0/2, created > sending, -",
            "charge, ORD-1/0/-, retrying > collecting, -",
            "attempt, ORD-1/0/2, sending > pending, pay_",
            "attempt, ORD-1/0/2, pending > declined, pay_ 20051 funds",
            "charge, ORD-1/0/-, collecting > retrying, funds",
            "dunning step, ORD-1/0/3, - > created, -",
            "attempt, ORD-1/0/3, created > sending, -",
            "charge, ORD-1/0/-, retrying > collecting, -",
            "attempt, ORD-1/0/3, sending > pending, pay_",
            "attempt, ORD-1/0/3, pending > declined, pay_ 20051 funds",
            "charge, ORD-1/0/-, collecting > retrying, funds",
            "dunning step, ORD-1/0/4, - > created, -",
            "attempt, ORD-1/0/4, created > sending, -",
            "charge, ORD-1/0/-, retrying > collecting, -",
            "attempt, ORD-1/0/4, sending > pending, pay_",
            "attempt, ORD-1/0/4, pending > declined, pay_ 20051 funds",
            "charge, ORD-1/0/-, collecting > retrying, funds",
            "dunning step, ORD-1/0/5, - > created, -",
            "attempt, ORD-1/0/5, created > sending, -",
            "charge, ORD-1/0/-, retrying > collecting, -",
            "attempt, ORD-1/0/5, sending > pending, pay_",
            "attempt, ORD-1/0/5, pending > declined, pay_ 20051 funds",
            "charge, ORD-1/0/-, collecting > uncollectible, funds",
            "subscription, ORD-1/0/-, past_due > unpaid, -",
            "charge, ORD-1/1/-, - > skipped, unpaid",
        ];
        assert_eq!(journal(&world).await, told, "{on:?}");
    }
}

#[tokio::test]
async fn of_an_answer_that_was_lost() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([Rule::fault("lost", Fault::LostResponse).times(1)]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-21T00:00:00Z").await;
        let told = [
            "subscription, ORD-1/-/-, - > active, handed over",
            "charge, ORD-1/0/-, - > due, -",
            "attempt, ORD-1/0/1, created > sending, -",
            "charge, ORD-1/0/-, due > collecting, -",
            "attempt, ORD-1/0/1, sending > unknown, no whole answer came: the simulated gateway kept silent",
            "attempt, ORD-1/0/1, unknown > pending, pay_",
            "attempt, ORD-1/0/1, pending > captured, pay_",
            "charge, ORD-1/0/-, collecting > paid, -",
        ];
        assert_eq!(journal(&world).await, told, "{on:?}");
    }
}

const BY: By<'static> = By { operator: "operator", reason: "as agreed" };

async fn ask(world: &World, period_index: usize, ask: Ask) {
    let charges = world.lines("SELECT public_id AS line FROM charges ORDER BY period_index").await;
    asked::ask(&world.store, &world.engine.rules, &charges[period_index], &ask, BY).await.unwrap();
}

async fn resolve(world: &World, way: Way) {
    let open = "SELECT public_id AS line FROM review_cases WHERE resolved_at IS NULL ORDER BY id LIMIT 1";
    let review = world.lines(open).await.remove(0);
    asked::resolve(&world.store, &world.engine.rules, &review, &way, BY).await.unwrap();
}

#[tokio::test]
async fn of_periods_that_a_person_lets_go_and_bills() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("catch_up.missed", "hold")]).await;
        world.hand_over("ORD-1", "weekly", "2026-01-16", None).await;
        world.clock.advance_to(at("2026-01-31T12:00:00Z"));
        world.run_until("2026-01-31T13:00:00Z").await;
        ask(&world, 0, Ask::Void).await;
        resolve(&world, Way::Bill).await;
        let told = [
            "subscription, ORD-1/-/-, - > active, handed over",
            "charge, ORD-1/0/-, - > held, catch_up",
            "charge, ORD-1/1/-, - > held, catch_up",
            "charge, ORD-1/2/-, - > held, catch_up",
            "operator: charge, ORD-1/0/-, held > void, as agreed",
            "operator: charge, ORD-1/1/-, held > due, as agreed",
            "operator: charge, ORD-1/2/-, held > due, as agreed",
            "operator: review resolved, ORD-1/-/-, catch_up_held > bill, rev_ as agreed",
        ];
        assert_eq!(journal(&world).await, told, "{on:?}");
        let answered = world.lines("SELECT resolution || ' by ' || resolved_by AS line FROM review_cases").await;
        assert_eq!(answered, ["bill: as agreed by operator"], "{on:?}");
    }
}

#[tokio::test]
async fn of_a_charge_that_is_tried_again_by_hand_and_forgiven() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([Rule::decline("empty", "20051").for_source(&source_of("ORD-1"))]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        ask(&world, 0, Ask::Retry).await;
        world.run_until("2026-01-20T13:00:00Z").await;
        ask(&world, 0, Ask::Void).await;
        let told = [
            "subscription, ORD-1/-/-, - > active, handed over",
            "charge, ORD-1/0/-, - > due, -",
            "attempt, ORD-1/0/1, created > sending, -",
            "charge, ORD-1/0/-, due > collecting, -",
            "attempt, ORD-1/0/1, sending > pending, pay_",
            "attempt, ORD-1/0/1, pending > declined, pay_ 20051 funds",
            "charge, ORD-1/0/-, collecting > retrying, funds",
            "subscription, ORD-1/0/-, active > past_due, -",
            "operator: asked, ORD-1/0/-, - > -, retry: as agreed",
            "dunning step, ORD-1/0/2, - > created, -",
            "attempt, ORD-1/0/2, created > sending, -",
            "charge, ORD-1/0/-, retrying > collecting, -",
            "attempt, ORD-1/0/2, sending > pending, pay_",
            "attempt, ORD-1/0/2, pending > declined, pay_ 20051 funds",
            "charge, ORD-1/0/-, collecting > retrying, funds",
            "operator: charge, ORD-1/0/-, retrying > void, forgiven",
            "operator: subscription, ORD-1/0/-, past_due > active, -",
            "operator: asked, ORD-1/0/-, - > -, void: as agreed",
        ];
        assert_eq!(journal(&world).await, told, "{on:?}");
    }
}

#[tokio::test]
async fn of_a_payment_that_a_person_looked_for() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let hidden = Rule::fault("hidden", Fault::HtmlBody).on(On::Get);
        let lost = Rule::fault("lost", Fault::LostRequest).on(On::Post);
        world.sandbox.set_script(Script::of([lost, hidden]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-26T12:00:00Z").await;
        let before = journal(&world).await.len();
        world.sandbox.set_script(Script::default());
        resolve(&world, Way::Charge(Ask::NotCharged)).await;
        world.run_until("2026-01-26T13:00:00Z").await;
        let told = [
            "operator: attempt, ORD-1/0/1, unknown > absent, an operator found no payment of it",
            "operator: charge, ORD-1/0/-, in_review > retrying, asked",
            "operator: subscription, ORD-1/0/-, active > past_due, -",
            "operator: asked, ORD-1/0/-, - > -, not-charged: as agreed",
            "operator: review resolved, ORD-1/0/-, unresolved > not-charged, rev_ as agreed",
            "dunning step, ORD-1/0/2, - > created, -",
            "attempt, ORD-1/0/2, created > sending, -",
            "charge, ORD-1/0/-, retrying > collecting, -",
            "attempt, ORD-1/0/2, sending > pending, pay_",
            "attempt, ORD-1/0/2, pending > captured, pay_",
            "charge, ORD-1/0/-, collecting > paid, -",
            "subscription, ORD-1/0/-, past_due > active, -",
        ];
        assert_eq!(journal(&world).await[before..], told, "{on:?}");
    }
}

#[tokio::test]
async fn of_a_hold_and_a_brake_that_are_lifted() {
    for on in BOTH {
        let world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let mut tx = world.store.begin("test").await.unwrap();
        let fence = NewFence { reason: "rewound", detail: "4 sends are lost".to_owned(), lost_sends: 4, holds: true };
        tx.raise_fence(&fence, "node", world.clock.now()).await.unwrap();
        tx.brake("more was sent than was planned", world.clock.now()).await.unwrap();
        let last = tx.last_fence().await.unwrap();
        tx.commit().await.unwrap();
        let early = lift::acknowledge(&world.store, last - 1, "read it", "operator").await;
        assert!(matches!(early, Err(LiftError::RaisedMeanwhile)), "{on:?} {early:?}: it was not read yet");
        let lifted = lift::acknowledge(&world.store, last, "read it", "operator").await.unwrap();
        assert_eq!(lifted, Some(1), "{on:?}");
        assert_eq!(lift::acknowledge(&world.store, last, "read it", "operator").await.unwrap(), None, "{on:?}");
        assert!(lift::resume_collecting(&world.store, "they are right", "operator").await.unwrap().is_some(), "{on:?}");
        assert_eq!(lift::resume_collecting(&world.store, "again", "operator").await.unwrap(), None, "{on:?}");
        let told = ["hold, -/-/-, held > lifted, read it", "brake, -/-/-, braked > lifted, they are right"];
        assert_eq!(journal(&world).await, told.map(|it| format!("operator: {it}")), "{on:?}");
    }
}
