//! A script as a TOML file: `[[rule]]` tables, each with conditions and one effect. Every error names the rule.

use std::time::Duration;

use chrono::DateTime;
use serde::Deserialize;

use super::{Effect, Fault, On, Outcome, Rule, Script, When};
use crate::clock::Instant;
use crate::domain::money::LARGEST_AMOUNT_MINOR;

/// Why a script was refused.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Not TOML, or something other than `[[rule]]` tables.
    #[error("the script is not a TOML file of [[rule]] tables")]
    NotAScript(#[source] toml::de::Error),
    /// Not JSON, or something other than an object with the rules under `rule`.
    #[error("the script is not a JSON object of the form {{\"rule\": [{{…}}, {{…}}]}}")]
    NotJson(#[source] serde_json::Error),
    /// A rule has a key that does not exist, or a value of the wrong type.
    #[error("rule {rule} of the script cannot be read")]
    NotARule {
        /// Its name, or its place in the file.
        rule: String,
        /// What the reader says.
        #[source]
        source: toml::de::Error,
    },
    /// A rule can be read but makes no sense.
    #[error("rule {rule} of the script: {problem}")]
    Nonsense {
        /// Its name, or its place in the file.
        rule: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    rule: Vec<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    #[serde(default)]
    name: Option<String>,
    customer: Option<String>,
    source: Option<String>,
    reference_prefix: Option<String>,
    amount_minor: Option<i64>,
    subscription: Option<String>,
    from: Option<toml::Value>,
    until: Option<toml::Value>,
    every: Option<u64>,
    per_mille: Option<u16>,
    times: Option<u64>,
    on: Option<OnText>,
    outcome: Option<OutcomeText>,
    code: Option<String>,
    settle_after: Option<String>,
    lookup_lag: Option<String>,
    read_lag: Option<String>,
    fault: Option<FaultText>,
    status: Option<u16>,
    shown: Option<String>,
    delay: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum OnText {
    Get,
    Post,
    Any,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum OutcomeText {
    Capture,
    Decline,
    Cancel,
    Expire,
    Pending,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum FaultText {
    LostRequest,
    LostResponse,
    ErrorBefore,
    ErrorAfter,
    Slow,
    Garbage,
    Html,
    Huge,
    Status,
    Unauthorised,
    Forbidden,
    RateLimited,
}

impl Script {
    /// Reads a script. Durations are texts such as `250ms`, `30s`, `10m`, `2h`, `1d`; instants are RFC 3339 with an offset.
    ///
    /// # Errors
    /// [`ScriptError`], with the rule's name.
    pub fn from_toml(text: &str) -> Result<Script, ScriptError> {
        Script::of_tables(toml::from_str(text).map_err(ScriptError::NotAScript)?)
    }

    /// Reads the same as JSON: `{"rule": [{…}, …]}`, with the keys and values of the TOML file.
    ///
    /// # Errors
    /// [`ScriptError`], with the rule's name.
    pub fn from_json(text: &[u8]) -> Result<Script, ScriptError> {
        Script::of_tables(serde_json::from_slice(text).map_err(ScriptError::NotJson)?)
    }

    fn of_tables(file: FileText) -> Result<Script, ScriptError> {
        let rules = file.rule.into_iter().enumerate().map(|(index, table)| {
            let name = table.get("name").and_then(toml::Value::as_str);
            let label = name.map_or_else(|| format!("number {}", index + 1), |name| format!("{name:?}"));
            let text: RuleText =
                table.try_into().map_err(|source| ScriptError::NotARule { rule: label.clone(), source })?;
            rule(text, &label).map_err(|problem| ScriptError::Nonsense { rule: label, problem })
        });
        Ok(Script { rules: rules.collect::<Result<_, _>>()? })
    }
}

fn rule(text: RuleText, label: &str) -> Result<Rule, String> {
    let gives = effect(&text)?;
    let on = match text.on {
        Some(OnText::Get) => On::Get,
        Some(OnText::Post) => On::Post,
        Some(OnText::Any) => On::Any,
        None => match gives {
            Effect::Fault(Fault::Status(_)) => On::Get,
            Effect::Fault(Fault::Unauthorised) => On::Any,
            _ => On::Post,
        },
    };
    if text.on.is_some() && !matches!(gives, Effect::Fault(_)) {
        return Err("`on` belongs to a fault; outcomes and lags are decided when a payment is made".to_owned());
    }
    if text.every == Some(0) || text.times == Some(0) {
        return Err("`every` and `times` count from 1".to_owned());
    }
    if text.per_mille.is_some_and(|per_mille| per_mille > 1000) {
        return Err("`per_mille` lies between 0 and 1000".to_owned());
    }
    if text.amount_minor.is_some_and(|amount| !(1..=LARGEST_AMOUNT_MINOR).contains(&amount)) {
        return Err(format!("`amount_minor` lies between 1 and {LARGEST_AMOUNT_MINOR}: no other payment is made"));
    }
    let from = text.from.map(|value| instant("from", &value)).transpose()?;
    let until = text.until.map(|value| instant("until", &value)).transpose()?;
    if from.zip(until).is_some_and(|(from, until)| until <= from) {
        return Err("`until` must be later than `from`, or the rule never speaks".to_owned());
    }
    let when = When {
        on,
        customer: text.customer,
        source: text.source,
        reference_prefix: text.reference_prefix,
        amount_minor: text.amount_minor,
        subscription: text.subscription,
        from,
        until,
        every: text.every,
        per_mille: text.per_mille,
        times: text.times,
    };
    Ok(Rule { name: text.name.unwrap_or_else(|| label.to_owned()), when, gives })
}

fn effect(text: &RuleText) -> Result<Effect, String> {
    let settles = text.outcome.is_some() || text.settle_after.is_some();
    let lags = text.lookup_lag.is_some() || text.read_lag.is_some();
    if u8::from(settles) + u8::from(lags) + u8::from(text.fault.is_some()) != 1 {
        return Err(
            "it must give exactly one thing: an `outcome` (and `settle_after`), a `lookup_lag` (and `read_lag`), \
                    or a `fault`"
                .to_owned(),
        );
    }
    only(text.code.is_some(), matches!(text.outcome, Some(OutcomeText::Decline)), "code", "outcome = \"decline\"")?;
    let takes_status = matches!(text.fault, Some(FaultText::ErrorBefore | FaultText::ErrorAfter));
    if text.status.is_some() && !takes_status {
        return Err("`status` needs fault = \"error_before\" or \"error_after\"".to_owned());
    }
    only(text.shown.is_some(), matches!(text.fault, Some(FaultText::Status)), "shown", "fault = \"status\"")?;
    only(text.delay.is_some(), matches!(text.fault, Some(FaultText::Slow)), "delay", "fault = \"slow\"")?;
    if let Some(fault) = text.fault {
        return Ok(Effect::Fault(read_fault(fault, text)?));
    }
    let duration = |key, value: &Option<String>| value.as_deref().map(|value| duration(key, value)).transpose();
    if lags {
        let lookup = duration("lookup_lag", &text.lookup_lag)?;
        return Ok(Effect::Lag { lookup, read: duration("read_lag", &text.read_lag)? });
    }
    let outcome = match text.outcome {
        None => None,
        Some(OutcomeText::Capture) => Some(Outcome::Capture),
        Some(OutcomeText::Cancel) => Some(Outcome::Cancel),
        Some(OutcomeText::Expire) => Some(Outcome::Expire),
        Some(OutcomeText::Pending) => Some(Outcome::Pending),
        Some(OutcomeText::Decline) => {
            let code = text.code.clone().ok_or("a decline needs a `code`, such as \"20051\"")?;
            if !is_code_of_a_decline(&code) {
                return Err(format!(
                    "`code` must be five digits or capitals, the first of them 2 to 5, such as \"20051\" or \"200R1\", or a wallet's \
                     word such as \"INVALID_TOKEN\", not {code:?}"
                ));
            }
            Some(Outcome::Decline(code))
        }
    };
    Ok(Effect::Settle { outcome, after: duration("settle_after", &text.settle_after)? })
}

/// Whether a payment can be declined with it: codes that begin with 1 approve. The wallet's own words stand in the place of a code where
/// the gateway has none of its own.
fn is_code_of_a_decline(code: &str) -> bool {
    const SHORTEST_WORD: usize = 6;
    let is_number = code.len() == 5 && code.starts_with(['2', '3', '4', '5']);
    let is_word = code.len() >= SHORTEST_WORD && code.bytes().all(|it| it.is_ascii_uppercase() || it == b'_');
    is_word || is_number && code.bytes().all(|it| it.is_ascii_digit() || it.is_ascii_uppercase())
}

fn read_fault(fault: FaultText, text: &RuleText) -> Result<Fault, String> {
    let server_error = || match text.status.unwrap_or(503) {
        status @ 500..=599 => Ok(status),
        status => Err(format!("`status` must be a 5xx, not {status}")),
    };
    Ok(match fault {
        FaultText::LostRequest => Fault::LostRequest,
        FaultText::LostResponse => Fault::LostResponse,
        FaultText::ErrorBefore => Fault::ErrorBefore(server_error()?),
        FaultText::ErrorAfter => Fault::ErrorAfter(server_error()?),
        FaultText::Slow => {
            let delay = text.delay.as_deref().ok_or("fault = \"slow\" needs a `delay`, such as \"50s\"")?;
            Fault::Slow(duration("delay", delay)?)
        }
        FaultText::Garbage => Fault::TruncatedBody,
        FaultText::Html => Fault::HtmlBody,
        FaultText::Huge => Fault::Huge,
        FaultText::Status => {
            Fault::Status(text.shown.clone().ok_or("fault = \"status\" needs `shown`, the status to show")?)
        }
        FaultText::Unauthorised => Fault::Unauthorised,
        FaultText::Forbidden => Fault::Forbidden,
        FaultText::RateLimited => Fault::RateLimited,
    })
}

fn only(given: bool, allowed: bool, key: &str, needed: &str) -> Result<(), String> {
    if given && !allowed { Err(format!("`{key}` needs {needed}")) } else { Ok(()) }
}

fn instant(key: &str, value: &toml::Value) -> Result<Instant, String> {
    let text = match value {
        toml::Value::Datetime(datetime) => datetime.to_string(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    DateTime::parse_from_rfc3339(&text)
        .map(|at| at.to_utc())
        .map_err(|_| format!("`{key}` must be an instant with an offset, such as 2026-03-01T00:00:00Z"))
}

fn duration(key: &str, text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_millis = match &text[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    unit_millis
        .and_then(|unit: u64| digits.parse::<u32>().ok().map(|count| unit * u64::from(count)))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!("`{key}` must be a duration such as \"250ms\", \"30s\", \"10m\", \"2h\" or \"1d\", not {text:?}")
        })
}
