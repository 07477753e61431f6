//! `dues check`: is the config right, and where does each value come from?

use std::process::ExitCode;

use secrecy::ExposeSecret;
use serde_json::json;

use super::output::{self, Page, Table};
use super::{Ground, exit};
use crate::config::{Environment, Sources, secret};

/// Arguments of `dues check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Nothing is opened and nothing is sent. Exit code 78 where the config is wrong.\n\n\
    Examples:\n  dues check\n  dues check --show\n  dues check --config /etc/dues/dues.toml --json")]
pub struct Args {
    /// Shows every key with its value and where the value comes from; secrets are left out
    #[arg(long)]
    show: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        let loaded = ground.load()?;
        let settings = &loaded.settings;
        let key = secret::secret_key(settings, &Sources::process_environment());
        let key = match &key {
            Ok(key) => format!("found ({} characters)", key.expose_secret().chars().count()),
            Err(error) => error.to_string(),
        };
        let environment = match settings.installation.environment {
            Environment::Sandbox => "sandbox",
            Environment::Live => "live",
        };
        if ground.json {
            let effective: Vec<_> = loaded
                .effective
                .iter()
                .map(|it| json!({"key": it.key, "value": it.value_shown, "origin": it.origin}))
                .collect();
            output::json(&json!({
                "good": true,
                "environment": environment,
                "gateway_url": settings.gateway.url,
                "plans": settings.plans.keys().collect::<Vec<_>>(),
                "secret_key": key,
                "effective": if self.show { effective } else { Vec::new() },
            }))?;
            return Ok(ExitCode::from(exit::OK));
        }
        output::line("The config is good.")?;
        let mut page = Page::default()
            .field("installation", settings.installation.name.clone())
            .field("environment", environment)
            .field("gateway", settings.gateway.url.clone())
            .field("secret key", key)
            .field("plans", settings.plans.keys().cloned().collect::<Vec<_>>().join(", "));
        if self.show {
            let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
            for it in &loaded.effective {
                table.push([it.key.clone(), it.value_shown.clone(), it.origin.clone()]);
            }
            page = page.section("Every key", table);
        }
        page.print()?;
        Ok(ExitCode::from(exit::OK))
    }
}
