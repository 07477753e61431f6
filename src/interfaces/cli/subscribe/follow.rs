//! A first payment, followed until it has ended, the wait is over, or somebody says stop.

use std::time::Duration;

use serde_json::json;

use super::super::output;
use super::super::stop::Stop;
use super::{in_review, qr_code};
use crate::domain::attempt::AttemptState;
use crate::domain::subscription::SubscriptionState;
use crate::engine::Engine;
use crate::engine::begin::Begun;
use crate::engine::greet::TRIES_OF_A_COMMAND;
use crate::engine::round::Round;
use crate::store::first_payments::FirstPaymentRow;

/// Between two looks at the payment while the customer is at the wallet.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A gateway that is silent for longer is told of.
const SILENCE: Duration = Duration::from_secs(3);

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The money was taken.
    Paid {
        /// What the subscription is now.
        state: String,
        /// The review case that asks what follows from it.
        review: Option<String>,
    },
    /// No money was taken, and none will be.
    Refused {
        /// What became of the payment.
        why: &'static str,
    },
    /// It has not ended; somebody, or the clock, ended the wait.
    Waiting,
    /// The same, and its subscription was canceled meanwhile.
    Canceled,
}

/// How a first payment stands in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its outcome is open.
    Open,
    /// Its outcome is open, and its subscription has ended.
    Canceled,
    /// A person must look.
    InReview,
    /// It has ended.
    Ended(End),
}

impl Standing {
    /// What the row says.
    pub fn of(row: &FirstPaymentRow) -> Standing {
        let state = row.subscription_state.clone();
        match row.charge_state.as_str() {
            "paid" => Standing::Ended(End::Paid { state, review: row.review.clone() }),
            "in_review" => Standing::InReview,
            "void" => Standing::Ended(End::Refused { why: "the subscription was canceled before it was paid" }),
            "uncollectible" => Standing::Ended(End::Refused {
                why: match row.attempt_state.as_str() {
                    "declined" => "the first payment was declined",
                    "canceled" => "the customer canceled the first payment",
                    "expired" => "the first payment was not approved in time",
                    _ => "the first payment ended without money",
                },
            }),
            _ if state == SubscriptionState::Incomplete.as_str() => Standing::Open,
            _ => Standing::Canceled,
        }
    }
}

/// A first payment that is followed, and what was told of it.
#[derive(Debug)]
pub struct Followed<'a> {
    engine: &'a Engine,
    charge_id: i64,
    reference: &'a str,
    round: Round,
    json: bool,
    redirect_url: Option<String>,
    silence_told: bool,
}

impl<'a> Followed<'a> {
    /// The first payment of `begun`, under this reference of the merchant's; its link is printed as JSON, or for people.
    pub fn new(engine: &'a Engine, begun: &Begun, reference: &'a str, json: bool) -> Self {
        let round = Round::of_charge(engine.clone(), begun.charge_id);
        let charge_id = begun.charge_id;
        Followed { engine, charge_id, reference, round, json, redirect_url: None, silence_told: false }
    }

    /// The link that was printed.
    pub fn redirect_url(&self) -> Option<&str> {
        self.redirect_url.as_deref()
    }

    /// Follows it for as long as `wait`.
    ///
    /// # Errors
    /// What a person must look into, and books that fail.
    pub async fn run(&mut self, stop: &mut Stop, wait: Duration) -> anyhow::Result<End> {
        let clock = &self.engine.clock;
        let begun = clock.since_boot();
        loop {
            // A payment that was begun before may have ended meanwhile: that is found out before anything is said of it.
            self.engine.store.look_now(self.charge_id, clock.now()).await?;
            let stopped = self.settle(stop).await?;
            let row = self.engine.first_payment(self.charge_id).await?;
            let unended = match Standing::of(&row) {
                Standing::Open => {
                    self.print_link(row.redirect_url, wait)?;
                    End::Waiting
                }
                // Nobody is to be sent to that link any more.
                Standing::Canceled => End::Canceled,
                Standing::InReview => anyhow::bail!("{}", in_review(&row, self.reference)),
                Standing::Ended(end) => return Ok(end),
            };
            let waited = clock.since_boot().saturating_sub(begun);
            if stopped || waited >= wait {
                return Ok(unended);
            }
            // A signal or the end of the wait says nothing of why it was not sent.
            if row.attempt_state == AttemptState::Created.as_str()
                && let Some(why) = self.engine.store.fence_state().await?.held_reason
            {
                anyhow::bail!(
                    "nothing was sent: these books are held ({why}); `dues ledger show` says what to look at and how the hold ends. Go on \
                     then with --resume"
                );
            }
            if let Some(cause) = self.engine.gate.state().cause {
                anyhow::bail!("{cause}; go on later with --resume");
            }
            // What is pending was answered, although its link was lost.
            if self.redirect_url.is_none() && row.payment_id.is_none() && waited >= SILENCE {
                self.tell_silence();
            }
            tokio::select! {
                biased;
                () = stop.told() => return Ok(unended),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Goes round until nothing is left to do now; whether somebody said stop meanwhile. An answer under way is awaited then, so that
    /// its link is known; a second word ends it at once, which loses no more than the link: what became of it is looked up.
    async fn settle(&mut self, stop: &mut Stop) -> anyhow::Result<bool> {
        let mut stopped = false;
        let mut silence_told = self.silence_told;
        {
            let rounds = self.round.until_quiet();
            let silence = tokio::time::sleep(SILENCE);
            tokio::pin!(rounds, silence);
            loop {
                tokio::select! {
                    biased;
                    done = &mut rounds => {
                        done?;
                        break;
                    }
                    () = stop.told() => {
                        if stopped {
                            break;
                        }
                        stopped = true;
                        output::remark("an answer of the gateway is awaited; a second signal ends the wait at once, and a link in that answer is lost");
                    }
                    () = &mut silence, if !silence_told => {
                        silence_told = true;
                        tell_silence();
                    }
                }
            }
        }
        self.silence_told = silence_told;
        Ok(stopped)
    }

    fn print_link(&mut self, url: Option<String>, wait: Duration) -> anyhow::Result<()> {
        let Some(url) = url.filter(|_| self.redirect_url.is_none()) else { return Ok(()) };
        output::line(&if self.json {
            json!({"state": "redirect", "redirect_url": url}).to_string()
        } else {
            let code = qr_code::for_stdout(&url).map(|code| format!("\n{code}")).unwrap_or_default();
            format!("The customer approves here:\n\n  {url}\n{code}")
        })?;
        self.redirect_url = Some(url);
        if !wait.is_zero() {
            let minutes = wait.as_secs() / 60;
            output::remark(&format!(
                "waiting for up to {minutes} min; Ctrl-C ends the wait, and --resume goes on with it"
            ));
        }
        Ok(())
    }

    fn tell_silence(&mut self) {
        if !self.silence_told {
            self.silence_told = true;
            tell_silence();
        }
    }
}

/// Holds the clock against the gateway's before anything is entered.
///
/// # Errors
/// Another time, no answer, or a word to stop: nothing was entered.
pub async fn hear_the_clock(engine: &Engine, stop: &mut Stop) -> anyhow::Result<()> {
    let heard = engine.hear_the_clock(TRIES_OF_A_COMMAND);
    let silence = tokio::time::sleep(SILENCE);
    tokio::pin!(heard, silence);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            heard = &mut heard => return Ok(heard?),
            () = stop.told() => anyhow::bail!("stopped before the gateway answered: nothing was entered"),
            () = &mut silence, if !told => {
                told = true;
                tell_silence();
            }
        }
    }
}

fn tell_silence() {
    output::remark("the gateway has not answered yet; dues goes on trying, Ctrl-C ends the wait");
}
