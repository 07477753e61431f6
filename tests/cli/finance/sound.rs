//! While the books are sound, nothing stands among the exceptions, and the sums are the gateway's.

use std::time::Duration;

use dues::row;
use dues::sandbox::{Fault, Outcome, Rule, Script};
use dues::store::db::Statement;

use super::story;
use crate::support::world::{BOTH, World, at, source_of};

row! { SumsRow { currency: String, collected_minor: i64, refunded_minor: i64 } }

/// Every exception, one a line.
pub const EXCEPTIONS: &str = "SELECT rule || ' ' || COALESCE(subscription_reference, '-') || ': ' || detail AS line \
                              FROM finance_exceptions ORDER BY rule, subscription_reference";

#[tokio::test]
async fn a_sound_story_leaves_no_exception() {
    for on in BOTH {
        let world = story::told(on).await;
        assert_eq!(world.lines(EXCEPTIONS).await, [""; 0], "{on:?}");
        world.store.heartbeat(world.clock.now()).await.unwrap();
        assert_eq!(world.lines(EXCEPTIONS).await, [""; 0], "{on:?}");
        let subscriptions = world
            .lines(
                "SELECT subscription_reference || ' ' || state || ' ' || CAST(paid_periods AS TEXT) || '/' || \
                 CAST(periods AS TEXT) || ' ' || CAST(collected_amount AS TEXT) || ' ' || currency || ' open ' || \
                 CAST(open_amount AS TEXT) AS line FROM finance_subscriptions ORDER BY subscription_reference",
            )
            .await;
        assert_eq!(
            subscriptions,
            [
                "BACK active 3/3 384.00 HKD open 0.00",
                "DEBT past_due 0/1 0.00 HKD open 128.00",
                "GONE unpaid 0/3 0.00 HKD open 0.00",
                "LAST canceled 2/2 256.00 HKD open 0.00",
                "LION active 3/3 57.15 SGD open 0.00",
                "LOST active 3/3 384.00 HKD open 0.00",
                "PAID active 3/3 384.00 HKD open 0.00",
                "STOP canceled 2/2 256.00 HKD open 0.00",
            ],
            "{on:?}"
        );
    }
}

#[tokio::test]
async fn no_exception_shows_up_on_the_way_either() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-01T00:00:00Z", &[]).await;
        let of = |rule: Rule, reference: &str| rule.for_source(&source_of(reference));
        world.sandbox.set_script(Script::of([
            of(Rule::outcome("slow", Outcome::Pending), "SLOW").times(1),
            of(Rule::fault("before", Fault::ErrorBefore(503)), "BUSY").times(2),
            of(Rule::fault("lost", Fault::LostRequest), "LOST").times(2),
            of(Rule::decline("empty", "20051"), "DEBT").times(20),
            of(Rule::decline("wrong", "20003"), "ODD").times(1),
            of(Rule::decline("gone", "200R1"), "GONE").times(1),
        ]));
        for reference in ["SLOW", "BUSY", "LOST", "DEBT", "ODD", "GONE", "FINE"] {
            world.hand_over(reference, "weekly", "2026-01-05", None).await;
        }
        let until = at("2026-02-20T00:00:00Z");
        while world.clock.now() < until {
            world.round.until_quiet().await.unwrap();
            world.store.heartbeat(world.clock.now()).await.unwrap();
            assert_eq!(world.lines(EXCEPTIONS).await, [""; 0], "{on:?} at {}", world.clock.now());
            world.clock.advance(Duration::from_secs(9 * 3600));
        }
    }
}

#[tokio::test]
async fn the_sums_are_the_gateways() {
    for on in BOTH {
        let world = story::told(on).await;
        let theirs = world.sandbox.books();
        for text in [
            "SELECT currency, CAST(SUM(collected_minor) AS BIGINT) AS collected_minor, \
             CAST(SUM(refunded_minor) AS BIGINT) AS refunded_minor FROM finance_charges GROUP BY currency ORDER BY currency",
            "SELECT currency, CAST(SUM(captured_minor) AS BIGINT) AS collected_minor, \
             CAST(SUM(refunded_minor) AS BIGINT) AS refunded_minor FROM finance_payments GROUP BY currency ORDER BY currency",
            "SELECT currency, CAST(SUM(collected_minor) AS BIGINT) AS collected_minor, \
             CAST(SUM(refunded_minor) AS BIGINT) AS refunded_minor FROM finance_subscriptions GROUP BY currency ORDER BY currency",
        ] {
            let sums: Vec<SumsRow> = world.store.read(Statement::new(text)).await.unwrap();
            let wanted = ["HKD", "SGD"].map(|currency| SumsRow {
                currency: currency.to_owned(),
                collected_minor: theirs.captured_minor(currency),
                refunded_minor: theirs.refunded_minor(currency),
            });
            assert_eq!(sums, wanted, "{on:?} {text}");
        }
    }
}

#[tokio::test]
async fn a_charge_says_how_it_was_paid_or_why_not() {
    for on in BOTH {
        let world = story::told(on).await;
        let recovered = world
            .lines(
                "SELECT subscription_reference || '/' || CAST(period_index AS TEXT) || ' ' || paid_month || ' ' || \
                 CAST(attempts AS TEXT) || ' ' || CAST(declines AS TEXT) || ' ' || CAST(retries AS TEXT) || ' ' || \
                 last_decline_code || ' ' || last_decline_class AS line FROM finance_charges WHERE recovered = 1",
            )
            .await;
        assert_eq!(recovered, ["BACK/0 2026-01 3 2 2 20051 funds"], "{on:?}");
        let unpaid = world
            .lines(
                "SELECT subscription_reference || '/' || CAST(period_index AS TEXT) || ' ' || due_month || ' ' || state || ' ' \
                 || COALESCE(reason, '-') || ' ' || CASE WHEN next_at IS NULL THEN 'no next' ELSE 'next' END AS line \
                 FROM finance_charges WHERE state <> 'paid' ORDER BY subscription_reference, period_index",
            )
            .await;
        assert_eq!(
            unpaid,
            [
                "DEBT/0 2026-03 retrying funds next",
                "GONE/0 2026-01 uncollectible authorisation_gone no next",
                "GONE/1 2026-02 skipped unpaid no next",
                "GONE/2 2026-03 skipped unpaid no next",
            ],
            "{on:?}"
        );
        let reviews = world
            .lines("SELECT reason || ' ' || subscription_reference || ' ' || CAST(amount AS TEXT) AS line FROM finance_reviews")
            .await;
        assert_eq!(reviews, ["authorisation_gone GONE 128.00"], "{on:?}");
    }
}

#[tokio::test]
async fn canceling_at_the_period_end_during_dunning_leaves_nothing_open() {
    for on in BOTH {
        let mut world = World::new(on, "2026-01-01T00:00:00Z", &[]).await;
        let debt = Rule::decline("empty", "20051").for_source(&source_of("DEBT")).times(99);
        world.sandbox.set_script(Script::of([debt]));
        world.hand_over("DEBT", "daily", "2026-01-05", None).await;
        world.run_until("2026-01-05T12:00:00Z").await;
        world.engine.cancel("DEBT", true, "no longer needed", "test").await.unwrap();
        world.run_until("2026-02-01T00:00:00Z").await;
        assert_eq!(world.charges().await, ["DEBT/0 void"], "{on:?}");
        assert_eq!(world.lines(EXCEPTIONS).await, [""; 0], "{on:?}");
    }
}
