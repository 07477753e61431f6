//! What the engine goes by: the settings it needs and the plan and policy versions of the books, put together once at the start
//! and at every reload.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use std::time::Duration;

use crate::clock::Instant;
use crate::config::{self, Settings};
use crate::domain::catch_up::CatchUp;
use crate::domain::dunning::{DeclineTable, DunningPolicy};
use crate::domain::plan::Plan;
use crate::domain::reference::LedgerId;
use crate::store::plans::{Guard, StoredPlan, StoredPolicy};
use crate::store::{Store, StoreError};

/// Everything a decision is made by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whose books these are.
    pub ledger: LedgerId,
    /// How the gateway is reached and told.
    pub gateway: config::Gateway,
    /// The times of the charging protocol.
    pub protocol: config::Protocol,
    /// How a pending payment is followed.
    pub polls: config::Polls,
    /// Sizes of the engine's work.
    pub engine: config::Engine,
    /// What happens to several periods due at once.
    pub catch_up: CatchUp,
    /// The largest amount of one charge, in minor units.
    pub largest_charge_minor: i64,
    /// When a day's plan counts as exceeded.
    pub brake: config::Brake,
    /// When a charge is looked up again.
    pub audit: config::Audit,
    /// Decline class by response code.
    pub declines: DeclineTable,
    /// Plans whose change in the config waits for an operator: nobody is entered on them meanwhile.
    pub withheld: BTreeSet<String>,
    plans: BTreeMap<i64, StoredPlan>,
    plans_by_name: BTreeMap<String, i64>,
    policies: BTreeMap<i64, StoredPolicy>,
    policies_by_name: BTreeMap<String, i64>,
}

impl Rules {
    /// Brings plans and policies of the config into the books, and reads every version back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(settings: &Settings, store: &Store) -> Result<Rules, StoreError> {
        let now = store.clock().now();
        store.know_currencies(&settings.currencies).await?;
        let guard = Guard::Percent(settings.price_change_percent);
        let withheld = store.sync_plans(&settings.plans, &settings.dunning, guard, now).await?;
        Ok(Rules { withheld, ..Rules::read(settings, store).await? })
    }

    /// The plans whose change in the config waits for an operator; nothing is written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn withheld_of(settings: &Settings, store: &Store) -> Result<BTreeSet<String>, StoreError> {
        // Rows come by name and version, so the latest version of a name is the one that stays.
        let latest: BTreeMap<String, StoredPlan> =
            store.plans().await?.into_iter().map(|it| (it.name.clone(), it)).collect();
        let far = |(name, new): &(&String, &Plan)| {
            latest.get(*name).is_some_and(|it| it.plan.changes_beyond(new, settings.price_change_percent))
        };
        Ok(settings.plans.iter().filter(far).map(|(name, _)| name.clone()).collect())
    }

    /// Reads every plan and policy version of the books, and leaves them as they are: for an operator's act.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(settings: &Settings, store: &Store) -> Result<Rules, StoreError> {
        Ok(Rules::of(settings, store.plans().await?, store.dunning_policies().await?))
    }

    fn of(settings: &Settings, plans: Vec<StoredPlan>, policies: Vec<StoredPolicy>) -> Rules {
        Rules {
            ledger: ledger_of(settings),
            gateway: settings.gateway.clone(),
            protocol: settings.protocol.clone(),
            polls: settings.polls.clone(),
            engine: settings.engine.clone(),
            catch_up: settings.catch_up.clone(),
            largest_charge_minor: settings.largest_charge_minor,
            brake: settings.brake,
            audit: settings.audit.clone(),
            declines: DeclineTable::new(settings.declines.clone()),
            withheld: BTreeSet::new(),
            // Rows come by name and version, so the latest version of a name is the one that stays.
            plans_by_name: plans.iter().map(|it| (it.name.clone(), it.id)).collect(),
            plans: plans.into_iter().map(|it| (it.id, it)).collect(),
            policies_by_name: policies.iter().map(|it| (it.name.clone(), it.id)).collect(),
            policies: policies.into_iter().map(|it| (it.id, it)).collect(),
        }
    }

    /// The rules of `settings` without any plan in the books, and with its dunning policies, numbered from 1.
    #[cfg(test)]
    pub(super) fn without_books(settings: &Settings) -> Rules {
        let policies: Vec<StoredPolicy> = settings
            .dunning
            .iter()
            .zip(1..)
            .map(|((name, policy), id)| StoredPolicy { id, name: name.clone(), policy: policy.clone() })
            .collect();
        Rules::of(settings, Vec::new(), policies)
    }

    /// When a charge that is opened `now` is audited first; none where nothing is.
    pub fn first_audit(&self, now: Instant) -> Option<Instant> {
        self.audit.ages.first().map(|age| now + delta(*age))
    }

    /// The plan version with this id.
    pub fn plan(&self, id: i64) -> Option<&StoredPlan> {
        self.plans.get(&id)
    }

    /// The latest version of a plan.
    pub fn plan_named(&self, name: &str) -> Option<&StoredPlan> {
        self.plans_by_name.get(name).and_then(|id| self.plans.get(id))
    }

    /// The names of all plans.
    pub fn plan_names(&self) -> impl Iterator<Item = &str> {
        self.plans_by_name.keys().map(String::as_str)
    }

    /// The policy version a case is pinned to, or the latest of that name for a case that begins.
    pub fn policy(&self, pinned: Option<i64>, name: &str) -> Option<(i64, &DunningPolicy)> {
        let id = pinned.or_else(|| self.policies_by_name.get(name).copied())?;
        self.policies.get(&id).map(|stored| (id, &stored.policy))
    }
}

/// The ledger that the config describes.
pub fn ledger_of(settings: &Settings) -> LedgerId {
    let channel = settings.gateway.processing_channel_id.as_deref().unwrap_or_default();
    LedgerId::new(&settings.installation.name, environment_of(settings), channel)
}

/// The environment in one word.
pub fn environment_of(settings: &Settings) -> &'static str {
    match settings.installation.environment {
        config::Environment::Sandbox => "sandbox",
        config::Environment::Live => "live",
    }
}

/// A setting's duration for arithmetic on instants; settings are bounded to far less than this could overflow.
pub(crate) fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
