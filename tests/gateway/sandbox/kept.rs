//! State that outlives a run: what was answered is answered again, no id comes twice, and a damaged file is refused.

use std::path::Path;
use std::time::Duration;

use dues::clock::Clock;
use dues::sandbox::{Rule, Sandbox, Script, Settings, StateFile};
use serde_json::{Value, json};

use super::world::*;

/// Saves `sandbox` as its run ends, and begins the next one on what the file holds.
fn next_run(sandbox: &Sandbox, clock: &Clock, path: &Path) -> Sandbox {
    let (file, _) = StateFile::open(path).unwrap();
    sandbox.save(&file).unwrap();
    drop(file);
    let (_, snapshot) = StateFile::open(path).unwrap();
    Sandbox::resumed(Settings::default(), Script::default(), clock.clone(), snapshot.unwrap())
}

fn refusal(path: &Path) -> String {
    let error = StateFile::open(path).unwrap_err();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[test]
fn a_later_run_answers_as_the_earlier_one_did() {
    let directory = tempfile::tempdir().unwrap();
    let rules = [
        Rule::decline("poor", "20051").for_reference("poor"),
        Rule::outcome("never", dues::sandbox::Outcome::Pending).for_reference("never"),
    ];
    let (earlier, clock) = sandbox(Script::of(rules));
    let first_time = pay(&earlier, "k1", &first("F-1"));
    let (id, source) = (id_of(&first_time), json_of(&first_time)["source"]["id"].as_str().unwrap().to_owned());
    assert!(earlier.approve(&id));
    let (waiting, revoked) = (id_of(&pay(&earlier, "k2", &first("F-2"))), on_source(later("gone"), "src_gone"));
    let answers: Vec<_> =
        ["R-1", "poor", "never"].map(|name| pay(&earlier, name, &on_source(later(name), &source))).into();
    earlier.revoke_source("src_gone");
    pay(&earlier, "odd", &with(later("odd"), "refrence", json!("x")));
    clock.advance(Duration::from_mins(1));
    pay(&earlier, "k1", &first("other"));
    let refund =
        post(&earlier, &format!("/payments/{}/refunds", id_of(&answers[0])), "refund", &json!({"amount": 400}));

    let later_run = next_run(&earlier, &clock, &directory.path().join("state.json"));
    assert_eq!(json!(later_run.books()), json!(earlier.books()));
    assert_eq!(json!(later_run.summary()), json!(earlier.summary()));
    let looks = |sandbox: &Sandbox| {
        let mut seen = vec![read_path(sandbox, "/payments?reference=R-1"), read(sandbox, &waiting)];
        for payment in &sandbox.books().payments {
            seen.push(read(sandbox, &payment.id));
            seen.push(read_path(sandbox, &format!("/payments/{}/actions", payment.id)));
        }
        Value::Array(seen)
    };
    assert_eq!(looks(&later_run), looks(&earlier));
    clock.advance(Duration::from_mins(1));
    assert_eq!(looks(&later_run), looks(&earlier), "what was still to come comes too");

    for (name, answer) in ["R-1", "poor", "never"].into_iter().zip(&answers) {
        let again = pay(&later_run, name, &on_source(later(name), &source));
        assert_eq!((again.status, &again.body), (answer.status, &answer.body), "{name}");
    }
    let path = format!("/payments/{}/refunds", id_of(&answers[0]));
    assert_eq!(post(&later_run, &path, "refund", &json!({"amount": 400})).body, refund.body);
    assert_eq!(later_run.rule_breaches(), earlier.rule_breaches(), "the same body under the same key is no breach");
    pay(&later_run, "gone", &revoked);
    let active = id_of(&pay(&later_run, "new", &on_source(later("R-2"), &source)));
    clock.advance(Duration::from_mins(1));
    assert_eq!(read(&later_run, &active)["status"], "Captured", "a source that was approved is active");
    assert_eq!(later_run.payments_of("gone")[0].response_code.as_deref(), Some("20101"));
    let customers = ["F-1", "R-2"].map(|it| read_path(&later_run, &format!("/payments?reference={it}")));
    assert_eq!(customers[0]["data"][0]["customer"]["id"], customers[1]["data"][0]["customer"]["id"]);
}

#[test]
fn no_run_gives_an_id_that_another_gave() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let (mut sandbox, clock) = sandbox(Script::default());
    let mut ids = Vec::new();
    for run in 0..4 {
        // What is made after the snapshot is lost, as with a kill; its id must not come again all the same.
        let kept = next_run(&sandbox, &clock, &path);
        ids.extend((0..20).map(|n| id_of(&pay(&sandbox, &format!("{run}-{n}"), &later("lost")))));
        sandbox = kept;
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), all), (80, 80));
}

#[test]
fn the_end_of_time_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let script = Script::from_toml("[[rule]]\nsettle_after = \"4000000000d\"").unwrap();
    let (sandbox, clock) = sandbox(script);
    let id = id_of(&pay(&sandbox, "k1", &later("R-1")));
    let kept = next_run(&sandbox, &clock, &directory.path().join("state.json"));
    clock.advance(Duration::from_hours(24 * 365 * 100));
    assert_eq!(read(&kept, &id)["status"], "Pending");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let (file, nothing) = StateFile::open(&path).unwrap();
    assert!(nothing.is_none());
    assert!(refusal(&path).contains("belongs to another sandbox that is running"));
    let (sandbox, _) = sandbox(Script::default());
    pay(&sandbox, "k1", &later("R-1"));
    sandbox.save(&file).unwrap();
    drop(file);

    let whole = std::fs::read_to_string(&path).unwrap();
    let mut twins: Value = serde_json::from_str(&whole).unwrap();
    let payment = twins["payments"][0].clone();
    twins["payments"].as_array_mut().unwrap().push(payment);
    let odd = whole.replacen("\"amount_minor\"", "\"amount\"", 1);
    let newer = whole.replacen("\"version\":1", "\"version\":2", 1);
    for (text, told) in [
        ("", "was damaged"),
        ("{}", "missing field `version`"),
        (&whole[..whole.len() / 2], "was damaged"),
        (odd.as_str(), "unknown field `amount`"),
        (&newer, "version 2 of the form"),
        (&twins.to_string(), "the same id"),
    ] {
        std::fs::write(&path, text).unwrap();
        let said = refusal(&path);
        assert!(said.contains(told) && said.contains("move the file away"), "{told:?} is missing in {said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "a refused file is left as it is");
    }
    std::fs::write(&path, whole).unwrap();
    assert!(StateFile::open(&path).unwrap().1.is_some());
    assert!(refusal(&directory.path().join("missing/state.json")).contains("cannot be read"));
}
