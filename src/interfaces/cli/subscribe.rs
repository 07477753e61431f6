//! `dues subscribe`: the first payment of a new subscription. It works beside a running daemon or without one: whoever holds the
//! lease sends, and both follow the same protocol.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::NaiveDate;
use serde_json::json;

use super::{Ground, NotFound, books_to_enter, exit};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::{Sources, secret};
use crate::domain::calendar::Zone;
use crate::engine::begin::{BeginError, Beginning, Begun};
use crate::engine::round::Round;
use crate::engine::{Engine, open};
use crate::gateway::http::Http;
use crate::gateway::payments::{Os, Terminal};
use crate::store::customers::NewCustomer;

/// Between two looks at the payment while the customer is at the wallet.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Arguments of `dues subscribe`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 active, 1 failed or refused by the customer, 3 the wait ended first (the link stays good; \
    run the same command with --resume).\n\nExamples:\n  \
    dues subscribe --reference ORD-5023 --plan plus --customer-email customer@example.com\n  \
    dues subscribe --reference ORD-5023 --plan plus --terminal wap --os ios --json\n  \
    dues subscribe --reference ORD-5023 --resume"
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

/// How the wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Active,
    Refused,
    Waiting,
}

impl Args {
    /// Runs it.
    pub async fn run(self, ground: &Ground) -> anyhow::Result<ExitCode> {
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
        let begun = if self.resume { self.resumed(&engine).await? } else { self.begin(&engine).await? };
        let (end, redirect_url) = self.follow(&engine, &begun, ground.json, &clock).await?;
        let public_id = engine.store.subscription_id_text(begun.subscription_id).await?;
        let (word, code) = match end {
            End::Active => ("active", exit::OK),
            End::Refused => ("refused", exit::FAILED),
            End::Waiting => ("waiting", exit::PARTLY),
        };
        if ground.json {
            println!("{}", json!({"subscription": public_id, "state": word, "redirect_url": redirect_url}));
        } else {
            match end {
                End::Active => {
                    println!("{public_id} is active: the first payment was captured and its source is saved.")
                }
                End::Refused => {
                    println!("{public_id}: the first payment ended without money; nothing will be charged.")
                }
                End::Waiting => println!(
                    "{public_id} still waits for the customer; the link stays good. Go on with: dues subscribe --reference {} --resume",
                    self.reference
                ),
            }
        }
        Ok(ExitCode::from(code))
    }

    async fn begin(&self, engine: &Engine) -> anyhow::Result<Begun> {
        let plain = |text: &str| (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        anyhow::ensure!(
            plain(&self.reference),
            "--reference has 1 to 100 characters, none of them a control character"
        );
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
            terminal: match self.terminal {
                TerminalKind::Web => Terminal::Web,
                TerminalKind::Wap => Terminal::Wap(os),
                TerminalKind::App => Terminal::App(os),
            },
        };
        match engine.begin(&beginning).await {
            Err(BeginError::Taken { reference }) => Err(anyhow::anyhow!(
                "there is a subscription {reference:?} already; `dues subscription show {reference}` shows it, \
                 and --resume goes on waiting for its first payment"
            )),
            other => Ok(other?),
        }
    }

    async fn resumed(&self, engine: &Engine) -> anyhow::Result<Begun> {
        engine
            .begun(&self.reference)
            .await?
            .ok_or_else(|| NotFound(format!("there is no first payment of a subscription {:?}", self.reference)).into())
    }

    async fn follow(
        &self,
        engine: &Engine,
        begun: &Begun,
        json: bool,
        clock: &Clock,
    ) -> anyhow::Result<(End, Option<String>)> {
        let mut round = Round::of_charge(engine.clone(), begun.charge_id);
        let until = clock.since_boot() + Duration::from_secs(self.wait_minutes * 60);
        let mut shown = None;
        loop {
            round.until_quiet().await?;
            let stands = engine.first_payment(begun.charge_id).await?;
            if shown.is_none()
                && let Some(url) = &stands.redirect_url
            {
                if json {
                    println!("{}", json!({"state": "redirect", "redirect_url": url}));
                } else {
                    println!("The customer approves here:\n\n  {url}\n");
                }
                shown = Some(url.clone());
            }
            if stands.subscription_state == "active" {
                return Ok((End::Active, shown));
            }
            if matches!(stands.charge_state.as_str(), "uncollectible" | "void" | "in_review") {
                if stands.charge_state == "in_review" {
                    anyhow::bail!(
                        "the gateway refused the first payment; `dues review list` says why, nothing was charged"
                    );
                }
                return Ok((End::Refused, shown));
            }
            if let Some(cause) = engine.gate.state().cause {
                anyhow::bail!("{cause}; nothing was charged, go on later with --resume");
            }
            if clock.since_boot() >= until {
                return Ok((End::Waiting, shown));
            }
            tokio::select! {
                biased;
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted.context("signals cannot be received")?;
                    return Ok((End::Waiting, shown));
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            engine.store.look_now(begun.charge_id, clock.now()).await?;
        }
    }
}
