//! The restore drill: the real daemon, `dues backup` beside it, and the commands of docs/restore.md as they stand there.

use std::os::unix::fs::MetadataExt;
use std::process::Output;

use super::*;

/// Charges before the backup, and those that the restored books forget.
const BEFORE: u32 = 20;
const SINCE: u32 = 15;
/// The login of dues on PostgreSQL.
const LOGIN: &str = "drill";
/// A backup older than this is held; it is the shortest that there is.
const GAP: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_by_the_documented_commands_charges_nobody_twice_on_sqlite() {
    drill(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_by_the_documented_commands_charges_nobody_twice_on_postgres() {
    drill(On::Postgres).await;
}

async fn drill(on: On) {
    let mut ground = Ground::new(on, None, BEFORE, &["--settle-after", "0s"]).await;
    let mark = ground.directory.path().join("dues.db.sends").display().to_string();
    ground.flags.push(("installation.high_water_file".to_owned(), mark));
    ground.flags.push(("protocol.gap".to_owned(), "1m".to_owned()));
    let backup = ground.directory.path().join("backup");
    if on == On::Postgres {
        hand_to_a_login_of_its_own(&mut ground).await;
    }
    let daemon = ground.daemon();
    ground.assert_all_paid_once(BEFORE).await;
    let made: serde_json::Value =
        serde_json::from_slice(&done(dues(&ground, &["backup", backup.to_str().unwrap(), "--json"]))).unwrap();
    assert_eq!(made["rows"]["charges"], BEFORE, "{on:?} {made}");

    let backed_up = Clock::system().since_boot();

    // The same shop goes on: what it enters now, the backup does not know.
    enter(&ground, BEFORE..BEFORE + SINCE);
    ground.assert_all_paid_once(BEFORE + SINCE).await;
    daemon.stop();
    let taken = ground.payments().await;

    restore(&ground, on, &backup);
    if on == On::Sqlite {
        // A second restore keeps the books of the first apart. Directories are named to the second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        restore(&ground, on, &backup);
        let entries = std::fs::read_dir(ground.directory.path()).unwrap().map(|it| it.unwrap());
        let kept = entries.filter(|it| it.file_name().to_string_lossy().starts_with("before-restore-"));
        let kept: Vec<bool> = kept.map(|it| it.path().join("dues.db").exists()).collect();
        assert_eq!(kept, [true, true]);
    }
    let store = ground.store().await;
    assert_eq!(ground.paid(&store).await, i64::from(BEFORE), "{on:?}: the books are those of the backup");
    store.close().await;
    // As docs/restore.md has it: what was imported since is imported again. The daemon holds, so it may come before or after.
    enter(&ground, BEFORE..BEFORE + SINCE);
    tokio::time::sleep(
        (GAP + Duration::from_secs(2)).saturating_sub(Clock::system().since_boot().saturating_sub(backed_up)),
    )
    .await;
    let daemon = ground.daemon();
    daemon.wait_for("\"review.reason\":\"hold\"");
    let shown = wait_for_adopted(&ground).await;
    assert_eq!(shown["held"]["reason"], "rewound", "{on:?} {shown}");
    assert_eq!(shown["fences"][0]["lost_sends"], SINCE, "{on:?} {shown}");
    assert_eq!(ground.payments().await, taken, "{on:?}: nothing is sent while it holds");

    let lifted =
        done(dues(&ground, &["ledger", "acknowledge", "--reason", "restore drill", "--operator", "drill", "--yes"]));
    let lifted = String::from_utf8(lifted).unwrap();
    assert!(lifted.contains("the hold is lifted by drill"), "{on:?} {lifted}");
    // One more, who was never charged, shows that it charges again.
    enter(&ground, BEFORE + SINCE..BEFORE + SINCE + 1);
    ground.wait_for_payments(taken + 1).await;
    ground.assert_all_paid_once(BEFORE + SINCE + 1).await;
    daemon.stop();
}

/// Makes the books those of a login that may make no database and is no superuser, as an installation has it. dues works under it from now on.
async fn hand_to_a_login_of_its_own(ground: &mut Ground) {
    let store = ground.store().await;
    let mut tx = store.begin("hand over").await.unwrap();
    let change = format!(
        "DO $$ DECLARE it RECORD; BEGIN \
         IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{LOGIN}') THEN CREATE ROLE {LOGIN} LOGIN; END IF; \
         EXECUTE format('ALTER DATABASE %I OWNER TO {LOGIN}', current_database()); \
         FOR it IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') LOOP \
             EXECUTE format('ALTER TABLE %I OWNER TO {LOGIN}', it.relname); END LOOP; END $$"
    );
    tx.run(dues::store::db::Statement::new(change.leak())).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    for (_, url) in ground.flags.iter_mut().filter(|(key, _)| key == "database.url") {
        *url = url.replace("user=postgres", &format!("user={LOGIN}"));
    }
}

/// Runs the program on the ground's books.
fn dues(ground: &Ground, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
    command.arg("--config").arg(ground.config()).args(arguments).env("DUES_SECRET_KEY", "sk_sbox_simulated");
    for (key, value) in &ground.flags {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command.output().unwrap()
}

/// What it printed; it must have gone well.
fn done(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Imports subscriptions whose first period began yesterday.
fn enter(ground: &Ground, numbers: std::ops::Range<u32>) {
    let yesterday = Clock::system().now().date_naive() - chrono::Days::new(1);
    let mut file = "reference,plan,source_id,customer_reference,country,anchor_on,time_zone\n".to_owned();
    for number in numbers {
        file += &format!("ORD-{number:05},monthly,src_{number:026},ORD-{number:05},HK,{yesterday},Asia/Hong_Kong\n");
    }
    let path = ground.directory.path().join("import.csv");
    std::fs::write(&path, file).unwrap();
    done(dues(ground, &["import", path.to_str().unwrap(), "--accept"]));
}

/// Runs the commands that docs/restore.md has for this database, with the test's own places in them.
fn restore(ground: &Ground, on: On, backup: &Path) {
    let document = include_str!("../../docs/restore.md");
    let language = if on == On::Sqlite { "```sh sqlite\n" } else { "```sh postgres\n" };
    let commands = document.split(language).nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let directory = ground.directory.path();
    let mut command = Command::new("/bin/sh");
    let commands = match on {
        On::Sqlite => {
            let owner = std::fs::metadata(directory).unwrap();
            commands
                .replace("/var/lib/dues", directory.to_str().unwrap())
                .replace("/srv/backup/dues.db", backup.to_str().unwrap())
                .replace("-o dues -g dues-finance", &format!("-o {} -g {}", owner.uid(), owner.gid()))
        }
        On::Postgres => {
            let url = ground.flags.iter().find(|(key, _)| key == "database.url").map(|(_, url)| url.as_str()).unwrap();
            let (name, query) = url.trim_start_matches("postgres:///").split_once('?').unwrap();
            for pair in query.split('&') {
                let (key, value) = pair.split_once('=').unwrap();
                command.env(format!("PG{}", key.to_uppercase()), value);
            }
            // The page says who runs them: the administrator.
            command.env("PGUSER", "postgres");
            commands
                .replace("--owner=dues ", &format!("--owner={LOGIN} "))
                .replace("datname = 'dues'", &format!("datname = '{name}'"))
                .replace("/srv/backup/dues.dump", backup.to_str().unwrap())
                .replace("dues_restored", &format!("{name}_restored"))
                .replace("dues_before_restore", &format!("{name}_before"))
                .replace("DATABASE dues ", &format!("DATABASE {name} "))
                .replace("RENAME TO dues'", &format!("RENAME TO {name}'"))
        }
    };
    done(command.arg("-euc").arg(&commands).output().unwrap());
}

/// Waits until what was sent since the backup is adopted; `dues ledger show` tells it.
async fn wait_for_adopted(ground: &Ground) -> serde_json::Value {
    let mut shown = serde_json::Value::Null;
    for _ in 0..150 {
        shown = serde_json::from_slice(&done(dues(ground, &["ledger", "show", "--json"]))).unwrap();
        if shown["adopted"].as_array().is_some_and(|it| it.len() == usize::try_from(SINCE).unwrap()) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("what the gateway took was not adopted within 30 s: {shown}");
}
