//! `dues doctor`: one finding a part, whatever the others say; a next step wherever something is to be done; nothing is changed.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::Running;
use crate::shop::{Said, Shop, said};
use crate::support::world::{BOTH, On};

const LIVE_KEY: &str = "sk_abcdefghijklmnop";

/// What it found: level, part and text.
fn findings(told: &Said) -> Vec<(String, String, String)> {
    let document: Value = serde_json::from_str(&told.out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = document["findings"].as_array().unwrap().iter();
    let findings: Vec<_> = findings
        .map(|it| {
            let level = text(&it["level"]);
            assert_eq!(it["next"].is_string(), ["warning", "fault"].contains(&level.as_str()), "{it}");
            (level, text(&it["part"]), text(&it["finding"]))
        })
        .collect();
    let worst = text(&document["worst"]);
    assert!(findings.iter().any(|(level, ..)| *level == worst), "{told:?}");
    findings
}

fn has(findings: &[(String, String, String)], level: &str, part: &str, words: &str) -> bool {
    findings.iter().any(|it| it.0 == level && it.1 == part && it.2.contains(words))
}

/// Every finding but what hangs on the machine that the test runs on: its rules of time zones, its room, its systemd.
fn of_ours(findings: &[(String, String, String)]) -> impl Iterator<Item = &(String, String, String)> {
    findings
        .iter()
        .filter(|it| !["time_zones", "systemd"].contains(&it.1.as_str()) && !it.2.contains(" MiB are free in "))
}

/// A shop that asks a sandbox at `gateway`, with `key` in the environment.
fn asking(shop: &Shop, gateway: &str, key: &str, arguments: &[&str]) -> Said {
    let url = format!("gateway.url={gateway}");
    let own = ["doctor", "--json", "--set", "installation.environment=sandbox", "--set", &url];
    said(shop.command(&[&own, arguments].concat()).env("DUES_SECRET_KEY", key))
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_books_have_nothing_but_what_the_machine_lacks_and_are_left_as_they_are() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        shop.write("sends", "");
        let mark = format!("installation.high_water_file={}", shop.path("sends").display());
        let arguments = ["doctor", "--offline", "--set", &mark];
        let run = |more: &[&str]| said(shop.command(&[&arguments, more].concat()).env("DUES_SECRET_KEY", LIVE_KEY));
        let there = || std::fs::read_dir(shop.path("")).unwrap().count();
        let before = there();
        let told = run(&["--json"]);
        let seen = findings(&told);
        assert!(of_ours(&seen).all(|it| it.0 == "ok" || it.0 == "note"), "{on:?}: {seen:?}");
        let expected = match on {
            On::Sqlite => ["journal_mode WAL, synchronous FULL", "quick_check", "at this program's schema"],
            On::Postgres => ["synchronous_commit on", "PostgreSQL ", "at this program's schema"],
        };
        for words in expected {
            assert!(has(&seen, "ok", "database", words), "{on:?}: {words:?} is missing in {seen:?}");
        }
        assert!(has(&seen, "note", "gateway", "--offline"), "{seen:?}");
        assert!(seen.iter().any(|it| it.1 == "time_zones") && seen.iter().any(|it| it.1 == "systemd"), "{seen:?}");
        let worst = |level: &str| seen.iter().any(|it| it.0 == level);
        let code = if worst("fault") { 1 } else { 3 * i32::from(worst("warning")) };
        assert_eq!(told.code, code, "{told:?}");
        assert_eq!(there(), before, "{on:?} leaves nothing behind");
        let page = run(&[]);
        assert!(page.out.starts_with("LEVEL ") && page.out.contains("\n\nno faults, "), "{page:?}");
        assert!(!page.out.contains(LIVE_KEY) && !told.out.contains(LIVE_KEY));
    }
}

#[test]
fn a_file_that_is_damaged_is_told_with_what_to_do() {
    let shop = Shop::without_books();
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    // All but the header of the file.
    let mut bytes = std::fs::read(shop.path("books.db")).unwrap();
    bytes[100..].fill(0x5a);
    std::fs::write(shop.path("books.db"), bytes).unwrap();
    let seen = findings(&said(shop.command(&["doctor", "--json", "--offline"]).env("DUES_SECRET_KEY", LIVE_KEY)));
    assert!(has(&seen, "fault", "database", "is malformed"), "{seen:?}");
    let page = said(shop.command(&["doctor", "--offline"]).env("DUES_SECRET_KEY", LIVE_KEY));
    assert!(page.out.contains("restore the latest backup as docs/restore.md tells"), "{page:?}");
}

#[test]
fn a_gateway_that_takes_the_key_refuses_it_or_is_away_is_told_apart() {
    let shop = Shop::without_books();
    let mut sandbox = Running::start(&shop, &["--json", "--quiet"]);
    let url = sandbox.first_line()["url"].as_str().unwrap().to_owned();
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    let good = findings(&asking(&shop, &url, "sk_sbox_simulated", &[]));
    assert!(has(&good, "ok", "gateway", "takes the secret key"), "{good:?}");
    assert!(has(&good, "ok", "gateway", "agrees with the gateway's within 10 s"), "{good:?}");

    let refused = asking(&shop, &url, "sk_sbox_of_another_account", &[]);
    let seen = findings(&refused);
    assert!(has(&seen, "fault", "gateway", "refuses the secret key (HTTP 401)"), "{seen:?}");
    assert!(refused.code == 1 && !refused.out.contains("sk_sbox_of_another_account"), "{refused:?}");

    let without = findings(&asking(&shop, &url, "", &[]));
    assert!(has(&without, "note", "gateway", "without a secret key"), "{without:?}");
    assert!(has(&without, "warning", "config", "there is no secret key here"), "{without:?}");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = asking(&shop, &format!("http://{closed}"), "sk_sbox_simulated", &[]);
    let seen = findings(&away);
    assert!(has(&seen, "fault", "gateway", "no connection was made"), "{seen:?}");
    assert!(has(&seen, "ok", "database", "quick_check") && away.code == 1, "{away:?}");
}

#[test]
fn a_key_of_the_wrong_kind_is_a_wrong_config_and_is_never_sent() {
    let shop = Shop::without_books();
    let mut sandbox = Running::start(&shop, &["--json", "--quiet"]);
    let url = sandbox.first_line()["url"].as_str().unwrap().to_owned();
    let told = asking(&shop, &url, LIVE_KEY, &[]);
    let seen = findings(&told);
    assert!(has(&seen, "fault", "config", "holds a live key"), "{seen:?}");
    assert!(has(&seen, "note", "gateway", "without a secret key"), "{seen:?}");
    assert_eq!(told.code, 78, "{told:?}");
}

#[test]
fn every_part_is_looked_at_although_the_database_is_not_there() {
    let shop = Shop::without_books();
    let doctor = |flag: &str| said(&mut shop.command(&["doctor", "--offline", "--json", "--set", flag]));
    let absent = findings(&doctor("database.migrate=true"));
    assert!(has(&absent, "warning", "database", "there is no database"), "{absent:?}");
    assert!(!shop.path("books.db").exists());
    let absent = doctor("database.migrate=false");
    assert!(has(&findings(&absent), "fault", "database", "there is no database") && absent.code == 1, "{absent:?}");
    let away = doctor("database.url=postgres://dues:geheim@127.0.0.1:1/dues");
    let seen = findings(&away);
    assert!(has(&seen, "fault", "database", "is the server up?"), "{seen:?}");
    for part in ["config", "gateway", "time_zones", "systemd", "high_water"] {
        assert!(seen.iter().any(|it| it.1 == part), "{part} is missing in {seen:?}");
    }
    assert!(away.code == 1 && !away.out.contains("geheim"), "{away:?}");
}

#[test]
fn the_next_step_fits_the_cause() {
    let shop = Shop::without_books();
    shop.write("no-text", "");
    std::fs::write(shop.path("no-text"), [0xff, 0xfe, 0x00]).unwrap();
    let next = |flag: &str, words: &str| {
        let document: Value =
            serde_json::from_str(&shop.dues(&["doctor", "--offline", "--json", "--set", flag]).out).unwrap();
        let findings = document["findings"].as_array().unwrap();
        let found = findings.iter().find(|it| it["finding"].as_str().unwrap().contains(words));
        found.unwrap_or_else(|| panic!("{words:?} is missing in {document}"))["next"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let key = |name: &str| {
        next(&format!("gateway.secret_key_file={}", shop.path(name).display()), "secret key cannot be read")
    };
    assert!(key("missing").starts_with("write the key there"));
    assert!(key("no-text").starts_with("the file is no text"));
    let away = next("database.url=postgres://dues@127.0.0.1:1/dues", "is the server up?");
    assert!(away.starts_with("start the database server"), "{away}");
}

#[test]
fn a_wrong_config_is_told_fault_by_fault_and_ends_in_78() {
    let shop = Shop::without_books();
    let told = shop.dues(&["doctor", "--json", "--set", "engine.bach=1", "--set", "protocol.lease=soon"]);
    let seen = findings(&told);
    assert!(
        has(&seen, "fault", "config", "engine.bach") && has(&seen, "fault", "config", "protocol.lease"),
        "{seen:?}"
    );
    assert!(has(&seen, "note", "database", "the config does not say which"), "{seen:?}");
    assert_eq!((told.code, told.err.as_str()), (78, ""), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn books_of_another_installation_are_a_wrong_config() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let told = shop.dues(&["doctor", "--offline", "--json", "--set", "installation.name=another"]);
        assert!(has(&findings(&told), "fault", "config", "under another name than installation.name"), "{told:?}");
        assert_eq!(told.code, 78, "{told:?}");
    }
}

#[test]
fn a_mark_that_cannot_be_kept_is_a_fault() {
    let shop = Shop::without_books();
    let doctor = |file: &str| {
        let flag = format!("installation.high_water_file={file}");
        findings(&shop.dues(&["doctor", "--offline", "--json", "--set", &flag]))
    };
    assert!(has(&doctor("/nonexistent/sends"), "fault", "high_water", "is not there"));
    assert!(has(&doctor("none"), "warning", "high_water", "no place for the mark"));
    shop.write("sends", "another ledger 7");
    let seen = doctor(shop.path("sends").to_str().unwrap());
    assert!(has(&seen, "warning", "high_water", "another ledger"), "{seen:?}");
}

#[test]
fn it_needs_nothing_but_itself() {
    let shop = Shop::without_books();
    let mut command: Command =
        shop.bare(&["doctor", "--config", "dues.toml", "--offline", "--set", "database.url=sqlite:none.db"]);
    let told = said(&mut command);
    assert!([0, 1, 3].contains(&told.code) && told.out.contains("there is no database none.db yet"), "{told:?}");
}
