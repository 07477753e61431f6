//! Lists on real pseudo-terminals (`script` of util-linux makes them): they fit, whatever the width, and leave nothing out.

use std::process::{Command, Stdio};

use crate::shop::Shop;
use crate::support::world::On;

/// What `command` prints on a terminal of so many columns.
pub fn on_a_terminal(command: &Command, columns: u16, variables: &[(&str, &str)]) -> String {
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap());
    let words: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let line = format!("stty rows 50 cols {columns} && exec {}", words.join(" "));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
    script.env("DUES_SECRET_KEY", "sk_sbox_simulated").envs(variables.iter().copied()).stdin(Stdio::null());
    let output = script.output().unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_fits_its_terminal_and_leaves_nothing_out() {
    let shop = Shop::new(On::Sqlite).await;
    let lists = ["subscription list", "charge list", "review list --all", "plans", "report"];
    let mut lists: Vec<String> = lists.map(str::to_owned).into();
    let reports = shop.json(&["report", "--list"]);
    lists.extend(reports.as_array().unwrap().iter().map(|it| format!("report {}", it["name"].as_str().unwrap())));
    let letters = |text: &str| text.chars().filter(|it| !it.is_whitespace()).collect::<String>();
    for list in lists {
        let arguments: Vec<&str> = list.split(' ').collect();
        let piped = shop.dues(&arguments).out;
        let cells: Vec<&str> = piped.lines().skip(1).flat_map(|line| line.split("  ")).map(str::trim).collect();
        for columns in [40, 60, 80, 100] {
            let shown = on_a_terminal(&shop.command(&arguments), columns, &[("NO_COLOR", "1")]);
            let told = letters(&shown);
            for line in shown.lines() {
                let is_remark = line.starts_with("dues: ");
                let width = line.chars().count();
                assert!(is_remark || width <= usize::from(columns), "{list}: {width} of {columns} columns: {line}");
            }
            for cell in cells.iter().filter(|cell| !cell.is_empty()) {
                // Free text may stand beside other columns: its words are whole.
                let is_told = told.contains(&letters(cell)) || cell.split_whitespace().all(|word| shown.contains(word));
                assert!(is_told, "{list}: {cell:?} is lost on {columns} columns:\n{shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_on_a_terminal_is_coloured_unless_that_is_refused() {
    let shop = Shop::new(On::Sqlite).await;
    for columns in [80, 200] {
        let list =
            |variables: &[(&str, &str)]| on_a_terminal(&shop.command(&["subscription", "list"]), columns, variables);
        let coloured = list(&[]);
        assert!(coloured.contains("\u{1b}[1mREFERENCE"), "{coloured}");
        let plain = list(&[("NO_COLOR", "1")]);
        assert!(plain.contains("REFERENCE") && !plain.contains('\u{1b}'), "{plain}");
    }
}
