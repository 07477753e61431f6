//! Customers, plans, dunning policies and sources: the same again changes nothing, a difference makes a new version.

use dues::domain::dunning::Wait;
use dues::domain::source::SourceState;
use dues::store::StoreError;
use dues::store::db::Statement;
use dues::store::plans::{Guard, StoredPolicy};

use crate::ledger::Ledger;
use crate::support::world::BOTH;

#[tokio::test]
async fn a_customer_whose_data_change_gets_a_new_version() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let mut customer = ledger.customer("A");
        let key = customer.reference.clone();
        let mut tx = ledger.begin().await;
        let first = tx.know_customers(&[customer.clone(), customer.clone()], ledger.now).await.unwrap()[&key];
        assert_eq!(
            tx.know_customers(std::slice::from_ref(&customer), ledger.now).await.unwrap()[&key],
            first,
            "{on:?}"
        );
        customer.email = Some("new@example.com".to_owned());
        let second = tx.know_customers(std::slice::from_ref(&customer), ledger.now).await.unwrap()[&key];
        assert_ne!(first, second, "{on:?}");
        assert_eq!(
            tx.know_customers(std::slice::from_ref(&customer), ledger.now).await.unwrap()[&key],
            second,
            "{on:?}"
        );
        let people = tx.people(vec![first, second]).await.unwrap();
        assert_eq!(people[&first].email.as_deref(), Some("wallet@example.com"), "{on:?}: a version is never edited");
        assert_eq!(people[&second].email.as_deref(), Some("new@example.com"), "{on:?}");
        assert!(!format!("{customer:?}").contains("example.com"), "personal data is not printed");
    }
}

#[tokio::test]
async fn a_plan_that_changes_gets_a_new_version_and_the_old_one_stays() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let before = ledger.store.plans().await.unwrap();
        let settings = &ledger.world.settings;
        let mut plans = settings.plans.clone();
        ledger.store.sync_plans(&plans, &settings.dunning, Guard::Percent(50), ledger.now).await.unwrap();
        assert_eq!(ledger.store.plans().await.unwrap(), before, "{on:?}");
        plans.get_mut("monthly").unwrap().price.amount_minor = 13_800;
        ledger.store.sync_plans(&plans, &settings.dunning, Guard::Percent(50), ledger.now).await.unwrap();
        let after = ledger.store.plans().await.unwrap();
        assert_eq!(after.len(), before.len() + 1, "{on:?}");
        let monthly: Vec<(i64, i64)> = after
            .iter()
            .filter(|plan| plan.name == "monthly")
            .map(|plan| (plan.version, plan.plan.price.amount_minor))
            .collect();
        assert_eq!(monthly, [(1, 12_800), (2, 13_800)], "{on:?}");
    }
}

#[tokio::test]
async fn a_price_that_changes_too_far_waits_for_an_operator() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let settings = &ledger.world.settings;
        let mut plans = settings.plans.clone();
        plans.get_mut("monthly").unwrap().price.amount_minor = 1_280_000;
        let guard = Guard::Percent(50);
        let withheld = ledger.store.sync_plans(&plans, &settings.dunning, guard, ledger.now).await.unwrap();
        assert_eq!(withheld.into_iter().collect::<Vec<_>>(), ["monthly"], "{on:?}");
        let latest = async || {
            let plans = ledger.store.plans().await.unwrap();
            plans.into_iter().rfind(|it| it.name == "monthly").unwrap().plan.price.amount_minor
        };
        assert_eq!(latest().await, 12_800, "{on:?}");
        let accepted = |names| Guard::Accepted { percent: 50, names, operator: "operator", reason: "meant" };
        let other = ["weekly".to_owned()];
        let withheld = ledger.store.sync_plans(&plans, &settings.dunning, accepted(&other), ledger.now).await.unwrap();
        assert_eq!(withheld.len(), 1, "{on:?}: another plan was accepted");
        let names = ["monthly".to_owned()];
        let withheld = ledger.store.sync_plans(&plans, &settings.dunning, accepted(&names), ledger.now).await.unwrap();
        assert!(withheld.is_empty(), "{on:?}");
        assert_eq!(latest().await, 1_280_000, "{on:?}");
        let journal =
            ledger.lines("SELECT actor || ' ' || detail AS line FROM journal WHERE act = 'plan accepted'").await;
        assert_eq!(journal, ["operator monthly: 12800.00 HKD a month: meant"], "{on:?}");
        let again = ledger.store.sync_plans(&plans, &settings.dunning, guard, ledger.now).await.unwrap();
        assert!(again.is_empty(), "{on:?}: what was accepted is no change any more");
    }
}

#[tokio::test]
async fn subscribers_are_counted_by_the_version_that_they_are_on() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        ledger.enter("A").await;
        ledger.enter("B").await;
        let counted = ledger.store.subscribers_by_plan().await.unwrap();
        assert_eq!(counted.into_iter().collect::<Vec<_>>(), [(ledger.plan.id, 2)], "{on:?}");
    }
}

#[tokio::test]
async fn a_dunning_policy_that_changes_gets_a_new_version() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let settings = &ledger.world.settings;
        let before = ledger.store.dunning_policies().await.unwrap();
        let mut policies = settings.dunning.clone();
        ledger.store.sync_plans(&settings.plans, &policies, Guard::Percent(50), ledger.now).await.unwrap();
        assert_eq!(ledger.store.dunning_policies().await.unwrap(), before, "{on:?}");
        let changed = policies.get_mut("standard").unwrap();
        changed.funds = vec![Wait::Days(2)];
        let changed = changed.clone();
        ledger.store.sync_plans(&settings.plans, &policies, Guard::Percent(50), ledger.now).await.unwrap();
        let after = ledger.store.dunning_policies().await.unwrap();
        let standard: Vec<&StoredPolicy> = after.iter().filter(|policy| policy.name == "standard").collect();
        assert_eq!((after.len(), standard.len()), (before.len() + 1, 2), "{on:?}");
        assert_eq!(standard[1].policy, changed, "{on:?}");
    }
}

#[tokio::test]
async fn a_plan_version_that_cannot_be_read_hides_no_other() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let plans = ledger.store.plans().await.unwrap();
        let mut tx = ledger.begin().await;
        tx.run(Statement::new("INSERT INTO currencies (code, exponent) VALUES ('QQQ', 2)")).await.unwrap();
        let spoil = Statement::new("UPDATE plans SET currency = 'QQQ' WHERE id = $1").bind(plans[0].id);
        tx.run(spoil).await.unwrap();
        let mut read = tx.plan_versions([plans[0].id, plans[1].id, -1]).await.unwrap();
        assert_eq!(read.len(), 2, "{on:?}");
        assert_eq!(read.remove(&plans[1].id).unwrap().unwrap(), plans[1], "{on:?}");
        let fault = read.remove(&plans[0].id).unwrap();
        assert!(matches!(fault, Err(StoreError::Inconsistent { column: "currency", .. })), "{on:?} {fault:?}");
    }
}

#[tokio::test]
async fn a_source_is_known_once() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let mut tx = ledger.begin().await;
        let twice = || ["src_1".to_owned(), "src_1".to_owned()];
        let first = tx.know_sources(twice(), SourceState::Active, ledger.now).await.unwrap();
        let again = tx.know_sources(twice(), SourceState::Provisional, ledger.now).await.unwrap();
        assert_eq!(first, again, "{on:?}");
        assert_eq!(first["src_1"].state, SourceState::Active, "{on:?}");
        assert_eq!(tx.know_sources([], SourceState::Active, ledger.now).await.unwrap().len(), 0, "{on:?}");
        tx.commit().await.unwrap();
        assert_eq!(ledger.lines("SELECT state AS line FROM sources").await, ["active"], "{on:?}");
        let known = ledger.store.known_sources(["src_1".to_owned(), "src_2".to_owned()]).await.unwrap();
        assert_eq!(known, first, "{on:?}");
    }
}

#[tokio::test]
async fn a_reference_is_entered_once() {
    for on in BOTH {
        let ledger = Ledger::new(on).await;
        let id = ledger.enter("A").await;
        let mut tx = ledger.begin().await;
        let again = ledger.subscription("A", 1, Some(1));
        assert!(tx.enter_subscriptions(&[again], ledger.now).await.unwrap().is_empty(), "{on:?}");
        let schedule = tx.schedules(vec![id]).await.unwrap().remove(&id).unwrap().unwrap();
        assert_eq!(schedule.plan_of(7), Some(ledger.plan.id), "{on:?}");
        assert_eq!(schedule.plan_of(-1), None, "{on:?}");
        let taken = tx.taken_references(&["A", "B"]).await.unwrap();
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), ["A"], "{on:?}");
        assert!(tx.taken_references(&[]).await.unwrap().is_empty(), "{on:?}");
        drop(tx);
        let taken = ledger.store.taken_references(&["A", "B"]).await.unwrap();
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), ["A"], "{on:?}");
    }
}
