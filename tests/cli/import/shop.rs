//! A shop with rows to hand over, through the library and through the program.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dues::clock::Clock;
use dues::engine::hand_over::{Rehearsal, Terms};
use dues::gateway::budget::TokenBucket;
use dues::interfaces::import::{Books, Desk, Evidence, Format, Import, ImportError, Mapping, Place, Source, Summary};
use dues::row;
use dues::store::db::Statement;
use dues::store::{DatabaseUrl, Store};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::world::{On, World, empty_books};

/// The header of the files below.
pub const HEADER: &str = "reference,plan,source_id,anchor_on,next_charge_on,customer_name,customer_email";

row! { CountRow { count: i64 } }

/// What a run of the program said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A config, a database and files in a directory.
pub struct Shop {
    pub directory: TempDir,
    pub store: Store,
}

impl Shop {
    /// A shop with empty books whose schema is up.
    pub async fn new(on: On, gateway_url: &str) -> Shop {
        let directory = tempfile::tempdir().unwrap();
        let url = empty_books(on, &directory);
        let config = format!(
            "installation.name = \"test\"\ninstallation.environment = \"sandbox\"\ndatabase.url = \"{url}\"\n\
             gateway.url = \"{gateway_url}\"\ngateway.timeout = \"2s\"\ngateway.read_timeout = \"2s\"\n\
             gateway.connect_timeout = \"2s\"\n[plans.monthly]\namount_minor = 12800\ncurrency = \"HKD\"\n\
             interval = \"month\"\nbilling_hour = 10\ndescription = \"Monthly plan\"\n"
        );
        std::fs::write(directory.path().join("dues.toml"), config).unwrap();
        let url = DatabaseUrl::parse(&url).unwrap();
        let store = Store::open(&url, 2, Duration::from_secs(30), Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        Shop { directory, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// `dues import` with these arguments, in the shop's directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command
            .args(["--config", "dues.toml", "import"])
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("CREDENTIALS_DIRECTORY")
            .env("DUES_SECRET_KEY", "sk_sbox_simulated")
            .stdin(Stdio::null());
        command
    }

    pub fn import(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        let row: CountRow = self.store.read_one(Statement::new(query)).await.unwrap();
        row.count
    }

    pub async fn subscriptions(&self) -> i64 {
        self.count("SELECT COUNT(*) AS count FROM subscriptions").await
    }
}

pub fn said(command: &mut Command) -> Said {
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// A good row under [`HEADER`], due in the far future.
pub fn good(reference: &str) -> String {
    format!("{reference},monthly,src_{reference},2025-01-15,2099-01-15,Wallet Customer,wallet@example.com")
}

/// A file of these rows under [`HEADER`].
pub fn csv(rows: &[String]) -> String {
    format!("{HEADER}\n{}\n", rows.join("\n"))
}

/// How rows are handed over through the library.
pub struct Way {
    pub format: Format,
    pub dry_run: bool,
    pub look_up: bool,
    pub rejects: Place,
    pub map: &'static [&'static str],
    pub another: bool,
}

impl Way {
    pub const CSV: Way =
        Way { format: Format::Csv, dry_run: false, look_up: false, rejects: Place::Nowhere, map: &[], another: false };
    pub const JSONL: Way = Way { format: Format::Jsonl, ..Way::CSV };
}

/// Hands `text` over to the world's books.
pub async fn hand_over(world: &World, text: impl AsRef<[u8]>, way: Way) -> Result<Summary, ImportError> {
    let books = if way.dry_run {
        let rehearsal = Box::new(Rehearsal::new(&world.settings, &world.store).await.unwrap());
        Books::Rehearse { store: world.store.clone(), rehearsal, clock: world.clock.clone() }
    } else {
        Books::Enter { engine: Box::new(world.engine.clone()) }
    };
    let evidence = if way.look_up {
        Evidence::Gateway(Desk::new(world.engine.client.clone(), TokenBucket::new(None), world.clock.clone()))
    } else {
        Evidence::Nowhere("the test says so")
    };
    let mapping = Mapping::new(way.map.iter().map(|it| it.parse().unwrap())).unwrap();
    let source = Source::new(Path::new("a file"), way.format, mapping, Cursor::new(text.as_ref().to_vec()))?;
    let terms = Terms { acknowledged: true, another: way.another };
    Import::new(books, terms, evidence, way.rejects, way.format)?.run(source, &AtomicBool::new(false), |_| {}).await
}

/// `line: reason` of each rejected row.
pub fn rejected(summary: &Summary) -> Vec<String> {
    summary.first_rejected().iter().map(|it| format!("{}: {}", it.line, it.reason)).collect()
}

/// Read, entered, already there, rejected.
pub fn counts(summary: &Summary) -> [u64; 4] {
    [summary.read, summary.entered, summary.already_there, summary.rejected]
}

/// The same from the program's JSON.
pub fn json_counts(out: &str) -> [u64; 4] {
    let value: Value = serde_json::from_str(out).unwrap();
    ["read", "entered", "already_there", "rejected_count"].map(|key| value[key].as_u64().unwrap())
}
