//! Amounts are exact decimals, whatever the currency's number of digits, and however large.

use dues::row;
use dues::store::db::Statement;

use crate::support::world::{BOTH, World};

row! { AmountRow { currency: String, amount_minor: i64, amount: String } }

const CURRENCIES: &str =
    "INSERT INTO currencies (code, exponent) VALUES ('JPY', 0), ('ONE', 1), ('KWD', 3), ('UYW', 4)";

/// Payments of strangers in every kind of currency. A refund is a positive figure in the books; the negative ones are here because
/// a report may show one.
const PAYMENTS: &str = "INSERT INTO payments (gateway_payment_id, kind, status, amount_minor, currency, captured_minor, \
    refunded_minor, first_seen_at, status_at) \
    SELECT 'pay_' || v.place, 'foreign', 'Captured', v.amount_minor, v.currency, 0, 0, $1, $1 FROM {v}";

const CASES: &[(&str, i64, &str)] = &[
    ("HKD", 0, "0.00"),
    ("HKD", 1, "0.01"),
    ("HKD", 10, "0.10"),
    ("HKD", 12800, "128.00"),
    ("HKD", -5, "-0.05"),
    ("HKD", -12345, "-123.45"),
    ("HKD", 9_007_199_254_740_993, "90071992547409.93"),
    ("JPY", 0, "0"),
    ("JPY", 1905, "1905"),
    ("JPY", -7, "-7"),
    ("ONE", 1, "0.1"),
    ("ONE", 105, "10.5"),
    ("KWD", 1, "0.001"),
    ("KWD", 1005, "1.005"),
    ("KWD", -1, "-0.001"),
    ("UYW", 10_001, "1.0001"),
    ("UYW", 999_999_999_999_999_999, "99999999999999.9999"),
];

#[tokio::test]
async fn an_amount_is_exact_in_every_currency() {
    for on in BOTH {
        let world = World::new(on, "2026-01-01T00:00:00Z", &[]).await;
        let mut rows = dues::store::db::Rows::new(&["place", "amount_minor", "currency"], "tit");
        for (place, (currency, amount_minor, _)) in CASES.iter().enumerate() {
            rows.push(dues::cells![place.to_string(), *amount_minor, *currency]);
        }
        let mut tx = world.store.begin("plant").await.unwrap();
        tx.run(Statement::new(CURRENCIES)).await.unwrap();
        tx.run(Statement::new(PAYMENTS).bind(world.clock.now()).rows("v", rows)).await.unwrap();
        tx.commit().await.unwrap();
        let text = "SELECT f.currency, f.amount_minor, CAST(f.amount AS TEXT) AS amount FROM finance_payments f \
                    JOIN payments p ON p.gateway_payment_id = f.payment_id ORDER BY p.id";
        let found: Vec<AmountRow> = world.store.read(Statement::new(text)).await.unwrap();
        let mut found: Vec<(String, i64, String)> =
            found.into_iter().map(|row| (row.currency, row.amount_minor, row.amount)).collect();
        let mut wanted: Vec<(String, i64, String)> =
            CASES.iter().map(|(code, minor, amount)| ((*code).to_owned(), *minor, (*amount).to_owned())).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{on:?}");
    }
}

#[tokio::test]
async fn an_amount_in_an_unknown_currency_is_left_out_and_its_minor_units_stay() {
    for on in BOTH {
        let world = World::new(on, "2026-01-01T00:00:00Z", &[]).await;
        let mut rows = dues::store::db::Rows::new(&["place", "amount_minor", "currency"], "tit");
        rows.push(dues::cells!["1", 5_i64, "XTS"]);
        rows.push(dues::cells!["2", 6_i64, None::<&str>]);
        let mut tx = world.store.begin("plant").await.unwrap();
        tx.run(Statement::new(PAYMENTS).bind(world.clock.now()).rows("v", rows)).await.unwrap();
        tx.commit().await.unwrap();
        let lines = world
            .lines(
                "SELECT COALESCE(currency, '-') || ' ' || CAST(amount_minor AS TEXT) || ' ' || COALESCE(CAST(amount AS TEXT), 'null') \
                 AS line FROM finance_payments ORDER BY payment_id",
            )
            .await;
        assert_eq!(lines, ["XTS 5 null", "- 6 null"], "{on:?}");
    }
}
