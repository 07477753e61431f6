//! What the demo prints: months and currencies as finance would ask for them, and whether the sandbox's books equal ours.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Demo;
use crate::clock::Instant;
use crate::domain::money::{Currency, Money};
use crate::sandbox::Sandbox;
use crate::store::Store;

/// The demo's result.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Nothing in it is real.
    pub simulated: bool,
    /// What it was drawn from.
    pub seed: u64,
    /// The first instant of simulated time.
    pub begins_at: Instant,
    /// The last.
    pub ends_at: Instant,
    /// Subscriptions handed over.
    pub subscriptions: u32,
    /// Month by month.
    pub months: Vec<Month>,
    /// What each side's books say was taken.
    pub taken: Vec<Taken>,
    /// Periods that the sandbox's books show captured more than once.
    pub captured_twice: usize,
    /// Requests that broke a rule of the gateway.
    pub rule_breaches: u64,
    /// Rows in `finance_exceptions`.
    pub exceptions: i64,
    /// Open review cases.
    pub reviews: i64,
    /// Where the books lie.
    pub database: String,
    /// A command to try on them.
    pub try_this: String,
}

/// One month of one currency; amounts are exact decimals.
#[derive(Debug, Clone, Serialize)]
pub struct Month {
    /// `2026-01`
    pub month: String,
    /// The currency.
    pub currency: String,
    /// Charges that fell due.
    pub charges: i64,
    /// What they owe.
    pub due: String,
    /// What was taken.
    pub collected: String,
    /// The part of it that a retry brought.
    pub recovered: String,
    /// What may still come by itself.
    pub open: String,
    /// What waits for a person.
    pub flagged: String,
    /// What was given up.
    pub uncollectible: String,
}

/// What was taken in one currency, on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    /// The currency.
    pub currency: String,
    /// The sandbox's books, minor units.
    pub sandbox_minor: i64,
    /// Ours, minor units.
    pub ours_minor: i64,
}

impl Report {
    pub(super) async fn read(
        demo: &Demo,
        store: &Store,
        sandbox: &Sandbox,
        begins_at: Instant,
        ends_at: Instant,
    ) -> anyhow::Result<Report> {
        let decimal = |amount_minor: i64, currency: &str| {
            currency.parse::<Currency>().map(|currency| Money::new(amount_minor, currency).decimal())
        };
        let mut months = Vec::new();
        for row in store.months().await? {
            let amount = |amount_minor| decimal(amount_minor, &row.currency);
            months.push(Month {
                due: amount(row.due_minor)?,
                collected: amount(row.collected_minor)?,
                recovered: amount(row.recovered_minor)?,
                open: amount(row.open_minor)?,
                flagged: amount(row.flagged_minor)?,
                uncollectible: amount(row.uncollectible_minor)?,
                month: row.month,
                currency: row.currency,
                charges: row.charges,
            });
        }
        let theirs = sandbox.books();
        let mut taken: BTreeMap<String, Taken> = BTreeMap::new();
        let entry = |currency: &str| Taken { currency: currency.to_owned(), sandbox_minor: 0, ours_minor: 0 };
        for payment in &theirs.payments {
            taken.entry(payment.currency.clone()).or_insert_with(|| entry(&payment.currency)).sandbox_minor +=
                payment.captured_minor;
        }
        for row in store.taken().await? {
            taken.entry(row.currency.clone()).or_insert_with(|| entry(&row.currency)).ours_minor = row.captured_minor;
        }
        let database = std::path::absolute(&demo.database)?.display().to_string();
        Ok(Report {
            simulated: true,
            seed: demo.seed,
            begins_at,
            ends_at,
            subscriptions: demo.subscriptions,
            months,
            taken: taken.into_values().collect(),
            captured_twice: theirs.captures_by_reference().values().filter(|captures| **captures > 1).count(),
            rule_breaches: theirs.rule_breaches.total(),
            exceptions: store.exceptions().await?,
            reviews: store.open_reviews().await?,
            try_this: format!("dues report chase --set database.url=sqlite:{database} --set installation.name=demo"),
            database,
        })
    }

    /// Whether both sides' books are equal, no period was charged twice and no rule is broken.
    pub fn agrees(&self) -> bool {
        self.taken.iter().all(|it| it.sandbox_minor == it.ours_minor)
            && self.captured_twice == 0
            && self.exceptions == 0
    }
}

impl Report {
    /// What it is, before the months.
    pub fn opening(&self) -> String {
        format!(
            "SIMULATED: no wallet, no gateway and no money was touched.\n{} subscriptions, {} to {}, seed {}\n",
            self.subscriptions,
            self.begins_at.format("%Y-%m-%d"),
            self.ends_at.format("%Y-%m-%d"),
            self.seed
        )
    }

    /// What it comes to, and what to do next, after them.
    pub fn closing(&self) -> String {
        let mut lines = vec![String::new()];
        for it in &self.taken {
            let (theirs, ours) = match it.currency.parse::<Currency>() {
                Ok(currency) => (
                    Money::new(it.sandbox_minor, currency).to_string(),
                    Money::new(it.ours_minor, currency).to_string(),
                ),
                Err(_) => (it.sandbox_minor.to_string(), it.ours_minor.to_string()),
            };
            let equal = if it.sandbox_minor == it.ours_minor { "equal to the cent" } else { "DIFFERENT" };
            lines.push(format!("sandbox's books {theirs} = ours {ours}: {equal}"));
        }
        lines.push(format!(
            "periods charged twice: {}   finance_exceptions: {} rows   open review cases: {}",
            self.captured_twice, self.exceptions, self.reviews
        ));
        lines.push(format!("\nThe database lies in {}, and the mark of what was sent beside it", self.database));
        lines.push(format!("Try: {}", self.try_this));
        lines.join("\n")
    }
}
