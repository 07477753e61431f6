//! What a configuration is refused for: the exact lines that the operator reads.

use std::path::Path;

use dues::config::{self, Sources};

use super::{Case, PLAN};

/// Each wrong file, and the one line it gives.
#[test]
fn a_wrong_value_is_named_with_its_place_and_what_is_allowed() {
    for (text, line) in [
        ("protocol.leese = \"3m\"", "protocol.leese: is not a known key; did you mean protocol.lease?"),
        ("protocol.anything = 1", "protocol.anything: is not a known key"),
        ("[protocoll]\nlease = 1", "protocoll: is not a known key; did you mean protocol?"),
        ("engine.batch = true", "engine.batch = true: must be a whole number from 1 to 10000"),
        ("engine.batch = \"5\"", "engine.batch = \"5\": must be a whole number from 1 to 10000"),
        ("engine.batch = 5.0", "engine.batch = 5.0: must be a whole number from 1 to 10000"),
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
            "polls.first = [\"75s\", 3]: must be a list, each a duration from 0s to 1d, such as \"45s\" or \"2h\"",
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
            "schedule.bill = \"* * * * *\": must be a cron line of six fields, seconds first, that comes at some time, such as \"0 * * * * *\"",
        ),
        (
            "schedule.bill = \"61 * * * * *\"",
            "schedule.bill = \"61 * * * * *\": must be a cron line of six fields, seconds first, that comes at some time, such as \"0 * * * * *\"",
        ),
        (
            "schedule.bill = \"0 0 0 31 2 *\"",
            "schedule.bill = \"0 0 0 31 2 *\": must be a cron line of six fields, seconds first, that comes at some time, such as \"0 * * * * *\"",
        ),
        (
            "log.filter = \"inof,sqlx=warn\"",
            "log.filter = \"inof,sqlx=warn\": must be a level, and levels by module, such as \"info,sqlx=warn\"",
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
            "installation.environment = \"live\"\ngateway.processing_channel_id = \"pc_x\"\ngateway.url = \"https://api.sandbox.checkout.com\"",
            "gateway.url = \"https://api.sandbox.checkout.com\": is a sandbox host, but installation.environment is live",
        ),
        (
            "installation.environment = \"live\"\ngateway.processing_channel_id = \"pc_x\"\ngateway.url = \"http://127.0.0.1:8080\"",
            "gateway.url = \"http://127.0.0.1:8080\": must be https in environment live",
        ),
        (
            "installation.environment = \"live\"\ngateway.processing_channel_id = \"pc_x\"\nbudget.reads_per_second = \"unlimited\"",
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

/// Without a channel nothing pins the account, and every live key would do.
#[test]
fn live_names_its_channel() {
    let rule = "must be \"pc_...\" in environment live: it is pinned in the books, so that they take no other account's key; \
                the gateway's dashboard lists it under Settings, Processing channels";
    let key = "gateway.processing_channel_id";
    let live = "installation.environment = \"live\"";
    assert_eq!(Case::named(live).faults(), [format!("dues.toml: {key}: is not set; it {rule}")]);
    let emptied = Case::named(&format!("{live}\n{key} = \"\""));
    assert_eq!(emptied.faults(), [format!("dues.toml: {key} = \"\": {rule}")]);
    let by_flag = Case::named(&format!("{key} = \"pc_x\"")).flag("installation.environment", "live").flag(key, "");
    assert_eq!(by_flag.faults(), [format!("--set {key}=: {rule}")]);
    let malformed = Case::named(&format!("{live}\n{key} = \"channel\"")).faults();
    assert_eq!(malformed, [format!("dues.toml: {key} = \"channel\": {rule}")]);
    let unread = Case::named(live).drop_in("10-a.toml", "what is this").faults();
    assert!(unread.len() == 1 && !unread[0].contains(key), "the file that cannot be read may name it: {unread:#?}");
    Case::named("").loads();
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
        ("12800", "128.00", "plans.monthly.amount_minor = 128.0: must be a whole number from 1 to 5000000"),
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
            "--set circuit.failures=-1: must be a whole number from 1 to 1000",
            "DUES__PROTOCOL__LEASE: protocol.lease = \"soon\": must be a duration from 1s to 1h, such as \"45s\" or \"2h\"",
            "dues.toml: engine.batch = true: must be a whole number from 1 to 10000",
            "dues.toml: engine.bach: is not a known key; did you mean engine.batch?",
            "DUES__HTPP__LISTEN: htpp: is not a known key; did you mean DUES__HTTP__LISTEN?",
        ]
    );
}

#[test]
fn one_fault_makes_no_other_key_look_wrong() {
    for (text, key) in [
        ("installation.environment = \"prod\"\ngateway.url = \"https://api.checkout.com\"", "installation.environment"),
        ("limits.largest_charge_minor = \"much\"", "limits.largest_charge_minor"),
        ("currencies.accepted = \"HKD\"", "currencies.accepted"),
        ("protocol = 1", "protocol"),
        ("gateway = 1", "gateway"),
        ("dunning = 1", "dunning"),
        ("dunning.standard = 1", "dunning.standard"),
        ("protocol.key_life = 1", "protocol.key_life"),
        ("gateway.timeout = 1", "gateway.timeout"),
        ("gateway.url = 1", "gateway.url"),
    ] {
        let faults = Case::named(&format!("{text}\n{PLAN}")).faults();
        assert!(faults.len() == 1 && faults[0].starts_with(&format!("dues.toml: {key} = ")), "{text}: {faults:#?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let mut case = Case::named("");
    case.sources.file = Some(case.directory.path().join("absent.toml"));
    let faults = case.flag("installation.name", "books").faults();
    assert_eq!(faults, ["absent.toml: cannot be read: No such file or directory (os error 2)"]);
}

#[test]
fn a_variable_and_a_flag_are_named_as_they_were_written() {
    let variable = |name: &str, value: &str| Case::named("").environment(name, value).faults();
    let flag = |key: &str, value: &str| Case::named("").flag(key, value).faults();
    let range = "must be a whole number from 1 to 10000";
    assert_eq!(variable("DUES__ENGINE__BATCH", "0"), [format!("DUES__ENGINE__BATCH: engine.batch = \"0\": {range}")]);
    assert_eq!(flag("engine.batch", "0"), [format!("--set engine.batch=0: {range}")]);
    assert_eq!(
        variable("DUES__ENGINE__BACH", "200"),
        ["DUES__ENGINE__BACH: engine.bach: is not a known key; did you mean DUES__ENGINE__BATCH?"]
    );
    assert_eq!(flag("engine.bach", "200"), ["--set engine.bach: is not a known key; did you mean --set engine.batch?"]);
    assert_eq!(
        flag("engin.batch", "200"),
        ["--set engin.batch: engin: is not a known key; did you mean --set engine.batch?"]
    );
    // What disagrees with another key is named by its own place too.
    let faults = flag("protocol.lease", "105s");
    assert!(faults[0].starts_with("--set protocol.lease=105s: must be above gateway.timeout"), "{faults:#?}");
    // A value that may hold a password is shown nowhere.
    assert!(flag("database.url", "mysql://a:secret@b")[0].starts_with("--set database.url: must be \"sqlite:PATH\""));
}

#[test]
fn a_variable_with_one_underscore_too_few_is_refused() {
    let case = Case::named("").environment("DUES_ENGINE__BATCH", "200").environment("DUES_CONFIG", "dues.toml");
    assert_eq!(case.faults(), ["DUES_ENGINE__BATCH: sets nothing; did you mean DUES__ENGINE__BATCH?"]);
    // That the name is missing follows from it.
    let case = Case::new("").environment("DUES_INSTALLATION__NAME", "books");
    assert_eq!(case.faults(), ["DUES_INSTALLATION__NAME: sets nothing; did you mean DUES__INSTALLATION__NAME?"]);
}

#[test]
fn a_file_that_cannot_be_read_brings_no_second_fault() {
    let mut absent = Case::new("");
    absent.sources.file = Some(absent.directory.path().join("absent.toml"));
    assert_eq!(absent.faults(), ["absent.toml: cannot be read: No such file or directory (os error 2)"]);
    let broken = Case::new("[installation\nname = \"books\"").faults();
    assert!(broken.len() == 1 && broken[0].starts_with("dues.toml: line 1, column "), "{broken:#?}");
    // Name, environment, currencies, limits, policies and half a plan may all stand in the file that is broken.
    let rest = "[gateway]\nurl = \"https://api.checkout.com\"\n[budget]\nwrites_per_second = \"unlimited\"\n\
                [protocol]\nlease = \"10s\"\n[plans.half]\namount_minor = 6000000\n";
    let plan = PLAN.replace("HKD", "USD") + "dunning = \"gentle\"\n";
    let case = Case::new("x = ").drop_in("10-rest.toml", &format!("{rest}{plan}"));
    let faults = case.faults();
    assert!(faults.len() == 1 && faults[0].starts_with("dues.toml: line 1"), "{faults:#?}");
    // What is wrong by itself is told all the same.
    let case = case.drop_in("20-wrong.toml", "engine.batch = true");
    assert_eq!(
        case.faults()[1..],
        ["dues.d/20-wrong.toml: engine.batch = true: must be a whole number from 1 to 10000"]
    );
}

#[test]
fn without_any_file_the_file_is_what_is_missing() {
    if Path::new("/etc/dues").exists() {
        // Here dues is installed, and its own config would be read.
        return;
    }
    let flag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let missing = "no config file: /etc/dues/dues.toml is not there; write it, or name one with --config";
    let mut sources = Sources::default();
    assert_eq!(config::load(&sources).unwrap_err().to_string(), missing);
    sources.flags.push(flag("engine.batch", "0"));
    let faults = config::load(&sources).unwrap_err().to_string();
    assert_eq!(faults, format!("{missing}\n--set engine.batch=0: must be a whole number from 1 to 10000"));
    sources.flags = vec![flag("installation.name", "books")];
    assert_eq!(config::load(&sources).unwrap().settings.installation.name, "books");
}

#[test]
fn a_wrong_environment_or_list_of_currencies_hides_no_other_fault() {
    let form = "must be http:// or https://, a host and perhaps a port, without a user or a path";
    for (url, shown) in [
        ("ftp://api.checkout.com", " = \"ftp://api.checkout.com\""),
        ("api.checkout.com", " = \"api.checkout.com\""),
        ("https://api.checkout.com/payments", " = \"https://api.checkout.com/payments\""),
        ("https://me:secret@api.checkout.com", ""),
    ] {
        let case = Case::named(&format!("installation.environment = \"prod\"\ngateway.url = \"{url}\""));
        let faults = case.faults();
        assert!(faults.len() == 2 && faults[0].contains("installation.environment"), "{faults:#?}");
        assert!(faults[1].starts_with(&format!("dues.toml: gateway.url{shown}: {form}")), "{faults:#?}");
    }
    for accepted in ["currencies.accepted = [\"hkd\"]", "currencies.accepted = []", "currencies = 1"] {
        let faults = Case::named(&format!("{accepted}\n{}", PLAN.replace("HKD", "XYZ"))).faults();
        let told = "dues.toml: plans.monthly.currency = \"XYZ\": must be an ISO 4217 code in capitals, such as \"HKD\"";
        assert!(faults.len() == 2 && faults.contains(&told.to_owned()), "{faults:#?}");
    }
}

#[test]
fn a_secret_key_in_a_config_is_answered_and_never_shown() {
    let told = "the key never stands in a config; write it into a file of its own and name that in \
                gateway.secret_key_file; replace the key where others could read it here";
    for value in ["sk_sbox_canary", "canary"] {
        let file = Case::named(&format!("gateway.secret_key = \"{value}\"")).faults();
        assert_eq!(file, [format!("dues.toml: gateway.secret_key: {told}")]);
        let variable = Case::named("").environment("DUES__GATEWAY__SECRET_KEY", value).faults();
        assert_eq!(variable, [format!("DUES__GATEWAY__SECRET_KEY: gateway.secret_key: {told}")]);
        let flag = Case::named("").flag("gateway.secret_key", value).faults();
        assert_eq!(flag, [format!("--set gateway.secret_key: {told}")]);
    }
}

#[test]
fn a_variable_that_gives_a_section_a_value_is_told_beside_whatever_sets_a_key_in_it() {
    let both = [
        "DUES__ENGINE: engine is a section with keys of its own, of which DUES__ENGINE__BATCHH sets one".to_owned(),
        "DUES__ENGINE__BATCHH: engine.batchh: is not a known key; did you mean DUES__ENGINE__BATCH?".to_owned(),
    ];
    let (section, key) = (("DUES__ENGINE", "7"), ("DUES__ENGINE__BATCHH", "4"));
    for [first, second] in [[section, key], [key, section]] {
        let case = Case::named("").environment(first.0, first.1).environment(second.0, second.1);
        assert_eq!(case.faults(), both, "{first:?} first");
    }
}

#[test]
fn of_a_list_the_wrong_items_are_named() {
    let faults = Case::named("[currencies]\naccepted = [\"HKD\", \"XXQ\", \"ZZZ\"]").faults();
    assert!(faults[0].ends_with("; \"XXQ\", \"ZZZ\" are none of them"), "{faults:?}");
    let faults = Case::named("[polls]\nfirst = [\"75s\", \"soon\"]").faults();
    assert!(faults[0].ends_with("; \"soon\" is none of them"), "{faults:?}");
}
