//! What a subscription to be entered would double.

use dues::store::db::Statement;
use dues::store::subscriptions::ToBegin;

use crate::ledger::Ledger;
use crate::support::world::{BOTH, source_of};

#[tokio::test]
async fn what_would_be_doubled_is_found() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.enter("ORD-1").await;
        ledger.enter("ORD-2").await;
        let mut tx = ledger.begin().await;
        let first = "UPDATE subscriptions SET first_payment_id = 'pay_1' WHERE reference = 'ORD-1'";
        tx.run(Statement::new(first)).await.unwrap();
        tx.commit().await.unwrap();
        let source = source_of("ORD-1");
        let to_begin =
            |reference, source_id, plan, first_payment_id| ToBegin { reference, source_id, plan, first_payment_id };
        let set = [
            to_begin("NEW-1", source.as_str(), "monthly", None),
            to_begin("NEW-2", source.as_str(), "weekly", None),
            to_begin("NEW-3", "", "monthly", Some("pay_1")),
            to_begin("ORD-1", source.as_str(), "monthly", Some("pay_2")),
        ];
        let there = ledger.store.subscriptions_there(&["ORD-1", "NEW-1"]).await.unwrap();
        let row = &there["ORD-1"];
        let found = (row.gateway_source_id.as_deref(), row.plan.as_deref(), row.email.as_deref());
        assert_eq!(found, (Some(source.as_str()), Some("monthly"), Some("wallet@example.com")), "{on:?}");
        assert_eq!(there.len(), 1, "{on:?}");
        let beside = [("NEW-1".to_owned(), "ORD-1".to_owned())].into();
        let begun_by = [("pay_1".to_owned(), vec!["ORD-1".to_owned()])].into();
        assert_eq!(ledger.store.beside(&set).await.unwrap(), beside, "{on:?}");
        assert_eq!(ledger.store.begun_by(&set).await.unwrap(), begun_by, "{on:?}");
        let mut tx = ledger.begin().await;
        assert_eq!(tx.beside(&set).await.unwrap(), beside, "{on:?}");
        assert_eq!(tx.begun_by(&set).await.unwrap(), begun_by, "{on:?}");
        tx.run(Statement::new("UPDATE subscriptions SET state = 'canceled', ended_at = $1").bind(ledger.now))
            .await
            .unwrap();
        assert!(tx.beside(&set).await.unwrap().is_empty(), "{on:?}: it has ended");
        assert_eq!(tx.begun_by(&set).await.unwrap(), begun_by, "{on:?}");
        assert!(tx.beside(&[]).await.unwrap().is_empty() && tx.begun_by(&[]).await.unwrap().is_empty());
    }
}
