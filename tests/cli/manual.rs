//! Man pages and completions: made of the command line itself, whole, and sound to the programs that read them.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::doors::COMMANDS;
use crate::shop::{Shop, said};

#[test]
fn every_command_has_its_page() {
    let shop = Shop::without_books();
    let said = said(&mut shop.bare(&["man", "pages"]));
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let pages = std::fs::read_dir(shop.path("pages")).unwrap();
    let pages: BTreeSet<String> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let mut wanted = BTreeSet::from(["dues.1".to_owned()]);
    for command in COMMANDS {
        // The page of `dues charge list`, and that of `dues charge`.
        wanted.extend((1..=command.len()).map(|depth| format!("dues-{}.1", command[..depth].join("-"))));
    }
    assert_eq!(pages, wanted);
    assert_eq!(said.out, format!("{} pages in pages\n", wanted.len()));
    for page in wanted {
        let text = std::fs::read_to_string(shop.path("pages").join(&page)).unwrap();
        let status = text.split(".SH \"EXIT STATUS\"").nth(1).unwrap_or_else(|| panic!("{page} tells no exit codes"));
        assert!(status.contains("\n78\nwrong config"), "{page}: {status}");
        let is_group = COMMANDS.iter().any(|command| command.len() > 1 && page == format!("dues-{}.1", command[0]));
        assert_eq!(text.contains("\n.SH EXAMPLES\n.nf\n"), !is_group, "{page}");
    }
}

#[test]
fn a_formatter_finds_nothing_wrong_with_a_page() {
    let groff = |arguments: &[&str]| {
        Command::new("groff").args(arguments).stdin(Stdio::null()).output().map(|output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&output.stdout), text(&output.stderr))
        })
    };
    let shop = Shop::without_books();
    assert_eq!(said(&mut shop.bare(&["man", "pages"])).code, 0);
    // tests/run installs it; a machine without it has at least written the pages.
    if groff(&["--version"]).is_err() {
        return;
    }
    for page in std::fs::read_dir(shop.path("pages")).unwrap() {
        let path = page.unwrap().path();
        let (_, warnings) = groff(&["-man", "-Tutf8", "-ww", "-z", path.to_str().unwrap()]).unwrap();
        assert_eq!(warnings, "", "{}", path.display());
    }
    let path = shop.path("pages").join("dues-report.1");
    let (shown, _) = groff(&["-man", "-Tascii", "-P-c", path.to_str().unwrap()]).unwrap();
    assert!(shown.contains("dues report chase"), "{shown}");
}

#[test]
fn a_shell_accepts_its_completions_and_bash_knows_the_reports() {
    let shop = Shop::without_books();
    for shell in ["bash", "zsh", "fish"] {
        let said = said(&mut shop.bare(&["completions", shell]));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{shell}");
        for word in ["resume-collecting", "--csv", "--set"] {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(said.out.contains(word), "{shell}: {word} is missing");
        }
        // The ways to resolve a case: the scripts of bash and fish know no words for a second argument.
        assert!(shell != "zsh" || said.out.contains("not-charged"), "{shell}");
        shop.write(shell, &said.out);
    }
    let checked = Command::new("bash").arg("-n").arg(shop.path("bash")).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    // What the shell offers behind `dues report re`.
    let ask =
        "source ./bash; COMP_WORDS=(dues report re); COMP_CWORD=2; _dues dues re report; echo \"${COMPREPLY[*]}\"";
    let offered = Command::new("bash").args(["-c", ask]).current_dir(shop.path(".")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), "reviews receipts recovered refunded", "{offered:?}");
    // The states of a list.
    for (typed, wanted) in [("charge list --state re", "retrying"), ("subscription list --state pa", "past_due paused")]
    {
        let words: Vec<&str> = typed.split(' ').collect();
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let ask = format!(
            "source ./bash; COMP_WORDS=(dues {typed}); COMP_CWORD={}; _dues dues {last} {before}; echo \"${{COMPREPLY[*]}}\"",
            words.len()
        );
        let offered = Command::new("bash").args(["-c", &ask]).current_dir(shop.path(".")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), wanted, "{typed}: {offered:?}");
    }
}

#[test]
fn neither_takes_a_config() {
    let shop = Shop::without_books();
    for command in [["man", "pages"], ["completions", "bash"]] {
        let said = said(&mut shop.bare(&[&["--config", "dues.toml"][..], &command].concat()));
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    }
}
