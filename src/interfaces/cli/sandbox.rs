//! `dues sandbox`: a stand-in for Checkout.com on loopback.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Ground, exit, output};
use crate::clock::Clock;
use crate::config::parse_duration;
use crate::sandbox::{Sandbox, Script, Settings};

/// Arguments of `dues sandbox`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Everything in it is simulated, and all of it is forgotten when it stops.\n\n\
    A rule of a script says who gets which outcome, delay or fault:\n\n  \
    [[rule]]\n  name = \"empty wallet\"\n  source = \"src_…\"      # or customer, reference_prefix, amount_minor, subscription\n  \
    outcome = \"decline\"   # or capture, cancel, expire, pending\n  code = \"20051\"\n  times = 2             # the first two payments only\n\n  \
    [[rule]]\n  name = \"lost answers\"\n  fault = \"lost_response\"  # or lost_request, error_before, error_after, slow, garbage, …\n  \
    per_mille = 10\n\nExamples:\n  dues sandbox\n  dues sandbox --listen 127.0.0.1:8460 --script rules.toml --settle-after 2s\n  \
    curl http://127.0.0.1:8460/sandbox/books/summary")]
pub struct Args {
    /// The loopback address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8460", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Who gets which outcome, delay or fault, as TOML
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Draws ids and chances
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The secret key that it accepts, from a file; sk_sbox_simulated where it is left out
    #[arg(long, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// How long a payment is pending
    #[arg(long, default_value = "30s", value_parser = duration)]
    settle_after: Duration,
    /// How long an idempotency key is kept
    #[arg(long, default_value = "24h", value_parser = duration)]
    key_life: Duration,
    /// Refuses more POST requests in any second
    #[arg(long, value_name = "N")]
    writes_per_second: Option<NonZeroU32>,
    /// Refuses more GET requests in any second
    #[arg(long, value_name = "N")]
    reads_per_second: Option<NonZeroU32>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "it is a duration such as 45s, 2h or 250ms".to_owned())
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            self.listen.ip().is_loopback(),
            "--listen {} is no loopback address: the sandbox takes everybody's orders and is kept on this machine",
            self.listen
        );
        let script = match &self.script {
            None => Script::default(),
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
                Script::from_toml(&text).with_context(|| format!("{} is no script", path.display()))?
            }
        };
        let secret_key = match &self.secret_key_file {
            None => Settings::default().secret_key,
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
                SecretString::from(text.trim_end())
            }
        };
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("{} cannot be listened on; give another with --listen", self.listen))?;
        let url = format!("http://{}", listener.local_addr()?);
        let settings = Settings {
            public_url: url.clone(),
            secret_key,
            key_life: self.key_life,
            settle_after: self.settle_after,
            writes_per_second: self.writes_per_second.map(NonZeroU32::get),
            reads_per_second: self.reads_per_second.map(NonZeroU32::get),
            ..Settings::default()
        };
        self.tell(ground, &url, &settings)?;
        let sandbox = Sandbox::new(settings, script, Clock::system(), self.seed);
        let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
        let stop = async move {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        sandbox.serve(listener, stop).await.context("the sandbox cannot go on")?;
        Ok(ExitCode::from(exit::OK))
    }

    fn tell(&self, ground: &Ground, url: &str, settings: &Settings) -> anyhow::Result<()> {
        if ground.json {
            let line = json!({"url": url, "books": format!("{url}/sandbox/books"), "simulated": true});
            return output::line(&line.to_string());
        }
        let built_in = self.secret_key_file.is_none();
        output::line(&format!("SIMULATED Checkout.com at {url}, until Ctrl-C"))?;
        output::line(&format!("  in the config:  gateway.url = \"{url}\", installation.environment = \"sandbox\""))?;
        if built_in {
            let key = settings.secret_key.expose_secret();
            output::line(&format!("  secret key:     DUES_SECRET_KEY={key}"))?;
        }
        output::line(&format!("  customer page:  {url}/pay/pay_…"))?;
        output::line(&format!("  its books:      {url}/sandbox/books (…/summary for sums)"))
    }
}
