//! What the rows of a file come to, through the library.

use std::error::Error;

use dues::engine::hand_over::HandOver;
use dues::interfaces::import::Place;
use dues::store::customers::NewCustomer;
use dues::store::db::Statement;

use super::shop::{Way, counts, csv, good, hand_over, rejected};
use crate::support::world::{BOTH, On, World};

const NOW: &str = "2026-01-20T00:00:00Z";

#[tokio::test]
async fn good_rows_go_in_and_the_same_file_changes_nothing() {
    for on in BOTH {
        let world = World::new(on, NOW, &[]).await;
        let file = csv(&[good("A1"), good("A2")]);
        assert_eq!(counts(&hand_over(&world, &file, Way::CSV).await.unwrap()), [2, 2, 0, 0], "{on:?}");
        assert_eq!(world.subscriptions().await, ["A1 active", "A2 active"], "{on:?}");
        // Other words about a customer do not make another version of one whose subscription is there.
        let file = csv(&[good("A1").replace("Wallet Customer", "Other Customer"), good("A2"), good("A3")]);
        assert_eq!(counts(&hand_over(&world, &file, Way::CSV).await.unwrap()), [3, 1, 2, 0], "{on:?}");
        let customers = world.lines("SELECT reference || ' ' || name AS line FROM customers ORDER BY reference").await;
        assert_eq!(customers, ["A1 Wallet Customer", "A2 Wallet Customer", "A3 Wallet Customer"], "{on:?}");
        let journal = world.lines("SELECT detail AS line FROM journal ORDER BY id").await;
        assert_eq!(journal, ["handed over"; 3], "{on:?}");
    }
}

#[tokio::test]
async fn a_row_without_the_optional_columns_gets_their_defaults() {
    let world = World::new(On::Sqlite, NOW, &[]).await;
    hand_over(&world, "reference,plan,source_id,anchor_on\nA1,monthly,src_a,2026-02-01\n", Way::CSV).await.unwrap();
    let text = "SELECT c.reference || ' ' || c.country || ' ' || g.zone || ' ' || g.anchor_on AS line FROM subscriptions s \
                JOIN customers c ON c.id = s.customer_id JOIN segments g ON g.subscription_id = s.id";
    assert_eq!(world.lines(text).await, ["A1 HK Asia/Hong_Kong 2026-02-01"]);
}

#[tokio::test]
async fn every_bad_value_is_refused_with_its_reason_and_shows_no_cell() {
    let columns = "reference,plan,source_id,first_payment_id,customer_reference,customer_name,customer_email,country,\
                   anchor_on,time_zone,next_charge_on";
    let long = "x".repeat(101);
    let longer = "x".repeat(256);
    let table: Vec<(String, &str)> = [
        (",monthly,src_a,,,,,,2026-02-01,,", "reference is missing"),
        ("  ,monthly,src_a,,,,,,2026-02-01,,", "reference is missing"),
        ("LONG,monthly,src_a,,,,,,2026-02-01,,", "reference is longer than 100 characters"),
        ("A\u{7},monthly,src_a,,,,,,2026-02-01,,", "reference holds a control character"),
        ("R03,,src_a,,,,,,2026-02-01,,", "plan is missing"),
        ("R04,private,src_a,,,,,,2026-02-01,,", "plan is none of: daily, monthly, weekly"),
        ("R05,monthly,,,,,,,2026-02-01,,", "source_id is missing"),
        ("R06,monthly,card_a,,,,,,2026-02-01,,", "source_id is not src_ and letters or digits"),
        ("R07,monthly,src_,,,,,,2026-02-01,,", "source_id is not src_ and letters or digits"),
        ("R08,monthly,src_a/b,,,,,,2026-02-01,,", "source_id is not src_ and letters or digits"),
        ("R09,monthly,src_a,act_1,,,,,2026-02-01,,", "first_payment_id is not pay_ and letters or digits"),
        ("R10,monthly,,pay_1,,,,,2026-02-01,,", "source_id is missing and first_payment_id was not looked up, because the test says so"),
        ("R11,monthly,src_a,,LONG,,,,2026-02-01,,", "customer_reference is longer than 100 characters"),
        ("R12,monthly,src_a,,,LONGER,,,2026-02-01,,", "customer_name is longer than 255 characters"),
        ("R13,monthly,src_a,,,,private,,2026-02-01,,", "customer_email is no e-mail address"),
        ("R14,monthly,src_a,,,,private@,,2026-02-01,,", "customer_email is no e-mail address"),
        ("R15,monthly,src_a,,,,pri vate@example.com,,2026-02-01,,", "customer_email is no e-mail address"),
        ("R16,monthly,src_a,,,,,hk,2026-02-01,,", "country is not two capital letters, such as HK"),
        ("R17,monthly,src_a,,,,,,,,", "anchor_on is missing"),
        ("R18,monthly,src_a,,,,,,2026-2-1,,", "anchor_on is no date of the form YYYY-MM-DD"),
        ("R19,monthly,src_a,,,,,,2026-02-30,,", "anchor_on is no day of the calendar"),
        ("R20,monthly,src_a,,,,,,01/02/2026,,", "anchor_on is no date of the form YYYY-MM-DD"),
        ("R21,monthly,src_a,,,,,,2026-02-01,private,", "time_zone is no IANA name of area and place known here, such as Asia/Hong_Kong"),
        ("R22,monthly,src_a,,,,,,2026-02-01,Etc/GMT-8,", "time_zone is no IANA name of area and place known here, such as Asia/Hong_Kong"),
        ("R23,monthly,src_a,,,,,,2026-02-01,,soon", "next_charge_on is no date of the form YYYY-MM-DD"),
        ("R24,monthly,src_a,,,,,,2026-02-01,,2026-03-02", "next_charge_on 2026-03-02 is not the first day of a period counted from anchor_on 2026-02-01; the nearest is 2026-03-01"),
        ("R25,monthly,src_a,,,,,,2026-02-01,,2026-01-01", "next_charge_on 2026-01-01 is not the first day of a period counted from anchor_on 2026-02-01; the nearest is 2026-02-01"),
        ("R26,daily,src_a,,,,,,0026-02-01,,", "more than 1000 periods have begun since anchor_on 0026-02-01: give next_charge_on"),
        ("GOOD,monthly,src_a,,,,,,2026-02-01,,", ""),
        ("GOOD,monthly,src_a,,,,,,2026-02-01,,", "reference stands on line 30 already"),
        ("R30,monthly,src_a", "the row has 3 cells, the header 11"),
        ("R31,\"monthly,src_a,,,,,,2026-02-01,,", "a quote is opened and not closed on the same line"),
        ("R32,monthly,src_a,,,,,,2026-02-01\rR33,,", "the line holds a carriage return"),
        ("R33,,card,,,,private,,,,", "plan is missing; source_id is not src_ and letters or digits; customer_email is no e-mail address; anchor_on is missing"),
        ("A\u{0}b,monthly,src_a,,,,,,2026-02-01,,", "reference holds a control character"),
        ("A,,src_a,,,,,,2026-02-01,,", "plan is missing"),
        ("R34,monthly,src_a,,,a\u{fffd}b,,,2026-02-01,,", "customer_name holds U+FFFD, which stands for what was lost: write what belongs there, or nothing"),
    ]
    .map(|(row, reason)| (row.replace("LONGER", &longer).replace("LONG", &long), reason))
    .into();
    for on in BOTH {
        let world = World::new(on, NOW, &[]).await;
        let rows: Vec<&str> = table.iter().map(|(row, _)| row.as_str()).collect();
        let summary = hand_over(&world, format!("{columns}\n{}\n", rows.join("\n")), Way::CSV).await.unwrap();
        let wanted: Vec<String> = (2..)
            .zip(&table)
            .filter(|(_, (_, reason))| !reason.is_empty())
            .map(|(line, (_, reason))| format!("{line}: {reason}"))
            .collect();
        assert_eq!(rejected(&summary), wanted, "{on:?}");
        assert_eq!(world.subscriptions().await, ["GOOD active"], "{on:?}");
        assert!(!format!("{} {:?}", summary.json(), summary.sentences()).contains("private"));
    }
}

#[tokio::test]
async fn a_row_whose_source_cannot_be_charged_is_rejected_and_nothing_of_it_goes_in() {
    for on in BOTH {
        for (state, why) in [
            ("revoked", "ask the customer for a new authorisation"),
            ("failed", "its first payment was never captured, ask the customer to approve anew"),
            ("provisional", "its first payment is not captured yet, import the row again once it is"),
        ] {
            let world = World::new(on, NOW, &[]).await;
            hand_over(&world, csv(&[good("A1")]), Way::CSV).await.unwrap();
            let again = HandOver {
                reference: "A1".to_owned(),
                plan: "monthly".to_owned(),
                source_id: "src_A1".to_owned(),
                first_payment_id: None,
                customer: NewCustomer { reference: "A1".to_owned(), name: None, email: None, country: "HK".to_owned() },
                anchor_on: "2026-02-01".parse().unwrap(),
                zone: "Asia/Hong_Kong".parse().unwrap(),
                next_charge_on: None,
            };
            let again = world.engine.acceptable(again).unwrap();
            let revoked_at = (state == "revoked").then(|| world.clock.now());
            let mut tx = world.store.begin("tamper").await.unwrap();
            let fall = Statement::new("UPDATE sources SET state = $1, revoked_at = $2").bind(state).bind(revoked_at);
            tx.run(fall).await.unwrap();
            tx.commit().await.unwrap();
            let same_wallet = good("A2").replace("src_A2", "src_A1");
            let file = csv(&[good("A1"), same_wallet, good("A3")]);
            let reason = format!("3: source_id is {state} in the books and cannot be charged: {why}");
            for dry_run in [true, false] {
                let summary = hand_over(&world, &file, Way { dry_run, ..Way::CSV }).await.unwrap();
                assert_eq!(counts(&summary), [3, 1, 1, 1], "{on:?} {state} {dry_run}");
                assert_eq!(rejected(&summary), [reason.as_str()], "{on:?} {state} {dry_run}");
            }
            assert_eq!(world.subscriptions().await, ["A1 active", "A3 active"], "{on:?} {state}");
            let customers = world.lines("SELECT reference AS line FROM customers ORDER BY reference").await;
            assert_eq!(customers, ["A1", "A3"], "{on:?} {state}");
            // Whoever looked before the row was entered by another hand is told that it is there.
            let handed_over = world.engine.hand_over(&[again]).await.unwrap();
            assert!(handed_over.entered.is_empty() && handed_over.refused.is_empty(), "{on:?} {handed_over:?}");
        }
    }
}

#[tokio::test]
async fn a_header_that_is_not_one_is_told_before_any_row_goes_in() {
    let world = World::new(On::Sqlite, NOW, &[]).await;
    for (text, why) in [
        ("", "the file holds no row"),
        ("\n\r\n", "the file holds no row"),
        ("reference,plan,source_id,anchor_on\n", "the file holds no row"),
        (
            "refrence,plan,source,anchor_on,email,colour\nx\n",
            "line 1: refrence is no column; did you mean reference?; source is no column; did you mean source_id?; \
             email is no column; did you mean customer_email?; colour is no column; reference is missing; source_id is missing",
        ),
        ("reference,plan,plan,source_id,anchor_on\nx\n", "line 1: plan stands there twice"),
        ("reference;plan;source_id;anchor_on\nx\n", "line 1: the columns must stand between commas"),
        (
            "A1,monthly,src_a,2026-02-01,private@example.com\n",
            "line 1: this is no header; the columns are reference, plan, source_id, first_payment_id, customer_reference, \
             customer_name, customer_email, country, anchor_on, time_zone, next_charge_on, amount_minor, amount, currency, reason \
             (--map THEIRS=ours tells other names)",
        ),
    ] {
        let error = hand_over(&world, text, Way::CSV).await.unwrap_err();
        let columns = if why.contains("line 1: ") && !why.contains("no header") {
            "; the columns are reference, plan, source_id, first_payment_id, customer_reference, customer_name, customer_email, \
             country, anchor_on, time_zone, next_charge_on, amount_minor, amount, currency, reason (--map THEIRS=ours tells other \
             names)"
        } else {
            ""
        };
        assert_eq!(error.source().unwrap().to_string(), format!("{why}{columns}"), "{text:?}");
    }
    assert_eq!(world.subscriptions().await, [""; 0]);
}

#[tokio::test]
async fn a_byte_order_mark_carriage_returns_and_quotes_are_read() {
    let world = World::new(On::Sqlite, NOW, &[]).await;
    let text = "\u{feff}reference,plan,source_id,anchor_on,customer_name\r\n\r\n\"A,\"\"1\"\"\", monthly ,src_a,2026-02-01,茶客\r\n";
    assert_eq!(counts(&hand_over(&world, text, Way::CSV).await.unwrap()), [1, 1, 0, 0]);
    assert_eq!(world.lines("SELECT reference || ' ' || name AS line FROM customers").await, ["A,\"1\" 茶客"]);
}

#[tokio::test]
async fn lines_that_are_not_utf8_or_too_long_spoil_only_themselves() {
    let world = World::new(On::Sqlite, NOW, &[]).await;
    let mut text = csv(&[good("A1")]).into_bytes();
    text.extend_from_slice(b"A2,monthly,src_a,2025-01-15,2099-01-15,Caf\xe9,\n");
    text.extend(std::iter::repeat_n(b'x', 200_000));
    text.extend_from_slice(format!("\n{}", good("A4")).as_bytes());
    let summary = hand_over(&world, &text, Way::CSV).await.unwrap();
    assert_eq!(rejected(&summary), ["3: the line is not UTF-8", "4: the line is longer than 65536 bytes"]);
    assert_eq!(world.subscriptions().await, ["A1 active", "A4 active"]);
}

#[tokio::test]
async fn json_lines_are_read_and_refused_like_rows() {
    for on in BOTH {
        let world = World::new(on, NOW, &[]).await;
        let lines = [
            r#"{"reference":"A1","plan":"monthly","source_id":"src_a","anchor_on":"2026-02-01","customer_name":null,"reason":7}"#,
            "",
            r#"{"reference":"A2","plan":"monthly","source_id":"src_a","anchor_on":"2026-02-01","timezone":"UTC"}"#,
            r#"{"reference":7,"plan":"monthly","source_id":"src_a","anchor_on":"2026-02-01"}"#,
            r#"{"reference":"A4","plan":"monthly","source_id":"src_a","source_id":"src_b","anchor_on":"2026-02-01"}"#,
            r#"["private"]"#,
            r#"{"reference":"private""#,
            r#"{"plan":"monthly","source_id":"src_a","anchor_on":"2026-02-01"}"#,
            r#"{"reference":"A1","plan":"monthly","source_id":"src_a","anchor_on":"2026-02-01"}"#,
        ];
        let summary = hand_over(&world, lines.join("\n"), Way::JSONL).await.unwrap();
        let wanted = [
            "3: timezone is no column; did you mean time_zone?",
            "4: reference is a number and no text in quotes",
            "5: a field stands there twice",
            "6: the line is no JSON object: see character 1",
            "7: the line is no JSON object: see character 22",
            "8: reference is missing",
            "9: reference stands on line 1 already",
        ];
        assert_eq!(rejected(&summary), wanted, "{on:?}");
        assert_eq!(counts(&summary), [8, 1, 0, 7], "{on:?}");
    }
}

#[tokio::test]
async fn a_rejects_file_is_refused_again_until_it_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(On::Sqlite, NOW, &[]).await;
    let place = |name: &str| Place::At(directory.path().join(name));
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    let mut text = csv(&[good("A1"), good("A2").replace("monthly", "yearly"), good("A3").replace(",2099-01-15", "")]);
    text.push_str("A4,\"monthly\n");
    let mut text = text.into_bytes();
    text.extend_from_slice(b"A5,monthly,src_a,2025-01-15,2099-01-15,Caf\xe9,\n");
    text.extend(std::iter::repeat_n(b'x', 70_000));
    let summary = hand_over(&world, &text, Way { rejects: place("1.csv"), ..Way::CSV }).await.unwrap();
    assert_eq!(counts(&summary), [6, 1, 0, 5]);
    // Not mended, none of them goes in, however often they are tried.
    let again = hand_over(&world, read("1.csv"), Way { rejects: place("2.csv"), ..Way::CSV }).await.unwrap();
    assert_eq!(counts(&again), [5, 0, 0, 5]);
    let again = hand_over(&world, read("2.csv"), Way { rejects: place("3.csv"), ..Way::CSV }).await.unwrap();
    assert_eq!(counts(&again), [5, 0, 0, 5]);
    let mended = String::from_utf8(read("1.csv")).unwrap().replace("yearly", "monthly").replace('\u{fffd}', "é");
    assert_eq!(counts(&hand_over(&world, mended, Way::CSV).await.unwrap()), [5, 2, 0, 3]);
    assert_eq!(world.subscriptions().await, ["A1 active", "A2 active", "A5 active"]);
}

#[tokio::test]
async fn the_rejects_file_keeps_its_columns_and_the_beginning_of_what_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("1.csv");
    let world = World::new(On::Sqlite, NOW, &[]).await;
    let header = "reference,plan,source_id,anchor_on,next_charge_on";
    let short = "A1,monthly,src_a,2025-01-15";
    let mut text = format!("{header}\n{short}\nA2,\"monthly,src_b,2025-01-15,2099-01-15\nA3,monthly,");
    text.push_str(&"x".repeat(70_000));
    let way = Way { rejects: Place::At(path.clone()), ..Way::CSV };
    assert_eq!(counts(&hand_over(&world, text, way).await.unwrap()), [3, 0, 0, 3]);
    let rejects = std::fs::read_to_string(&path).unwrap();
    let wanted = [
        format!("{header},reason"),
        format!("{short},\u{fffd},\"the row has 4 cells, the header 5\""),
        "\"A2,\"\"monthly,src_b,2025-01-15,2099-01-15\",\u{fffd},,,,line 3: a quote is opened and not closed on the same line"
            .to_owned(),
        format!("\"A3,monthly,{}\",\u{fffd},,,,line 4: the line is longer than 65536 bytes", "x".repeat(1013)),
    ];
    assert_eq!(rejects.lines().collect::<Vec<_>>(), wanted);
    // Without its last cell the first row would be charged at once; as long as nobody has looked, it is not.
    let again = hand_over(&world, &rejects, Way::CSV).await.unwrap();
    assert_eq!(counts(&again), [3, 0, 0, 3]);
    let lost = "2: next_charge_on holds U+FFFD, which stands for what was lost: write what belongs there, or nothing";
    assert!(rejected(&again)[0].starts_with(lost), "{:?}", rejected(&again));
    let mended = rejects.replace("2025-01-15,\u{fffd},", "2025-01-15,2099-01-15,").replace(
        "\"A2,\"\"monthly,src_b,2025-01-15,2099-01-15\",\u{fffd},,,",
        "A2,monthly,src_b,2025-01-15,2099-01-15",
    );
    assert_eq!(counts(&hand_over(&world, mended, Way::CSV).await.unwrap()), [3, 2, 0, 1]);
    assert_eq!(world.subscriptions().await, ["A1 active", "A2 active"]);
}

#[tokio::test]
async fn a_json_rejects_file_is_refused_again_until_it_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("1.jsonl");
    let world = World::new(On::Sqlite, NOW, &[]).await;
    let text =
        "{\"reference\":\"A1\",\"plan\":\"yearly\",\"source_id\":\"src_a\",\"anchor_on\":\"2026-02-01\"}\nhello\n";
    let way = Way { rejects: Place::At(path.clone()), ..Way::JSONL };
    assert_eq!(counts(&hand_over(&world, text, way).await.unwrap()), [2, 0, 0, 2]);
    let rejects = std::fs::read_to_string(&path).unwrap();
    assert_eq!(counts(&hand_over(&world, &rejects, Way::JSONL).await.unwrap()), [2, 0, 0, 2]);
    let mended = rejects.replace("\"yearly\"", "\"monthly\"");
    assert_eq!(counts(&hand_over(&world, mended, Way::JSONL).await.unwrap()), [2, 1, 0, 1]);
}

#[tokio::test]
async fn a_dry_run_tells_what_an_import_does_and_writes_nothing() {
    for on in BOTH {
        let world = World::new(on, NOW, &[("catch_up.handed_over", "bill_latest")]).await;
        let held = World::new(on, NOW, &[("catch_up.handed_over", "hold")]).await;
        let rows = [
            "A1,monthly,src_a,2025-10-15,,,", // four periods have begun: the latest is charged
            "A2,weekly,src_b,2026-01-19,,,",  // one
            "A3,monthly,src_c,2025-10-15,2026-02-15,,", // none
            "A4,hourly,src_d,2025-10-15,,,",
        ];
        let file = csv(&rows.map(str::to_owned));
        let rehearsed = hand_over(&world, &file, Way { dry_run: true, ..Way::CSV }).await.unwrap();
        assert_eq!(world.lines("SELECT reference AS line FROM customers").await, [""; 0], "{on:?}");
        assert_eq!(world.subscriptions().await, [""; 0], "{on:?}");
        let due = "2 charges fall due at once, 139.00 HKD in all.";
        let wanted = ["4 rows read: 3 would be entered, 0 already there, 1 rejected.", due];
        assert_eq!(rehearsed.sentences(), wanted, "{on:?}");
        let done = hand_over(&world, &file, Way::CSV).await.unwrap();
        assert_eq!(done.sentences()[1..], [due], "{on:?}");
        // The daemon then does what was told.
        let mut world = world;
        world.run_until("2026-01-20T01:00:00Z").await;
        let charges = ["A1/0 skipped", "A1/1 skipped", "A1/2 skipped", "A1/3 paid", "A2/0 paid"];
        assert_eq!(world.charges().await, charges, "{on:?}");
        let summary = hand_over(&held, &file, Way { dry_run: true, ..Way::CSV }).await.unwrap();
        let told =
            ["No charge falls due at once.", "Periods held back by the catch-up rule until somebody decides: 5."];
        assert_eq!(summary.sentences()[1..], told, "{on:?}");
    }
}
