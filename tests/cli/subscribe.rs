//! `dues subscribe` against a sandbox: links, ends, interruptions and a gateway that keeps silent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use dues::clock::Clock;
use dues::store::fences::NewFence;
use dues::store::{DatabaseUrl, Store};
use serde_json::Value;

use crate::sandbox::{Running, get};
use crate::shop::{Said, Shop, said};
use crate::support::world::{BOTH, empty_books};

/// A shop whose first payments are made at this gateway.
pub struct Counter {
    pub shop: Shop,
    gateway: String,
}

impl Counter {
    pub fn at(gateway: &str) -> Counter {
        let shop = Shop::without_books();
        assert_eq!(shop.dues(&["migrate"]).code, 0);
        Counter { shop, gateway: gateway.to_owned() }
    }

    /// The gateway's URL.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let gateway = format!("gateway.url={}", self.gateway);
        let flags = [
            "installation.environment=sandbox",
            gateway.as_str(),
            "gateway.success_url=https://example.com/thanks",
            "gateway.failure_url=https://example.com/sorry",
        ];
        let mut all = vec!["subscribe"];
        all.extend(flags.iter().flat_map(|flag| ["--set", flag]));
        all.extend(arguments);
        let mut command = self.shop.command(&all);
        command.env("DUES_SECRET_KEY", "sk_sbox_simulated");
        command
    }

    fn subscribe(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// Subscribes without waiting for the customer; the link.
    pub fn link(&self, reference: &str) -> String {
        let said = self.subscribe(&["--reference", reference, "--plan", "monthly", "--wait-minutes", "0", "--json"]);
        assert_eq!(said.code, 3, "{said:?}");
        let first: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
        first["redirect_url"].as_str().unwrap().to_owned()
    }
}

/// A `dues subscribe` that waits, killed when the test is over however it ends.
pub struct Waiting {
    pub child: Child,
    pub out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Waiting {
    pub fn start(mut command: Command) -> Waiting {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Waiting { child, out: BufReader::new(out), err: BufReader::new(err) }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// The rest of its output, and its exit code.
    pub fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

/// The customer presses a button on the wallet's page.
pub fn press(link: &str, action: &str) {
    let (host, path) = link.trim_start_matches("http://").split_once('/').unwrap();
    let body = format!("action={action}");
    let mut line = TcpStream::connect(host).unwrap();
    write!(
        line,
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_books_are_held_it_is_said_that_nothing_was_sent_and_why() {
    let shop = Shop::without_books();
    let mut sandbox = Running::start(&shop, &["--json", "--quiet"]);
    let counter = Counter::at(sandbox.first_line()["url"].as_str().unwrap());
    drop(counter.link("ORD-0"));
    let url = DatabaseUrl::parse(counter.shop.url()).unwrap();
    let store = Store::open(&url, 1, Duration::from_secs(5), Clock::system()).await.unwrap();
    let mut tx = store.begin("test").await.unwrap();
    let now = tx.now().await.unwrap();
    let fence = NewFence { reason: "rewound", detail: "set back in time".to_owned(), lost_sends: 1, holds: true };
    tx.raise_fence(&fence, "one", now).await.unwrap();
    tx.commit().await.unwrap();
    let said = counter.subscribe(&["--reference", "ORD-1", "--plan", "monthly", "--wait-minutes", "1"]);
    let told = "dues: nothing was sent: these books are held (rewound); `dues ledger show` says what to look at";
    assert!(said.code == 1 && said.err.contains(told) && said.out.is_empty(), "{said:?}");
    assert!(get(counter.gateway(), "/sandbox/books/summary").contains("\"payments\":1"));
    let mut tx = store.begin("test").await.unwrap();
    tx.acknowledge_fences("tester", "looked at", now).await.unwrap();
    tx.commit().await.unwrap();
    let said = counter.subscribe(&["--reference", "ORD-1", "--resume", "--wait-minutes", "0", "--json"]);
    assert!(said.code == 3 && said.out.contains("redirect_url"), "{said:?}");
}

#[test]
fn a_signal_ends_the_wait_and_the_link_stays_good() {
    let shop = Shop::without_books();
    let mut sandbox = Running::start(&shop, &["--json", "--quiet"]);
    let counter = Counter::at(sandbox.first_line()["url"].as_str().unwrap());
    for name in ["TERM", "INT"] {
        for json in [true, false] {
            let reference = format!("ORD-{name}-{json}");
            let mut arguments = vec!["--reference", &reference, "--plan", "monthly"];
            arguments.extend(json.then_some("--json"));
            let mut waiting = Waiting::start(counter.command(&arguments));
            let mut told = String::new();
            while !told.contains("/pay/") {
                assert_ne!(waiting.out.read_line(&mut told).unwrap(), 0, "{told}");
            }
            waiting.signal(name);
            let (rest, code) = waiting.end();
            assert_eq!(code, Some(3), "{name}: {rest}");
            if json {
                let last: Value = serde_json::from_str(&rest).unwrap();
                assert_eq!(last["state"], "waiting", "{rest}");
                assert!(told.contains(last["redirect_url"].as_str().unwrap()), "{rest}");
            } else {
                assert!(rest.contains("still waits for the customer; the link stays good until the gateway lets it expire. Go on with: "), "{rest}");
            }
        }
    }
}

#[test]
fn who_goes_on_is_told_the_end_and_the_link_only_while_it_is_of_use() {
    let shop = Shop::without_books();
    let mut sandbox = Running::start(&shop, &["--json", "--quiet"]);
    let counter = Counter::at(sandbox.first_line()["url"].as_str().unwrap());
    let resume = |reference| counter.subscribe(&["--reference", reference, "--resume", "--wait-minutes", "0"]);
    let again = |reference| counter.subscribe(&["--reference", reference, "--plan", "monthly"]);

    let link = counter.link("ORD-1");
    let pending = resume("ORD-1");
    assert!(pending.code == 3 && pending.out.contains(&link), "{pending:?}");
    assert!(again("ORD-1").err.contains("--resume goes on waiting"), "{:?}", again("ORD-1"));
    press(&link, "pay");
    let active = resume("ORD-1");
    assert!(active.code == 0 && active.out.contains("is active: the first payment was captured"), "{active:?}");
    assert!(!active.out.contains("/pay/"), "{active:?}");
    let taken = again("ORD-1");
    assert!(taken.code == 1 && taken.err.contains("`dues subscription show ORD-1`"), "{taken:?}");
    assert!(!taken.err.contains("--resume"), "{taken:?}");

    press(&counter.link("ORD-2"), "decline");
    // Found out by the one that goes on, and still known to the next.
    for _ in 0..2 {
        let declined = resume("ORD-2");
        let told = ": the first payment was declined; nothing was charged. Begin again with a new --reference.\n";
        assert!(declined.code == 1 && declined.out.ends_with(told), "{declined:?}");
        assert!(!declined.out.contains("/pay/"), "{declined:?}");
    }
    for report in ["due", "open", "unpaid", "chase", "lost"] {
        let told = counter.shop.json(&["report", report]);
        // What was paid fell due, and nothing else stands in any of them.
        assert_eq!(told.as_array().map(Vec::len), Some(usize::from(report == "due")), "{report}: {told}");
    }
    let charges = counter.shop.json(&["report", "charges"]);
    let checkouts: Vec<_> = charges.as_array().unwrap().iter().map(|it| (&it["state"], &it["checkout"])).collect();
    assert_eq!(checkouts, [(&"paid".into(), &0.into()), (&"uncollectible".into(), &1.into())], "{charges}");
    let taken = again("ORD-2");
    assert!(taken.code == 1 && taken.err.contains("declined: begin again with a new --reference"), "{taken:?}");
    assert!(!taken.err.contains("--resume"), "{taken:?}");
}

#[test]
fn a_first_period_that_is_over_is_refused_before_anything_is_made() {
    let shop = Shop::without_books();
    let mut sandbox = Running::start(&shop, &["--json", "--quiet"]);
    let counter = Counter::at(sandbox.first_line()["url"].as_str().unwrap());
    for (anchor_on, told) in
        [("2020-01-31", "the first period from 2020-01-31 on is over"), ("2199-01-01", "more than 1 month")]
    {
        let said = counter.subscribe(&["--reference", "ORD-1", "--plan", "monthly", "--anchor-on", anchor_on]);
        assert!((said.code, said.out.as_str()) == (1, "") && said.err.contains(told), "{said:?}");
    }
    assert_eq!(counter.shop.dues(&["subscription", "list"]).out, "none\n");
}

/// A counter at a running sandbox, on books of each kind.
fn counters(sandbox: &mut Running, directory: &tempfile::TempDir) -> [Counter; BOTH.len()] {
    let url = sandbox.first_line()["url"].as_str().unwrap().to_owned();
    BOTH.map(|on| {
        let mut counter = Counter::at(&url);
        counter.shop.use_books(&empty_books(on, directory));
        assert_eq!(counter.shop.dues(&["migrate"]).code, 0);
        counter
    })
}

#[test]
fn a_second_first_payment_of_a_customer_and_plan_is_made_only_where_it_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    let mut sandbox = Running::start(&Shop::without_books(), &["--json", "--quiet"]);
    for (place, counter) in counters(&mut sandbox, &directory).iter().enumerate() {
        let name = |order: &str| format!("{order}-{place}");
        let begin = |order: &str, more: &[&str]| {
            let reference = name(order);
            let own = ["--reference", &reference, "--plan", "monthly", "--wait-minutes", "0"];
            counter.subscribe(&[&own, more].concat())
        };
        let email = ["--customer-email", "wallet@example.com"];
        let first = begin("ORD-1", &email);
        assert_eq!(first.code, 3, "{first:?}");
        let second = begin("ORD-2", &email);
        assert!(second.code == 1 && second.out.is_empty(), "{second:?}");
        let told = format!("already, {:?} (incomplete); see", name("ORD-1"));
        assert!(
            second.err.contains(&told) && second.err.contains("--resume` goes on with it, or say --another"),
            "{second:?}"
        );
        assert!(!second.err.contains("wallet@example.com"), "{second:?}");
        let link = first.out.lines().find(|line| line.contains("/pay/")).unwrap().trim().to_owned();
        press(&link, "pay");
        let resumed = counter.subscribe(&["--reference", &name("ORD-1"), "--resume", "--wait-minutes", "0"]);
        assert_eq!(resumed.code, 0, "{resumed:?}");
        let second = begin("ORD-2", &email);
        assert!(second.code == 1 && second.err.contains("(active)") && !second.err.contains("--resume"), "{second:?}");
        let list = counter.shop.dues(&["subscription", "list"]).out;
        assert!(list.contains(&name("ORD-1")) && !list.contains(&name("ORD-2")), "{list}");
        assert_eq!(begin("ORD-2", &[&email[..], &["--another"]].concat()).code, 3);

        // A declined one stands in nobody's way.
        let own = ["--customer-reference", "C-1"];
        let declined = begin("ORD-3", &own);
        press(declined.out.lines().find(|line| line.contains("/pay/")).unwrap().trim(), "decline");
        assert_eq!(counter.subscribe(&["--reference", &name("ORD-3"), "--resume", "--wait-minutes", "0"]).code, 1);
        assert_eq!(begin("ORD-4", &own).code, 3);
    }
}

#[test]
fn of_two_that_begin_at_once_for_one_customer_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut sandbox = Running::start(&Shop::without_books(), &["--json", "--quiet"]);
    for counter in counters(&mut sandbox, &directory) {
        assert_eq!(counter.shop.dues(&["migrate"]).code, 0);
        let begin = |order: &str| {
            let own = ["--plan", "monthly", "--wait-minutes", "0", "--customer-reference", "C-1", "--reference", order];
            counter.command(&own).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let children = ["ORD-1", "ORD-2", "ORD-3"].map(begin);
        let mut codes = children.map(|mut child| child.wait().unwrap().code());
        codes.sort_unstable();
        assert_eq!(codes, [Some(1), Some(1), Some(3)]);
    }
}

#[test]
fn of_two_that_go_on_with_one_payment_one_is_told_that_the_other_does() {
    let directory = tempfile::tempdir().unwrap();
    let mut sandbox = Running::start(&Shop::without_books(), &["--json", "--quiet"]);
    for (place, counter) in counters(&mut sandbox, &directory).iter().enumerate() {
        // Books of their own at one gateway: the second would find the payment of the first under an equal reference.
        let reference = format!("ORD-{place}");
        let link = counter.link(&reference);
        let resume = ["--reference", &reference, "--resume"];
        let mut waiting = Waiting::start(counter.command(&resume));
        let mut told = String::new();
        while !told.contains(&link) {
            assert_ne!(waiting.out.read_line(&mut told).unwrap(), 0, "{told}");
        }
        let other = counter.subscribe(&resume);
        assert!(other.code == 1 && other.out.is_empty(), "{other:?}");
        let told = format!("another `dues subscribe` waits for the first payment of {reference:?}");
        assert!(other.err.contains(&told), "{other:?}");
        assert!(other.err.contains(&link), "{other:?}");
        waiting.signal("TERM");
        assert_eq!(waiting.end().1, Some(3));
        let after = counter.subscribe(&[&resume[..], &["--wait-minutes", "0"]].concat());
        assert_eq!(after.code, 3, "{after:?}");
    }
}

/// A gateway that answers questions, with an empty list, and is silent whenever money is asked for.
fn silent_to_writes() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            if !line.starts_with("GET ") {
                held.push(stream);
                continue;
            }
            let mut rest = String::new();
            while stream.read_line(&mut rest).is_ok_and(|read| read > 2) {}
            let date = dues::clock::Clock::system().now().to_rfc2822();
            let body = r#"{"limit":100,"skip":0,"total_count":0,"data":[]}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\nConnection: close\r\n");
            write!(stream.get_mut(), "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    url
}

#[test]
fn a_gateway_that_falls_silent_is_told_of_and_can_be_left() {
    let counter = Counter::at(&silent_to_writes());
    let mut waiting = Waiting::start(counter.command(&["--reference", "ORD-1", "--plan", "monthly", "--json"]));
    let mut told = String::new();
    waiting.err.read_line(&mut told).unwrap();
    assert_eq!(told, "dues: the gateway has not answered yet; dues goes on trying, Ctrl-C ends the wait\n");
    waiting.signal("TERM");
    waiting.err.read_line(&mut told).unwrap();
    assert!(told.ends_with("an answer of the gateway is awaited; a second signal ends the wait at once, and a link in that answer is lost\n"), "{told}");
    waiting.signal("TERM");
    let (rest, code) = waiting.end();
    let last: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!((code, &last["state"], &last["redirect_url"]), (Some(3), &"waiting".into(), &Value::Null), "{rest}");
}

#[test]
fn a_gateway_that_was_never_heard_can_be_left_and_nothing_was_entered() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let counter = Counter::at(&format!("http://{}", silent.local_addr().unwrap()));
    let mut waiting = Waiting::start(counter.command(&["--reference", "ORD-1", "--plan", "monthly"]));
    let mut told = String::new();
    waiting.err.read_line(&mut told).unwrap();
    assert!(told.starts_with("dues: the gateway has not answered yet"), "{told}");
    waiting.signal("TERM");
    waiting.err.read_line(&mut told).unwrap();
    assert!(told.ends_with("dues: stopped before the gateway answered: nothing was entered\n"), "{told}");
    assert_eq!(waiting.end(), (String::new(), Some(1)));
    assert_eq!(counter.shop.dues(&["subscription", "list"]).out, "none\n");
}

#[test]
fn a_gateway_that_refuses_connections_is_told_of_and_nothing_was_entered() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let counter = Counter::at(&format!("http://{nobody}"));
    let said = counter.subscribe(&["--reference", "ORD-1", "--plan", "monthly"]);
    assert!(said.code == 1 && said.out.is_empty(), "{said:?}");
    assert!(said.err.contains("the gateway does not answer") && said.err.contains("nothing was changed"), "{said:?}");
    assert_eq!(counter.shop.dues(&["subscription", "list"]).out, "none\n");
}

#[test]
fn a_reference_that_looks_like_another_is_refused() {
    let counter = Counter::at("http://127.0.0.1:9");
    for (flag, text, why) in [
        ("--reference", "V1\u{200b}", "--reference holds an invisible character, U+200B: write it without"),
        (
            "--customer-reference",
            "C1\u{ad}",
            "--customer-reference holds an invisible character, U+00AD: write it without",
        ),
    ] {
        let mut arguments = vec![flag, text, "--plan", "monthly"];
        if flag != "--reference" {
            arguments.extend(["--reference", "V1"]);
        }
        let said = counter.subscribe(&arguments);
        assert!(said.code == 2 && said.err.contains(why), "{said:?}");
    }
}
