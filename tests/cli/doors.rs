//! What all commands have in common: help, wrong arguments, and standard output that is no terminal, or closes.

use std::process::Stdio;

use crate::shop::{Shop, said};
use crate::support::world::On;

/// Every command, with its subcommands.
pub const COMMANDS: &[&[&str]] = &[
    &["run"],
    &["check"],
    &["plans"],
    &["doctor"],
    &["migrate"],
    &["import"],
    &["subscribe"],
    &["subscription", "list"],
    &["subscription", "show"],
    &["subscription", "pause"],
    &["subscription", "resume"],
    &["subscription", "cancel"],
    &["customer", "show"],
    &["customer", "erase"],
    &["charge", "list"],
    &["charge", "show"],
    &["charge", "retry"],
    &["charge", "void"],
    &["review", "list"],
    &["review", "show"],
    &["review", "resolve"],
    &["status"],
    &["report"],
    &["verify"],
    &["backup"],
    &["ledger", "show"],
    &["ledger", "acknowledge"],
    &["resume-collecting"],
    &["sandbox"],
    &["demo"],
    &["simulate"],
    &["man"],
    &["completions"],
];

#[test]
fn every_command_has_help_with_examples() {
    let shop = Shop::without_books();
    for command in COMMANDS {
        let said = shop.dues(&[*command, &["--help"]].concat());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{command:?}");
        assert!(said.out.contains("Examples:\n"), "{command:?} has no examples:\n{}", said.out);
        assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{command:?}:\n{}", said.out);
    }
    let said = shop.dues(&["--help"]);
    assert!(said.out.contains("Exit codes: 0 done"), "{said:?}");
    for command in COMMANDS {
        assert!(said.out.contains(&format!("\n  {}", command[0])), "{command:?} is not in the help");
    }
}

#[test]
fn a_wrong_command_line_ends_in_2_and_says_what_is_allowed() {
    let shop = Shop::without_books();
    for (arguments, told) in [
        (&["subscription", "list", "--state", "late"][..], "past_due"),
        (&["charge", "list", "--state", "late"], "uncollectible"),
        (&["charge", "list", "--month", "2026-13"], "YYYY-MM"),
        (&["charge", "list", "--month", "26-1"], "YYYY-MM"),
        (&["charge", "list", "--limit", "0"], "1..="),
        (&["subscription", "show"], "<NAME>"),
        (&["subscription", "cancel", "ORD-1"], "--reason"),
        (&["review", "show"], "<ID>"),
        (&["ledger", "acknowledge"], "--reason"),
        (&["resume-collecting"], "--reason"),
        (&["verify", "--since", "7d"], "--gateway"),
        (&["verify", "--gateway", "--since", "7"], "whole number with a unit"),
        (&["sandbox", "--settle-after", "30"], "whole number with a unit"),
        (&["sandbox", "--writes-per-second", "0"], "1.."),
        (&["report", "collect"], "collected"),
        (&["report", "collected", "--month", "2026-13"], "YYYY-MM"),
        (&["report", "collected", "--currency", "hk$"], "ISO 4217"),
        (&["report", "exceptions", "--month", "2026-10"], "no month"),
        (&["report", "exceptions", "--currency", "HKD"], "no currency"),
        (&["report", "--month", "2026-10"], "<NAME>"),
        (&["check", "--set", "engine.batch"], "KEY=VALUE"),
        (&["subscriptions"], "subscription"),
    ] {
        let said = shop.dues(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains(told), "{arguments:?}: {told:?} is missing in\n{}", said.err);
    }
    assert_eq!(shop.dues(&[]).code, 2);
    let said = shop.dues(&["review", "resolve", "rev_1", "refund", "--reason", "x"]);
    assert!(said.code == 2 && said.err.contains("not-charged"), "{said:?}");
}

#[test]
fn what_has_no_config_refuses_one() {
    let shop = Shop::without_books();
    for command in ["demo", "sandbox"] {
        for argument in [["--config", "dues.toml"], ["--set", "engine.batch=1"]] {
            for arguments in [[&argument[..], &[command]].concat(), [&[command], &argument[..]].concat()] {
                let said = said(&mut shop.bare(&arguments));
                assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {said:?}");
                assert!(said.err.contains("--config and --set do not apply to it"), "{said:?}");
            }
        }
    }
    let demo = ["demo", "--months", "1", "--subscriptions", "2", "--json"];
    let said = said(shop.bare(&demo).env("DUES_CONFIG", "no-such-file"));
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn keys_are_set_before_and_after_the_subcommand() {
    let shop = Shop::without_books();
    let arguments =
        ["--config", "dues.toml", "--set", "engine.batch=7", "check", "--show", "--set", "engine.in_flight=9"];
    let said = said(&mut shop.bare(&arguments));
    for (key, value) in [("engine.batch ", "\"7\""), ("engine.in_flight ", "\"9\"")] {
        let line = said.out.lines().find(|line| line.contains(key)).unwrap();
        assert!(line.contains(value) && line.contains("--set"), "{line}");
    }
}

#[test]
fn a_demo_names_the_file_that_it_was_given() {
    let shop = Shop::without_books();
    let said = said(&mut shop.bare(&["demo", "--database", "/nonexistent/x.db"]));
    assert!(said.code == 1 && said.err.starts_with("dues: /nonexistent/x.db cannot be written"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_no_escape_codes() {
    let shop = Shop::new(On::Sqlite).await;
    for arguments in [&["subscription", "list"][..], &["subscription", "show", "ORD-1"], &["check", "--show"]] {
        for variable in [("TERM", "xterm-256color"), ("NO_COLOR", "1")] {
            let said = said(shop.command(arguments).env(variable.0, variable.1));
            assert_eq!(said.code, 0, "{said:?}");
            assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "{said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_output_is_no_error() {
    let shop = Shop::new(On::Sqlite).await;
    let show: &[&str] = &["subscription", "show", "ORD-1"];
    let list: &[&str] = &["charge", "list", "--json"];
    shop.write(
        "rows.csv",
        "reference,plan,source_id,anchor_on,next_charge_on\nNEW,monthly,src_new,2025-01-15,2099-01-15\n",
    );
    let rows = shop.path("rows.csv").display().to_string();
    let (import, again): (&[&str], &[&str]) = (&["import", &rows], &["import", &rows, "--json"]);
    for arguments in [show, list, &["check", "--show"], &["--help"], import, again, &["import", "--template"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = shop.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("panicked") && !told.contains("standard output"), "{arguments:?}: {told}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
    }
}

#[test]
fn a_play_that_nobody_reads_any_more_is_no_error() {
    let shop = Shop::without_books();
    let demo = vec!["demo", "--months", "1", "--subscriptions", "2"];
    let simulate = vec!["simulate", "--subscriptions", "1", "--months", "1", "--world", "a"];
    let as_json = |of: &[&'static str]| [of, &["--json"]].concat();
    for arguments in [as_json(&demo), as_json(&simulate), demo, simulate] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = shop.bare(&arguments).stdout(writer).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), told.contains("panicked")), (Some(0), false), "{arguments:?}: {told}");
    }
}
