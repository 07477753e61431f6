//! The sections whose names the operator chooses: plans, dunning policies, and the table of decline codes.

use std::collections::BTreeMap;

use super::duration::parse_wait;
use super::parse::CATCH_UP_RULES;
use super::section::{Section, choices, choose};
use super::{DeclineClass, DunningEnd, DunningPolicy, Interval, IntervalUnit, Plan, Wait};
use crate::domain::money::{Currency, Money};

/// What a chosen name may be. Capitals are ruled out because an environment variable cannot keep them apart.
pub(super) const NAME_RULE: &str = "1 to 40 characters of a-z, 0-9, \"-\" and \"_\"";

/// The hour of plans and policies that name none.
const USUAL_HOUR: u8 = 10;

/// The longest wait of a dunning step; later than that nobody expects a charge.
const LONGEST_WAIT_DAYS: u32 = 90;

/// What a plan is checked against.
pub(super) struct PlanRules<'a> {
    /// The accepted currencies.
    pub currencies: &'a [Currency],
    /// The largest price.
    pub largest_price_minor: i64,
    /// The policies that a plan may name.
    pub dunning: &'a BTreeMap<String, DunningPolicy>,
}

/// Whether a text may be a chosen name.
pub(super) fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// Reads `[dunning.NAME]`.
pub(super) fn dunning(section: Section) -> BTreeMap<String, DunningPolicy> {
    named(section, |mut policy| {
        let read = DunningPolicy {
            funds: waits(&mut policy, "funds"),
            refused: waits(&mut policy, "refused"),
            technical: waits(&mut policy, "technical"),
            hour: hour(&mut policy, "hour"),
            end: optional(&mut policy, "end", DunningEnd::Suspend, |policy| {
                let ends =
                    [("suspend", DunningEnd::Suspend), ("cancel", DunningEnd::Cancel), ("keep", DunningEnd::Keep)];
                policy.choice("end", &ends)
            }),
        };
        policy.finish();
        read
    })
}

/// Reads `[declines]`.
pub(super) fn declines(section: Section) -> BTreeMap<String, DeclineClass> {
    let classes = [
        ("funds", DeclineClass::Funds),
        ("technical", DeclineClass::Technical),
        ("refused", DeclineClass::Refused),
        ("authorisation_gone", DeclineClass::AuthorisationGone),
        ("configuration", DeclineClass::Configuration),
        ("risk", DeclineClass::Risk),
    ];
    let mut read = BTreeMap::new();
    for code in section.names() {
        if !code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
            section.refuse(code, "is no response code: only A-Z, 0-9 and \"_\" are allowed");
            continue;
        }
        let class =
            section.read_named(code, DeclineClass::Refused, &choices(&classes), |value| choose(value, &classes));
        read.insert(code.to_owned(), class);
    }
    read
}

/// Reads `[plans.NAME]`.
pub(super) fn plans(section: Section, rules: &PlanRules) -> BTreeMap<String, Plan> {
    named(section, |mut plan| {
        let units = [
            ("day", IntervalUnit::Day),
            ("week", IntervalUnit::Week),
            ("month", IntervalUnit::Month),
            ("year", IntervalUnit::Year),
        ];
        let read = Plan {
            price: price(&mut plan, rules),
            interval: Interval::new(
                plan.choice("interval", &units),
                optional(&mut plan, "interval_count", std::num::NonZeroU32::MIN, |plan| {
                    plan.count("interval_count", 366)
                }),
            ),
            billing_hour: hour(&mut plan, "billing_hour"),
            description: plan.text("description", "1 to 100 characters, none of them a control character", |text| {
                (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control)
            }),
            dunning: policy(&mut plan, rules),
            catch_up: optional(&mut plan, "catch_up", None, |plan| Some(plan.choice("catch_up", &CATCH_UP_RULES))),
        };
        plan.finish();
        read
    })
}

/// Reads a section of sections.
fn named<T>(section: Section, read: impl Fn(Section) -> T) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for name in section.names() {
        if !is_name(name) {
            section.refuse(name, &format!("has a name that is not allowed: it must be {NAME_RULE}"));
        }
        all.insert(name.to_owned(), read(section.inner(name)));
    }
    all
}

fn price(plan: &mut Section, rules: &PlanRules) -> Money {
    let amount_minor = plan.integer("amount_minor", 1..=rules.largest_price_minor);
    let currency: Option<Currency> = plan.parsed("currency", "an ISO 4217 code in capitals, such as \"HKD\"");
    if let Some(currency) = currency {
        // An empty list is a fault of its own, which need not be told again for every plan.
        if !rules.currencies.is_empty() && !rules.currencies.contains(&currency) {
            let accepted: Vec<&str> = rules.currencies.iter().map(Currency::code).collect();
            plan.refuse_beside("currency", &format!("is not among currencies.accepted ({})", accepted.join(", ")));
        }
        // The gateway's own rule for currencies of three decimals (KWD, BHD, OMR, JOD …).
        if currency.exponent() == 3 && amount_minor % 10 != 0 && plan.has("amount_minor") {
            plan.refuse(
                "amount_minor",
                &format!("must end in 0, because the gateway takes {currency} in steps of ten"),
            );
        }
    }
    let stand_in = || "HKD".parse().expect("HKD is a currency");
    Money::new(amount_minor, currency.unwrap_or_else(stand_in))
}

fn policy(plan: &mut Section, rules: &PlanRules) -> String {
    let name = optional(plan, "dunning", "standard".to_owned(), |plan| {
        plan.text("dunning", "the name of a dunning policy", |_| true)
    });
    if plan.written("dunning").is_some() && !rules.dunning.is_empty() && !rules.dunning.contains_key(&name) {
        let known: Vec<&str> = rules.dunning.keys().map(String::as_str).collect();
        plan.refuse_beside("dunning", &format!("names no dunning policy; there is: {}", known.join(", ")));
    }
    name
}

fn waits(policy: &mut Section, key: &'static str) -> Vec<Wait> {
    let allowed = "a list of waits from 1m to 90d, such as [\"2h\", \"1d\"]";
    policy.list(key, allowed, |text| {
        parse_wait(text).filter(|wait| match wait {
            Wait::Days(days) => (1..=LONGEST_WAIT_DAYS).contains(days),
            Wait::Time(time) => (60..=u64::from(LONGEST_WAIT_DAYS) * 86_400).contains(&time.as_secs()),
        })
    })
}

fn hour(section: &mut Section, key: &'static str) -> u8 {
    optional(section, key, USUAL_HOUR, |section| {
        u8::try_from(section.integer(key, 0..=23)).expect("the range fits in eight bits")
    })
}

/// Reads a key that may be left out; it is known either way.
fn optional<T>(section: &mut Section, key: &'static str, usual: T, read: impl FnOnce(&mut Section) -> T) -> T {
    section.knows(key);
    if section.has(key) { read(section) } else { usual }
}
