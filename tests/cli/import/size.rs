//! However long a file or a line of it is, the memory that it takes does not grow; `tests/soak/import` asks that of a million rows, and
//! how fast they go in.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use dues::clock::Clock;

use super::shop::{HEADER, Shop, csv, good, json_counts, said};
use crate::support::world::{BOTH, On};

const NO_GATEWAY: &str = "http://127.0.0.1:9";

/// No import takes more memory than this, in MiB. Most of it are SQLite's caches, which a long file fills.
const MOST_MIB: u64 = 112;
/// Without a writer there are fewer of them.
const MOST_DRY_MIB: u64 = 48;

/// How much a test is asked for by the surroundings, or this.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Runs it to its end; its exit code and the most memory that it held at one time, in MiB, as the kernel told until then.
async fn peak_mib(command: &mut Command) -> (i32, u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(peak_kib > 0, "the kernel told nothing about it");
            return (status.code().unwrap(), peak_kib / 1024);
        }
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let told: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = peak_kib.max(told.unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_file_takes_no_more_memory_than_a_short_one() {
    let rows = asked("DUES_IMPORT_ROWS", 20_000);
    for on in BOTH {
        let shop = Shop::new(on, NO_GATEWAY).await;
        let mut file = BufWriter::new(File::create(shop.path("subscriptions.csv")).unwrap());
        writeln!(file, "{HEADER}").unwrap();
        for row in 0..rows {
            // References in an order that no index likes.
            writeln!(file, "{}", good(&format!("ORD{:010}", row * 2_654_435_761 % 4_294_967_296))).unwrap();
        }
        file.into_inner().unwrap().sync_all().unwrap();
        let clock = Clock::system();
        let begun_at = clock.now();
        let (code, peak) = peak_mib(&mut shop.command(&["subscriptions.csv"])).await;
        let millis = u64::try_from((clock.now() - begun_at).num_milliseconds()).unwrap().max(1);
        let (seconds, a_second) = (millis / 1000, rows * 1000 / millis);
        println!("{on:?}: {rows} rows in {seconds} s, {a_second} rows/s, peak memory {peak} MiB");
        assert_eq!((code, shop.subscriptions().await), (0, i64::try_from(rows).unwrap()), "{on:?}");
        assert!(peak <= MOST_MIB, "{on:?}: {peak} MiB");
        let (code, peak) = peak_mib(&mut shop.command(&["subscriptions.csv", "--dry-run"])).await;
        println!("{on:?}: in a dry run peak memory {peak} MiB");
        assert!(code == 0 && peak <= MOST_DRY_MIB, "{on:?}: exit code {code}, {peak} MiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_end_takes_no_memory() {
    let line_mib = asked("DUES_IMPORT_LINE_MIB", 64);
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    let mut file = File::create(shop.path("subscriptions.csv")).unwrap();
    writeln!(file, "{HEADER}\n{}", good("A1")).unwrap();
    // A hole, which reads as zeros and takes no room on the disk.
    file.seek(SeekFrom::Current(i64::try_from(line_mib * 1024 * 1024).unwrap())).unwrap();
    writeln!(file, "\n{}", good("A2")).unwrap();
    let mut command = shop.command(&["subscriptions.csv", "--rejects", "rejects.csv"]);
    let (code, peak) = peak_mib(&mut command).await;
    println!("a line of {line_mib} MiB: peak memory {peak} MiB");
    assert!(code == 3 && peak <= MOST_DRY_MIB, "exit code {code}, {peak} MiB");
    assert_eq!(shop.subscriptions().await, 2);
    assert!(shop.read("rejects.csv").ends_with("line 3: the line is longer than 65536 bytes\n"));
    let said = said(&mut shop.command(&["subscriptions.csv", "--json", "--dry-run"]));
    assert_eq!((said.code, json_counts(&said.out)), (3, [3, 0, 2, 1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_of_a_far_line_is_told_with_its_first() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    let mut rows: Vec<String> = (0..3_000).map(|row| good(&format!("A{row}"))).collect();
    rows[0] = rows[0].replace("monthly", "yearly");
    rows.extend([good("A0"), good("A1"), good("A2999"), good("A2999")]);
    shop.write("a.csv", format!("{HEADER}\n{}\n", rows.join("\n")));
    for (arguments, counts) in [
        (&["a.csv", "--dry-run", "--json"][..], [3_004, 2_999, 0, 5]),
        (&["a.csv", "--json"], [3_004, 2_999, 0, 5]),
        (&["a.csv", "--json"], [3_004, 0, 2_999, 5]),
    ] {
        let said = shop.import(arguments);
        assert_eq!((said.code, json_counts(&said.out)), (3, counts), "{arguments:?}");
        for (line, first) in [(3_002, 2), (3_003, 3), (3_004, 3_001), (3_005, 3_001)] {
            let told = format!("\"line\": {line},\n      \"reason\": \"reference stands on line {first} already\"");
            assert!(said.out.contains(&told), "{told}: {}", said.out);
        }
    }
}

/// Ctrl-C, and SIGTERM, end an import between two sets, and it says how far it came and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_told_to_stop_says_what_went_in_and_is_finished_by_the_next() {
    const ROWS: i64 = 8_000;
    for (signal, json) in [("INT", false), ("TERM", true)] {
        let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
        let rows: Vec<String> = (0..ROWS).map(|row| good(&format!("ORD{row}"))).collect();
        shop.write("a.csv", csv(&rows));
        let arguments: &[&str] = if json { &["a.csv", "--accept", "--json"] } else { &["a.csv", "--accept"] };
        let mut command = shop.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while shop.subscriptions().await == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let told = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status().unwrap();
        assert!(told.success());
        let output = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let entered = shop.subscriptions().await;
        assert!(output.status.code() == Some(3) && entered > 0 && entered < ROWS, "{entered}: {out}{err}");
        assert!(err.contains("stopping when the rows under way are entered"), "{err}");
        if json {
            let told: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!((&told["stopped"], &told["entered"]), (&true.into(), &entered.into()), "{out}");
        } else {
            assert!(out.contains(&format!(" {entered} entered,")), "{out}");
            assert!(
                out.contains("It was told to stop: import the same file again, what is there is left as it is.\n"),
                "{out}"
            );
        }
        let rest = said(&mut shop.command(&["a.csv", "--accept", "--json"]));
        assert_eq!(
            (rest.code, json_counts(&rest.out)),
            (0, [ROWS, ROWS - entered, entered, 0].map(i64::unsigned_abs)),
            "{rest:?}"
        );
    }
}
