//! Where the file comes from, and where what is told goes: pipes, standard output that is closed or full, rejects files.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use super::shop::{Said, Shop, csv, good, json_counts, said};
use crate::support::world::{BOTH, On};

const NO_GATEWAY: &str = "http://127.0.0.1:9";

/// `dues import` with this on its standard input.
fn piped(shop: &Shop, arguments: &[&str], text: &str) -> Said {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    said(shop.command(arguments).stdin(reader))
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_imported_where_it_is_said_what_it_is_and_where_rejects_go() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    let bad = good("A2").replace("wallet@example.com", "private");
    let text = csv(&[good("A1"), bad]);
    for input in ["-", "/dev/stdin"] {
        let untold = piped(&shop, &[input, "--rejects", "rejects.csv"], &text);
        assert!(untold.code == 2 && untold.err.contains("--format csv"), "{untold:?}");
        let homeless = piped(&shop, &[input, "--format", "csv"], &text);
        assert!(homeless.code == 2 && homeless.err.contains("--rejects"), "{homeless:?}");
        let dry = piped(&shop, &[input, "--format", "csv", "--dry-run", "--json"], &text);
        assert_eq!((dry.code, json_counts(&dry.out)[3]), (3, 1), "{dry:?}");
    }
    assert_eq!(shop.subscriptions().await, 0);
    let said = piped(&shop, &["-", "--format", "csv", "--rejects", "rejects.csv", "--json"], &text);
    assert_eq!((said.code, json_counts(&said.out)), (3, [2, 1, 0, 1]), "{said:?}");
    assert!(shop.read("rejects.csv").contains("A2,"), "{said:?}");
    let said = piped(&shop, &["/dev/stdin", "--format", "csv", "--rejects", "rejects.csv", "--json"], &text);
    assert_eq!((said.code, json_counts(&said.out)), (3, [2, 0, 1, 1]), "{said:?}");
    assert_eq!(shop.subscriptions().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_standard_output_is_told_after_the_rows_went_in() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    shop.write("a.csv", csv(&[good("A1"), good("A2")]));
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let failed = said_on(shop.command(&["a.csv"]).stdout(full()));
    let told =
        "dues: the import is over (2 rows entered), but its end cannot be told: standard output could not be written";
    assert!(failed.code == 1 && failed.err.starts_with(told), "{failed:?}");
    assert_eq!(shop.subscriptions().await, 2);
    let failed = said_on(shop.command(&["--template"]).stdout(full()));
    assert!(failed.code == 1 && failed.err.starts_with("dues: standard output could not be written"), "{failed:?}");
    // Rejected rows are told on standard error, which may be full as well.
    shop.write("b.csv", csv(&[good("A3").replace("monthly", "yearly")]));
    let failed = said(shop.command(&["b.csv"]).stderr(full()));
    assert_eq!(failed.code, 3, "{failed:?}");
}

/// As `said`, with standard output as the command has it.
fn said_on(command: &mut std::process::Command) -> Said {
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let output = tokio::task::block_in_place(|| child.wait_with_output().unwrap());
    let err = String::from_utf8(output.stderr).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: String::new(), err }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejects_file_that_cannot_be_written_is_noticed_before_a_row_goes_in() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    shop.write("a.csv", csv(&[good("A1"), good("A2").replace("monthly", "yearly")]));
    let said = shop.import(&["a.csv", "--rejects", "/nonexistent/x.csv"]);
    let told = "dues: the rejects file cannot be written, and the import stopped after 0 rows were entered; name another place with \
                --rejects";
    assert!(said.code == 1 && said.err.starts_with(told), "{said:?}");
    assert_eq!(shop.subscriptions().await, 0);
    let said = shop.import(&["a.csv", "--rejects", "/dev/full"]);
    assert!(said.code == 1 && said.err.contains("stopped after 1 rows were entered"), "{said:?}");
    assert_eq!(shop.subscriptions().await, 1);
    // One that stayed empty is not left behind, and one that was there is kept until there is something to reject.
    shop.write("good.csv", csv(&[good("A1")]));
    let old = "reference,plan,reason\nA9,yearly,there is no plan\n";
    shop.write("old.csv", old);
    for name in ["new.csv", "old.csv"] {
        assert_eq!(shop.import(&["good.csv", "--rejects", name]).code, 0);
    }
    assert!(!shop.path("new.csv").exists() && shop.read("old.csv") == old);
    assert_eq!(shop.import(&["a.csv", "--rejects", "old.csv"]).code, 3);
    assert!(shop.read("old.csv").starts_with("reference,plan,source_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_never_written_over_something_else() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    shop.write("a.csv", csv(&[good("A1"), good("A2").replace("monthly", "yearly")]));
    shop.write("notes.txt", "reason\nnot the last of several columns");
    shop.write("other.jsonl", "{\"reference\":\"A9\"}\n");
    for (name, why) in [
        ("dues.toml", "dues.toml is the config file: name another file with --rejects"),
        ("dues.db", "dues.db belongs to the books themselves: name another file with --rejects"),
        ("./dues.db-wal", "./dues.db-wal belongs to the books themselves: name another file with --rejects"),
        ("other.jsonl", "other.jsonl holds something else than rejected rows, which would be lost: name another file"),
        ("a.csv", "--rejects names the file that is imported"),
    ] {
        let before = std::fs::read(shop.path(name)).ok();
        let said = shop.import(&["a.csv", "--rejects", name]);
        assert!(said.code != 0 && said.code != 3 && said.err.contains(why), "{name}: {said:?}");
        assert_eq!((std::fs::read(shop.path(name)).ok(), shop.subscriptions().await), (before, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_not_entered_under_other_rules_than_the_running_daemons() {
    for on in BOTH {
        let shop = Shop::new(on, NO_GATEWAY).await;
        shop.write("a.csv", csv(&[good("A1")]));
        let mut tx = shop.store.begin("test").await.unwrap();
        let now = tx.now().await.unwrap();
        tx.register_node("one", "1", now).await.unwrap();
        tx.commit().await.unwrap();
        let rules = "handed_over = \"bill_latest\", max_periods = 3, max_age = \"1209600s\", spread = \"86400s\"";
        shop.store.tell_catch_up("one", "1", rules).await.unwrap();
        for arguments in [&["a.csv"][..], &["a.csv", "--dry-run"]] {
            let other = shop.import(&[arguments, &["--set", "catch_up.handed_over=skip"]].concat());
            assert!(other.code == 1 && other.err.contains("the running daemon \"one\" charges"), "{on:?} {other:?}");
            assert!(other.err.contains(rules) && other.err.contains("handed_over = \"skip\""), "{on:?} {other:?}");
        }
        assert_eq!(shop.subscriptions().await, 0, "{on:?}");
        let alike = shop.import(&["a.csv", "--set", "catch_up.missed=skip"]);
        assert_eq!((alike.code, shop.subscriptions().await), (0, 1), "{on:?} {alike:?}");
        shop.store.node_stopped("one", "1", now).await.unwrap();
        let alone = shop.import(&["a.csv", "--set", "catch_up.handed_over=skip"]);
        assert_eq!(alone.code, 0, "{on:?} {alone:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_rejects_file_that_a_killed_import_left_is_taken_over() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    shop.write("a.csv", csv(&[good("A1").replace("monthly", "yearly")]));
    let empty: File =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(shop.path("a.rejects.csv")).unwrap();
    drop(empty);
    assert_eq!(shop.import(&["a.csv"]).code, 3);
    assert!(shop.read("a.rejects.csv").contains("A1,yearly") && !shop.path("a.rejects-2.csv").exists());
}
