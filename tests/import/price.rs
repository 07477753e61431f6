//! The price that a row states is held against the plan's.

use crate::shop::{Way, hand_over, rejected};
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
            table.iter().zip(2..).map(|((cells, _), line)| format!("A{line},monthly,src_a,2026-02-01,{cells}\n"));
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
