//! The columns of a hand-over: their names, which are required, and what somebody meant who wrote another.

use std::collections::BTreeMap;

/// Every column that a row may have. `reason` is what the rejects file adds; it is ignored.
pub const COLUMNS: [&str; 15] = [
    "reference",
    "plan",
    "source_id",
    "first_payment_id",
    "customer_reference",
    "customer_name",
    "customer_email",
    "country",
    "anchor_on",
    "time_zone",
    "next_charge_on",
    "amount_minor",
    "amount",
    "currency",
    REASON,
];

/// The column that the rejects file adds.
pub const REASON: &str = "reason";

/// What a column of the file is mapped onto that is to be passed over.
pub const IGNORED: &str = "-";

/// The columns without which no row can be good.
const REQUIRED: [&str; 4] = ["reference", "plan", "source_id", "anchor_on"];

/// The cells of one row by their column, without blanks around them. An empty cell is no cell.
#[derive(Debug, Default)]
pub struct Cells(BTreeMap<&'static str, String>);

impl Cells {
    /// Puts a text in.
    pub fn put(&mut self, column: &'static str, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.0.insert(column, text.to_owned());
        }
    }

    /// The text in a column, if there is one.
    pub fn get(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(column, text)| (*column, text.as_str()))
    }
}

/// The column of that name.
pub fn known(name: &str) -> Option<&'static str> {
    COLUMNS.into_iter().find(|column| *column == name)
}

/// What to tell somebody who wrote a column that there is not. A text that cannot be a column's name may be a misplaced cell with
/// personal data in it, and is not shown.
pub fn unknown(name: &str, place: usize) -> String {
    let is_name = (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' '));
    match (is_name, meant(name)) {
        (true, Some(column)) => format!("{name} is no column; did you mean {column}?"),
        (true, None) => format!("{name} is no column"),
        (false, _) => format!("the name of column {place} is none"),
    }
}

/// What the columns are and how others come to be some, as the end of a sentence.
pub fn all() -> String {
    format!("the columns are {} (--map THEIRS=ours tells other names)", COLUMNS.join(", "))
}

/// What a column of the file can be mapped onto, as the end of a sentence.
pub fn targets() -> String {
    let columns: Vec<&str> = COLUMNS.into_iter().filter(|column| *column != REASON).collect();
    format!("ours are {}, and {IGNORED} for a column to be passed over", columns.join(", "))
}

/// The required columns that are not among these.
pub fn missing(present: &[&str]) -> Vec<&'static str> {
    // Where every row bears its first payment, the gateway may tell the source; that is decided row by row.
    let told_by_payment = present.contains(&"first_payment_id");
    let absent = |column: &&str| !(present.contains(column) || (*column == "source_id" && told_by_payment));
    REQUIRED.into_iter().filter(absent).collect()
}

/// The column that was probably meant: the same but for case and separators, a part of it, or a slip of two letters side by side.
fn meant(name: &str) -> Option<&'static str> {
    let bare = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let name = bare(name);
    let slips = |column: &str| {
        let before = column.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let after = column.bytes().rev().zip(name.bytes().rev()).take_while(|(a, b)| a == b).count();
        (before + after + 2 >= column.len().max(name.len())).then_some(column.len() + name.len() - before - after)
    };
    let columns = || COLUMNS.into_iter().map(|column| (column, bare(column)));
    let slip = columns().filter_map(|(column, text)| Some((slips(&text)?, column))).min();
    let part = || columns().find(|(_, text)| name.len() >= 4 && (text.contains(&name) || name.contains(text.as_str())));
    slip.map(|(_, column)| column).or_else(|| part().map(|(column, _)| column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_written_otherwise_is_recognised() {
        for (name, column) in [
            ("Reference", Some("reference")),
            ("refrence", Some("reference")),
            ("customer_refrence", Some("customer_reference")),
            ("timezone", Some("time_zone")),
            ("SourceId", Some("source_id")),
            ("source", Some("source_id")),
            ("email", Some("customer_email")),
            ("anchro_on", Some("anchor_on")),
            ("next charge on", Some("next_charge_on")),
            ("plan_name", Some("plan")),
            ("colour", None),
            ("id", None),
        ] {
            assert_eq!(meant(name), column, "{name}");
        }
    }

    #[test]
    fn a_misplaced_cell_is_not_shown() {
        assert_eq!(unknown("wallet@example.com", 3), "the name of column 3 is none");
        assert_eq!(unknown("colour", 3), "colour is no column");
    }
}
