//! What is decided about every combination, as tables in `tests/decisions/`: whoever changes a decision sees which cases it moves.
//! `DUES_WRITE_TABLES=1 cargo test --lib decide::tables` writes them anew. What must hold in every row is asserted beside them.

mod absence;
mod asked;
mod bench;
mod declines;
mod due;
mod seen;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Holds the table against the one that is kept.
fn kept(name: &str, table: &str) {
    let place = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/decisions").join(name);
    if std::env::var_os("DUES_WRITE_TABLES").is_some() {
        std::fs::write(&place, table).unwrap();
    }
    let known = std::fs::read_to_string(&place).unwrap_or_default();
    let first = known.lines().zip(table.lines()).find(|(known, now)| known != now);
    assert!(
        known == table,
        "{name} is outdated, first in:\n  kept {}\n  now  {}\n`DUES_WRITE_TABLES=1 cargo test --lib decide::tables` writes it anew",
        first.map_or("", |it| it.0),
        first.map_or("", |it| it.1)
    );
}

/// Cases by what is decided about them: how many, and the first and the last of them.
#[derive(Default)]
struct Grouped(BTreeMap<String, (usize, String, String)>);

impl Grouped {
    fn add(&mut self, case: String, decided: String) {
        let group = self.0.entry(decided).or_insert_with(|| (0, case.clone(), String::new()));
        group.0 += 1;
        group.2 = case;
    }

    fn table(&self) -> String {
        let line = |(decided, (count, first, last)): (&String, &(usize, String, String))| {
            format!("{count:5}  {decided}\n       first {first}\n       last  {last}\n")
        };
        self.0.iter().map(line).collect()
    }
}
