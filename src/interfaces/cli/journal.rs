//! Lines of the journal, as the pages of subscriptions, charges and review cases show them.

use serde_json::{Value, json};

use super::output::{Table, second};
use crate::store::journal::ShownRow;

/// The lines as a table, oldest first. The state before stands in the JSON only: it is the one of an earlier line.
pub fn table(rows: &[ShownRow]) -> Table {
    Table::new(&["AT (UTC)", "ACT", "PERIOD", "ATTEMPT", "STATE", "BY", "DETAIL"]).rows(rows.iter().map(|row| {
        let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
        [
            second(row.at),
            row.act.clone(),
            number(row.period_index),
            number(row.attempt_n),
            row.now.clone().unwrap_or_default(),
            row.actor.clone(),
            row.detail.clone().unwrap_or_default(),
        ]
    }))
}

/// The lines as JSON, oldest first.
pub fn json(rows: &[ShownRow]) -> Vec<Value> {
    let line = |row: &ShownRow| {
        json!({
            "at": row.at,
            "actor": row.actor,
            "act": row.act,
            "charge_id": row.charge,
            "period_index": row.period_index,
            "attempt_n": row.attempt_n,
            "was": row.was,
            "now": row.now,
            "detail": row.detail,
        })
    };
    rows.iter().map(line).collect()
}
