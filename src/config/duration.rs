//! Durations and waits as the operator writes them: a whole number with a unit, `250ms`, `45s`, `10m`, `2h`, `3d`. Nothing is rounded
//! and no unit is assumed.

use std::time::Duration;

use super::Wait;

const MILLIS_PER_SECOND: u128 = 1000;
const MILLIS_PER_MINUTE: u128 = 60 * MILLIS_PER_SECOND;
const MILLIS_PER_HOUR: u128 = 60 * MILLIS_PER_MINUTE;
const MILLIS_PER_DAY: u128 = 24 * MILLIS_PER_HOUR;

/// Longest unit first, so that the first that divides is the one a person would write.
const UNITS: [(&str, u128); 5] =
    [("d", MILLIS_PER_DAY), ("h", MILLIS_PER_HOUR), ("m", MILLIS_PER_MINUTE), ("s", MILLIS_PER_SECOND), ("ms", 1)];

/// Reads a duration, such as `45s` or `2h`; a day is 24 hours.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let millis = u64::try_from(u128::from(number) * millis).ok()?;
    Some(Duration::from_millis(millis))
}

/// Reads a wait: `d` means calendar days, every other unit means exact time.
pub(super) fn parse_wait(text: &str) -> Option<Wait> {
    let (number, unit) = number_and_unit(text)?;
    match unit {
        "d" => u32::try_from(number).ok().map(Wait::Days),
        _ => parse_duration(text).map(Wait::Time),
    }
}

/// Writes a duration of whole milliseconds as the operator would.
pub(super) fn show(duration: Duration) -> String {
    let total = duration.as_millis();
    match UNITS.iter().find(|(_, millis)| total > 0 && total.is_multiple_of(*millis)) {
        Some((unit, millis)) => format!("{}{unit}", total / millis),
        None => "0s".to_owned(),
    }
}

/// Digits, then letters, and nothing else: no sign, no space, no fraction.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        for (text, millis) in
            [("250ms", 250), ("45s", 45_000), ("10m", 600_000), ("2h", 7_200_000), ("3d", 259_200_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_duration() {
        let texts = ["", "5", "s", "-5s", "+5s", "5 s", " 5s", "5s ", "1.5h", "1h30m", "5S", "5sec", "5w", "५s"];
        for text in texts.into_iter().chain(["18446744073709551616s", "18446744073709551615d"]) {
            assert_eq!(parse_duration(text), None, "{text:?}");
            assert_eq!(parse_wait(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_day_is_a_date_and_24_hours_are_a_time() {
        assert_eq!(parse_wait("1d"), Some(Wait::Days(1)));
        assert_eq!(parse_wait("24h"), Some(Wait::Time(Duration::from_secs(86_400))));
        assert_eq!(parse_wait("4294967296d"), None);
    }

    #[test]
    fn a_shown_duration_reads_back_as_itself() {
        for text in ["250ms", "1001ms", "45s", "75s", "10m", "2h", "36h", "3d", "0s"] {
            assert_eq!(parse_duration(text).map(show).as_deref(), Some(text));
        }
    }
}
