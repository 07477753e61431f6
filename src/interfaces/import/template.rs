//! A file to begin with: every column, and one row that shows what stands in them.

use serde_json::Value;

use super::columns::{COLUMNS, REASON};
use super::format::Format;

/// What stands in the example's columns; those that are not named stay empty. Its first charge lies so far away that a row somebody
/// left in costs nothing.
const EXAMPLE: [(&str, &str); 10] = [
    ("reference", "ORD-1001"),
    ("plan", "monthly"),
    ("source_id", "src_wmlfc3zyhqzehihu7giusaaawu"),
    ("customer_reference", "CUS-1001"),
    ("customer_name", "Wallet Customer"),
    ("customer_email", "wallet@example.com"),
    ("country", "HK"),
    ("anchor_on", "2025-10-31"),
    ("time_zone", "Asia/Hong_Kong"),
    ("next_charge_on", "2099-01-31"),
];

/// The text of the file, its last line ended.
pub fn template(format: Format) -> String {
    let columns = COLUMNS.into_iter().filter(|column| *column != REASON);
    let example = |column: &str| EXAMPLE.iter().find(|(name, _)| *name == column).map_or("", |(_, text)| *text);
    match format {
        Format::Csv => {
            let header: Vec<&str> = columns.clone().collect();
            let row: Vec<&str> = columns.map(example).collect();
            format!("{}\n{}\n", header.join(","), row.join(","))
        }
        Format::Jsonl => {
            // In the order of the columns, which an object of the JSON library would not keep.
            let fields: Vec<String> =
                columns.map(|column| format!("{}: {}", Value::from(column), Value::from(example(column)))).collect();
            format!("{{{}}}\n", fields.join(", "))
        }
    }
}
