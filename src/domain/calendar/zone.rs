//! Time zones by their IANA names, and the one place where a local time becomes an instant.
//! The rules come from the system's database and never from one compiled in, which would age with the program.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta};
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::CalendarError;
use crate::clock::Instant;

/// A time zone that the database knows. Cheap to clone; equal by name, because rules may be updated under a name.
#[derive(Clone)]
pub struct Zone {
    name: Arc<str>,
    rules: TimeZone,
}

/// Where the rules of time zones are read from.
#[derive(Debug, Clone)]
pub struct ZoneDatabase(TimeZoneDatabase);

/// The instant at which `on` reaches `hour` o'clock in `zone`.
///
/// A local time that a zone skips moves later by the length of the gap; one that a zone repeats is the earlier.
/// This is RFC 5545's rule and Python's `fold=0`. Nothing else in the program turns a local time into an instant.
///
/// # Errors
/// [`CalendarError::NotAnHour`] where `hour` exceeds 23, [`CalendarError::InstantOutOfRange`] outside the years ±9999.
pub fn instant_of(zone: &Zone, on: NaiveDate, hour: u8) -> Result<Instant, CalendarError> {
    if hour > 23 {
        return Err(CalendarError::NotAnHour { hour });
    }
    local_time(on, hour)
        .and_then(|local| zone.rules.to_timestamp(local).ok())
        .and_then(|timestamp| DateTime::from_timestamp(timestamp.as_second(), 0))
        .ok_or_else(|| CalendarError::InstantOutOfRange { on, hour, zone: zone.clone() })
}

/// The date that the calendars in `zone` show at `instant`.
pub fn local_date(zone: &Zone, instant: Instant) -> NaiveDate {
    local_date_time(zone, instant).date()
}

/// The date and time that the clocks in `zone` show at `instant`.
pub fn local_date_time(zone: &Zone, instant: Instant) -> NaiveDateTime {
    // Outside the years that have rules the nearest rule holds, so that every instant has a date.
    let second = instant.timestamp().clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let timestamp = Timestamp::from_second(second).expect("a clamped second lies within the range it was clamped to");
    let offset = TimeDelta::seconds(i64::from(zone.rules.to_offset(timestamp).seconds()));
    let utc = instant.naive_utc();
    utc.checked_add_signed(offset).unwrap_or(utc)
}

/// The instant `hour` o'clock in `zone`, `days` civil days after the local date of `from`.
///
/// # Errors
/// [`CalendarError::DaysOverflow`], and those of [`instant_of`].
pub fn days_after_at_hour(zone: &Zone, from: Instant, days: u32, hour: u8) -> Result<Instant, CalendarError> {
    let from_on = local_date(zone, from);
    let on =
        from_on.checked_add_days(Days::new(u64::from(days))).ok_or(CalendarError::DaysOverflow { from_on, days })?;
    instant_of(zone, on, hour)
}

fn local_time(on: NaiveDate, hour: u8) -> Option<civil::DateTime> {
    let year = i16::try_from(on.year()).ok()?;
    let month = i8::try_from(on.month()).ok()?;
    let day = i8::try_from(on.day()).ok()?;
    civil::DateTime::new(year, month, day, i8::try_from(hour).ok()?, 0, 0, 0).ok()
}

impl ZoneDatabase {
    /// The system's: `TZDIR` where it is set, else `/usr/share/zoneinfo` and its usual alternatives.
    pub fn system() -> Self {
        ZoneDatabase(jiff::tz::db().clone())
    }

    /// The compiled zones (TZif, RFC 9636) in a directory, for tests that must not depend on the machine.
    ///
    /// # Errors
    /// [`CalendarError::NoZoneDatabase`] where the directory holds none.
    pub fn from_dir(path: &Path) -> Result<Self, CalendarError> {
        TimeZoneDatabase::from_dir(path)
            .map(ZoneDatabase)
            .map_err(|_| CalendarError::NoZoneDatabase { path: path.to_owned() })
    }

    /// The zone of that IANA name, in the spelling of the database: `asia/hong_kong` gives `Asia/Hong_Kong`.
    ///
    /// Offsets in disguise are refused: `Etc/GMT-8` lies east of Greenwich, which nobody means who writes it, and
    /// knows no daylight saving. So are `right/…`, which counts leap seconds, and names without an area, which
    /// stand in the database for the sake of old programs.
    ///
    /// # Errors
    /// [`CalendarError::NotAPlace`], [`CalendarError::UnknownZone`].
    pub fn get(&self, name: &str) -> Result<Zone, CalendarError> {
        if !may_name_a_place(name) {
            return Err(CalendarError::NotAPlace { name: name.to_owned() });
        }
        let unknown = || CalendarError::UnknownZone { name: name.to_owned() };
        let rules = self.0.get(name).map_err(|_| unknown())?;
        let name = Arc::from(rules.iana_name().ok_or_else(unknown)?);
        Ok(Zone { name, rules })
    }
}

/// Whether a name has an area and a place, or is one of UTC's two.
fn may_name_a_place(name: &str) -> bool {
    if name.eq_ignore_ascii_case("UTC") || name.eq_ignore_ascii_case("Etc/UTC") {
        return true;
    }
    let not_areas = ["etc", "posix", "right", "systemv"];
    name.split_once('/').is_some_and(|(area, place)| {
        let clean = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/');
        !place.is_empty()
            && area.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(clean)
            && !not_areas.iter().any(|other| area.eq_ignore_ascii_case(other))
    })
}

impl Zone {
    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Zone {
    type Err = CalendarError;
    fn from_str(name: &str) -> Result<Self, CalendarError> {
        ZoneDatabase::system().get(name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn instant(text: &str) -> Instant {
        text.parse().unwrap()
    }

    #[test]
    fn a_local_hour_becomes_one_instant() {
        let table = [
            ("Asia/Hong_Kong", "2026-11-23", 10, "2026-11-23T02:00:00Z"),
            ("UTC", "2026-11-23", 0, "2026-11-23T00:00:00Z"),
            ("Asia/Kathmandu", "2026-11-23", 0, "2026-11-22T18:15:00Z"),
            // New York skips 02:00 to 03:00 that day: 02:00 becomes 03:00 daylight time.
            ("America/New_York", "2025-03-09", 2, "2025-03-09T07:00:00Z"),
            // And repeats 01:00 to 02:00 that day: the first 01:00 is meant.
            ("America/New_York", "2025-11-02", 1, "2025-11-02T05:00:00Z"),
            // Lord Howe's gap is half an hour long.
            ("Australia/Lord_Howe", "2025-10-05", 2, "2025-10-04T15:30:00Z"),
            // Samoa skipped the whole of 30 December 2011: the hour is the next day's.
            ("Pacific/Apia", "2011-12-30", 10, "2011-12-30T20:00:00Z"),
        ];
        for (name, on, hour, expected) in table {
            assert_eq!(instant_of(&zone(name), on.parse().unwrap(), hour), Ok(instant(expected)), "{name} {on} {hour}");
        }
    }

    #[test]
    fn a_date_is_the_one_on_the_local_calendar() {
        let at = instant("2026-11-22T17:00:00Z");
        assert_eq!(local_date(&zone("Asia/Hong_Kong"), at).to_string(), "2026-11-23");
        assert_eq!(local_date(&zone("America/New_York"), at).to_string(), "2026-11-22");
        assert_eq!(local_date(&zone("Asia/Hong_Kong"), Instant::MAX_UTC), Instant::MAX_UTC.date_naive());
    }

    #[test]
    fn a_dunning_step_falls_on_a_local_hour_some_days_later() {
        let from = instant("2025-03-08T23:30:00Z");
        let table = [
            ("Asia/Hong_Kong", 1, "2025-03-10T02:00:00Z"),
            // Local time is 18:30 on the 8th; the clocks change on the 9th.
            ("America/New_York", 1, "2025-03-09T14:00:00Z"),
            ("America/New_York", 0, "2025-03-08T15:00:00Z"),
        ];
        for (name, days, expected) in table {
            assert_eq!(days_after_at_hour(&zone(name), from, days, 10), Ok(instant(expected)), "{name} {days}");
        }
        assert!(matches!(
            days_after_at_hour(&zone("UTC"), from, u32::MAX, 10),
            Err(CalendarError::DaysOverflow { days: u32::MAX, .. })
        ));
    }

    #[test]
    fn what_cannot_be_an_instant_is_an_error() {
        let on = "2026-11-23".parse().unwrap();
        assert_eq!(instant_of(&zone("UTC"), on, 24), Err(CalendarError::NotAnHour { hour: 24 }));
        assert!(matches!(
            instant_of(&zone("UTC"), NaiveDate::MAX, 0),
            Err(CalendarError::InstantOutOfRange { hour: 0, .. })
        ));
    }

    #[test]
    fn only_a_place_of_the_database_is_a_zone() {
        for name in ["", " ", "+08:00", "UTC+8", "GMT+8", "Etc/GMT-8", "EST5EDT", "right/UTC", "posix/Asia/Hong_Kong"] {
            assert_eq!(name.parse::<Zone>(), Err(CalendarError::NotAPlace { name: name.to_owned() }));
        }
        for name in ["localtime", "/etc/passwd", "../UTC", "Asia/", "Asia/Hong Kong", "Asia/../UTC", "Etc/Unknown"] {
            assert_eq!(name.parse::<Zone>(), Err(CalendarError::NotAPlace { name: name.to_owned() }));
        }
        for name in ["Asia/Kowloon", "Asia/Hong_Kong/", "Mars/Olympus"] {
            assert_eq!(name.parse::<Zone>(), Err(CalendarError::UnknownZone { name: name.to_owned() }));
        }
    }

    #[test]
    fn a_zone_is_spelled_as_in_the_database() {
        assert_eq!(zone("asia/hong_kong").to_string(), "Asia/Hong_Kong");
        assert_eq!(zone("asia/hong_kong"), zone("Asia/Hong_Kong"));
        assert_eq!(zone("utc").to_string(), "UTC");
        assert_eq!(zone("asia/hong_kong").name(), "Asia/Hong_Kong");
        assert_eq!(format!("{:?}", zone("asia/hong_kong")), "Asia/Hong_Kong");
    }

    #[test]
    fn a_zone_is_one_by_its_name() {
        let zones = ["Asia/Hong_Kong", "asia/hong_kong", "UTC"].map(zone);
        assert_ne!(zones[0], zones[2]);
        let distinct = std::collections::HashSet::<Zone>::from(zones);
        assert_eq!(distinct.len(), 2);
    }

    #[test]
    fn a_directory_without_zones_is_no_database() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-such-directory");
        assert!(matches!(ZoneDatabase::from_dir(&path), Err(CalendarError::NoZoneDatabase { .. })));
    }
}
