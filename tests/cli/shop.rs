//! Books with a bit of everything, and the program run on them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use dues::sandbox::{Outcome, Rule, Script};
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::world::{On, World, source_of};

/// A config with the pins of a [`World`], so that the program may open a world's books.
const CONFIG: &str = r#"
[installation]
name = "test"
environment = "live"
[gateway]
url = "https://api.checkout.com"
processing_channel_id = "pc_ekaubqrravqupfxde7kxvd2t3i"
[plans.monthly]
amount_minor = 12800
currency = "HKD"
interval = "month"
description = "Monthly plan"
"#;

/// What the program came to.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A directory with a config, whose books may be a world's.
pub struct Shop {
    pub world: Option<World>,
    directory: TempDir,
    url: String,
}

impl Shop {
    /// A config, and a SQLite file that does not exist yet.
    pub fn without_books() -> Shop {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("dues.toml"), CONFIG).unwrap();
        let url = format!("sqlite:{}", directory.path().join("books.db").display());
        Shop { world: None, directory, url }
    }

    /// Three subscriptions in March 2026: ORD-1 paid, ORD-2 declined for lack of funds and being dunned, ORD-3 with a payment that
    /// stays pending and so stands in a review case.
    pub async fn new(on: On) -> Shop {
        let mut world = World::new(on, "2026-01-10T00:00:00Z", &[]).await;
        world.sandbox.set_script(Script::of([
            Rule::decline("empty", "20051").for_source(&source_of("ORD-2")),
            Rule::outcome("stuck", Outcome::Pending).for_source(&source_of("ORD-3")),
        ]));
        world.hand_over("ORD-1", "monthly", "2026-01-31", None).await;
        world.hand_over("ORD-2", "monthly", "2026-02-26", None).await;
        world.hand_over("ORD-3", "weekly", "2026-02-25", None).await;
        world.run_until("2026-03-01T12:00:00Z").await;
        let url = world.settings.database.url.expose_secret().to_owned();
        Shop { world: Some(world), url, ..Shop::without_books() }
    }

    /// From now on the program opens these books.
    pub fn use_books(&mut self, url: &str) {
        self.url = url.to_owned();
    }

    /// The books that the program opens.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The program with these arguments, in an environment of which nothing is inherited.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command.env_clear().env("USER", "tester").arg("--config").arg(self.path("dues.toml"));
        command.arg("--set").arg(format!("database.url={}", self.url)).args(arguments).stdin(Stdio::null());
        command
    }

    /// The program with these arguments alone, in the shop's directory.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dues"));
        command.env_clear().args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    pub fn dues(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// The JSON that the program prints; it must succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.dues(&[arguments, &["--json"]].concat());
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        serde_json::from_str(&said.out).unwrap()
    }

    /// The same, whatever the exit code.
    pub fn json_whatever(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.dues(&[arguments, &["--json"]].concat()).out).unwrap()
    }
}

pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}
