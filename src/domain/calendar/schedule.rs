//! A subscription's schedule: which period begins when. A plan change adds a segment; the index never restarts.

use chrono::NaiveDate;

use super::{CalendarError, Interval, Zone, instant_of};
use crate::clock::Instant;

/// A stretch of a schedule with one anchor, hour, zone and interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The index of the segment's first period.
    pub first_index: i64,
    /// The local date on which that period starts, and from which all later ones are counted.
    pub anchor_on: NaiveDate,
    /// The local hour of every start, 0 to 23.
    pub hour: u8,
    /// The zone that `anchor_on` and `hour` are local to.
    pub zone: Zone,
    /// How far apart the starts are.
    pub interval: Interval,
}

/// One period: from its start up to, not including, the start of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its place in the schedule.
    pub index: i64,
    /// The local date of its start.
    pub start_on: NaiveDate,
    /// The local date of its end, which is the next period's start.
    pub end_on: NaiveDate,
    /// Its first instant.
    pub start_at: Instant,
    /// The first instant after it.
    pub end_at: Instant,
}

/// A subscription's segments, in order; at least one. The last has no end.
///
/// Starts increase from period to period. Only where a zone skips a whole day (Samoa, 30 December 2011) can a daily
/// period be of no length: it starts at the instant at which the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    first: Segment,
    later: Vec<Segment>,
}

impl Schedule {
    /// A schedule of these segments.
    ///
    /// # Errors
    /// [`CalendarError::NoSegment`]; [`CalendarError::SegmentOutOfOrder`] where a segment's first index or anchor does
    /// not lie after the last period of the segment before it; [`CalendarError::NotAnHour`] and the overflows where a
    /// segment's own anchor is no instant.
    pub fn new(segments: Vec<Segment>) -> Result<Self, CalendarError> {
        let mut segments = segments.into_iter();
        let first = segments.next().ok_or(CalendarError::NoSegment)?;
        first.start_of(first.first_index)?;
        let later: Vec<Segment> = segments.collect();
        let mut before = &first;
        for segment in &later {
            let out_of_order =
                || CalendarError::SegmentOutOfOrder { first_index: segment.first_index, anchor_on: segment.anchor_on };
            if segment.first_index <= before.first_index {
                return Err(out_of_order());
            }
            // Both the dates and the instants must increase: a change of zone can turn round one without the other.
            let last = segment.first_index - 1;
            if segment.anchor_on <= before.start_on(last)?
                || segment.start_of(segment.first_index)? <= before.start_of(last)?
            {
                return Err(out_of_order());
            }
            before = segment;
        }
        Ok(Schedule { first, later })
    }

    /// The segments, in order.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The index of the schedule's first period.
    pub fn first_index(&self) -> i64 {
        self.first.first_index
    }

    /// The segment that period `index` is counted in.
    ///
    /// # Errors
    /// [`CalendarError::BeforeSchedule`].
    pub fn segment_of(&self, index: i64) -> Result<&Segment, CalendarError> {
        let first_index = self.first_index();
        if index < first_index {
            return Err(CalendarError::BeforeSchedule { index, first_index });
        }
        let begun = self.later.partition_point(|segment| segment.first_index <= index);
        Ok(begun.checked_sub(1).map_or(&self.first, |place| &self.later[place]))
    }

    /// The local date on which period `index` starts.
    ///
    /// # Errors
    /// [`CalendarError::BeforeSchedule`], [`CalendarError::StartOverflows`].
    pub fn start_on(&self, index: i64) -> Result<NaiveDate, CalendarError> {
        self.segment_of(index)?.start_on(index)
    }

    /// The instant at which period `index` starts.
    ///
    /// # Errors
    /// Those of [`Schedule::start_on`] and [`instant_of`].
    pub fn start_of(&self, index: i64) -> Result<Instant, CalendarError> {
        self.segment_of(index)?.start_of(index)
    }

    /// Period `index`. Its end is the next period's start, so that a new segment cuts the old one short, or lengthens it.
    ///
    /// # Errors
    /// Those of [`Schedule::start_of`], for this period and the next; [`CalendarError::IndexOverflows`].
    pub fn period(&self, index: i64) -> Result<Period, CalendarError> {
        let next = index.checked_add(1).ok_or(CalendarError::IndexOverflows { index })?;
        Ok(Period {
            index,
            start_on: self.start_on(index)?,
            end_on: self.start_on(next)?,
            start_at: self.start_of(index)?,
            end_at: self.start_of(next)?,
        })
    }

    /// The periods from `from_index` on that have begun by `now`, oldest first, at most `limit`.
    ///
    /// An index before the schedule means the schedule's first.
    ///
    /// # Errors
    /// Those of [`Schedule::period`].
    pub fn begun_by(&self, from_index: i64, now: Instant, limit: usize) -> Result<Vec<Period>, CalendarError> {
        let mut begun = Vec::new();
        let mut index = from_index.max(self.first_index());
        while begun.len() < limit {
            let period = self.period(index)?;
            if period.start_at > now {
                break;
            }
            begun.push(period);
            index = index.checked_add(1).ok_or(CalendarError::IndexOverflows { index })?;
        }
        Ok(begun)
    }

    /// The first period that starts on `on` or later; none where the calendar ends before.
    pub fn index_at_or_after(&self, on: NaiveDate) -> Option<i64> {
        let mut segments = self.segments().peekable();
        while let Some(segment) = segments.next() {
            let index = segment.index_at_or_after(on);
            match segments.peek() {
                // The index belongs to a later segment, which may start before or after `on`.
                Some(next) if index.is_none_or(|index| index >= next.first_index) => {}
                _ => return index,
            }
        }
        None
    }

    /// The period that starts exactly on `on`, if one does.
    pub fn index_starting_on(&self, on: NaiveDate) -> Option<i64> {
        self.index_at_or_after(on).filter(|index| self.start_on(*index) == Ok(on))
    }
}

impl Segment {
    fn start_on(&self, index: i64) -> Result<NaiveDate, CalendarError> {
        index
            .checked_sub(self.first_index)
            .and_then(|steps| self.interval.after(self.anchor_on, steps))
            .ok_or(CalendarError::StartOverflows { index, anchor_on: self.anchor_on, interval: self.interval })
    }

    fn start_of(&self, index: i64) -> Result<Instant, CalendarError> {
        instant_of(&self.zone, self.start_on(index)?, self.hour)
    }

    /// The first index of this segment, were it endless, whose start is `on` or later.
    fn index_at_or_after(&self, on: NaiveDate) -> Option<i64> {
        let days = (on - self.anchor_on).num_days().max(0);
        // Every interval is a day or longer, so that many steps reach `on`; between, the starts increase.
        let (mut below, mut above) = (0, days);
        while below < above {
            let middle = below + (above - below) / 2;
            match self.interval.after(self.anchor_on, middle) {
                Some(start_on) if start_on < on => below = middle + 1,
                _ => above = middle,
            }
        }
        self.interval.after(self.anchor_on, below)?;
        self.first_index.checked_add(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn segment(first_index: i64, anchor: &str, hour: u8, zone: &str, interval: &str) -> Segment {
        Segment {
            first_index,
            anchor_on: date(anchor),
            hour,
            zone: zone.parse().unwrap(),
            interval: interval.parse().unwrap(),
        }
    }

    fn monthly(anchor: &str) -> Schedule {
        Schedule::new(vec![segment(0, anchor, 10, "Asia/Hong_Kong", "1 month")]).unwrap()
    }

    #[test]
    fn starts_are_counted_from_the_anchor_and_clamped() {
        let table = [
            ("2026-01-31", "1 month", "2026-02-28 2026-03-31 2026-04-30 2026-05-31"),
            ("2028-01-31", "1 month", "2028-02-29 2028-03-31 2028-04-30 2028-05-31"),
            ("2026-01-30", "1 month", "2026-02-28 2026-03-30 2026-04-30 2026-05-30"),
            ("2025-11-30", "3 months", "2026-02-28 2026-05-30 2026-08-30 2026-11-30"),
            ("2024-02-29", "1 year", "2025-02-28 2026-02-28 2027-02-28 2028-02-29"),
            ("2026-12-30", "2 days", "2027-01-01 2027-01-03 2027-01-05 2027-01-07"),
            ("2026-12-30", "1 week", "2027-01-06 2027-01-13 2027-01-20 2027-01-27"),
        ];
        for (anchor, interval, expected) in table {
            let schedule = Schedule::new(vec![segment(7, anchor, 10, "UTC", interval)]).unwrap();
            let starts: Vec<_> = (8..=11).map(|index| schedule.start_on(index).unwrap().to_string()).collect();
            assert_eq!(starts.join(" "), expected, "{anchor} + {interval}");
            assert_eq!(schedule.start_on(7), Ok(date(anchor)));
        }
    }

    #[test]
    fn a_period_ends_where_the_next_begins() {
        let period = monthly("2026-01-31").period(1).unwrap();
        assert_eq!((period.start_on, period.end_on), (date("2026-02-28"), date("2026-03-31")));
        assert_eq!(period.start_at.to_rfc3339(), "2026-02-28T02:00:00+00:00");
        assert_eq!(period.end_at.to_rfc3339(), "2026-03-31T02:00:00+00:00");
    }

    #[test]
    fn a_new_segment_cuts_the_old_one_and_the_index_goes_on() {
        let schedule = Schedule::new(vec![
            segment(0, "2026-01-31", 10, "Asia/Hong_Kong", "1 month"),
            segment(2, "2026-03-15", 9, "Europe/London", "1 year"),
        ])
        .unwrap();
        let cut = schedule.period(1).unwrap();
        assert_eq!((cut.start_on, cut.end_on), (date("2026-02-28"), date("2026-03-15")));
        assert_eq!(cut.end_at.to_rfc3339(), "2026-03-15T09:00:00+00:00");
        assert_eq!(schedule.start_on(3), Ok(date("2027-03-15")));
        assert_eq!(schedule.segment_of(1).unwrap().hour, 10);
        assert_eq!(schedule.segments().count(), 2);
    }

    #[test]
    fn segments_out_of_order_are_refused() {
        assert_eq!(Schedule::new(vec![]), Err(CalendarError::NoSegment));
        let table = [
            // The same index twice; an anchor on, and one before, the last period of the old segment.
            (0, "2026-03-15", 10, "Asia/Hong_Kong"),
            (2, "2026-02-28", 10, "Asia/Hong_Kong"),
            (2, "2026-02-01", 10, "Asia/Hong_Kong"),
            // A later date, but for its zone an earlier instant.
            (2, "2026-03-01", 0, "Pacific/Kiritimati"),
        ];
        for (first_index, anchor, hour, zone) in table {
            let segments = vec![
                segment(0, "2026-01-31", 22, "America/New_York", "1 month"),
                segment(first_index, anchor, hour, zone, "1 month"),
            ];
            let refused = CalendarError::SegmentOutOfOrder { first_index, anchor_on: date(anchor) };
            assert_eq!(Schedule::new(segments), Err(refused), "{first_index} {anchor}");
        }
        let hourless = Schedule::new(vec![segment(0, "2026-01-31", 24, "UTC", "1 month")]);
        assert_eq!(hourless, Err(CalendarError::NotAnHour { hour: 24 }));
    }

    #[test]
    fn only_periods_that_have_begun_are_listed_and_no_more_than_asked_for() {
        let schedule = monthly("2026-01-31");
        let indexes = |from, now: &str, limit| -> Vec<i64> {
            schedule.begun_by(from, now.parse().unwrap(), limit).unwrap().iter().map(|period| period.index).collect()
        };
        assert_eq!(indexes(0, "2026-01-31T01:59:59.999999Z", 9), [0; 0]);
        assert_eq!(indexes(0, "2026-01-31T02:00:00Z", 9), [0]);
        assert_eq!(indexes(-5, "2026-03-31T02:00:00Z", 9), [0, 1, 2]);
        assert_eq!(indexes(1, "2026-03-31T02:00:00Z", 9), [1, 2]);
        assert_eq!(indexes(1, "2026-12-31T02:00:00Z", 2), [1, 2]);
        assert_eq!(indexes(1, "2026-12-31T02:00:00Z", 0), [0; 0]);
    }

    #[test]
    fn a_date_finds_its_period() {
        let schedule = Schedule::new(vec![
            segment(3, "2026-01-31", 10, "Asia/Hong_Kong", "1 month"),
            segment(5, "2026-04-15", 10, "Asia/Hong_Kong", "1 week"),
        ])
        .unwrap();
        let table = [
            ("2020-01-01", Some(3), None),
            ("2026-01-31", Some(3), Some(3)),
            ("2026-02-01", Some(4), None),
            ("2026-02-28", Some(4), Some(4)),
            // The old segment would have started one here; the new one has cut it off.
            ("2026-03-31", Some(5), None),
            ("2026-04-15", Some(5), Some(5)),
            ("2026-04-16", Some(6), None),
            ("2027-04-14", Some(57), Some(57)),
        ];
        for (on, after, exact) in table {
            assert_eq!(schedule.index_at_or_after(date(on)), after, "{on}");
            assert_eq!(schedule.index_starting_on(date(on)), exact, "{on}");
        }
        assert_eq!(schedule.index_at_or_after(NaiveDate::MAX), None);
    }

    #[test]
    fn what_overflows_is_named() {
        let schedule = monthly("2026-01-31");
        assert_eq!(schedule.start_on(-1), Err(CalendarError::BeforeSchedule { index: -1, first_index: 0 }));
        assert_eq!(schedule.period(i64::MAX), Err(CalendarError::IndexOverflows { index: i64::MAX }));
        let far = i64::from(u32::MAX);
        let overflow = schedule.start_on(far).unwrap_err();
        assert_eq!(
            overflow.to_string(),
            "period 4294967295, counted in steps of 1 month from 2026-01-31, overflows the calendar"
        );
        assert!(matches!(schedule.start_of(12 * 9000), Err(CalendarError::InstantOutOfRange { .. })));
    }
}
