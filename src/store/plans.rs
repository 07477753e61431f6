//! Plans and dunning policies: one row a version, made when the config says something new. Subscribers and open cases keep the
//! version they began with.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::db::{Statement, Tx, ids};
use super::journal::Entry;
use super::{Store, StoreError, parse};
use crate::clock::Instant;
use crate::domain::calendar::{Interval, IntervalUnit};
use crate::domain::dunning::{DunningPolicy, Wait};
use crate::domain::money::{Currency, Money};
use crate::domain::plan::Plan;
use crate::row;

/// A plan version and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPlan {
    /// Its id.
    pub id: i64,
    /// Its name in the config.
    pub name: String,
    /// Its version, 1 first.
    pub version: i64,
    /// What it says.
    pub plan: Plan,
}

/// A policy version and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPolicy {
    /// Its id.
    pub id: i64,
    /// Its name in the config.
    pub name: String,
    /// What it says.
    pub policy: DunningPolicy,
}

row! {
    PlanRow {
        id: i64, name: String, version: i64, amount_minor: i64, currency: String, interval_unit: String,
        interval_count: i64, billing_hour: i64, description: String, dunning: String, catch_up: Option<String>,
    }
}

/// Whether a plan may change as far as the config says.
#[derive(Debug, Clone, Copy)]
pub enum Guard<'a> {
    /// By so many hundredths of its price; what goes further waits for an operator.
    Percent(i64),
    /// The same, but for those that an operator has looked at.
    Accepted {
        /// How far the others may go.
        percent: i64,
        /// Their names.
        names: &'a [String],
        /// Who.
        operator: &'a str,
        /// Why.
        reason: &'a str,
    },
}

row! {
    SubscribersRow { plan_id: i64, subscribers: i64 }
}

row! {
    PolicyRow { id: i64, name: String, version: i64, definition: String }
}

impl PlanRow {
    fn read(self) -> Result<StoredPlan, StoreError> {
        let currency: Currency = parse("plans", self.id, "currency", &self.currency)?;
        let unit: IntervalUnit = parse("plans", self.id, "interval_unit", &self.interval_unit)?;
        let count: NonZeroU32 = parse("plans", self.id, "interval_count", &self.interval_count.to_string())?;
        let billing_hour: u8 = parse("plans", self.id, "billing_hour", &self.billing_hour.to_string())?;
        let catch_up = self.catch_up.map(|word| parse("plans", self.id, "catch_up", &word)).transpose()?;
        Ok(StoredPlan {
            id: self.id,
            name: self.name,
            version: self.version,
            plan: Plan {
                price: Money::new(self.amount_minor, currency),
                interval: Interval::new(unit, count),
                billing_hour,
                description: self.description,
                dunning: self.dunning,
                catch_up,
            },
        })
    }
}

/// A policy as it stands in the books. Seconds and days are told apart, as they are in the config.
#[derive(Debug, Serialize, Deserialize)]
struct Definition {
    funds: Vec<StoredWait>,
    refused: Vec<StoredWait>,
    technical: Vec<StoredWait>,
    hour: u8,
    end: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredWait {
    Days(u32),
    Seconds(u64),
}

impl Definition {
    fn of(policy: &DunningPolicy) -> Self {
        let waits = |waits: &[Wait]| {
            let stored = |wait: &Wait| match wait {
                Wait::Days(days) => StoredWait::Days(*days),
                Wait::Time(time) => StoredWait::Seconds(time.as_secs()),
            };
            waits.iter().map(stored).collect()
        };
        Definition {
            funds: waits(&policy.funds),
            refused: waits(&policy.refused),
            technical: waits(&policy.technical),
            hour: policy.hour,
            end: policy.end.to_string(),
        }
    }

    fn read(self, row: i64) -> Result<DunningPolicy, StoreError> {
        let waits = |waits: Vec<StoredWait>| {
            let read = |wait| match wait {
                StoredWait::Days(days) => Wait::Days(days),
                StoredWait::Seconds(seconds) => Wait::Time(Duration::from_secs(seconds)),
            };
            waits.into_iter().map(read).collect()
        };
        Ok(DunningPolicy {
            funds: waits(self.funds),
            refused: waits(self.refused),
            technical: waits(self.technical),
            hour: self.hour,
            end: parse("dunning_policies", row, "definition", &self.end)?,
        })
    }
}

const PLANS: &str = "SELECT id, name, version, amount_minor, currency, interval_unit, interval_count, billing_hour, \
                     description, dunning, catch_up FROM plans ORDER BY name, version";

impl Tx {
    /// These plan versions, each read by itself: one that is [`StoreError::Inconsistent`] hides no other.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn plan_versions(
        &mut self,
        plan_ids: impl IntoIterator<Item = i64>,
    ) -> Result<BTreeMap<i64, Result<StoredPlan, StoreError>>, StoreError> {
        let rows: Vec<PlanRow> = self
            .all(
                Statement::new(
                    "SELECT p.id, p.name, p.version, p.amount_minor, p.currency, p.interval_unit, p.interval_count, \
                     p.billing_hour, p.description, p.dunning, p.catch_up FROM plans p JOIN {v} ON p.id = v.id",
                )
                .rows("v", ids(plan_ids)),
            )
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.read())).collect())
    }
}

impl Store {
    /// Every plan version in the books.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Inconsistent`].
    pub async fn plans(&self) -> Result<Vec<StoredPlan>, StoreError> {
        let rows: Vec<PlanRow> = self.read(Statement::new(PLANS)).await?;
        rows.into_iter().map(PlanRow::read).collect()
    }

    /// Every policy version in the books.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Inconsistent`].
    pub async fn dunning_policies(&self) -> Result<Vec<StoredPolicy>, StoreError> {
        let text = "SELECT id, name, version, definition FROM dunning_policies ORDER BY name, version";
        let rows: Vec<PolicyRow> = self.read(Statement::new(text)).await?;
        let read = |row: PolicyRow| {
            let definition: Definition =
                serde_json::from_str(&row.definition).map_err(|why| StoreError::Inconsistent {
                    table: "dunning_policies",
                    row: row.id,
                    column: "definition",
                    value: row.definition.clone(),
                    why: why.to_string(),
                })?;
            Ok(StoredPolicy { id: row.id, name: row.name, policy: definition.read(row.id)? })
        };
        rows.into_iter().map(read).collect()
    }

    /// How many subscriptions are charged by each plan version that has any.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn subscribers_by_plan(&self) -> Result<BTreeMap<i64, i64>, StoreError> {
        let rows: Vec<SubscribersRow> = self
            .read(Statement::new(
                "SELECT g.plan_id, COUNT(*) AS subscribers FROM subscriptions s JOIN segments g ON g.subscription_id = s.id \
                 AND g.first_index = COALESCE(\
                 (SELECT MAX(h.first_index) FROM segments h WHERE h.subscription_id = s.id AND h.first_index <= s.next_index), \
                 (SELECT MIN(h.first_index) FROM segments h WHERE h.subscription_id = s.id)) \
                 WHERE s.state IN ('trialing', 'active', 'past_due', 'unpaid', 'paused') GROUP BY g.plan_id",
            ))
            .await?;
        Ok(rows.into_iter().map(|row| (row.plan_id, row.subscribers)).collect())
    }

    /// Makes a version for every plan and policy of the config that differs from its latest. The names of the plans that `guard` withholds:
    /// their latest version stays.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn sync_plans(
        &self,
        plans: &BTreeMap<String, Plan>,
        policies: &BTreeMap<String, DunningPolicy>,
        guard: Guard<'_>,
        now: Instant,
    ) -> Result<BTreeSet<String>, StoreError> {
        let (mut withheld, mut journal) = (BTreeSet::new(), Vec::new());
        let mut tx = self.begin("plans").await?;
        let rows: Vec<PlanRow> = tx.all(Statement::new(PLANS)).await?;
        let mut latest = BTreeMap::new();
        for row in rows {
            let stored = row.read()?;
            latest.insert(stored.name.clone(), (stored.version, stored.plan));
        }
        for (name, plan) in plans {
            let version = match latest.get(name) {
                Some((_, stored)) if stored == plan => continue,
                Some((version, stored)) => {
                    match guard {
                        Guard::Accepted { reason, names, .. } if names.contains(name) => journal.push(Entry {
                            act: "plan accepted",
                            was: Some("withheld"),
                            now: Some("accepted"),
                            detail: Some(format!("{name}: {} a {}: {reason}", plan.price, plan.interval.unit.as_str())),
                            ..Entry::default()
                        }),
                        Guard::Percent(percent) | Guard::Accepted { percent, .. } => {
                            if stored.changes_beyond(plan, percent) {
                                withheld.insert(name.clone());
                                continue;
                            }
                        }
                    }
                    version + 1
                }
                None => 1,
            };
            tx.run(
                Statement::new(
                    "INSERT INTO plans (name, version, amount_minor, currency, interval_unit, interval_count, \
                     billing_hour, description, dunning, catch_up, created_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (name, version) DO NOTHING",
                )
                .bind(name.as_str())
                .bind(version)
                .bind(plan.price.amount_minor)
                .bind(plan.price.currency.code())
                .bind(plan.interval.unit.as_str())
                .bind(plan.interval.count.get())
                .bind(i64::from(plan.billing_hour))
                .bind(plan.description.as_str())
                .bind(plan.dunning.as_str())
                .bind(plan.catch_up.map(|rule| rule.as_str()))
                .bind(now),
            )
            .await?;
        }
        let rows: Vec<PolicyRow> = tx
            .all(Statement::new("SELECT id, name, version, definition FROM dunning_policies ORDER BY name, version"))
            .await?;
        let latest: BTreeMap<String, (i64, String)> =
            rows.into_iter().map(|row| (row.name, (row.version, row.definition))).collect();
        for (name, policy) in policies {
            let definition = serde_json::to_string(&Definition::of(policy)).expect("a policy is plain data");
            let version = match latest.get(name) {
                Some((_, stored)) if *stored == definition => continue,
                Some((version, _)) => version + 1,
                None => 1,
            };
            tx.run(
                Statement::new(
                    "INSERT INTO dunning_policies (name, version, definition, created_at) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (name, version) DO NOTHING",
                )
                .bind(name.as_str())
                .bind(version)
                .bind(definition)
                .bind(now),
            )
            .await?;
        }
        if let Guard::Accepted { operator, .. } = guard {
            tx.write_journal(operator, now, &journal).await?;
        }
        tx.commit().await?;
        Ok(withheld)
    }
}
