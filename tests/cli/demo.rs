//! The demo, run as a newcomer runs it.

use std::process::Command;

use serde_json::Value;

fn played(seed: &str) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let played = Command::new(env!("CARGO_BIN_EXE_dues"))
        .args(["demo", "--json", "--months", "3", "--subscriptions", "300", "--seed", seed, "--database", "demo.db"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let mut report: Value = serde_json::from_slice(&played.stdout).unwrap();
    // Where the books lie is another place each time.
    for place in ["database", "try_this"] {
        report.as_object_mut().unwrap().remove(place);
    }
    report
}

#[test]
fn the_same_seed_plays_the_same_demo_and_another_seed_another() {
    let first = played("42");
    assert_eq!(first, played("42"));
    assert_ne!(first["months"], played("43")["months"]);
}
