//! A plan: price, currency and interval. A change makes a new version; subscribers keep theirs.

use crate::domain::calendar::Interval;
use crate::domain::catch_up::CatchUpRule;
use crate::domain::money::Money;

/// What a plan says. Equal plans are one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The price of one period.
    pub price: Money,
    /// The length of one period.
    pub interval: Interval,
    /// The local hour at which a period begins.
    pub billing_hour: u8,
    /// What the customer reads, at most 100 characters.
    pub description: String,
    /// The name of its dunning policy.
    pub dunning: String,
    /// Its own catch-up rule for periods missed by downtime.
    pub catch_up: Option<CatchUpRule>,
}
