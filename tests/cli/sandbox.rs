//! `dues sandbox` as a process: what it prints first, what it serves, what it refuses, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::shop::{Shop, said};

/// A running sandbox, killed when the test is over however it ends.
pub struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub fn start(shop: &Shop, arguments: &[&str]) -> Running {
        let all = [&["sandbox", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut child = shop.bare(&all).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Running { child, out }
    }

    pub fn first_line(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Sends a signal by name; the rest of its output, and its exit code.
    fn end(mut self, name: &str) -> (String, Option<i32>) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

/// What a GET answers, head and body.
pub fn get(url: &str, path: &str) -> String {
    ask(url, "GET", path, &[], "")
}

/// What a request answers, head and body.
pub fn ask(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    try_to_ask(url, method, path, headers, body).unwrap()
}

fn try_to_ask(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<String> {
    let mut line = TcpStream::connect(url.trim_start_matches("http://"))?;
    line.set_read_timeout(Some(Duration::from_secs(10)))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nContent-Length: {length}\r\n");
    write!(line, "{head}{headers}\r\n{body}")?;
    let mut answer = String::new();
    line.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn it_tells_its_url_serves_its_books_and_ends_on_both_signals() {
    let shop = Shop::without_books();
    for name in ["TERM", "INT"] {
        let mut running = Running::start(&shop, &["--json", "--quiet"]);
        let told = running.first_line();
        let url = told["url"].as_str().unwrap().to_owned();
        assert!(!url.ends_with(":0"), "the real port is told: {url}");
        assert_eq!(told["secret_key"], "sk_sbox_simulated");
        assert!(get(&url, "/sandbox/books/summary").contains("\"payments\":0"));
        assert!(get(&url, "/payments/pay_nothing").starts_with("HTTP/1.1 401"), "a key is asked for");
        assert_eq!(running.end(name), (String::new(), Some(0)));
    }
}

#[test]
fn it_tells_people_where_everything_is() {
    let shop = Shop::without_books();
    shop.write("key", "sk_sbox_of_a_file\n");
    shop.write(
        "rules.toml",
        "[[rule]]\nname = \"empty\"\nsource = \"src_a\"\noutcome = \"decline\"\ncode = \"20051\"\n",
    );
    let (key, rules) = (shop.path("key"), shop.path("rules.toml"));
    let (key, rules) = (key.to_str().unwrap(), rules.to_str().unwrap());
    let mut running = Running::start(&shop, &["--secret-key-file", key, "--script", rules, "--seed", "7"]);
    let mut told = String::new();
    while !told.contains("seed") {
        assert_ne!(running.out.read_line(&mut told).unwrap(), 0, "{told}");
    }
    for text in ["SIMULATED", "gateway.url", "/pay/PAYMENT_ID", "/sandbox/books/summary", key] {
        assert!(told.contains(text), "{text:?} is missing in\n{told}");
    }
    assert!(!told.contains("sk_sbox_of_a_file"), "a key of the operator's own is not printed");
    assert_eq!(running.end("TERM"), ("stopped after 0 payments\n".to_owned(), Some(0)));
}

#[test]
fn it_refuses_what_is_not_loopback_and_what_it_cannot_read() {
    let shop = Shop::without_books();
    shop.write("rules.toml", "[[rule]]\nname = \"odd\"\noutcome = \"explode\"\n");
    shop.write("empty", "\n");
    shop.write("torn.toml", "[[rule]\nname = 1\n");
    let torn = shop.path("torn.toml");
    let (rules, empty) = (shop.path("rules.toml"), shop.path("empty"));
    shop.write("damaged", "{\"version\": 1, \"paym");
    let (damaged, missing) = (shop.path("damaged"), shop.path("missing/state.json"));
    shop.write("token", "tok_of_a_file\n");
    let linkless = said(&mut shop.bare(&["sandbox", "--listen", "0.0.0.0:0", "--control-token-file", "token"]));
    assert!(linkless.code == 1 && linkless.err.contains("--public-url"));
    for (arguments, told) in [
        (["--state", damaged.to_str().unwrap()], "was damaged"),
        (["--state", missing.to_str().unwrap()], "cannot be read"),
        (["--control-token-file", empty.to_str().unwrap()], "holds no control token"),
        (["--listen", "0.0.0.0:0"], "loopback only"),
        (["--listen", "[::]:0"], "loopback only"),
        (["--script", "no-such-file"], "no-such-file cannot be read"),
        (["--script", rules.to_str().unwrap()], "\"odd\""),
        (["--script", torn.to_str().unwrap()], "is no script"),
        (["--secret-key-file", empty.to_str().unwrap()], "holds no secret key"),
    ] {
        let said = said(&mut shop.bare(&[&["sandbox"], &arguments[..]].concat()));
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(said.err.contains(told), "{told:?} is missing in {}", said.err);
        assert!(!said.err.ends_with("\n\n"), "an empty line at its end: {:?}", said.err);
    }
}

const KEY: (&str, &str) = ("Authorization", "Bearer sk_sbox_simulated");

/// A charge on an imported source; the answer's body.
fn charge(url: &str, key: &str) -> String {
    let body = json!({
        "source": {"type": "id", "id": "src_imported"},
        "amount": 1100,
        "currency": "HKD",
        "payment_type": "Recurring",
        "reference": key,
    });
    let answer = ask(url, "POST", "/payments", &[KEY, ("Cko-Idempotency-Key", key)], &body.to_string());
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    body_of(&answer)
}

pub fn body_of(answer: &str) -> String {
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn its_state_survives_a_stop_and_a_kill() {
    let shop = Shop::without_books();
    let state = shop.path("state.json");
    let arguments = ["--json", "--quiet", "--settle-after", "0s", "--state", state.to_str().unwrap()];
    let mut answers: Vec<(String, String)> = Vec::new();
    for (run, signal) in [(0, "TERM"), (1, "KILL"), (2, "INT")] {
        let mut running = Running::start(&shop, &arguments);
        let told = running.first_line();
        let url = told["url"].as_str().unwrap();
        assert_eq!(told["payments"], answers.len(), "{told}");
        let taken = said(&mut shop.bare(&[&["sandbox", "--listen", "127.0.0.1:0"], &arguments[..]].concat()));
        assert!(taken.code == 1 && taken.err.contains("belongs to another sandbox"), "{taken:?}");
        for (key, answer) in &answers {
            assert_eq!(&charge(url, key), answer, "the same answer to the same key");
            let found = body_of(&ask(url, "GET", &format!("/payments?reference={key}"), &[KEY], ""));
            let found: Value = serde_json::from_str(&found).unwrap();
            let id = serde_json::from_str::<Value>(answer).unwrap()["id"].clone();
            assert_eq!((&found["total_count"], &found["data"][0]["id"]), (&json!(1), &id));
            assert_eq!(found["data"][0]["status"], "Captured");
        }
        for number in 0..3 {
            let key = format!("run{run}_{number}");
            answers.push((key.clone(), charge(url, &key)));
        }
        if signal == "KILL" {
            // A kill loses what was not written yet: within a second or two it is.
            let last = answers.last().unwrap().0.clone();
            let is_written = || std::fs::read_to_string(&state).unwrap().contains(&last);
            let written = (0..200).any(|_| {
                is_written() || {
                    std::thread::sleep(Duration::from_millis(50));
                    false
                }
            });
            assert!(written, "the state was not written within ten seconds");
        }
        running.end(signal);
    }
}

#[test]
fn it_is_controlled_from_beyond_loopback_only_with_a_token() {
    let shop = Shop::without_books();
    shop.write("token", "tok_of_a_file\n");
    let token = shop.path("token");
    let arguments = ["--json", "--quiet", "--listen", "0.0.0.0:0", "--control-token-file", token.to_str().unwrap()];
    let public = ["--public-url", "http://gateway.example:8460/", "--merchant-name", "Harbour Gym"];
    let mut child =
        shop.bare(&[&["sandbox"], &arguments[..], &public[..]].concat()).stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut running = Running { child, out };
    let told = running.first_line();
    assert_eq!((&told["url"], told["listens"].is_string()), (&json!("http://gateway.example:8460"), true));
    let url = told["listens"].as_str().unwrap().replace("0.0.0.0", "127.0.0.1");
    for path in ["/sandbox/state", "/sandbox/books", "/sandbox/nothing"] {
        assert!(get(&url, path).starts_with("HTTP/1.1 401"), "{path}");
    }
    let state = ask(&url, "GET", "/sandbox/state", &[("Authorization", "Bearer tok_of_a_file")], "");
    assert!(state.starts_with("HTTP/1.1 200") && state.contains("Harbour Gym"), "{state}");
    assert!(!told.to_string().contains("tok_of_a_file"));
    assert_eq!(running.end("TERM"), (String::new(), Some(0)));
}

#[test]
fn it_ends_where_its_state_cannot_be_kept() {
    let shop = Shop::without_books();
    let directory = shop.path("kept");
    std::fs::create_dir(&directory).unwrap();
    let state = directory.join("state.json");
    let mut running = Running::start(&shop, &["--json", "--quiet", "--state", state.to_str().unwrap()]);
    let url = running.first_line()["url"].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(&directory).unwrap();
    // It may end before it has answered.
    let _answer = try_to_ask(&url, "POST", "/sandbox/sources/src_a/revoke", &[], r#"{"imported": true}"#);
    let ended = (0..200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        running.child.try_wait().unwrap()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "a stand-in that forgets is none");
}
