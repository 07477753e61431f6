//! A PostgreSQL of our own for tests: a fresh cluster in a temporary directory, reached only through a socket in it.
//! It runs as the server does in production, `fsync` and all; nothing of it outlives the test program.

#![expect(clippy::panic, reason = "a test that has no database can only fail, and says why")]
#![allow(dead_code, reason = "every test program compiles this file and none uses all of it, so `expect` cannot hold")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// The port is only a part of the socket's name. It is written down so that `PGPORT` cannot change it.
const PORT: &str = "5432";

/// What differs from PostgreSQL's defaults.
const SETTINGS: &str = "listen_addresses = ''\nport = 5432\nshared_buffers = 64MB\nmax_connections = 100\n";

/// Reads until the test program has closed its end of the pipe, which the kernel does however that program ends.
/// The signals that end a test run from the terminal are ignored, for the run's end is what this waits for.
/// `$1` is the directory, the rest the command that runs `pg_ctl`. A server that was just starting gets a second stop.
const GUARD: &str = r#"
trap '' INT TERM HUP
directory=$1; shift
cd /
while read -r _; do :; done
for _ in 1 2 3; do
    "$@" -D "$directory/data" -m immediate stop
    rm -rf "$directory"
    [ -e "$directory" ] || exit 0
    sleep 1
done
"#;

/// A running PostgreSQL, stopped and removed when it is dropped or when the process ends.
pub struct Cluster {
    directory: PathBuf,
    programs: PathBuf,
    guard: Child,
    databases: AtomicU32,
}

impl Cluster {
    /// The test program's one cluster, started when first asked for. Keep apart by [`Cluster::new_database`].
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Cluster::start_own)
    }

    /// A cluster for a test that stops it.
    pub fn start_own() -> Cluster {
        let cluster = Cluster::lay_out();
        cluster
            .run("initdb", &["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        cluster.configure(SETTINGS);
        cluster.start();
        cluster
    }

    /// A standby that follows this cluster, in a directory of its own.
    pub fn start_standby(&self) -> Cluster {
        let standby = Cluster::lay_out();
        let host = self.directory.display().to_string();
        let copied = ["-h", &host, "-p", PORT, "-U", "postgres", "-D", "data", "-R", "-c", "fast", "--no-sync"];
        standby.run("pg_basebackup", &copied);
        standby.configure("");
        standby.start();
        standby
    }

    /// An empty directory, and the guard that removes it.
    fn lay_out() -> Cluster {
        let programs = find_programs();
        let directory = new_directory();
        let guard = start_guard(directory.path(), &programs);
        // From here on the guard removes it.
        Cluster { directory: directory.keep(), programs, guard, databases: AtomicU32::new(0) }
    }

    /// Writes settings behind those that are there, and where its socket is. The last one of a name counts.
    fn configure(&self, settings: &str) {
        let sockets = format!("unix_socket_directories = '{}'\n", self.directory.display());
        self.append("postgresql.conf", &(settings.to_owned() + &sockets));
    }

    fn append(&self, file: &str, settings: &str) {
        OpenOptions::new()
            .append(true)
            .open(self.directory.join("data").join(file))
            .and_then(|mut file| file.write_all(settings.as_bytes()))
            .expect("a cluster has its configuration files");
    }

    /// Makes an empty database and gives its URL.
    pub fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let host = self.directory.display().to_string();
        // template0 has no connections, so that two tests may copy it at the same time.
        self.run("createdb", &["-h", &host, "-p", PORT, "-U", "postgres", "-T", "template0", &name]);
        format!("postgres:///{name}?host={host}&port={PORT}&user=postgres")
    }

    /// Copies a database to which nobody is connected, and gives the copy's URL.
    pub fn copy_of(&self, url: &str) -> String {
        let name = format!("copy_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let of = url.split("postgres:///").nth(1).and_then(|rest| rest.split('?').next()).unwrap_or_default();
        let host = self.directory.display().to_string();
        self.run("createdb", &["-h", &host, "-p", PORT, "-U", "postgres", "-T", of, &name]);
        url.replace(of, &name)
    }

    /// Stops it in order: transactions are aborted, connections closed, everything is written.
    pub fn stop(&self) {
        self.run("pg_ctl", &["-D", "data", "-w", "-m", "fast", "stop"]);
    }

    /// Starts it after a stop.
    pub fn start(&self) {
        self.run("pg_ctl", &["-D", "data", "-w", "-t", "120", "-l", "log", "start"]);
    }

    /// Ends it as a crash would and starts it again; it recovers from its log.
    pub fn restart_immediate(&self) {
        self.crash();
        self.start();
    }

    /// Ends it as a crash would.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-D", "data", "-w", "-m", "immediate", "stop"]);
    }

    /// Stops every process of the server where it stands, as a machine that hangs would: connections stay open, and nothing is answered.
    pub fn freeze(&self) -> Frozen {
        let pid = fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap_or_default();
        let postmaster = pid.lines().next().unwrap_or_default().to_owned();
        assert!(!postmaster.is_empty(), "the server runs");
        signal("STOP", std::slice::from_ref(&postmaster));
        // From here on it makes no others.
        let mut processes = children_of(&postmaster);
        signal("STOP", &processes);
        processes.push(postmaster);
        Frozen(processes)
    }

    /// From now on a commit is answered when the standby has it on its disk.
    pub fn wait_for_standby(&self) {
        self.configure("synchronous_standby_names = '*'\n");
        self.run("pg_ctl", &["-D", "data", "reload"]);
        let host = self.directory.display().to_string();
        let query = "SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        for _ in 0..1200 {
            if self.run("psql", &["-h", &host, "-p", PORT, "-U", "postgres", "-Atc", query]).trim() == "1" {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        panic!("the standby does not follow within 30 s");
    }

    /// Makes a standby follow no longer: what is committed from now on, it never hears of.
    pub fn cut_off(&self) {
        // What pg_basebackup wrote of the primary stands in the file that counts before the other.
        self.append("postgresql.auto.conf", "primary_conninfo = 'host=/nowhere'\n");
        self.run("pg_ctl", &["-D", "data", "reload"]);
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        self.run("pg_ctl", &["-D", "data", "-w", "promote"]);
    }

    /// Where it lives, for a test that looks whether it is gone.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs one of the server's programs in the cluster's directory, and gives what it printed.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = as_owner(&self.programs.join(program))
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program} could not be run: {error}"));
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            panic!("{program} {arguments:?} failed, {}:\n{said}\nthe server's log:\n{log}", output.status);
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A server that stands still, until this is dropped.
pub struct Frozen(Vec<String>);

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

fn signal(name: &str, processes: &[String]) {
    let sent = Command::new("kill").arg(format!("-{name}")).args(processes).stderr(Stdio::null()).status();
    assert!(sent.is_ok_and(|status| status.success()) || name == "CONT", "SIG{name} reaches {processes:?}");
}

/// By their parent, which stands fourth in a line of the kernel's, behind a name that may have spaces.
fn children_of(parent: &str) -> Vec<String> {
    let is_child = |pid: &String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(parent)
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|it| it.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|it| it.is_ascii_digit()))
        .filter(is_child)
        .collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // Nothing can be done about a guard that failed; its directory is a temporary one.
        let _ = self.guard.wait();
    }
}

/// Started before anything that it must clear away. In a process group of its own, or the terminal's Ctrl-C and a
/// runner's time limit would end it with the test.
fn start_guard(directory: &Path, programs: &Path) -> Child {
    let stop = as_owner(&programs.join("pg_ctl"));
    Command::new("/bin/sh")
        .args(["-c", GUARD, "guard"])
        .arg(directory)
        .arg(stop.get_program())
        .args(stop.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("the shell that clears a test cluster away could not be started: {error}"))
}

/// A new directory, of PostgreSQL's user where we are root. Not below `TMPDIR`: a socket's path has 107 bytes at most.
fn new_directory() -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("dues-postgres-")
        .tempdir_in("/tmp")
        .unwrap_or_else(|error| panic!("a test cluster needs a directory in /tmp: {error}"));
    if is_root() {
        let owned = Command::new("chown").arg("postgres:").arg(directory.path()).status();
        assert!(
            owned.is_ok_and(|status| status.success()),
            "{} could not be given to the user postgres, whom the package postgresql makes: tests/run installs it",
            directory.path().display()
        );
    }
    directory
}

/// PostgreSQL refuses to run as root; then it runs as the user that its package has made.
fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// The directory of the server's programs. Debian keeps them apart from PATH, one directory a version: the newest is taken.
fn find_programs() -> PathBuf {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let places: [Vec<PathBuf>; 3] = [on_path, told_by_pg_config(), debian_versions()];
    let found = places.into_iter().flatten().find_map(|place| {
        // A link on the PATH, such as /usr/local/bin/initdb, leads to the directory that has them all.
        let programs = fs::canonicalize(place.join("initdb")).ok()?.parent()?.to_owned();
        ["pg_ctl", "postgres", "createdb"].iter().all(|name| programs.join(name).exists()).then_some(programs)
    });
    found.unwrap_or_else(|| {
        panic!(
            "PostgreSQL is not installed: initdb is neither on the PATH nor where pg_config or /usr/lib/postgresql \
             would have it. tests/run installs it (Debian: apt-get install postgresql)."
        )
    })
}

fn told_by_pg_config() -> Vec<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok();
    output.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).into_iter().collect()
}

fn debian_versions() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, programs)| programs).collect()
}
