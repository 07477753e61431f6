//! The plans of the days that are frozen already: what goes beyond them is told by a dry run, and refused whole unless somebody has
//! acknowledged it. So is a plan whose price waits for a person.

use chrono::Days;
use dues::clock::Clock;
use serde_json::Value;

use super::shop::{HEADER, Shop, csv, good, json_counts};
use crate::support::world::BOTH;

const NO_GATEWAY: &str = "http://127.0.0.1:9";

/// So many rows of which each is charged at once.
fn due_now(rows: u32) -> String {
    let row = |n| format!("D{n},monthly,src_d{n},2020-01-15,,Wallet Customer,wallet@example.com");
    csv(&(0..rows).map(row).collect::<Vec<String>>())
}

/// A shop whose daemon has planned today and tomorrow: one subscription, far off.
async fn planned(on: crate::support::world::On) -> Shop {
    let shop = Shop::new(on, NO_GATEWAY).await;
    shop.write("first.csv", csv(&[good("A1")]));
    assert_eq!(shop.import(&["first.csv", "--no-evidence"]).code, 0);
    let now = Clock::system().now();
    let mut tx = shop.store.begin("plan").await.unwrap();
    for day in 0..3 {
        tx.freeze_day(now.date_naive() + Days::new(day), now).await.unwrap();
    }
    tx.commit().await.unwrap();
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_beyond_the_plan_is_told_by_a_dry_run_and_refused_whole() {
    for on in BOTH {
        let shop = planned(on).await;
        shop.write("few.csv", due_now(20));
        shop.write("many.csv", due_now(30));
        assert_eq!(shop.import(&["few.csv", "--dry-run", "--no-evidence"]).code, 0, "{on:?}: there is room for twenty");
        let beyond = "Charges beyond what the plans of the days leave room for (days in UTC): 30 today, 0 tomorrow.";
        let said = shop.import(&["many.csv", "--dry-run", "--no-evidence"]);
        let told = format!("{beyond} An import enters nothing then, unless --accept acknowledges them.\n");
        assert!(said.code == 3 && said.out.ends_with(&told), "{on:?} {said:?}");
        let said = shop.import(&["many.csv", "--no-evidence", "--rejects", "rejects.csv"]);
        let told =
            format!("{beyond} Nothing was entered: see whether they are meant, and import again with --accept.\n");
        assert!(said.code == 3 && said.out.ends_with(&told), "{on:?} {said:?}");
        assert!(!shop.path("rejects.csv").exists(), "{on:?}");
        let said = shop.import(&["many.csv", "--json"]);
        assert_eq!((said.code, json_counts(&said.out)), (3, [30, 0, 0, 0]), "{on:?}");
        let told: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((&told["refused"], &told["beyond_plan_today"]), (&true.into(), &30.into()), "{on:?}");
        assert_eq!(shop.subscriptions().await, 1, "{on:?}");
        let said = shop.import(&["many.csv", "--accept", "--json", "--no-evidence"]);
        assert_eq!((said.code, json_counts(&said.out)), (0, [30, 30, 0, 0]), "{on:?}");
        let granted = "SELECT CAST(SUM(granted_count) AS BIGINT) AS count FROM daily_plans";
        assert_eq!(shop.count(granted).await, 30, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_whose_price_waits_for_a_person_is_told_by_a_dry_run() {
    for on in BOTH {
        let shop = Shop::new(on, NO_GATEWAY).await;
        shop.write("first.csv", csv(&[good("A1")]));
        assert_eq!(shop.import(&["first.csv"]).code, 0, "{on:?}");
        let config = shop.read("dues.toml").replace("amount_minor = 12800", "amount_minor = 128000");
        shop.write("dues.toml", config);
        shop.write("next.csv", format!("{HEADER}\n{}\n", good("A2")));
        let mut told = Vec::new();
        for arguments in [&["next.csv", "--dry-run"][..], &["next.csv"]] {
            let said = shop.import(arguments);
            assert_eq!(said.code, 3, "{on:?} {said:?}");
            told.push(said.err);
        }
        assert!(told[0].starts_with("line 2: the price of plan monthly changes by more than"), "{on:?} {told:?}");
        assert_eq!(told[0], told[1], "{on:?}");
    }
}
