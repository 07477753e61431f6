//! Lists and pages, for people and for programs, the same on both databases.

use serde_json::{Value, json};

use crate::shop::Shop;
use crate::support::world::{BOTH, On};

/// The values of one key in a list.
fn each(list: &Value, key: &str) -> Vec<Value> {
    list.as_array().unwrap().iter().map(|it| it[key].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_listed_newest_first_and_chosen_by_state_and_plan() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let list = shop.json(&["subscription", "list"]);
        assert_eq!(each(&list, "reference"), ["ORD-3", "ORD-2", "ORD-1"], "{on:?}");
        assert_eq!(each(&list, "state"), ["active", "past_due", "active"], "{on:?}");
        assert_eq!(list[2]["amount_minor"], 12800);
        assert_eq!(list[2]["amount"], "128.00");
        assert_eq!(list[2]["currency"], "HKD");
        assert_eq!(list[2]["next_charge_at"], "2026-03-31T02:00:00Z");
        let late = shop.json(&["subscription", "list", "--state", "past_due"]);
        assert_eq!(each(&late, "reference"), ["ORD-2"], "{on:?}");
        let weekly = shop.json(&["subscription", "list", "--plan", "weekly"]);
        assert_eq!(each(&weekly, "reference"), ["ORD-3"], "{on:?}");
        let said = shop.dues(&["subscription", "list", "--limit", "2"]);
        assert!(said.out.starts_with("REFERENCE") && !said.out.contains("ORD-1"), "{said:?}");
        assert!(said.out.contains("ORD-2      past_due  monthly  128.00 HKD  2026-03-26"), "{said:?}");
        assert_eq!(said.err, "dues: there are more than 2; --limit shows more\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_page_has_everything_but_personal_data() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let said = shop.dues(&["subscription", "show", "ORD-2"]);
        assert_eq!(said.code, 0, "{said:?}");
        for text in [
            "past_due",
            "customer of ORD-2",
            "2026-03-26 10:00 in Asia/Hong_Kong, which is 2026-03-26 02:00:00 UTC (period 1)",
            "(active)",
            "Schedule",
            "1 month",
            "retrying",
            "(funds)",
            "2, declined",
            "Open review cases\n  none",
            "Journal",
        ] {
            assert!(said.out.contains(text), "{on:?}: {text:?} is missing in\n{}", said.out);
        }
        let document = shop.json(&["subscription", "show", "ORD-2"]);
        assert_eq!(document["schedule"][0]["zone"], "Asia/Hong_Kong");
        assert_eq!(document["charges"][0]["attempts"][0]["state"], "declined");
        assert!(!document["journal"].as_array().unwrap().is_empty());
        for private in ["Wallet Customer", "@example.com"] {
            assert!(!said.out.contains(private) && !document.to_string().contains(private), "{private}");
        }
        let by_id = shop.json(&["subscription", "show", document["id"].as_str().unwrap()]);
        assert_eq!(by_id, document, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn charges_are_chosen_by_state_subscription_and_month() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let all = shop.json(&["charge", "list"]);
        assert_eq!(each(&all, "subscription_reference"), ["ORD-1", "ORD-2", "ORD-3", "ORD-1"], "{on:?}");
        assert_eq!(each(&all, "state"), ["paid", "retrying", "in_review", "paid"], "{on:?}");
        let january = shop.json(&["charge", "list", "--month", "2026-01"]);
        assert_eq!(each(&january, "due_at"), ["2026-01-31T02:00:00Z"], "{on:?}");
        let paid = shop.json(&["charge", "list", "--state", "paid", "--subscription", "ORD-1", "--limit", "1"]);
        assert_eq!(each(&paid, "period_index"), [1], "{on:?}");
        assert_eq!(shop.json(&["charge", "list", "--month", "2031-01"]), json!([]));
        assert_eq!(shop.dues(&["charge", "list", "--month", "2031-01"]).out, "none\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charges_page_has_attempts_payments_dunning_and_journal() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let list = shop.json(&["charge", "list", "--subscription", "ORD-2"]);
        let (id, reference) = (list[0]["id"].as_str().unwrap(), list[0]["reference"].as_str().unwrap());
        let said = shop.dues(&["charge", "show", id]);
        for text in [
            "128.00 HKD",
            "retrying",
            "open after 1 retry, next on",
            "policy standard version 1",
            "Declined",
            "20051",
            "funds",
        ] {
            assert!(said.out.contains(text), "{on:?}: {text:?} is missing in\n{}", said.out);
        }
        let document = shop.json(&["charge", "show", reference]);
        assert_eq!(each(&document["attempts"], "state"), ["declined", "declined"], "{on:?}");
        assert_eq!(each(&document["attempts"], "sends"), [1, 1], "{on:?}");
        assert_eq!(each(&document["payments"], "response_code"), ["20051", "20051"], "{on:?}");
        assert_eq!(document["payments"][0]["amount"], "128.00");
        assert_eq!(document["payments"][0]["id"], document["attempts"][0]["payment_id"]);
        assert_eq!(document["dunning_case"]["state"], "open");
        let paid = shop.json(&["charge", "list", "--subscription", "ORD-1", "--month", "2026-01"]);
        let paid = shop.json(&["charge", "show", paid[0]["id"].as_str().unwrap()]);
        assert_eq!(paid["dunning_case"], Value::Null);
        assert_eq!(paid["paid_by"], paid["payments"][0]["id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_case_says_what_was_seen_and_what_to_do() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let list = shop.json(&["review", "list"]);
        assert_eq!(each(&list, "reason"), ["pending_too_long"], "{on:?}");
        assert_eq!(each(&list, "subscription_reference"), ["ORD-3"], "{on:?}");
        assert!(shop.dues(&["review", "list"]).out.contains("pending_too_long"));
        let id = list[0]["id"].as_str().unwrap();
        let said = shop.dues(&["review", "show", id]);
        for text in ["evidence", "next step", "ask the gateway's support", "ORD-3", "pay_", "Journal of its charge"] {
            assert!(said.out.contains(text), "{on:?}: {text:?} is missing in\n{}", said.out);
        }
        let document = shop.json(&["review", "show", id]);
        assert!(!document["journal"].as_array().unwrap().is_empty(), "{on:?}");
        assert_eq!(document["resolved_at"], Value::Null);
        let of_subscription = shop.json(&["subscription", "show", "ORD-3"]);
        assert_eq!(of_subscription["open_review_cases"][0]["id"], id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_a_pipe_has_one_line_a_row() {
    let shop = Shop::new(On::Sqlite).await;
    for (list, lines) in [(["subscription", "list"], 4), (["charge", "list"], 5), (["review", "list"], 2)] {
        let said = shop.dues(&list);
        assert_eq!(said.out.lines().count(), lines, "{said:?}");
    }
    let evidence = shop.json(&["review", "list"])[0]["evidence"].as_str().unwrap().to_owned();
    assert!(shop.dues(&["review", "list"]).out.contains(&evidence));
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_books_list_none() {
    let shop = Shop::without_books();
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    for list in [["subscription", "list"], ["charge", "list"], ["review", "list"]] {
        assert_eq!(shop.dues(&list).out, "none\n");
        assert_eq!(shop.json(&list), json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_ends_in_4_and_says_where_to_look() {
    let shop = Shop::new(On::Sqlite).await;
    for (arguments, next) in [
        (&["subscription", "show", "ORD-9"][..], "`dues subscription list`"),
        (&["subscription", "cancel", "ORD-9", "--reason", "x"], "`dues subscription list`"),
        (&["charge", "show", "chg_9"], "`dues charge list"),
        (&["charge", "list", "--subscription", "ORD-9"], "`dues subscription list`"),
        (&["review", "show", "rev_9"], "`dues review list"),
    ] {
        let said = shop.dues(arguments);
        assert_eq!((said.code, said.out.as_str()), (4, ""), "{said:?}");
        assert!(said.err.starts_with("dues: there is no ") && said.err.contains(next), "{said:?}");
    }
}
