//! The file under import, which is read more than once: first to see whether the days' plans have room for it. What cannot be read again,
//! such as a pipe, is copied into a temporary file that has no name.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Names of files that a process has open already, wherever they stand.
const NAMES_OF_OTHERS: [&str; 5] = ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

/// So many names are tried for a temporary file.
const MOST_NAMES: u32 = 1_000;

/// An open file that can be read again from its beginning.
#[derive(Debug)]
pub struct Input {
    /// What messages call it.
    pub shown: PathBuf,
    /// The file.
    pub file: File,
}

impl Input {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// Where it cannot be opened, or not be copied.
    pub fn open(path: &Path) -> io::Result<Input> {
        if path == Path::new(STANDARD_INPUT) {
            let file = copy(&mut io::stdin().lock())?;
            return Ok(Input { shown: "standard input".into(), file });
        }
        let mut file = File::open(path)?;
        let shown = path.to_owned();
        if file.metadata()?.is_file() {
            return Ok(Input { shown, file });
        }
        Ok(Input { shown, file: copy(&mut file)? })
    }

    /// Whether it stands in no directory in which a rejects file could stand beside it. Names such as /dev/stdin may lead to a file that stands
    /// elsewhere.
    pub fn is_placeless(path: &Path) -> bool {
        path == Path::new(STANDARD_INPUT)
            || NAMES_OF_OTHERS.iter().any(|names| path.starts_with(names))
            || std::fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir())
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.file.metadata().map(|it| it.len()).unwrap_or_default()
    }
}

/// A copy that goes with the process, wherever SQLite would put its own. It names people: nobody else can read it.
fn copy(from: &mut impl io::Read) -> io::Result<File> {
    let directory = env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    for n in 0..MOST_NAMES {
        let path = directory.join(format!("dues-import-{}-{n}", std::process::id()));
        let mut file = match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        std::fs::remove_file(&path)?;
        io::copy(from, &mut file)?;
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files are left where TMPDIR says"))
}
