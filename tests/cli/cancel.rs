//! `dues subscription cancel`, on books that another process holds open.

use serde_json::json;

use crate::shop::{Shop, said};
use crate::support::world::{BOTH, On};

#[tokio::test(flavor = "multi_thread")]
async fn cancel_voids_what_is_not_sent_and_works_beside_open_books() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let said = shop.dues(&["subscription", "cancel", "ORD-2", "--reason", "asked by the customer"]);
        let told = "ORD-2 is canceled; no later period is charged\n1 open charge was voided and is not sent\n";
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, told, ""), "{on:?}");
        let world = shop.world.as_ref().unwrap();
        assert!(world.charges().await.contains(&"ORD-2/0 void".to_owned()), "{on:?}");
        let document = shop.json(&["subscription", "show", "ORD-2"]);
        assert_eq!(document["next_charge_at"], json!(null));
        let last = document["journal"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["actor"], &last["detail"]), (&json!("tester"), &json!("asked by the customer")), "{on:?}");
        let again = shop.dues(&["subscription", "cancel", "ORD-2", "--reason", "again"]);
        assert_eq!(again.code, 1, "{again:?}");
        assert!(again.err.contains("ORD-2 has ended already, it is canceled"), "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_tells_of_a_payment_on_its_way() {
    let shop = Shop::new(On::Sqlite).await;
    let said = shop.dues(&["subscription", "cancel", "ORD-3", "--reason", "x", "--operator", "Night Shift"]);
    assert!(said.out.ends_with("\na payment is already on its way and will still be recorded\n"), "{said:?}");
    let document = shop.json(&["subscription", "show", "ORD-3"]);
    assert_eq!(document["journal"].as_array().unwrap().last().unwrap()["actor"], "Night Shift");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_canceled_at_its_periods_end_is_not_charged_again() {
    for on in BOTH {
        let mut shop = Shop::new(on).await;
        // The program goes by this machine's clock, by which the periods of the shop's world have begun long ago.
        shop.world.as_ref().unwrap().hand_over("ORD-9", "monthly", "2098-12-31", None).await;
        let document = shop.json(&["subscription", "cancel", "ORD-9", "--reason", "moves abroad", "--at-period-end"]);
        assert_eq!((&document["state"], &document["at_period_end"]), (&json!("active"), &json!(true)), "{on:?}");
        assert_eq!(
            (&document["periods_begun"], &document["ends_at"]),
            (&json!(0), &json!("2098-12-31T02:00:00Z")),
            "{on:?}"
        );
        let again = shop.dues(&["subscription", "cancel", "ORD-9", "--reason", "moves abroad", "--at-period-end"]);
        let told = "ORD-9 stays active and is canceled on 2098-12-31 02:00 UTC, when its next period would begin; that period is not charged\n\
                    until then `dues subscription resume` takes this back\n";
        assert_eq!(again.out, told, "{on:?}");
        let page = shop.dues(&["subscription", "show", "ORD-9"]).out;
        assert!(page.contains("none, it is canceled on 2098-12-31 10:00 in Asia/Hong_Kong"), "{page}");
        let back = shop.dues(&["subscription", "resume", "ORD-9", "--reason", "stays after all"]);
        let told = "ORD-9 is not canceled any more, and goes on as active: period 0, which begins 2098-12-31 02:00 UTC, is its next\n";
        assert_eq!((back.code, back.out.as_str()), (0, told), "{on:?} {back:?}");
        assert_eq!(shop.json(&["subscription", "show", "ORD-9"])["cancel_at_index"], json!(null), "{on:?}");
        let said = shop.dues(&["subscription", "cancel", "ORD-3", "--reason", "moves abroad", "--at-period-end"]);
        assert!(said.out.contains("periods have begun and are not opened yet; they are still owed"), "{on:?} {said:?}");
        let world = shop.world.as_mut().unwrap();
        world.engine.cancel("ORD-1", true, "moves abroad", "tester").await.unwrap();
        world.run_until("2026-04-02T00:00:00Z").await;
        assert!(world.subscriptions().await.contains(&"ORD-1 canceled".to_owned()), "{on:?}");
        assert!(!world.charges().await.iter().any(|charge| charge.starts_with("ORD-1/2 ")), "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_wants_a_reason_and_somebody_who_does_it() {
    let shop = Shop::new(On::Sqlite).await;
    for reason in [&[][..], &["--reason", " "], &["--reason", "two\nlines"]] {
        let said = shop.dues(&[&["subscription", "cancel", "ORD-1"], reason].concat());
        assert_eq!(said.code, 2, "{said:?}");
    }
    let cancel = ["subscription", "cancel", "ORD-1", "--reason", "x"];
    let nobody = said(shop.command(&cancel).env_remove("USER"));
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("--operator NAME"), "{nobody:?}");
    // Behind sudo the person is named, not root.
    assert_eq!(said(shop.command(&cancel).env("USER", "root").env("SUDO_USER", "person")).code, 0);
    let document = shop.json(&["subscription", "show", "ORD-1"]);
    assert_eq!(document["journal"].as_array().unwrap().last().unwrap()["actor"], "person");
}
