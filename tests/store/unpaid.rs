//! A revoked source: one act stops everything that would still be charged to it, and nothing else.

use dues::domain::attempt::AttemptState;
use dues::domain::charge::ChargeState;
use dues::domain::source::SourceState;
use dues::row;
use dues::store::changes::{Changes, NewSource, SourceChange};
use dues::store::db::Statement;

use crate::ledger::Ledger;
use crate::support::world::BOTH;

row! { IdRow { id: i64 } }

async fn source_of(ledger: &Ledger, subscription_id: i64) -> i64 {
    let text = "SELECT source_id AS id FROM subscriptions WHERE id = $1";
    ledger.store.read_one::<IdRow>(Statement::new(text).bind(subscription_id)).await.unwrap().id
}

#[tokio::test]
async fn revoking_a_source_stops_what_is_unsent_and_leaves_what_is_on_the_wire() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        ledger.due("B", ledger.now).await;
        let due = ledger.open(id, 0, ChargeState::Due).await;
        ledger.attempt(due, 1, ledger.now).await;
        ledger.case(due, Some(ledger.now)).await;
        let flying = ledger.open(id, 1, ChargeState::Due).await;
        let sent = ledger.attempt(flying, 1, ledger.now).await;
        ledger.bring(sent, AttemptState::Sending).await;
        let collecting = "UPDATE charges SET state = 'collecting' WHERE id = $1";
        let mut tx = ledger.begin().await;
        tx.run(Statement::new(collecting).bind(flying)).await.unwrap();
        tx.commit().await.unwrap();

        let revoked = SourceChange { id: source_of(&ledger, id).await, state: SourceState::Revoked };
        ledger.apply(Changes { sources: vec![revoked.clone()], ..Changes::default() }).await.unwrap();
        assert_eq!(ledger.world.subscriptions().await, ["A unpaid", "B active"], "{on:?}");
        assert_eq!(ledger.world.charges().await, ["A/0 uncollectible", "A/1 collecting", "B/0 due"], "{on:?}");
        assert_eq!(ledger.world.attempts().await, ["A/0/1 withdrawn", "A/1/1 sending", "B/0/1 created"], "{on:?}");
        assert_eq!(ledger.lines("SELECT state AS line FROM dunning_cases").await, ["stopped"], "{on:?}");
        let lines = ledger.store.journal_of(id, None).await.unwrap().len();
        assert_eq!(lines, 2, "{on:?}: the subscription and the charge");

        let mut tx = ledger.begin().await;
        tx.stop_sources(&[revoked.id], "test", ledger.now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            ledger.store.journal_of(id, None).await.unwrap().len(),
            lines,
            "{on:?}: a second stop finds nothing"
        );
    }
}

#[tokio::test]
async fn a_first_payment_names_the_source_of_its_subscription() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        for (state, wanted) in [(SourceState::Provisional, "provisional"), (SourceState::Active, "active")] {
            let named = NewSource { subscription_id: id, gateway_source_id: "src_new".to_owned(), state };
            ledger.apply(Changes { new_sources: vec![named], ..Changes::default() }).await.unwrap();
            let states = ledger.lines("SELECT state AS line FROM sources WHERE gateway_source_id = 'src_new'").await;
            assert_eq!(states, [wanted], "{on:?}");
        }
        let due = ledger.begin().await.subscriptions_to_bill(ledger.now, 9).await.unwrap();
        assert_eq!(due[0].gateway_source_id.as_deref(), Some("src_new"), "{on:?}");
    }
}
