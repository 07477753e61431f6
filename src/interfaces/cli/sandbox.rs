//! `dues sandbox`: a stand-in for Checkout.com on loopback, until it is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
use crate::sandbox::{Sandbox, Script, Settings, Snapshot, StateFile};

/// What stands below the options: enough to write a shop against it.
const HELP: &str = include_str!("sandbox_help.txt");

/// Arguments of `dues sandbox`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Where it listens; port 0 takes a free one. An address beyond this machine's loopback needs --control-token-file
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8460")]
    listen: SocketAddr,
    /// How customers and programs reach it, where that is not the address it listens on: redirect links begin with it
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// Keeps payments, keys and sources in this file across restarts; made where it is missing
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// A TOML file of [[rule]] tables: who is declined, what goes wrong
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Determines ids and dice; drawn where it is not given, so that ids never repeat in your books
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The file that holds the secret key to ask for, instead of the simulated one
    #[arg(long, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// The file that holds the token that /sandbox/ asks for; without it whoever reaches the loopback may read and control
    #[arg(long, value_name = "FILE")]
    control_token_file: Option<PathBuf>,
    /// From the request of a later payment or of a refund until it settles
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    settle_after: Duration,
    /// How long a customer may take to approve a first payment before it is Expired
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    approval_life: Duration,
    /// How long an idempotency key is remembered
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    key_life: Duration,
    /// From the request until GET /payments?reference= finds the payment
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    lookup_lag: Duration,
    /// From the request until GET /payments/{id} finds the payment
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    read_lag: Duration,
    /// The merchant that the customer's page names
    #[arg(long, value_name = "NAME", default_value = "Simulated Merchant", value_parser = merchant_name)]
    merchant_name: String,
    /// Shows source.id in GET /payments/{id} too; the real one was never seen to, so do not rely on it
    #[arg(long)]
    show_source_id: bool,
    /// Declines payments on a source that was not made here; without it such a source is a wallet, as after an import
    #[arg(long)]
    refuse_unknown_sources: bool,
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
        if !self.listen.ip().is_loopback() && self.control_token_file.is_none() {
            bail!(
                "the sandbox listens on loopback only, and {} is not: use 127.0.0.1 or [::1], or give --control-token-file, so that \
                 not everyone who reaches it controls it",
                self.listen.ip()
            );
        }
        if self.listen.ip().is_unspecified() && self.public_url.is_none() {
            bail!("nobody can open a link to {}: give --public-url, which redirect links begin with", self.listen.ip());
        }
        let script = self.script()?;
        let own_key = secret_in(self.secret_key_file.as_deref(), "secret key: one line such as sk_sbox_...")?;
        let control_token = secret_in(self.control_token_file.as_deref(), "control token: one line")?;
        let (file, snapshot) = self.state.as_deref().map(StateFile::open).transpose()?.unzip();
        let snapshot = snapshot.flatten();
        // Before anything says that it is ready, both signals have a listener.
        let mut stop = Stop::listen()?;
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("{} could not be listened on", self.listen))?;
        let listens = format!("http://{}", listener.local_addr().context("the sandbox has no address")?);
        let told = Told {
            url: self.public_url.clone().unwrap_or_else(|| listens.clone()),
            listens,
            key_shown: match &self.secret_key_file {
                None => Settings::default().secret_key.expose_secret().to_owned(),
                Some(file) => format!("as in {}", file.display()),
            },
            state: self.state.clone(),
        };
        let settings = self.settings(&told.url, own_key, control_token);
        let sandbox = self.sandbox(settings, script, snapshot)?;
        if let Some(file) = &file {
            // A file that cannot be written is heard of before anybody relies on it.
            sandbox.save(file)?;
        }
        if !self.quiet || ground.json() {
            told.announce(ground.json(), &sandbox)?;
        }
        let stopped = async move { stop.told().await };
        match file {
            Some(file) => sandbox.serve_kept(listener, file, stopped).await?,
            None => sandbox.serve(listener, stopped).await.context("the sandbox could not go on listening")?,
        }
        if !self.quiet && !ground.json() {
            output::line(&format!("stopped after {} payments", sandbox.summary().payments))?;
        }
        Ok(ExitCode::from(exit::OK))
    }

    fn settings(&self, url: &str, secret_key: Option<SecretString>, control_token: Option<SecretString>) -> Settings {
        Settings {
            public_url: url.to_owned(),
            secret_key: secret_key.unwrap_or(Settings::default().secret_key),
            control_token,
            key_life: self.key_life,
            settle_after: self.settle_after,
            approval_life: self.approval_life,
            merchant_name: self.merchant_name.clone(),
            show_source_id_in_get: self.show_source_id,
            accept_unknown_sources: !self.refuse_unknown_sources,
            writes_per_second: self.writes_per_second,
            reads_per_second: self.reads_per_second,
            lookup_lag: self.lookup_lag,
            read_lag: self.read_lag,
        }
    }

    fn sandbox(&self, settings: Settings, script: Script, snapshot: Option<Snapshot>) -> anyhow::Result<Sandbox> {
        let clock = Clock::system();
        let Some(snapshot) = snapshot else {
            let seed = self.seed.unwrap_or_else(|| Chance::from_system().below(u64::MAX));
            return Ok(Sandbox::new(settings, script, clock, seed));
        };
        let sandbox = Sandbox::resumed(settings, script, clock, snapshot);
        match self.seed {
            Some(seed) if seed != sandbox.seed() => bail!(
                "the state goes on with seed {}, and --seed says {seed}: leave --seed out, or begin with a new file",
                sandbox.seed()
            ),
            Some(_) | None => Ok(sandbox),
        }
    }

    fn script(&self) -> anyhow::Result<Script> {
        let Some(path) = &self.script else { return Ok(Script::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Script::from_toml(&text).with_context(|| format!("{} is no script", path.display()))
    }
}

/// The one line of a file with a secret; none where no file is named.
fn secret_in(path: Option<&Path>, wanted: &str) -> anyhow::Result<Option<SecretString>> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let secret = text.trim();
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{} holds no {wanted} is expected", path.display());
    }
    Ok(Some(SecretString::from(secret)))
}

/// What a run says at its start.
struct Told {
    url: String,
    listens: String,
    key_shown: String,
    state: Option<PathBuf>,
}

impl Told {
    /// Says where everything is. In JSON it is one line, which a program reads while the sandbox runs.
    fn announce(self, json: bool, sandbox: &Sandbox) -> anyhow::Result<()> {
        let Told { url, listens, key_shown, state } = self;
        let page = format!("{url}/pay/PAYMENT_ID");
        let books = format!("{url}/sandbox/books");
        let payments = sandbox.summary().payments;
        if json {
            let document = json!({
                "url": url,
                "listens": listens,
                "secret_key": key_shown,
                "customer_page": page,
                "books": books,
                "summary": format!("{books}/summary"),
                "control": format!("{url}/sandbox/state"),
                "state": state,
                "payments": payments,
                "seed": sandbox.seed(),
                "simulated": true,
            });
            return output::line(&document.to_string());
        }
        output::line("SIMULATED Checkout.com, until Ctrl-C; no money moves")?;
        let mut page = Page::default()
            .field("gateway.url", &url)
            .field("secret key", key_shown)
            .field("customer's page", page)
            .field("books", &books)
            .field("summary", format!("{books}/summary"))
            .field("control", format!("{url}/sandbox/state"));
        if let Some(state) = state {
            page = page.field("state", format!("{}, {payments} payments so far", state.display()));
        }
        page.field("seed", sandbox.seed().to_string()).print()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "a duration is a whole number with a unit, such as 500ms, 30s, 2m or 24h".to_owned())
}

fn public_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let host = host.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '?', '#']) || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a scheme, a host and a port are expected, such as http://sandbox.internal:8460".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn merchant_name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 80;
    let fits = !text.trim().is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| format!("a name of 1 to {LONGEST} characters is expected"))
}
