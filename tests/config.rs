//! Promises of the configuration: who wins, what is refused and with which words, what is documented, what is never shown.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::path::PathBuf;
use std::time::Duration;

use dues::config::{self, Environment, Loaded, LookFirst, Resend, Sources, Wait, secret};
use secrecy::ExposeSecret;

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
        [r#"built-in: installation.name = "": must be 1 to 40 characters of a-z, 0-9, "-" and "_""#]
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
    let case = Case::new(include_str!("../config/dues.toml"));
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
    assert_eq!(case.shown("engine.batch"), ("\"4\"".to_owned(), "environment".to_owned()));
    case = case.flag("engine.batch", "5");
    assert_eq!(case.shown("engine.batch"), ("\"5\"".to_owned(), "flag".to_owned()));
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
    let case = Case::named("").environment("DUES__INSTALLATION__ENVIRONMENT", "live");
    let live = case.loads().settings;
    assert_eq!((live.protocol.key_life, live.protocol.resend), (Duration::from_secs(86_400), Resend::SameKey));
    assert_eq!((live.protocol.settle_wait, live.protocol.auto_after_window), (Duration::from_secs(900), false));
    assert_eq!(live.gateway.url, "https://api.checkout.com");
    assert_eq!(case.shown("protocol.key_life"), ("\"24h\"".to_owned(), "built-in preset live".to_owned()));
    let own = Case::named("[protocol]\nkey_life = \"12h\"").flag("installation.environment", "live").loads().settings;
    assert_eq!(own.protocol.key_life, Duration::from_secs(43_200));
}

/// Each wrong file, and the one line it gives.
#[test]
fn a_wrong_value_is_named_with_its_place_and_what_is_allowed() {
    for (text, line) in [
        ("protocol.leese = \"3m\"", "protocol.leese: is not a known key; did you mean protocol.lease?"),
        ("protocol.anything = 1", "protocol.anything: is not a known key"),
        ("[protocoll]\nlease = 1", "protocoll: is not a known key; did you mean protocol?"),
        ("engine.batch = true", "engine.batch = true: must be a whole number from 1 to 10000"),
        ("engine.batch = \"5\"", "engine.batch = \"5\": must be a whole number from 1 to 10000"),
        ("engine.batch = 5.0", "engine.batch = 5: must be a whole number from 1 to 10000"),
        ("engine.batch = 0", "engine.batch = 0: must be a whole number from 1 to 10000"),
        ("database.migrate = \"true\"", "database.migrate = \"true\": must be true or false"),
        ("database.migrate = 1", "database.migrate = 1: must be true or false"),
        ("protocol.lease = 180", "protocol.lease = 180: must be a duration from 1s to 1h, such as \"45s\" or \"2h\""),
        (
            "gateway.timeout = \"45\"",
            "gateway.timeout = \"45\": must be a duration from 1s to 2m, such as \"45s\" or \"2h\"",
        ),
        (
            "gateway.timeout = \"1h\"",
            "gateway.timeout = \"1h\": must be a duration from 1s to 2m, such as \"45s\" or \"2h\"",
        ),
        (
            "polls.first = [\"75s\", 3]",
            "polls.first = [\"75s\", 3]: must be a list, each a duration from 1s to 1d, such as \"45s\" or \"2h\"",
        ),
        ("polls.first = []", "polls.first: must not be empty: a pending payment needs a look"),
        (
            "protocol.lookup_after = [\"2m\", \"30s\"]",
            "protocol.lookup_after: must rise: each is counted from the moment the outcome became unknown",
        ),
        ("protocol.resend = \"no\"", "protocol.resend = \"no\": must be one of \"same_key\", \"never\""),
        ("http = 5", "http = 5: must be a section with keys of its own"),
        (
            "http.listen = \"9464\"",
            "http.listen = \"9464\": must be \"ADDRESS:PORT\", such as \"127.0.0.1:9464\", or empty",
        ),
        (
            "schedule.bill = \"* * * * *\"",
            "schedule.bill = \"* * * * *\": must be a cron line of six fields, seconds first, such as \"0 * * * * *\"",
        ),
        (
            "schedule.bill = \"61 * * * * *\"",
            "schedule.bill = \"61 * * * * *\": must be a cron line of six fields, seconds first, such as \"0 * * * * *\"",
        ),
        (
            "log.filter = \"loud=9\"",
            "log.filter = \"loud=9\": must be a level, and levels by module, such as \"info,sqlx=warn\"",
        ),
        (
            "currencies.accepted = [\"hkd\"]",
            "currencies.accepted = [\"hkd\"]: must be a list of ISO 4217 codes in capitals, such as [\"HKD\"]",
        ),
        (
            "declines.200r1 = \"risk\"",
            "declines.200r1 = \"risk\": is no response code: only A-Z, 0-9 and \"_\" are allowed",
        ),
        ("alerts.command = [\"page\"]", "alerts.command = [\"page\"]: must begin with the absolute path of a program"),
        (
            "gateway.url = \"http://api.sandbox.checkout.com\"",
            "gateway.url = \"http://api.sandbox.checkout.com\": must be https; http is for this machine only",
        ),
        (
            "gateway.url = \"https://api.checkout.com\"",
            "gateway.url = \"https://api.checkout.com\": is a live host, but installation.environment is sandbox",
        ),
        (
            "installation.environment = \"live\"\ngateway.url = \"https://api.sandbox.checkout.com\"",
            "gateway.url = \"https://api.sandbox.checkout.com\": is a sandbox host, but installation.environment is live",
        ),
        (
            "installation.environment = \"live\"\ngateway.url = \"http://127.0.0.1:8080\"",
            "gateway.url = \"http://127.0.0.1:8080\": must be https in environment live",
        ),
        (
            "installation.environment = \"live\"\nbudget.reads_per_second = \"unlimited\"",
            "budget.reads_per_second = \"unlimited\": must be a whole number from 1 to 10000, or \"unlimited\" in environment sandbox",
        ),
        (
            "gateway.success_url = \"shop.example\"",
            "gateway.success_url = \"shop.example\": must be an http or https address of at most 1024 characters, or empty",
        ),
        (
            "protocol.resend = \"same_key\"\nprotocol.settle_wait = \"90s\"",
            "protocol.settle_wait = \"90s\": must be below protocol.key_life less protocol.key_margin (90s) unless protocol.resend = \"never\"",
        ),
        (
            "protocol.lease = \"105s\"",
            "protocol.lease = \"105s\": must be above gateway.timeout and protocol.send_within together (105s)",
        ),
        ("protocol.key_margin = \"2m\"", "protocol.key_margin = \"2m\": must be below protocol.key_life (2m)"),
        (
            "[dunning.slow]\nfunds = []\nrefused = []",
            "dunning.slow.technical: is missing; it must be a list of waits from 1m to 90d, such as [\"2h\", \"1d\"]",
        ),
        (
            "dunning.standard.funds = [\"0d\"]",
            "dunning.standard.funds = [\"0d\"]: must be a list of waits from 1m to 90d, such as [\"2h\", \"1d\"]",
        ),
    ] {
        let faults = Case::named(text).faults();
        // Loosening resend in the sandbox makes two waits too long at once; the first is the one under test.
        assert_eq!(faults[0], format!("dues.toml: {line}"), "{text}");
        assert!(faults.len() == 1 || text.contains("same_key"), "{faults:#?}");
    }
}

#[test]
fn a_plan_is_checked_against_the_rest() {
    for (change, line) in [
        ("dunning = \"gentle\"", "plans.monthly.dunning = \"gentle\": names no dunning policy; there is: standard"),
        ("billing_hour = 24", "plans.monthly.billing_hour = 24: must be a whole number from 0 to 23"),
        (
            "catch_up = \"all\"",
            "plans.monthly.catch_up = \"all\": must be one of \"bill_all\", \"bill_latest\", \"skip\", \"hold\"",
        ),
        (
            "intervall_count = 2",
            "plans.monthly.intervall_count: is not a known key; did you mean plans.monthly.interval_count?",
        ),
        ("price = 2", "plans.monthly.price: is not a known key"),
    ] {
        assert_eq!(Case::named(&format!("{PLAN}{change}")).faults(), [format!("dues.toml: {line}")]);
    }
    for (from, to, line) in [
        ("12800", "5000001", "plans.monthly.amount_minor = 5000001: must be a whole number from 1 to 5000000"),
        ("12800", "128.00", "plans.monthly.amount_minor = 128: must be a whole number from 1 to 5000000"),
        ("HKD", "USD", "plans.monthly.currency = \"USD\": is not among currencies.accepted (HKD, SGD)"),
        (
            "monthly",
            "Monthly",
            "plans.Monthly: has a name that is not allowed: it must be 1 to 40 characters of a-z, 0-9, \"-\" and \"_\"",
        ),
        (
            "description = \"Membership\"",
            "",
            "plans.monthly.description: is missing; it must be 1 to 100 characters, none of them a control character",
        ),
    ] {
        assert_eq!(Case::named(&PLAN.replace(from, to)).faults(), [format!("dues.toml: {line}")]);
    }
    let dinars = format!("currencies.accepted = [\"KWD\"]\n{}", PLAN.replace("HKD", "KWD").replace("12800", "1285"));
    assert_eq!(
        Case::named(&dinars).faults(),
        ["dues.toml: plans.monthly.amount_minor = 1285: must end in 0, because the gateway takes KWD in steps of ten"]
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let case = Case::new("[engine]\nbatch = true\nbach = 1\n[installation]\nname = \"books\"")
        .drop_in("10-broken.toml", "[log]\nformat = \n")
        .environment("DUES__PROTOCOL__LEASE", "soon")
        .environment("DUES__HTPP__LISTEN", "127.0.0.1:1")
        .flag("circuit.failures", "-1");
    assert_eq!(
        case.faults(),
        [
            "dues.d/10-broken.toml: line 2, column 10: not valid TOML: string values must be quoted, expected literal string",
            "flag: circuit.failures = \"-1\": must be a whole number from 1 to 1000",
            "environment: protocol.lease = \"soon\": must be a duration from 1s to 1h, such as \"45s\" or \"2h\"",
            "dues.toml: engine.batch = true: must be a whole number from 1 to 10000",
            "dues.toml: engine.bach: is not a known key; did you mean engine.batch?",
            "environment: htpp: is not a known key; did you mean http?",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let mut case = Case::named("");
    case.sources.file = Some(case.directory.path().join("absent.toml"));
    let faults = case.flag("installation.name", "books").faults();
    assert_eq!(faults, ["absent.toml: cannot be read: No such file or directory (os error 2)"]);
}

#[test]
fn every_default_is_documented() {
    for text in [
        include_str!("../config/default.toml"),
        include_str!("../config/live.toml"),
        include_str!("../config/sandbox.toml"),
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
