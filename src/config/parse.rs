//! The merged tree becomes settings: each section with its keys, their types and their ranges. What a key means stands in
//! `config/default.toml`; rules between keys stand in `contradiction`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use config::{Map, Value};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::section::{Noted, Section, integer, text};
use super::{
    Audit, Brake, Budget, CatchUp, CatchUpRule, Circuit, Database, Engine, Environment, Finance, Gateway, Installation,
    Log, LogFormat, LookFirst, Polls, Protocol, Resend, Schedule, Settings, address, named,
};
use crate::domain::money::{Currency, LARGEST_AMOUNT_MINOR};

/// The rules of catching up, by their words.
pub(super) const CATCH_UP_RULES: [(&str, CatchUpRule); 4] = [
    ("bill_all", CatchUpRule::BillAll),
    ("bill_latest", CatchUpRule::BillLatest),
    ("skip", CatchUpRule::Skip),
    ("hold", CatchUpRule::Hold),
];

/// What the channel must be with real money, and where it is found.
const CHANNEL_IN_LIVE: &str = "\"pc_...\" in environment live: it is pinned in the books, so that they take no other account's key; the \
     gateway's dashboard lists it under Settings, Processing channels";

/// Reads the whole tree. Where something was noted, the settings hold stand-ins and must not be used.
pub(super) fn settings(tree: &Map<String, Value>, noted: &Noted) -> Settings {
    let mut root = Section::root(tree, noted);
    let installation = installation(root.section("installation"));
    // An environment that was not understood must not make the rest of the file look wrong.
    let understood = noted.is_whole() && !noted.has("installation") && !noted.has("installation.environment");
    let environment = understood.then_some(installation.environment);
    let database = database(root.section("database"));
    let gateway = gateway(root.section("gateway"), environment);
    let budget = budget(root.section("budget"), environment);
    let circuit = circuit(root.section("circuit"), &gateway.url);
    let protocol = protocol(root.section("protocol"));
    let polls = polls(root.section("polls"));
    let engine = engine(root.section("engine"));
    let schedule = schedule(root.section("schedule"));
    let catch_up = catch_up(root.section("catch_up"));
    let currencies = currencies(root.section("currencies"));
    let (largest_charge_minor, price_change_percent, brake) = limits(root.section("limits"));
    let audit = audit(root.section("audit"));
    // Another limit may stand in a source that could not be read.
    let largest_price_minor = if noted.is_whole() { largest_charge_minor } else { LARGEST_AMOUNT_MINOR };
    let dunning = named::dunning(root.section("dunning"));
    let declines = named::declines(root.section("declines"));
    let plans = named::plans(
        root.section("plans"),
        &named::PlanRules { currencies: &currencies, largest_price_minor, dunning: &dunning },
    );
    let (http_listen, return_listen) = http(root.section("http"));
    let finance = finance(root.section("finance"));
    let log = log(root.section("log"));
    let alerts_command = alerts(root.section("alerts"));
    root.finish();
    Settings {
        installation,
        database,
        gateway,
        budget,
        circuit,
        protocol,
        polls,
        engine,
        schedule,
        catch_up,
        currencies,
        largest_charge_minor,
        price_change_percent,
        brake,
        audit,
        dunning,
        declines,
        plans,
        http_listen,
        return_listen,
        finance,
        log,
        alerts_command,
    }
}

fn installation(mut section: Section) -> Installation {
    let read = Installation {
        name: section.text("name", named::NAME_RULE, named::is_name),
        environment: section.choice("environment", &[("sandbox", Environment::Sandbox), ("live", Environment::Live)]),
        node: section.text("node", "at most 64 characters of a-z, A-Z, 0-9, \".\", \"-\" and \"_\"", |text| {
            text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }),
        high_water_file: section.text("high_water_file", "an absolute path, \"none\", or empty", |text| {
            text.is_empty() || text == "none" || text.starts_with('/')
        }),
    };
    section.finish();
    read
}

fn database(mut section: Section) -> Database {
    let allowed = "\"sqlite:PATH\" of a file, or \"postgres://USER:PASSWORD@HOST/NAME\"";
    let url = section.text("url", allowed, |url| match url.strip_prefix("sqlite:") {
        // Books in memory would be lost at every stop.
        Some(path) => {
            !path.trim_start_matches('/').is_empty() && !path.contains(":memory:") && !path.contains("mode=memory")
        }
        None => {
            ["postgres://", "postgresql://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
        }
    });
    let read = Database {
        url: url.into(),
        max_connections: section.count("max_connections", 100),
        busy_timeout: section.duration("busy_timeout", "100ms", "7s"),
        migrate: section.boolean("migrate"),
    };
    section.finish();
    read
}

fn gateway(mut section: Section, environment: Option<Environment>) -> Gateway {
    let url = section.text("url", "a text", |_| true);
    let refusal = section.written("url").and_then(|url| match environment {
        Some(environment) => address::refusal(url, environment),
        None => address::misshapen(url),
    });
    if let Some(refusal) = refusal {
        section.refuse("url", refusal);
    }
    let returns = "an http or https address of at most 1024 characters, or empty";
    let return_rule = |text: &str| text.is_empty() || address::is_return_address(text);
    let secret_key_file =
        section.text("secret_key_file", "an absolute path, or empty", |text| text.is_empty() || text.starts_with('/'));
    // Without a channel nothing in the books tells one account of the gateway from another, and every live key would do.
    let is_live = environment == Some(Environment::Live);
    let channel_rule = if is_live { CHANNEL_IN_LIVE } else { "\"pc_...\", or empty" };
    let channel = section.text("processing_channel_id", channel_rule, |text| {
        let id = text.strip_prefix("pc_").unwrap_or_default();
        text.is_empty() && !is_live
            || !id.is_empty() && id.len() <= 60 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    let read = Gateway {
        url,
        secret_key_file: Some(secret_key_file).filter(|path| !path.is_empty()).map(PathBuf::from),
        processing_channel_id: Some(channel).filter(|id| !id.is_empty()),
        merchant_initiated: section.boolean("merchant_initiated"),
        success_url: section.text("success_url", returns, return_rule),
        failure_url: section.text("failure_url", returns, return_rule),
        connect_timeout: section.duration("connect_timeout", "100ms", "60s"),
        read_timeout: section.duration("read_timeout", "100ms", "2m"),
        timeout: section.duration("timeout", "1s", "2m"),
        body_limit_bytes: usize::try_from(section.integer("body_limit_bytes", 65_536..=16_777_216))
            .expect("the range fits in every machine's size"),
    };
    section.finish();
    read
}

fn budget(mut section: Section, environment: Option<Environment>) -> Budget {
    let allowed = "a whole number from 1 to 10000, or \"unlimited\" in environment sandbox";
    let mut rate = |key| {
        section.read(key, None, allowed, |value| match text(value) {
            Some("unlimited") => (environment != Some(Environment::Live)).then_some(None),
            _ => integer(value)
                .filter(|rate| (1..=10_000).contains(rate))
                .and_then(|rate| NonZeroU32::new(u32::try_from(rate).ok()?))
                .map(Some),
        })
    };
    let read = Budget { writes_per_second: rate("writes_per_second"), reads_per_second: rate("reads_per_second") };
    section.finish();
    read
}

fn circuit(mut section: Section, gateway_url: &str) -> Circuit {
    let read = Circuit {
        failures: section.count("failures", 1000),
        probe_after: section.duration("probe_after", "1s", "1h"),
        probe_after_refusal: section.duration("probe_after_refusal", "1s", "24h"),
        gateway_host: gateway_url.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    section.finish();
    read
}

fn protocol(mut section: Section) -> Protocol {
    let read = Protocol {
        key_life: section.duration("key_life", "1s", "30d"),
        key_margin: section.duration("key_margin", "0s", "7d"),
        settle_wait: section.duration("settle_wait", "1s", "7d"),
        settle_wait_after_server_error: section.duration("settle_wait_after_server_error", "1s", "7d"),
        lookup_after: section.durations("lookup_after", "0s", "7d"),
        look_again: section.duration("look_again", "10ms", "1h"),
        lookup_past_life: section.duration("lookup_past_life", "1s", "7d"),
        lease: section.duration("lease", "1s", "1h"),
        resend: section.choice("resend", &[("same_key", Resend::SameKey), ("never", Resend::Never)]),
        auto_after_window: section.boolean("auto_after_window"),
        max_sends: section.count("max_sends", 20),
        look_first: section.choice("look_first", &[("needed", LookFirst::Needed), ("always", LookFirst::Always)]),
        send_within: section.duration("send_within", "1s", "10m"),
        gap: section.duration("gap", "1m", "366d"),
        unknown_limit: section.count("unknown_limit", 10_000),
    };
    section.finish();
    read
}

fn polls(mut section: Section) -> Polls {
    let read = Polls {
        first: section.durations("first", "0s", "1d"),
        within_alert: section.duration("within_alert", "1s", "7d"),
        within_review: section.duration("within_review", "1s", "7d"),
        in_review: section.duration("in_review", "1s", "7d"),
        alert_after: section.duration("alert_after", "1s", "30d"),
        review_after: section.duration("review_after", "1s", "90d"),
        not_found_for: section.duration("not_found_for", "1s", "1d"),
    };
    section.finish();
    read
}

fn engine(mut section: Section) -> Engine {
    let read = Engine {
        batch: section.count("batch", 10_000),
        in_flight: section.count("in_flight", 1000),
        record_linger: section.duration("record_linger", "0s", "5s"),
        stop_wait: section.duration("stop_wait", "0s", "80s"),
        predecessor_wait: section.duration("predecessor_wait", "0s", "30d"),
    };
    section.finish();
    read
}

fn schedule(mut section: Section) -> Schedule {
    let mut line = |key| {
        section.text(
            key,
            "a cron line of six fields, seconds first, that comes at some time, such as \"0 * * * * *\"",
            is_cron_line,
        )
    };
    let read =
        Schedule { bill: line("bill"), collect: line("collect"), reconcile: line("reconcile"), dun: line("dun") };
    section.finish();
    read
}

fn is_cron_line(text: &str) -> bool {
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).build();
    let ever = |cron: Cron| cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, false).is_ok();
    text.split_whitespace().count() == 6 && parser.parse(text).is_ok_and(ever)
}

fn catch_up(mut section: Section) -> CatchUp {
    let read = CatchUp {
        handed_over: section.choice("handed_over", &CATCH_UP_RULES),
        missed: section.choice("missed", &CATCH_UP_RULES),
        max_periods: section.count("max_periods", 366),
        max_age: section.duration("max_age", "1s", "366d"),
        spread: section.duration("spread", "0s", "31d"),
    };
    section.finish();
    read
}

fn currencies(mut section: Section) -> Vec<Currency> {
    let allowed = "a list of ISO 4217 codes in capitals, such as [\"HKD\"]";
    let accepted = section.list("accepted", allowed, |code| code.parse().ok());
    section.finish();
    accepted
}

fn limits(mut section: Section) -> (i64, i64, Brake) {
    let largest = section.integer("largest_charge_minor", 1..=LARGEST_AMOUNT_MINOR);
    let price_change = section.integer("price_change_percent", 0..=1_000_000);
    let brake = Brake {
        percent: section.integer("brake_percent", 100..=1_000_000),
        margin: section.integer("brake_margin", 0..=100_000_000),
    };
    section.finish();
    (largest, price_change, brake)
}

fn audit(mut section: Section) -> Audit {
    let read = Audit {
        ages: section.durations("ages", "1h", "400d"),
        reads_per_second: section.count("reads_per_second", 1000),
    };
    section.finish();
    read
}

fn http(mut section: Section) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let mut address = |key| {
        section.read(key, None, "\"ADDRESS:PORT\", such as \"127.0.0.1:9464\", or empty", |value| match text(value)? {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        })
    };
    let read = (address("listen"), address("return_listen"));
    section.finish();
    read
}

fn finance(mut section: Section) -> Finance {
    let snapshot =
        section.text("snapshot", "an absolute path, or empty", |text| text.is_empty() || text.starts_with('/'));
    let read = Finance {
        snapshot: Some(snapshot).filter(|path| !path.is_empty()).map(PathBuf::from),
        snapshot_every: section.duration("snapshot_every", "1m", "7d"),
    };
    section.finish();
    read
}

fn log(mut section: Section) -> Log {
    let formats = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
        ("journal", LogFormat::Journal),
    ];
    let read = Log {
        format: section.choice("format", &formats),
        filter: section.text("filter", "a level, and levels by module, such as \"info,sqlx=warn\"", |text| {
            !text.is_empty() && text.parse::<Targets>().is_ok() && text.split(',').all(is_log_directive)
        }),
    };
    section.finish();
    read
}

/// A level, or a module with one. A module alone would mean everything of that module and nothing else: a misspelt level silences the log.
fn is_log_directive(text: &str) -> bool {
    text.contains('=') || text.trim().parse::<LevelFilter>().is_ok()
}

fn alerts(mut section: Section) -> Vec<String> {
    let command = section.list("command", "a list of texts, the program first", |text| Some(text.to_owned()));
    if command.first().is_some_and(|program| !program.starts_with('/')) {
        section.refuse("command", "must begin with the absolute path of a program");
    }
    section.finish();
    command
}
