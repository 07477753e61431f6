//! What a reload may change: which keys tie the daemon to its books and its gateway, which are read only at its start, and that the
//! rest agrees with those. Keys in neither list are taken up while it runs.

use secrecy::ExposeSecret;

use crate::config::Settings;
use crate::engine::open;

/// A key and its value as text; only compared, never shown, as the value may be a secret.
type Key = (&'static str, fn(&Settings) -> String);

/// A reload that changes one of these changes nothing.
const FIXED: [Key; 6] = [
    ("installation.name", |it| it.installation.name.clone()),
    ("installation.environment", |it| format!("{:?}", it.installation.environment)),
    ("installation.node", open::node_name),
    ("database.url", |it| it.database.url.expose_secret().to_owned()),
    ("gateway.url", |it| it.gateway.url.clone()),
    ("gateway.processing_channel_id", |it| format!("{:?}", it.gateway.processing_channel_id)),
];

/// Read once, when the daemon starts.
const AT_THE_START: [Key; 28] = [
    ("installation.high_water_file", |it| it.installation.high_water_file.clone()),
    ("audit.reads_per_second", |it| it.audit.reads_per_second.to_string()),
    ("database.max_connections", |it| it.database.max_connections.to_string()),
    ("database.busy_timeout", |it| format!("{:?}", it.database.busy_timeout)),
    ("database.migrate", |it| it.database.migrate.to_string()),
    ("gateway.secret_key_file", |it| format!("{:?}", it.gateway.secret_key_file)),
    ("gateway.connect_timeout", |it| format!("{:?}", it.gateway.connect_timeout)),
    ("gateway.read_timeout", |it| format!("{:?}", it.gateway.read_timeout)),
    ("gateway.timeout", |it| format!("{:?}", it.gateway.timeout)),
    ("gateway.body_limit_bytes", |it| it.gateway.body_limit_bytes.to_string()),
    ("budget.writes_per_second", |it| format!("{:?}", it.budget.writes_per_second)),
    ("budget.reads_per_second", |it| format!("{:?}", it.budget.reads_per_second)),
    ("circuit.failures", |it| it.circuit.failures.to_string()),
    ("circuit.probe_after", |it| format!("{:?}", it.circuit.probe_after)),
    ("circuit.probe_after_refusal", |it| format!("{:?}", it.circuit.probe_after_refusal)),
    ("engine.record_linger", |it| format!("{:?}", it.engine.record_linger)),
    ("engine.stop_wait", |it| format!("{:?}", it.engine.stop_wait)),
    ("schedule.bill", |it| it.schedule.bill.clone()),
    ("schedule.collect", |it| it.schedule.collect.clone()),
    ("schedule.reconcile", |it| it.schedule.reconcile.clone()),
    ("schedule.dun", |it| it.schedule.dun.clone()),
    ("http.listen", |it| format!("{:?}", it.http_listen)),
    ("http.return_listen", |it| format!("{:?}", it.return_listen)),
    ("finance.snapshot", |it| format!("{:?}", it.finance.snapshot)),
    ("finance.snapshot_every", |it| format!("{:?}", it.finance.snapshot_every)),
    ("log.format", |it| format!("{:?}", it.log.format)),
    ("log.filter", |it| it.log.filter.clone()),
    ("alerts.command", |it| format!("{:?}", it.alerts_command)),
];

/// Why the running daemon cannot go by a new config.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It would be another daemon.
    #[error("these keys change only by a restart, and nothing else is taken up with them: {}", .0.join(", "))]
    Fixed(Vec<&'static str>),
    /// Work that is leased could be taken for lost while its request is still under way.
    #[error(
        "protocol.lease must be above the running gateway.timeout, which changes only by a restart, and protocol.send_within together"
    )]
    Lease,
}

/// The changed keys that are not taken up, where the rest may be.
///
/// # Errors
/// [`Refused`].
pub(super) fn left_out(running: &Settings, new: &Settings) -> Result<Vec<&'static str>, Refused> {
    let changed = |keys: &[Key]| -> Vec<&'static str> {
        keys.iter().filter(|(_, value)| value(running) != value(new)).map(|(key, _)| *key).collect()
    };
    let fixed = changed(&FIXED);
    if !fixed.is_empty() {
        return Err(Refused::Fixed(fixed));
    }
    if new.protocol.lease <= running.gateway.timeout + new.protocol.send_within {
        return Err(Refused::Lease);
    }
    Ok(changed(&AT_THE_START))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Sources};

    fn loaded(more: &[(&str, &str)]) -> config::Loaded {
        let flag = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let named = [("installation.name", "books")];
        config::load(&Sources::of_flags(named.iter().chain(more).map(flag).collect())).expect("the case is right")
    }

    #[test]
    fn each_key_that_a_reload_leaves_out_is_named() {
        let running = loaded(&[]).settings;
        for (key, value) in [
            ("database.max_connections", "9"),
            ("database.busy_timeout", "6s"),
            ("database.migrate", "false"),
            ("gateway.secret_key_file", "/etc/dues/key"),
            ("gateway.connect_timeout", "6s"),
            ("gateway.read_timeout", "31s"),
            ("gateway.timeout", "46s"),
            ("gateway.body_limit_bytes", "70000"),
            ("budget.writes_per_second", "1"),
            ("budget.reads_per_second", "unlimited"),
            ("circuit.failures", "6"),
            ("circuit.probe_after", "31s"),
            ("circuit.probe_after_refusal", "11m"),
            ("engine.record_linger", "1s"),
            ("engine.stop_wait", "1s"),
            ("schedule.bill", "1 * * * * *"),
            ("schedule.collect", "1 * * * * *"),
            ("schedule.reconcile", "1 * * * * *"),
            ("schedule.dun", "1 * * * * *"),
            ("http.listen", "127.0.0.1:9464"),
            ("http.return_listen", "127.0.0.1:9465"),
            ("finance.snapshot", "/var/lib/dues/snapshot.db"),
            ("finance.snapshot_every", "1m"),
            ("log.format", "json"),
            ("log.filter", "debug"),
            ("alerts.command", "/bin/true"),
        ] {
            assert_eq!(left_out(&running, &loaded(&[(key, value)]).settings), Ok(vec![key]));
        }
    }

    #[test]
    fn each_key_that_ties_the_daemon_to_its_books_refuses_the_whole() {
        let running = loaded(&[]).settings;
        for (key, value) in [
            ("installation.name", "others"),
            ("installation.node", "another"),
            ("database.url", "sqlite:/srv/other.db"),
            ("gateway.url", "http://127.0.0.1:1"),
            ("gateway.processing_channel_id", "pc_other"),
        ] {
            let new = loaded(&[(key, value), ("http.listen", "127.0.0.1:9464")]).settings;
            assert_eq!(left_out(&running, &new), Err(Refused::Fixed(vec![key])));
        }
    }

    /// A key in neither list is promised to be taken up: whoever adds one decides here.
    #[test]
    fn every_key_is_decided() {
        let taken_up = ["gateway.merchant_initiated", "gateway.success_url", "gateway.failure_url", "audit.ages"];
        let engine = ["engine.batch", "engine.in_flight", "engine.predecessor_wait"];
        let sections =
            ["protocol.", "polls.", "catch_up.", "currencies.", "limits.", "dunning.", "declines.", "plans."];
        for key in loaded(&[]).effective.iter().map(|it| it.key.as_str()) {
            let is_left_out = FIXED.iter().chain(&AT_THE_START).any(|(left_out, _)| *left_out == key);
            let is_taken_up = taken_up.iter().chain(&engine).any(|taken_up| *taken_up == key)
                || sections.iter().any(|section| key.starts_with(section));
            assert!(is_left_out != is_taken_up, "{key}");
        }
    }

    #[test]
    fn a_lease_is_held_against_the_timeout_that_requests_still_have() {
        let running = loaded(&[("gateway.timeout", "100s")]).settings;
        let new = loaded(&[("gateway.timeout", "45s"), ("protocol.lease", "130s")]).settings;
        assert_eq!(left_out(&running, &new), Err(Refused::Lease));
        let long_enough = loaded(&[("gateway.timeout", "45s"), ("protocol.lease", "161s")]).settings;
        assert_eq!(left_out(&running, &long_enough), Ok(vec!["gateway.timeout"]));
    }
}
