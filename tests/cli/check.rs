//! `dues check` and `dues migrate`.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::shop::{Shop, said};
use crate::support::world::{BOTH, On, empty_books};

#[test]
fn a_good_config_is_told_with_where_it_stands() {
    let shop = Shop::without_books();
    let told = shop.dues(&["check"]);
    assert_eq!(told.code, 0, "{told:?}");
    for text in ["the config is good\n", "dues.toml", "live", "https://api.checkout.com", "books.db", "not found here"]
    {
        assert!(told.out.contains(text), "{text:?} is missing in\n{}", told.out);
    }
    assert!(told.err.starts_with("dues: warning: no secret key: "), "{told:?}");
    assert!(!shop.path("books.db").exists(), "nothing is opened");
    let key = "sk_abcdefghijklmnop";
    let with_key = said(shop.command(&["check", "--show"]).env("DUES_SECRET_KEY", key));
    assert_eq!((with_key.code, with_key.err.as_str()), (0, ""), "{with_key:?}");
    assert!(!with_key.out.contains(key));
    let line = with_key.out.lines().find(|line| line.contains("engine.batch")).unwrap();
    assert!(line.contains("500") && line.contains("built-in"), "{line}");
}

#[test]
fn a_good_config_is_told_in_json_without_the_databases_password() {
    let shop = Shop::without_books();
    let url = "database.url=postgres://dues:geheim@db/dues";
    let document = shop.json(&["check", "--show", "--set", url]);
    assert_eq!((&document["ok"], &document["plans"]), (&json!(true), &json!(1)));
    assert_eq!(document["database_url"], "postgres://dues:***@db/dues");
    assert_eq!(document["files"], json!([shop.path("dues.toml")]));
    assert!(!document.to_string().contains("geheim"));
    let values = document["values"].as_array().unwrap();
    let batch = values.iter().find(|value| value["key"] == "engine.batch").unwrap();
    assert_eq!(batch, &json!({ "key": "engine.batch", "value": "500", "origin": "built-in" }));
}

#[test]
fn every_fault_is_told_at_once_and_ends_in_78() {
    let shop = Shop::without_books();
    let faulty = ["--set", "engine.bach=1", "--set", "protocol.lease=soon"];
    let told = shop.dues(&[&["check"], &faulty[..]].concat());
    assert_eq!((told.code, told.out.as_str()), (78, ""), "{told:?}");
    assert!(told.err.contains("engine.bach") && told.err.contains("protocol.lease"), "{told:?}");
    let told = shop.dues(&[&["check", "--json"], &faulty[..]].concat());
    let document: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((told.code, &document["ok"]), (78, &json!(false)), "{told:?}");
    let keys: Vec<&str> = document["faults"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert!(keys.contains(&"engine.bach") && keys.contains(&"protocol.lease"), "{keys:?}");
    for command in [&["migrate"][..], &["subscription", "list"], &["charge", "list"], &["review", "list"], &["run"]] {
        assert_eq!(shop.dues(&[command, &faulty[..]].concat()).code, 78, "{command:?}");
    }
    std::fs::remove_file(shop.path("dues.toml")).unwrap();
    assert_eq!(shop.dues(&["check"]).code, 78, "a file that was asked for must exist");
}

#[test]
fn an_address_that_the_daemon_cannot_use_is_no_good_config() {
    let shop = Shop::without_books();
    for url in ["postgres://a:canary@:::bad", "sqlite:books.db?mode=ro"] {
        let flag = format!("database.url={url}");
        let told = shop.dues(&["check", "--set", &flag]);
        assert_eq!((told.code, told.out.as_str()), (78, ""), "{told:?}");
        assert!(told.err.contains("--set database.url: ") && told.err.contains("is followed by"), "{told:?}");
        assert!(!told.err.contains("canary"), "{told:?}");
        let told = shop.dues(&["check", "--json", "--set", &flag]);
        let document: serde_json::Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!((told.code, &document["faults"][0]["key"]), (78, &json!("database.url")), "{told:?}");
    }
}

#[test]
fn what_is_wrong_with_an_address_is_told_without_its_password() {
    let shop = Shop::without_books();
    for (url, told) in [
        ("postgres://dues:can#ary@db.internal/dues", "# is %23"),
        ("postgres://dues:can/ary@db.internal/dues", "/ is %2F"),
        ("postgres://dues:can?ary@db.internal/dues", "? is %3F"),
        ("postgres://dues:canary@db.internal:abc/dues", "the port is no number from 1 to 65535"),
        ("postgres://dues:canary@db.internal:0/dues", "the port is no number from 1 to 65535"),
    ] {
        let told_all = shop.dues(&["check", "--set", &format!("database.url={url}")]);
        assert!(told_all.code == 78 && told_all.err.contains(told), "{url} {told_all:?}");
        assert!(!["can", "ary@", "abc"].iter().any(|part| told_all.err.contains(part)), "{told_all:?}");
    }
    for url in [
        "postgres://dues:can%23ary@db.internal:5432/dues?sslmode=require",
        "postgres://dues@[::1]:5432/dues",
        "postgres://%2Fvar%2Frun%2Fpostgresql/dues?user=dues&password=p%40q",
        "postgres:///dues?host=/var/run/postgresql&user=a@b",
    ] {
        assert_eq!(shop.dues(&["check", "--set", &format!("database.url={url}")]).code, 0, "{url}");
    }
}

#[test]
fn a_place_where_no_sqlite_file_can_be_kept_is_warned_of() {
    let shop = Shop::without_books();
    let check = |path: &str| shop.dues(&["check", "--set", &format!("database.url=sqlite:{path}")]);
    let told = check("/nonexistent/dues.db");
    assert_eq!(told.code, 0, "the daemon's machine may have it: {told:?}");
    let warning = "dues: warning: the directory /nonexistent for the SQLite file is not there; `dues run` must be able to write there";
    assert!(told.err.lines().any(|line| line == warning), "{told:?}");
    assert_eq!(shop.json(&["check", "--set", "database.url=sqlite:books.db"])["database_warning"], json!(null));
    let told = check(shop.path("").to_str().unwrap());
    assert!(told.code == 0 && told.err.contains(" is a directory: name a file in it"), "{told:?}");
    let closed = shop.path("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    // To the superuser nothing is closed.
    let open_to_us = std::fs::write(closed.join("probe"), "").is_ok();
    let told = check(closed.join("dues.db").to_str().unwrap());
    assert_eq!(told.err.contains("cannot be written by this user"), !open_to_us, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_brings_the_schema_up_once() {
    let directory = tempfile::tempdir().unwrap();
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::without_books();
        let url = format!("database.url={}", empty_books(on, &directory));
        let before = shop.dues(&["subscription", "list", "--set", &url]);
        assert_eq!(before.code, 1);
        assert!(before.err.contains("run `dues migrate`"), "{before:?}");
        let first = shop.json(&["migrate", "--set", &url]);
        assert_eq!(first["from"], 0, "{on:?}");
        assert!(first["to"].as_i64().unwrap() > 0, "{on:?}");
        let again = shop.json(&["migrate", "--set", &url]);
        assert_eq!((&again["from"], &again["to"]), (&first["to"], &first["to"]), "{on:?}");
        let told = shop.dues(&["migrate", "--set", &url]);
        assert!(told.out.ends_with("already; nothing was changed\n"), "{told:?}");
        assert_eq!(shop.dues(&["subscription", "list", "--set", &url]).out, "none\n");
    }
}

#[test]
fn a_key_that_is_there_and_cannot_work_is_no_good_config() {
    let shop = Shop::without_books();
    let check = || {
        let key = format!("gateway.secret_key_file={}", shop.path("key").display());
        said(&mut shop.bare(&["--config", "dues.toml", "check", "--set", &key]))
    };
    for (text, told) in [
        ("sk_sbox_simulated\n", "holds a sandbox key, but installation.environment is live"),
        ("sk_1234\n", "it is too short to be a whole one"),
        ("sk_abcdefgh12345678  \n\n", "it holds blanks, more lines"),
        ("\n", "it is empty"),
        ("pk_abcdefgh12345678\n", "it does not begin with sk_"),
    ] {
        shop.write("key", text);
        let refused = check();
        assert_eq!((refused.code, refused.out.as_str()), (78, ""), "{text:?}: {refused:?}");
        assert!(refused.err.contains(told) && !refused.err.contains("12345678"), "{text:?}: {refused:?}");
    }
    shop.write("key", "sk_abcdefgh12345678\r\n");
    let good = check();
    assert!(good.code == 0 && good.out.contains("secret key    found"), "{good:?}");
    // The one who checks may be another than the daemon.
    std::fs::remove_file(shop.path("key")).unwrap();
    let absent = check();
    assert!(absent.code == 0 && absent.out.contains("not readable here"), "{absent:?}");
    assert!(absent.err.contains("No such file or directory"), "{absent:?}");
}

#[test]
fn a_snapshot_in_the_place_of_the_books_or_the_config_is_refused() {
    let shop = Shop::without_books();
    let directory = shop.path("").display().to_string();
    let directory = directory.trim_end_matches('/');
    shop.write("books.db", "");
    shop.write("key", "sk_abcdefgh12345678\n");
    std::os::unix::fs::symlink(directory, shop.path("linked")).unwrap();
    let check = |url: &str, snapshot: &str| {
        let url = format!("database.url={url}");
        let key = format!("gateway.secret_key_file={directory}/key");
        let mark = format!("installation.high_water_file={directory}/mark");
        let snapshot = format!("finance.snapshot={snapshot}");
        let set = ["--set", &url, "--set", &key, "--set", &mark, "--set", &snapshot];
        said(&mut shop.bare(&[&["--config", "dues.toml", "check"][..], &set].concat()))
    };
    let whole = format!("sqlite:{directory}/books.db");
    let linked = format!("sqlite:{directory}/linked/books.db");
    let (whole, linked) = (whole.as_str(), linked.as_str());
    for (url, snapshot, told) in [
        ("sqlite:books.db", format!("{directory}/books.db"), "belongs to the books themselves"),
        ("sqlite:./books.db", format!("{directory}/books.db-wal"), "belongs to the books themselves"),
        (whole, format!("/{directory}/books.db"), "belongs to the books themselves"),
        (whole, format!("{directory}/linked/books.db"), "belongs to the books themselves"),
        (linked, format!("{directory}/books.db"), "belongs to the books themselves"),
        (whole, format!("{directory}/linked/books.db.lock"), "belongs to the books themselves"),
        (whole, format!("{directory}/mark"), "holds the count of sends"),
        (whole, format!("{directory}/dues.toml"), "is the config file"),
        (whole, format!("{directory}/key"), "holds the secret key"),
    ] {
        let refused = check(url, &snapshot);
        assert_eq!((refused.code, refused.out.as_str()), (78, ""), "{url} {snapshot} {refused:?}");
        assert!(refused.err.contains("finance.snapshot") && refused.err.contains(told), "{url} {snapshot} {refused:?}");
    }
    let good = check("sqlite:books.db", &format!("{directory}/finance.db"));
    assert_eq!(good.code, 0, "{good:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_held_against_the_books_where_they_answer() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let told = shop.dues(&["check", "--reload"]);
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{on:?}: no key is looked for: {told:?}");
        assert!(told.out.contains("the books agree"), "{on:?} {told:?}");
        let other = shop.dues(&["check", "--reload", "--set", "installation.name=others"]);
        assert_eq!(other.code, 78, "{on:?} {other:?}");
        assert!(other.err.contains("these books were begun under another name"), "{on:?} {other:?}");
        let config = std::fs::read_to_string(shop.path("dues.toml")).unwrap();
        shop.write("dues.toml", &config.replace("12800", "1280000"));
        let jump = shop.dues(&["check", "--reload"]);
        assert_eq!(jump.code, 78, "{on:?} {jump:?}");
        assert!(jump.err.contains("the price of monthly") && jump.err.contains("dues plans --accept"), "{jump:?}");
        assert_eq!(shop.dues(&["check"]).code, 0, "{on:?}: without --reload no books are opened");
        let document = shop.json(&["status"]);
        assert_eq!(document["plans_withheld"], json!(["monthly"]), "{on:?} {document}");
    }
}

#[test]
fn a_reload_is_let_through_where_the_books_do_not_answer() {
    let shop = Shop::without_books();
    let nowhere = "database.url=postgres://dues@127.0.0.1:1/dues";
    for more in [&[][..], &["--set", nowhere]] {
        let told = shop.dues(&[&["check", "--reload"], more].concat());
        assert_eq!(told.code, 0, "{told:?}");
        assert!(told.err.contains("the books were not asked: "), "{told:?}");
        let document = shop.json(&[&["check", "--reload"], more].concat());
        assert_eq!(document["books_agree"], json!(null), "{document}");
        assert!(document["books_warning"].is_string() && document.get("secret_key_found").is_none(), "{document}");
    }
    assert!(!shop.path("books.db").exists(), "nothing is made");
}
