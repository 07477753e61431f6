//! `dues customer`: what is shown holds no personal data, and what is erased is gone.

use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::Connection;

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

/// The file of the customers' table, as it is on the disk.
async fn table_file(world: &World) -> Vec<u8> {
    let mut connection = sqlx::PgConnection::connect(world.settings.database.url.expose_secret()).await.unwrap();
    sqlx::query("CHECKPOINT").execute(&mut connection).await.unwrap();
    let place = "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('customers')";
    let path: String = sqlx::query_scalar(place).fetch_one(&mut connection).await.unwrap();
    std::fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_beside_a_reader_is_done_in_part_and_says_so() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let erase = [&["customer", "erase", CUSTOMER][..], &REASON].concat();
        let url = shop.url().to_owned();
        let told = if on == On::Sqlite {
            let path = url.trim_start_matches("sqlite:");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
            let mut reader = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
            sqlx::query("SELECT COUNT(*) FROM customers").fetch_one(&mut reader).await.unwrap();
            let told = shop.dues(&erase);
            assert!(told.err.contains("a reader is open: the file still holds them; run this again"), "{told:?}");
            reader.close().await.unwrap();
            told
        } else {
            let mut reader = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut reader).await.unwrap();
            sqlx::query("SELECT COUNT(*) FROM charges").fetch_one(&mut reader).await.unwrap();
            let told = shop.dues(&erase);
            assert!(
                told.err.contains("the table's file still holds them; run this again when it has ended"),
                "{told:?}"
            );
            let bytes = table_file(shop.world.as_ref().unwrap()).await;
            assert!(bytes.windows(17).any(|it| it == b"ord-1@example.com"), "it says so because it is so");
            reader.close().await.unwrap();
            told
        };
        assert!(told.code == 3 && told.out.contains("are erased, in 1 version;"), "{on:?} {told:?}");
        let again = shop.dues(&erase);
        assert_eq!((again.code, again.err.as_str()), (0, ""), "{on:?} {again:?}");
        if on == On::Postgres {
            let bytes = table_file(shop.world.as_ref().unwrap()).await;
            assert!(!bytes.windows(17).any(|it| it == b"ord-1@example.com"), "{on:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_nobody_who_reads_the_customers_for_long() {
    let shop = Shop::new(On::Postgres).await;
    let mut reader = sqlx::PgConnection::connect(shop.url()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
    sqlx::query("SELECT COUNT(*) FROM customers").fetch_one(&mut reader).await.unwrap();
    let refused = shop.dues(&[&["customer", "erase", CUSTOMER][..], &REASON].concat());
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
    assert!(refused.err.contains("somebody has been reading customers for a while"), "{refused:?}");
    assert!(refused.err.contains("try again when it has ended"), "{refused:?}");
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
            said.out.contains("are erased, in 1 version;") && said.out.contains("backups made before"),
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
        if on == On::Postgres {
            let bytes = table_file(world).await;
            let holds = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
            assert!(holds("ord-2@example.com") && !holds("ord-1@example.com"), "the pages of the table");
        }
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
