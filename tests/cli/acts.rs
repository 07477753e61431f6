//! An operator's acts by the command line, on books that another process holds open.

use serde_json::json;

use crate::shop::Shop;
use crate::support::world::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_paused_and_resumed() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let world = shop.world.as_ref().unwrap();
        world.hand_over("ORD-9", "monthly", "2098-12-31", None).await;
        let said = shop.dues(&["subscription", "pause", "ORD-9", "--reason", "abroad"]);
        let told = "ORD-9 is paused: period 0, which begins 2098-12-31 02:00 UTC, and those after it are skipped until it is resumed\n\
                    what was owed before stays owed, and is sent when it goes on\n";
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, told, ""), "{on:?}");
        let again = shop.dues(&["subscription", "pause", "ORD-9", "--reason", "abroad"]);
        assert_eq!((again.code, again.out.as_str()), (1, ""), "{on:?}");
        assert!(again.err.contains("`dues subscription resume` lets it go on"), "{on:?} {again:?}");
        let document = shop.json(&["subscription", "resume", "ORD-9", "--reason", "is back"]);
        let wanted =
            json!({"subscription": "ORD-9", "state": "active", "from_period": 0, "from_at": "2098-12-31T02:00:00Z"});
        assert_eq!(document, wanted, "{on:?}");
        let journal = shop.json(&["subscription", "show", "ORD-9"])["journal"].clone();
        let last = journal.as_array().unwrap().last().unwrap();
        assert_eq!((&last["actor"], &last["detail"]), (&json!("tester"), &json!("is back")), "{on:?}");
        assert_eq!(shop.dues(&["subscription", "pause", "nobody", "--reason", "x"]).code, 4, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_tried_again_and_forgiven() {
    for on in BOTH {
        let mut shop = Shop::new(on).await;
        let charge = |shop: &Shop| {
            let list = shop.json(&["charge", "list", "--subscription", "ORD-2"]);
            (list[0]["id"].as_str().unwrap().to_owned(), list[0]["state"].as_str().unwrap().to_owned())
        };
        let (id, state) = charge(&shop);
        assert_eq!(state, "retrying", "{on:?}");
        let said = shop.dues(&["charge", "retry", &id, "--reason", "the wallet was topped up"]);
        let told = format!("{id} is retrying: a daemon opens its next attempt in its next round\n");
        assert_eq!((said.code, said.out, said.err.as_str()), (0, told, ""), "{on:?}");
        let said = shop.dues(&["charge", "void", &id, "--reason", "paid in the shop"]);
        let told = format!("{id} is void: it is not owed any more, and not sent\n");
        assert_eq!((said.code, said.out), (0, told), "{on:?}");
        assert_eq!(charge(&shop).1, "void", "{on:?}");
        let again = shop.dues(&["charge", "void", &id, "--reason", "again"]);
        assert_eq!(again.code, 1, "{on:?}");
        assert!(again.err.contains("is void, so there is nothing to void"), "{on:?} {again:?}");
        let none = shop.dues(&["charge", "retry", "chg_nobody", "--reason", "x"]);
        assert_eq!(none.code, 4, "{on:?} {none:?}");
        let world = shop.world.as_mut().unwrap();
        let before = world.sandbox.books().payments.len();
        world.run_until("2026-03-02T12:00:00Z").await;
        let payments = world.sandbox.books().payments;
        let sent = payments.iter().skip(before).filter(|it| it.metadata["subscription"] == "ORD-2");
        assert_eq!(sent.count(), 0, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_case_is_resolved_only_by_what_makes_sense_for_it() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let id = shop.json(&["review", "list"])[0]["id"].as_str().unwrap().to_owned();
        let refused = shop.dues(&["review", "resolve", &id, "retry", "--reason", "x"]);
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{on:?}");
        assert!(refused.err.contains("a case of pending_too_long is not resolved by retry"), "{on:?} {refused:?}");
        assert!(refused.err.contains("it closes by itself"), "{on:?} {refused:?}");
        let wrong = shop.dues(&["review", "resolve", &id, "perhaps", "--reason", "x"]);
        assert_eq!(wrong.code, 2, "{on:?} {wrong:?}");
        assert!(wrong.err.contains("not-charged"), "{on:?} {wrong:?}");
        let wrong = shop.dues(&["review", "resolve", &id, "charged", "--reason", "x"]);
        assert_eq!(wrong.code, 2, "{on:?} {wrong:?}");
        assert!(wrong.err.contains("--payment"), "{on:?} {wrong:?}");
        let wrong = shop.dues(&["review", "resolve", &id, "charged", "--payment", "somebody", "--reason", "x"]);
        assert_eq!(wrong.code, 2, "{on:?} {wrong:?}");
        let none = shop.dues(&["review", "resolve", "rev_nobody", "dismiss", "--reason", "x"]);
        assert_eq!(none.code, 4, "{on:?} {none:?}");
    }
}
