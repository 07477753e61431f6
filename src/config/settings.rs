//! The settings, as the rest of dues sees them: parsed, checked, in domain types. What each key means stands beside its default
//! in `config/default.toml`; here stands what the type does not say.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::money::Currency;

pub use crate::domain::calendar::{Interval, IntervalUnit};
pub use crate::domain::catch_up::{CatchUp, CatchUpRule};
pub use crate::domain::dunning::{DeclineClass, DunningEnd, DunningPolicy, Wait};
pub use crate::domain::plan::Plan;

/// Everything the operator can set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who this installation is.
    pub installation: Installation,
    /// Where the books are kept.
    pub database: Database,
    /// How the gateway is reached.
    pub gateway: Gateway,
    /// How many requests a second the gateway grants.
    pub budget: Budget,
    /// When sending pauses.
    pub circuit: Circuit,
    /// The times of the charging protocol.
    pub protocol: Protocol,
    /// How a pending payment is followed.
    pub polls: Polls,
    /// Sizes of the engine's work.
    pub engine: Engine,
    /// When the ticks wake, as cron lines in UTC.
    pub schedule: Schedule,
    /// What happens to several periods due at once.
    pub catch_up: CatchUp,
    /// Currencies a plan may use.
    pub currencies: Vec<Currency>,
    /// The largest amount of one charge, in minor units.
    pub largest_charge_minor: i64,
    /// When a day's plan counts as exceeded.
    pub brake: Brake,
    /// A plan's price may change by so many hundredths in a year before an operator must accept it.
    pub price_change_percent: i64,
    /// When a charge is looked up again, whatever it ended as.
    pub audit: Audit,
    /// Dunning policies by name.
    pub dunning: BTreeMap<String, DunningPolicy>,
    /// Decline class by response code.
    pub declines: BTreeMap<String, DeclineClass>,
    /// Plans by name.
    pub plans: BTreeMap<String, Plan>,
    /// The daemon's own small HTTP listener; none where it is off.
    pub http_listen: Option<std::net::SocketAddr>,
    /// Where the page is served on which a wallet leaves its customer; none where it is off.
    pub return_listen: Option<std::net::SocketAddr>,
    /// The copy for spreadsheets.
    pub finance: Finance,
    /// What is logged, and how.
    pub log: Log,
    /// The program run at every new review case, with its arguments; empty: none.
    pub alerts_command: Vec<String>,
}

/// `[installation]`
#[derive(Debug, Clone)]
pub struct Installation {
    /// Part of every reference and key: never changed once a charge was sent.
    pub name: String,
    /// Whether real money moves.
    pub environment: Environment,
    /// This daemon's name among those on one database; the host's name where empty.
    pub node: String,
    /// Where the high-water mark stands: a path, `none`, or empty for its usual place.
    pub high_water_file: String,
}

/// Which of the gateway's two worlds is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Test money.
    Sandbox,
    /// Real money.
    Live,
}

/// `[database]`
#[derive(Debug, Clone)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: secrecy::SecretString,
    /// Connections in the pool.
    pub max_connections: NonZeroU32,
    /// How long a statement waits for a lock or a free connection.
    pub busy_timeout: Duration,
    /// Whether the daemon brings the schema up at its start.
    pub migrate: bool,
}

/// `[gateway]`
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Scheme, host and port, without a path.
    pub url: String,
    /// The file that holds the secret key. Empty: the systemd credential `checkout-secret-key`, else `DUES_SECRET_KEY`.
    pub secret_key_file: Option<PathBuf>,
    /// `pc_…`; empty where the key is bound to one channel.
    pub processing_channel_id: Option<String>,
    /// Whether later payments say `merchant_initiated: true`.
    pub merchant_initiated: bool,
    /// Where the wallet sends the customer after a first payment.
    pub success_url: String,
    /// Where the wallet sends the customer after a first payment that failed.
    pub failure_url: String,
    /// Limit for making a connection.
    pub connect_timeout: Duration,
    /// Limit for silence between two reads.
    pub read_timeout: Duration,
    /// Limit for the whole exchange.
    pub timeout: Duration,
    /// The largest answer that is read.
    pub body_limit_bytes: usize,
}

/// `[budget]`, requests a second; none: unlimited (a simulator only).
#[derive(Debug, Clone)]
pub struct Budget {
    /// POST requests.
    pub writes_per_second: Option<NonZeroU32>,
    /// GET requests.
    pub reads_per_second: Option<NonZeroU32>,
}

/// `[circuit]`
#[derive(Debug, Clone)]
pub struct Circuit {
    /// This many 5xx answers and time-outs in a row open the circuit; payments and looks are counted apart.
    pub failures: NonZeroU32,
    /// How long it stays open before one call probes.
    pub probe_after: Duration,
    /// The same after a 401 or 403.
    pub probe_after_refusal: Duration,
    /// Host and port of `gateway.url`, so that a pause tells whom it waits for.
    pub gateway_host: String,
}

/// `[protocol]`: design terms of collecting exactly once.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// How long the gateway keeps an idempotency key.
    pub key_life: Duration,
    /// A key is not sent again in the last part of its life.
    pub key_margin: Duration,
    /// How long absence is watched before it is believed.
    pub settle_wait: Duration,
    /// The same after a 5xx.
    pub settle_wait_after_server_error: Duration,
    /// Look-ups of an unknown outcome, counted from the moment it became unknown.
    pub lookup_after: Vec<Duration>,
    /// Between two look-ups after the key's life is over.
    pub lookup_past_life: Duration,
    /// How long a leased row belongs to its daemon.
    pub lease: Duration,
    /// Whether an absent attempt is sent again with its own key.
    pub resend: Resend,
    /// Whether an attempt that is absent past its key's life is followed by a new one without a person.
    pub auto_after_window: bool,
    /// Sends of one attempt.
    pub max_sends: NonZeroU32,
    /// Whether every first send is preceded by a look-up.
    pub look_first: LookFirst,
    /// Between two tries of a look that gave no conclusion.
    pub look_again: Duration,
    /// From the commit of `sending` to the POST at most this much time may pass.
    pub send_within: Duration,
    /// After a stop longer than this, everything due is looked up before it is sent.
    pub gap: Duration,
    /// So many outcomes may be unknown, although looked up, before sending pauses.
    pub unknown_limit: NonZeroU32,
}

/// `protocol.resend`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// The same key, within its life.
    SameKey,
    /// Never; wait until the key is over.
    Never,
}

/// `protocol.look_first`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookFirst {
    /// Where the protocol demands it.
    Needed,
    /// Before every send.
    Always,
}

/// `limits.brake_percent` and `limits.brake_margin`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brake {
    /// A day's charges, and their sum, may reach so many hundredths of what was planned.
    pub percent: i64,
    /// And so many charges more.
    pub margin: i64,
}

/// `[audit]`
#[derive(Debug, Clone)]
pub struct Audit {
    /// The ages at which a charge is looked up by its reference, counted from when it was opened; empty: never.
    pub ages: Vec<Duration>,
    /// Look-ups a second, taken from the budget of reads.
    pub reads_per_second: NonZeroU32,
}

/// `[polls]`
#[derive(Debug, Clone)]
pub struct Polls {
    /// The first waits, one after the other.
    pub first: Vec<Duration>,
    /// Then this, until `alert_after`.
    pub within_alert: Duration,
    /// Then this, until `review_after`.
    pub within_review: Duration,
    /// Then this, for ever.
    pub in_review: Duration,
    /// A payment pending so long is warned of.
    pub alert_after: Duration,
    /// A payment pending so long stands in a review case.
    pub review_after: Duration,
    /// A stored id that the gateway does not know is read again for so long before a person is asked.
    pub not_found_for: Duration,
}

/// `[engine]`
#[derive(Debug, Clone)]
pub struct Engine {
    /// Rows in one transaction.
    pub batch: NonZeroU32,
    /// Requests under way at once, of each kind.
    pub in_flight: NonZeroU32,
    /// How long landed answers wait for company before they are recorded together.
    pub record_linger: Duration,
    /// How long a stop waits for answers.
    pub stop_wait: Duration,
    /// How long a period waits for its predecessor's outcome before it opens.
    pub predecessor_wait: Duration,
}

/// `[schedule]`: cron lines of six fields (seconds first), UTC.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Wakes `bill`.
    pub bill: String,
    /// Wakes `collect`.
    pub collect: String,
    /// Wakes `reconcile`.
    pub reconcile: String,
    /// Wakes `dun`.
    pub dun: String,
}

/// `[finance]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finance {
    /// Where a copy without personal data is kept; none where it is off.
    pub snapshot: Option<PathBuf>,
    /// How often it is written anew.
    pub snapshot_every: Duration,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines appear: `info,sqlx=warn`.
    pub filter: String,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The journal under systemd, else text.
    Auto,
    /// Readable lines on standard error.
    Text,
    /// JSON lines on standard error.
    Json,
    /// The systemd journal, with its fields.
    Journal,
}
