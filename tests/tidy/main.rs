//! The laws of the house, checked on the source as text: who imports whom, which crate is let in where, names, sizes,
//! twins. The laws are in `laws.rs`; here they are applied, and shown to see a breach planted for them.

mod laws;

use std::fs;
use std::path::{Path, PathBuf};

use laws::Source;

#[test]
fn imports_look_only_down() {
    assert_none(laws::imports_look_down(&sources(&["src"])));
}

#[test]
fn each_outside_crate_stays_at_its_place() {
    assert_none(laws::crates_stay_at_their_place(&sources(&["src"])));
}

#[test]
fn no_module_is_named_for_nothing() {
    assert_none(laws::names_say_something(&sources(&["src"])));
}

#[test]
fn every_file_opens_with_its_idea() {
    assert_none(laws::files_open_with_their_idea(&sources(&["src", "tests", "benches"])));
}

#[test]
fn no_file_is_long() {
    assert_none(laws::files_stay_short(&sources(&["src", "tests", "benches"])));
}

#[test]
fn every_migration_has_its_twin() {
    assert_none(laws::migrations_are_twins(&names_in("migrations/sqlite"), &names_in("migrations/postgres")));
}

#[test]
fn every_planted_fault_fits_the_code() {
    let faults = names_in("tests/mutants/faults");
    assert!(faults.len() >= 15, "{} faults", faults.len());
    let misfits = faults.iter().filter_map(|name| {
        let fault = text_of(&format!("tests/mutants/faults/{name}"));
        laws::fault_fits(&fault, text_of).err().map(|why| format!("tests/mutants/faults/{name}: {why}"))
    });
    assert_none(misfits.collect());
}

#[test]
fn a_fault_that_fits_no_more_is_seen() {
    let code = |_: &str| "let a = 1;\nlet b = 2;\nlet b = 2;\n".to_owned();
    let fault = |before: &str| format!("file: src/a.rs\ntests: --lib\n--- before\n{before}\n--- after\nlet c = 3;\n");
    assert_eq!(laws::fault_fits(&fault("let a = 1;"), code), Ok(()));
    assert_eq!(laws::fault_fits(&fault("let b = 2;"), code), Err("its text stands 2 times in src/a.rs".to_owned()));
    assert_eq!(laws::fault_fits(&fault("let d = 4;"), code), Err("its text stands 0 times in src/a.rs".to_owned()));
    assert!(laws::fault_fits("file: src/a.rs\n", code).is_err());
}

#[test]
fn a_planted_import_is_seen() {
    let planted = [
        ("src/domain/money.rs", "//! Money.\nuse crate::clock::{Clock, Instant};\n", "src/domain/money.rs:2"),
        ("src/domain.rs", "fn f() { crate::store::open() }", "src/domain.rs:1"),
        ("src/store/plans.rs", "use crate::{\n    domain::plan::Plan,\n    gateway::{wire},\n};", "gateway::wire"),
        ("src/sandbox/script.rs", "use crate::gateway::wire::Payment;", "gateway::wire"),
        ("src/gateway/http.rs", "use super::super::store::plans;", "store::plans"),
        ("src/engine/bill.rs", "pub(in crate::interfaces) fn f() {}", "interfaces"),
        ("src/clock.rs", "use crate::domain as ours;", "crate::domain"),
        ("src/config.rs", "use crate::nowhere::Thing;", "nowhere::Thing"),
        ("src/domain/word.rs", "use crate::cells;", "crate::cells"),
    ];
    for (path, text, expected) in planted {
        let home = source("src/store/db.rs", "macro_rules! cells {}");
        assert_seen(laws::imports_look_down(&[home, source(path, text)]), expected);
    }
}

#[test]
fn an_import_that_looks_down_is_let_be() {
    let lawful = [
        (
            "src/domain/money.rs",
            "use crate::clock::Instant;\n// crate::store is above.\n/// [`row!`](crate::store::row)\n",
        ),
        (
            "src/store/plans.rs",
            "use crate::cells;\nuse crate::{clock::Instant, config, domain::{id, plan::{Plan, Price}}};",
        ),
        (
            "src/sandbox/script.rs",
            "use crate::gateway::transport::{Reply, Request as Asked};\nuse crate::sandbox::names;",
        ),
        ("src/gateway.rs", "mod tests { use super::*; use super::http::Http; }"),
        ("src/interfaces/cli.rs", "use crate::{engine::bill, sandbox, store};"),
        ("src/main.rs", "use dues::interfaces::cli;"),
    ];
    for (path, text) in lawful {
        let home = source("src/store/db.rs", "macro_rules! cells {}");
        assert_none(laws::imports_look_down(&[home, source(path, text)]));
    }
}

#[test]
fn a_planted_crate_is_seen() {
    let planted = [
        ("src/engine/bill.rs", "use sqlx::Row;"),
        ("src/engine/bill.rs", "fn f() -> ::sqlx::Error {}"),
        ("src/storefront.rs", "use sqlx;"),
        ("src/sandbox/server.rs", "let client = reqwest::Client::new();"),
        ("src/engine/bill.rs", "use tokio_cron_scheduler as cron;"),
        ("src/config/parse.rs", "#[derive(Debug, clap::Args)]"),
        ("src/store/plans.rs", "fn f() -> anyhow::Result<()> {}"),
        ("src/domain/plan.rs", "use jiff::civil::Date;"),
    ];
    for (path, text) in planted {
        assert_seen(laws::crates_stay_at_their_place(&[source(path, text)]), &format!("{path}:1"));
    }
    let lawful = [
        ("src/store/db.rs", "use sqlx::Row;"),
        ("src/store.rs", "#[from] sqlx::Error"),
        ("src/engine/schedule.rs", "use tokio_cron_scheduler::Job;"),
        ("src/interfaces/telemetry.rs", "let filter = \"info,sqlx=warn\"; // sqlx::query is loud"),
    ];
    for (path, text) in lawful {
        assert_none(laws::crates_stay_at_their_place(&[source(path, text)]));
    }
}

#[test]
fn planted_names_sizes_and_openings_are_seen() {
    assert_seen(laws::names_say_something(&[source("src/store/util.rs", "")]), "src/store/util.rs:1");
    assert_seen(laws::names_say_something(&[source("src/helpers/mail.rs", "")]), "helpers");
    assert_seen(laws::names_say_something(&[source("src/store.rs", "\npub mod common {")]), "src/store.rs:2");
    assert_none(laws::names_say_something(&[source("src/store.rs", "mod db; // mod util;\nlet common = 1;")]));
    assert_seen(laws::files_open_with_their_idea(&[source("src/a.rs", "use std::fs;\n//! Late.\n")]), "src/a.rs:1");
    assert_seen(laws::files_stay_short(&[source("src/a.rs", &"\n".repeat(501))]), "src/a.rs:501");
    assert_none(laws::files_stay_short(&[source("src/a.rs", &"\n".repeat(500))]));
}

#[test]
fn a_migration_without_its_twin_is_seen() {
    let long = &["0001_books.sql".to_owned(), "0002_more.sql".to_owned()];
    let short = &long[..1];
    assert_none(laws::migrations_are_twins(long, long));
    assert_seen(laws::migrations_are_twins(long, short), "postgres/0002_more.sql");
    assert_seen(laws::migrations_are_twins(short, long), "sqlite/0002_more.sql");
}

#[track_caller]
fn assert_none(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{} breaches of the house's laws:\n{}", breaches.len(), breaches.join("\n"));
}

#[track_caller]
fn assert_seen(breaches: Vec<String>, expected: &str) {
    assert_eq!(breaches.len(), 1, "one breach of {expected} was planted: {breaches:?}");
    assert!(breaches[0].contains(expected), "{expected} is not in {breaches:?}");
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// Every Rust file below these directories, in order.
fn sources(directories: &[&str]) -> Vec<Source> {
    let mut waiting: Vec<PathBuf> = directories.iter().map(|directory| root().join(directory)).collect();
    let mut found = Vec::new();
    while let Some(directory) = waiting.pop() {
        for path in entries(&directory) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root()).expect("it was found below the root").display().to_string();
                let text = fs::read_to_string(&path).expect("a source file is readable text");
                found.push(Source { path: relative, text });
            }
        }
    }
    assert!(found.len() > 5, "only {} source files were found", found.len());
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("what the repository holds is readable text")
}

fn names_in(directory: &str) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    entries(&root().join(directory)).into_iter().filter_map(name).collect()
}

/// What is in a directory; nothing where there is none, such as `benches` in a slim package.
fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
