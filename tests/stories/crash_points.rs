//! The process is ended at every point of the charging path, on both databases, and the next start makes it good. What came of each is
//! kept in `docs/crash-points.md`; `DUES_WRITE_TABLES=1 cargo test --test stories crash_points` writes it anew.

mod grounds;

use std::sync::atomic::{AtomicUsize, Ordering};

use dues::simulation::Broken;
use dues::simulation::crash_points::{Ground, Played, Scenario, play, set_up, table};
use grounds::{Postgres, Sqlite};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/crash-points.md");

/// Plays scenarios on grounds of their own, two at a time, because much of it is waiting.
fn play_all<G: Ground>(new: fn() -> G) -> Vec<Played> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut ground = new();
        set_up(&mut ground).unwrap();
        let mut played = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::SeqCst);
            let Some(scenario) = Scenario::ALL.get(place) else { return played };
            let rows = play(scenario, &mut ground, None).unwrap();
            if let Some(row) = rows.rows.iter().find(|it| it.doubled || it.lost || !it.breaches.is_empty()) {
                next.store(Scenario::ALL.len(), Ordering::SeqCst);
                panic!("{} on {}: {row:#?}", scenario.title, ground.name());
            }
            played.push((place, rows));
        }
    };
    let mut played = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut played = work();
        played.extend(other.join().unwrap());
        played
    });
    played.sort_by_key(|(place, _)| *place);
    played.into_iter().map(|(_, played)| played).collect()
}

#[test]
fn a_death_at_any_point_neither_doubles_nor_loses_a_charge() {
    let (on_sqlite, on_postgres) = std::thread::scope(|scope| {
        let postgres = scope.spawn(|| play_all(Postgres::new));
        (play_all(Sqlite::new), postgres.join().unwrap())
    });
    let played: Vec<Vec<Played>> =
        on_sqlite.into_iter().zip(on_postgres).map(|(one, other)| vec![one, other]).collect();
    let text = table::markdown(&played);
    if std::env::var_os("DUES_WRITE_TABLES").is_some() {
        std::fs::write(TABLE, &text).unwrap();
    }
    let kept = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(
        kept == text,
        "docs/crash-points.md is outdated: `DUES_WRITE_TABLES=1 cargo test --test stories crash_points` writes it anew"
    );
}

/// The table bites: dues that finds nothing when it looks charges twice, and its rows say so.
#[test]
fn a_death_under_blind_look_ups_is_a_double_that_is_seen() {
    let mut ground = Sqlite::new();
    set_up(&mut ground).unwrap();
    let hidden = Scenario::ALL.iter().find(|it| it.title == "An error after the effect").unwrap();
    let played = play(hidden, &mut ground, Some(Broken::BlindLookUps)).unwrap();
    assert!(played.rows.iter().filter(|row| row.doubled).count() > 10, "{:#?}", played.rows);
    assert!(table::markdown(&[vec![played]]).contains("BROKEN: a period is charged once"));
}
