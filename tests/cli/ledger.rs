//! `dues ledger` and `dues resume-collecting`: what stopped the daemons is shown, and lifted by somebody who has read it.

use std::time::Duration;

use dues::chance::Chance;
use dues::clock::Clock;
use dues::engine::open;
use dues::engine::round::Round;
use dues::row;
use dues::sandbox;
use dues::store::db::Statement;
use dues::store::fences::NewFence;
use dues::store::{DatabaseUrl, Store};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::shop::{Shop, said};
use crate::support::world::{BOTH, On, World, at, settings};

row! { NothingRow {} }

/// Books that are held since `reason` was seen, as an engine leaves them.
async fn held(on: On, reason: &'static str, lost_sends: i64) -> Shop {
    let shop = Shop::new(on).await;
    let world = shop.world.as_ref().unwrap();
    let mut tx = world.store.begin("test").await.unwrap();
    tx.beat_installation(None, at("2026-02-26T12:00:00Z")).await.unwrap();
    let fence = NewFence { reason, detail: "set back in time".to_owned(), lost_sends, holds: true };
    tx.raise_fence(&fence, "one", world.clock.now()).await.unwrap();
    tx.run(Statement::new(
        "INSERT INTO review_cases (public_id, reason, subject, evidence, suggestion, opened_at) \
         SELECT 'rev_hold', 'hold', 'these books', 'set back in time', 'read it', heartbeat_at FROM installation",
    ))
    .await
    .unwrap();
    tx.commit().await.unwrap();
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_is_shown_with_what_may_be_lost() {
    for on in BOTH {
        let shop = held(on, "rewound", 7).await;
        let said = shop.dues(&["ledger", "show"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{on:?}");
        for told in [
            "held                   since 2026-03-01 12:00:00 UTC: rewound; nothing is sent until `dues ledger acknowledge`",
            "looked up first        what fell due before 2026-03-01 12:00:00 UTC",
            "cancellations, pauses, decisions, refunds, prices, imports and erasures made between 2026-02-26 12:00:00 UTC, the last heartbeat in these books, \
             and 2026-03-01 12:00:00 UTC: 3 d 0 h",
            "What no look-up brings back",
            "still to be looked up  4 charges; more may be adopted",
            "dues subscription cancel",
            "dues subscription pause, resume",
            "dues customer erase",
        ] {
            assert!(said.out.contains(told), "{on:?}: {told:?} is missing in\n{}", said.out);
        }
        let document = shop.json(&["ledger", "show"]);
        assert_eq!(document["held"]["reason"], "rewound", "{on:?}");
        assert_eq!(document["still_to_be_looked_up"], 4, "{on:?}");
        assert_eq!(document["may_be_lost"]["from"], "2026-02-26T12:00:00Z", "{on:?}");
        assert_eq!(document["may_be_lost"]["kinds"][3]["last_known"], "ORD-3", "{on:?}");
        assert_eq!((&document["fences"][0]["lost_sends"], &document["config_differs"]), (&json!(7), &json!(null)));
        let node = &document["nodes"][0];
        assert!(node["sends"].as_i64().unwrap() > 0, "{on:?} {document}");
        if on == On::Sqlite {
            assert_eq!(node["sends"], node["file_sends"], "{document}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_lifted_by_somebody_who_says_why() {
    for on in BOTH {
        let shop = held(on, "rewound", 0).await;
        let acknowledge = ["ledger", "acknowledge", "--reason", "cancellations entered again"];
        let unasked = shop.dues(&acknowledge);
        assert_eq!(unasked.code, 2, "{on:?} {unasked:?}");
        assert!(unasked.err.contains("--yes") && unasked.out.contains("What no look-up brings back"), "{unasked:?}");
        assert_eq!(shop.json(&["ledger", "show"])["held"]["reason"], "rewound", "{on:?}: nothing was changed");
        let lifted = shop.dues(&[&acknowledge[..], &["--operator", "Night Shift", "--yes"]].concat());
        assert_eq!(lifted.code, 0, "{on:?} {lifted:?}");
        assert!(lifted.err.starts_with("dues: still to be looked up: 4; what is listed"), "{on:?} {lifted:?}");
        for told in [
            "the hold is lifted by Night Shift; nothing waits to be sent now.\n",
            "What fell due before 2026-03-01 12:00:00 UTC is looked up at the gateway before it is sent",
            "No daemon is alive: start one, and it goes on from here.\n",
        ] {
            assert!(lifted.out.contains(told), "{on:?}: {told:?} is missing in\n{}", lifted.out);
        }
        let document = shop.json(&["ledger", "show"]);
        assert_eq!((&document["held"], &document["may_be_lost"]), (&json!(null), &json!(null)), "{on:?}");
        assert_eq!(document["fences"][0]["acknowledged_by"], "Night Shift", "{on:?}");
        let case = shop.json(&["review", "show", "rev_hold"]);
        assert_eq!(
            (&case["resolution"], &case["resolved_by"]),
            (&json!("cancellations entered again"), &json!("Night Shift"))
        );
        let world = shop.world.as_ref().unwrap();
        let entry = "SELECT actor || ': ' || act || ' ' || was || ' > ' || now || ', ' || detail AS line FROM journal WHERE act = 'hold'";
        assert_eq!(
            world.lines(entry).await,
            ["Night Shift: hold held > lifted, cancellations entered again"],
            "{on:?}"
        );
        let again = shop.dues(&acknowledge);
        let told = "nothing is held; there is nothing to acknowledge\n";
        assert_eq!((again.code, again.out.as_str()), (0, told), "{on:?}");
        assert_eq!(shop.json(&acknowledge)["acknowledged"], 0, "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_was_raised_while_somebody_read_keeps_the_hold() {
    for on in BOTH {
        let shop = held(on, "rewound", 0).await;
        let store = &shop.world.as_ref().unwrap().store;
        let refused = dues::engine::lift::acknowledge(store, 0, "not read", "tester").await.unwrap_err();
        assert!(refused.to_string().contains("another fence was raised meanwhile"), "{on:?} {refused}");
        assert!(store.fence_state().await.unwrap().held_at.is_some(), "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_nobody_has_begun_have_no_fence() {
    let shop = Shop::without_books();
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    let said = shop.dues(&["ledger", "show"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.err.contains("nobody has begun these books"), "{said:?}");
}

/// The backup of three days ago, with the file outside the database that is of today.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_held_and_nobody_is_charged_twice_once_it_is_acknowledged() {
    let mut world = World::new(On::Sqlite, "2026-01-10T00:00:00Z", &[]).await;
    world.engine.take_name(false).await.unwrap();
    for (reference, anchor_on) in [
        ("OLD", "2026-01-12"),
        ("ONE", "2026-01-16"),
        ("TWO", "2026-01-16"),
        ("TEN", "2026-01-17"),
        ("NEW", "2026-01-19"),
    ] {
        world.hand_over(reference, "monthly", anchor_on, Some(anchor_on)).await;
    }
    world.run_until("2026-01-15T00:00:00Z").await;
    world.engine.beat().await.unwrap();
    let mut shop = Shop::without_books();
    let backup = shop.path("restored.db");
    let copy: &'static str = format!("VACUUM INTO '{}'", backup.display()).leak();
    let _no_rows: Vec<NothingRow> = world.store.read(Statement::new(copy)).await.unwrap();
    world.run_until("2026-01-18T00:00:00Z").await;

    let original = world.settings.database.url.expose_secret().trim_start_matches("sqlite:").to_owned();
    let (url, mark) = (format!("sqlite:{}", backup.display()), format!("{original}.sends"));
    shop.use_books(&url);
    let restored = settings(&url, &[("installation.high_water_file", mark.as_str())]);
    let books = DatabaseUrl::parse(&url).unwrap();
    let store = Store::open(&books, 4, Duration::from_secs(10), world.clock.clone()).await.unwrap();
    let key = sandbox::Settings::default().secret_key;
    let engine =
        open::engine(&restored, store, world.sandbox.in_process(), &key, Chance::seeded(12), true).await.unwrap();
    engine.take_name(false).await.unwrap();
    let mut round = Round::new(engine);
    round.until_quiet().await.unwrap();
    let captured = world.sandbox.books().captured_minor("HKD");

    let flag = format!("installation.high_water_file={mark}");
    let document = shop.json(&["ledger", "show", "--set", &flag]);
    assert_eq!(document["held"]["reason"], "rewound", "{document}");
    assert_eq!(document["fences"][0]["lost_sends"], 3, "{document}");
    assert_eq!(document["may_be_lost"]["from"], "2026-01-15T00:00:00Z", "{document}");
    assert_eq!(
        (&document["nodes"][0]["sends"], &document["nodes"][0]["file_sends"]),
        (&json!(4), &json!(4)),
        "{document}"
    );
    assert_eq!(document["adopted"].as_array().unwrap().len(), 3, "{document}");
    let said = shop.dues(&["ledger", "acknowledge", "--reason", "restored", "--yes", "--set", &flag]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("3 payments of 384.00 HKD since 2026-01-18 00:00:00 UTC"), "{said:?}");

    round.until_quiet().await.unwrap();
    assert_eq!(world.sandbox.books().captured_minor("HKD"), captured, "what was adopted is not charged again");
    for later in ["2026-01-19T03:00:00Z", "2026-01-19T03:05:00Z"] {
        world.clock.advance_to(at(later));
        round.until_quiet().await.unwrap();
    }
    let theirs = world.sandbox.books();
    assert_eq!(theirs.captured_minor("HKD"), captured + 12_800, "the next period is charged as ever");
    assert!(theirs.captures_by_reference().values().all(|captures| *captures == 1));
    let said = shop.dues(&["verify", "--set", &flag]);
    assert_eq!((said.code, said.out.as_str()), (0, "29 rules, nothing broken\n"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_is_lifted_and_what_waits_is_granted() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let resume = ["resume-collecting", "--reason", "the prices are right"];
        let told = "collecting is not stopped; there is nothing to resume\n";
        let said = shop.dues(&resume);
        assert_eq!((said.code, said.out.as_str()), (0, told), "{on:?}");
        let world = shop.world.as_ref().unwrap();
        let mut tx = world.store.begin("test").await.unwrap();
        let now = Clock::system().now();
        tx.freeze_day(now.date_naive(), now).await.unwrap();
        assert!(tx.brake("sending HKD 128.00 more would exceed today's plan", world.clock.now()).await.unwrap());
        tx.run(Statement::new(
            "INSERT INTO review_cases (public_id, reason, subject, evidence, suggestion, opened_at) \
             SELECT 'rev_brake', 'brake', '2026-03-01', 'too much', 'find out why', heartbeat_at FROM installation",
        ))
        .await
        .unwrap();
        let waits =
            "UPDATE charges SET state = 'due', paid_at = NULL, paid_by = NULL WHERE id = (SELECT MIN(id) FROM charges)";
        tx.run(Statement::new(waits)).await.unwrap();
        tx.run(Statement::new(
            "UPDATE attempts SET state = 'created', settled_at = NULL, first_sent_at = NULL, next_at = created_at \
             WHERE charge_id = (SELECT MIN(id) FROM charges)",
        ))
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let said = shop.dues(&resume);
        assert_eq!(said.code, 0, "{on:?} {said:?}");
        for told in [
            "because  sending HKD 128.00 more would exceed today's plan",
            "Waits to be sent today",
            "PLANNED",
            "1 charges of 128.00 HKD",
        ] {
            assert!(said.out.contains(told), "{on:?}: {told:?} is missing in\n{}", said.out);
        }
        assert_eq!(world.store.fence_state().await.unwrap().braked_at, None, "{on:?}");
        assert_eq!(shop.json(&["review", "show", "rev_brake"])["resolved_by"], "tester", "{on:?}");
        let entry =
            "SELECT actor || ': ' || was || ' > ' || now || ', ' || detail AS line FROM journal WHERE act = 'brake'";
        assert_eq!(world.lines(entry).await, ["tester: braked > lifted, the prices are right"], "{on:?}");
        let granted = "SELECT CAST(SUM(granted_count) AS TEXT) || ' ' || CAST(SUM(granted_minor) AS TEXT) AS line FROM daily_plans";
        assert_eq!(world.lines(granted).await, ["1 12800"], "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lifts_is_named_and_says_why() {
    let shop = Shop::new(On::Sqlite).await;
    for command in [&["ledger", "acknowledge"][..], &["resume-collecting"]] {
        assert_eq!(shop.dues(command).code, 2, "{command:?} wants a reason");
        let with_reason = [command, &["--reason", "x"]].concat();
        let nobody = said(shop.command(&with_reason).env_remove("USER"));
        assert_eq!(nobody.code, 2, "{nobody:?}");
        assert!(nobody.err.contains("--operator NAME"), "{nobody:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_books_tell_what_people_did_since_a_backup() {
    let page: &'static str = include_str!("../../docs/restore.md");
    let query = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let query = query.replace("2026-10-01T03:30:00.000000Z", "2026-03-02T00:00:00.000000Z");
    let query: &'static str =
        format!("SELECT q.actor || ': ' || q.act || ', ' || q.detail || ', ' || q.customer AS line FROM ({query}) q")
            .leak();
    for on in BOTH {
        let shop = Shop::new(on).await;
        for act in [
            &["subscription", "pause", "ORD-1", "--reason", "travels"][..],
            &["customer", "erase", "customer of ORD-1", "--reason", "asked", "--yes"],
        ] {
            assert_eq!(shop.dues(act).code, 0, "{on:?} {act:?}");
        }
        let told = shop.world.as_ref().unwrap().lines(query).await;
        let wanted =
            ["tester: subscription, travels, customer of ORD-1", "tester: customer erased, asked, customer of ORD-1"];
        assert_eq!(told, wanted, "{on:?}");
    }
}
