//! `dues subscribe`: the first payment of a new subscription. It works beside a running daemon or without one: whoever holds the
//! lease sends, and both follow the same protocol. How the payment is followed stands in [`follow`], its link's picture in
//! [`qr_code`].

mod follow;
mod qr_code;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use serde_json::json;

use super::stop::Stop;
use super::{Ground, NotFound, books_to_enter, exit, output};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::{Sources, secret};
use crate::domain::calendar::Zone;
use crate::domain::own_reference;
use crate::engine::begin::{BeginError, Beginning, Begun};
use crate::engine::{Engine, open};
use crate::gateway::http::Http;
use crate::gateway::payments::{Os, Terminal};
use crate::store::customers::NewCustomer;
use follow::{End, Followed, Standing};

/// Arguments of `dues subscribe`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 active, 1 failed or refused by the customer, 3 the wait ended first (the link stays good; \
    run the same command with --resume).\n\nExamples:\n  \
    dues subscribe --reference ORD-5023 --plan plus \\\n    \
    --customer-email customer@example.com\n  \
    dues subscribe --reference ORD-5023 --plan plus --terminal wap --os ios --json\n  \
    dues subscribe --reference ORD-5023 --resume\n  \
    dues subscribe --reference ORD-5024 --plan plus \\\n    \
    --customer-email customer@example.com --another"
)]
pub struct Args {
    /// Your own reference of the subscription: unique, at most 100 characters
    #[arg(long)]
    reference: String,
    /// The plan's name in the config
    #[arg(long, required_unless_present = "resume")]
    plan: Option<String>,
    /// Your own reference of the customer; the subscription's where it is left out
    #[arg(long)]
    customer_reference: Option<String>,
    /// The customer's name
    #[arg(long)]
    customer_name: Option<String>,
    /// The customer's address of e-mail
    #[arg(long)]
    customer_email: Option<String>,
    /// The customer's country, ISO 3166 alpha-2
    #[arg(long, default_value = "HK")]
    country: String,
    /// The time zone in which periods begin
    #[arg(long, default_value = "Asia/Hong_Kong")]
    time_zone: Zone,
    /// The first day of the first period; today where it is left out
    #[arg(long, value_name = "YYYY-MM-DD")]
    anchor_on: Option<NaiveDate>,
    /// Where the customer approves
    #[arg(long, value_enum, default_value_t = TerminalKind::Web)]
    terminal: TerminalKind,
    /// The phone's system, for --terminal wap and app
    #[arg(long, value_enum, required_if_eq_any([("terminal", "wap"), ("terminal", "app")]))]
    os: Option<OsKind>,
    /// How long to wait for the customer, in minutes
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=1440))]
    wait_minutes: u64,
    /// Goes on waiting for a first payment that was begun before
    #[arg(long)]
    resume: bool,
    /// Begins another subscription although the customer, by reference or e-mail, has one of this plan
    #[arg(long, conflicts_with = "resume")]
    another: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TerminalKind {
    /// A browser on a computer
    Web,
    /// A browser on a phone
    Wap,
    /// Your own app
    App,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OsKind {
    /// iOS
    Ios,
    /// Android
    Android,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
        if !self.resume {
            self.check_references()?;
        }
        let settings = ground.load()?.settings;
        anyhow::ensure!(
            !settings.gateway.success_url.is_empty() && !settings.gateway.failure_url.is_empty(),
            "gateway.success_url and gateway.failure_url are empty: say where the wallet sends the customer back to"
        );
        let secret_key = secret::secret_key(&settings, &Sources::process_environment())?;
        let clock = Clock::system();
        let store = books_to_enter(&settings, &clock).await?;
        let transport = Arc::new(Http::new(&settings.gateway)?);
        let engine = open::engine(&settings, store, transport, &secret_key, Chance::from_system(), false).await?;
        let engine = engine.of_a_command();
        let mut stop = Stop::listen()?;
        // The first period begins today: it has to be known which day that is.
        follow::hear_the_clock(&engine, &mut stop).await?;
        let begun = if self.resume { self.resumed(&engine).await? } else { self.begin(&engine).await? };
        let Some(_claim) = engine.store.claim_first_payment(begun.charge_id).await? else {
            anyhow::bail!("{}", self.followed_elsewhere(&engine, &begun).await?);
        };
        let mut followed = Followed::new(&engine, &begun, ground.json());
        let wait = Duration::from_secs(self.wait_minutes * 60);
        let end = followed.run(&mut stop, wait).await?;
        let public_id = engine.store.subscription_id_text(begun.subscription_id).await?;
        let (word, code) = match &end {
            End::Paid { state } => (state.as_str(), exit::OK),
            End::Refused { .. } => ("refused", exit::FAILED),
            End::Waiting => ("waiting", exit::PARTLY),
        };
        let redirect_url = followed.redirect_url();
        output::line(&if ground.json() {
            json!({"subscription": public_id, "state": word, "redirect_url": redirect_url}).to_string()
        } else {
            self.told(&public_id, &end, redirect_url.is_some())
        })?;
        Ok(ExitCode::from(code))
    }

    fn told(&self, public_id: &str, end: &End, link: bool) -> String {
        match end {
            End::Paid { state } if state == "active" => {
                format!("{public_id} is active: the first payment was captured and its source is saved.")
            }
            End::Paid { state } => format!("{public_id} is {state}; its first payment was captured."),
            End::Refused { why } => {
                format!("{public_id}: {why}; nothing was charged. Begin again with a new --reference.")
            }
            End::Waiting => {
                let on = if link { "the customer; the link stays good" } else { "the gateway's answer" };
                let reference = &self.reference;
                format!("{public_id} still waits for {on}. Go on with: dues subscribe --reference {reference} --resume")
            }
        }
    }

    fn check_references(&self) -> anyhow::Result<()> {
        own_reference::check(&self.reference).map_err(|fault| anyhow::anyhow!("--reference {fault}"))?;
        if let Some(customer) = &self.customer_reference {
            own_reference::check(customer).map_err(|fault| anyhow::anyhow!("--customer-reference {fault}"))?;
        }
        Ok(())
    }

    async fn begin(&self, engine: &Engine) -> anyhow::Result<Begun> {
        anyhow::ensure!(
            self.country.len() == 2 && self.country.bytes().all(|letter| letter.is_ascii_uppercase()),
            "--country is two capital letters, such as HK"
        );
        let os = match self.os {
            Some(OsKind::Android) => Os::Android,
            Some(OsKind::Ios) | None => Os::Ios,
        };
        let beginning = Beginning {
            reference: self.reference.clone(),
            plan: self.plan.clone().unwrap_or_default(),
            customer: NewCustomer {
                reference: self.customer_reference.clone().unwrap_or_else(|| self.reference.clone()),
                name: self.customer_name.clone(),
                email: self.customer_email.clone(),
                country: self.country.clone(),
            },
            zone: self.time_zone.clone(),
            anchor_on: self.anchor_on,
            another: self.another,
            terminal: match self.terminal {
                TerminalKind::Web => Terminal::Web,
                TerminalKind::Wap => Terminal::Wap(os),
                TerminalKind::App => Terminal::App(os),
            },
        };
        match engine.begin(&beginning).await {
            Err(error @ BeginError::Stands { incomplete: true, .. }) => {
                anyhow::bail!("{error}; go on with it by --resume, or say --another for one more")
            }
            Err(error @ BeginError::Stands { .. }) => anyhow::bail!("{error}; say --another for one more"),
            Err(BeginError::Taken { reference }) => anyhow::bail!("{}", taken(engine, &reference).await?),
            other => Ok(other?),
        }
    }

    /// That another process follows the first payment, and where the customer approves it meanwhile.
    async fn followed_elsewhere(&self, engine: &Engine, begun: &Begun) -> anyhow::Result<String> {
        let link = engine.first_payment(begun.charge_id).await?.redirect_url;
        let link = link.map(|url| format!("; the customer approves here: {url}")).unwrap_or_default();
        let reference = &self.reference;
        Ok(format!(
            "another `dues subscribe` waits for the first payment of {reference:?}, and this one leaves it to that: \
             end that one before you go on with --resume{link}"
        ))
    }

    async fn resumed(&self, engine: &Engine) -> anyhow::Result<Begun> {
        engine
            .begun(&self.reference)
            .await?
            .ok_or_else(|| NotFound(format!("there is no first payment of a subscription {:?}", self.reference)).into())
    }
}

/// That a reference is taken, and what can be done about it.
async fn taken(engine: &Engine, reference: &str) -> anyhow::Result<String> {
    let there = format!("there is a subscription {reference:?} already");
    let show = format!("`dues subscription show {reference}` shows it");
    // One that was handed over has no first payment here.
    let Some(begun) = engine.begun(reference).await? else { return Ok(format!("{there}; {show}")) };
    Ok(match Standing::of(&engine.first_payment(begun.charge_id).await?) {
        Standing::Open => format!("{there}; {show}, and --resume goes on waiting for its first payment"),
        Standing::Ended(End::Refused { why }) => format!("{there}, and {why}: begin again with a new --reference"),
        Standing::Ended(_) | Standing::InReview => format!("{there}; {show}"),
    })
}
