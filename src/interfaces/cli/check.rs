//! `dues check`: is the config right, and where does each value come from. Nothing is opened and nothing is sent.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::output::{self, Page, Table};
use super::{Ground, exit};
use crate::config::secret::secret_key;
use crate::config::{self, Environment, Faults, Loaded};

/// Arguments of `dues check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The secret key is looked for but not needed: under systemd only the daemon is handed it. \
    Nothing is sent and no database is opened.\n\n\
    Examples:\n  dues check\n  dues check --show\n  dues check --config ./dues.toml --set engine.batch=200 --json")]
pub struct Args {
    /// Every key with its value and where that value stands
    #[arg(long)]
    show: bool,
}

/// What a good config comes to.
struct Good<'a> {
    loaded: &'a Loaded,
    files: Vec<String>,
    /// Why there is no usable secret key here; none where there is one.
    no_key: Option<String>,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        if ground.json
            && let Err(faults) = config::load(&ground.sources)
        {
            output::json(&refused(&faults))?;
            return Ok(ExitCode::from(exit::CONFIG));
        }
        let loaded = ground.load()?;
        let no_key = secret_key(&loaded.settings, &ground.sources.environment).err().map(|error| error.to_string());
        let good = Good { files: files(ground, &loaded), loaded: &loaded, no_key };
        if ground.json {
            output::json(&good.document(self.show))?;
        } else {
            good.print(self.show)?;
        }
        Ok(ExitCode::from(exit::OK))
    }
}

impl Good<'_> {
    fn print(&self, show: bool) -> anyhow::Result<()> {
        let settings = &self.loaded.settings;
        let files = if self.files.is_empty() {
            "none; defaults, environment and flags only".to_owned()
        } else {
            self.files.join(", ")
        };
        output::line("the config is good")?;
        let mut page = Page::default()
            .field("files", files)
            .field("installation", &settings.installation.name)
            .field("environment", environment(settings.installation.environment))
            .field("gateway", &settings.gateway.url)
            .field("database", self.database())
            .field("plans", settings.plans.len().to_string())
            .field("secret key", if self.no_key.is_none() { "found" } else { "not found here" });
        if show {
            let rows = self.loaded.effective.iter();
            let values = Table::new(&["KEY", "VALUE", "FROM"])
                .rows(rows.map(|it| [it.key.clone(), it.value_shown.clone(), it.origin.clone()]));
            page = page.section("Values", values);
        }
        page.print()?;
        if let Some(why) = &self.no_key {
            output::remark(&format!("warning: {why}; `dues run` needs it"));
        }
        Ok(())
    }

    fn document(&self, show: bool) -> Value {
        let settings = &self.loaded.settings;
        let mut document = json!({
            "ok": true,
            "files": self.files,
            "installation": settings.installation.name,
            "environment": environment(settings.installation.environment),
            "gateway_url": settings.gateway.url,
            "database_url": self.database(),
            "plans": settings.plans.len(),
            "secret_key_found": self.no_key.is_none(),
            "secret_key_warning": self.no_key,
        });
        if show {
            let values = self.loaded.effective.iter();
            document["values"] =
                values.map(|it| json!({ "key": it.key, "value": it.value_shown, "origin": it.origin })).collect();
        }
        document
    }

    /// The database's address without its password.
    fn database(&self) -> &str {
        let url = self.loaded.effective.iter().find(|value| value.key == "database.url");
        url.map_or("", |value| value.value_shown.trim_matches('"'))
    }
}

/// The files in which a value stands that counts, and the one that was asked for.
fn files(ground: &Ground, loaded: &Loaded) -> Vec<String> {
    let mut files: Vec<String> = ground.sources.file.iter().map(|path| path.display().to_string()).collect();
    for value in &loaded.effective {
        // Every other origin is a word of its own; a file read from a directory, or by name, ends so.
        if value.origin.ends_with(".toml") && !files.contains(&value.origin) {
            files.push(value.origin.clone());
        }
    }
    files
}

fn environment(environment: Environment) -> &'static str {
    match environment {
        Environment::Sandbox => "sandbox",
        Environment::Live => "live",
    }
}

fn refused(faults: &Faults) -> Value {
    let fault =
        |it: &config::Fault| json!({ "origin": it.origin, "key": it.key, "value": it.value, "allowed": it.allowed });
    json!({ "ok": false, "faults": faults.iter().map(fault).collect::<Vec<_>>() })
}
