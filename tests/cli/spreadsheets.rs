//! `--csv` beside `--json`: the same rows under the same names wherever there is a table, and refused where there is none.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;

use crate::shop::{Shop, said};
use crate::support::world::{BOTH, On};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_the_rows_of_its_json_under_the_same_names() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        for (list, rows) in [
            (&["subscription", "list"][..], 3),
            (&["charge", "list"], 4),
            (&["charge", "list", "--state", "paid"], 2),
            (&["review", "list"], 1),
            (&["review", "list", "--all"], 1),
        ] {
            let said = shop.dues(&[list, &["--csv"]].concat());
            assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
            let mut reader = csv::Reader::from_reader(said.out.as_bytes());
            let headings: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
            let document = shop.json(list);
            let mut read = 0;
            for (record, object) in reader.records().map(Result::unwrap).zip(document.as_array().unwrap()) {
                let keys: BTreeSet<&String> = object.as_object().unwrap().keys().collect();
                assert_eq!(headings.iter().collect::<BTreeSet<_>>(), keys, "{list:?}");
                for (heading, cell) in headings.iter().zip(&record) {
                    let value = match &object[heading] {
                        Value::Null => String::new(),
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    assert_eq!(cell, value, "{list:?} {heading}");
                }
                read += 1;
            }
            assert_eq!(read, rows, "{on:?} {list:?}");
        }
        let said = shop.dues(&["charge", "list", "--month", "2031-01", "--csv"]);
        assert!(said.out.starts_with("id,reference,") && said.out.lines().count() == 1, "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_one_table_have_it_too() {
    let shop = Shop::new(On::Sqlite).await;
    for (arguments, headings, lines) in [
        (&["ledger", "show"][..], "raised_at,reason,holds,lost_sends,node,", 1),
        (&["status"], "now,periods_due,attempts_due,", 2),
        (&["check", "--show"], "key,value,origin", 20),
        (&["verify"], "finding,word,severity,subscription_reference,", 1),
    ] {
        let said = shop.dues(&[arguments, &["--csv"]].concat());
        assert!(said.out.starts_with(headings) && said.out.lines().count() >= lines, "{arguments:?}: {said:?}");
    }
    // Nobody turned the simulated clock on, so that everything looks overdue to the program.
    let broken = shop.dues(&["verify", "--csv"]);
    let told = shop.json_whatever(&["verify"]);
    assert_eq!(broken.out.lines().count() - 1, told["broken"].as_array().unwrap().len(), "{broken:?}");
}

#[test]
fn where_there_is_no_table_csv_is_refused() {
    let shop = Shop::without_books();
    for arguments in [
        &["run"][..],
        &["check"],
        &["migrate"],
        &["import", "file.csv"],
        &["subscribe", "--reference", "A", "--plan", "monthly"],
        &["subscription", "show", "ORD-1"],
        &["subscription", "cancel", "ORD-1", "--reason", "x"],
        &["charge", "show", "ORD-1"],
        &["review", "show", "rev_1"],
        &["ledger", "acknowledge", "--reason", "x"],
        &["resume-collecting", "--reason", "x"],
    ] {
        let said = shop.dues(&[arguments, &["--csv"]].concat());
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains("is no table") && said.err.contains("--json"), "{arguments:?}: {said:?}");
    }
    // Whatever the refusal names has it.
    let refused = shop.dues(&["migrate", "--csv"]).err;
    let named: Vec<&str> = refused.split('`').filter_map(|it| it.strip_prefix("dues ")).collect();
    assert!(named.len() > 8 && named.contains(&"plans") && named.contains(&"check --show"), "{refused}");
    for command in named.into_iter().filter(|it| *it != "demo") {
        let arguments: Vec<&str> = command.split(' ').chain(["--csv"]).collect();
        let said = shop.dues(&arguments);
        assert!(said.code != 2 && !said.err.contains("--csv"), "{command}: {said:?}");
    }
    for command in [["sandbox"], ["simulate"]] {
        assert_eq!(said(&mut shop.bare(&[&command[..], &["--csv"]].concat())).code, 2, "{command:?}");
    }
}

#[test]
fn csv_and_json_are_not_asked_for_together() {
    let shop = Shop::without_books();
    for arguments in
        [&["--csv", "report", "--json"][..], &["report", "--csv", "--json"], &["--json", "charge", "list", "--csv"]]
    {
        let said = shop.dues(arguments);
        let told: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((said.code, &told["error"]["kind"]), (2, &Value::from("usage")), "{arguments:?}: {said:?}");
        assert!(said.err.contains("choose one of them"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_into_a_closed_pipe_is_no_error() {
    let shop = Shop::new(On::Sqlite).await;
    for arguments in
        [&["report", "charges", "--csv"][..], &["report", "charges", "--json"], &["charge", "list", "--csv"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = shop.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), told.as_ref()), (Some(0), ""), "{arguments:?}");
    }
}
