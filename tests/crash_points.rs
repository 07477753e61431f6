//! The process is ended at every point of the charging path, on both databases, and the next start makes it good. What came of each is
//! kept in `docs/crash-points.md`; `DUES_WRITE_TABLES=1 cargo test --test crash_points` writes it anew.

mod support;

#[path = "crash_points/grounds.rs"]
mod grounds;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use dues::simulation::crash_points::{Ground, Played, Scenario, play, set_up, table};
use grounds::{Postgres, Sqlite};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/crash-points.md");

/// Plays every scenario on a ground.
fn play_all(ground: &mut dyn Ground) -> Vec<Played> {
    set_up(ground).unwrap();
    let began = std::time::Instant::now();
    Scenario::ALL
        .iter()
        .map(|scenario| {
            let played = play(scenario, ground, None).unwrap();
            println!("{:?} {} {} points {}", began.elapsed(), ground.name(), played.rows.len(), scenario.title);
            played
        })
        .collect()
}

#[test]
fn a_death_at_any_point_neither_doubles_nor_loses_a_charge() {
    let (on_sqlite, on_postgres) = std::thread::scope(|scope| {
        let postgres = scope.spawn(|| play_all(&mut Postgres::new()));
        let sqlite = play_all(&mut Sqlite::new());
        (sqlite, postgres.join().unwrap())
    });
    let played: Vec<Vec<Played>> = on_sqlite.into_iter().zip(on_postgres).map(|(one, other)| vec![one, other]).collect();
    for row in played.iter().flatten().flat_map(|it| &it.rows) {
        assert!(!row.doubled && !row.lost && row.breaches.is_empty(), "{row:#?}");
    }
    let text = table::markdown(&played);
    if std::env::var_os("DUES_WRITE_TABLES").is_some() {
        std::fs::write(TABLE, &text).unwrap();
    }
    let kept = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(kept == text, "docs/crash-points.md is outdated: `DUES_WRITE_TABLES=1 cargo test --test crash_points` writes it anew");
}
