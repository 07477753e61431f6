//! `dues check`: is the config right, and where does each value come from. Nothing is sent, and nothing is opened but for `--reload`, which
//! asks the books whether a daemon on them would take it up.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::Access;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::output::{self, Page, Table};
use super::spreadsheet::Spreadsheet;
use super::{Ground, WrongConfig, exit};
use crate::clock::Clock;
use crate::config::secret::{SecretError, secret_key};
use crate::config::{self, Environment, Faults, Loaded, Settings};
use crate::engine::{Rules, open};
use crate::interfaces::{daemon, kept_files};
use crate::store::db::directory_of;
use crate::store::{DatabaseUrl, StoreError};

/// Books that say nothing for so long are not waited for: the daemon, which has them open, judges for itself.
const BOOKS_WITHIN: Duration = Duration::from_secs(15);

/// Arguments of `dues check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The secret key is looked for but not needed: under systemd only the daemon is handed it. \
    Nothing is sent, and no database is opened without --reload.\n\n\
    Examples:\n  dues check\n  dues check --show\n  dues check --reload\n  dues check --config ./dues.toml --set engine.batch=200 --json")]
pub struct Args {
    /// Every key with its value and where that value stands
    #[arg(long)]
    show: bool,
    /// Asks the books, too, whether a running daemon takes it up: exit code 78 where a price is withheld or the books are others. The
    /// secret key, which a reload does not read, is not looked for
    #[arg(long)]
    reload: bool,
}

/// What a good config comes to.
struct Good<'a> {
    loaded: &'a Loaded,
    files: Vec<String>,
    /// Why no secret key was read here; none where there is one.
    no_key: Option<SecretError>,
    /// Why no SQLite file could be kept here; none where one could, and for PostgreSQL.
    no_place: Option<String>,
    /// Whether it was asked for a reload, and why the books could not be asked; none of that where they agree.
    reload: Option<Option<String>>,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let loaded = kept_files::load(&ground.sources).and_then(|loaded| Ok((database_url(&loaded)?, loaded)));
        let (url, loaded) = match loaded {
            Ok(good) => good,
            Err(faults) if ground.json() => {
                output::json(&refused(&faults))?;
                return Ok(ExitCode::from(exit::CONFIG));
            }
            Err(faults) => return Err(WrongConfig(faults.to_string()).into()),
        };
        let files = files(ground, &loaded);
        let good = if self.reload {
            let reload = Some(ask_books(&loaded.settings).await?);
            Good { files, loaded: &loaded, no_key: None, no_place: None, reload }
        } else {
            let no_key = match secret_key(&loaded.settings, &ground.sources.environment) {
                Ok(_) => None,
                // What is there and cannot work is as wrong as any other value.
                Err(error @ (SecretError::NotAKey { .. } | SecretError::WrongEnvironment { .. })) => {
                    return Err(WrongConfig(error.to_string()).into());
                }
                Err(error) => Some(error),
            };
            Good { files, loaded: &loaded, no_key, no_place: no_place(&url), reload: None }
        };
        if ground.json() {
            output::json(&good.document(self.show))?;
        } else if ground.csv() {
            let values = good.document(self.show)["values"].take();
            Spreadsheet::print(&["key", "value", "origin"], values.as_array().cloned().unwrap_or_default())?;
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
            .field("plans", settings.plans.len().to_string());
        page = match &self.reload {
            None => page.field("secret key", self.key()),
            Some(unasked) => page.field("reload", if unasked.is_none() { "the books agree" } else { "not known" }),
        };
        if show {
            let rows = self.loaded.effective.iter();
            let values = Table::new(&["KEY", "VALUE", "FROM"])
                .rows(rows.map(|it| [it.key.clone(), it.value_shown.clone(), it.origin.clone()]));
            page = page.section("Values", values);
        }
        page.print()?;
        if let Some(why) = &self.no_key {
            let cause = why.source().map(|it| format!(": {it}")).unwrap_or_default();
            output::remark(&format!("warning: {why}{cause}; `dues run` needs it"));
        }
        if let Some(why) = &self.no_place {
            output::remark(&format!("warning: {why}; `dues run` must be able to write there"));
        }
        if let Some(why) = self.reload.iter().flatten().next() {
            output::remark(&format!("the books were not asked: {why}; the daemon judges for itself"));
        }
        Ok(())
    }

    fn key(&self) -> &'static str {
        match self.no_key {
            None => "found",
            Some(SecretError::Unreadable { .. }) => "not readable here",
            Some(_) => "not found here",
        }
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
            "database_warning": self.no_place,
        });
        match &self.reload {
            None => {
                document["secret_key_found"] = self.no_key.is_none().into();
                document["secret_key_warning"] = json!(self.no_key.as_ref().map(ToString::to_string));
            }
            Some(unasked) => {
                document["books_agree"] = json!(unasked.is_none().then_some(true));
                document["books_warning"] = json!(unasked);
            }
        }
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

/// Holds the config against the books, as a daemon on them does when it is told to reload. Some: why they could not be asked.
///
/// # Errors
/// Why it would be refused, with exit code 78.
async fn ask_books(settings: &Settings) -> anyhow::Result<Option<String>> {
    let asked = async {
        let store = open::books_to_look(settings, &Clock::system()).await?;
        store.check_schema().await?;
        if let Some(pinned) = store.installation().await? {
            pinned.admit(&open::pins_of(settings))?;
        }
        Rules::withheld_of(settings, &store).await
    };
    match tokio::time::timeout(BOOKS_WITHIN, asked).await {
        Ok(Ok(names)) if names.is_empty() => Ok(None),
        Ok(Ok(names)) => Err(WrongConfig(daemon::withheld(&names)).into()),
        Ok(Err(error)) if error.is_of_other_books() || matches!(error, StoreError::Url(_)) => Err(error.into()),
        Ok(Err(error)) => Ok(Some(super::told(&error.into()))),
        Err(_) => Ok(Some(format!("no answer within {} s", BOOKS_WITHIN.as_secs()))),
    }
}

/// The database's address as the store reads it: its form is the store's to judge.
fn database_url(loaded: &Loaded) -> Result<DatabaseUrl, Faults> {
    let url = loaded.settings.database.url.expose_secret();
    DatabaseUrl::parse(url).map_err(|error| match error {
        StoreError::Url(why) => loaded.fault("database.url", why),
        other => loaded.fault("database.url", &other.to_string()),
    })
}

/// Why a SQLite file could not be kept where it is to be. Asked as the one who runs the check, who may be another than the daemon.
fn no_place(url: &DatabaseUrl) -> Option<String> {
    let DatabaseUrl::Sqlite(path) = url else { return None };
    if path.is_dir() {
        return Some(format!("{} is a directory: name a file in it, as in {}/dues.db", path.display(), path.display()));
    }
    let directory = directory_of(path);
    if !directory.is_dir() {
        return Some(format!("the directory {} for the SQLite file is not there", directory.display()));
    }
    // The file has companions that are made and removed beside it, so the directory counts even where the file is there.
    let closed = |path: &Path, access| rustix::fs::access(path, access).is_err();
    if closed(directory, Access::WRITE_OK | Access::EXEC_OK) {
        return Some(format!(
            "the directory {} of the SQLite file cannot be written by this user",
            directory.display()
        ));
    }
    let is_closed = path.exists() && closed(path, Access::READ_OK | Access::WRITE_OK);
    is_closed.then(|| format!("the SQLite file {} cannot be written by this user", path.display()))
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
