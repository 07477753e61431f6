//! The questions of `docs/finance.md`, each with its answer on one planted ledger, the same on both databases.

use std::ops::ControlFlow;

use dues::sandbox::{Outcome, Rule, Script};
use dues::store::db::Statement;
use dues::store::reports::{Cells, Filter, QUESTIONS, Report};

use crate::support::world::{BOTH, On, World, source_of};

/// A plan beside the usual ones.
const FLAGS: &[(&str, &str)] = &[
    ("plans.singapore.amount_minor", "1905"),
    ("plans.singapore.currency", "SGD"),
    ("plans.singapore.interval", "month"),
    ("plans.singapore.description", "Monthly plan in Singapore"),
];

/// What no story makes: money given back, and money of a stranger.
const PLANTED: &[&str] = &[
    "UPDATE payments SET refunded_minor = 2800, status = 'Partially Refunded' WHERE captured_minor > 0 AND charge_id = \
     (SELECT c.id FROM charges c JOIN subscriptions s ON s.id = c.subscription_id WHERE s.reference = 'PAID' AND c.period_index = 1)",
    "INSERT INTO payments (gateway_payment_id, kind, reference, status, amount_minor, currency, captured_minor, refunded_minor, \
     first_seen_at, status_at) SELECT 'pay_stranger', 'foreign', 'OTHER-1', 'Captured', 5000, 'HKD', 5000, 0, p.first_seen_at, \
     p.status_at FROM payments p WHERE p.id = (SELECT MIN(id) FROM payments)",
];

/// Each question with its answer: a row a line, its cells between bars, ids cut down to their kind.
const ANSWERS: &[(&str, &[&str])] = &[
    (
        "due",
        &[
            "2026-01|HKD|paid|5|64000",
            "2026-01|HKD|uncollectible|1|12800",
            "2026-01|SGD|paid|1|1905",
            "2026-02|HKD|paid|5|64000",
            "2026-02|HKD|skipped|1|12800",
            "2026-02|HKD|uncollectible|1|12800",
            "2026-02|SGD|paid|1|1905",
            "2026-03|HKD|collecting|1|12800",
            "2026-03|HKD|paid|2|25600",
            "2026-03|HKD|retrying|1|12800",
            "2026-03|HKD|skipped|2|25600",
            "2026-03|SGD|paid|1|1905",
        ],
    ),
    (
        "collected",
        &[
            "2026-01|HKD|4|51200|0",
            "2026-01|SGD|1|1905|0",
            "2026-02|HKD|6|76800|2800",
            "2026-02|SGD|1|1905|0",
            "2026-03|HKD|2|25600|0",
            "2026-03|SGD|1|1905|0",
        ],
    ),
    (
        "receipts",
        &[
            "2026-01|2026-01-05T02:01|pay_*|d1-*|LAST|0|HKD|12800|128.00|0|0.00",
            "2026-01|2026-01-05T02:01|pay_*|d1-*|LION|0|SGD|1905|19.05|0|0.00",
            "2026-01|2026-01-05T02:01|pay_*|d1-*|PAID|0|HKD|12800|128.00|0|0.00",
            "2026-01|2026-01-05T02:01|pay_*|d1-*|STOP|0|HKD|12800|128.00|0|0.00",
            "2026-01|2026-01-09T02:01|pay_*|d1-*|BACK|0|HKD|12800|128.00|0|0.00",
            "2026-02|2026-02-03T02:01|pay_*|d1-*|LATE|0|HKD|12800|128.00|0|0.00",
            "2026-02|2026-02-05T02:01|pay_*|d1-*|BACK|1|HKD|12800|128.00|0|0.00",
            "2026-02|2026-02-05T02:01|pay_*|d1-*|LAST|1|HKD|12800|128.00|0|0.00",
            "2026-02|2026-02-05T02:01|pay_*|d1-*|LION|1|SGD|1905|19.05|0|0.00",
            "2026-02|2026-02-05T02:01|pay_*|d1-*|PAID|1|HKD|12800|128.00|2800|28.00",
            "2026-02|2026-02-05T02:01|pay_*|d1-*|STOP|1|HKD|12800|128.00|0|0.00",
            "2026-02|2026-02-28T02:01|pay_*|d1-*|LATE|1|HKD|12800|128.00|0|0.00",
            "2026-03|2026-03-05T02:01|pay_*|d1-*|BACK|2|HKD|12800|128.00|0|0.00",
            "2026-03|2026-03-05T02:01|pay_*|d1-*|LION|2|SGD|1905|19.05|0|0.00",
            "2026-03|2026-03-05T02:01|pay_*|d1-*|PAID|2|HKD|12800|128.00|0|0.00",
        ],
    ),
    ("recovered", &["2026-01|HKD|1|12800", "2026-02|HKD|1|12800"]),
    ("late", &["2026-02|2026-01|LATE|0|HKD|12800|128.00|2026-01-30T02:00|2026-02-03T02:01|3|pay_*"]),
    (
        "open",
        &[
            "2026-03-12T02:00|2026-03|DEBT|customer of DEBT|0|HKD|12800|128.00|retrying|funds|2|2026-03-16T02:00",
            "2026-03-13T02:00|2026-03|SLOW|customer of SLOW|0|HKD|12800|128.00|collecting|-|1|2026-03-14T00:44",
        ],
    ),
    (
        "unanswered",
        &[
            "2026-03-13T02:00|2026-03|SLOW|0|HKD|12800|128.00|pending|d1-*|pay_*|Pending|request|2026-03-13T02:00|2026-03-14T00:44",
        ],
    ),
    (
        "failed",
        &[
            "2026-01|HKD|Declined|authorisation_gone|200R1|1|12800",
            "2026-01|HKD|Declined|funds|20051|4|51200",
            "2026-02|HKD|Declined|funds|20051|5|64000",
            "2026-03|HKD|Declined|funds|20051|2|25600",
        ],
    ),
    (
        "unpaid",
        &[
            "BROKE|0|2026-02-05T02:00|2026-02|HKD|12800|128.00|uncollectible|funds|5|20051|funds|-|0",
            "BROKE|1|2026-03-05T02:00|2026-03|HKD|12800|128.00|skipped|unpaid|0|-|-|-|0",
            "DEBT|0|2026-03-12T02:00|2026-03|HKD|12800|128.00|retrying|funds|2|20051|funds|2026-03-16T02:00|0",
            "GONE|0|2026-01-05T02:00|2026-01|HKD|12800|128.00|uncollectible|authorisation_gone|1|200R1|authorisation_gone|-|1",
            "GONE|1|2026-02-05T02:00|2026-02|HKD|12800|128.00|skipped|unpaid|0|-|-|-|0",
            "GONE|2|2026-03-05T02:00|2026-03|HKD|12800|128.00|skipped|unpaid|0|-|-|-|0",
            "SLOW|0|2026-03-13T02:00|2026-03|HKD|12800|128.00|collecting|-|1|-|-|2026-03-14T00:44|0",
        ],
    ),
    (
        "chase",
        &[
            "customer of BROKE|BROKE|0|2026-02-05T02:00|2026-02|HKD|12800|128.00|uncollectible|funds|20051|-",
            "customer of DEBT|DEBT|0|2026-03-12T02:00|2026-03|HKD|12800|128.00|retrying|funds|20051|2026-03-16T02:00",
            "customer of GONE|GONE|0|2026-01-05T02:00|2026-01|HKD|12800|128.00|uncollectible|authorisation_gone|200R1|-",
        ],
    ),
    ("lost", &["2026-01|HKD|authorisation_gone|1|12800", "2026-02|HKD|funds|1|12800"]),
    (
        "left",
        &[
            "2026-02-10T00:00|2026-02|STOP|customer of STOP|monthly|canceled|moved away|2|HKD|25600|256.00|0|0.00",
            "2026-03-05T02:00|2026-03|LAST|customer of LAST|monthly|canceled|no longer needed|2|HKD|25600|256.00|0|0.00",
        ],
    ),
    ("refunded", &["2026-02|pay_*|PAID|1|HKD|12800|128.00|2800|28.00|Partially Refunded|2026-02-05T02:01"]),
    ("strangers", &["2026-01-05T02:00|2026-01|pay_stranger|OTHER-1|HKD|5000|50.00|Captured"]),
    (
        "flagged",
        &[
            "2026-01-05T02:01|2026-01|rev_*|authorisation_gone|GONE|0|HKD|12800|128.00|ask the customer for a new authorisation",
        ],
    ),
];

/// Two and a half months: PAID pays, BACK pays after two declines, LATE in the next month, BROKE never, GONE revokes, STOP and LAST
/// leave, LION pays in Singapore, DEBT is being retried, SLOW has no answer yet.
async fn month_end(on: On) -> World {
    let declines = |reference: &str, code: &str, times: u64| {
        Rule::decline(reference, code).for_source(&source_of(reference)).times(times)
    };
    let mut world = World::new(on, "2026-01-01T00:00:00Z", FLAGS).await;
    world.sandbox.set_script(Script::of([
        declines("BACK", "20051", 2),
        declines("LATE", "20051", 2),
        declines("BROKE", "20051", 99),
        declines("GONE", "200R1", 1),
        declines("DEBT", "20051", 99),
        Rule::outcome("stuck", Outcome::Pending).for_source(&source_of("SLOW")),
    ]));
    for reference in ["PAID", "BACK", "GONE", "STOP", "LAST"] {
        world.hand_over(reference, "monthly", "2026-01-05", None).await;
    }
    world.hand_over("LION", "singapore", "2026-01-05", None).await;
    world.hand_over("LATE", "monthly", "2026-01-30", None).await;
    world.hand_over("BROKE", "monthly", "2026-02-05", None).await;
    world.hand_over("DEBT", "monthly", "2026-03-12", None).await;
    world.hand_over("SLOW", "monthly", "2026-03-13", None).await;
    world.run_until("2026-02-10T00:00:00Z").await;
    world.engine.cancel("STOP", false, "moved away", "test").await.unwrap();
    world.engine.cancel("LAST", true, "no longer needed", "test").await.unwrap();
    world.run_until("2026-03-14T00:00:00Z").await;
    let mut tx = world.store.begin("plant").await.unwrap();
    for act in PLANTED {
        assert_eq!(tx.run(Statement::new(act)).await.unwrap(), 1, "{act}");
    }
    tx.commit().await.unwrap();
    world
}

/// A report's rows.
async fn answer(world: &World, report: &Report, filter: &Filter) -> Vec<String> {
    let mut lines = Vec::new();
    let each = |Cells(cells): Cells| {
        let cells: Vec<String> = cells.into_iter().map(shown).collect();
        lines.push(cells.join("|"));
        ControlFlow::Continue(())
    };
    world.store.report(report, filter, each).await.unwrap();
    lines
}

/// A cell: an id by its kind alone, an instant to the minute.
fn shown(cell: Option<String>) -> String {
    let Some(cell) = cell else { return "-".to_owned() };
    let kinds = ["chg_", "sub_", "rev_", "req_", "d1-"];
    if let Some(kind) = kinds.iter().find(|kind| cell.starts_with(**kind)) {
        return format!("{kind}*");
    }
    if cell.starts_with("pay_") && cell != "pay_stranger" {
        return "pay_*".to_owned();
    }
    if cell.len() == 16 && cell.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit()) {
        return "request".to_owned();
    }
    match cell.strip_suffix('Z').and_then(|instant| instant.get(..16)) {
        Some(minute) => minute.to_owned(),
        None => cell,
    }
}

fn question(name: &str) -> &'static Report {
    QUESTIONS.iter().find(|report| report.name == name).unwrap()
}

#[tokio::test]
async fn every_question_has_its_answer() {
    let asked: Vec<&str> = ANSWERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(asked, QUESTIONS.iter().map(|report| report.name).collect::<Vec<_>>());
    for on in BOTH {
        let world = month_end(on).await;
        for (name, wanted) in ANSWERS {
            assert_eq!(answer(&world, question(name), &Filter::default()).await, *wanted, "{on:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_month_and_a_currency_choose_rows() {
    for on in BOTH {
        let world = month_end(on).await;
        for (name, wanted) in ANSWERS {
            let report = question(name);
            let at = |column: &str| report.columns.iter().position(|it| it.name == column).unwrap();
            let (month, currency) = (at(report.month.unwrap()), at("currency"));
            let filter = Filter { month: Some("2026-02".to_owned()), currency: Some("HKD".to_owned()), limit: None };
            let chosen: Vec<&str> = wanted
                .iter()
                .copied()
                .filter(|line| {
                    let cells: Vec<&str> = line.split('|').collect();
                    cells[month] == "2026-02" && cells[currency] == "HKD"
                })
                .collect();
            assert_eq!(answer(&world, report, &filter).await, chosen, "{on:?} {name}");
        }
    }
}

#[tokio::test]
async fn the_page_has_the_query_of_every_question_and_no_other() {
    let page: &'static str = include_str!("../../../docs/finance.md");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut told = Vec::new();
    for rest in page.split("\n### ").skip(1) {
        let name = rest.lines().next().unwrap_or_default();
        let Some((_, after)) = rest.split_once("```sql\n") else { continue };
        let (query, _) = after.split_once("```").unwrap();
        told.push((name.to_owned(), words(query)));
    }
    assert_eq!(page.matches("```sql\n").count(), told.len());
    let asked: Vec<(String, String)> = QUESTIONS.iter().map(|it| (it.name.to_owned(), words(&it.told()))).collect();
    assert_eq!(told, asked);
    for on in BOTH {
        let world = month_end(on).await;
        for rest in page.split("```sql\n").skip(1) {
            let (query, _): (&'static str, &str) = rest.split_once("```").unwrap();
            world.store.begin("page").await.unwrap().run(Statement::new(query)).await.unwrap();
        }
    }
}
