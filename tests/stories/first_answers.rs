//! A first payment whose answer was lost: its key is sent again to hear which wallet pays, and nobody is left between.

use chrono::TimeDelta;
use dues::engine::begin::{Beginning, Link};
use dues::engine::erase::{EraseError, erase};
use dues::gateway::payments::Terminal;
use dues::sandbox::{Fault, On, Rule, Script};
use dues::store::customers::NewCustomer;
use dues::store::db::Statement;
use dues::store::first_payments::FirstPaymentRow;

use crate::support::world::{BOTH, World, at};

fn beginning() -> Beginning {
    let customer = NewCustomer {
        reference: "CUST-F".to_owned(),
        name: None,
        email: Some("first@example.com".to_owned()),
        country: "HK".to_owned(),
    };
    Beginning {
        reference: "ORD-1".to_owned(),
        plan: "monthly".to_owned(),
        customer,
        zone: "Asia/Hong_Kong".parse().unwrap(),
        anchor_on: None,
        terminal: Terminal::Web,
        another: false,
    }
}

/// Where its customer is sent, as `dues subscribe --resume` tells it.
async fn link(world: &World, charge_id: i64) -> Link {
    world.engine.link_of(&world.engine.first_payment(charge_id).await.unwrap(), world.clock.now())
}

/// A first payment at noon whose answer is lost; a look-up has found it, and the customer has not approved it yet.
async fn lost(on: crate::support::world::On) -> World {
    let mut world = World::new(on, "2026-01-15T04:00:00Z", &[]).await;
    world.sandbox.set_script(Script::of([Rule::fault("lost", Fault::LostResponse).on(On::Post).times(1)]));
    world.engine.begin(&beginning()).await.unwrap();
    world.run_until("2026-01-15T04:01:20Z").await;
    assert_eq!(world.attempts().await, ["ORD-1/0/1 pending"], "{on:?}");
    world
}

/// Erases the customer, as `dues customer erase` does.
async fn erased(world: &World) -> Result<u64, EraseError> {
    erase(&world.store, world.settings.protocol.key_life, "CUST-F", "asked by the customer", "test").await
}

fn approve(world: &World) {
    let payment = world.sandbox.books().payments[0].id.clone();
    assert!(world.sandbox.approve(&payment));
}

#[tokio::test]
async fn a_lost_first_answer_delays_its_subscription_by_a_minute_and_no_more() {
    for on in BOTH {
        let mut world = lost(on).await;
        approve(&world);
        world.run_until("2026-01-15T04:02:30Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        assert_eq!(world.store.exceptions().await.unwrap(), 0, "{on:?}");
        world.run_until("2026-02-16T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid"], "{on:?}: its source pays");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_customer_is_not_erased_while_a_lost_first_answer_is_asked_for() {
    for on in BOTH {
        let mut world = lost(on).await;
        let refused = erased(&world).await.unwrap_err();
        assert!(matches!(&refused, EraseError::MayBeSent(bars) if bars.len() == 1), "{on:?} {refused:?}");
        assert!(
            refused.to_string().contains("is sent again until the gateway has named the wallet"),
            "{on:?} {refused}"
        );
        world.run_until("2026-01-15T04:03:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 incomplete"], "{on:?}");
        assert_eq!(erased(&world).await.unwrap(), 1, "{on:?}: the wallet is known now");
        approve(&world);
        world.run_until("2026-01-15T06:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        assert_eq!(world.reviews().await, [""; 0], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_first_request_that_cannot_be_sent_again_is_told_before_its_customer_pays() {
    for on in BOTH {
        let mut world = lost(on).await;
        let mut tx = world.store.begin("test").await.unwrap();
        tx.run(Statement::new("UPDATE customers SET email = NULL")).await.unwrap();
        tx.commit().await.unwrap();
        world.run_until("2026-01-15T04:03:00Z").await;
        assert_eq!(world.reviews().await, ["source_unknown"], "{on:?}");
        approve(&world);
        world.run_until("2026-01-16T04:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid"], "{on:?}");
        assert_eq!(world.subscriptions().await, ["ORD-1 incomplete"], "{on:?}");
        assert_eq!(world.reviews().await, ["source_unknown"], "{on:?}: one case, told once");
        let sends = "SELECT CAST(sends AS TEXT) AS line FROM attempts";
        assert_eq!(world.lines(sends).await, ["2"], "{on:?}: the key is not tried again and again");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn who_waits_for_the_link_of_a_lost_first_answer_is_told_what_becomes_of_it() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T04:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([Rule::fault("lost", Fault::LostResponse).on(On::Post).times(2)]));
        assert!(world.engine.begun("ORD-1").await.unwrap().is_none(), "{on:?}");
        let charge = world.engine.begin(&beginning()).await.unwrap().charge_id;
        assert_eq!(world.engine.begun("ORD-1").await.unwrap().map(|it| it.charge_id), Some(charge), "{on:?}");
        let mut told = vec![link(&world, charge).await];
        for step in 1..60 {
            world.run_until(&(at("2026-01-15T04:00:00Z") + TimeDelta::seconds(5 * step)).to_rfc3339()).await;
            let now = link(&world, charge).await;
            if told.last() != Some(&now) {
                told.push(now);
            }
        }
        // It was sent at once, looked up after half a minute and found, and its key rests for a minute after each send.
        let payment_id = world.sandbox.books().payments[0].id.clone();
        let again = |text| Link::AskedForAgain { payment_id: payment_id.clone(), at: at(text) };
        let wanted = [Link::Awaited, again("2026-01-15T04:01:31Z"), again("2026-01-15T04:03:02Z")];
        assert_eq!(told[..3], wanted, "{on:?}");
        assert!(matches!(&told[3..], [Link::At(url)] if url.starts_with("http")), "{on:?} {told:?}");
    }
}

#[tokio::test]
async fn a_key_whose_answer_can_tell_nothing_more_is_not_waited_for() {
    for on in BOTH {
        let world = lost(on).await;
        let charge = world.engine.begun("ORD-1").await.unwrap().unwrap().charge_id;
        let row = world.engine.first_payment(charge).await.unwrap();
        let now = world.clock.now();
        let again = world.engine.link_of(&row, now);
        let Link::AskedForAgain { payment_id, .. } = &again else { panic!("{on:?}: {again:?}") };
        let gone = Link::Lost { payment_id: payment_id.clone() };
        let no_more = [
            FirstPaymentRow { has_source: 1, ..row.clone() },
            FirstPaymentRow { server_error: 1, ..row.clone() },
            FirstPaymentRow { late_looks: 1, ..row.clone() },
            FirstPaymentRow { sends: 5, ..row.clone() },
        ];
        for row in no_more {
            assert_eq!(world.engine.link_of(&row, now), gone, "{on:?} {row:?}");
        }
        let unknown = FirstPaymentRow { attempt_state: "unknown".to_owned(), payment_id: None, ..row.clone() };
        assert_eq!(world.engine.link_of(&unknown, now), Link::LookedUp { at: row.next_at }, "{on:?}");
    }
}
