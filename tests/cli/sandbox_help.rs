//! `dues sandbox --help` as a shop's developer uses it: nothing in it is broken on a small screen, its commands work as they stand,
//! and it names all that a script may say.

use dues::sandbox::{Script, ScriptError};
use serde_json::Value;

use crate::sandbox::{Running, ask, body_of};
use crate::shop::{Shop, said};

/// The widest line: a screen of 80 columns with a margin.
const WIDEST: usize = 78;
/// The text as it is written.
const WRITTEN: &str = include_str!("../../src/interfaces/cli/sandbox_help.txt");

/// A `curl` command.
#[derive(Debug, Default)]
struct Curl {
    method: Option<String>,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn help() -> String {
    let said = said(&mut Shop::without_books().bare(&["sandbox", "--help"]));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    said.out
}

/// Every `curl` command of a text, as a shell reads it.
fn curls(text: &str) -> Vec<Curl> {
    let mut lines = text.lines();
    let mut curls = Vec::new();
    while let Some(line) = lines.next() {
        if !line.starts_with("  curl ") {
            continue;
        }
        let mut command = line.to_owned();
        while command.ends_with('\\') || command.matches('\'').count() % 2 == 1 {
            let end = command.trim_end_matches('\\').len();
            command.truncate(end);
            command.push('\n');
            command.push_str(lines.next().expect("the command ends"));
        }
        curls.push(curl(&command));
    }
    curls
}

fn curl(command: &str) -> Curl {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    let mut curl = Curl::default();
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("the option has a value");
        match word.as_str() {
            "-X" => curl.method = Some(value()),
            "-d" => curl.body = value(),
            "-H" => {
                let header = value();
                let (name, value) = header.split_once(": ").unwrap();
                curl.headers.push((name.to_owned(), value.to_owned()));
            }
            _ => curl.url = word,
        }
    }
    curl
}

#[test]
fn it_fits_a_small_screen_as_it_is_written() {
    let help = help();
    for line in WRITTEN.lines() {
        assert!(line.chars().count() <= WIDEST, "{} columns: {line}", line.chars().count());
        assert!(help.lines().any(|it| it == line), "this line is broken: {line}");
    }
}

#[test]
fn its_commands_make_a_first_payment_a_later_one_and_a_refund() {
    let shop = Shop::without_books();
    let mut sandbox = Running::start(&shop, &["--json", "--quiet", "--settle-after", "0s"]);
    let url = sandbox.first_line()["url"].as_str().unwrap().to_owned();
    let (mut payment, mut source) = (String::new(), String::new());
    let mut told: Vec<(String, Value)> = Vec::new();
    for curl in curls(&help()) {
        let fill = |text: &str| {
            let text = text.replace("http://127.0.0.1:8460", &url);
            text.replace("pay_...", &payment).replace("src_...", &source)
        };
        let path = fill(&curl.url).trim_start_matches(&url).to_owned();
        let method = curl.method.as_deref().unwrap_or(if curl.body.is_empty() { "GET" } else { "POST" });
        let headers: Vec<(&str, &str)> =
            curl.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = ask(&url, method, &path, &headers, &fill(&curl.body));
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
        let body: Value = serde_json::from_str(&body_of(&answer)).unwrap();
        if body["_links"]["redirect"].is_object() {
            (payment, source) =
                (body["id"].as_str().unwrap().to_owned(), body["source"]["id"].as_str().unwrap().to_owned());
        }
        told.push((format!("{method} {path}"), body));
    }
    let path = |path: &str| path.replace("PAY", &payment).replace("SRC", &source);
    let answer = |wanted: &str| {
        let found = told.iter().find(|(asked, _)| *asked == path(wanted));
        found.unwrap_or_else(|| panic!("{wanted} is not among the commands")).1.clone()
    };
    assert_eq!(answer("POST /payments")["status"], "Pending");
    assert_eq!(answer("POST /sandbox/payments/PAY/approve")["status"], "Captured");
    assert_eq!(answer("GET /payments/PAY")["status"], "Captured");
    assert_eq!(answer("GET /payments/PAY/actions")[0]["response_code"], "10000");
    let listed = answer("GET /payments?reference=ORD-1-2");
    assert_eq!((&listed["total_count"], &listed["data"][0]["status"]), (&1.into(), &"Captured".into()));
    assert!(answer("POST /payments/PAY/refunds")["action_id"].as_str().unwrap().starts_with("act_"));
    let summary = answer("GET /sandbox/books/summary");
    assert_eq!((&summary["payments"], &summary["unknown_fields"]), (&2.into(), &0.into()), "{summary}");
    assert_eq!(answer("POST /sandbox/unauthorised")["unauthorised"], true);
    assert_eq!(answer("POST /sandbox/script")["rules"].as_array().unwrap().len(), 1);
}

/// The words that the reader of scripts would have allowed where this one stands.
fn allowed_instead_of(rule: &str) -> Vec<String> {
    let error = Script::from_toml(&format!("[[rule]]\n{rule}\n")).unwrap_err();
    let ScriptError::NotARule { source, .. } = error else { panic!("{rule}: {error:?}") };
    let text = source.to_string();
    let (_, allowed) = text.split_once("expected").unwrap_or_else(|| panic!("{text}"));
    let allowed = allowed.lines().next().unwrap_or_default();
    allowed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn it_names_every_key_and_every_word_of_a_script() {
    let (_, scripts) = WRITTEN.split_once("A script is a TOML file").unwrap();
    let (scripts, _) = scripts.split_once("Examples:").unwrap();
    let keys = allowed_instead_of("no_such_key = 1");
    assert!(keys.len() > 20, "{keys:?}");
    let words: Vec<&str> = scripts.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).collect();
    for key in keys {
        assert!(words.contains(&key.as_str()), "the key {key} is not in the help");
    }
    for key in ["outcome", "fault", "on"] {
        let allowed = allowed_instead_of(&format!("{key} = \"none_such\""));
        assert!(allowed.len() > 2, "{allowed:?}");
        for word in allowed {
            assert!(scripts.contains(&format!("\"{word}\"")), "{key} = \"{word}\" is not in the help");
        }
    }
}

#[test]
fn what_it_says_of_required_fields_is_so() {
    let shop = Shop::without_books();
    let mut sandbox = Running::start(&shop, &["--json", "--quiet", "--settle-after", "0s"]);
    let url = sandbox.first_line()["url"].as_str().unwrap().to_owned();
    let first = curls(WRITTEN).into_iter().find(|it| it.body.contains("alipay_hk")).unwrap();
    let whole: Value = serde_json::from_str(&first.body).unwrap();
    let optional = ["processing_channel_id", "processing", "payment_type"];
    let key = ("Authorization", "Bearer sk_sbox_simulated");
    for field in whole.as_object().unwrap().keys() {
        let mut less = whole.clone();
        less.as_object_mut().unwrap().remove(field);
        let answer = ask(&url, "POST", "/payments", &[key], &less.to_string());
        if optional.contains(&field.as_str()) {
            assert!(answer.starts_with("HTTP/1.1 202"), "{field}: {answer}");
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 422"), "{field}: {answer}");
        let refused: Value = serde_json::from_str(&body_of(&answer)).unwrap();
        assert_eq!(refused["error_type"], "request_invalid", "{refused}");
        let (required, _) = WRITTEN.split_once("What it may have").unwrap();
        assert!(required.contains(field.as_str()), "{field} is not told to be required");
    }
}
