//! The service manager: whether the unit is installed, what it lacks, whether its credentials are there, and, where it runs this very
//! process, what it has handed over. The unit files are read, not the manager asked: that works for every user, and in an image too.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Finding, Part};
use crate::config::Settings;
use crate::config::secret::CREDENTIAL;

const UNIT: &str = "dues.service";
/// Where the manager says that it runs (`sd_booted(3)`).
const BOOTED: &str = "run/systemd/system";
/// Where units stand, the first before the others (`systemd.unit(5)`).
const UNIT_DIRECTORIES: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// There while the unit is active; the manager keeps it (`unit_export_invocation_id` in its sources).
const ACTIVE: &str = "run/systemd/units/invocation:dues.service";
const EDIT: &str = "take the line from the project's systemd/dues.service, then: systemctl daemon-reload";
/// Group and others: nobody but the owner reads a secret.
const NOT_THE_OWNER: u32 = 0o077;

/// What the unit files under `root` say, and the environment that the manager sets.
pub(super) fn examine(root: &Path, environment: &[(String, String)], settings: Option<&Settings>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(path) = masked(root) {
        findings.push(Part::Systemd.fault(
            format!("{} is masked: the manager never starts the daemon", path.display()),
            "systemctl unmask dues, then: systemctl enable --now dues",
        ));
        return findings;
    }
    match Unit::read(root) {
        Some(unit) => unit.examine(root, settings, &mut findings),
        None if root.join(BOOTED).is_dir() => findings.push(Part::Systemd.note(
            "there is no unit dues.service here; the project's systemd/dues.service is one, and a daemon in a terminal needs none",
        )),
        None => {
            findings.push(Part::Systemd.note("there is no systemd here; whatever starts the daemon must start it again"));
            return findings;
        }
    }
    findings.extend(handed_over(environment));
    findings
}

/// What the manager has handed to this process, where it runs it.
fn handed_over(environment: &[(String, String)]) -> Vec<Finding> {
    let variable = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Some(socket) = variable("NOTIFY_SOCKET") else { return Vec::new() };
    let mut findings = Vec::new();
    // A name that begins with @ stands in no file system.
    findings.push(if socket.starts_with('@') || Path::new(socket).exists() {
        Part::Systemd.ok("NOTIFY_SOCKET is there: the manager hears when the daemon is ready")
    } else {
        let text = "NOTIFY_SOCKET names a socket that is not there: the manager never hears that the daemon is ready";
        Part::Systemd.fault(text, "start the daemon by its unit, with Type=notify and NotifyAccess=main")
    });
    findings.push(match variable("WATCHDOG_USEC") {
        Some(_) => Part::Systemd.ok("the manager's watchdog watches this process"),
        None => Part::Systemd.warning("the manager's watchdog does not watch this process", EDIT),
    });
    findings
}

/// The link that masks the unit, where there is one: what stands in the first directory that has the unit counts.
fn masked(root: &Path) -> Option<PathBuf> {
    let paths = UNIT_DIRECTORIES.map(|directory| root.join(directory).join(UNIT));
    let first = paths.into_iter().find(|path| path.symlink_metadata().is_ok())?;
    // An empty file masks it too.
    let is_empty = std::fs::metadata(&first).is_ok_and(|file| file.is_file() && file.len() == 0);
    let is_null = std::fs::read_link(&first).is_ok_and(|target| target == Path::new("/dev/null"));
    (is_empty || is_null).then_some(first)
}

/// Whether some target wants the unit, so that it is started with the machine.
fn is_enabled(root: &Path) -> bool {
    UNIT_DIRECTORIES.iter().any(|directory| {
        let entries = std::fs::read_dir(root.join(directory)).into_iter().flatten().flatten();
        let wants =
            |path: &Path| path.extension().is_some_and(|it| it == "wants" || it == "requires" || it == "upholds");
        entries.map(|entry| entry.path()).any(|path| wants(&path) && path.join(UNIT).symlink_metadata().is_ok())
    })
}

/// A unit with its drop-in files: the assignments of `[Service]`, in order.
struct Unit {
    path: PathBuf,
    assignments: Vec<(String, String)>,
}

impl Unit {
    fn read(root: &Path) -> Option<Unit> {
        let directories = UNIT_DIRECTORIES.map(|directory| root.join(directory));
        let path = directories.iter().map(|it| it.join(UNIT)).find(|it| it.is_file())?;
        let mut assignments = service_section(&std::fs::read_to_string(&path).ok()?);
        // Of two drop-in files with one name the first directory's counts; all of them are read in the order of their names.
        let mut drop_ins: Vec<PathBuf> = Vec::new();
        for directory in &directories {
            let entries = std::fs::read_dir(directory.join(format!("{UNIT}.d"))).into_iter().flatten().flatten();
            for file in entries.map(|entry| entry.path()).filter(|it| it.extension().is_some_and(|it| it == "conf")) {
                if drop_ins.iter().all(|it| it.file_name() != file.file_name()) {
                    drop_ins.push(file);
                }
            }
        }
        drop_ins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        for file in drop_ins {
            assignments.extend(service_section(&std::fs::read_to_string(file).unwrap_or_default()));
        }
        Some(Unit { path, assignments })
    }

    /// What counts in the end; empty where the key is not set.
    fn last(&self, key: &str) -> &str {
        self.assignments.iter().rev().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// Every value of a list; an empty one takes back what stands before it.
    fn list(&self, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for (_, value) in self.assignments.iter().filter(|(name, _)| name == key) {
            if value.is_empty() {
                values.clear();
            } else {
                values.push(value.as_str());
            }
        }
        values
    }

    fn examine(&self, root: &Path, settings: Option<&Settings>, findings: &mut Vec<Finding>) {
        let before = findings.len();
        let shown = self.path.display();
        let mut lacks = |text: &str| findings.push(Part::Systemd.warning(format!("{shown} {text}"), EDIT));
        if self.last("Type") != "notify" && self.last("Type") != "notify-reload" {
            lacks("has no Type=notify: the manager takes the daemon for ready before it is");
        }
        if matches!(self.last("WatchdogSec"), "" | "0") {
            lacks("has no WatchdogSec=: a daemon that hangs is not started again");
        }
        if matches!(self.last("Restart"), "" | "no") {
            lacks("has no Restart=: a daemon that fails is not started again");
        }
        if !self.last("RestartPreventExitStatus").split_whitespace().any(|status| status == "78") {
            lacks("has no RestartPreventExitStatus=78: a wrong config is tried again and again");
        }
        let program = self.list("ExecStart").into_iter().next_back().unwrap_or_default();
        let program =
            program.trim_start_matches(['@', '-', ':', '+', '!']).split_whitespace().next().unwrap_or_default();
        if program.starts_with('/') && !within(root, program).exists() {
            let text = format!("{shown} starts {program}, which is not there");
            findings.push(Part::Systemd.fault(text, "install the program there, or mend ExecStart="));
        }
        self.credentials(root, settings, findings);
        if !is_enabled(root) {
            let text = "dues.service is not enabled: after the machine starts again no daemon runs";
            findings.push(Part::Systemd.warning(text, "systemctl enable dues"));
        }
        if root.join(BOOTED).is_dir() && root.join(ACTIVE).symlink_metadata().is_err() {
            findings.push(Part::Systemd.note("the manager does not run dues.service now: systemctl status dues"));
        }
        if findings.len() == before {
            findings.push(
                Part::Systemd
                    .ok(format!("{shown} is installed, enabled and active: notify, watchdog, restart, credentials")),
            );
        }
    }

    fn credentials(&self, root: &Path, settings: Option<&Settings>, findings: &mut Vec<Finding>) {
        let plain = self.list("LoadCredential");
        let sealed = self.list("LoadCredentialEncrypted");
        let named = |line: &&str| line.split(':').next() == Some(CREDENTIAL);
        let wanted = settings.is_some_and(|it| it.gateway.secret_key_file.is_none());
        let held = self.list("SetCredentialEncrypted");
        if wanted && ![&plain, &sealed, &held].into_iter().flatten().any(named) {
            findings.push(Part::Systemd.warning(
                format!(
                    "{} hands over no credential {CREDENTIAL}, and gateway.secret_key_file is empty",
                    self.path.display()
                ),
                format!("add LoadCredential={CREDENTIAL}:/etc/dues/{CREDENTIAL}, then: systemctl daemon-reload"),
            ));
        }
        for (line, is_plain) in plain.iter().map(|it| (it, true)).chain(sealed.iter().map(|it| (it, false))) {
            // Without a path the manager looks in places of its own.
            let Some((_, path)) = line.split_once(':').filter(|(_, path)| path.starts_with('/')) else { continue };
            match std::fs::metadata(within(root, path)) {
                Ok(file) if is_plain && file.permissions().mode() & NOT_THE_OWNER != 0 => {
                    let text = format!("others than its owner may read {path}, which holds a secret");
                    findings.push(Part::Systemd.warning(text, format!("chmod 0600 {path}")));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let text =
                        format!("the unit's credential {path} is not there: the manager will not start the daemon");
                    findings.push(Part::Systemd.fault(text, "write it there, as root, or take the line out"));
                }
                Err(error) => {
                    let reason = error.kind();
                    findings.push(
                        Part::Systemd
                            .note(format!("whether the unit's credential {path} is there is not known: {reason}")),
                    );
                }
            }
        }
    }
}

/// An absolute path of the machine whose file system begins at `root`.
fn within(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The assignments of `[Service]`, without comments, with continued lines put together (`systemd.syntax(7)`).
fn service_section(text: &str) -> Vec<(String, String)> {
    let mut assignments = Vec::new();
    let mut is_service = false;
    let mut pending = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) || (line.is_empty() && pending.is_empty()) {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            pending.push_str(begun);
            pending.push(' ');
            continue;
        }
        let whole = std::mem::take(&mut pending) + line;
        if whole.starts_with('[') {
            is_service = whole == "[Service]";
        } else if let Some((key, value)) = whole.split_once('=').filter(|_| is_service) {
            assignments.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    assignments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::doctor::Level;

    const SHIPPED: &str = include_str!("../../../systemd/dues.service");

    /// A machine that systemd runs, with a file at each of these paths.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join(BOOTED)).unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        for link in [ENABLED, ACTIVE] {
            let link = root.path().join(link);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink("/nowhere", link).unwrap();
        }
        root
    }

    fn told(root: &Path) -> Vec<(Level, String)> {
        examine(root, &[], None).into_iter().map(|it| (it.level, it.text)).collect()
    }

    /// What `systemctl enable` makes.
    const ENABLED: &str = "etc/systemd/system/multi-user.target.wants/dues.service";
    const KEY: (&str, &str) = ("etc/dues/checkout-secret-key", "sk_sbox_simulated");
    const PROGRAM: (&str, &str) = ("usr/bin/dues", "");

    #[test]
    fn the_unit_that_is_shipped_lacks_nothing() {
        let root = machine(&[("usr/lib/systemd/system/dues.service", SHIPPED), KEY, PROGRAM]);
        let told = told(root.path());
        assert!(
            told.len() == 1 && told[0].0 == Level::Ok && told[0].1.contains("is installed, enabled and active"),
            "{told:?}"
        );
    }

    #[test]
    fn no_systemd_and_no_unit_are_notes() {
        let bare = tempfile::tempdir().unwrap();
        assert!(matches!(&told(bare.path())[..], [(Level::Note, text)] if text.contains("no systemd")));
        assert!(matches!(&told(machine(&[]).path())[..], [(Level::Note, text)] if text.contains("no unit")));
    }

    #[test]
    fn a_unit_that_is_masked_not_enabled_or_not_active_is_told() {
        let unit = [("usr/lib/systemd/system/dues.service", SHIPPED), KEY, PROGRAM];
        let root = machine(&unit);
        std::fs::remove_file(root.path().join(ENABLED)).unwrap();
        let seen = told(root.path());
        assert!(seen.len() == 1 && seen[0].0 == Level::Warning && seen[0].1.contains("is not enabled"), "{seen:?}");

        let root = machine(&unit);
        std::fs::remove_file(root.path().join(ACTIVE)).unwrap();
        let seen = told(root.path());
        assert!(seen.len() == 1 && seen[0].0 == Level::Note && seen[0].1.contains("does not run"), "{seen:?}");

        let root = machine(&unit);
        std::os::unix::fs::symlink("/dev/null", root.path().join("etc/systemd/system/dues.service")).unwrap();
        let seen = told(root.path());
        assert!(seen.len() == 1 && seen[0].0 == Level::Fault && seen[0].1.contains("is masked"), "{seen:?}");
    }

    #[test]
    fn what_a_unit_lacks_is_told_line_by_line() {
        for (line, word) in [
            ("Type=notify\n", "Type=notify"),
            ("WatchdogSec=60\n", "WatchdogSec="),
            ("Restart=on-failure\n", "Restart="),
            ("RestartPreventExitStatus=78\n", "RestartPreventExitStatus=78"),
        ] {
            assert!(SHIPPED.contains(line), "{line}");
            let unit = SHIPPED.replace(line, "");
            let root = machine(&[("etc/systemd/system/dues.service", &unit), KEY, PROGRAM]);
            let told = told(root.path());
            assert!(told.len() == 1 && told[0].0 == Level::Warning && told[0].1.contains(word), "{line}: {told:?}");
        }
    }

    #[test]
    fn a_credential_or_program_that_is_missing_is_a_fault_and_an_open_one_a_warning() {
        let unit = ("usr/lib/systemd/system/dues.service", SHIPPED);
        let missing = told(machine(&[unit, PROGRAM]).path());
        assert!(missing.len() == 1 && missing[0].0 == Level::Fault && missing[0].1.contains(CREDENTIAL), "{missing:?}");
        let missing = told(machine(&[unit, KEY]).path());
        assert!(
            missing.len() == 1 && missing[0].0 == Level::Fault && missing[0].1.contains("/usr/bin/dues"),
            "{missing:?}"
        );
        let root = machine(&[unit, KEY, PROGRAM]);
        std::fs::set_permissions(root.path().join(KEY.0), std::fs::Permissions::from_mode(0o644)).unwrap();
        let open = told(root.path());
        assert!(open.len() == 1 && open[0].0 == Level::Warning && open[0].1.contains("may read"), "{open:?}");
    }

    #[test]
    fn drop_in_files_count_and_an_empty_list_takes_back() {
        let unit = ("usr/lib/systemd/system/dues.service", SHIPPED);
        let drop_in = ("etc/systemd/system/dues.service.d/10.conf", "[Service]\nWatchdogSec=0\nLoadCredential=\n");
        let hidden = ("usr/lib/systemd/system/dues.service.d/10.conf", "[Service]\nRestart=no\n");
        let told = told(machine(&[unit, drop_in, hidden, PROGRAM]).path());
        assert!(told.len() == 1 && told[0].1.contains("WatchdogSec="), "{told:?}");
    }

    #[test]
    fn what_the_manager_hands_over_is_looked_at() {
        let levels = |variables: &[(&str, &str)]| {
            let owned: Vec<_> = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            handed_over(&owned).into_iter().map(|it| it.level).collect::<Vec<_>>()
        };
        assert_eq!(levels(&[]), []);
        assert_eq!(levels(&[("NOTIFY_SOCKET", "@dues"), ("WATCHDOG_USEC", "60000000")]), [Level::Ok, Level::Ok]);
        assert_eq!(levels(&[("NOTIFY_SOCKET", "/no/such/socket")]), [Level::Fault, Level::Warning]);
    }

    #[test]
    fn lines_are_put_together_and_other_sections_left_out() {
        let text = "[Unit]\nType=idle\n[Service]\n# Type=simple\nExecStart=/usr/bin/dues run \\\n  --config x\nType = notify\n";
        let expected = [("ExecStart", "/usr/bin/dues run  --config x"), ("Type", "notify")];
        assert_eq!(service_section(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
