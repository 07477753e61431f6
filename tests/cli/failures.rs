//! Failures under --json: one line on standard output that a program can go by, beside the text for people.

use serde_json::Value;

use crate::shop::{Said, Shop, said};
use crate::subscribe::Counter;
use crate::support::world::On;

/// The document of a failure, which is all that standard output has, and is one line.
fn failure(said: &Said) -> Value {
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    let document: Value = serde_json::from_str(&said.out).unwrap();
    let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["error"], "{said:?}");
    document["error"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_one_object_with_a_kind_and_its_exit_code() {
    let shop = Shop::new(On::Sqlite).await;
    let empty = Shop::without_books();
    for (shop, arguments, kind, code, told) in [
        (&shop, &["subscription", "show", "ORD-9"][..], "not_found", 4, "there is no subscription"),
        (&shop, &["review", "resolve", "rev_9", "dismiss", "--reason", "x"], "not_found", 4, "there is no review case"),
        (&shop, &["subscription", "resume", "ORD-1", "--reason", "x"], "refused", 1, "ORD-1"),
        (&shop, &["subscription", "list", "--set", "engine.bach=1"], "config", 78, "engine.bach"),
        (&shop, &["report", "exceptions", "--month", "2026-10"], "usage", 2, "no month"),
        (&shop, &["charge", "list", "--state", "late"], "usage", 2, "uncollectible"),
        (&shop, &["charge", "lst"], "usage", 2, "lst"),
        (&shop, &["migrate", "--csv"], "usage", 2, "choose one of them"),
        (&empty, &["subscription", "list"], "database", 1, "dues migrate"),
    ] {
        let said = shop.dues(&[arguments, &["--json"]].concat());
        let error = failure(&said);
        assert_eq!((&error["kind"], &error["exit_code"]), (&Value::from(kind), &Value::from(code)), "{said:?}");
        assert_eq!(said.code, code, "{said:?}");
        assert!(error["message"].as_str().unwrap().contains(told), "{said:?}");
        assert!(said.err.contains(told), "the text stays on standard error: {said:?}");
        let plain = shop.dues(arguments);
        assert_eq!((plain.code, plain.out.as_str()), (code, ""), "without --json nothing is new: {plain:?}");
    }
}

#[test]
fn a_gateway_that_is_away_has_a_kind_of_its_own() {
    // A port that nobody listens on, and that no other test is given.
    let nobody = Counter::at("http://127.0.0.1:1");
    let away = said(&mut nobody.command(&["--reference", "ORD-1", "--plan", "monthly", "--json"]));
    let away = failure(&away);
    assert_eq!((&away["kind"], &away["exit_code"]), (&Value::from("gateway_away"), &Value::from(1)), "{away}");
}
