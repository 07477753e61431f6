//! A customer's data leaves the books, and what must stay the same to the byte bars it.

use dues::clock::Clock;
use dues::domain::attempt::AttemptState;
use dues::store::db::Purged;
use dues::store::{DatabaseUrl, Store};
use secrecy::ExposeSecret;

use crate::ledger::{Ledger, minutes};
use crate::support::world::{BOTH, On};

#[tokio::test]
async fn a_request_that_may_be_sent_again_bars_the_erasure() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let (_, attempt) = ledger.due("A", ledger.now).await;
        ledger.due("B", ledger.now).await;
        let customer = "customer of A";
        let bars = async |key_over| {
            let mut tx = ledger.begin().await;
            let rows = tx.bars_to_erasure(customer, key_over).await.unwrap();
            rows.into_iter().map(|it| it.state).collect::<Vec<_>>()
        };
        assert_eq!(bars(ledger.now).await, ["created"], "{on:?}");
        ledger.bring(attempt, AttemptState::Sending).await;
        assert_eq!(bars(ledger.now).await, ["sending"], "{on:?}");
        let mut unknown = ledger.change(attempt, AttemptState::Unknown).await;
        unknown.unknown_since = Some(ledger.now);
        let attempts = vec![unknown];
        ledger.apply(dues::store::changes::Changes { attempts, ..Default::default() }).await.unwrap();
        assert_eq!(bars(ledger.now - minutes(1)).await, ["unknown"], "{on:?}: its key lives");
        assert_eq!(bars(ledger.now).await, [""; 0], "{on:?}: its key is over");
        // What was handed over is made into a first payment whose source is not known.
        ledger.bring(attempt, AttemptState::Pending).await;
        assert_eq!(bars(ledger.now - minutes(1)).await, [""; 0], "{on:?}: a known payment is not sent again");
        ledger.run("UPDATE attempts SET kind = 'first'").await;
        ledger.run("UPDATE subscriptions SET state = 'incomplete', source_id = NULL").await;
        assert_eq!(bars(ledger.now - minutes(1)).await, ["pending"], "{on:?}: it is sent again for its source");
        assert_eq!(bars(ledger.now).await, [""; 0], "{on:?}: its key is over");
        ledger.run("UPDATE attempts SET server_error = 1").await;
        assert_eq!(bars(ledger.now - minutes(1)).await, [""; 0], "{on:?}: it is not sent again after a server error");
        ledger.run("UPDATE attempts SET server_error = 0").await;
        ledger.bring(attempt, AttemptState::Declined).await;
        assert_eq!(bars(ledger.now - minutes(1)).await, [""; 0], "{on:?}");
    }
}

#[tokio::test]
async fn every_version_is_emptied_and_the_journal_tells_who_did_it() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        let mut newer = ledger.customer("A");
        newer.email = Some("newer@example.com".to_owned());
        let mut tx = ledger.begin().await;
        tx.know_customers(&[newer, ledger.customer("B")], ledger.now).await.unwrap();
        tx.commit().await.unwrap();
        let shown = ledger.store.customer_shown("customer of A").await.unwrap().unwrap();
        assert_eq!((shown.versions, shown.with_data, shown.country.as_str()), (2, 2, "HK"), "{on:?}");
        assert!(ledger.store.customer_shown("nobody").await.unwrap().is_none());

        let mut tx = ledger.begin().await;
        assert!(tx.customer_to_erase("nobody").await.unwrap().is_none(), "{on:?}");
        assert_eq!(tx.customer_to_erase("customer of A").await.unwrap().unwrap(), shown, "{on:?}");
        assert_eq!(tx.erase_customer("customer of A", "asked", "operator", ledger.now).await.unwrap(), 2, "{on:?}");
        tx.commit().await.unwrap();
        assert_eq!(ledger.store.purge().await.unwrap(), Purged::Done, "{on:?}");
        let held = "SELECT reference AS line FROM customers WHERE name IS NOT NULL OR email IS NOT NULL";
        assert_eq!(ledger.lines(held).await, ["customer of B"], "{on:?}");
        let journal =
            "SELECT actor || ': ' || act || ', ' || detail AS line FROM journal WHERE act = 'customer erased'";
        assert_eq!(ledger.lines(journal).await, ["operator: customer erased, asked"], "{on:?}");
        let own = ledger.store.subscriptions_of_customer("customer of A").await.unwrap();
        assert_eq!(own.iter().map(|it| it.id).collect::<Vec<_>>(), [id], "{on:?}");
    }
}

#[tokio::test]
async fn a_login_that_may_not_clean_up_is_told_who_may() {
    let ledger = Ledger::new(On::Postgres).await;
    ledger.run("CREATE ROLE clerk LOGIN").await;
    ledger.run("GRANT SELECT, UPDATE ON customers TO clerk").await;
    let url = ledger.world.settings.database.url.expose_secret().replace("user=postgres", "user=clerk");
    let url = DatabaseUrl::parse(&url).unwrap();
    let clerk = Store::open(&url, 1, std::time::Duration::from_secs(10), Clock::system()).await.unwrap();
    assert_eq!(clerk.purge().await.unwrap(), Purged::OwnedBy("postgres".to_owned()));
}
