//! A customer's data goes when no request that holds it can be sent any more, and not before: it must stay the same to the byte.

use chrono::TimeDelta;
use dues::engine::collect::Collect;
use dues::engine::erase::{Bar, EraseError, erase};
use dues::sandbox::{Fault, On, Rule, Script};

use crate::support::world::{BOTH, World, at};

async fn erased(world: &World, customer: &str) -> Result<u64, EraseError> {
    erase(&world.store, world.settings.protocol.key_life, customer, "asked by the customer", "test").await
}

/// What keeps the customer's data in the books; the one thing.
async fn bar(world: &World) -> Bar {
    match erased(world, "customer of ORD-1").await {
        Err(EraseError::MayBeSent(bars)) => bars.into_iter().next().unwrap(),
        other => panic!("nothing bars it: {other:?}"),
    }
}

#[tokio::test]
async fn nobody_is_erased_who_is_not_there_and_nobody_twice() {
    for on in BOTH {
        let world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        let unheard = erased(&world, "customer of nobody").await.unwrap_err();
        assert!(matches!(&unheard, EraseError::NotFound(who) if who == "customer of nobody"), "{on:?} {unheard}");
        assert_eq!(erased(&world, "customer of ORD-1").await.unwrap(), 1, "{on:?}");
        assert_eq!(erased(&world, "customer of ORD-1").await.unwrap(), 0, "{on:?}");
        let left = world.lines("SELECT COALESCE(name, '-') || COALESCE(email, '-') AS line FROM customers").await;
        assert_eq!(left, ["--"], "{on:?}");
    }
}

#[tokio::test]
async fn what_waits_to_be_sent_or_is_on_its_way_keeps_its_data() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.clock.advance_to(at("2026-01-20T02:00:00Z"));
        world.engine.bill().await.unwrap();
        let waits = bar(&world).await;
        assert!(waits.why.starts_with("waits to be sent; `dues charge void`"), "{on:?} {waits:?}");
        assert_eq!(waits.until, at("2026-01-20T02:00:00Z"), "{on:?}");
        // Sent, and its answer has not come.
        let mut collect = Collect::new(world.engine.clone());
        collect.tick(true).await.unwrap();
        let flies = bar(&world).await;
        assert_eq!(flies.why, "is on its way to the gateway", "{on:?}");
        world.run_until("2026-01-20T12:00:00Z").await;
        assert_eq!(erased(&world, "customer of ORD-1").await.unwrap(), 1, "{on:?}: it was answered");
    }
}

#[tokio::test]
async fn what_may_be_sent_again_keeps_its_data_until_its_key_is_over() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let hidden = Rule::fault("hidden", Fault::HtmlBody).on(On::Get);
        world.sandbox.set_script(Script::of([Rule::fault("lost", Fault::LostRequest).on(On::Post), hidden]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-20T12:00:00Z").await;
        let lives = bar(&world).await;
        assert!(lives.why.starts_with("may be sent again, because its outcome is unknown"), "{on:?} {lives:?}");
        let life = TimeDelta::from_std(world.settings.protocol.key_life).unwrap();
        assert_eq!(lives.until, at("2026-01-20T02:00:00Z") + life, "{on:?}");
        let told = erased(&world, "customer of ORD-1").await.unwrap_err().to_string();
        let wanted = format!("nothing was erased: the request of {} may be sent again", lives.charge);
        assert!(told.starts_with(&wanted), "{on:?} {told}");
        let until = (at("2026-01-20T02:00:00Z") + life).format("%Y-%m-%d %H:%M:%S UTC").to_string();
        assert!(told.ends_with(&format!("Try again after {until}")), "{on:?} {told}");
        world.run_until("2026-01-26T12:00:00Z").await;
        assert_eq!(erased(&world, "customer of ORD-1").await.unwrap(), 1, "{on:?}");
    }
}
