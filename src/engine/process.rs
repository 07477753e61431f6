//! Which process this is, in a word that no other process ever has, and whether one so named is alive: the machine's boot, the
//! process's number, and when it was started since that boot.

use std::fs::read_to_string;

/// A machine that does not tell which it is.
const UNKNOWN: &str = "unknown";

/// This process.
pub(super) fn this() -> String {
    let id = std::process::id();
    format!("{}/{id}/{}", boot(), started(id).unwrap_or_default())
}

/// Whether a process is, or was, of this machine since it was started last.
pub(super) fn is_of_this_machine(process: &str) -> bool {
    let this = boot();
    this != UNKNOWN && process.split('/').next() == Some(this.as_str())
}

/// Whether a process of this machine is alive. Its number alone does not tell, for numbers are used again.
pub(super) fn is_alive(process: &str) -> bool {
    let mut parts = process.split('/').skip(1);
    let id: Option<u32> = parts.next().and_then(|id| id.parse().ok());
    let when = parts.next().and_then(|ticks| ticks.parse().ok());
    id.is_some_and(|id| started(id).is_some_and(|ticks| Some(ticks) == when))
}

/// The machine's boot, or the machine where a hardened service may not see that; and the namespace in which processes are counted.
fn boot() -> String {
    let read =
        ["/proc/sys/kernel/random/boot_id", "/etc/machine-id"].into_iter().find_map(|path| read_to_string(path).ok());
    let Some(id) = read.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()) else { return UNKNOWN.to_owned() };
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok();
    let namespace: String =
        namespace.iter().flat_map(|it| it.to_str()).flat_map(str::chars).filter(char::is_ascii_digit).collect();
    format!("{id}.{namespace}")
}

/// When a process was started, in ticks since boot: the 22nd field of its line (proc_pid_stat(5)), counted from behind the name, which
/// may hold spaces.
fn started(id: u32) -> Option<u64> {
    let line = read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(')')?;
    // A process that has ended and was not yet waited for works on nothing any more.
    let mut fields = rest.split_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_one_with_its_number_from_another_time_is_not() {
        let process = this();
        assert!(is_of_this_machine(&process) && is_alive(&process), "{process}");
        let (before, ticks) = process.rsplit_once('/').unwrap();
        let other = ticks.parse::<u64>().unwrap() + 1;
        assert!(!is_alive(&format!("{before}/{other}")));
        assert!(!is_of_this_machine("another-boot/1/1"));
        assert!(!is_alive("another-boot/4000000000/1") && !is_alive("nonsense"));
    }
}
