//! `dues backup`: a copy that is made beside a working daemon, checked, and kept from other eyes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dues::clock::Clock;
use dues::store::Store;
use serde_json::json;

use crate::shop::{Said, Shop, said};
use crate::support::world::{BOTH, On};

/// The program with a PATH, where pg_dump is found.
fn backup(shop: &Shop, arguments: &[&str]) -> Said {
    let path = std::env::var_os("PATH").unwrap_or_default();
    said(shop.command(&[&["backup"], arguments].concat()).env("PATH", path))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_holds_what_the_books_hold_and_nobody_else_may_read_it() {
    for on in BOTH {
        let shop = Shop::new(on).await;
        let to = shop.path("copy");
        let place = to.to_str().unwrap();
        let done = backup(&shop, &[place]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{on:?} {done:?}");
        for told in ["3 subscriptions, 3 customers, 4 charges", "names and e-mail addresses", "dues ledger acknowledge"]
        {
            assert!(done.out.contains(told), "{on:?}: {told:?} is missing in\n{}", done.out);
        }
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600, "{on:?}");
        assert_eq!(names(to.parent().unwrap()), ["copy", "dues.toml"], "{on:?}: nothing else is left");
        let world = shop.world.as_ref().unwrap();
        let kept = world.store.rows_kept().await.unwrap();
        if on == On::Sqlite {
            let copy = Store::open_copy(&to, Clock::system()).await.unwrap();
            assert_eq!(copy.rows_kept().await.unwrap(), kept);
            copy.close().await;
        }

        let again = backup(&shop, &[place]);
        assert_eq!((again.code, again.out.as_str()), (1, ""), "{on:?}");
        assert!(again.err.contains("say --force to replace it"), "{on:?} {again:?}");
        world.hand_over("ORD-9", "monthly", "2098-12-31", None).await;
        let forced = backup(&shop, &[place, "--force", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&forced.out).unwrap();
        assert_eq!(document["rows"]["subscriptions"], json!(4), "{on:?} {document}");
        assert_eq!(document["rows"]["journal"], json!(kept.journal + 1), "{on:?} {document}");
        assert_eq!(document["bytes"], json!(std::fs::metadata(&to).unwrap().len()), "{on:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_never_takes_the_place_of_the_books() {
    let shop = Shop::new(On::Sqlite).await;
    let world = shop.world.as_ref().unwrap();
    let books =
        secrecy::ExposeSecret::expose_secret(&world.settings.database.url).trim_start_matches("sqlite:").to_owned();
    let link = shop.path("link");
    std::os::unix::fs::symlink(&books, &link).unwrap();
    let places = ["", "-wal", ".sends", ".lock"].map(|end| format!("{books}{end}"));
    for place in places.iter().map(String::as_str).chain([link.to_str().unwrap()]) {
        let refused = backup(&shop, &[place, "--force"]);
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{place} {refused:?}");
        assert!(refused.err.contains("belongs to the books themselves"), "{place} {refused:?}");
    }
    assert_eq!(shop.dues(&["verify"]).code, 0);
    let refused = backup(&shop, &[shop.path("").to_str().unwrap()]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let nowhere = backup(&shop, &["/nonexistent/copy"]);
    assert_eq!((nowhere.code, nowhere.out.as_str()), (1, ""), "{nowhere:?}");
    assert!(nowhere.err.contains("/nonexistent/copy cannot be written"), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_backup_replaces_a_backup_and_nothing_else() {
    let shop = Shop::new(On::Sqlite).await;
    let place = |name: &str| shop.path(name).to_str().unwrap().to_owned();
    shop.write("key", "sk_sbox_simulated\n");
    shop.write("letters", "nothing of dues\n");
    shop.write("empty", "");
    std::fs::create_dir(shop.path("dues.d")).unwrap();
    shop.write("dues.d/more.toml", "");
    std::os::unix::fs::symlink(shop.path("letters"), shop.path("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(shop.path("socket")).unwrap();
    let snapshot = place("snapshot.db");
    shop.world.as_ref().unwrap().store.copy_without_people(&shop.path("snapshot.db")).await.unwrap();
    let key = format!("gateway.secret_key_file={}", place("key"));
    let finance = format!("finance.snapshot={snapshot}");
    for (name, code, told) in [
        ("dues.toml", 1, "is the config file"),
        ("dues.d/more.toml", 1, "would be a config file"),
        ("dues.d/new.toml", 1, "would be a config file"),
        ("key", 1, "holds the secret key"),
        ("snapshot.db", 1, "is the snapshot for finance"),
        ("letters", 1, "holds something else than a backup"),
        ("link", 1, "is a link, a device or the like"),
        ("socket", 1, "is a link, a device or the like"),
    ] {
        let before = std::fs::read(shop.path(name)).ok();
        let refused = backup(&shop, &["--set", &key, "--set", &finance, "--force", &place(name)]);
        assert_eq!((refused.code, refused.out.as_str()), (code, ""), "{name} {refused:?}");
        assert!(refused.err.contains(told), "{name} {refused:?}");
        assert_eq!(std::fs::read(shop.path(name)).ok(), before, "{name}");
    }
    let output = backup(&shop, &["--force", "-"]);
    assert!(output.code == 2 && output.err.contains("not the output: name the file"), "{output:?}");
    assert!(!Path::new("-").exists());
    // A snapshot that another config names is no backup either.
    let refused = backup(&shop, &["--force", &snapshot]);
    assert!(refused.code == 1 && refused.err.contains("holds something else than a backup"), "{refused:?}");
    for _ in 0..2 {
        let made = backup(&shop, &["--force", &place("empty")]);
        assert_eq!((made.code, made.err.as_str()), (0, ""), "{made:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pg_dump_that_fails_leaves_nothing_and_no_password_is_an_argument() {
    let mut shop = Shop::new(On::Postgres).await;
    let to = shop.path("copy");
    let programs = shop.path("bin");
    std::fs::create_dir(&programs).unwrap();
    let install = |text: &str| {
        let program = programs.join("pg_dump");
        std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    // It is new enough, and writes half of the file before it fails.
    let fails = "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit 0\n\
         echo \"$PGDATABASE ${PGPASSWORD-none}\" > \"${0%/*}/told\"; echo \"$@\" >> \"${0%/*}/told\"\n\
         for it in \"$@\"; do last=$it; done; echo half > \"$last\"; echo 'the connection broke' >&2; exit 1";
    install(fails);
    let failed = said(shop.command(&["backup", to.to_str().unwrap()]).env("PATH", &programs));
    assert_eq!((failed.code, failed.out.as_str()), (1, ""), "{failed:?}");
    assert!(failed.err.contains("pg_dump failed") && failed.err.contains("the connection broke"), "{failed:?}");
    assert!(!to.exists(), "half a backup is none");
    assert_eq!(names(to.parent().unwrap()), ["bin", "dues.toml"]);
    let told = std::fs::read_to_string(programs.join("told")).unwrap();
    assert!(told.starts_with("test_") && told.contains(" none\n--format=custom --no-password"), "{told}");

    let url = secrecy::ExposeSecret::expose_secret(&shop.world.as_ref().unwrap().settings.database.url).to_owned();
    shop.use_books(&format!("{url}&password=hidden-word"));
    let failed = said(shop.command(&["backup", to.to_str().unwrap()]).env("PATH", &programs));
    assert!(failed.code == 1 && !failed.err.contains("hidden-word"), "{failed:?}");
    let told = std::fs::read_to_string(programs.join("told")).unwrap();
    let (environment, arguments) = told.split_once('\n').unwrap();
    assert!(environment.ends_with(" hidden-word") && !arguments.contains("hidden-word"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_with_what_a_copy_needs() {
    let shop = Shop::new(On::Sqlite).await;
    let small = shop.path("small");
    std::fs::create_dir(&small).unwrap();
    // A disk of its own, which nobody else sees, and which is gone with the command.
    let mut command = std::process::Command::new("unshare");
    command.args(["--map-root-user", "--mount", "/bin/sh", "-c"]);
    command.arg("mount -t tmpfs -o size=64k none \"$1\" || exit 77; shift; exec \"$@\"").arg("sh").arg(&small);
    let backup = shop.command(&["backup", small.join("copy").to_str().unwrap()]);
    command.arg(backup.get_program()).args(backup.get_args()).env("USER", "tester");
    let failed = said(&mut command);
    if failed.code == 77 || failed.err.contains("unshare failed") {
        eprintln!("this machine gives nobody a disk of their own: {}", failed.err);
        return;
    }
    assert_eq!((failed.code, failed.out.as_str()), (1, ""), "{failed:?}");
    assert!(failed.err.contains("the disk of ") && failed.err.contains("is full: a copy needs "), "{failed:?}");
    assert_eq!(names(&small), Vec::<String>::new());
}
