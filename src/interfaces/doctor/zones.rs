//! The rules of time zones, which decide on which day a period begins: whether the system has them, how old they are, and whether they
//! know every zone in which somebody is billed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use chrono::Datelike;

use super::{Finding, Part};
use crate::clock::Instant;
use crate::domain::calendar::Zone;

/// The system's database, unless the variable names another.
const DIRECTORY: &str = "/usr/share/zoneinfo";
const VARIABLE: &str = "TZDIR";
/// Where the version stands: `# version 2025b`, or the version alone.
const VERSION_FILES: [&str; 2] = ["tzdata.zi", "+VERSION"];
/// A zone that every database has.
const EVERYWHERE: &str = "Asia/Hong_Kong";
/// Rules of an earlier year than this many years ago are old: several versions come out each year.
const YEARS_AT_MOST: i32 = 1;
const RENEW: &str = "install the system's package tzdata, or bring it up to date, and restart the daemon";

/// Presence, version, and the zones `in_use`.
pub(super) fn examine(in_use: &BTreeSet<String>, now: Instant) -> Vec<Finding> {
    let directory = std::env::var_os(VARIABLE).map_or(PathBuf::from(DIRECTORY), PathBuf::from);
    if EVERYWHERE.parse::<Zone>().is_err() {
        let text = format!("{} holds no rules of time zones: no period can be dated", directory.display());
        return vec![Part::TimeZones.fault(text, RENEW)];
    }
    let mut findings = vec![aged(version(&directory), &directory, now)];
    let unknown: Vec<&str> = in_use.iter().map(String::as_str).filter(|name| name.parse::<Zone>().is_err()).collect();
    if !unknown.is_empty() {
        let text = format!("subscriptions are billed in zones that this machine does not know: {}", unknown.join(", "));
        findings.push(Part::TimeZones.fault(text, RENEW));
    }
    findings
}

fn aged(version: Option<String>, directory: &Path, now: Instant) -> Finding {
    let shown = directory.display();
    let Some(version) = version else {
        return Part::TimeZones.note(format!("{shown} does not say its version"));
    };
    let year = version.get(..4).and_then(|year| year.parse::<i32>().ok());
    if year.is_some_and(|year| year + YEARS_AT_MOST >= now.year()) {
        return Part::TimeZones.ok(format!("version {version} in {shown}"));
    }
    Part::TimeZones
        .warning(format!("version {version} in {shown} is old: a country may have changed its clocks since"), RENEW)
}

fn version(directory: &Path) -> Option<String> {
    VERSION_FILES.iter().find_map(|name| {
        let mut line = String::new();
        BufReader::new(std::fs::File::open(directory.join(name)).ok()?).read_line(&mut line).ok()?;
        let version = line.trim().trim_start_matches("# version ");
        let is_one =
            version.len() <= 20 && version.starts_with("20") && version.bytes().all(|it| it.is_ascii_graphic());
        is_one.then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::doctor::Level;

    #[test]
    fn the_version_is_read_and_an_old_one_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(version(directory.path()), None);
        std::fs::write(directory.path().join("+VERSION"), "2024a\n").unwrap();
        assert_eq!(version(directory.path()).as_deref(), Some("2024a"));
        std::fs::write(directory.path().join("tzdata.zi"), "# version 2025b\nR d 1916 o\n").unwrap();
        assert_eq!(version(directory.path()).as_deref(), Some("2025b"));
        let level = |version: Option<&str>, now: &str| {
            aged(version.map(str::to_owned), directory.path(), now.parse().unwrap()).level
        };
        assert_eq!(level(Some("2025b"), "2026-11-25T00:00:00Z"), Level::Ok);
        assert_eq!(level(Some("2025b"), "2027-01-01T00:00:00Z"), Level::Warning);
        assert_eq!(level(Some("unknown"), "2026-11-25T00:00:00Z"), Level::Warning);
        assert_eq!(level(None, "2026-11-25T00:00:00Z"), Level::Note);
    }

    #[test]
    fn a_zone_in_use_that_is_not_known_is_a_fault() {
        let now = "2026-11-25T00:00:00Z".parse().unwrap();
        let zones = ["Asia/Hong_Kong", "Mars/Olympus"].map(str::to_owned).into();
        let findings = examine(&zones, now);
        let fault = findings.iter().find(|it| it.level == Level::Fault).unwrap();
        assert!(fault.text.ends_with(": Mars/Olympus"), "{fault:?}");
        assert!(examine(&["Asia/Hong_Kong".to_owned()].into(), now).iter().all(|it| it.level < Level::Fault));
    }
}
