//! The calendar against an oracle: 10,000 random schedules whose every occurrence in ten years was computed by
//! python-dateutil and zoneinfo (`calendar/generate.py`), from the same time zone files as are read here.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking")]

use std::path::{Path, PathBuf};

use chrono::{DateTime, Months, NaiveDate};
use dues::domain::calendar::{Interval, Schedule, Segment, ZoneDatabase, instant_of, local_date};

/// The occurrences checked are those that start within so many years of the anchor.
const YEARS: u32 = 10;
/// The checksums are taken modulo a Mersenne prime, so that they fit in 64 bits.
const MODULUS: i128 = (1 << 61) - 1;

/// One line of the oracle.
struct Row {
    anchor_on: NaiveDate,
    zone: String,
    hour: u8,
    interval: Interval,
    /// Indexes and the seconds since 1970 at which these periods start.
    samples: Vec<(i64, i64)>,
    occurrences: i64,
    checksum: i128,
}

#[test]
fn every_occurrence_of_ten_thousand_schedules_is_the_oracles() {
    let zones = pinned_zones();
    let rows = oracle();
    assert_eq!(rows.len(), 10_000, "rows in the oracle");
    let mut occurrences = 0;
    let different: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            occurrences += row.occurrences;
            let schedule = schedule(row, &zones);
            let expected = (row.samples.clone(), row.occurrences, row.checksum);
            let found = answers(row, &schedule);
            (found != expected).then(|| format!("{}: {found:?}, expected {expected:?}", described(row)))
        })
        .collect();
    assert_eq!(different.len(), 0, "of {} schedules differ:\n{}", rows.len(), different.join("\n"));
    assert!(occurrences > 1_000_000, "only {occurrences} occurrences were checked");
}

#[test]
fn every_sampled_start_finds_its_index_back() {
    let zones = pinned_zones();
    for row in oracle() {
        let schedule = schedule(&row, &zones);
        for (index, _) in &row.samples {
            let start_on = schedule.start_on(*index).unwrap();
            assert_eq!(schedule.index_starting_on(start_on), Some(*index), "{}", described(&row));
        }
    }
}

#[test]
fn an_instant_made_from_a_date_falls_on_that_date_unless_the_zone_skipped_it() {
    let zones = pinned_zones();
    // Noon is skipped only where a whole day is.
    let skipped =
        [("Pacific/Apia", "2011-12-30"), ("Pacific/Kiritimati", "1994-12-31"), ("Pacific/Kwajalein", "1993-08-21")];
    for (name, on) in skipped {
        let (zone, on) = (zones.get(name).unwrap(), on.parse::<NaiveDate>().unwrap());
        assert_eq!(Some(local_date(&zone, instant_of(&zone, on, 12).unwrap())), on.succ_opt(), "{name}");
    }
    for row in oracle() {
        if !skipped.contains(&(row.zone.as_str(), row.anchor_on.to_string().as_str())) {
            let zone = zones.get(&row.zone).unwrap();
            let noon = instant_of(&zone, row.anchor_on, 12).unwrap();
            assert_eq!(local_date(&zone, noon), row.anchor_on, "{}", described(&row));
        }
    }
}

/// What the calendar says where the oracle spoke.
fn answers(row: &Row, schedule: &Schedule) -> (Vec<(i64, i64)>, i64, i128) {
    let second_of = |index| schedule.start_of(index).unwrap().timestamp();
    let samples = row.samples.iter().map(|(index, _)| (*index, second_of(*index))).collect();
    let end_on = row.anchor_on + Months::new(12 * YEARS);
    let (mut index, mut checksum) = (0, 0);
    while schedule.start_on(index).unwrap() < end_on {
        checksum += i128::from(index + 1) * i128::from(second_of(index));
        index += 1;
    }
    (samples, index, checksum.rem_euclid(MODULUS))
}

fn schedule(row: &Row, zones: &ZoneDatabase) -> Schedule {
    Schedule::new(vec![Segment {
        first_index: 0,
        anchor_on: row.anchor_on,
        hour: row.hour,
        zone: zones.get(&row.zone).unwrap(),
        interval: row.interval,
    }])
    .unwrap()
}

fn described(row: &Row) -> String {
    let first = row.samples.first().and_then(|(_, second)| DateTime::from_timestamp(*second, 0));
    format!("{} {}:00 {} every {} (first sample {first:?})", row.anchor_on, row.hour, row.zone, row.interval)
}

fn oracle() -> Vec<Row> {
    let mut reader = csv::Reader::from_path(beside_this_test("oracle.csv")).unwrap();
    reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            let sample = |text: &str| {
                let (index, second) = text.split_once('=').unwrap();
                (index.parse().unwrap(), second.parse().unwrap())
            };
            Row {
                anchor_on: record[0].parse().unwrap(),
                zone: record[1].to_owned(),
                hour: record[2].parse().unwrap(),
                interval: format!("{} {}", &record[4], &record[3]).parse().unwrap(),
                samples: record[5].split(' ').map(sample).collect(),
                occurrences: record[6].parse().unwrap(),
                checksum: record[7].parse().unwrap(),
            }
        })
        .collect()
}

fn pinned_zones() -> ZoneDatabase {
    ZoneDatabase::from_dir(&beside_this_test("zoneinfo")).unwrap()
}

fn beside_this_test(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calendar").join(name)
}
