//! The two databases on which every scenario begins again and again: a SQLite file that is copied, and a PostgreSQL database whose rows
//! are put back.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dues::clock::Clock;
use dues::row;
use dues::simulation::crash_points::Ground;
use dues::store::db::Statement;
use dues::store::{DatabaseUrl, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::postgres::Cluster;

/// A connection of a process that is gone is gone within this many looks of 2 ms.
const LOOKS: u32 = 5_000;

/// A SQLite file, in memory where there is such a place.
pub struct Sqlite {
    directory: TempDir,
    /// A file that was put back has a name of its own, for a connection of a dead process may still be closing the one before.
    number: u32,
}

impl Sqlite {
    pub fn new() -> Sqlite {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        Sqlite { directory: tempfile::tempdir_in(parent).unwrap(), number: 0 }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn books(&self) -> PathBuf {
        self.file(&format!("dues-{}.db", self.number))
    }
}

impl Ground for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.books().display())
    }

    fn keep(&mut self) {
        fs::copy(self.books(), self.file("kept.db")).unwrap();
        fs::copy(self.mark(), self.file("kept.sends")).unwrap();
    }

    fn put_back(&mut self, with_mark: bool) {
        for end in ["", "-wal", "-shm"] {
            // What is not there need not be removed.
            let _gone = fs::remove_file(self.file(&format!("dues-{}.db{end}", self.number)));
        }
        self.number += 1;
        fs::copy(self.file("kept.db"), self.books()).unwrap();
        if with_mark {
            fs::copy(self.file("kept.sends"), self.mark()).unwrap();
        }
    }

    fn let_go(&mut self) {
        // The next writer waits for the dead one's lock, which goes with its connection.
    }

    fn mark(&self) -> PathBuf {
        self.file("sends")
    }
}

/// A PostgreSQL database. Making it anew for each point would cost more than the point.
pub struct Postgres {
    url: String,
    directory: TempDir,
    aside: Store,
    runtime: Runtime,
}

/// Copies every table into a schema of its own, once.
const KEEP: &str = "DO $do$ DECLARE t record; BEGIN CREATE SCHEMA kept; \
    FOR t IN SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' LOOP \
        EXECUTE format('CREATE TABLE kept.%1$I AS TABLE public.%1$I', t.name); \
    END LOOP; END $do$";

/// Puts every row back, without triggers, in the tables that ever had one. Sequences go on: nothing depends on the ids that they give.
const PUT_BACK: &str = "DO $do$ DECLARE t record; BEGIN PERFORM set_config('session_replication_role', 'replica', true); \
    FOR t IN SELECT relname AS name FROM pg_class \
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0 LOOP \
        EXECUTE format('DELETE FROM public.%1$I', t.name); \
        EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE kept.%1$I', t.name); \
    END LOOP; END $do$";

row! { CountRow { count: i64 } }

impl Postgres {
    pub fn new() -> Postgres {
        let url = Cluster::shared().new_database();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let parsed = DatabaseUrl::parse(&url).unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let aside = runtime.block_on(Store::open(&parsed, 1, Duration::from_secs(30), clock)).unwrap();
        // A process dies here and never the server, so nothing need be on its disk.
        for text in ["ALTER SYSTEM SET fsync = off", "SELECT COUNT(*) AS count FROM (SELECT pg_reload_conf()) AS it"] {
            let _none: Vec<CountRow> = runtime.block_on(aside.read(Statement::new(text))).unwrap();
        }
        Postgres { url, directory: tempfile::tempdir().unwrap(), aside, runtime }
    }

    fn run(&self, text: &'static str) {
        self.runtime.block_on(async {
            let mut tx = self.aside.begin("ground").await.unwrap();
            tx.run(Statement::new(text)).await.unwrap();
            tx.commit().await.unwrap();
        });
    }
}

impl Ground for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn keep(&mut self) {
        self.run(KEEP);
        fs::copy(self.mark(), self.directory.path().join("kept.sends")).unwrap();
    }

    fn put_back(&mut self, with_mark: bool) {
        self.run(PUT_BACK);
        if with_mark {
            fs::copy(self.directory.path().join("kept.sends"), self.mark()).unwrap();
        }
    }

    /// The dead process told the server nothing: its sockets were closed, and that alone ends its transaction.
    fn let_go(&mut self) {
        let others = "SELECT COUNT(*) AS count FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        for _ in 0..LOOKS {
            let row: CountRow = self.runtime.block_on(self.aside.read_one(Statement::new(others))).unwrap();
            if row.count == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("the server still holds a connection of the process that was ended");
    }

    fn mark(&self) -> PathBuf {
        self.directory.path().join("sends")
    }
}
