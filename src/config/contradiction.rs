//! Rules between keys: each value is allowed by itself, but not beside the other. Only keys that were read without a fault are compared.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::duration::show;
use super::fault::Fault;
use super::{Resend, Settings};

/// A rule's finding: the key that a person should look at first, its value, and what is wrong.
struct Finding {
    keys: &'static [&'static str],
    value: Duration,
    broken: bool,
    text: String,
}

/// The faults between keys. `origin` tells where a key stands.
pub(super) fn contradictions(settings: &Settings, noted: &[Fault], origin: impl Fn(&str) -> String) -> Vec<Fault> {
    let readable = |key: &&str| !noted.iter().any(|fault| *key == fault.key || is_section_of(&fault.key, key));
    let mut faults: Vec<Fault> = findings(settings)
        .into_iter()
        .filter(|finding| finding.broken && finding.keys.iter().all(readable))
        .map(|finding| Fault {
            origin: origin(finding.keys[0]),
            key: finding.keys[0].to_owned(),
            value: Some(format!("{:?}", show(finding.value))),
            allowed: finding.text,
        })
        .collect();
    let mut list = |key: &str, broken: bool, allowed: &str| {
        if broken && readable(&key) {
            faults.push(Fault { origin: origin(key), key: key.to_owned(), value: None, allowed: allowed.to_owned() });
        }
    };
    let lookups = &settings.protocol.lookup_after;
    list("protocol.lookup_after", lookups.is_empty(), "must not be empty: an unknown outcome needs a look");
    list(
        "protocol.lookup_after",
        !lookups.is_sorted(),
        "must rise: each is counted from the moment the outcome became unknown",
    );
    list("polls.first", settings.polls.first.is_empty(), "must not be empty: a pending payment needs a look");
    list("currencies.accepted", settings.currencies.is_empty(), "must not be empty: no plan could have a price");
    let same_port = settings.return_listen.is_some() && settings.return_listen == settings.http_listen;
    list("http.return_listen", same_port, "must be another address than http.listen");
    if let Some(snapshot) = &settings.finance.snapshot {
        let file = settings.database.url.expose_secret().strip_prefix("sqlite:");
        let file = file.map(|path| path.strip_prefix("//").unwrap_or(path));
        let beside = file.is_some_and(|file| snapshot.as_os_str().as_encoded_bytes().starts_with(file.as_bytes()));
        list(
            "finance.snapshot",
            file.is_none(),
            "is for SQLite alone: on PostgreSQL finance reads by a role of its own",
        );
        list(
            "finance.snapshot",
            beside,
            "must not begin with the path of database.url: it would be taken for a part of the books",
        );
    }
    faults
}

fn findings(settings: &Settings) -> Vec<Finding> {
    let (gateway, protocol, polls) = (&settings.gateway, &settings.protocol, &settings.polls);
    let usable = protocol.key_life.saturating_sub(protocol.key_margin);
    let resent = protocol.resend == Resend::SameKey;
    let busy = gateway.timeout + protocol.send_within;
    let usable_text = format!(
        "must be below protocol.key_life less protocol.key_margin ({}) unless protocol.resend = \"never\"",
        show(usable)
    );
    vec![
        Finding {
            keys: &["gateway.connect_timeout", "gateway.timeout"],
            value: gateway.connect_timeout,
            broken: gateway.connect_timeout > gateway.timeout,
            text: format!("must not be above gateway.timeout ({})", show(gateway.timeout)),
        },
        Finding {
            keys: &["gateway.read_timeout", "gateway.timeout"],
            value: gateway.read_timeout,
            broken: gateway.read_timeout > gateway.timeout,
            text: format!("must not be above gateway.timeout ({})", show(gateway.timeout)),
        },
        Finding {
            keys: &["protocol.key_margin", "protocol.key_life"],
            value: protocol.key_margin,
            broken: protocol.key_margin >= protocol.key_life,
            text: format!("must be below protocol.key_life ({})", show(protocol.key_life)),
        },
        Finding {
            keys: &["protocol.settle_wait", "protocol.key_life", "protocol.key_margin", "protocol.resend"],
            value: protocol.settle_wait,
            broken: resent && protocol.settle_wait >= usable,
            text: usable_text.clone(),
        },
        Finding {
            keys: &[
                "protocol.settle_wait_after_server_error",
                "protocol.key_life",
                "protocol.key_margin",
                "protocol.resend",
            ],
            value: protocol.settle_wait_after_server_error,
            broken: resent && protocol.settle_wait_after_server_error >= usable,
            text: usable_text,
        },
        Finding {
            keys: &["protocol.settle_wait_after_server_error", "protocol.settle_wait"],
            value: protocol.settle_wait_after_server_error,
            broken: protocol.settle_wait_after_server_error < protocol.settle_wait,
            text: format!("must not be below protocol.settle_wait ({})", show(protocol.settle_wait)),
        },
        Finding {
            keys: &["protocol.lease", "gateway.timeout", "protocol.send_within"],
            value: protocol.lease,
            broken: protocol.lease <= busy,
            text: format!("must be above gateway.timeout and protocol.send_within together ({})", show(busy)),
        },
        Finding {
            keys: &["polls.alert_after", "polls.review_after"],
            value: polls.alert_after,
            broken: polls.alert_after > polls.review_after,
            text: format!("must not be above polls.review_after ({})", show(polls.review_after)),
        },
    ]
}

fn is_section_of(section: &str, key: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}
