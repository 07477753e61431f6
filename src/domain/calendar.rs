//! When periods begin and end: civil dates counted from an anchor, turned into instants by a zone's rules.
//! What is charged for a period, and whether a late one still is, is decided elsewhere.

mod interval;
#[cfg(test)]
mod properties;
mod schedule;
mod zone;

use std::path::PathBuf;

use chrono::NaiveDate;

pub use interval::{Interval, IntervalUnit};
pub use schedule::{Period, Schedule, Segment};
pub use zone::{Zone, ZoneDatabase, days_after_at_hour, instant_of, local_date, local_date_time};

/// Why a calendar question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// A name under which the time zone database holds no rules.
    #[error(
        "{name:?} is not a time zone known here: write an IANA name such as Asia/Hong_Kong or UTC, \
         and check that the tzdata package is installed"
    )]
    UnknownZone {
        /// The name as it was written.
        name: String,
    },
    /// A name whose rules are only an offset, or which stands outside the IANA areas.
    #[error("{name:?} names no place: write an IANA name of area and place, such as Asia/Hong_Kong, or UTC")]
    NotAPlace {
        /// The name as it was written.
        name: String,
    },
    /// A directory that holds no time zone database.
    #[error("{} holds no compiled time zones: install tzdata or name its directory", path.display())]
    NoZoneDatabase {
        /// The directory that was read.
        path: PathBuf,
    },
    /// An hour that no day has.
    #[error("{hour} is not an hour of the day: write 0 to 23")]
    NotAnHour {
        /// The hour as it was given.
        hour: u8,
    },
    /// A text that is no unit of time.
    #[error("{text:?} is not a unit: write day, week, month or year")]
    NotAUnit {
        /// The text as it was written.
        text: String,
    },
    /// A text that is no interval.
    #[error("{text:?} is not an interval: write a whole number from 1 and a unit, such as 1 month or 2 weeks")]
    NotAnInterval {
        /// The text as it was written.
        text: String,
    },
    /// A local time whose instant no calendar here can hold.
    #[error("{on} at {hour}:00 in {zone} lies outside the years that the calendar can hold")]
    InstantOutOfRange {
        /// The local date.
        on: NaiveDate,
        /// The local hour.
        hour: u8,
        /// The zone's name.
        zone: Zone,
    },
    /// A start so far from its anchor that it is no date.
    #[error("period {index}, counted in steps of {interval} from {anchor_on}, overflows the calendar")]
    StartOverflows {
        /// The period's index.
        index: i64,
        /// The anchor of the period's segment.
        anchor_on: NaiveDate,
        /// The interval of the period's segment.
        interval: Interval,
    },
    /// A number of days that leads to no date.
    #[error("{days} days after {from_on} overflows the calendar")]
    DaysOverflow {
        /// The local date counted from.
        from_on: NaiveDate,
        /// The days counted.
        days: u32,
    },
    /// An index that cannot be followed by another.
    #[error("period {index} has no successor: the index overflows")]
    IndexOverflows {
        /// The index.
        index: i64,
    },
    /// A period from before the schedule.
    #[error("period {index} lies before the schedule, which begins with period {first_index}")]
    BeforeSchedule {
        /// The index asked for.
        index: i64,
        /// The schedule's first.
        first_index: i64,
    },
    /// A schedule needs a segment to count from.
    #[error("a schedule needs at least one segment")]
    NoSegment,
    /// A segment that does not follow the one before it.
    #[error(
        "the segment from period {first_index} on, anchored on {anchor_on}, does not begin after the last period \
         of the segment before it"
    )]
    SegmentOutOfOrder {
        /// The first index of the segment refused.
        first_index: i64,
        /// Its anchor.
        anchor_on: NaiveDate,
    },
}
