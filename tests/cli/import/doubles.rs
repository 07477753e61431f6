//! One source, one plan and one first payment are one subscription, unless somebody says that one more is meant.

use dues::engine::hand_over::{Acceptable, HandOver, Terms};
use dues::store::customers::NewCustomer;
use dues::store::db::Statement;

use super::shop::{Way, counts, csv, good, hand_over, rejected};
use crate::support::world::{BOTH, World};

const NOW: &str = "2026-01-20T00:00:00Z";
const COLUMNS: &str = "reference,plan,source_id,first_payment_id,anchor_on,next_charge_on";

fn row(reference: &str, plan: &str, source_id: &str, payment_id: &str) -> String {
    let next_on = if plan == "weekly" { "2026-02-05" } else { "2099-01-15" };
    format!("{reference},{plan},{source_id},{payment_id},2026-01-15,{next_on}")
}

fn file(rows: &[String]) -> String {
    format!("{COLUMNS}\n{}\n", rows.join("\n"))
}

#[tokio::test]
async fn a_first_payment_and_a_source_with_its_plan_stand_in_a_file_once() {
    let rows = file(&[
        row("DBL-1", "monthly", "src_a", "pay_a"),
        row("dbl-1", "monthly", "src_a", "pay_a"),
        row("A1", "monthly", "src_b", ""),
        row("A2", "monthly", "src_b", ""),
        row("A3", "weekly", "src_b", ""),
        row("A4", "weekly", "src_c", "pay_a"),
        row("V1", "monthly", "src_v", ""),
        row("V1\u{200b}", "monthly", "src_w", ""),
    ]);
    let begun =
        |line: u64| format!("{line}: first_payment_id stands on line 2 already: one payment begins one subscription");
    let one_more = "5: source_id stands on line 4 already with the same plan: import with --another where one more subscription is meant";
    let hidden = "9: reference holds an invisible character, U+200B: write it without";
    for on in BOTH {
        let world = World::new(on, NOW, &[]).await;
        for dry_run in [true, false] {
            let summary = hand_over(&world, &rows, Way { dry_run, ..Way::CSV }).await.unwrap();
            let wanted = [begun(3), one_more.to_owned(), begun(7), hidden.to_owned()];
            assert_eq!(rejected(&summary), wanted, "{on:?} {dry_run}");
        }
        let there = ["A1 active", "A3 active", "DBL-1 active", "V1 active"];
        assert_eq!(world.subscriptions().await, there, "{on:?}");
        // The same again changes nothing, and says the same of what is not there.
        let again = hand_over(&world, &rows, Way::CSV).await.unwrap();
        assert_eq!(counts(&again), [8, 0, 4, 4], "{on:?}");
        assert_eq!(world.subscriptions().await, there, "{on:?}");
        // Where it is meant it goes in, and is counted; one payment still begins one subscription.
        for dry_run in [true, false] {
            let way = Way { another: true, dry_run, ..Way::CSV };
            let summary = hand_over(&world, &rows, way).await.unwrap();
            assert_eq!((counts(&summary), summary.another), ([8, 1, 4, 3], 1), "{on:?} {dry_run}");
            let told = "Beside another subscription on the same source and plan: 1.".to_owned();
            assert!(summary.sentences().contains(&told), "{on:?} {dry_run}");
        }
        assert_eq!(world.subscriptions().await.len(), 5, "{on:?}");
    }
}

#[tokio::test]
async fn what_the_books_hold_stands_in_the_way_until_it_ends() {
    for on in BOTH {
        let world = World::new(on, NOW, &[]).await;
        hand_over(&world, file(&[row("A1", "monthly", "src_a", "pay_a")]), Way::CSV).await.unwrap();
        let rows = file(&[row("B1", "monthly", "src_a", ""), row("B2", "weekly", "src_b", "pay_a")]);
        let begun = "3: first_payment_id began a subscription of the books already, \"A1\": one payment begins one subscription";
        let stands =
            "2: source_id is charged for this plan already, by \"A1\": import with --another where one more is meant";
        for dry_run in [true, false] {
            let summary = hand_over(&world, &rows, Way { dry_run, ..Way::CSV }).await.unwrap();
            assert_eq!(rejected(&summary), [stands, begun], "{on:?} {dry_run}");
        }
        // Of what is refused nothing goes in.
        let sources = world.lines("SELECT gateway_source_id AS line FROM sources").await;
        assert_eq!(sources, ["src_a"], "{on:?}");
        let mut tx = world.store.begin("end").await.unwrap();
        let end = "UPDATE subscriptions SET state = 'canceled', ended_at = $1";
        tx.run(Statement::new(end).bind(world.clock.now())).await.unwrap();
        tx.commit().await.unwrap();
        let summary = hand_over(&world, &rows, Way::CSV).await.unwrap();
        assert_eq!(rejected(&summary), [begun], "{on:?}: the payment has begun what has ended");
        assert_eq!(world.subscriptions().await, ["A1 canceled", "B1 active"], "{on:?}");
    }
}

fn acceptable(world: &World, reference: &str, source_id: &str, payment_id: Option<&str>) -> Acceptable {
    let hand_over = HandOver {
        reference: reference.to_owned(),
        plan: "monthly".to_owned(),
        source_id: source_id.to_owned(),
        first_payment_id: payment_id.map(str::to_owned),
        customer: NewCustomer { reference: reference.to_owned(), name: None, email: None, country: "HK".to_owned() },
        anchor_on: "2026-02-01".parse().unwrap(),
        zone: "Asia/Hong_Kong".parse().unwrap(),
        next_charge_on: None,
    };
    world.engine.acceptable(hand_over).unwrap()
}

#[tokio::test]
async fn two_imports_at_once_enter_one_of_two_that_would_be_one_too_many() {
    let terms = Terms { acknowledged: true, another: false };
    for on in BOTH {
        let world = World::new(on, NOW, &[]).await;
        for round in 0..5 {
            let one = [
                acceptable(&world, &format!("A{round}"), &format!("src_{round}"), None),
                acceptable(&world, &format!("P{round}"), &format!("src_p{round}"), Some(&format!("pay_{round}"))),
            ];
            let other = [
                acceptable(&world, &format!("B{round}"), &format!("src_{round}"), None),
                acceptable(&world, &format!("Q{round}"), &format!("src_q{round}"), Some(&format!("pay_{round}"))),
            ];
            let (one, other) =
                tokio::join!(world.engine.hand_over_on(&one, terms), world.engine.hand_over_on(&other, terms));
            let (one, other) = (one.unwrap(), other.unwrap());
            assert_eq!(one.entered.len() + other.entered.len(), 2, "{on:?} {one:?} {other:?}");
            assert_eq!(one.refused.len() + other.refused.len(), 2, "{on:?} {one:?} {other:?}");
        }
    }
}

#[tokio::test]
async fn a_row_that_states_otherwise_than_the_books_is_not_passed_over() {
    for on in BOTH {
        let world = World::new(on, NOW, &[]).await;
        hand_over(&world, csv(&[good("A1"), good("A2"), good("A3"), good("A4")]), Way::CSV).await.unwrap();
        let changed = csv(&[
            good("A1").replace("src_A1", "src_new"),
            good("A2").replace("monthly", "weekly").replace("2025-01-15,2099-01-15", "2026-02-01,"),
            good("A3").replace("wallet@", "private@"),
            good("A4").replace("wallet@example.com", "").replace("Wallet", "Other"),
        ]);
        let then = "an import changes nothing that is there; where the row is right, end that one by `dues subscription cancel` and \
                    enter the row under a new reference";
        for dry_run in [true, false] {
            let summary = hand_over(&world, &changed, Way { dry_run, ..Way::CSV }).await.unwrap();
            let wanted = [
                format!("2: reference is there with another source_id, src_A1: {then}"),
                format!("3: reference is there with another plan, monthly: {then}"),
                format!("4: reference is there with another customer_email: {then}"),
            ];
            assert_eq!(rejected(&summary), wanted, "{on:?} {dry_run}");
            assert_eq!((counts(&summary), summary.there_otherwise), ([4, 0, 1, 3], 3), "{on:?} {dry_run}");
        }
    }
}
