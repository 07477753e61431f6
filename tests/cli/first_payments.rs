//! `dues subscribe` beside the straight way: what is canceled, refused, lost or killed meanwhile, and what the arguments may say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::sandbox::Running;
use crate::shop::{Said, Shop, said};
use crate::subscribe::{Counter, Waiting, press};

/// A sandbox, with a script where there is one, and a counter at it.
fn counter(script: &str) -> (Running, Counter) {
    let shop = Shop::without_books();
    shop.write("rules.toml", script);
    let rules = shop.path("rules.toml");
    let mut sandbox = Running::start(&shop, &["--json", "--quiet", "--script", rules.to_str().unwrap()]);
    let counter = Counter::at(sandbox.first_line()["url"].as_str().unwrap());
    (sandbox, counter)
}

fn subscribe(counter: &Counter, arguments: &[&str]) -> Said {
    said(&mut counter.command(&[arguments, &["--wait-minutes", "0"]].concat()))
}

/// What the sandbox's own door answers.
fn ask(gateway: &str, method: &str, path: &str) -> Value {
    let host = gateway.trim_start_matches("http://");
    let mut line = TcpStream::connect(host).unwrap();
    write!(line, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn payments(counter: &Counter) -> Vec<Value> {
    ask(counter.gateway(), "GET", "/sandbox/books")["payments"].as_array().unwrap().clone()
}

#[test]
fn one_that_is_canceled_with_its_link_open_is_neither_paid_nor_over() {
    let (_sandbox, counter) = counter("");
    let email = ["--customer-email", "cx@example.com", "--plan", "monthly"];
    let begin = |reference: &str| subscribe(&counter, &[&["--reference", reference], &email[..]].concat());
    let resume = |more: &[&str]| subscribe(&counter, &[&["--reference", "CX-1", "--resume"], more].concat());
    let first = begin("CX-1");
    assert_eq!(first.code, 3, "{first:?}");
    assert!(first.out.contains("the link stays good until the gateway lets it expire"), "{first:?}");
    let link = first.out.lines().find(|line| line.contains("/pay/")).unwrap().trim().to_owned();
    let gateway = format!("gateway.url={}", counter.gateway());
    let own = ["--set", "installation.environment=sandbox", "--set", &gateway];
    let cancel = ["subscription", "cancel", "CX-1", "--reason", "asked"];
    let canceled = counter.shop.dues(&[&own[..], &cancel].concat());
    assert!(canceled.code == 0 && canceled.out.contains("can still make it at its link until"), "{canceled:?}");

    let open = resume(&[]);
    assert!(open.code == 3 && open.out.contains("is canceled, and its first payment is still open"), "{open:?}");
    assert!(!open.out.contains("/pay/"), "nobody is sent to that link any more: {open:?}");
    let json: Value = serde_json::from_str(&resume(&["--json"]).out).unwrap();
    assert_eq!((&json["state"], &json["redirect_url"]), (&json!("canceled"), &Value::Null));
    let second = begin("CX-2");
    assert!(second.code == 1 && second.err.contains("its first payment can still be made"), "{second:?}");
    assert!(second.err.contains("`dues subscribe --reference CX-1 --resume`"), "{second:?}");
    let taken = begin("CX-1");
    assert!(taken.code == 1 && taken.err.contains("canceled while its first payment can still be made"), "{taken:?}");

    press(&link, "pay");
    let paid = resume(&[]);
    assert!(
        paid.code == 3 && paid.out.contains("a person must decide what follows: `dues review show rev_"),
        "{paid:?}"
    );
    let reviews = counter.shop.json(&["review", "list"]);
    assert_eq!(reviews[0]["reason"], "captured_after_void");
    assert_eq!(begin("CX-2").code, 3);
}

#[test]
fn one_whose_outcome_is_open_in_review_is_not_said_to_be_refused() {
    let (_sandbox, counter) = counter("");
    counter.link("ORD-1");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let late = ["polls.alert_after=1s", "polls.review_after=2s", "polls.within_alert=1s", "polls.within_review=1s"];
    let late: Vec<&str> = late.iter().flat_map(|flag| ["--set", flag]).collect();
    let told = subscribe(&counter, &[&["--reference", "ORD-1", "--resume"], &late[..]].concat());
    assert!(told.code == 1 && told.err.contains("is open (pending_too_long), and money may be taken"), "{told:?}");
    assert!(told.err.contains("do not begin another; `dues review show rev_"), "{told:?}");
    assert!(!told.err.contains("nothing was charged"), "{told:?}");
    let taken = subscribe(&counter, &["--reference", "ORD-1", "--plan", "monthly"]);
    assert!(taken.code == 1 && taken.err.contains("do not begin another"), "{taken:?}");
}

#[test]
fn what_the_gateway_would_refuse_is_refused_before_anything_is_entered() {
    let (_sandbox, counter) = counter("");
    let long = "x".repeat(400);
    for (arguments, told) in [
        (&["--reference", " "][..], "--reference is missing"),
        (&["--reference", "R", "--customer-reference", &long], "--customer-reference is longer than 100 characters"),
        (&["--reference", "R", "--customer-name", &long], "--customer-name has"),
        (&["--reference", "R", "--customer-email", "nobody"], "--customer-email is no e-mail address"),
        (&["--reference", "R", "--country", "Hong Kong"], "two letters, such as HK"),
        (&["--reference", "R", "--terminal", "web", "--os", "ios"], "--os is for --terminal wap and app"),
        (&["--reference", "R", "--os", "ios"], "--os is for --terminal wap and app"),
        (&["--reference", "R", "--terminal", "wap"], "--os"),
        (&["--reference", "R", "--terminal", "app"], "--os"),
    ] {
        let refused = subscribe(&counter, &[arguments, &["--plan", "monthly"]].concat());
        assert!((refused.code, refused.out.as_str()) == (2, ""), "{arguments:?} {refused:?}");
        assert!(refused.err.contains(told) && !refused.err.contains(&long), "{arguments:?} {refused:?}");
    }
    assert_eq!(payments(&counter).len(), 0);
    let nobody = subscribe(&counter, &["--reference", "NOPE", "--resume"]);
    assert!(nobody.code == 4 && nobody.err.contains("`dues subscription list`"), "{nobody:?}");
}

#[test]
fn a_reference_is_taken_without_the_blanks_around_it_and_told_as_a_shell_takes_it() {
    let (_sandbox, counter) = counter("");
    let begin =
        |reference: &str| subscribe(&counter, &["--reference", reference, "--plan", "monthly", "--country", "hk"]);
    let begun = begin(" ORD 1 ");
    assert!(begun.code == 3 && begun.out.contains("dues subscribe --reference 'ORD 1' --resume"), "{begun:?}");
    let taken = begin("ORD 1");
    assert!(taken.code == 1 && taken.err.contains("`dues subscription show 'ORD 1'`"), "{taken:?}");
    assert_eq!(subscribe(&counter, &["--reference", "ORD 1 ", "--resume"]).code, 3);
}

#[test]
fn what_is_resumed_is_what_was_begun() {
    let (_sandbox, counter) = counter("");
    let own = ["--reference", "ORD-1", "--plan", "monthly", "--customer-email", "a@example.com"];
    let place = ["--terminal", "wap", "--os", "ios"];
    assert_eq!(subscribe(&counter, &[&own[..], &place].concat()).code, 3);
    assert_eq!(subscribe(&counter, &[&own[..], &place, &["--resume"]].concat()).code, 3);
    for other in [
        &["--plan", "weekly"][..],
        &["--customer-reference", "C-1"],
        &["--customer-email", "b@example.com"],
        &["--customer-name", "Wallet Customer"],
        &["--country", "SG"],
        &["--time-zone", "Asia/Singapore"],
        &["--anchor-on", "2026-01-31"],
        &["--terminal", "web"],
        &["--terminal", "wap", "--os", "android"],
    ] {
        let refused = subscribe(&counter, &[&["--reference", "ORD-1", "--resume"], other].concat());
        assert!((refused.code, refused.out.as_str()) == (2, ""), "{other:?} {refused:?}");
        assert!(refused.err.contains(other[0]) && !refused.err.contains("example.com"), "{other:?} {refused:?}");
    }
}

#[test]
fn a_payment_whose_link_was_lost_is_told_and_no_second_one_is_made() {
    let lost = "[[rule]]\nname = \"lost\"\non = \"post\"\nfault = \"lost_response\"\ntimes = 1\n";
    for (keys, told) in [
        (&["protocol.resend=never"][..], "its link was lost and cannot be had again"),
        (&["protocol.key_life=2h", "protocol.key_margin=1m"], "is asked for again at "),
    ] {
        let (_sandbox, counter) = counter(lost);
        let short = ["gateway.timeout=2s", "gateway.read_timeout=2s", "gateway.connect_timeout=1s"];
        let keys: Vec<&str> = keys.iter().chain(&short).flat_map(|flag| ["--set", flag]).collect();
        let begin = ["--reference", "ORD-1", "--plan", "monthly"];
        let waits = subscribe(&counter, &[&begin, &keys[..]].concat());
        let made = payments(&counter);
        let id = made[0]["id"].as_str().unwrap();
        assert_eq!(waits.code, 3, "{waits:?}");
        assert!(
            waits.out.contains(&format!("the gateway has the payment {id}")) && waits.out.contains(told),
            "{waits:?}"
        );
        let resume = [&["--reference", "ORD-1", "--resume"], &keys[..]].concat();
        let waits = subscribe(&counter, &resume);
        assert!(waits.code == 3 && waits.out.contains(told), "{waits:?}");
        assert_eq!(payments(&counter).len(), 1);
    }
}

/// A gateway that hands everything on to another, and keeps the bodies.
fn recorded(gateway: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let host = gateway.trim_start_matches("http://").to_owned();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeps = kept.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if !lower.starts_with("connection:") {
                    head.push_str(&line);
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            keeps.lock().unwrap().push(String::from_utf8(body.clone()).unwrap());
            let mut onward = TcpStream::connect(&host).unwrap();
            write!(onward, "{head}Connection: close\r\n\r\n").unwrap();
            onward.write_all(&body).unwrap();
            let mut answer = Vec::new();
            onward.read_to_end(&mut answer).unwrap();
            let _gone = stream.get_mut().write_all(&answer);
        }
    });
    (url, kept)
}

#[test]
fn where_the_customer_approves_reaches_the_gateway() {
    let (_sandbox, direct) = counter("");
    let (url, kept) = recorded(direct.gateway());
    let counter = Counter::at(&url);
    for (terminal, os, processing) in [
        ("wap", Some("ios"), json!({"terminal_type": "WAP", "os_type": "IOS"})),
        ("wap", Some("android"), json!({"terminal_type": "WAP", "os_type": "ANDROID"})),
        ("app", Some("ios"), json!({"terminal_type": "APP", "os_type": "IOS"})),
        ("app", Some("android"), json!({"terminal_type": "APP", "os_type": "ANDROID"})),
        ("web", None, json!({"terminal_type": "WEB"})),
    ] {
        let reference = format!("ORD-{terminal}-{}", os.unwrap_or("none"));
        let mut arguments = vec!["--reference", &reference, "--plan", "monthly", "--terminal", terminal];
        arguments.extend(os.iter().flat_map(|os| ["--os", os]));
        let begun = subscribe(&counter, &arguments);
        assert!(begun.code == 3 && begun.out.contains("/pay/"), "{begun:?}");
        let bodies: Vec<Value> =
            kept.lock().unwrap().drain(..).filter_map(|body| serde_json::from_str(&body).ok()).collect();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert_eq!(bodies[0]["processing"], processing, "{reference}");
    }
}

#[test]
fn one_that_was_killed_is_taken_up_and_no_second_payment_is_made() {
    // Killed while the customer is at the wallet.
    let (_sandbox, counter) = self::counter("");
    let mut waiting = Waiting::start(counter.command(&["--reference", "ORD-1", "--plan", "monthly"]));
    let mut told = String::new();
    while !told.contains("/pay/") {
        assert_ne!(waiting.out.read_line(&mut told).unwrap(), 0, "{told}");
    }
    waiting.signal("KILL");
    assert_eq!(waiting.end().1, None);
    let link = told.lines().find(|line| line.contains("/pay/")).unwrap().trim().to_owned();
    let resume = ["--reference", "ORD-1", "--resume"];
    let resumed = subscribe(&counter, &resume);
    assert!(resumed.code == 3 && resumed.out.contains(&link), "{resumed:?}");
    press(&link, "pay");
    assert_eq!(subscribe(&counter, &resume).code, 0);
    assert_eq!(payments(&counter).len(), 1);

    // Killed while the answer is under way: whoever comes after the lease looks it up.
    let slow = "[[rule]]\nname = \"slow\"\non = \"post\"\nfault = \"slow\"\ndelay = \"30s\"\ntimes = 1\n";
    let (_sandbox, counter) = self::counter(slow);
    let flags = [
        "gateway.timeout=5s",
        "gateway.read_timeout=5s",
        "protocol.send_within=1s",
        "protocol.lease=7s",
        // Too short a life to be sent again for its source.
        "protocol.key_life=60s",
        "protocol.key_margin=55s",
    ];
    let flags: Vec<&str> = flags.iter().flat_map(|flag| ["--set", flag]).collect();
    let begin = ["--reference", "ORD-1", "--plan", "monthly"];
    let mut waiting = Waiting::start(counter.command(&[&begin, &flags[..]].concat()));
    for _ in 0..100 {
        if payments(&counter).len() == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    waiting.signal("KILL");
    assert_eq!(waiting.child.wait().unwrap().code(), None);
    let made = payments(&counter);
    let id = made[0]["id"].as_str().unwrap().to_owned();
    std::thread::sleep(std::time::Duration::from_secs(8));
    let resumed = subscribe(&counter, &[&resume, &flags[..]].concat());
    assert!(resumed.code == 3 && resumed.out.contains(&format!("the gateway has the payment {id}")), "{resumed:?}");
    ask(counter.gateway(), "POST", &format!("/sandbox/payments/{id}/approve"));
    let paid = subscribe(&counter, &[&resume, &flags[..]].concat());
    // Its source stood in the answer that nobody read.
    assert!(paid.code == 3 && paid.out.contains("its first payment was captured, and a person must"), "{paid:?}");
    assert_eq!(payments(&counter).len(), 1);
}
