//! The life of a subscription: declines and dunning, an authorisation that goes, first payments, downtime, cancellation. Each story
//! runs on both databases.

use crate::support::world::{BOTH, World, at, source_of};
use dues::domain::calendar::Zone;
use dues::engine::begin::{BeginError, Beginning};
use dues::engine::hand_over::HandOver;
use dues::gateway::payments::Terminal;
use dues::sandbox::{Outcome, Rule, Script};
use dues::store::customers::NewCustomer;

fn beginning(reference: &str) -> Beginning {
    Beginning {
        reference: reference.to_owned(),
        plan: "monthly".to_owned(),
        customer: NewCustomer {
            reference: reference.to_owned(),
            name: Some("Wallet Customer".to_owned()),
            email: Some("customer@example.com".to_owned()),
            country: "HK".to_owned(),
        },
        zone: "Asia/Hong_Kong".parse::<Zone>().unwrap(),
        anchor_on: None,
        terminal: Terminal::Web,
        another: false,
    }
}

#[tokio::test]
async fn a_wallet_that_stays_empty_ends_unpaid_and_later_periods_are_skipped() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let empty = Rule::decline("empty", "20051").for_source(&source_of("ORD-1"));
        world.sandbox.set_script(Script::of([empty]));
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-03-25T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 uncollectible", "ORD-1/1 skipped", "ORD-1/2 skipped"], "{on:?}");
        assert_eq!(world.attempts().await.len(), 5, "{on:?}: one try and four retries");
        assert_eq!(world.subscriptions().await, ["ORD-1 unpaid"], "{on:?}");
        let reasons = world.lines("SELECT DISTINCT reason AS line FROM charges WHERE state = 'skipped'").await;
        assert_eq!(reasons, ["unpaid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn each_class_of_decline_has_its_own_end() {
    for on in BOTH {
        for (code, charge, subscription, tries, reviews) in [
            ("20091", "ORD-1/0 uncollectible", "ORD-1 unpaid", 4, &[][..]),
            ("20777", "ORD-1/0 uncollectible", "ORD-1 unpaid", 5, &[]),
            ("30999", "ORD-1/0 uncollectible", "ORD-1 unpaid", 1, &[]),
            ("43401", "ORD-1/0 uncollectible", "ORD-1 unpaid", 1, &[]),
            ("20003", "ORD-1/0 in_review", "ORD-1 active", 1, &["configuration"]),
        ] {
            let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
            world.sandbox.set_script(Script::of([Rule::decline("declined", code)]));
            world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
            world.run_until("2026-02-15T00:00:00Z").await;
            assert_eq!(world.charges().await, [charge], "{on:?} {code}");
            assert_eq!(world.subscriptions().await, [subscription], "{on:?} {code}");
            assert_eq!(world.attempts().await.len(), tries, "{on:?} {code}");
            assert_eq!(world.reviews().await, reviews, "{on:?} {code}");
        }
    }
}

#[tokio::test]
async fn when_the_authorisation_is_gone_everything_on_the_source_stops_by_one_act() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        for (reference, plan, anchor_on) in [("ORD-1", "monthly", "2026-01-20"), ("ORD-2", "weekly", "2026-01-21")] {
            let hand_over = HandOver {
                reference: reference.to_owned(),
                plan: plan.to_owned(),
                source_id: source_of("SHARED"),
                first_payment_id: None,
                customer: beginning("SHARED").customer,
                anchor_on: anchor_on.parse().unwrap(),
                zone: "Asia/Hong_Kong".parse().unwrap(),
                next_charge_on: None,
            };
            let acceptable = world.engine.acceptable(hand_over).unwrap();
            world.engine.hand_over(&[acceptable]).await.unwrap();
        }
        world.sandbox.set_script(Script::of([Rule::decline("unbound", "20120")]));
        world.run_until("2026-01-22T12:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 unpaid", "ORD-2 unpaid"], "{on:?}");
        assert_eq!(world.charges().await, ["ORD-1/0 uncollectible", "ORD-2/0 skipped"], "{on:?}");
        assert_eq!(world.reviews().await, ["authorisation_gone"], "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 1, "{on:?}: the second subscription is never tried");
    }
}

#[tokio::test]
async fn a_first_payment_makes_its_subscription_active_and_its_source_chargeable() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T04:00:00Z", &[]).await;
        world.engine.begin(&beginning("ORD-1")).await.unwrap();
        let again = world.engine.begin(&beginning("ORD-1")).await;
        assert!(matches!(again, Err(BeginError::Taken { .. })), "{on:?}: never a second first payment by accident");
        world.run_until("2026-01-15T04:05:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 incomplete"], "{on:?}");
        let payment = world.sandbox.books().payments[0].id.clone();
        assert!(world.sandbox.approve(&payment));
        world.run_until("2026-01-15T06:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["ORD-1 active"], "{on:?}");
        world.run_until("2026-02-16T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-1/1 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_first_payment_pays_a_period_that_runs_or_begins_within_one_interval() {
    for on in BOTH {
        let mut world = World::new(on, "2026-02-10T04:00:00Z", &[]).await;
        let anchored = |reference: &str, anchor_on: &str| Beginning {
            anchor_on: Some(anchor_on.parse().unwrap()),
            // One customer begins all of them.
            another: true,
            ..beginning(reference)
        };
        for (anchor_on, told) in [
            ("2020-01-31", "the first period from 2020-01-31 on is over: give 2026-01-31, the first day"),
            ("2026-01-10", "the first period from 2026-01-10 on is over: give 2026-02-10, the first day"),
            ("2026-03-11", "more than 1 month from now, and it is paid now: give 2026-03-10 or an earlier day"),
            ("2031-02-10", "more than 1 month from now, and it is paid now: give 2026-03-10 or an earlier day"),
        ] {
            let refused = world.engine.begin(&anchored("ORD-9", anchor_on)).await.unwrap_err().to_string();
            assert!(refused.contains(told), "{on:?} {anchor_on}: {refused}");
        }
        world.run_until("2026-02-10T04:01:00Z").await;
        assert_eq!(world.subscriptions().await, [""; 0], "{on:?}: nothing is stored");
        assert_eq!(world.sandbox.books().payments.len(), 0, "{on:?}: nothing is sent");
        // The billing hour of the 10th, ten in the morning in Hong Kong, is past; that of the 11th of January is still running.
        for (reference, anchor_on) in [("ORD-1", "2026-01-11"), ("ORD-2", "2026-02-10"), ("ORD-3", "2026-03-10")] {
            world.engine.begin(&anchored(reference, anchor_on)).await.unwrap();
        }
        world.run_until("2026-02-10T04:05:00Z").await;
        for payment in world.sandbox.books().payments {
            assert!(world.sandbox.approve(&payment.id));
        }
        world.run_until("2026-02-10T12:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 paid", "ORD-2/0 paid", "ORD-3/0 paid"], "{on:?}: and none twice");
    }
}

#[tokio::test]
async fn a_first_payment_that_is_refused_or_left_alone_charges_nothing_ever() {
    for on in BOTH {
        for refused in [true, false] {
            let mut world = World::new(on, "2026-01-15T04:00:00Z", &[]).await;
            world.engine.begin(&beginning("ORD-1")).await.unwrap();
            world.run_until("2026-01-15T04:05:00Z").await;
            if refused {
                let payment = world.sandbox.books().payments[0].id.clone();
                assert!(world.sandbox.refuse(&payment));
            }
            world.run_until("2026-03-20T00:00:00Z").await;
            assert_eq!(world.subscriptions().await, ["ORD-1 incomplete_expired"], "{on:?} {refused}");
            assert_eq!(world.charges().await, ["ORD-1/0 uncollectible"], "{on:?} {refused}");
            assert_eq!(world.sandbox.books().captured_minor("HKD"), 0, "{on:?} {refused}");
        }
    }
}

#[tokio::test]
async fn downtime_changes_nothing_but_lateness_within_the_catch_up_rule() {
    for on in BOTH {
        for (rule, paid, held, skipped, reviews) in
            [("bill_all", 3, 9, 0, 1), ("bill_latest", 1, 0, 11, 0), ("skip", 0, 0, 12, 0), ("hold", 0, 12, 0, 1)]
        {
            let mut world = World::new(on, "2026-01-19T00:00:00Z", &[("catch_up.missed", rule)]).await;
            world.hand_over("ORD-1", "daily", "2026-01-20", None).await;
            world.clock.advance_to(at("2026-01-31T12:00:00Z"));
            world.round.until_quiet().await.unwrap();
            // Billing goes on while the days pass; the twelve missed days are those up to the 31st.
            world.run_until("2026-02-03T00:00:00Z").await;
            let charges = world.charges().await;
            let missed: Vec<&String> =
                charges.iter().filter(|it| it[6..].split(' ').next().unwrap().parse::<u32>().unwrap() < 12).collect();
            let count = |state: &str| missed.iter().filter(|it| it.ends_with(state)).count();
            assert_eq!(missed.len(), 12, "{on:?} {rule}: every period has its row");
            assert_eq!((count(" paid"), count(" held"), count(" skipped")), (paid, held, skipped), "{on:?} {rule}");
            assert_eq!(world.reviews().await.len(), reviews, "{on:?} {rule}");
            world.assert_books_agree().await;
        }
    }
}

#[tokio::test]
async fn one_missed_period_is_billed_however_late_and_a_backdated_start_only_its_latest() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        world.hand_over("LATE", "monthly", "2026-01-20", None).await;
        world.clock.advance_to(at("2026-02-19T00:00:00Z"));
        world.hand_over("BACK", "monthly", "2025-11-20", None).await;
        world.hand_over("EXACT", "monthly", "2025-11-20", Some("2026-03-20")).await;
        world.run_until("2026-02-19T12:00:00Z").await;
        assert_eq!(world.charges().await, ["BACK/0 skipped", "BACK/1 skipped", "BACK/2 paid", "LATE/0 paid"], "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn a_period_waits_for_the_open_outcome_of_its_predecessor_up_to_three_days() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-19T00:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([Rule::outcome("for ever", Outcome::Pending).times(1)]));
        world.hand_over("ORD-1", "daily", "2026-01-20", None).await;
        world.run_until("2026-01-24T01:00:00Z").await;
        assert_eq!(world.charges().await.len(), 1, "{on:?}");
        world.run_until("2026-01-24T04:00:00Z").await;
        assert!(world.charges().await.len() > 1, "{on:?}: after 72 hours the next period opens");
    }
}

#[tokio::test]
async fn cancel_wins_over_everything_not_yet_sent() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let empty = Rule::decline("empty", "20051").for_source(&source_of("DEBT"));
        world.sandbox.set_script(Script::of([empty]));
        for reference in ["DEBT", "KEEP", "LAST"] {
            world.hand_over(reference, "monthly", "2026-01-20", None).await;
        }
        world.run_until("2026-01-20T12:00:00Z").await;
        world.engine.cancel("DEBT", false, "asked by the customer", "test").await.unwrap();
        world.engine.cancel("LAST", true, "asked by the customer", "test").await.unwrap();
        world.run_until("2026-03-25T00:00:00Z").await;
        assert_eq!(world.subscriptions().await, ["DEBT canceled", "KEEP active", "LAST canceled"], "{on:?}");
        assert_eq!(
            world.charges().await,
            ["DEBT/0 void", "KEEP/0 paid", "KEEP/1 paid", "KEEP/2 paid", "LAST/0 paid"],
            "{on:?}"
        );
        assert!(world.engine.cancel("DEBT", false, "again", "test").await.is_err(), "{on:?}");
        assert!(world.engine.cancel("NOBODY", false, "x", "test").await.is_err(), "{on:?}");
        world.assert_books_agree().await;
    }
}

#[tokio::test]
async fn an_amount_over_the_limit_is_shown_to_a_person_and_not_sent() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-15T00:00:00Z", &[]).await;
        let mut rules = (*world.engine.rules).clone();
        rules.largest_charge_minor = 5_000;
        world.engine.rules = std::sync::Arc::new(rules);
        world.round = dues::engine::round::Round::new(world.engine.clone());
        world.hand_over("ORD-1", "monthly", "2026-01-20", None).await;
        world.run_until("2026-01-25T00:00:00Z").await;
        assert_eq!(world.charges().await, ["ORD-1/0 in_review"], "{on:?}");
        assert_eq!(world.reviews().await, ["over_limit"], "{on:?}");
        assert_eq!(world.sandbox.books().payments.len(), 0, "{on:?}");
    }
}
