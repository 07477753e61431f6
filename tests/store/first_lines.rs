//! The references of a file under import, which are kept beside the books.

use dues::store::first_lines::{FirstLines, Once};

fn rows(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(reference, line)| ((*reference).to_owned(), *line)).collect()
}

#[tokio::test]
async fn a_reference_keeps_its_first_line() {
    let mut lines = FirstLines::in_temporary_file().await.unwrap();
    assert!(lines.note(Once::Reference, &[]).await.unwrap().is_empty());
    let first = lines.note(Once::Reference, &rows(&[("B", 2), ("A", 3), ("B", 4), ("茶 \"1\"", 5)])).await.unwrap();
    assert_eq!(first.into_iter().collect::<Vec<_>>(), rows(&[("A", 3), ("B", 2), ("茶 \"1\"", 5)]));
    let first = lines.note(Once::Reference, &rows(&[("A", 6), ("a", 7), ("B", 8)])).await.unwrap();
    assert_eq!(first.into_iter().collect::<Vec<_>>(), rows(&[("A", 3), ("B", 2), ("a", 7)]));
    // What is of another kind is another thing, however it is written.
    for what in [Once::SourceAndPlan, Once::FirstPayment] {
        assert_eq!(lines.note(what, &rows(&[("A", 9)])).await.unwrap(), [("A".to_owned(), 9)].into());
        assert_eq!(lines.note(what, &rows(&[("A", 10)])).await.unwrap(), [("A".to_owned(), 9)].into());
    }
}

#[tokio::test]
async fn more_references_than_the_cache_holds_are_kept() {
    let mut lines = FirstLines::in_temporary_file().await.unwrap();
    // Some 20 MB of them, for a cache of eight.
    let reference = |line: u64| format!("{:0100}", line * 2_654_435_761 % 4_294_967_296);
    for hundred in 0..2_000 {
        let set: Vec<(String, u64)> = (0..100).map(|n| hundred * 100 + n).map(|line| (reference(line), line)).collect();
        assert_eq!(lines.note(Once::Reference, &set).await.unwrap().len(), 100);
    }
    for line in [0, 77_777, 199_999] {
        let first = lines.note(Once::Reference, &[(reference(line), 1_000_000)]).await.unwrap();
        assert_eq!(first, [(reference(line), line)].into());
    }
}
