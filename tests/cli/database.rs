//! Databases that are not there: who makes them, and what an operator is told.

use std::net::TcpListener;
use std::time::Duration;

use dues::clock::Clock;
use dues::store::db::Statement;
use dues::store::{DatabaseUrl, Store};

use crate::shop::Shop;

/// A row that charges nothing before the far future.
const ROW: &str = "reference,plan,source_id,anchor_on,next_charge_on\nORD-1,monthly,src_a,2025-01-15,2099-01-15\n";

#[test]
fn who_only_looks_makes_no_database() {
    let shop = Shop::without_books();
    shop.write("rows.csv", ROW);
    let rows = shop.path("rows.csv");
    let there = |shop: &Shop| std::fs::read_dir(shop.path("")).unwrap().count();
    let before = there(&shop);
    for command in [
        &["subscription", "list"][..],
        &["subscription", "show", "ORD-1"],
        &["subscription", "cancel", "ORD-1", "--reason", "x"],
        &["charge", "list"],
        &["charge", "show", "chg_1"],
        &["review", "list"],
        &["review", "show", "rev_1"],
        &["import", rows.to_str().unwrap(), "--dry-run"],
        &["import", rows.to_str().unwrap()],
    ] {
        let said = shop.dues(command);
        let file = shop.path("books.db").display().to_string();
        let told = format!("dues: there is no database {file} (database.url): run `dues migrate`\n");
        assert_eq!((said.code, said.out.as_str(), said.err), (1, "", told), "{command:?}");
        assert_eq!(there(&shop), before, "{command:?} leaves nothing behind");
    }
}

#[test]
fn an_import_makes_no_books_and_brings_the_schema_up_where_the_config_says_so() {
    let shop = Shop::without_books();
    shop.write("rows.csv", ROW);
    let rows = shop.path("rows.csv");
    let import = ["import", rows.to_str().unwrap(), "--set"];
    // Books of no schema at all are as good as none: a mistyped name would make books that no daemon reads.
    shop.write("books.db", "");
    for migrate in ["database.migrate=false", "database.migrate=true"] {
        let said = shop.dues(&[&import[..], &[migrate]].concat());
        assert!(said.code == 1 && said.err.contains("run `dues migrate`"), "{said:?}");
    }
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    let said = shop.dues(&[&import[..], &["database.migrate=false"]].concat());
    assert!(said.code == 0 && said.out.contains("1 entered"), "{said:?}");
    assert!(shop.dues(&["subscription", "list"]).out.contains("ORD-1"));
    // Of a schema that is behind, it is seen whether the rest would be brought up: what is there already cannot be made again.
    let forget = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let url = DatabaseUrl::parse(shop.url()).unwrap();
        let store = Store::open(&url, 2, Duration::from_secs(5), Clock::system()).await.unwrap();
        let mut tx = store.begin("forget").await.unwrap();
        tx.run(Statement::new(forget)).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
    });
    let said = shop.dues(&[&import[..], &["database.migrate=false"]].concat());
    assert!(said.code == 1 && said.err.contains("run `dues migrate`"), "{said:?}");
    let said = shop.dues(&[&import[..], &["database.migrate=true"]].concat());
    assert!(said.code == 1 && said.err.contains("could not be brought up"), "{said:?}");
}

#[test]
fn a_file_that_cannot_be_opened_is_told_with_its_cause() {
    let shop = Shop::without_books();
    shop.write("garbage.db", &"no database ".repeat(1000));
    let (missing, garbage) = (shop.path("missing/books.db"), shop.path("garbage.db"));
    let missing = missing.display().to_string();
    let directory = shop.path("missing").display().to_string();
    for (path, told) in [
        (missing, format!("the directory {directory} is missing; make it, or name another")),
        (garbage.display().to_string(), "the file is no SQLite database; name another".to_owned()),
        ("/proc/books.db".to_owned(), "the file or its directory is not writable for this user".to_owned()),
        (shop.path("").display().to_string(), "it is a directory; name a file in it".to_owned()),
    ] {
        let said = shop.dues(&["migrate", "--set", &format!("database.url=sqlite:{path}")]);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        let begins = format!("dues: the database sqlite:{path} (database.url) cannot be opened: {told}");
        assert!(said.err.starts_with(&begins), "{begins:?}, not {said:?}");
    }
    let missing = format!("database.url=sqlite:{}", shop.path("missing/books.db").display());
    let mut daemon = shop.command(&["run", "--set", &missing]);
    let said = crate::shop::said(daemon.env("DUES_SECRET_KEY", "sk_0123456789abcdef"));
    assert!(said.code == 1 && said.err.contains("is missing; make it"), "{said:?}");
}

#[test]
fn a_server_that_is_away_is_told_at_once_and_without_the_password() {
    let shop = Shop::without_books();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("database.url=postgres://dues:geheim@127.0.0.1:{port}/books");
    for command in [&["subscription", "list"][..], &["migrate"]] {
        let said = shop.dues(&[command, &["--set", &url]].concat());
        let told = format!(
            "dues: the database postgres://dues:***@127.0.0.1:{port}/books (database.url) cannot be reached: \
             Connection refused; is the server up?\n"
        );
        assert_eq!((said.code, said.err), (1, told));
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("database.url=postgres://dues@127.0.0.1:{}/books", silent.local_addr().unwrap().port());
    let said = shop.dues(&["migrate", "--set", &url, "--set", "database.busy_timeout=500ms"]);
    assert!(
        said.code == 1 && said.err.contains("cannot be reached: no answer within 0.5 s; is the server up"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_told_with_the_next_step() {
    let shop = Shop::without_books();
    let there = crate::support::postgres::Cluster::shared().new_database();
    let url = format!("database.url={}", there.replace("test_", "absent_"));
    let said = shop.dues(&["migrate", "--set", &url]);
    assert!(said.code == 1 && said.err.contains("does not exist; make it with createdb"), "{said:?}");
}
