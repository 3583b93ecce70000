use core::time::Duration;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use strikewire_types::{Mono, Now};

use super::{BudgetConfig, Stored};

/// No stored budget is longer.
const MAX_LENGTH: u64 = 4096;

/// How often a file that cannot be written is complained of.
const COMPLAINT: Duration = Duration::from_secs(60);

/// The file that a budget is kept in, if any.
///
/// A crash leaves the state before or after a [`store`](Self::store) in it, and never
/// something in between: it is written beside the file, and renamed over it.
#[derive(Debug)]
pub struct BudgetFile {
    path: Option<PathBuf>,
    complained: Option<Mono>,
}

impl BudgetFile {
    /// The file of `config`.
    #[must_use]
    pub fn new(config: &BudgetConfig) -> Self {
        Self {
            path: config.path.clone(),
            complained: None,
        }
    }

    /// What was stored; none when nothing was. A file that cannot be read or understood
    /// yields [one attempt](Stored::one_attempt), which is logged.
    #[must_use]
    pub fn load(&self, config: &BudgetConfig, now: Now) -> Option<Stored> {
        let path = self.path.as_deref()?;
        let reason = match read(path) {
            Ok(text) => match Stored::from_json(&text) {
                Ok(stored) => return Some(stored),
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            path = %path.display(),
            reason,
            "the connect budget cannot be read: one attempt is taken to be left"
        );
        Some(Stored::one_attempt(config, now.utc))
    }

    /// Writes `stored`, so that it survives a crash from now on. Says whether it does; a
    /// failure is logged, though not every time.
    pub fn store(&mut self, stored: &Stored, now: Mono) -> bool {
        let Some(path) = self.path.as_deref() else {
            return true;
        };
        let Err(error) = write(path, &stored.to_json()) else {
            self.complained = None;
            return true;
        };
        if self
            .complained
            .is_none_or(|before| now.since(before) >= COMPLAINT)
        {
            self.complained = Some(now);
            tracing::warn!(
                path = %path.display(),
                %error,
                "the connect budget cannot be written: a restart may connect too often"
            );
        }
        false
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_LENGTH)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    let mut beside = name.to_owned();
    beside.push(".new");
    let beside = path.with_file_name(beside);
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The new name, too, has to reach the disk.
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
