//! `dues sandbox`: a stand-in for Checkout.com on loopback, until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::net::TcpListener;

use super::output::{self, Page};
use super::stop::Stop;
use super::{Ground, exit};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::parse_duration;
use crate::sandbox::{Sandbox, Script, Settings};

/// Arguments of `dues sandbox`.
#[derive(Debug, clap::Args)]
#[command(after_help = "It keeps its payments in memory and moves no money. Ctrl-C or SIGTERM ends it.\n\n\
    A rule of a script says who gets which outcome, delay or fault:\n\n  \
    [[rule]]\n  name = \"empty wallet\"\n  source = \"src_...\"      # or customer, reference_prefix, amount_minor, subscription\n  \
    outcome = \"decline\"     # or capture, cancel, expire, pending\n  code = \"20051\"\n  times = 2               # the first two payments only\n\n  \
    [[rule]]\n  name = \"lost answers\"\n  fault = \"lost_response\" # or lost_request, error_before, error_after, forbidden, slow, ...\n  \
    per_mille = 10\n\n\
    Examples:\n  dues sandbox\n  dues sandbox --script rules.toml --seed 7 --settle-after 2s\n  \
    dues sandbox --listen 127.0.0.1:0 --json   one line of JSON with the url\n\n\
    In another terminal:\n  DUES_SECRET_KEY=sk_sbox_simulated dues run --set gateway.url=http://127.0.0.1:8460\n  \
    curl http://127.0.0.1:8460/sandbox/books/summary")]
pub struct Args {
    /// Where it listens: an address of this machine's loopback; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8460")]
    listen: SocketAddr,
    /// A TOML file of [[rule]] tables: who is declined, what goes wrong
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Determines ids and dice; drawn where it is not given, so that ids never repeat in your books
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The file that holds the secret key to ask for, instead of the simulated one
    #[arg(long, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// From the request of a later payment until it settles
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    settle_after: Duration,
    /// How long an idempotency key is remembered
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    key_life: Duration,
    /// POST requests granted in any second; without it unlimited
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    writes_per_second: Option<u32>,
    /// GET requests granted in any second; without it unlimited
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    reads_per_second: Option<u32>,
    /// Prints nothing but errors, and with --json its one line
    #[arg(long)]
    quiet: bool,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        if !self.listen.ip().is_loopback() {
            bail!(
                "the sandbox listens on loopback only, and {} is not: use 127.0.0.1 or [::1], with a tunnel where others must reach it",
                self.listen.ip()
            );
        }
        let script = self.script()?;
        let own_key = self.own_key()?;
        // Before anything says that it is ready, both signals have a listener.
        let mut stop = Stop::listen()?;
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("{} could not be listened on", self.listen))?;
        let url = format!("http://{}", listener.local_addr().context("the sandbox has no address")?);
        let seed = self.seed.unwrap_or_else(|| Chance::from_system().below(u64::MAX));
        let mut settings = Settings {
            public_url: url.clone(),
            key_life: self.key_life,
            settle_after: self.settle_after,
            writes_per_second: self.writes_per_second,
            reads_per_second: self.reads_per_second,
            ..Settings::default()
        };
        let key_shown = match (&own_key, &self.secret_key_file) {
            (None, _) => settings.secret_key.expose_secret().to_owned(),
            (Some(_), file) => {
                format!("as in {}", file.iter().map(|path| path.display().to_string()).collect::<String>())
            }
        };
        settings.secret_key = own_key.unwrap_or(settings.secret_key);
        let sandbox = Sandbox::new(settings, script, Clock::system(), seed);
        if !self.quiet || ground.json() {
            announce(ground.json(), &url, &key_shown, seed)?;
        }
        sandbox
            .serve(listener, async move { stop.told().await })
            .await
            .context("the sandbox could not go on listening")?;
        if !self.quiet && !ground.json() {
            output::line(&format!("stopped after {} payments", sandbox.summary().payments))?;
        }
        Ok(ExitCode::from(exit::OK))
    }

    fn script(&self) -> anyhow::Result<Script> {
        let Some(path) = &self.script else { return Ok(Script::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Script::from_toml(&text).with_context(|| format!("{} is no script", path.display()))
    }

    fn own_key(&self) -> anyhow::Result<Option<SecretString>> {
        let Some(path) = &self.secret_key_file else { return Ok(None) };
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("{} holds no secret key: one line such as sk_sbox_... is expected", path.display());
        }
        Ok(Some(SecretString::from(key)))
    }
}

/// Says where everything is. In JSON it is one line, which a program reads while the sandbox runs.
fn announce(json: bool, url: &str, key_shown: &str, seed: u64) -> anyhow::Result<()> {
    let page = format!("{url}/pay/PAYMENT_ID");
    let books = format!("{url}/sandbox/books");
    if json {
        let document = json!({
            "url": url,
            "secret_key": key_shown,
            "customer_page": page,
            "books": books,
            "summary": format!("{books}/summary"),
            "seed": seed,
            "simulated": true,
        });
        return output::line(&document.to_string());
    }
    output::line("SIMULATED Checkout.com, until Ctrl-C; no money moves")?;
    Page::default()
        .field("gateway.url", url)
        .field("secret key", key_shown)
        .field("customer's page", page)
        .field("books", &books)
        .field("summary", format!("{books}/summary"))
        .field("seed", seed.to_string())
        .print()
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "a duration is a whole number with a unit, such as 500ms, 30s, 2m or 24h".to_owned())
}
