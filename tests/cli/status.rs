//! `dues status`: what the daemons are doing, from the books alone.

use dues::store::db::Statement;
use serde_json::json;

use crate::shop::Shop;
use crate::support::world::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn it_counts_what_stands_where_and_says_what_is_in_the_way() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let document = shop.json(&["status"]);
        let figure = |key: &str| document[key].as_i64().unwrap();
        assert_eq!((figure("pending"), figure("sending"), figure("unknown")), (1, 0, 0), "{on:?} {document}");
        assert_eq!((figure("charges_in_review"), figure("open_reviews")), (1, 1), "{on:?} {document}");
        assert_eq!(figure("periods_due"), 3, "{on:?}: by the clock of this machine all have begun: {document}");
        assert_eq!(document["stopped_by"], "no daemon is alive", "{on:?}");
        assert_eq!((&document["held"], &document["seconds_to_end"]), (&json!(null), &json!(null)), "{on:?}");
        assert_eq!(document["nodes"][0]["state"], "silent", "{on:?} {document}");
        let page = shop.dues(&["status"]).out;
        for told in [
            "periods due     3 have begun",
            "end of the run  not while no daemon is alive",
            "NODE",
            "at most 90 a second",
        ] {
            assert!(page.contains(told), "{on:?}: {told:?} is missing in\n{page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_daemon_a_late_attempt_and_a_plan_are_told() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let store = &shop.world.as_ref().unwrap().store;
        let now = dues::clock::Clock::system().now();
        let mut tx = store.begin("test").await.unwrap();
        tx.run(Statement::new("UPDATE nodes SET heartbeat_at = $1").bind(now)).await.unwrap();
        tx.run(Statement::new("UPDATE attempts SET last_sent_at = $1 WHERE state = 'captured'").bind(now))
            .await
            .unwrap();
        tx.freeze_day(now.date_naive(), now).await.unwrap();
        let late = now - chrono::TimeDelta::seconds(600);
        let send = "UPDATE attempts SET state = 'created', first_sent_at = NULL, lease_epoch = 0, next_at = $1 WHERE state = 'pending'";
        tx.run(Statement::new(send).bind(late)).await.unwrap();
        tx.run(Statement::new("UPDATE charges SET state = 'due' WHERE state = 'in_review'")).await.unwrap();
        tx.commit().await.unwrap();
        let document = shop.json(&["status"]);
        assert_eq!(document["nodes"][0]["state"], "alive", "{on:?} {document}");
        assert_eq!(document["attempts_due"], 1, "{on:?} {document}");
        assert!((600..660).contains(&document["lateness_seconds"].as_i64().unwrap()), "{on:?} {document}");
        assert_eq!(document["seconds_to_end"], 1, "{on:?} {document}");
        assert!(document["sent_last_hour"].as_i64().unwrap() >= 1, "{on:?} {document}");
        assert_eq!(document["plan"].as_array().unwrap().len(), 2, "{on:?}: one a currency: {document}");
        let page = shop.dues(&["status"]).out;
        assert!(page.contains("in about 1 s at the configured rate"), "{on:?}\n{page}");
        assert!(page.contains("1 wait to be sent, the oldest for 10 min"), "{on:?}\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_every_daemon_from_sending_is_told_and_not_what_keeps_one() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let store = &shop.world.as_ref().unwrap().store;
        let now = dues::clock::Clock::system().now();
        let mut tx = store.begin("test").await.unwrap();
        let away = "UPDATE nodes SET heartbeat_at = $1, condition = 'the gateway does not answer'";
        tx.run(Statement::new(away).bind(now)).await.unwrap();
        // It was taken, given back, and put off: due since its charge is.
        let unsent =
            "UPDATE attempts SET state = 'created', first_sent_at = NULL, next_at = $1 WHERE state = 'pending'";
        tx.run(Statement::new(unsent).bind(now + chrono::TimeDelta::minutes(10))).await.unwrap();
        tx.run(Statement::new("UPDATE charges SET state = 'due' WHERE state = 'in_review'")).await.unwrap();
        tx.commit().await.unwrap();
        let document = shop.json(&["status"]);
        assert_eq!(document["attempts_due"], 1, "{on:?} {document}");
        assert!(document["lateness_seconds"].as_i64().unwrap() > 86_400, "{on:?} {document}");
        assert_eq!(document["stopped_by"], "the gateway does not answer", "{on:?} {document}");
        assert_eq!(document["seconds_to_end"], json!(null), "{on:?} {document}");
        let page = shop.dues(&["status"]).out;
        assert!(page.contains("end of the run  not while the gateway does not answer"), "{on:?}\n{page}");
        assert!(page.contains("; tried again in "), "{on:?}\n{page}");

        let mut tx = store.begin("test").await.unwrap();
        tx.register_node("two", "another process", now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(shop.json(&["status"])["stopped_by"], json!(null), "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_limit_on_unknown_outcomes_is_told() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let store = &shop.world.as_ref().unwrap().store;
        let now = dues::clock::Clock::system().now();
        let mut tx = store.begin("test").await.unwrap();
        tx.run(Statement::new("UPDATE nodes SET heartbeat_at = $1").bind(now)).await.unwrap();
        let lost = "UPDATE attempts SET state = 'unknown', unknown_since = $1, looks = 1, answer_lost = 1 WHERE state = 'pending'";
        tx.run(Statement::new(lost).bind(now)).await.unwrap();
        tx.commit().await.unwrap();
        let document = shop.json(&["status"]);
        assert_eq!(
            (&document["unknown_limit"], &document["unknown_limit_passed"]),
            (&json!(5), &json!(false)),
            "{on:?}"
        );
        let limit = ["--set", "protocol.unknown_limit=1"];
        let page = shop.dues(&[&limit[..], &["status"]].concat()).out;
        assert!(!page.contains("unknown limit"), "{on:?}: as many as there may be\n{page}");

        let mut tx = store.begin("test").await.unwrap();
        tx.run(Statement::new("UPDATE attempts SET state = 'unknown', next_at = created_at, settled_at = NULL, looks = 1, answer_lost = 1 \
            WHERE id = (SELECT MAX(id) FROM attempts WHERE state = 'captured' AND charge_id NOT IN \
            (SELECT charge_id FROM attempts WHERE state = 'unknown'))")).await.unwrap();
        tx.commit().await.unwrap();
        let document = shop.json(&[&limit[..], &["status"]].concat());
        assert_eq!(document["unknown_limit_passed"], true, "{on:?} {document}");
        assert!(document["stopped_by"].as_str().unwrap().starts_with("too many outcomes are unknown"), "{on:?}");
        let page = shop.dues(&[&limit[..], &["status"]].concat()).out;
        assert!(
            page.contains("unknown limit   passed: 2 lost answers of which nothing is found, 1 may be"),
            "{on:?}\n{page}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_nobody_has_begun_have_a_status() {
    let shop = Shop::without_books();
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    let document = shop.json(&["status"]);
    assert_eq!((&document["nodes"], &document["periods_due"]), (&json!([]), &json!(0)));
}
