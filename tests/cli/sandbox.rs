//! `dues sandbox` as a process: what it prints first, what it serves, what it refuses, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

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
fn get(url: &str, path: &str) -> String {
    let mut line = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    line.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(line, "GET {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    answer
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
    let (rules, empty) = (shop.path("rules.toml"), shop.path("empty"));
    for (arguments, told) in [
        (["--listen", "0.0.0.0:0"], "loopback only"),
        (["--listen", "[::]:0"], "loopback only"),
        (["--script", "no-such-file"], "no-such-file cannot be read"),
        (["--script", rules.to_str().unwrap()], "\"odd\""),
        (["--secret-key-file", empty.to_str().unwrap()], "holds no secret key"),
    ] {
        let said = said(&mut shop.bare(&[&["sandbox"], &arguments[..]].concat()));
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(said.err.contains(told), "{told:?} is missing in {}", said.err);
    }
}
