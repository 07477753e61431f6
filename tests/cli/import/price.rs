//! The price that a row states is held against the plan's.

use super::shop::{Way, hand_over, rejected};
use crate::support::world::{BOTH, World};

#[tokio::test]
async fn a_row_that_states_another_price_than_its_plan_is_refused() {
    let columns = "reference,plan,source_id,anchor_on,amount_minor,amount,currency";
    let nine = "has more than 9 digits in minor units, the most that can be charged";
    let price = "is not the price of the plan, which is 128.00 HKD";
    let table: [(&str, String); 17] = [
        (",,", String::new()),
        ("12800,128.00,HKD", String::new()),
        (",128,", String::new()),
        ("012800,,", String::new()),
        (",,HKD", String::new()),
        (",,hkd", "currency is no ISO 4217 code in capitals, such as HKD".to_owned()),
        (",,XXX", "currency is no ISO 4217 code in capitals, such as HKD".to_owned()),
        ("12800,,SGD", format!("currency {price}")),
        ("0,,", "amount_minor is 0, and nothing can be charged".to_owned()),
        ("128.00,,", "amount_minor is no whole number of minor units, such as 12800".to_owned()),
        ("-12800,,", "amount_minor is no whole number of minor units, such as 12800".to_owned()),
        ("1000000000,,", format!("amount_minor {nine}")),
        (",99999999999999999999,", format!("amount {nine}")),
        ("12801,,", format!("amount_minor {price}")),
        (",12800,", format!("amount {price}")),
        (",128.000,", "amount has more than the 2 decimals of HKD".to_owned()),
        (
            ",0.00,eur",
            "currency is no ISO 4217 code in capitals, such as HKD; amount is 0, and nothing can be charged".to_owned(),
        ),
    ];
    for on in BOTH {
        let world = World::new(on, "2026-01-20T00:00:00Z", &[("plans.monthly.amount_minor", "12800")]).await;
        let rows =
            table.iter().zip(2..).map(|((cells, _), line)| format!("A{line},monthly,src_{line},2026-02-01,{cells}\n"));
        let file = format!("{columns}\n{}", rows.collect::<String>());
        let wanted =
            (2..).zip(&table).filter(|(_, (_, why))| !why.is_empty()).map(|(line, (_, why))| format!("{line}: {why}"));
        let wanted: Vec<String> = wanted.collect();
        for dry_run in [true, false] {
            let summary = hand_over(&world, &file, Way { dry_run, ..Way::CSV }).await.unwrap();
            assert_eq!(rejected(&summary), wanted, "{on:?}");
        }
        assert_eq!(world.subscriptions().await.len(), 5, "{on:?}");
    }
}

#[tokio::test]
async fn json_states_a_price_in_whole_numbers_and_in_texts() {
    for on in BOTH {
        let world = World::new(on, "2026-01-20T00:00:00Z", &[("plans.monthly.amount_minor", "12800")]).await;
        let table = [
            ("\"amount_minor\":12800", ""),
            ("\"amount\":128,\"amount_minor\":null", ""),
            ("\"amount\":\"128.00\"", ""),
            ("\"amount_minor\":12801", "amount_minor is not the price of the plan, which is 128.00 HKD"),
            ("\"amount\":128.00", "amount is no whole number; write it in quotes, as in \"128.00\""),
            ("\"amount_minor\":1.28e4", "amount_minor is no whole number; write it in quotes, as in \"128.00\""),
            ("\"amount_minor\":-12800", "amount_minor is no whole number; write it in quotes, as in \"128.00\""),
            ("\"amount_minor\":true", "amount_minor is true or false and no text in quotes"),
            ("\"currency\":344", "currency is a number and no text in quotes"),
        ];
        let row = |(n, (cells, _)): (usize, &(&str, &str))| {
            format!(
                "{{\"reference\":\"A{n}\",\"plan\":\"monthly\",\"source_id\":\"src_{n}\",\"anchor_on\":\"2026-02-01\",{cells}}}\n"
            )
        };
        let file: String = table.iter().enumerate().map(row).collect();
        let summary = hand_over(&world, &file, Way::JSONL).await.unwrap();
        let wanted: Vec<String> = (1..)
            .zip(table)
            .filter(|(_, (_, why))| !why.is_empty())
            .map(|(line, (_, why))| format!("{line}: {why}"))
            .collect();
        assert_eq!(rejected(&summary), wanted, "{on:?}");
    }
}
