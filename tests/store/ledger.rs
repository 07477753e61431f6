//! Books to test on: subscriptions, charges and attempts made by the store's own methods, without an engine.

use chrono::TimeDelta;
use dues::chance::Chance;
use dues::clock::Instant;
use dues::domain::attempt::AttemptState;
use dues::domain::calendar::Segment;
use dues::domain::charge::ChargeState;
use dues::domain::id::{ChargeId, ReviewId, SubscriptionId};
use dues::domain::money::Money;
use dues::domain::review::ReviewReason;
use dues::domain::source::SourceState;
use dues::domain::subscription::SubscriptionState;
use dues::row;
use dues::store::attempts::{Lease, NewAttempt};
use dues::store::changes::{AttemptChange, CaseChange, Changes, PaymentChange};
use dues::store::charges::NewCharge;
use dues::store::customers::NewCustomer;
use dues::store::db::Statement;
use dues::store::plans::StoredPlan;
use dues::store::reviews::NewReview;
use dues::store::subscriptions::NewSubscription;
use dues::store::{Store, StoreError, Tx};

use crate::support::world::{On, World, at, source_of};

row! { IdRow { id: i64 } }
row! { LineRow { line: String } }
row! { SeenRow { state: String, lease_epoch: i64 } }

/// Empty books with the plans of the stories.
pub struct Ledger {
    pub world: World,
    pub store: Store,
    pub now: Instant,
    pub chance: Chance,
    pub plan: StoredPlan,
}

pub fn minutes(minutes: i64) -> TimeDelta {
    TimeDelta::minutes(minutes)
}

impl Ledger {
    pub async fn new(on: On) -> Ledger {
        let world = World::new(on, "2026-01-10T00:00:00Z", &[]).await;
        let store = world.store.clone();
        let plans = store.plans().await.unwrap();
        let plan = plans.into_iter().find(|plan| plan.name == "monthly").unwrap();
        Ledger { now: at("2026-01-10T00:00:00Z"), chance: Chance::seeded(5), world, store, plan }
    }

    pub async fn begin(&self) -> Tx {
        self.store.begin("test").await.unwrap()
    }

    pub fn customer(&self, reference: &str) -> NewCustomer {
        NewCustomer {
            reference: format!("customer of {reference}"),
            name: Some("Wallet Customer".to_owned()),
            email: Some("wallet@example.com".to_owned()),
            country: "HK".to_owned(),
        }
    }

    pub fn subscription(&self, reference: &str, customer_id: i64, source_id: Option<i64>) -> NewSubscription {
        NewSubscription {
            public_id: SubscriptionId::new(self.now, self.chance.ten_bytes()),
            reference: reference.to_owned(),
            customer_id,
            source_id,
            state: SubscriptionState::Active,
            plan_id: self.plan.id,
            segment: Segment {
                first_index: 0,
                anchor_on: "2026-01-10".parse().unwrap(),
                hour: 8,
                zone: "Asia/Hong_Kong".parse().unwrap(),
                interval: self.plan.plan.interval,
            },
            next_index: 0,
            next_charge_at: self.now,
            first_payment_id: None,
        }
    }

    /// Enters an active subscription whose wallet is its own.
    pub async fn enter(&self, reference: &str) -> i64 {
        let mut tx = self.begin().await;
        let customer = self.customer(reference);
        let customers = tx.know_customers(std::slice::from_ref(&customer), self.now).await.unwrap();
        let source = source_of(reference);
        let sources = tx.know_sources([source.clone()], SourceState::Active, self.now).await.unwrap();
        let new = self.subscription(reference, customers[&customer.reference], Some(sources[&source].id));
        let entered = tx.enter_subscriptions(&[new], self.now).await.unwrap();
        tx.commit().await.unwrap();
        entered[reference]
    }

    pub fn charge(&self, subscription_id: i64, period_index: i64, state: ChargeState) -> NewCharge {
        NewCharge {
            public_id: ChargeId::new(self.now, self.chance.ten_bytes()),
            subscription_id,
            period_index,
            period_start_at: self.now,
            period_end_at: self.now + minutes(60),
            plan_id: self.plan.id,
            reference: format!("S{subscription_id}/{period_index}"),
            amount: Money::new(12_800, self.plan.plan.price.currency),
            state,
            reason: matches!(state, ChargeState::Held | ChargeState::Skipped).then_some("catch_up"),
            audit_at: None,
        }
    }

    /// Opens a charge in `state`.
    pub async fn open(&self, subscription_id: i64, period_index: i64, state: ChargeState) -> i64 {
        let mut tx = self.begin().await;
        let new = self.charge(subscription_id, period_index, state);
        let opened = tx.open_charges(std::slice::from_ref(&new), self.now).await.unwrap();
        tx.commit().await.unwrap();
        opened[&new.public_id.to_string()]
    }

    pub async fn intent(&self, charge_id: i64, n: i64, next_at: Instant) -> NewAttempt {
        let owner = "SELECT s.customer_id AS id FROM subscriptions s JOIN charges c ON c.subscription_id = s.id WHERE c.id = $1";
        let customer: IdRow = self.store.read_one(Statement::new(owner).bind(charge_id)).await.unwrap();
        NewAttempt {
            charge_id,
            n,
            idempotency_key: format!("key-{charge_id}-{n}"),
            kind: "recurring",
            customer_id: customer.id,
            body: "{}".to_owned(),
            body_digest: "digest".to_owned(),
            next_at,
        }
    }

    /// Commits an intent.
    pub async fn attempt(&self, charge_id: i64, n: i64, next_at: Instant) -> i64 {
        let intent = self.intent(charge_id, n, next_at).await;
        let mut tx = self.begin().await;
        tx.create_attempts(&[intent], self.now).await.unwrap();
        tx.commit().await.unwrap();
        let text = "SELECT id FROM attempts WHERE charge_id = $1 AND n = $2";
        self.store.read_one::<IdRow>(Statement::new(text).bind(charge_id).bind(n)).await.unwrap().id
    }

    /// A due charge of a subscription of its own, with its first attempt: charge and attempt.
    pub async fn due(&self, reference: &str, next_at: Instant) -> (i64, i64) {
        let subscription = self.enter(reference).await;
        let charge = self.open(subscription, 0, ChargeState::Due).await;
        (charge, self.attempt(charge, 1, next_at).await)
    }

    /// How an attempt would be written in `state`, under the guards that hold now.
    pub async fn change(&self, attempt_id: i64, state: AttemptState) -> AttemptChange {
        let text = "SELECT state, lease_epoch FROM attempts WHERE id = $1";
        let seen: SeenRow = self.store.read_one(Statement::new(text).bind(attempt_id)).await.unwrap();
        let sent = state != AttemptState::Created;
        AttemptChange {
            id: attempt_id,
            was: seen.state.parse().unwrap(),
            epoch: seen.lease_epoch,
            leased_epoch: seen.lease_epoch,
            state,
            payment_id: matches!(state, AttemptState::Pending | AttemptState::Captured)
                .then(|| format!("pay_{attempt_id}")),
            next_at: state.is_live().then_some(self.now + minutes(1)),
            lease_until: self.now,
            sends: i64::from(sent),
            looks: 0,
            late_looks: 0,
            first_sent_at: sent.then_some(self.now),
            last_sent_at: sent.then_some(self.now),
            unknown_since: None,
            server_error: false,
            answer_lost: false,
            missing_since: None,
            settled_at: (!state.is_live()).then_some(self.now),
        }
    }

    /// Writes an attempt in `state`.
    pub async fn bring(&self, attempt_id: i64, state: AttemptState) {
        let attempts = vec![self.change(attempt_id, state).await];
        self.apply(Changes { attempts, ..Changes::default() }).await.unwrap();
    }

    pub async fn apply(&self, changes: Changes) -> Result<(), StoreError> {
        let mut tx = self.begin().await;
        tx.apply(changes, "test", self.now).await?;
        tx.commit().await
    }

    /// An open dunning case whose next step comes at `next_step_at`.
    pub async fn case(&self, charge_id: i64, next_step_at: Option<Instant>) {
        let policies = self.store.dunning_policies().await.unwrap();
        let case = CaseChange {
            charge_id,
            policy_id: policies[0].id,
            state: "open",
            steps: 1,
            next_step_at,
            opened_at: self.now,
            closed_at: None,
        };
        self.apply(Changes { cases: vec![case], ..Changes::default() }).await.unwrap();
    }

    pub fn payment(&self, id: &str, charge_id: i64, status: &str, captured_minor: i64) -> PaymentChange {
        PaymentChange {
            gateway_payment_id: id.to_owned(),
            attempt_id: None,
            charge_id: Some(charge_id),
            kind: "recurring",
            reference: Some("reference".to_owned()),
            status: status.to_owned(),
            amount_minor: Some(12_800),
            currency: Some("HKD".to_owned()),
            captured_minor,
            refunded_minor: 0,
            response_code: None,
            decline_class: None,
            redirect_url: None,
            request_id: None,
        }
    }

    pub fn review(&self, reason: ReviewReason, subject: &str, charge_id: Option<i64>) -> NewReview {
        NewReview {
            public_id: ReviewId::new(self.now, self.chance.ten_bytes()),
            reason,
            subject: subject.to_owned(),
            subscription_id: None,
            charge_id,
            payment_id: None,
            evidence: "seen in a test".to_owned(),
        }
    }

    pub fn lease<'a>(&self, owner: &'a str, from: Instant, limit: u32) -> Lease<'a> {
        Lease { owner, now: from, until: from + minutes(5), charge_id: None, limit }
    }

    /// Changes the books as no method does.
    pub async fn run(&self, text: &'static str) {
        let mut tx = self.begin().await;
        tx.run(Statement::new(text)).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Every row of a query whose one column is called `line`.
    pub async fn lines(&self, query: &'static str) -> Vec<String> {
        self.world.lines(query).await
    }
}
