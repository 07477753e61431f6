//! `dues plans`: what a reload would change, and taking up what is withheld.

use serde_json::json;

use crate::shop::Shop;
use crate::support::world::BOTH;

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_changes_far_is_shown_withheld_and_taken_up_by_hand() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let plans = |more: &[&str]| shop.dues(&[&["plans"], more].concat());
        let said = plans(&[]);
        assert_eq!(said.code, 0, "{on:?} {said:?}");
        let line = |out: &str| {
            let line = out.lines().find(|line| line.trim_start().starts_with("monthly")).unwrap().to_owned();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        // ORD-1 and ORD-2 are on it; the weekly plan of ORD-3 stands in no config.
        let wanted = "monthly 128.00 HKD a month 128.00 HKD a month none 2 256.00 HKD 0.00 HKD";
        assert_eq!(line(&said.out), wanted, "{on:?}\n{}", said.out);
        assert!(said.out.contains("only in the books"), "{on:?}\n{}", said.out);

        let config = std::fs::read_to_string(shop.path("dues.toml")).unwrap();
        shop.write("dues.toml", &config.replace("12800", "13800"));
        let wanted = "monthly 128.00 HKD a month 138.00 HKD a month taken up 2 256.00 HKD +20.00 HKD";
        assert_eq!(line(&plans(&[]).out), wanted, "{on:?}");

        shop.write("dues.toml", &config.replace("12800", "1280000"));
        let said = plans(&[]);
        assert_eq!(said.code, 3, "{on:?} {said:?}");
        let wanted = "monthly 128.00 HKD a month 12800.00 HKD a month withheld 2 256.00 HKD +25344.00 HKD";
        assert_eq!(line(&said.out), wanted, "{on:?}\n{}", said.out);
        let rows = "reference,plan,source_id,anchor_on,time_zone,customer_reference,country\n\
                    NEW-1,monthly,src_new,2098-01-31,Asia/Hong_Kong,C-1,HK\n";
        shop.write("new.csv", rows);
        let key = ("DUES_SECRET_KEY", "sk_simulated");
        let import = shop.path("new.csv").display().to_string();
        let refused = crate::shop::said(shop.command(&["import", &import]).env(key.0, key.1));
        assert_eq!(refused.code, 3, "{on:?} {refused:?}");
        let told = format!("{}{}", refused.out, refused.err);
        assert!(told.contains("dues plans --accept"), "{on:?}: nobody is entered on a price in doubt\n{told}");

        assert_eq!(plans(&["--accept", "monthly"]).code, 2, "{on:?}: not without a reason");
        assert_eq!(plans(&["--accept", "yearly", "--reason", "x"]).code, 4, "{on:?}");
        let said = plans(&["--accept", "monthly", "--reason", "new price list"]);
        assert_eq!(said.code, 0, "{on:?} {said:?}");
        let document = shop.json(&["plans"]);
        let monthly = document.as_array().unwrap().iter().find(|it| it["plan"] == "monthly").unwrap();
        assert_eq!((&monthly["change"], &monthly["version"]), (&json!("none"), &json!(2)), "{on:?}");
        assert_eq!(monthly["monthly_minor"], 25_600, "{on:?}: who subscribed before keeps the price of then");
    }
}
