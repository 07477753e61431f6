//! Whose a SQLite file is. It is made by whoever runs the first command on it, and the daemon that runs as another user cannot write it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The system's file of users (passwd(5)): name, password, number and more, between colons.
const USERS: &str = "/etc/passwd";

/// To whom a SQLite file and its directory belong, where these are two.
pub fn two_owners(path: &Path) -> Option<(String, String)> {
    let file = std::fs::metadata(path).ok()?.uid();
    let directory = std::fs::metadata(directory_of(path)).ok()?.uid();
    (file != directory).then(|| (name_of(file), name_of(directory)))
}

/// The directory in which a file stands.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name of a user; the number where there is none.
fn name_of(user: u32) -> String {
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    named(&users, user).map_or_else(|| user.to_string(), str::to_owned)
}

fn named(users: &str, user: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(user)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_called_by_the_name_that_the_system_knows() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\ndues:x:998:997::/:/usr/sbin/nologin\n";
        assert_eq!([0, 998, 997].map(|user| named(users, user)), [Some("root"), Some("dues"), None]);
    }

    #[test]
    fn what_one_user_made_in_a_directory_of_its_own_is_told_of_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dues.db");
        std::fs::write(&path, "").unwrap();
        assert_eq!(two_owners(&path), None);
        // Only root can give a directory away.
        if std::os::unix::fs::chown(directory.path(), Some(4_000_000), None).is_ok() {
            assert_eq!(two_owners(&path), Some(("root".to_owned(), "4000000".to_owned())));
        }
    }
}
