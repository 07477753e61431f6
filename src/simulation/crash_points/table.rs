//! The table of what was played, as Markdown: points that follow one another in a unit of work and came to the same share a row, and
//! where both databases came to the same they share it too.

use std::fmt::Write as _;

use super::deaths::{Place, Point};
use super::{Played, Row};

/// Everything that was played, in order; a scenario's databases stand beside each other.
pub fn markdown(played: &[Vec<Played>]) -> String {
    let mut text = String::new();
    head(&mut text, played);
    for databases in played {
        section(&mut text, databases);
    }
    text
}

fn head(text: &mut String, played: &[Vec<Played>]) {
    let all = || played.iter().flatten();
    let rows = || all().flat_map(|it| &it.rows);
    let mut names: Vec<&str> = all().map(|it| it.database).collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    names.dedup();
    let counts: Vec<String> = names
        .iter()
        .map(|name| {
            let points: usize = all().filter(|it| it.database == *name).map(|it| it.rows.len()).sum();
            format!("**{points}** on {name}")
        })
        .collect();
    let (doubled, lost) = (rows().filter(|it| it.doubled).count(), rows().filter(|it| it.lost).count());
    let broken: usize = rows().map(|it| it.breaches.len()).sum();
    let _never_fails = writeln!(
        text,
        "# Crash points\n\n\
         Written by `DUES_WRITE_TABLES=1 cargo test --test stories crash_points`; not to be edited. The same test plays it all and fails where \
         this file is outdated.\n\n\
         Points at which the process was ended: {}. Charged twice: **{doubled}**. Not charged: **{lost}**. Other promises broken: \
         **{broken}**.\n",
        counts.join(", ")
    );
    text.push_str(INTRODUCTION);
}

const INTRODUCTION: &str = "\
Each scenario is the course of one charge of HK$128.00 through the production engine, a real database and the sandbox, under a clock \
that is turned by hand. It is played once to count its points, then once for each of them: the process ends there, with its work, its \
memory and its connections; five seconds later the next one starts on what is left, works until nothing is left to do, and the books \
are held against the gateway's: at most one capture a period, every period paid, equal sums, `finance_exceptions` empty, no key sent \
again within 30 s, past its life or beside a live attempt.

A point stands before a unit of work begins, before each of its statements, before and after its commit, before each read outside one, \
and on both sides of each call of the gateway. Points that follow one another in one unit and came to the same share a row. *Left \
behind* is the state of the charge and of its attempts, as the next start found them, and how many payments the gateway had. *Payments* \
and *captured* are the gateway's in the end. Where a unit is marked with a database, only that one has it so; everything else came out \
the same on both.
";

/// A unit of work: its name and its rows, ready to be compared with another database's.
#[derive(Debug, PartialEq, Eq)]
struct Unit {
    name: String,
    lines: Vec<String>,
}

fn section(text: &mut String, databases: &[Played]) {
    let Some(first) = databases.first() else { return };
    let counts: Vec<String> = databases.iter().map(|it| format!("{} on {}", it.rows.len(), it.database)).collect();
    let _never_fails = writeln!(
        text,
        "\n## {}\n\n{}\n\nUndisturbed: {}. Points: {}.\n\n\
         | unit of work | points | the process ends | left behind | the next start | payments | captured |\n\
         |---|---:|---|---|---|---:|---:|",
        first.scenario.title,
        first.scenario.story,
        first.undisturbed,
        counts.join(", ")
    );
    let units: Vec<Vec<Unit>> = databases.iter().map(|it| units(&it.rows)).collect();
    let names: Vec<&str> = databases.iter().map(|it| it.database).collect();
    match &units[..] {
        [one, other] => side_by_side(text, [(names[0], one), (names[1], other)]),
        _ => units.iter().flatten().for_each(|unit| write_unit(text, unit, None)),
    }
}

fn side_by_side(text: &mut String, [(one_name, one), (other_name, other)]: [(&str, &Vec<Unit>); 2]) {
    let (mut i, mut j) = (0, 0);
    while i < one.len() || j < other.len() {
        match (one.get(i), other.get(j)) {
            (Some(a), Some(b)) if a == b => {
                write_unit(text, a, None);
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), Some(b)) if a.name == b.name => {
                write_unit(text, a, Some(one_name));
                write_unit(text, b, Some(other_name));
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), b) if b.is_none() || !other[j..].iter().any(|it| it.name == a.name) => {
                write_unit(text, a, Some(one_name));
                i += 1;
            }
            (_, Some(b)) => {
                write_unit(text, b, Some(other_name));
                j += 1;
            }
            (_, None) => return,
        }
    }
}

fn write_unit(text: &mut String, unit: &Unit, only: Option<&str>) {
    for (place, line) in unit.lines.iter().enumerate() {
        let name = match only {
            _ if place > 0 => String::new(),
            None => unit.name.clone(),
            Some(database) => format!("{} ({database})", unit.name),
        };
        let _never_fails = writeln!(text, "| {name} | {line} |");
    }
}

fn units(rows: &[Row]) -> Vec<Unit> {
    let mut units = Vec::new();
    for of_one in rows.chunk_by(|one, other| one.point.unit == other.point.unit) {
        let lines = of_one.chunk_by(came_to_the_same).map(line).collect();
        let Point { name, place, .. } = of_one[0].point;
        let name = if place == Place::Read { format!("a read of {name}") } else { name.to_owned() };
        units.push(Unit { name, lines });
    }
    units
}

fn came_to_the_same(one: &Row, other: &Row) -> bool {
    let point = one.point;
    *one == Row { point, ..other.clone() }
}

/// One row of the table, but for its unit.
fn line(rows: &[Row]) -> String {
    let Row { left, left_payments, did, payments, captured, breaches, .. } = &rows[0];
    let mut did = did.clone();
    for breach in breaches {
        let _never_fails = write!(did, "; **BROKEN: {breach}**");
    }
    let at_gateway = match left_payments {
        0 => String::new(),
        1 => "; 1 payment".to_owned(),
        more => format!("; {more} payments"),
    };
    format!("{} | {} | {left}{at_gateway} | {did} | {payments} | {captured}", rows.len(), places(rows))
}

fn places(rows: &[Row]) -> String {
    let statements = |rows: &[Row]| {
        let numbers: Vec<u32> = rows
            .iter()
            .filter_map(|row| match row.point.place {
                Place::Statement(number) => Some(number),
                _ => None,
            })
            .collect();
        match numbers[..] {
            [] => None,
            [one] => Some(format!("statement {one}")),
            [first, .., last] => Some(format!("statements {first}–{last}")),
        }
    };
    let has = |place: Place| rows.iter().any(|row| row.point.place == place);
    let [row] = rows else {
        let mut before: Vec<String> = Vec::new();
        before.extend(has(Place::Begin).then(|| "its begin".to_owned()));
        before.extend(statements(rows));
        before.extend(has(Place::Commit).then(|| "its commit".to_owned()));
        let mut said = Vec::new();
        if !before.is_empty() {
            said.push(format!("before {}", before.join(", ")));
        }
        said.extend(has(Place::Committed).then(|| Place::Committed.to_string()));
        said.extend(has(Place::Call).then(|| Place::Call.to_string()));
        said.extend(has(Place::Called).then(|| Place::Called.to_string()));
        return said.join("; ");
    };
    row.point.place.to_string()
}
