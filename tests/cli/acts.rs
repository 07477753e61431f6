//! An operator's acts by the command line, on books that another process holds open.

use dues::store::db::Statement;
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
                    what was owed before stays owed: what is on its way to the gateway is still paid, and the rest is sent when it goes on\n";
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, told, ""), "{on:?}");
        let again = shop.dues(&["subscription", "pause", "ORD-9", "--reason", "abroad"]);
        assert_eq!((again.code, again.out.as_str()), (1, ""), "{on:?}");
        let told = "dues: ORD-9 is paused, and cannot be paused: it stands still already; `dues subscription resume` lets it go on\n";
        assert_eq!(again.err, told, "{on:?}");
        let document = shop.json(&["subscription", "resume", "ORD-9", "--reason", "is back"]);
        let wanted = json!({
            "subscription": "ORD-9",
            "state": "active",
            "from_period": 0,
            "from_at": "2098-12-31T02:00:00Z",
            "cancel_at_index": null,
            "end_taken_back": false,
        });
        assert_eq!(document, wanted, "{on:?}");
        let journal = shop.json(&["subscription", "show", "ORD-9"])["journal"].clone();
        let last = journal.as_array().unwrap().last().unwrap();
        assert_eq!((&last["actor"], &last["detail"]), (&json!("tester"), &json!("is back")), "{on:?}");
        assert_eq!(shop.dues(&["subscription", "pause", "nobody", "--reason", "x"]).code, 4, "{on:?}");
        let named = shop.dues(&["subscription", "pause", "ORD-9", "--reason", "asked by a@example.com"]);
        assert!(named.code == 2 && named.err.contains("it holds no e-mail address"), "{on:?} {named:?}");
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
        // Who did what, and why, as the page of the charge has it.
        let told_by = |shop: &Shop, id: &str| {
            let journal = shop.json(&["charge", "show", id])["journal"].clone();
            let last = journal.as_array().unwrap().last().unwrap().clone();
            (last["actor"].as_str().unwrap().to_owned(), last["detail"].as_str().unwrap_or_default().to_owned())
        };
        let said = shop.dues(&["charge", "retry", &id, "--reason", "the wallet was topped up"]);
        let told = format!("{id} is retrying: a daemon opens its next attempt in its next round\n");
        assert_eq!((said.code, said.out, said.err.as_str()), (0, told, ""), "{on:?}");
        let (actor, detail) = told_by(&shop, &id);
        assert!(actor == "tester" && detail.contains("the wallet was topped up"), "{on:?} {actor} {detail}");
        let said = shop.dues(&["charge", "void", &id, "--reason", "paid in the shop"]);
        let told = format!("{id} is void: it is not owed any more, and not sent\n");
        assert_eq!((said.code, said.out), (0, told), "{on:?}");
        assert_eq!(charge(&shop).1, "void", "{on:?}");
        let (actor, detail) = told_by(&shop, &id);
        assert!(actor == "tester" && detail.contains("paid in the shop"), "{on:?} {actor} {detail}");
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

#[tokio::test(flavor = "multi_thread")]
async fn who_resolves_a_review_case_and_why_stands_in_the_journal() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let list = shop.json(&["charge", "list", "--subscription", "ORD-2"]);
        let charge = list[0]["id"].as_str().unwrap().to_owned();
        let world = shop.world.as_ref().unwrap();
        let mut tx = world.store.begin("test").await.unwrap();
        let held = "UPDATE charges SET state = 'in_review', reason = 'over_limit' WHERE public_id = $1";
        tx.run(Statement::new(held).bind(charge.as_str())).await.unwrap();
        let case = "INSERT INTO review_cases (public_id, reason, subject, charge_id, subscription_id, evidence, suggestion, opened_at) \
            SELECT 'rev_planted', 'over_limit', c.public_id, c.id, c.subscription_id, 'planted', 'planted', c.opened_at \
            FROM charges c WHERE c.public_id = $1";
        tx.run(Statement::new(case).bind(charge.as_str())).await.unwrap();
        tx.commit().await.unwrap();
        let resolve = ["review", "resolve", "rev_planted", "void", "--reason", "a gift", "--operator", "Night Shift"];
        let said = shop.dues(&resolve);
        assert_eq!(said.code, 0, "{on:?} {said:?}");
        let journal = shop.json(&["charge", "show", &charge])["journal"].clone();
        let last = journal.as_array().unwrap().last().unwrap();
        assert_eq!(last["actor"], "Night Shift", "{on:?} {last}");
        assert!(last["detail"].as_str().unwrap_or_default().contains("a gift"), "{on:?} {last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_act_is_done_on_books_of_another_name() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let charge = shop.json(&["charge", "list", "--subscription", "ORD-2"])[0]["id"].as_str().unwrap().to_owned();
        let case = shop.json(&["review", "list"])[0]["id"].as_str().unwrap().to_owned();
        for act in [
            &["subscription", "pause", "ORD-1"][..],
            &["subscription", "resume", "ORD-1"],
            &["subscription", "cancel", "ORD-1"],
            &["subscription", "cancel", "ORD-1", "--at-period-end"],
            &["charge", "void", &charge],
            &["charge", "retry", &charge],
            &["review", "resolve", &case, "dismiss"],
            &["customer", "erase", "ORD-1", "--yes"],
            &["ledger", "acknowledge", "--yes"],
            &["resume-collecting", "--yes"],
            &["plans", "--accept", "monthly"],
        ] {
            let said = shop.dues(&[act, &["--reason", "x", "--set", "installation.name=other-shop"]].concat());
            assert_eq!((said.code, said.out.as_str()), (78, ""), "{on:?} {act:?} {said:?}");
            let told = "these books were begun under another name than installation.name = \"other-shop\"";
            assert!(said.err.contains(told), "{on:?} {act:?} {said:?}");
        }
        assert!(shop.world.as_ref().unwrap().subscriptions().await.contains(&"ORD-1 active".to_owned()), "{on:?}");
    }
}
