//! `dues subscribe`: the first payment of a new subscription. It works beside a running daemon or without one: whoever holds the
//! lease sends, and both follow the same protocol. What the arguments may say stands in [`given`], how the payment is followed in
//! [`follow`], its link's picture in [`qr_code`].

mod follow;
mod given;
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
use crate::domain::attempt::AttemptState;
use crate::domain::calendar::Zone;
use crate::domain::shell;
use crate::engine::begin::{BeginError, Beginning, Begun, Link};
use crate::engine::{Engine, open};
use crate::gateway::http::Http;
use crate::gateway::payments::Terminal;
use crate::store::customers::NewCustomer;
use crate::store::first_payments::FirstPaymentRow;
use follow::{End, Followed, Standing};

/// Arguments of `dues subscribe`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 paid, 1 failed, refused by the customer or in review, \
    2 wrong command line, 3 the wait ended first (the link stays good until the \
    gateway lets it expire; run the same command with --resume), the subscription was \
    canceled and its payment may still be made, or it was paid and a person must \
    decide what follows.\n\nExamples:\n  \
    dues subscribe --reference ORD-5023 --plan plus \\\n    \
    --customer-email customer@example.com\n  \
    dues subscribe --reference ORD-5023 --plan plus --terminal wap --os ios --json\n  \
    dues subscribe --reference ORD-5023 --resume\n  \
    dues subscribe --reference ORD-5024 --plan plus \\\n    \
    --customer-email customer@example.com --another")]
pub struct Args {
    /// Your own reference of the subscription: unique, at most 100 characters
    #[arg(long, value_parser = given::trimmed)]
    reference: String,
    /// The plan's name in the config
    #[arg(long, required_unless_present = "resume", value_parser = given::trimmed)]
    plan: Option<String>,
    /// Your own reference of the customer; the subscription's where it is left out
    #[arg(long, value_parser = given::trimmed)]
    customer_reference: Option<String>,
    /// The customer's name
    #[arg(long, value_parser = given::trimmed)]
    customer_name: Option<String>,
    /// The customer's address of e-mail
    #[arg(long, value_parser = given::trimmed)]
    customer_email: Option<String>,
    /// The customer's country, ISO 3166 alpha-2; HK where it is left out
    #[arg(long, value_parser = given::country)]
    country: Option<String>,
    /// The time zone in which periods begin; Asia/Hong_Kong where it is left out
    #[arg(long)]
    time_zone: Option<Zone>,
    /// The first day of the first period; today where it is left out
    #[arg(long, value_name = "YYYY-MM-DD")]
    anchor_on: Option<NaiveDate>,
    /// Where the customer approves; web where it is left out
    #[arg(long, value_enum)]
    terminal: Option<TerminalKind>,
    /// The phone's system, for --terminal wap and app
    #[arg(long, value_enum, required_if_eq_any([("terminal", "wap"), ("terminal", "app")]))]
    os: Option<OsKind>,
    /// How long to wait for the customer, in minutes
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=1440))]
    wait_minutes: u64,
    /// Goes on waiting for a first payment that was begun before; what else is said must be what was said then
    #[arg(long)]
    resume: bool,
    /// Begins another subscription although the customer, by reference or e-mail, has one of this plan
    #[arg(long, conflicts_with = "resume")]
    another: bool,
}

const DEFAULT_COUNTRY: &str = "HK";
const DEFAULT_ZONE: &str = "Asia/Hong_Kong";

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
        self.check()?;
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
        let mut followed = Followed::new(&engine, &begun, &self.reference, ground.json());
        let wait = Duration::from_secs(self.wait_minutes * 60);
        let end = followed.run(&mut stop, wait).await?;
        let public_id = engine.store.subscription_id_text(begun.subscription_id).await?;
        let row = engine.first_payment(begun.charge_id).await?;
        let (word, code) = match &end {
            End::Paid { state, review: None } => (state.as_str(), exit::OK),
            End::Paid { state, review: Some(_) } => (state.as_str(), exit::PARTLY),
            End::Refused { .. } => ("refused", exit::FAILED),
            End::Waiting => ("waiting", exit::PARTLY),
            End::Canceled => ("canceled", exit::PARTLY),
        };
        let link = engine.link_of(&row, clock.now());
        output::line(&if ground.json() {
            let asked_again_at = match &link {
                Link::AskedForAgain { at, .. } => Some(*at),
                _ => None,
            };
            json!({
                "subscription": public_id,
                "state": word,
                "redirect_url": followed.redirect_url(),
                "payment_id": row.payment_id,
                "link_asked_for_again_at": asked_again_at,
                "review": row.review,
            })
            .to_string()
        } else {
            self.told(&public_id, &end, &link)
        })?;
        Ok(ExitCode::from(code))
    }

    fn told(&self, public_id: &str, end: &End, link: &Link) -> String {
        match end {
            End::Paid { state, review: None } if state == "active" => {
                format!("{public_id} is active: the first payment was captured and its source is saved.")
            }
            End::Paid { state, review: None } => format!("{public_id} is {state}; its first payment was captured."),
            End::Paid { state, review: Some(review) } => format!(
                "{public_id} is {state}; its first payment was captured, and a person must decide what follows: `dues review show {review}`."
            ),
            End::Refused { why } => {
                format!("{public_id}: {why}; nothing was charged. Begin again with a new --reference.")
            }
            End::Canceled => format!(
                "{public_id} is canceled, and its first payment is still open: the customer may make it until the gateway lets it expire, \
                 and a review case then asks what becomes of the money. How it ends tells: {}",
                self.resume()
            ),
            End::Waiting => format!("{public_id} still waits for {}", self.awaited(link)),
        }
    }

    /// What a first payment waits for, and how to go on.
    fn awaited(&self, link: &Link) -> String {
        let resume = self.resume();
        match link {
            Link::At(_) => {
                format!("the customer; the link stays good until the gateway lets it expire. Go on with: {resume}")
            }
            Link::Awaited => format!("the gateway's answer. Go on with: {resume}"),
            Link::LookedUp { at: Some(at) } => format!(
                "its payment: the gateway's answer was lost, and it is looked up again at {}. Go on with: {resume}",
                at.format("%H:%M UTC")
            ),
            Link::LookedUp { at: None } => {
                format!("its payment: the gateway's answer was lost, and it is looked up. Go on with: {resume}")
            }
            Link::AskedForAgain { payment_id, at } => format!(
                "its link: the gateway has the payment {payment_id}, and the answer with the link was lost; it is asked for again at {}. \
                 Go on then with: {resume}",
                at.format("%H:%M UTC")
            ),
            Link::Lost { payment_id } => format!(
                "its end: the gateway has the payment {payment_id}, and its link was lost and cannot be had again. It ends unpaid when \
                 the gateway lets it expire; begin again with a new --reference once this tells so: {resume}"
            ),
        }
    }

    /// The command that goes on with it.
    fn resume(&self) -> String {
        format!("dues subscribe {} --resume", shell::option("--reference", &self.reference))
    }

    async fn begin(&self, engine: &Engine) -> anyhow::Result<Begun> {
        let zone = match &self.time_zone {
            Some(zone) => zone.clone(),
            None => DEFAULT_ZONE.parse()?,
        };
        let beginning = Beginning {
            reference: self.reference.clone(),
            plan: self.plan.clone().unwrap_or_default(),
            customer: NewCustomer {
                reference: self.customer_reference.clone().unwrap_or_else(|| self.reference.clone()),
                name: self.customer_name.clone(),
                email: self.customer_email.clone(),
                country: self.country.clone().unwrap_or_else(|| DEFAULT_COUNTRY.to_owned()),
            },
            zone,
            anchor_on: self.anchor_on,
            another: self.another,
            terminal: self.terminal().unwrap_or(Terminal::Web),
        };
        match engine.begin(&beginning).await {
            Err(BeginError::Stands { incomplete, payable, reference, plan, state }) if incomplete || payable => {
                let resume = format!("`dues subscribe {} --resume`", shell::option("--reference", &reference));
                let go_on = if payable { "tells how that ends" } else { "goes on with it" };
                let error = BeginError::Stands { incomplete, payable, reference, plan, state };
                anyhow::bail!("{error}; {resume} {go_on}, or say --another for one more")
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
        let Some(begun) = engine.begun(&self.reference).await? else {
            let reference = &self.reference;
            return Err(NotFound(format!(
                "there is no first payment of a subscription {reference:?}: `dues subscription list` shows what there is, and \
                 `dues subscribe` without --resume begins one"
            ))
            .into());
        };
        self.agrees_with(&engine.beginning(begun.charge_id).await?)?;
        Ok(begun)
    }
}

/// That a reference is taken, and what can be done about it.
async fn taken(engine: &Engine, reference: &str) -> anyhow::Result<String> {
    let there = format!("there is a subscription {reference:?} already");
    let show = format!("`dues subscription show {}` shows it", shell::word(reference));
    // One that was handed over has no first payment here.
    let Some(begun) = engine.begun(reference).await? else { return Ok(format!("{there}; {show}")) };
    let row = engine.first_payment(begun.charge_id).await?;
    Ok(match Standing::of(&row) {
        Standing::Open => format!("{there}; {show}, and --resume goes on waiting for its first payment"),
        Standing::Canceled => format!(
            "{there}, canceled while its first payment can still be made; {show}, and --resume tells how that ends: begin again with a \
             new --reference then"
        ),
        Standing::InReview => format!("{there}; {}", in_review(&row, reference)),
        Standing::Ended(End::Refused { why }) => format!("{there}, and {why}: begin again with a new --reference"),
        Standing::Ended(_) => format!("{there}; {show}"),
    })
}

/// What a first payment came to of which a person must decide, and how to go on. Nothing was charged only where nothing can have been.
fn in_review(row: &FirstPaymentRow, reference: &str) -> String {
    let show = match &row.review {
        Some(review) => format!("`dues review show {review}`"),
        None => "`dues review list`".to_owned(),
    };
    match row.attempt_state.parse() {
        Ok(AttemptState::Rejected) => format!(
            "the gateway refused the first payment, and nothing was charged: {show} says why. It is not sent again: \
             `dues subscription cancel {} --reason \"...\"` ends it; then begin again with a new --reference",
            shell::word(reference)
        ),
        Ok(AttemptState::Created) => {
            format!("the first payment was not sent, and nothing was charged: {show} says why, and what to do")
        }
        _ => {
            let reason = row.reason.as_deref().unwrap_or("in review");
            format!(
                "the outcome of the first payment is open ({reason}), and money may be taken: do not begin another; {show} says what to do"
            )
        }
    }
}
