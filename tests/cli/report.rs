//! Reports as finance asks for them: tables, CSV and JSON of one answer, on both databases, and with the read-only login.

use dues::store::reports::{Report, VIEWS};
use serde_json::{Value, json};

use crate::shop::{Shop, said};
use crate::support::world::{BOTH, On};

/// The CSV of a command that must succeed: headings, and rows.
fn csv(shop: &Shop, arguments: &[&str]) -> (Vec<String>, Vec<Vec<String>>) {
    let said = shop.dues(&[arguments, &["--csv"]].concat());
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{arguments:?}: {said:?}");
    let mut reader = csv::Reader::from_reader(said.out.as_bytes());
    let cells = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
    let headings = cells(reader.headers().unwrap());
    (headings, reader.records().map(|record| cells(&record.unwrap())).collect())
}

#[test]
fn without_a_name_the_reports_are_listed() {
    let shop = Shop::without_books();
    let names: Vec<&str> = Report::all().map(|report| report.name).collect();
    for arguments in [&["report"][..], &["report", "--list"]] {
        let said = shop.dues(arguments);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
        let listed: Vec<&str> = said.out.lines().skip(1).filter_map(|line| line.split("  ").next()).collect();
        assert_eq!(listed, names);
    }
    let (headings, rows) = csv(&shop, &["report"]);
    assert_eq!(headings, ["name", "about", "month", "by_currency"]);
    assert_eq!(rows[0][..3], ["subscriptions", VIEWS[0].about, "created_month"]);
    assert_eq!(shop.json(&["report"])[4]["month"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_in_three_forms() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let said = shop.dues(&["report", "collected"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
        let lines: Vec<&str> = said.out.lines().collect();
        assert_eq!(
            lines,
            [
                "PAID MONTH  CURRENCY  PERIODS  COLLECTED  REFUNDED",
                "2026-01     HKD             1     128.00      0.00",
                "2026-02     HKD             1     128.00      0.00",
            ],
            "{on:?}"
        );
        let said = shop.dues(&["report", "collected", "--csv"]);
        assert_eq!(
            said.out,
            "paid_month,currency,periods,collected_minor,collected_amount,refunded_minor,refunded_amount\n\
             2026-01,HKD,1,12800,128.00,0,0.00\n2026-02,HKD,1,12800,128.00,0,0.00\n",
            "{on:?}"
        );
        let january = json!({
            "paid_month": "2026-01", "currency": "HKD", "periods": 1, "collected_minor": 12800,
            "collected_amount": "128.00", "refunded_minor": 0, "refunded_amount": "0.00",
        });
        assert_eq!(shop.json(&["report", "collected", "--month", "2026-01"]), json!([january]), "{on:?}");
        assert_eq!(shop.json(&["report", "collected", "--currency", "SGD"]), json!([]), "{on:?}");
        assert_eq!(shop.dues(&["report", "collected", "--month", "2031-01"]).out, "none\n");
        let (headings, rows) = csv(&shop, &["report", "collected", "--month", "2031-01"]);
        assert_eq!((headings[0].as_str(), rows.len()), ("paid_month", 0), "{on:?}: the headings are always there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_and_json_of_every_report_say_the_same() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        for report in Report::all() {
            let (headings, rows) = csv(&shop, &["report", report.name]);
            let document = shop.json(&["report", report.name]);
            let objects = document.as_array().unwrap();
            assert_eq!(rows.len(), objects.len(), "{on:?} {}", report.name);
            for (row, object) in rows.iter().zip(objects) {
                assert_eq!(headings.len(), object.as_object().unwrap().len(), "{on:?} {}", report.name);
                for (heading, cell) in headings.iter().zip(row) {
                    let value = match &object[heading] {
                        Value::Null => String::new(),
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    assert_eq!(*cell, value, "{on:?} {} {heading}", report.name);
                }
            }
            let said = shop.dues(&["report", report.name]);
            let most = if rows.is_empty() { 1 } else { rows.len() + 1 };
            assert_eq!((said.code, said.out.lines().count()), (0, most), "{on:?} {}: {said:?}", report.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_shows_a_few_columns_and_says_where_the_others_are() {
    let shop = Shop::new(On::Sqlite).await;
    let said = shop.dues(&["report", "charges", "--limit", "2"]);
    assert!(said.out.starts_with("DUE (UTC)         SUBSCRIPTION  PERIOD  CURRENCY  AMOUNT  STATE"), "{said:?}");
    assert!(said.out.contains("\n2026-01-31 02:00  ORD-1              0  HKD       128.00  paid"), "{said:?}");
    assert_eq!(
        said.err,
        "dues: there are more than 2; --limit shows more\ndues: 8 of 36 columns; --csv and --json have all\n"
    );
    let (headings, rows) = csv(&shop, &["report", "charges", "--limit", "2"]);
    assert_eq!((headings.len(), rows.len()), (36, 2));
    let due_at = headings.iter().position(|heading| heading == "due_at").unwrap();
    assert_eq!(rows[0][due_at], "2026-01-31T02:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_is_a_formula_is_made_harmless_in_csv_alone() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let store = &shop.world.as_ref().unwrap().store;
        let mut tx = store.begin("plant").await.unwrap();
        let act = "UPDATE subscriptions SET reference = '=HYPERLINK(\"https://example.com\", \"ORD, 1\")' WHERE reference = 'ORD-1'";
        tx.run(dues::store::db::Statement::new(act)).await.unwrap();
        tx.commit().await.unwrap();
        let said = shop.dues(&["report", "unpaid", "--csv"]);
        assert_eq!(said.code, 0, "{said:?}");
        let (_, rows) = csv(&shop, &["report", "subscriptions"]);
        assert_eq!(rows[0][1], "'=HYPERLINK(\"https://example.com\", \"ORD, 1\")", "{on:?}");
        let document = shop.json(&["report", "subscriptions"]);
        assert_eq!(document[0]["subscription_reference"], "=HYPERLINK(\"https://example.com\", \"ORD, 1\")", "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_are_not_there_are_told() {
    let shop = Shop::without_books();
    let said = shop.dues(&["report", "collected"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("there is no database") && said.err.contains("`dues migrate`"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_only_login_is_enough_and_one_without_the_role_is_told() {
    let mut shop = Shop::new(On::Postgres).await;
    let store = &shop.world.as_ref().unwrap().store;
    let mut tx = store.begin("role").await.unwrap();
    let script: &'static str = include_str!("../../docs/postgres-finance-role.sql");
    let commands = script
        .split("\n\n")
        .map(|paragraph| paragraph.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n"));
    // Roles belong to the cluster, which other tests of this program share.
    let logins = ["CREATE ROLE anna LOGIN", "CREATE ROLE visitor LOGIN", "GRANT dues_finance TO anna"];
    for command in commands.filter(|it| !it.is_empty()).chain(logins.map(str::to_owned)) {
        tx.run(dues::store::db::Statement::new(command.leak())).await.unwrap();
    }
    tx.commit().await.unwrap();
    let owner = shop.url().to_owned();
    let wanted: Vec<Value> = Report::all().map(|report| shop.json(&["report", report.name])).collect();
    shop.use_books(&owner.replace("user=postgres", "user=anna"));
    for (report, wanted) in Report::all().zip(wanted) {
        assert_eq!(shop.json(&["report", report.name]), wanted, "{}", report.name);
    }
    // The config of finance's own machine, as docs/finance.md has it.
    shop.write("report.toml", &format!("[installation]\nname = \"reports\"\n[database]\nurl = \"{}\"\n", shop.url()));
    let bare = said(&mut shop.bare(&["report", "collected", "--config", "report.toml", "--month", "2026-01"]));
    assert_eq!((bare.code, bare.out.lines().count()), (0, 2), "{bare:?}");
    let copy = shop.path("copy");
    for command in
        [&["subscription", "list"][..], &["charge", "list"], &["verify"], &["backup", copy.to_str().unwrap()]]
    {
        let refused = shop.dues(command);
        assert_eq!(
            (refused.code, refused.out.as_str()),
            (1, ""),
            "personal data is not finance's to read: {refused:?}"
        );
        assert!(
            refused.err.contains("this login of the database reads the finance views alone: use `dues report`"),
            "{refused:?}"
        );
    }
    shop.use_books(&owner.replace("user=postgres", "user=visitor"));
    let said = shop.dues(&["report", "collected"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("docs/postgres-finance-role.sql") && said.err.contains("GRANT dues_finance"), "{said:?}");
}
