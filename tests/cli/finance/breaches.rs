//! Every rule of `finance_exceptions` is broken once, in books that are otherwise sound, and is seen. Each breach is planted in a
//! transaction that is then dropped, so that the next one finds sound books again.

use dues::domain::integrity::IntegrityRule;
use dues::row;
use dues::store::db::Statement;

use super::story;
use crate::support::world::{BOTH, On, World};

row! { LineRow { line: String } }

/// A rule, the acts that break it, and the rows that must stand there then: `rule reference`.
struct Breach {
    rule: &'static str,
    acts: &'static [&'static str],
    seen: &'static [&'static str],
}

/// The charge of PAID's period 1, for the acts below.
macro_rules! paid_1 {
    () => {
        "(SELECT c.id FROM charges c JOIN subscriptions s ON s.id = c.subscription_id WHERE s.reference = 'PAID' AND c.period_index = 1)"
    };
}
/// The charge of DEBT's period 0, which waits for a dunning step.
macro_rules! debt_0 {
    () => {
        "(SELECT c.id FROM charges c JOIN subscriptions s ON s.id = c.subscription_id WHERE s.reference = 'DEBT')"
    };
}
/// A live attempt of DEBT's charge, in the state and with the next look that are given.
macro_rules! live_attempt {
    ($state:literal, $next_at:literal) => {
        concat!(
            "INSERT INTO attempts (charge_id, n, idempotency_key, kind, state, customer_id, payment_id, next_at, \
             lease_until, lease_epoch, sends, looks, first_sent_at, last_sent_at, late_looks, server_error, created_at) \
             SELECT a.charge_id, 9, 'planted', 'recurring', '", $state, "', a.customer_id, NULL, ", $next_at,
            ", a.created_at, 0, 0, 0, NULL, NULL, 0, 0, a.created_at FROM attempts a WHERE a.n = 1 AND a.charge_id = ", debt_0!()
        )
    };
}

const BREACHES: &[Breach] = &[
    Breach {
        rule: "charged_twice",
        acts: &[concat!(
            "INSERT INTO payments (gateway_payment_id, charge_id, kind, reference, status, amount_minor, currency, captured_minor, \
             refunded_minor, first_seen_at, status_at) SELECT 'pay_second', p.charge_id, 'recurring', p.reference, 'Captured', \
             p.amount_minor, p.currency, p.captured_minor, 0, p.first_seen_at, p.status_at FROM payments p WHERE p.charge_id = ",
            paid_1!()
        )],
        seen: &["charged_twice PAID pay_second"],
    },
    Breach {
        rule: "captured_not_paid",
        acts: &[concat!(
            "UPDATE payments SET captured_minor = 12800 WHERE id = (SELECT MAX(p.id) FROM payments p WHERE p.charge_id = ",
            debt_0!(),
            ")"
        )],
        seen: &["captured_not_paid DEBT"],
    },
    Breach {
        rule: "paid_not_captured",
        acts: &[concat!("UPDATE payments SET captured_minor = 12700 WHERE charge_id = ", paid_1!())],
        seen: &["paid_not_captured PAID", "sums_differ -"],
    },
    Breach {
        rule: "paid_not_captured",
        acts: &[concat!("UPDATE charges SET paid_by = 'pay_of_nobody' WHERE id = ", paid_1!())],
        seen: &["paid_not_captured PAID pay_of_nobody", "sums_differ -"],
    },
    Breach {
        rule: "captured_differs",
        acts: &[concat!("UPDATE payments SET amount_minor = 12801 WHERE charge_id = ", paid_1!())],
        seen: &["captured_differs PAID"],
    },
    Breach {
        rule: "captured_differs",
        acts: &[concat!("UPDATE payments SET currency = 'SGD' WHERE charge_id = ", paid_1!())],
        seen: &["captured_differs PAID"],
    },
    Breach {
        rule: "opened_after_end",
        acts: &["UPDATE subscriptions SET ended_at = created_at WHERE reference = 'STOP'"],
        seen: &["opened_after_end STOP", "opened_after_end STOP"],
    },
    Breach {
        rule: "open_after_end",
        acts: &[
            "UPDATE subscriptions SET state = 'canceled', ended_at = bill_at WHERE reference = 'DEBT'",
            concat!("UPDATE dunning_cases SET next_step_at = NULL WHERE charge_id = ", debt_0!()),
        ],
        seen: &["open_after_end DEBT", "retry_forgotten DEBT"],
    },
    Breach {
        rule: "attempt_without_next",
        acts: &[live_attempt!("created", "NULL")],
        seen: &["attempt_without_next DEBT", "request_missing DEBT"],
    },
    Breach {
        rule: "attempt_overdue",
        acts: &[live_attempt!("created", "a.created_at")],
        seen: &["attempt_overdue DEBT", "request_missing DEBT"],
    },
    Breach {
        rule: "period_overdue",
        acts: &["UPDATE subscriptions SET bill_at = created_at WHERE reference = 'LION'"],
        seen: &["period_overdue LION"],
    },
    // Handed over today, with an anchor of long ago: its first day is not over.
    Breach {
        rule: "period_overdue",
        acts: &["UPDATE subscriptions SET bill_at = created_at, \
            handed_over_at = (SELECT heartbeat_at FROM installation) WHERE reference = 'LION'"],
        seen: &[],
    },
    Breach {
        rule: "retry_overdue",
        acts: &[concat!("UPDATE dunning_cases SET next_step_at = opened_at WHERE charge_id = ", debt_0!())],
        seen: &["retry_overdue DEBT"],
    },
    Breach {
        rule: "charge_forgotten",
        acts: &[
            concat!("UPDATE charges SET state = 'collecting' WHERE id = ", debt_0!()),
            concat!("UPDATE dunning_cases SET next_step_at = NULL WHERE charge_id = ", debt_0!()),
        ],
        seen: &["charge_forgotten DEBT"],
    },
    Breach {
        rule: "retry_forgotten",
        acts: &[concat!("UPDATE dunning_cases SET next_step_at = NULL WHERE charge_id = ", debt_0!())],
        seen: &["retry_forgotten DEBT"],
    },
    Breach {
        rule: "review_forgotten",
        acts: &[concat!("UPDATE charges SET state = 'in_review' WHERE id = ", debt_0!())],
        seen: &["review_forgotten DEBT"],
    },
    Breach {
        rule: "dunning_of_closed",
        acts: &["UPDATE dunning_cases SET state = 'open', closed_at = NULL WHERE state = 'recovered'"],
        seen: &["dunning_of_closed BACK"],
    },
    Breach {
        rule: "revoked_to_be_charged",
        acts: &[
            "UPDATE subscriptions SET state = 'paused', source_id = (SELECT id FROM sources WHERE state = 'revoked') WHERE reference = 'DEBT'",
            live_attempt!("created", "(SELECT heartbeat_at FROM installation)"),
        ],
        // Its earlier attempts were sent after that source had been revoked, too.
        seen: &[
            "request_missing DEBT",
            "revoked_to_be_charged DEBT",
            "sent_after_revocation DEBT",
            "sent_after_revocation DEBT",
        ],
    },
    Breach {
        rule: "active_without_source",
        acts: &[
            "UPDATE sources SET state = 'failed' WHERE id = (SELECT source_id FROM subscriptions WHERE reference = 'LION')",
        ],
        seen: &["active_without_source LION"],
    },
    Breach {
        rule: "paid_without_journal",
        acts: &[concat!("DELETE FROM journal WHERE now = 'paid' AND charge_id = ", paid_1!())],
        seen: &["paid_without_journal PAID", "sums_differ -"],
    },
    Breach {
        rule: "paid_lost",
        acts: &[
            concat!("UPDATE charges SET state = 'void', paid_at = NULL, paid_by = NULL WHERE id = ", paid_1!()),
            concat!("UPDATE payments SET refunded_minor = captured_minor WHERE charge_id = ", paid_1!()),
        ],
        seen: &["paid_lost PAID", "sums_differ -"],
    },
    Breach {
        rule: "period_gap",
        acts: &["UPDATE subscriptions SET next_index = next_index + 1 WHERE reference = 'PAID'"],
        seen: &["period_gap PAID"],
    },
    Breach {
        rule: "captured_not_settled",
        acts: &[
            live_attempt!("pending", "(SELECT heartbeat_at FROM installation)"),
            concat!(
                "UPDATE payments SET captured_minor = 12800, refunded_minor = 12800, attempt_id = (SELECT a.id FROM attempts a WHERE a.n = 9) \
                 WHERE id = (SELECT MAX(p.id) FROM payments p WHERE p.charge_id = ",
                debt_0!(),
                ")"
            ),
        ],
        seen: &["captured_not_settled DEBT"],
    },
    Breach {
        rule: "request_missing",
        acts: &[live_attempt!("created", "(SELECT heartbeat_at FROM installation)")],
        seen: &["request_missing DEBT"],
    },
    Breach {
        rule: "lease_overdue",
        acts: &[
            "UPDATE nodes SET heartbeat_at = (SELECT heartbeat_at FROM installation), condition = NULL, stopped_at = NULL",
            live_attempt!("pending", "a.created_at"),
            "UPDATE attempts SET next_at = (SELECT y.settled_at FROM attempts y JOIN charges c ON c.id = y.charge_id \
             JOIN subscriptions s ON s.id = c.subscription_id WHERE s.reference = 'DEBT' AND y.n = 2) WHERE n = 9",
        ],
        seen: &["lease_overdue DEBT"],
    },
    Breach {
        rule: "sent_after_revocation",
        acts: &[
            "UPDATE attempts SET last_sent_at = (SELECT heartbeat_at FROM installation) WHERE id = (SELECT MAX(a.id) \
                 FROM attempts a JOIN charges c ON c.id = a.charge_id JOIN subscriptions s ON s.id = c.subscription_id \
                 WHERE s.reference = 'GONE')",
        ],
        seen: &["sent_after_revocation GONE"],
    },
    Breach {
        rule: "period_forgotten",
        acts: &["UPDATE subscriptions SET next_charge_at = created_at WHERE reference = 'LION'"],
        seen: &["period_forgotten LION"],
    },
    Breach {
        rule: "period_forgotten",
        acts: &["UPDATE subscriptions SET next_charge_at = created_at, \
            handed_over_at = (SELECT heartbeat_at FROM installation) WHERE reference = 'LION'"],
        seen: &[],
    },
    Breach {
        rule: "sums_differ",
        acts: &[concat!(
            "INSERT INTO journal (at, actor, act, subscription_id, charge_id, was, now) SELECT c.opened_at, 'test', 'charge', \
             c.subscription_id, c.id, 'collecting', 'paid' FROM charges c WHERE c.id = ",
            paid_1!()
        )],
        seen: &["sums_differ -"],
    },
    Breach { rule: "ledger_unknown", acts: &["DELETE FROM installation"], seen: &["ledger_unknown -"] },
    Breach {
        rule: "stop_unasked",
        acts: &["UPDATE installation SET held_at = heartbeat_at, held_reason = 'rewound'"],
        seen: &["stop_unasked -"],
    },
    Breach {
        rule: "stop_unasked",
        acts: &["UPDATE installation SET braked_at = heartbeat_at, braked_reason = 'too much'"],
        seen: &["stop_unasked -"],
    },
];

/// Lets a planted attempt break what the schema forbids.
const WITHOUT_CHECKS: &str = "DO $$ DECLARE rule text; BEGIN FOR rule IN SELECT conname FROM pg_constraint \
    WHERE conrelid = 'attempts'::regclass AND contype = 'c' LOOP \
    EXECUTE format('ALTER TABLE attempts DROP CONSTRAINT %I', rule); END LOOP; END $$";

async fn seen(world: &World, on: On, breach: &Breach) -> Vec<String> {
    let mut tx = world.store.begin("plant").await.unwrap();
    let checks_off = match on {
        On::Sqlite => "PRAGMA ignore_check_constraints = ON",
        On::Postgres => WITHOUT_CHECKS,
    };
    tx.run(Statement::new(checks_off)).await.unwrap();
    for act in breach.acts {
        let rows = tx.run(Statement::new(act)).await.unwrap();
        assert!(rows > 0, "{on:?} {} planted nothing: {act}", breach.rule);
    }
    let lines: Vec<LineRow> = tx
        .all(Statement::new(
            "SELECT rule || ' ' || COALESCE(subscription_reference, '-') || CASE WHEN rule IN ('charged_twice', 'paid_not_captured') \
             AND payment_id IN ('pay_second', 'pay_of_nobody') THEN ' ' || payment_id ELSE '' END AS line \
             FROM finance_exceptions ORDER BY rule, subscription_reference",
        ))
        .await
        .unwrap();
    if on == On::Sqlite {
        tx.run(Statement::new("PRAGMA ignore_check_constraints = OFF")).await.unwrap();
    }
    lines.into_iter().map(|row| row.line).collect()
}

#[tokio::test]
async fn every_broken_rule_is_seen() {
    for on in BOTH {
        let world = story::told(on).await;
        world.store.heartbeat(world.clock.now()).await.unwrap();
        let mut unlike = Vec::new();
        for breach in BREACHES {
            let seen = seen(&world, on, breach).await;
            if seen != breach.seen {
                unlike.push((breach.rule, seen));
            }
        }
        assert_eq!(unlike, [], "{on:?}");
        assert_eq!(world.lines(super::sound::EXCEPTIONS).await, [""; 0], "{on:?}: the plants were taken back");
    }
}

#[test]
fn every_rule_of_the_view_is_broken_here_and_told_in_the_dictionary() {
    let sqlite = include_str!("../../../migrations/sqlite/0007_handed_over.sql");
    let postgres = include_str!("../../../migrations/postgres/0007_handed_over.sql");
    let dictionary = include_str!("../../../docs/finance.md");
    let rules = |text: &str| -> Vec<String> {
        let selected = |line: &str| {
            let rest = line.trim().strip_prefix("SELECT '")?;
            rest.split_once('\'').map(|(rule, _)| rule.to_owned())
        };
        text.lines().filter_map(selected).collect()
    };
    assert_eq!(rules(sqlite), rules(postgres));
    // The second way of a rule stands right below its first.
    let mut of_views = rules(sqlite);
    of_views.dedup();
    let of_books = IntegrityRule::ALL.iter().filter(|rule| !IntegrityRule::OUTSIDE.contains(rule));
    assert_eq!(of_views, of_books.map(|rule| rule.as_str()).collect::<Vec<_>>());
    for rule in of_views {
        assert!(BREACHES.iter().any(|breach| breach.rule == rule), "no test breaks {rule}");
        assert!(dictionary.contains(&format!("| `{rule}` |")), "docs/finance.md does not tell of {rule}");
    }
}
