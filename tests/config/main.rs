//! Promises of the configuration: who wins, what is documented, what is never shown. What is refused, and with which words,
//! stands in `refused.rs`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::path::PathBuf;
use std::time::Duration;

use dues::config::{self, Environment, Loaded, LookFirst, Resend, Sources, Wait, secret};
use secrecy::ExposeSecret;

mod refused;

/// A directory with a file and its drop-ins, and what else is handed to the loader.
struct Case {
    directory: tempfile::TempDir,
    sources: Sources,
}

impl Case {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dues.toml");
        std::fs::write(&file, text).unwrap();
        Case { directory, sources: Sources { file: Some(file), ..Sources::default() } }
    }

    /// A file that is complete but for what `text` adds.
    fn named(text: &str) -> Self {
        Case::new(&format!("installation.name = \"books\"\n{text}"))
    }

    fn drop_in(self, name: &str, text: &str) -> Self {
        let directory = self.directory.path().join("dues.d");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), text).unwrap();
        self
    }

    fn environment(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    #[track_caller]
    fn loads(&self) -> Loaded {
        config::load(&self.sources).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// The fault lines, with the directory's name taken away.
    #[track_caller]
    fn faults(&self) -> Vec<String> {
        let faults = config::load(&self.sources).expect_err("the case is wrong");
        let directory = format!("{}/", self.directory.path().display());
        faults.to_string().lines().map(|line| line.replace(&directory, "")).collect()
    }

    /// Value and origin of one key as `dues check --show` prints them.
    fn shown(&self, key: &str) -> (String, String) {
        let loaded = self.loads();
        let value = loaded.effective.into_iter().find(|value| value.key == key).unwrap();
        let file_name = PathBuf::from(&value.origin).file_name().unwrap().to_str().unwrap().to_owned();
        (value.value_shown, file_name)
    }
}

const PLAN: &str =
    "[plans.monthly]\namount_minor = 12800\ncurrency = \"HKD\"\ninterval = \"month\"\ndescription = \"Membership\"\n";

#[test]
fn a_name_is_all_that_must_be_set() {
    assert_eq!(
        Case::new("").faults(),
        [r#"dues.toml: installation.name: is not set; it must be 1 to 40 characters of a-z, 0-9, "-" and "_""#]
    );
    let settings = Case::named("").loads().settings;
    assert_eq!(settings.installation.environment, Environment::Sandbox);
    assert_eq!(settings.database.url.expose_secret(), "sqlite:/var/lib/dues/dues.db");
    assert_eq!(settings.protocol.look_first, LookFirst::Needed);
    assert_eq!(settings.largest_charge_minor, 5_000_000);
    assert_eq!(settings.http_listen, None);
    assert!(settings.plans.is_empty() && settings.alerts_command.is_empty());
    let day = Wait::Days;
    let hours = |hours: u64| Wait::Time(Duration::from_secs(hours * 3600));
    assert_eq!(settings.dunning["standard"].funds, [day(1), day(3), day(5), day(7)]);
    assert_eq!(settings.dunning["standard"].technical, [hours(2), hours(6), hours(24)]);
    assert_eq!(settings.declines["20051"], config::DeclineClass::Funds);
    assert_eq!(settings.declines["20118"], config::DeclineClass::Technical);
}

#[test]
fn the_shipped_example_loads() {
    let case = Case::new(include_str!("../../config/dues.toml"));
    let settings = case.loads().settings;
    assert_eq!(settings.plans.len(), 2);
    assert_eq!(settings.plans["monthly"].price.to_string(), "128.00 HKD");
    assert_eq!(settings.plans["monthly"].billing_hour, 10);
    assert_eq!(settings.http_listen, Some("127.0.0.1:9464".parse().unwrap()));
}

#[test]
fn a_later_layer_wins() {
    let mut case = Case::named("[engine]\nbatch = 1");
    assert_eq!(case.shown("engine.batch"), ("1".to_owned(), "dues.toml".to_owned()));
    case = case.drop_in("20-b.toml", "engine.batch = 3").drop_in("10-a.toml", "engine.batch = 2\nengine.in_flight = 9");
    case = case.drop_in("30-ignored.txt", "engine.batch = 99");
    assert_eq!(case.shown("engine.batch"), ("3".to_owned(), "20-b.toml".to_owned()));
    assert_eq!(case.shown("engine.in_flight"), ("9".to_owned(), "10-a.toml".to_owned()));
    case = case.environment("DUES__ENGINE__BATCH", "4").environment("DUES_SECRET_KEY", "x").environment("PATH", "/bin");
    assert_eq!(case.shown("engine.batch"), ("\"4\"".to_owned(), "DUES__ENGINE__BATCH".to_owned()));
    case = case.flag("engine.batch", "5");
    assert_eq!(case.shown("engine.batch"), ("\"5\"".to_owned(), "--set engine.batch".to_owned()));
    assert_eq!(case.loads().settings.engine.batch.get(), 5);
    assert_eq!(case.shown("engine.stop_wait"), ("\"35s\"".to_owned(), "built-in".to_owned()));
}

#[test]
fn texts_of_the_environment_are_read_as_what_the_key_wants() {
    let case = Case::named(PLAN)
        .environment("DUES__POLLS__FIRST", "75s, 3m")
        .environment("DUES__DATABASE__MIGRATE", "false")
        .environment("DUES__BUDGET__READS_PER_SECOND", "unlimited")
        .environment("DUES__DECLINES__200R1", "refused")
        .environment("DUES__PLANS__MONTHLY__AMOUNT_MINOR", "990")
        .environment("DUES__INSTALLATION__NAME", "0123")
        .flag("alerts.command", "");
    let settings = case.loads().settings;
    assert_eq!(settings.polls.first, [Duration::from_secs(75), Duration::from_secs(180)]);
    assert!(!settings.database.migrate);
    assert_eq!(settings.budget.reads_per_second, None);
    assert_eq!(settings.declines["200R1"], config::DeclineClass::Refused);
    assert_eq!(settings.plans["monthly"].price.amount_minor, 990);
    assert_eq!(settings.installation.name, "0123");
}

#[test]
fn the_environment_selects_its_preset_and_a_file_overrides_it() {
    let sandbox = Case::named("").loads().settings;
    assert_eq!((sandbox.protocol.key_life, sandbox.protocol.resend), (Duration::from_secs(120), Resend::Never));
    assert_eq!((sandbox.protocol.settle_wait, sandbox.protocol.auto_after_window), (Duration::from_secs(60), true));
    let channel = "gateway.processing_channel_id = \"pc_x\"";
    let case = Case::named(channel).environment("DUES__INSTALLATION__ENVIRONMENT", "live");
    let live = case.loads().settings;
    assert_eq!((live.protocol.key_life, live.protocol.resend), (Duration::from_secs(86_400), Resend::SameKey));
    assert_eq!((live.protocol.settle_wait, live.protocol.auto_after_window), (Duration::from_secs(900), false));
    assert_eq!(live.gateway.url, "https://api.checkout.com");
    assert_eq!(case.shown("protocol.key_life"), ("\"24h\"".to_owned(), "built-in preset live".to_owned()));
    let own = Case::named(&format!("{channel}\n[protocol]\nkey_life = \"12h\""));
    let own = own.flag("installation.environment", "live").loads().settings;
    assert_eq!(own.protocol.key_life, Duration::from_secs(43_200));
}

#[test]
fn every_default_is_documented() {
    for text in [
        include_str!("../../config/default.toml"),
        include_str!("../../config/live.toml"),
        include_str!("../../config/sandbox.toml"),
    ] {
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#')) {
            assert!(pair[0].starts_with("# "), "no comment above: {}", pair[1]);
        }
    }
}

#[test]
fn no_secret_is_shown() {
    let canary = "canary77";
    let file = format!("database.url = \"postgres://dues:{canary}@db/dues\"");
    let loaded = Case::named(&file).loads();
    assert!(!format!("{loaded:?}").contains(canary));
    assert_eq!(Case::named(&file).shown("database.url").0, "\"postgres://dues:***@db/dues\"");
    for wrong in [
        format!("database.url = \"mysql://dues:{canary}@db/dues\""),
        format!("database.url = [\"{canary}\"]"),
        format!("database.password = \"{canary}\""),
        format!("gateway.secret_key_file = \"sk_sbox_{canary}\""),
        format!("gateway.secret_key = \"sk_{canary}\""),
        format!("database.url = \"postgres://dues:{canary}@db/dues"),
    ] {
        let faults = Case::named(&wrong).faults();
        assert!(!faults.join("\n").contains(canary), "{faults:#?}");
    }
}

#[test]
fn the_secret_key_is_found_in_its_order_and_must_fit_the_environment() {
    let case = Case::named("");
    let place = case.directory.path().to_str().unwrap().to_owned();
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let own = variable("DUES_SECRET_KEY", "sk_sbox_fromthevariable");
    let mut settings = case.loads().settings;
    let found = |settings: &config::Settings, environment: &[(String, String)]| {
        secret::secret_key(settings, environment)
            .map(|key| key.expose_secret().to_owned())
            .map_err(|error| error.to_string())
    };
    assert!(found(&settings, &[]).unwrap_err().starts_with("no secret key: name its file"));
    assert_eq!(found(&settings, std::slice::from_ref(&own)).unwrap(), "sk_sbox_fromthevariable");
    let both = [variable("CREDENTIALS_DIRECTORY", &place), own];
    assert_eq!(found(&settings, &both).unwrap(), "sk_sbox_fromthevariable");
    std::fs::write(case.directory.path().join("checkout-secret-key"), "sk_sbox_fromthecredential\n").unwrap();
    assert_eq!(found(&settings, &both).unwrap(), "sk_sbox_fromthecredential");
    let file = case.directory.path().join("key");
    settings.gateway.secret_key_file = Some(file.clone());
    assert_eq!(found(&settings, &both).unwrap_err(), format!("the secret key cannot be read from {}", file.display()));
    for (written, environment, told) in [
        ("sk_sbox_abcdefgh\r\n", Environment::Sandbox, None),
        ("sk_abcdefghij", Environment::Live, None),
        ("sk_abcdefghij", Environment::Sandbox, Some("holds a live key, but installation.environment is sandbox")),
        ("sk_sbox_abcdefgh", Environment::Live, Some("holds a sandbox key, but installation.environment is live")),
        ("sk_test_abcdefgh", Environment::Live, Some("holds a sandbox key, but installation.environment is live")),
        ("pk_abcdefghij", Environment::Live, Some("holds no secret key")),
        ("sk_abcdefghij\nmore", Environment::Live, Some("holds no secret key")),
        ("sk_sbox_", Environment::Sandbox, Some("holds no secret key")),
        ("", Environment::Live, Some("holds no secret key")),
    ] {
        std::fs::write(&file, written).unwrap();
        settings.installation.environment = environment;
        match (found(&settings, &both), told) {
            (Ok(key), None) => assert_eq!(key, written.trim_end()),
            (Err(error), Some(told)) => {
                assert!(error.contains(told), "{error}");
                assert!(!error.contains("abcdefgh"), "{error}");
            }
            (other, _) => panic!("{written:?}: {other:?}"),
        }
    }
}
