//! `dues customer`: what is shown holds no personal data, and what is erased is gone.

use secrecy::ExposeSecret;
use serde_json::json;

use crate::shop::Shop;
use crate::support::world::{BOTH, On, World};

const CUSTOMER: &str = "customer of ORD-1";
const REASON: [&str; 3] = ["--reason", "asked by the customer", "--yes"];

fn shop_on(world: World) -> Shop {
    let mut shop = Shop::without_books();
    shop.use_books(world.settings.database.url.expose_secret());
    shop.world = Some(world);
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_shown_without_personal_data() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let said = shop.dues(&["customer", "show", CUSTOMER]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{on:?} {said:?}");
        assert!(
            said.out.contains("in 1 of 1 versions; not shown") && said.out.contains("ORD-1"),
            "{on:?}\n{}",
            said.out
        );
        assert!(!said.out.contains("Wallet Customer") && !said.out.contains("example.com"), "{on:?}\n{}", said.out);
        let document = shop.json(&["customer", "show", CUSTOMER]);
        assert_eq!(document["subscriptions"][0]["reference"], "ORD-1", "{on:?} {document}");
        let none = shop.dues(&["customer", "show", "nobody"]);
        assert_eq!(none.code, 4, "{on:?} {none:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_data_is_gone_and_the_next_period_is_charged_without_it() {
    for on in BOTH {
        let mut shop = Shop::new(on).await;
        let unasked = shop.dues(&["customer", "erase", CUSTOMER, "--reason", "x"]);
        assert_eq!(unasked.code, 2, "{on:?} {unasked:?}");
        let before = shop.json(&["charge", "list"]);
        let said = shop.dues(&[&["customer", "erase", CUSTOMER][..], &REASON].concat());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{on:?} {said:?}");
        assert!(
            said.out.contains("are erased, in 1 versions") && said.out.contains("Backups made before"),
            "{on:?} {said:?}"
        );
        assert_eq!(shop.json(&["charge", "list"]), before, "{on:?}: ids and amounts stay");
        let journal = shop.json(&["subscription", "show", "ORD-1"])["journal"].clone();
        let last = journal.as_array().unwrap().last().unwrap();
        assert_eq!((&last["act"], &last["actor"]), (&json!("customer erased"), &json!("tester")), "{on:?}");
        let again = shop.json(&[&["customer", "erase", CUSTOMER][..], &REASON].concat());
        assert_eq!(again["versions_erased"], 0, "{on:?} {again}");

        let world = shop.world.as_mut().unwrap();
        let left = "SELECT reference AS line FROM customers WHERE name IS NOT NULL OR email IS NOT NULL ORDER BY 1";
        assert_eq!(world.lines(left).await, ["customer of ORD-2", "customer of ORD-3"], "{on:?}");
        if on == On::Sqlite {
            let path = world.settings.database.url.expose_secret().trim_start_matches("sqlite:").to_owned();
            for file in [path.clone(), format!("{path}-wal")] {
                let bytes = std::fs::read(&file).unwrap_or_default();
                let holds = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
                assert!(!holds("ord-1@example.com"), "{file} still holds the address");
                assert!(file != path || holds("ord-2@example.com"), "others are as they were");
            }
        }
        world.run_until("2026-04-01T12:00:00Z").await;
        let paid = world.charges().await;
        assert!(paid.contains(&"ORD-1/2 paid".to_owned()), "{on:?} {paid:?}");
        // Who is entered anew with data has a new version.
        world.hand_over("ORD-1", "monthly", "2026-01-31", None).await;
        let document = shop.json(&["customer", "show", CUSTOMER]);
        assert_eq!((&document["versions"], &document["versions_with_personal_data"]), (&json!(2), &json!(1)), "{on:?}");
        let world = shop.world.as_ref().unwrap();
        assert_eq!(world.store.exceptions().await.unwrap(), 0, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_while_a_request_may_still_be_sent() {
    for on in BOTH {
        let world = World::new(on, "2026-01-10T00:00:00Z", &[]).await;
        world.hand_over("ORD-1", "monthly", "2026-01-10", None).await;
        world.engine.bill().await.unwrap();
        world.clock.advance(std::time::Duration::from_secs(4 * 3600));
        world.engine.bill().await.unwrap();
        let shop = shop_on(world);
        let erase = [&["customer", "erase", CUSTOMER][..], &REASON].concat();
        let refused = shop.dues(&erase);
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{on:?} {refused:?}");
        let charge = shop.json(&["charge", "list"])[0]["id"].as_str().unwrap().to_owned();
        let told = format!("nothing was erased: the request of {charge} waits to be sent");
        assert!(
            refused.err.contains(&told) && refused.err.contains("Try again after 2026-01-10"),
            "{on:?} {refused:?}"
        );
        let world = shop.world.as_ref().unwrap();
        assert_eq!(world.store.customer_shown(CUSTOMER).await.unwrap().unwrap().with_data, 1, "{on:?}");
        let void = shop.dues(&["charge", "void", &charge, "--reason", "x"]);
        assert_eq!(void.code, 0, "{on:?} {void:?}");
        assert_eq!(shop.dues(&erase).code, 0, "{on:?}");
    }
}
