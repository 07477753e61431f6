//! The checks of a hand-over for who only wants to know: an engine would pin the books and bring the config's plans into them.

use std::collections::{BTreeMap, BTreeSet};

use super::doubles::{self, Known, Verdicts};
use super::{Acceptable, BeyondPlan, HandOver, Refusal, accept};
use crate::clock::Instant;
use crate::config::{Brake, Settings};
use crate::domain::catch_up::CatchUp;
use crate::engine::Rules;
use crate::engine::grants::Grants;
use crate::store::plans::StoredPlan;
use crate::store::{Store, StoreError};

/// What a hand-over would come to.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    plans: BTreeMap<String, StoredPlan>,
    withheld: BTreeSet<String>,
    catch_up: CatchUp,
    brake: Brake,
    grants: Grants,
}

impl Rehearsal {
    /// The plans of the books, and over them those of the config as they would be brought in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn new(settings: &Settings, store: &Store) -> Result<Rehearsal, StoreError> {
        let stored = store.plans().await?.into_iter().map(|it| (it.name.clone(), it));
        let configured = settings.plans.iter().map(|(name, plan)| {
            // Nothing is entered under this id.
            (name.clone(), StoredPlan { id: 0, name: name.clone(), version: 0, plan: plan.clone() })
        });
        Ok(Rehearsal {
            plans: stored.chain(configured).collect(),
            withheld: Rules::withheld_of(settings, store).await?,
            catch_up: settings.catch_up.clone(),
            brake: settings.brake,
            grants: Grants::default(),
        })
    }

    /// Checks one subscription against plans and calendar.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn acceptable(&self, hand_over: HandOver, now: Instant) -> Result<Acceptable, Refusal> {
        if self.withheld.contains(&hand_over.plan) {
            return Err(Refusal::Withheld(hand_over.plan));
        }
        let plan = self.plans.get(&hand_over.plan);
        accept(hand_over, plan, &self.catch_up, now)
    }

    /// Why the books would refuse some of a set, by reference, and which of the others would be one more on a source and plan: what
    /// [`crate::engine::Engine::hand_over_on`] finds when it enters them. What it would enter is counted for [`Rehearsal::beyond_plan`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn judge(
        &mut self,
        set: &[Acceptable],
        another: bool,
        store: &Store,
    ) -> Result<(BTreeMap<String, Refusal>, BTreeSet<String>), StoreError> {
        if set.is_empty() {
            return Ok(Default::default());
        }
        let asked = doubles::asked(set);
        let known = Known {
            sources: store.known_sources(set.iter().map(|it| it.hand_over.source_id.clone())).await?,
            begun_by: store.begun_by(&asked).await?,
            beside: store.beside(&asked).await?,
        };
        let Verdicts { refused, beside } = doubles::judge(set, &known, another);
        let now = store.clock().now();
        for it in set.iter().filter(|it| !refused.contains_key(it.reference())) {
            it.granted(now, &mut self.grants);
        }
        Ok((refused, beside))
    }

    /// How many charges of what was judged the plans of today and tomorrow have no room for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn beyond_plan(&self, store: &Store) -> Result<BeyondPlan, StoreError> {
        self.grants.beyond(store, &self.brake, store.clock().now()).await
    }

    /// The names of all plans.
    pub fn plan_names(&self) -> impl Iterator<Item = &str> {
        self.plans.keys().map(String::as_str)
    }
}
