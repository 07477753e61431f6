//! The audit: each charge is looked up again days and weeks later, whatever it ended as.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dues::engine::audit::{Audit, AuditFigures};
use dues::engine::left::still_to_be_looked_up;
use dues::engine::lift;
use dues::gateway::transport::Method;
use dues::sandbox::{Fault, HttpRequest, On as Requests, Rule, Script};
use dues::store::db::{Asked, Hook, Moment, Step, Trouble};
use dues::store::fences::NewFence;
use serde_json::json;

use crate::support::world::{BOTH, On, World, at, empty_books, source_of};

/// A world whose one monthly charge was sent on the 20th.
async fn charged(on: On, rules: Vec<Rule>) -> World {
    let mut world = World::new(on, "2026-01-19T00:00:00Z", &[]).await;
    world.sandbox.set_script(Script::of(rules));
    world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
    world.run_until("2026-01-20T12:00:00Z").await;
    world
}

/// Audits until nothing is to be audited at this instant.
async fn audit(world: &World) -> usize {
    let mut audit = Audit::new(world.engine.clone());
    let mut done = 0;
    loop {
        let tick = audit.tick(true).await.unwrap();
        done += tick.done;
        if tick.done == 0 && !audit.is_busy() {
            return done;
        }
    }
}

async fn audits(world: &World) -> Vec<String> {
    world.lines("SELECT audits || CASE WHEN audit_at IS NULL THEN ' done' ELSE ' more' END AS line FROM charges").await
}

/// Somebody charges the same period by another hand.
async fn charge_by_hand(world: &World, key: &str) {
    let reference = world.lines("SELECT reference AS line FROM charges").await[0].clone();
    let body = json!({
        "source": {"type": "id", "id": source_of("ORD-1")}, "amount": 12_800, "currency": "HKD", "payment_type": "Recurring",
        "merchant_initiated": true, "reference": reference, "capture": true,
        "processing_channel_id": "pc_ekaubqrravqupfxde7kxvd2t3i",
        "customer": {"email": "customer@example.com"}, "items": [{"name": "x", "quantity": 1, "unit_price": 12_800}],
    });
    let answer = world.sandbox.handle(HttpRequest {
        method: Method::Post,
        path: "/payments",
        authorization: Some("Bearer sk_sbox_simulated"),
        idempotency_key: Some(key),
        body: body.to_string().as_bytes(),
    });
    assert!(answer.status < 300, "{}", String::from_utf8_lossy(&answer.body));
}

#[tokio::test]
async fn a_charge_that_is_as_the_books_say_is_looked_up_three_times_and_never_again() {
    for on in BOTH {
        let world = charged(on, Vec::new()).await;
        assert_eq!(audit(&world).await, 0, "{on:?}");
        assert_eq!(world.engine.audited.figures(), AuditFigures::default(), "{on:?}");
        for (day, wanted, look_ups) in
            [("2026-01-21", "1 more", 1), ("2026-01-28", "2 more", 2), ("2026-02-25", "3 done", 3)]
        {
            let now = at(&format!("{day}T12:00:00Z"));
            world.clock.advance_to(now);
            assert_eq!(audit(&world).await, 2, "{on:?} {day}: leased, and recorded");
            assert_eq!(audits(&world).await, [wanted], "{on:?} {day}");
            let figures = AuditFigures { look_ups, differences: 0, last_at: Some(now) };
            assert_eq!(world.engine.audited.figures(), figures, "{on:?} {day}");
        }
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_second_payment_of_a_period_is_found_after_a_day() {
    for on in BOTH {
        let world = charged(on, Vec::new()).await;
        charge_by_hand(&world, "by hand").await;
        world.clock.advance_to(at("2026-01-21T12:00:00Z"));
        audit(&world).await;
        assert_eq!(world.reviews().await, ["double"], "{on:?}");
        assert_eq!(world.engine.audited.figures().differences, 1, "{on:?}");
        assert_eq!(world.collected_minor().await, 25_600, "{on:?}: the books know of both");
    }
}

#[tokio::test]
async fn money_for_a_charge_that_was_given_up_is_found() {
    for on in BOTH {
        let mut world = charged(on, vec![Rule::decline("risk", "30041")]).await;
        assert_eq!(world.charges().await, ["ORD-1/0 uncollectible"], "{on:?}");
        world.sandbox.set_script(Script::default());
        charge_by_hand(&world, "by hand").await;
        world.clock.advance_to(at("2026-01-21T12:00:00Z"));
        audit(&world).await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.engine.audited.figures().differences, 1, "{on:?}");
        world.run_until("2026-01-21T13:00:00Z").await;
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_look_up_that_gives_no_conclusion_is_no_audit() {
    for on in BOTH {
        let world = charged(on, Vec::new()).await;
        let broken = Rule::fault("broken", dues::sandbox::Fault::HtmlBody).on(dues::sandbox::On::Get);
        world.sandbox.set_script(Script::of([broken]));
        world.clock.advance_to(at("2026-01-21T12:00:00Z"));
        audit(&world).await;
        assert_eq!(audits(&world).await, ["0 more"], "{on:?}");
        assert_eq!(world.engine.audited.figures(), AuditFigures::default(), "{on:?}");
        world.sandbox.set_script(Script::default());
        world.clock.advance(std::time::Duration::from_mins(4));
        audit(&world).await;
        assert_eq!(audits(&world).await, ["1 more"], "{on:?}");
    }
}

#[tokio::test]
async fn a_period_that_a_restored_backup_holds_back_is_paid_where_the_gateway_took_it_before() {
    let flags = [("installation.high_water_file", "none"), ("protocol.gap", "1h")];
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
        world.engine.take_name(false).await.unwrap();
        world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
        world.run_until("2026-01-15T12:00:00Z").await;
        let (mut world, backup) = world.backed_up().await;
        world.run_until("2026-01-22T12:00:00Z").await;
        assert_eq!(world.sandbox.books().payments.len(), 8, "{on:?}");

        // The backup knows of one. Of the seven days that it lacks, the catch-up rule bills three and holds back four.
        let mut world = world.restarted(Some(&backup)).await;
        world.engine.take_name(false).await.unwrap();
        world.run_until("2026-01-22T18:00:00Z").await;
        let held = async |world: &World| world.charges().await.iter().filter(|it| it.ends_with(" held")).count();
        assert_eq!(held(&world).await, 4, "{on:?} {:?}", world.charges().await);
        for _second in 0..5 {
            audit(&world).await;
            world.clock.advance(std::time::Duration::from_secs(1));
        }
        assert_eq!(held(&world).await, 0, "{on:?} {:?}", world.charges().await);
        assert_eq!(world.engine.beat().await.unwrap().held.as_deref(), Some("stranger"), "{on:?}");
        lift::acknowledge(&world.store, i64::MAX, "read it", "operator").await.unwrap();
        world.run_until("2026-01-25T12:00:00Z").await;
        let charges = world.charges().await;
        assert!(charges.iter().all(|it| it.ends_with(" paid")), "{on:?} {charges:?}");
        assert_eq!(world.sandbox.books().payments.len(), charges.len(), "{on:?}: and none was taken twice");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn new_books_that_skip_a_period_which_lost_ones_charged_find_it_paid() {
    let flags = [("installation.high_water_file", "none"), ("catch_up.handed_over", "skip")];
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
        world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
        world.run_until("2026-01-17T12:00:00Z").await;
        let elsewhere = tempfile::tempdir().unwrap();
        let mut world = world.restarted(Some(&empty_books(on, &elsewhere))).await;
        world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
        world.round.until_quiet().await.unwrap();
        assert_eq!(world.charges().await, ["ORD-1/0 skipped", "ORD-1/1 skipped", "ORD-1/2 skipped"], "{on:?}");
        for _second in 0..5 {
            audit(&world).await;
            world.clock.advance(std::time::Duration::from_secs(1));
        }
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid", "ORD-1/2 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

/// The books commit once what stands in for a lost attempt, and the answer is lost.
#[derive(Debug, Default)]
struct LosesAnAnswer(AtomicU32);

impl Hook for LosesAnAnswer {
    fn at(&self, moment: Moment) -> Asked<'_> {
        let here = moment.work == "stand in" && moment.step == Step::Committed;
        let loses = here && self.0.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(std::future::ready(if loses { Err(Trouble::Cut) } else { Ok(()) }))
    }
}

#[tokio::test]
async fn what_was_found_is_settled_although_the_answer_of_the_books_was_lost_on_the_way() {
    let flags = [("installation.high_water_file", "none"), ("catch_up.handed_over", "skip")];
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
        world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
        world.run_until("2026-01-15T12:00:00Z").await;
        let elsewhere = tempfile::tempdir().unwrap();
        let mut world = world.restarted(Some(&empty_books(on, &elsewhere))).await;
        world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
        world.round.until_quiet().await.unwrap();
        assert_eq!(world.charges().await, ["ORD-1/0 skipped"], "{on:?}");
        let mut engine = world.engine.clone();
        engine.store = engine.store.with_hook(Arc::new(LosesAnAnswer::default()));
        let mut audit = Audit::new(engine);
        let mut failures = 0;
        for _minute in 0..10 {
            for _tick in 0..4 {
                failures += usize::from(audit.tick(true).await.is_err());
            }
            world.clock.advance(std::time::Duration::from_secs(60));
        }
        assert_eq!(failures, 1, "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_period_that_was_not_billed_costs_no_read_unless_a_fence_was_raised() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[("catch_up.missed", "skip")]).await;
        world.hand_over("ORD-1", "daily", "2026-01-15", None).await;
        world.clock.advance_to(at("2026-01-17T12:00:00Z"));
        world.round.until_quiet().await.unwrap();
        assert_eq!(world.charges().await, ["ORD-1/0 skipped", "ORD-1/1 skipped", "ORD-1/2 skipped"], "{on:?}");
        world.clock.advance_to(at("2026-01-18T01:00:00Z"));
        assert_eq!(audit(&world).await, 0, "{on:?}");
        let mut tx = world.store.begin("fence").await.unwrap();
        let fence = NewFence { reason: "asked", detail: "look".to_owned(), lost_sends: 0, holds: false };
        tx.raise_fence(&fence, "node", world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(audit(&world).await, 6, "{on:?}: three are leased, and recorded");
        assert_eq!(audits(&world).await, ["1 done"; 3], "{on:?}: once");
        assert!(world.charges().await.iter().all(|it| it.ends_with(" skipped")), "{on:?}");
        assert_eq!(world.attempts().await, [""; 0], "{on:?}");
    }
}

#[tokio::test]
async fn a_look_up_under_way_is_nobody_elses_and_is_recorded_by_a_daemon_that_stops() {
    for on in BOTH {
        let world = charged(on, Vec::new()).await;
        world.clock.advance_to(at("2026-01-21T12:00:00Z"));
        let mut audit = Audit::new(world.engine.clone());
        assert_eq!(audit.tick(false).await.unwrap().done, 0, "{on:?}: who stops begins nothing");
        assert!(!audit.is_busy(), "{on:?}");
        let tick = audit.tick(true).await.unwrap();
        assert_eq!((tick.done, tick.wake_at), (1, None), "{on:?}: it leased all there is");
        assert!(audit.is_busy(), "{on:?}");
        let mut other = Audit::new(world.engine.clone());
        assert_eq!(other.tick(true).await.unwrap().done, 0, "{on:?}");
        audit.landed().await;
        assert_eq!(audit.tick(false).await.unwrap().done, 1, "{on:?}");
        assert!(!audit.is_busy(), "{on:?}");
        assert_eq!(audits(&world).await, ["1 more"], "{on:?}");
    }
}

#[tokio::test]
async fn many_look_ups_go_at_the_pace_of_the_rules_and_each_age_once() {
    let flags = [("audit.reads_per_second", "1")];
    for on in BOTH {
        let mut world = World::new(on, "2026-01-19T00:00:00Z", &flags).await;
        for reference in ["ORD-1", "ORD-2"] {
            world.hand_over(reference, "monthly", "2026-01-20", None).await;
        }
        world.run_until("2026-01-20T12:00:00Z").await;
        // To the microsecond a day after the charges were opened.
        world.clock.advance_to(at("2026-01-21T02:00:00Z"));
        let mut audit = Audit::new(world.engine.clone());
        let tick = audit.tick(true).await.unwrap();
        assert_eq!((tick.done, tick.wake_at), (1, Some(at("2026-01-21T02:00:01Z"))), "{on:?}");
        audit.landed().await;
        let tick = audit.tick(true).await.unwrap();
        assert_eq!((tick.done, tick.wake_at), (1, Some(at("2026-01-21T02:00:01Z"))), "{on:?}: recorded, and waits");
        world.clock.advance_to(at("2026-01-21T02:00:01Z"));
        assert_eq!(audit.tick(true).await.unwrap().done, 1, "{on:?}: the other");
        audit.landed().await;
        audit.tick(false).await.unwrap();
        assert_eq!(audits(&world).await, ["1 more", "1 more"], "{on:?}");
        world.clock.advance_to(at("2026-01-21T02:00:02Z"));
        assert_eq!(audit.tick(true).await.unwrap().done, 0, "{on:?}: not twice at one age");
    }
}

#[tokio::test]
async fn a_period_that_was_canceled_in_restored_books_is_paid_where_the_gateway_took_it_before() {
    let flags = [("installation.high_water_file", "none"), ("protocol.gap", "1h")];
    for on in BOTH {
        let world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
        world.engine.take_name(false).await.unwrap();
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        let (mut world, backup) = world.backed_up().await;
        world.run_until("2026-01-20T03:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");

        let mut world = world.restarted(Some(&backup)).await;
        world.engine.take_name(false).await.unwrap();
        let broken = Rule::fault("broken", dues::sandbox::Fault::HtmlBody).on(dues::sandbox::On::Get);
        world.sandbox.set_script(Script::of([broken]));
        world.run_until("2026-01-20T04:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 due"], "{on:?}: nobody can tell that it was taken before");
        world.engine.cancel("ORD-1", false, "left", "operator").await.unwrap();
        assert_eq!(world.attempts().await, ["ORD-1/0/1 withdrawn"], "{on:?}");
        world.sandbox.set_script(Script::default());
        world.clock.advance_to(at("2026-01-21T12:00:00Z"));
        audit(&world).await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert!(
            world.reviews().await.contains(&"captured_after_void".to_owned()),
            "{on:?} {:?}",
            world.reviews().await
        );
        assert!(!world.reviews().await.contains(&"double".to_owned()), "{on:?} {:?}", world.reviews().await);
        world.assert_books_agree().await;
    }
}

async fn left(world: &World) -> u64 {
    let fence = world.store.fence_state().await.unwrap().continuity_from;
    let (ages, lease) = (&world.settings.audit.ages, world.settings.protocol.lease);
    still_to_be_looked_up(&world.store, fence, ages, lease).await.unwrap()
}

async fn goes_on_until(world: &mut World, until: &str) {
    world.run_until(until).await;
    audit(world).await;
}

#[tokio::test]
async fn what_is_still_to_be_looked_up_is_counted_until_all_is_adopted() {
    let flags = [("installation.high_water_file", "none"), ("protocol.gap", "2h"), ("catch_up.spread", "0s")];
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &flags).await;
        world.engine.take_name(false).await.unwrap();
        world.hand_over("DAY", "daily", "2026-01-15", None).await;
        world.hand_over("MONTH", "monthly", "2026-01-16", None).await;
        goes_on_until(&mut world, "2026-01-16T12:00:00Z").await;
        assert_eq!(left(&world).await, 0, "{on:?}");
        // One that comes by itself within a lease is none that a fence wants.
        world.clock.advance_to(at("2026-01-17T01:59:00Z"));
        assert_eq!(left(&world).await, 0, "{on:?}");
        let (mut world, backup) = world.backed_up().await;
        goes_on_until(&mut world, "2026-01-19T12:00:00Z").await;

        let mut world = world.restarted(Some(&backup)).await;
        world.engine.take_name(false).await.unwrap();
        assert_eq!(left(&world).await, 4, "{on:?}: three charges that are known, and a subscription that is to go on");
        let down = Rule::fault("down", Fault::ErrorBefore(503)).on(Requests::Get);
        world.sandbox.set_script(Script::of([down]));
        // What is looked up without an answer comes back later, and is not done meanwhile.
        for until in ["2026-01-19T12:00:30Z", "2026-01-19T12:02:00Z", "2026-01-19T12:10:00Z"] {
            goes_on_until(&mut world, until).await;
            assert_eq!(left(&world).await, 6, "{on:?} {until}: three days are opened");
        }
        let adopted = async |world: &World| world.store.adopted_since(at("2026-01-19T00:00:00Z")).await.unwrap().len();
        assert_eq!(adopted(&world).await, 0, "{on:?}");
        world.sandbox.set_script(Script::default());
        // The circuit has opened, and closes by the first answer.
        for until in ["2026-01-19T13:00:00Z", "2026-01-19T13:05:00Z"] {
            goes_on_until(&mut world, until).await;
        }
        assert_eq!((left(&world).await, adopted(&world).await), (0, 3), "{on:?}");
    }
}
