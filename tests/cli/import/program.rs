//! `dues import` as an operator runs it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::shop::{Shop, csv, good, json_counts};
use crate::support::world::{BOTH, On};

/// Nothing listens there, and nothing may be asked there.
const NO_GATEWAY: &str = "http://127.0.0.1:9";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_in_and_again_is_already_there() {
    for on in BOTH {
        let shop = Shop::new(on, NO_GATEWAY).await;
        shop.write("subscriptions.csv", csv(&[good("A1"), good("A2")]));
        let mut command = shop.command(&["subscriptions.csv"]);
        let said = super::shop::said(command.env_remove("DUES_SECRET_KEY"));
        let told = "2 rows read: 2 entered, 0 already there, 0 rejected.\nNo charge falls due at once.\n";
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, told, ""), "{on:?}");
        let said = shop.import(&["subscriptions.csv"]);
        let told = "2 rows read: 0 entered, 2 already there, 0 rejected.\n";
        assert_eq!((said.code, said.out.as_str()), (0, told), "{on:?}");
        assert!(!shop.path("subscriptions.rejects.csv").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_stand_in_a_new_file_that_can_be_mended() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    let bad = good("A2").replace("wallet@example.com", "private");
    shop.write("subscriptions.csv", csv(&[good("A1"), bad.clone()]));
    let said = shop.import(&["subscriptions.csv"]);
    assert_eq!((said.code, said.err.as_str()), (3, "line 3: customer_email is no e-mail address\n"), "{said:?}");
    assert!(said.out.contains("The rejected rows stand in subscriptions.rejects.csv: mend them there"), "{said:?}");
    let rejects = shop.read("subscriptions.rejects.csv");
    let header = super::shop::HEADER;
    assert_eq!(rejects, format!("{header},reason\n{bad},customer_email is no e-mail address\n"));
    // A second run does not write over what somebody may be mending.
    shop.import(&["subscriptions.csv"]);
    assert!(shop.path("subscriptions.rejects-2.csv").exists());
    shop.write("subscriptions.rejects.csv", rejects.replace(",private,", ",wallet@example.com,"));
    let said = shop.import(&["subscriptions.rejects.csv", "--json"]);
    assert_eq!((said.code, json_counts(&said.out)), (0, [1, 1, 0, 0]), "{said:?}");
    assert_eq!(shop.subscriptions().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_the_books_and_the_directory_as_they_are() {
    for on in BOTH {
        let shop = Shop::new(on, NO_GATEWAY).await;
        shop.write(
            "subscriptions.jsonl",
            "{\"reference\":\"A1\",\"plan\":\"monthly\",\"source_id\":\"src_a\",\"anchor_on\":\"2020-01-15\"}\n{}\n",
        );
        let said = shop.import(&["subscriptions.jsonl", "--dry-run", "--json"]);
        assert_eq!(said.code, 3, "{said:?}");
        let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let missing = "reference is missing; plan is missing; source_id is missing; anchor_on is missing";
        let wanted = json!({
            "dry_run": true, "read": 2, "entered": 1, "already_there": 0, "rejected_count": 1,
            "rejected": [{"line": 2, "reason": missing}], "rejects_file": null, "held": 0, "beyond_plan": 0,
            "beyond_plan_today": 0, "beyond_plan_tomorrow": 0, "refused": false, "stopped": false, "there_otherwise": 0, "another": 0,
            "not_looked_up": 0,
            "due_now": [{"currency": "HKD", "charges": 1, "amount_minor": 12_800, "amount": "128.00"}],
        });
        assert_eq!(told, wanted, "{on:?}");
        for query in [
            "SELECT COUNT(*) AS count FROM subscriptions",
            "SELECT COUNT(*) AS count FROM plans",
            "SELECT COUNT(*) AS count FROM installation",
            "SELECT COUNT(*) AS count FROM journal",
        ] {
            assert_eq!(shop.count(query).await, 0, "{on:?} {query}");
        }
        assert!(!shop.path("subscriptions.rejects.jsonl").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_ends_with_its_reason() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    shop.write("a.txt", csv(&[good("A1")]));
    shop.write("a.csv", "refrence,plan,source_id,anchor_on\nx\n");
    shop.write("bad.csv", csv(&["A1".to_owned()]));
    for (arguments, code, why) in [
        (
            &["none.csv"][..],
            1,
            "dues: none.csv cannot be imported: the file cannot be read: No such file or directory (os error 2)\n",
        ),
        (&["a.txt"], 2, "dues: a.txt: the name ends in neither .csv nor .jsonl: say --format csv or --format jsonl\n"),
        (
            &["a.csv"],
            1,
            "dues: a.csv cannot be imported: line 1: refrence is no column; did you mean reference?; reference is missing; \
             the columns are reference, plan, source_id, first_payment_id, customer_reference, customer_name, customer_email, \
             country, anchor_on, time_zone, next_charge_on, amount_minor, amount, currency, reason (--map THEIRS=ours tells other \
             names)\n",
        ),
        (
            &["bad.csv", "--rejects", "bad.csv"],
            2,
            "dues: --rejects names the file that is imported; it would be written over\n",
        ),
    ] {
        let said = shop.import(arguments);
        assert_eq!((said.code, said.err.as_str()), (code, why));
    }
    assert_eq!(shop.import(&["a.txt", "--format", "csv"]).code, 0);
    let said = shop.import(&["--template", "--json"]);
    assert!(
        said.code == 2 && said.out.contains("\"kind\":\"usage\"") && said.err.contains("--format jsonl"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_used_stops_only_rows_that_need_it() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    let columns = "reference,plan,source_id,first_payment_id,anchor_on,next_charge_on";
    shop.write(
        "a.csv",
        format!("{columns}\nA1,monthly,src_a,pay_1,2025-01-15,2099-01-15\nA2,monthly,src_b,,2025-01-15,2099-01-15\n"),
    );
    let mut command = shop.command(&["a.csv"]);
    let said = super::shop::said(command.env("DUES_SECRET_KEY", "sk_of_the_live_world"));
    let why = "line 2: first_payment_id could not be looked up (the environment variable DUES_SECRET_KEY holds a live key, but \
               installation.environment is sandbox; no request was sent); import the rejects file again later\n";
    assert_eq!((said.code, said.err.as_str()), (3, why));
    let said = shop.import(&["a.csv", "--no-evidence"]);
    assert!(
        said.out.contains("1 entered, 1 already there") && said.out.contains("not looked up at the gateway: 1."),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_rows_killed_half_way_are_entered_once() {
    const ROWS: i64 = 20_000;
    for on in BOTH {
        let shop = Shop::new(on, NO_GATEWAY).await;
        let rows: Vec<String> = (0..ROWS).map(|n| good(&format!("A{n:05}"))).collect();
        shop.write("subscriptions.csv", csv(&rows));
        let mut command = shop.command(&["subscriptions.csv"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut entered = 0;
        while entered < 2_000 {
            assert!(child.try_wait().unwrap().is_none(), "{on:?}: it ended before it could be killed");
            tokio::time::sleep(Duration::from_millis(5)).await;
            entered = shop.subscriptions().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let entered = shop.subscriptions().await;
        assert!(entered < ROWS, "{on:?}: it was killed too late");
        let said = shop.import(&["subscriptions.csv", "--json"]);
        let already = u64::try_from(entered).unwrap();
        let all = u64::try_from(ROWS).unwrap();
        assert_eq!(json_counts(&said.out), [all, all - already, already, 0], "{on:?}");
        assert_eq!(shop.subscriptions().await, ROWS, "{on:?}");
        assert_eq!(shop.count("SELECT COUNT(*) AS count FROM segments").await, ROWS, "{on:?}");
        assert_eq!(shop.count("SELECT COUNT(*) AS count FROM journal").await, ROWS, "{on:?}");
    }
}
