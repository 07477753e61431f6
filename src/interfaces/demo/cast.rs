//! Who takes part in the demo: subscriptions drawn from a seed, and wallets that are empty for a while, or unbound, or whose answers
//! get lost.

use chrono::{Days, NaiveDate, TimeDelta};

use crate::chance::Chance;
use crate::clock::Instant;
use crate::domain::calendar::Zone;
use crate::engine::hand_over::HandOver;
use crate::sandbox::{Fault, Rule};
use crate::store::customers::NewCustomer;

/// The demo's config: a gateway that is never reached over the network, and the plans.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("installation.name", "demo"),
    ("installation.environment", "sandbox"),
    ("installation.node", "demo"),
    ("gateway.url", "https://api.sandbox.checkout.com"),
    ("protocol.key_life", "24h"),
    ("protocol.key_margin", "2h"),
    ("protocol.settle_wait", "15m"),
    ("protocol.settle_wait_after_server_error", "2h"),
    ("protocol.resend", "same_key"),
    ("protocol.auto_after_window", "false"),
    ("budget.writes_per_second", "unlimited"),
    ("budget.reads_per_second", "unlimited"),
    ("plans.basic.amount_minor", "3800"),
    ("plans.basic.currency", "HKD"),
    ("plans.basic.interval", "month"),
    ("plans.basic.description", "Basic, monthly"),
    ("plans.plus.amount_minor", "12800"),
    ("plans.plus.currency", "HKD"),
    ("plans.plus.interval", "month"),
    ("plans.plus.billing_hour", "9"),
    ("plans.plus.description", "Plus, monthly"),
    ("plans.island.amount_minor", "1990"),
    ("plans.island.currency", "SGD"),
    ("plans.island.interval", "month"),
    ("plans.island.description", "Island, monthly"),
    ("plans.quarter.amount_minor", "34800"),
    ("plans.quarter.currency", "HKD"),
    ("plans.quarter.interval", "month"),
    ("plans.quarter.interval_count", "3"),
    ("plans.quarter.description", "Plus, every three months"),
    ("plans.fortnight.amount_minor", "2200"),
    ("plans.fortnight.currency", "HKD"),
    ("plans.fortnight.interval", "week"),
    ("plans.fortnight.interval_count", "2"),
    ("plans.fortnight.description", "Every two weeks"),
];

/// Plans by weight, and zones by weight.
const PLANS: &[(&str, u64)] = &[("basic", 40), ("plus", 30), ("island", 10), ("quarter", 10), ("fortnight", 10)];
const ZONES: &[(&str, u64)] = &[
    ("Asia/Hong_Kong", 70),
    ("Asia/Singapore", 10),
    ("Europe/London", 8),
    ("America/New_York", 6),
    ("Australia/Sydney", 6),
];

/// Everybody, and what becomes of their wallets.
#[derive(Debug)]
pub(super) struct Cast {
    pub subscriptions: Vec<HandOver>,
    pub rules: Vec<Rule>,
}

impl Cast {
    /// Draws it.
    pub fn draw(count: u32, begins: Instant, ends: Instant, chance: &Chance) -> Cast {
        let mut cast = Cast { subscriptions: Vec::new(), rules: faults() };
        let first_day = begins.date_naive();
        let span = u64::try_from((ends - begins).num_days()).unwrap_or(1).max(1);
        for number in 1..=count {
            let source_id = format!("src_{number:026}");
            let anchor_on = first_day + Days::new(1 + chance.below(31));
            cast.subscriptions.push(subscription(number, &source_id, anchor_on, chance));
            let at = |day: u64| begins + TimeDelta::days(i64::try_from(day).unwrap_or_default());
            match chance.below(100) {
                // Empty for two days to five weeks, once: some recover in time, some do not.
                0..12 => {
                    let from = at(chance.below(span));
                    let until = from + TimeDelta::days(i64::try_from(2 + chance.below(34)).unwrap_or_default());
                    cast.rules.push(Rule::decline("empty wallet", "20051").for_source(&source_id).between(from, until));
                }
                // Unbound by the customer, from some day on.
                12..15 => {
                    let from = at(chance.below(span));
                    cast.rules.push(Rule::decline("unbound", "20120").for_source(&source_id).between(from, ends));
                }
                // Refused without a reason, now and then.
                15..25 => {
                    cast.rules.push(Rule::decline("refused", "20005").for_source(&source_id).per_mille(120));
                }
                _ => {}
            }
        }
        cast
    }
}

/// What the network and the gateway do to some requests.
fn faults() -> Vec<Rule> {
    vec![
        Rule::fault("answer lost", Fault::LostResponse).per_mille(12),
        Rule::fault("request lost", Fault::LostRequest).per_mille(6),
        Rule::fault("error after the effect", Fault::ErrorAfter(502)).per_mille(4),
        Rule::fault("error before the effect", Fault::ErrorBefore(503)).per_mille(4),
        Rule::fault("answer cut", Fault::TruncatedBody).per_mille(3),
    ]
}

fn subscription(number: u32, source_id: &str, anchor_on: NaiveDate, chance: &Chance) -> HandOver {
    let zone: Zone = pick(ZONES, chance).parse().expect("the demo's zones are in every time zone database");
    HandOver {
        reference: format!("DEMO-{number:05}"),
        plan: pick(PLANS, chance).to_owned(),
        source_id: source_id.to_owned(),
        first_payment_id: None,
        customer: NewCustomer {
            reference: format!("DEMO-CUSTOMER-{number:05}"),
            name: Some("Wallet Customer".to_owned()),
            email: Some(format!("customer-{number}@example.com")),
            country: "HK".to_owned(),
        },
        anchor_on,
        zone,
        next_charge_on: None,
    }
}

fn pick(choices: &[(&'static str, u64)], chance: &Chance) -> &'static str {
    let mut drawn = chance.below(choices.iter().map(|(_, weight)| weight).sum());
    for (choice, weight) in choices {
        match drawn.checked_sub(*weight) {
            Some(rest) => drawn = rest,
            None => return choice,
        }
    }
    choices[0].0
}
