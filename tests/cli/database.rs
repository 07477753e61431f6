//! Databases that are not there: who makes them, and what an operator is told.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
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
    let forget = "DELETE FROM _sqlx_migrations WHERE version >= 7";
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

/// Who may read these files and write none of them: whoever runs the test, or where that is the superuser, to whom nothing is closed, nobody.
fn as_a_reader(command: &mut std::process::Command) -> crate::shop::Said {
    let superuser = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    crate::shop::said(if superuser { command.uid(65_534).gid(65_534) } else { command })
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn who_may_only_read_the_file_reads_it_while_no_daemon_runs_and_is_told_why_he_cannot_act() {
    let shop = Shop::without_books();
    shop.write("rows.csv", ROW);
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    assert_eq!(shop.dues(&["import", shop.path("rows.csv").to_str().unwrap()]).code, 0);
    // It closes the file behind it, as a daemon does that is stopped.
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    let (directory, file) = (shop.path(""), shop.path("books.db"));
    let there = || std::fs::read_dir(&directory).unwrap().count();
    let before = there();
    set_mode(&file, 0o444);
    set_mode(&directory, 0o555);
    set_mode(&shop.path("dues.toml"), 0o444);
    let run = |arguments: &[&str]| as_a_reader(&mut shop.command(arguments));
    let (status, list) = (run(&["status"]), run(&["subscription", "list"]));
    let (migrate, cancel) = (run(&["migrate"]), run(&["subscription", "cancel", "ORD-1", "--reason", "x"]));
    set_mode(&directory, 0o755);
    assert!(status.code == 0 && status.out.contains("due now"), "{status:?}");
    assert!(list.code == 0 && list.out.contains("ORD-1"), "{list:?}");
    assert_eq!(there(), before, "nothing is left behind");
    for said in [migrate, cancel] {
        let told = "cannot be opened: the file or its directory is not writable for this user; run dues as the user that owns them\n";
        assert!(said.code == 1 && said.err.ends_with(told), "{said:?}");
    }
}

#[test]
fn a_file_of_a_newer_program_or_of_another_one_is_told_for_what_it_is() {
    let shop = Shop::without_books();
    assert_eq!(shop.dues(&["migrate"]).code, 0);
    let sqlite = |text: &'static str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use sqlx::Connection;
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(shop.path("books.db"));
            let mut file =
                sqlx::sqlite::SqliteConnection::connect_with(&options.create_if_missing(true)).await.unwrap();
            sqlx::query(text).execute(&mut file).await.unwrap();
            file.close().await.unwrap();
        });
    };
    sqlite(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', true, x'00', 0)",
    );
    let run =
        |arguments: &[&str]| crate::shop::said(shop.command(arguments).env("DUES_SECRET_KEY", "sk_0123456789abcdef"));
    for command in [&["status"][..], &["plans"], &["migrate"], &["run"]] {
        let said = run(command);
        assert!(said.code == 1 && said.err.contains("a newer dues has brought it up"), "{command:?} {said:?}");
        assert!(!said.err.contains("run `dues migrate`"), "{command:?} {said:?}");
    }
    std::fs::remove_file(shop.path("books.db")).unwrap();
    sqlite("CREATE TABLE invoices (id INTEGER)");
    let said = run(&["migrate"]);
    assert!(
        said.code == 1 && said.err.contains("holds the tables of another program, invoices among them"),
        "{said:?}"
    );
}

#[test]
fn a_daemon_that_may_not_migrate_makes_no_file() {
    let shop = Shop::without_books();
    let mut command = shop.command(&["run", "--set", "database.migrate=false"]);
    let said = crate::shop::said(command.env("DUES_SECRET_KEY", "sk_0123456789abcdef"));
    assert!(
        said.code == 1 && said.err.contains("there is no database") && said.err.contains("`dues migrate`"),
        "{said:?}"
    );
    assert!(!shop.path("books.db").exists());
    assert_eq!(shop.dues(&["migrate", "--set", "database.migrate=false"]).code, 0, "who is asked to makes it");
}
