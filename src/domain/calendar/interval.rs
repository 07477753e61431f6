//! The interval between two periods: a count of days, weeks, months or years.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use chrono::{Days, Months, NaiveDate};

use super::CalendarError;

/// What an interval counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntervalUnit {
    /// Civil days, whatever their length in hours.
    Day,
    /// Seven civil days.
    Week,
    /// Civil months.
    Month,
    /// Twelve civil months.
    Year,
}

/// How far apart two periods start. `Display` writes `1 month`, `2 weeks`; `FromStr` reads it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    /// What is counted.
    pub unit: IntervalUnit,
    /// How many of it; one or more.
    pub count: NonZeroU32,
}

impl IntervalUnit {
    /// The word for one of them: `day`, `week`, `month`, `year`.
    pub fn as_str(self) -> &'static str {
        match self {
            IntervalUnit::Day => "day",
            IntervalUnit::Week => "week",
            IntervalUnit::Month => "month",
            IntervalUnit::Year => "year",
        }
    }
}

impl Interval {
    /// An interval of `count` units.
    pub fn new(unit: IntervalUnit, count: NonZeroU32) -> Self {
        Interval { unit, count }
    }

    /// The date `steps` intervals after `anchor_on`; none where there is no such date.
    ///
    /// A month without the anchor's day gives its last day. The count starts at the anchor every time,
    /// so that the anchor's day comes back in the months that have it.
    pub(super) fn after(self, anchor_on: NaiveDate, steps: i64) -> Option<NaiveDate> {
        let units = u64::try_from(steps).ok()?.checked_mul(u64::from(self.count.get()))?;
        match self.unit {
            IntervalUnit::Day => anchor_on.checked_add_days(Days::new(units)),
            IntervalUnit::Week => anchor_on.checked_add_days(Days::new(units.checked_mul(7)?)),
            IntervalUnit::Month => anchor_on.checked_add_months(Months::new(u32::try_from(units).ok()?)),
            IntervalUnit::Year => {
                anchor_on.checked_add_months(Months::new(u32::try_from(units.checked_mul(12)?).ok()?))
            }
        }
    }
}

impl fmt::Display for IntervalUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IntervalUnit {
    type Err = CalendarError;
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        match text {
            "day" | "days" => Ok(IntervalUnit::Day),
            "week" | "weeks" => Ok(IntervalUnit::Week),
            "month" | "months" => Ok(IntervalUnit::Month),
            "year" | "years" => Ok(IntervalUnit::Year),
            _ => Err(CalendarError::NotAUnit { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == NonZeroU32::MIN { "" } else { "s" };
        write!(f, "{} {}{plural}", self.count, self.unit)
    }
}

impl FromStr for Interval {
    type Err = CalendarError;
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let refused = || CalendarError::NotAnInterval { text: text.to_owned() };
        let (count, unit) = text.trim().split_once(' ').ok_or_else(refused)?;
        // A sign is refused here because the integer parser would take "+1".
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        Ok(Interval {
            unit: unit.trim_start().parse().map_err(|_| refused())?,
            count: count.parse().map_err(|_| refused())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_reads_back_as_it_is_written() {
        for text in ["1 day", "2 weeks", "1 month", "3 months", "1 year", "4294967295 days"] {
            assert_eq!(text.parse::<Interval>().unwrap().to_string(), text);
        }
        assert_eq!("1 months".parse::<Interval>(), "1 month".parse());
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for text in
            ["", "month", "0 months", "-1 month", "+1 month", "1", "1 fortnight", "1.5 months", "4294967296 days"]
        {
            assert_eq!(text.parse::<Interval>(), Err(CalendarError::NotAnInterval { text: text.to_owned() }));
        }
    }

    #[test]
    fn a_step_beyond_the_calendar_is_none() {
        let anchor_on = "2026-01-31".parse().unwrap();
        for text in ["1 day", "1 week", "1 month", "1 year"] {
            let interval: Interval = text.parse().unwrap();
            assert_eq!(interval.after(anchor_on, i64::MAX), None);
            assert_eq!(interval.after(anchor_on, i64::from(u32::MAX)), None);
            assert_eq!(interval.after(anchor_on, -1), None);
        }
    }
}
