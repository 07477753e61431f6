//! Columns that the file calls otherwise, and the file to begin with.

use std::error::Error;

use dues::interfaces::import::Place;

use super::shop::{Shop, Way, counts, csv, good, hand_over, json_counts, rejected};
use crate::support::world::{BOTH, On, World};

const NOW: &str = "2026-01-20T00:00:00Z";
const NO_GATEWAY: &str = "http://127.0.0.1:9";

const THEIRS: &str = "Order No,Tariff,source_id,Start,Colour";
const MAP: &[&str] = &["Order No=reference", "Tariff=plan", "Start=anchor_on", "Colour=-"];

#[tokio::test]
async fn columns_are_taken_by_the_names_that_the_file_gives_them() {
    for on in BOTH {
        let world = World::new(on, NOW, &[]).await;
        let file = format!("{THEIRS}\nA1,monthly,src_a,2026-02-01,red\nA2,yearly,src_a,2026-02-01,\n");
        let summary = hand_over(&world, file, Way { map: MAP, ..Way::CSV }).await.unwrap();
        assert_eq!(rejected(&summary), ["3: plan is none of: daily, monthly, weekly"], "{on:?}");
        let lines = [
            r#"{"Order No":"A3","Tariff":"monthly","source_id":"src_b","Start":"2026-02-01","Colour":7}"#,
            r#"{"Order No":"A4","Tariff":"monthly","source_id":"src_a","Start":"2026-02-01"}"#,
            r#"{"Order No":"A5","Tariff":"monthly","plan":"weekly","source_id":"src_a","Start":"2026-02-01","Colour":null}"#,
        ];
        let summary = hand_over(&world, lines.join("\n"), Way { map: MAP, ..Way::JSONL }).await.unwrap();
        let wanted = ["2: Colour, which --map names, is not there", "3: Tariff and plan are both plan"];
        assert_eq!(rejected(&summary), wanted, "{on:?}");
        assert_eq!(world.subscriptions().await, ["A1 active", "A3 active"], "{on:?}");
    }
}

#[tokio::test]
async fn a_header_that_does_not_fit_the_mapping_stops_the_import() {
    let world = World::new(On::Sqlite, NOW, &[]).await;
    for (header, why) in [
        ("Order No,Tariff,source_id,Start", "line 1: Colour, which --map names, is not there; the columns are "),
        ("Order No,Tariff,source_id,Start,Colour,plan", "line 1: Tariff and plan are both plan; the columns are "),
        ("Order No,Tariff,source_id,Colour", "line 1: Start, which --map names, is not there; anchor_on is missing; "),
    ] {
        let way = Way { map: MAP, ..Way::CSV };
        let error = hand_over(&world, format!("{header}\nA1\n"), way).await.unwrap_err();
        let told = error.source().unwrap().to_string();
        assert!(told.starts_with(why), "{told}");
    }
    assert_eq!(world.subscriptions().await, [""; 0]);
}

#[tokio::test]
async fn rejected_rows_keep_the_names_of_the_file_and_are_imported_with_the_same_mapping() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("1.csv");
    let place = || Place::At(path.clone());
    let world = World::new(On::Sqlite, NOW, &[]).await;
    let file = format!("{THEIRS}\nA1,yearly,src_a,2026-02-01,red\nA2,monthly,src_b,2026-02-01\n");
    let summary = hand_over(&world, file, Way { map: MAP, rejects: place(), ..Way::CSV }).await.unwrap();
    assert_eq!(counts(&summary), [2, 0, 0, 2]);
    let rejects = std::fs::read_to_string(&path).unwrap();
    let wanted = [
        format!("{THEIRS},reason"),
        "A1,yearly,src_a,2026-02-01,red,\"plan is none of: daily, monthly, weekly\"".to_owned(),
        "A2,monthly,src_b,2026-02-01,\u{fffd},\"the row has 4 cells, the header 5\"".to_owned(),
    ];
    assert_eq!(rejects.lines().collect::<Vec<_>>(), wanted);
    // The mark of what is lost counts in a column that is passed over as well.
    let again = hand_over(&world, &rejects, Way { map: MAP, ..Way::CSV }).await.unwrap();
    let lost = "3: Colour holds U+FFFD, which stands for what was lost: write what belongs there, or nothing";
    assert_eq!(rejected(&again)[1], lost);
    let mended = rejects.replace("yearly", "monthly").replace('\u{fffd}', "");
    assert_eq!(counts(&hand_over(&world, mended, Way { map: MAP, ..Way::CSV }).await.unwrap()), [2, 2, 0, 0]);
    // JSON Lines keep them as well.
    let line = r#"{"Order No":"A3","Tariff":"yearly","source_id":"src_c","Start":"2026-02-01","Colour":"red"}"#;
    hand_over(&world, line, Way { map: MAP, rejects: place(), ..Way::JSONL }).await.unwrap();
    let mended = std::fs::read_to_string(&path).unwrap().replace("yearly", "monthly");
    assert_eq!(counts(&hand_over(&world, mended, Way { map: MAP, ..Way::JSONL }).await.unwrap()), [1, 1, 0, 0]);
}

#[tokio::test]
async fn a_short_row_is_marked_wherever_the_old_reason_stands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("1.csv");
    let world = World::new(On::Sqlite, NOW, &[]).await;
    for header in
        ["reference,plan,source_id,anchor_on,reason,next_charge_on", "reference,plan,source_id,anchor_on,reason"]
    {
        let way = Way { rejects: Place::At(path.clone()), ..Way::CSV };
        let file = format!("{header}\nA1,monthly,src_a,2025-01-15\n");
        assert_eq!(counts(&hand_over(&world, file, way).await.unwrap()), [1, 0, 0, 1], "{header}");
        // Nobody has looked at it, so it does not go in.
        let again = hand_over(&world, std::fs::read(&path).unwrap(), Way::CSV).await.unwrap();
        assert_eq!(counts(&again), [1, 0, 0, 1], "{header}");
        assert!(rejected(&again)[0].contains("holds U+FFFD"), "{header}: {:?}", rejected(&again));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_template_is_a_file_that_goes_in() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    for (format, name) in [("csv", "subscriptions.csv"), ("jsonl", "subscriptions.jsonl")] {
        let said = shop.import(&["--template", "--format", format]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
        shop.write(name, &said.out);
        let said = shop.import(&[name, "--dry-run", "--json"]);
        assert_eq!((said.code, json_counts(&said.out)), (0, [1, 1, 0, 0]), "{said:?}");
        assert!(said.out.contains("\"due_now\": []"), "{said:?}");
    }
    let said = shop.import(&["--template"]);
    assert!(said.out.starts_with("reference,plan,source_id,") && said.out.lines().count() == 2, "{said:?}");
    for (arguments, why) in [
        (&[][..], "<FILE>"),
        (&["--template", "a.csv"], "cannot be used with"),
        (&["a.csv", "--map", "Tariff=plans"], "did you mean plan?"),
        (&["a.csv", "--map", "A=plan", "--map", "B=plan"], "two columns are mapped onto plan"),
    ] {
        let said = shop.import(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_maps_columns() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    shop.write(
        "a.csv",
        csv(&[good("A1"), good("A2").replace("monthly", "yearly")]).replace("reference,plan", "Order=No,Tariff"),
    );
    let map = ["--map", "Order=No=reference", "--map", "Tariff=plan"];
    let said = shop.import(&[&["a.csv"], &map[..]].concat());
    assert_eq!((said.code, said.err.as_str()), (3, "line 3: plan is none of: monthly\n"), "{said:?}");
    assert!(said.out.ends_with(": mend them there and import that file with the same --map.\n"), "{said:?}");
    shop.write("a.rejects.csv", shop.read("a.rejects.csv").replace("yearly", "monthly"));
    let said = shop.import(&[&["a.rejects.csv", "--json"], &map[..]].concat());
    assert_eq!((said.code, json_counts(&said.out)), (0, [1, 1, 0, 0]), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn utf16_is_named_and_utf8_with_a_mark_is_read() {
    let shop = Shop::new(On::Sqlite, NO_GATEWAY).await;
    let wide: Vec<u8> = csv(&[good("A1")]).encode_utf16().flat_map(u16::to_le_bytes).collect();
    shop.write("marked.csv", [&b"\xff\xfe"[..], &wide].concat());
    shop.write("bare.jsonl", &wide);
    for file in ["marked.csv", "bare.jsonl"] {
        let said = shop.import(&[file]);
        let why = "the file is UTF-16: save it as UTF-8, or convert it with `iconv -f UTF-16 -t UTF-8`";
        assert_eq!((said.code, said.err), (1, format!("dues: {file} cannot be imported: {why}\n")));
    }
    shop.write("utf8.csv", format!("\u{feff}{}", csv(&[good("A1")])));
    assert_eq!(shop.import(&["utf8.csv"]).code, 0);
}
