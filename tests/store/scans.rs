//! The due scans read what is due and not the whole table: each goes through its index, on both databases.

use dues::store::Tx;
use dues::store::attempts::{BRING_BACK, CLAIM_TO_SEND, LEASE_TO_LOOK_AT};
use dues::store::charges::TO_AUDIT;
use dues::store::db::Statement;
use dues::store::figures::{FIGURES, OLDEST};
use dues::store::subscriptions::TO_BILL;

use crate::ledger::{Ledger, minutes};
use crate::support::world::{BOTH, On};

/// Far more rows than are due, as after some years of billing.
const MANY: &[&str] = &[
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) \
     INSERT INTO subscriptions (public_id, reference, customer_id, source_id, state, handed_over_at, next_index, next_charge_at, \
     bill_at, created_at) SELECT 'sub_' || n.i, 'many ' || n.i, s.customer_id, s.source_id, 'active', s.created_at, 0, \
     s.next_charge_at, $1, s.created_at FROM n, subscriptions s WHERE s.reference = 'A'",
    "INSERT INTO charges (public_id, subscription_id, period_index, period_start_at, period_end_at, plan_id, reference, amount_minor, \
     currency, state, due_at, opened_at) SELECT 'chg_' || s.id, s.id, 0, c.period_start_at, c.period_end_at, c.plan_id, \
     'many ' || s.id, c.amount_minor, c.currency, 'collecting', $1, $1 FROM subscriptions s, charges c WHERE s.reference LIKE 'many %'",
    "INSERT INTO attempts (charge_id, n, idempotency_key, kind, state, customer_id, payment_id, next_at, lease_until, \
     lease_epoch, sends, looks, first_sent_at, last_sent_at, late_looks, server_error, created_at, settled_at) \
     SELECT c.id, 1, 'many ' || c.id, 'recurring', CASE c.id % 10 WHEN 1 THEN 'created' WHEN 2 THEN 'pending' ELSE 'captured' END, \
     a.customer_id, CASE c.id % 10 WHEN 1 THEN NULL ELSE 'pay_' || c.id END, \
     CASE WHEN c.id % 10 IN (1, 2) THEN $1 END, a.lease_until, 0, 0, 0, NULL, NULL, 0, 0, a.created_at, \
     CASE WHEN c.id % 10 IN (1, 2) THEN NULL ELSE $1 END FROM charges c, attempts a WHERE c.public_id LIKE 'chg_%' AND c.id <> a.charge_id",
    "ANALYZE",
];

async fn plan_of(tx: &mut Tx, on: On, statement: Statement) -> String {
    let steps: Vec<String> = match on {
        On::Sqlite => {
            let rows: Vec<(i64, i64, i64, String)> = tx.all(statement).await.unwrap();
            rows.into_iter().map(|(_, _, _, step)| step).collect()
        }
        On::Postgres => {
            let rows: Vec<(String,)> = tx.all(statement).await.unwrap();
            rows.into_iter().map(|(step,)| step).collect()
        }
    };
    steps.join("\n")
}

fn explain(on: On, text: &str) -> Statement {
    let verb = if on == On::Sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN" };
    Statement::new(format!("{verb} {text}").leak())
}

#[tokio::test]
async fn the_due_scans_go_through_their_indexes() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.due("A", ledger.now).await;
        let later = ledger.now + minutes(60 * 24 * 20);
        let mut tx = ledger.begin().await;
        for text in MANY {
            let statement = Statement::new(text);
            tx.run(if text.contains("$1") { statement.bind(later) } else { statement }).await.unwrap();
        }
        for (text, index) in [(CLAIM_TO_SEND, "attempts_to_send"), (LEASE_TO_LOOK_AT, "attempts_to_look_at")] {
            let statement = explain(on, text);
            let statement = if text == LEASE_TO_LOOK_AT { statement.bind("one").bind(later) } else { statement };
            let statement = statement.bind(ledger.now + minutes(1)).bind(None::<i64>).bind(100_u32);
            let plan = plan_of(&mut tx, on, statement).await;
            assert!(plan.contains(index), "{on:?}\n{plan}");
            assert!(!plan.contains("Seq Scan on attempts") && !plan.contains("SCAN attempts"), "{on:?}\n{plan}");
        }
        let statement = explain(on, TO_BILL).bind(ledger.now + minutes(1)).bind(100_u32);
        let plan = plan_of(&mut tx, on, statement).await;
        assert!(plan.contains("subscriptions_to_bill"), "{on:?}\n{plan}");
        assert!(!plan.contains("Seq Scan on subscriptions"), "{on:?}\n{plan}");
        let statement = explain(on, TO_AUDIT).bind(ledger.now + minutes(1)).bind(100_u32);
        let plan_of_audit = plan_of(&mut tx, on, statement).await;
        assert!(plan_of_audit.contains("charges_to_audit"), "{on:?}\n{plan_of_audit}");
        // What comes round with every scrape, or when a clock was set back, reads what is open alone.
        let figures = [explain(on, FIGURES).bind(ledger.now + minutes(1)), explain(on, OLDEST)];
        let statements = figures.into_iter().chain(
            BRING_BACK
                .map(|text| explain(on, text).bind(ledger.now))
                .into_iter()
                .zip([false, true])
                .map(|(statement, takes_two)| if takes_two { statement.bind(later) } else { statement }),
        );
        for statement in statements {
            let plan = plan_of(&mut tx, on, statement).await;
            let whole = |step: &str| {
                let scans = ["SCAN attempts", "SCAN charges", "SCAN subscriptions", "SCAN a", "SCAN c", "SCAN s"];
                scans.contains(&step.trim())
                    || ["attempts", "charges", "subscriptions"]
                        .iter()
                        .any(|it| step.contains(&format!("Seq Scan on {it}")))
            };
            assert!(!plan.lines().any(whole), "{on:?}\n{plan}");
        }
    }
}
