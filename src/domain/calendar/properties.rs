//! Properties of schedules that must hold for every anchor, interval and zone. Dates proven right one by one are the
//! business of the oracle in `tests/calendar.rs`.

use chrono::{Datelike, Days, NaiveDate};
use proptest::prelude::*;

use super::{IntervalUnit, Schedule, Segment};

/// Zones with a gap of an hour, of half an hour, with none, with negative daylight saving, and with both kinds of years.
/// None of them has skipped a whole day.
const ZONES: [&str; 5] = ["America/New_York", "Australia/Lord_Howe", "Asia/Hong_Kong", "Europe/Dublin", "Asia/Tehran"];
const UNITS: [&str; 4] = ["day", "week", "month", "year"];

fn any_segment() -> impl Strategy<Value = Segment> {
    let place = (prop::sample::select(&ZONES[..]), prop::sample::select(&UNITS[..]));
    (-100i64..100, 0u64..25_000, 0u8..24, place, 1u32..8).prop_map(|(first_index, days, hour, (zone, unit), count)| {
        Segment {
            first_index,
            anchor_on: NaiveDate::default() + Days::new(days),
            hour,
            zone: zone.parse().unwrap(),
            interval: format!("{count} {unit}").parse().unwrap(),
        }
    })
}

proptest! {
    #[test]
    fn starts_increase_and_periods_join(segment in any_segment(), steps in 0i64..200) {
        let index = segment.first_index + steps;
        let schedule = Schedule::new(vec![segment]).unwrap();
        let (this, next) = (schedule.period(index).unwrap(), schedule.period(index + 1).unwrap());
        prop_assert!(this.start_on < next.start_on && this.start_at < next.start_at);
        prop_assert_eq!((this.end_on, this.end_at), (next.start_on, next.start_at));
    }

    #[test]
    fn a_start_never_drifts_from_the_anchors_day(segment in any_segment(), steps in 0i64..200) {
        prop_assume!(matches!(segment.interval.unit, IntervalUnit::Month | IntervalUnit::Year));
        let anchor_on = segment.anchor_on;
        let index = segment.first_index + steps;
        let start_on = Schedule::new(vec![segment]).unwrap().start_on(index).unwrap();
        prop_assert_eq!(start_on.day(), anchor_on.day().min(u32::from(start_on.num_days_in_month())));
    }

    #[test]
    fn a_start_finds_its_index_back(segment in any_segment(), steps in 0i64..200) {
        let index = segment.first_index + steps;
        let schedule = Schedule::new(vec![segment]).unwrap();
        let start_on = schedule.start_on(index).unwrap();
        prop_assert_eq!(schedule.index_starting_on(start_on), Some(index));
        prop_assert_eq!(schedule.index_at_or_after(start_on.succ_opt().unwrap()), Some(index + 1));
    }

    #[test]
    fn a_later_segment_keeps_starts_increasing(old in any_segment(), new in any_segment(), steps in 1i64..50) {
        let first_index = old.first_index + steps;
        let new = Segment { first_index, ..new };
        if let Ok(schedule) = Schedule::new(vec![old, new]) {
            for index in schedule.first_index()..first_index + 2 {
                let period = schedule.period(index).unwrap();
                prop_assert!(period.start_on < period.end_on && period.start_at < period.end_at);
                prop_assert_eq!(schedule.index_starting_on(period.start_on), Some(index));
            }
        }
    }
}
