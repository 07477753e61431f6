//! First payments that go other ways than to be approved: canceled while their link is open, refused, or captured when nobody waits for
//! them any more.

use dues::engine::asked::{self, Ask, AskError, By, Refusal, Way};
use dues::engine::audit::Audit;
use dues::engine::begin::{BeginError, Beginning};
use dues::gateway::payments::Terminal;
use dues::store::customers::NewCustomer;

use crate::support::world::{BOTH, On, World, at};

const BY: By<'static> = By { operator: "operator", reason: "asked" };

/// One customer's, whatever the reference.
fn beginning(reference: &str) -> Beginning {
    Beginning {
        reference: reference.to_owned(),
        plan: "monthly".to_owned(),
        customer: NewCustomer {
            reference: format!("customer of {reference}"),
            name: Some("Wallet Customer".to_owned()),
            email: Some("customer@example.com".to_owned()),
            country: "HK".to_owned(),
        },
        zone: "Asia/Hong_Kong".parse().unwrap(),
        anchor_on: None,
        terminal: Terminal::Web,
        another: false,
    }
}

/// A world with one first payment, CX-1, that waits for its customer.
async fn begun(on: On) -> World {
    let mut world = World::new(on, "2026-01-15T04:00:00Z", &[]).await;
    world.engine.begin(&beginning("CX-1")).await.unwrap();
    world.run_until("2026-01-15T04:05:00Z").await;
    assert_eq!(world.attempts().await, ["CX-1/0/1 pending"], "{on:?}");
    world
}

fn payment(world: &World, n: usize) -> String {
    world.sandbox.books().payments[n].id.clone()
}

async fn audit(world: &World) {
    let mut audit = Audit::new(world.engine.clone());
    while audit.tick(true).await.unwrap().done > 0 || audit.is_busy() {}
}

#[tokio::test]
async fn a_first_payment_made_after_its_cancellation_is_for_a_person_and_no_other_is_begun_beside_it() {
    for on in BOTH {
        let mut world = begun(on).await;
        let canceled = world.engine.cancel("CX-1", false, "asked", "operator").await.unwrap();
        assert!(canceled.first_on_the_wire && canceled.on_the_wire == 1, "{on:?} {canceled:?}");
        let other = world.engine.begin(&beginning("CX-2")).await;
        let Err(BeginError::Stands { payable: true, incomplete: false, reference, .. }) = &other else {
            panic!("{on:?} {other:?}: the link of CX-1 can still be paid");
        };
        assert_eq!(reference, "CX-1", "{on:?}");
        assert!(world.sandbox.approve(&payment(&world, 0)));
        world.run_until("2026-01-15T06:00:00Z").await;
        assert_eq!(world.charges().await, ["CX-1/0 paid"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["CX-1 canceled"], "{on:?}");
        assert_eq!(world.reviews().await, ["captured_after_void"], "{on:?}");
        world.engine.begin(&beginning("CX-2")).await.unwrap();
        world.run_until("2026-01-15T06:05:00Z").await;
        assert!(world.sandbox.approve(&payment(&world, 1)));
        world.run_until("2026-01-15T08:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["CX-1 canceled", "CX-2 active"], "{on:?}");
        assert_eq!(world.reviews().await, ["captured_after_void"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_canceled_first_payment_that_is_left_alone_stands_in_nobodys_way_when_it_has_ended() {
    for on in BOTH {
        let mut world = begun(on).await;
        world.engine.cancel("CX-1", false, "asked", "operator").await.unwrap();
        assert!(world.sandbox.refuse(&payment(&world, 0)));
        world.run_until("2026-01-15T08:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["CX-1 canceled"], "{on:?}");
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.engine.begin(&beginning("CX-2")).await.unwrap();
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_first_payment_that_is_captured_late_does_not_stand_beside_a_newer_subscription() {
    for on in BOTH {
        for newer in [true, false] {
            let mut world = begun(on).await;
            let first = payment(&world, 0);
            assert!(world.sandbox.refuse(&first));
            world.run_until("2026-01-15T05:00:00Z").await;
            assert_eq!(world.subscriptions().await, ["CX-1 incomplete_expired"], "{on:?}");
            if newer {
                world.engine.begin(&beginning("CX-2")).await.unwrap();
                world.run_until("2026-01-15T05:05:00Z").await;
                assert!(world.sandbox.approve(&payment(&world, 1)));
                world.run_until("2026-01-15T07:00:00Z").await;
            }
            assert!(world.sandbox.overturn(&first));
            world.clock.advance_to(at("2026-01-17T07:00:00Z"));
            audit(&world).await;
            world.run_until("2026-02-20T00:00:00Z").await;
            let (charges, subscriptions, reviews) = if newer {
                (
                    vec!["CX-1/0 paid", "CX-2/0 paid", "CX-2/1 paid"],
                    vec!["CX-1 incomplete_expired", "CX-2 active"],
                    vec!["captured_after_void"],
                )
            } else {
                (vec!["CX-1/0 paid", "CX-1/1 paid"], vec!["CX-1 active"], vec![])
            };
            assert_eq!(world.charges().await, charges, "{on:?} {newer}");
            assert_eq!(world.subscriptions().await, subscriptions, "{on:?} {newer}");
            assert_eq!(world.reviews().await, reviews, "{on:?} {newer}");
            world.assert_books_agree().await;
        }
    }
}

async fn ask(world: &World, ask: Ask) -> Result<asked::Acted, AskError> {
    let charge = world.lines("SELECT public_id AS line FROM charges").await.remove(0);
    asked::ask(&world.store, &world.engine.rules, &charge, &ask, BY).await
}

async fn resolve(world: &World, way: Way) -> Result<asked::Resolved, AskError> {
    let review = world.lines("SELECT public_id AS line FROM review_cases WHERE resolved_at IS NULL").await.remove(0);
    asked::resolve(&world.store, &world.engine.rules, &review, &way, BY).await
}

#[tokio::test]
async fn a_first_payment_that_the_gateway_refuses_goes_with_its_subscription_and_so_does_its_case() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T04:00:00Z", &[]).await;
        let mut refused = beginning("CX 1");
        // More than the gateway takes; the command would not let it come so far.
        refused.customer.name = Some("x".repeat(400));
        world.engine.begin(&refused).await.unwrap();
        world.run_until("2026-01-15T04:05:00Z").await;
        assert_eq!(world.attempts().await, ["CX 1/0/1 rejected"], "{on:?}");
        for way in [Way::Charge(Ask::Retry), Way::Charge(Ask::Void), Way::Dismiss] {
            let told = resolve(&world, way).await.unwrap_err().to_string();
            assert!(told.contains("`dues subscription cancel 'CX 1' --reason"), "{on:?} {told}");
            assert!(!told.contains("works"), "{on:?} {told}");
        }
        for act in [Ask::Retry, Ask::Void] {
            let refused = ask(&world, act).await;
            let ends = matches!(refused, Err(AskError::Refused(Refusal::EndsWithSubscription { .. })));
            assert!(ends, "{on:?} {refused:?}");
        }
        let canceled = world.engine.cancel("CX 1", false, "asked", "operator").await.unwrap();
        assert_eq!((canceled.voided, canceled.closed, canceled.on_the_wire), (1, 1, 0), "{on:?}");
        assert_eq!(world.charges().await, ["CX 1/0 void"], "{on:?}");
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.engine.begin(&beginning("CX 2")).await.unwrap();
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_first_payment_that_was_held_back_is_sent_when_a_person_lets_it_go_on() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T04:00:00Z", &[]).await;
        let rules = world.engine.rules.clone();
        let mut strict = (*rules).clone();
        strict.largest_charge_minor = 5_000;
        world.engine.rules = std::sync::Arc::new(strict);
        world.round = dues::engine::round::Round::new(world.engine.clone());
        world.engine.begin(&beginning("CX-1")).await.unwrap();
        world.run_until("2026-01-15T04:05:00Z").await;
        assert_eq!(world.reviews().await, ["over_limit"], "{on:?}");
        let told = resolve(&world, Way::Charge(Ask::Void)).await.unwrap_err().to_string();
        assert!(told.contains("retry works, or `dues subscription cancel CX-1"), "{on:?} {told}");
        world.engine.rules = rules;
        world.round = dues::engine::round::Round::new(world.engine.clone());
        resolve(&world, Way::Charge(Ask::Retry)).await.unwrap();
        world.run_until("2026-01-15T04:10:00Z").await;
        assert_eq!(world.attempts().await, ["CX-1/0/1 pending"], "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}");
        let refused = ask(&world, Ask::Retry).await;
        assert!(matches!(refused, Err(AskError::Refused(Refusal::OnTheWire { .. }))), "{on:?} {refused:?}");
    }
}

#[tokio::test]
async fn what_is_in_review_because_money_may_be_gone_survives_a_cancellation() {
    for on in BOTH {
        let world = begun(on).await;
        let mut tx = world.store.begin("test").await.unwrap();
        tx.run(dues::store::db::Statement::new("UPDATE charges SET state = 'in_review', reason = 'pending_too_long'"))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let canceled = world.engine.cancel("CX-1", false, "asked", "operator").await.unwrap();
        assert_eq!((canceled.voided, canceled.closed, canceled.on_the_wire), (0, 0, 1), "{on:?}");
        assert_eq!(world.charges().await, ["CX-1/0 in_review"], "{on:?}");
    }
}
