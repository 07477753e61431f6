//! Dunning: what follows from a decline. The class of a code is configuration; the policy is pinned to the version a case began with.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Instant;
use crate::domain::calendar::{self, CalendarError, Zone};
use crate::domain::word::words;

words! {
    /// What a decline says about the next try.
    DeclineClass is a "decline class" {
        /// Money or a limit was short: later may work.
        Funds = "funds",
        /// Something broke on the way: soon may work.
        Technical = "technical",
        /// Refused without a reason we can use.
        Refused = "refused",
        /// The customer withdrew the authorisation.
        AuthorisationGone = "authorisation_gone",
        /// Our own set-up is wrong.
        Configuration = "configuration",
        /// Fraud, law, risk.
        Risk = "risk",
    }
}

words! {
    /// What becomes of a subscription when the steps of a case are used up.
    DunningEnd is a "end of dunning" {
        /// `unpaid`: later periods are skipped until the debt is paid or forgiven.
        Suspend = "suspend",
        /// `canceled`.
        Cancel = "cancel",
        /// Goes on as before.
        Keep = "keep",
    }
}

/// How long to wait for the next try after a decline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So many days on the subscription's calendar, then at the policy's hour.
    Days(u32),
    /// So much time.
    Time(Duration),
}

/// The plan of retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DunningPolicy {
    /// Waits after a decline of class `funds`, the first after the first decline.
    pub funds: Vec<Wait>,
    /// The same for `refused`.
    pub refused: Vec<Wait>,
    /// The same for `technical`.
    pub technical: Vec<Wait>,
    /// The local hour of a retry whose wait is in days.
    pub hour: u8,
    /// What becomes of the subscription when the steps are used up.
    pub end: DunningEnd,
}

/// What follows from one decline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Try again at this instant; one step is spent.
    RetryAt(Instant),
    /// No step is left, or none is allowed.
    End(DunningEnd),
    /// Stop everything on this source and ask for a new authorisation.
    AskForAuthorisation,
    /// Stop and alarm the operator; the customer is not to blame and no step is spent.
    AlarmOperator,
}

impl DunningPolicy {
    /// What follows from a decline of `class` at `now`, after `steps` retries of this case. A wait counts from the decline that
    /// caused it, so whatever delayed a try (an outage, a stop) shifts the rest of the case with it. `zone` is asked for only where
    /// a local date is wanted: no other decline waits for a zone that cannot be read.
    ///
    /// # Errors
    /// [`CalendarError`] where the date leaves the calendar, and that of `zone`.
    pub fn after_decline(
        &self,
        class: DeclineClass,
        steps: usize,
        zone: impl FnOnce() -> Result<Zone, CalendarError>,
        now: Instant,
    ) -> Result<NextStep, CalendarError> {
        let waits = match class {
            DeclineClass::Funds => &self.funds,
            DeclineClass::Refused => &self.refused,
            DeclineClass::Technical => &self.technical,
            DeclineClass::AuthorisationGone => return Ok(NextStep::AskForAuthorisation),
            DeclineClass::Configuration => return Ok(NextStep::AlarmOperator),
            DeclineClass::Risk => return Ok(NextStep::End(self.end)),
        };
        Ok(match waits.get(steps) {
            None => NextStep::End(self.end),
            Some(Wait::Days(days)) => NextStep::RetryAt(calendar::days_after_at_hour(&zone()?, now, *days, self.hour)?),
            Some(Wait::Time(time)) => {
                let wait = TimeDelta::from_std(*time).unwrap_or(TimeDelta::MAX);
                NextStep::RetryAt(now.checked_add_signed(wait).unwrap_or(Instant::MAX_UTC))
            }
        })
    }
}

/// The table code → class. Codes are compared in capitals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclineTable(BTreeMap<String, DeclineClass>);

impl DeclineTable {
    /// A table from codes in any case.
    pub fn new(classes: impl IntoIterator<Item = (String, DeclineClass)>) -> Self {
        DeclineTable(classes.into_iter().map(|(code, class)| (code.to_ascii_uppercase(), class)).collect())
    }

    /// The class of a decline with response code `code`, or the provider's own `partner_code` where the gateway gave none.
    /// Unknown codes go by their first digit: 2 is a refusal, 3, 4 and 5 are risk; no code at all is a refusal.
    pub fn classify(&self, code: Option<&str>, partner_code: Option<&str>) -> DeclineClass {
        let known = |code: &str| self.0.get(&code.to_ascii_uppercase()).copied();
        if let Some(class) = code.and_then(known) {
            return class;
        }
        match code.and_then(|code| code.chars().next()) {
            Some('3' | '4' | '5') => DeclineClass::Risk,
            Some(_) => DeclineClass::Refused,
            None => partner_code.and_then(known).unwrap_or(DeclineClass::Refused),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Days(days) => write!(f, "{days}d"),
            Wait::Time(time) if time.as_secs() % 3600 == 0 => write!(f, "{}h", time.as_secs() / 3600),
            Wait::Time(time) if time.as_secs() % 60 == 0 => write!(f, "{}m", time.as_secs() / 60),
            Wait::Time(time) => write!(f, "{}s", time.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_written_in_its_largest_whole_unit() {
        let time = |seconds| Wait::Time(Duration::from_secs(seconds)).to_string();
        assert_eq!(Wait::Days(3).to_string(), "3d");
        let written = [7200, 3660, 7260, 5400, 60, 90, 3601].map(time);
        assert_eq!(written, ["2h", "61m", "121m", "90m", "1m", "90s", "3601s"]);
    }

    fn policy() -> DunningPolicy {
        DunningPolicy {
            funds: vec![Wait::Days(1), Wait::Days(3)],
            refused: vec![Wait::Days(1)],
            technical: vec![Wait::Time(Duration::from_secs(7200))],
            hour: 10,
            end: DunningEnd::Suspend,
        }
    }

    #[test]
    fn a_decline_leads_to_the_next_step_of_its_class() {
        let zone = || "Asia/Hong_Kong".parse();
        let now: Instant = "2026-03-31T20:00:00Z".parse().unwrap();
        let at = |text: &str| Ok(NextStep::RetryAt(text.parse().unwrap()));
        let table = [
            // 20:00 UTC is already 1 April in Hong Kong; 10:00 there is 02:00 UTC.
            (DeclineClass::Funds, 0, at("2026-04-02T02:00:00Z")),
            (DeclineClass::Funds, 1, at("2026-04-04T02:00:00Z")),
            (DeclineClass::Funds, 2, Ok(NextStep::End(DunningEnd::Suspend))),
            (DeclineClass::Refused, 1, Ok(NextStep::End(DunningEnd::Suspend))),
            (DeclineClass::Technical, 0, at("2026-03-31T22:00:00Z")),
            (DeclineClass::AuthorisationGone, 0, Ok(NextStep::AskForAuthorisation)),
            (DeclineClass::Configuration, 0, Ok(NextStep::AlarmOperator)),
            (DeclineClass::Risk, 0, Ok(NextStep::End(DunningEnd::Suspend))),
        ];
        for (class, steps, wanted) in table {
            assert_eq!(policy().after_decline(class, steps, zone, now), wanted, "{class} {steps}");
        }
    }

    #[test]
    fn unknown_codes_go_by_their_first_digit() {
        let table = DeclineTable::new([
            ("20051".into(), DeclineClass::Funds),
            ("200r1".into(), DeclineClass::AuthorisationGone),
            ("INVALID_TOKEN".into(), DeclineClass::AuthorisationGone),
        ]);
        for (code, partner, wanted) in [
            (Some("20051"), None, DeclineClass::Funds),
            (Some("200R1"), None, DeclineClass::AuthorisationGone),
            (Some("20777"), Some("INVALID_TOKEN"), DeclineClass::Refused),
            (Some("30999"), None, DeclineClass::Risk),
            (Some("4A"), None, DeclineClass::Risk),
            (Some("59999"), None, DeclineClass::Risk),
            (None, None, DeclineClass::Refused),
            (None, Some("INVALID_TOKEN"), DeclineClass::AuthorisationGone),
            (Some("strange"), None, DeclineClass::Refused),
        ] {
            assert_eq!(table.classify(code, partner), wanted, "{code:?} {partner:?}");
        }
    }
}
