//! What has come of a file so far, which a later run can go on with.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Which version of a file on a server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) url: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Version {
    /// What tells this version from all others, byte by byte. A weak tag does not.
    pub(super) fn strong(&self) -> Option<&str> {
        let tag = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        tag.or(self.last_modified.as_deref())
    }
}

/// `FILE` with something after its whole name.
pub(super) fn sidecar(target: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(target.as_os_str());
    name.push(ending);
    PathBuf::from(name)
}

/// `FILE.part`, and `FILE.part.json` that says of which version it is.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    about: PathBuf,
    file: File,
    len: u64,
    version: Version,
}

impl Part {
    /// Locked for as long as this is there.
    pub(super) fn open(target: &Path) -> anyhow::Result<Self> {
        let path = sidecar(target, ".part");
        let context = || format!("cannot write {}", path.display());
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(context)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run is writing {}", path.display())
            }
            Err(TryLockError::Error(error)) => {
                // Not every file system has locks.
                if error.kind() != std::io::ErrorKind::Unsupported {
                    return Err(error).with_context(context);
                }
            }
        }
        let len = file.metadata().with_context(context)?.len();
        let about = sidecar(&path, ".json");
        let version = fs::read(&about)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Ok(Self {
            path,
            about,
            file,
            len,
            version,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) const fn version(&self) -> &Version {
        &self.version
    }

    /// From where the file at `url` can go on, and what must not have changed for that.
    pub(super) fn resumable(&self, url: &str) -> Option<(u64, &str)> {
        let strong = self.version.strong()?;
        (self.len > 0 && self.version.url == url).then_some((self.len, strong))
    }

    /// Nothing has come yet of `version`.
    pub(super) fn restart(&mut self, version: Version) -> anyhow::Result<()> {
        let context = || format!("cannot write {}", self.path.display());
        self.file.set_len(0).with_context(context)?;
        self.file.seek(SeekFrom::Start(0)).with_context(context)?;
        self.len = 0;
        self.version = version;
        let text = serde_json::to_vec(&self.version).context("cannot describe the file")?;
        fs::write(&self.about, text)
            .with_context(|| format!("cannot write {}", self.about.display()))
    }

    /// More of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file
            .seek(SeekFrom::Start(self.len))
            .and_then(|_| self.file.write_all(bytes))
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Takes the place of `target`.
    pub(super) fn become_whole(self, target: &Path) -> anyhow::Result<()> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, target))
            .with_context(|| format!("cannot write {}", target.display()))?;
        // Without its file it says nothing.
        let _ = fs::remove_file(&self.about);
        Ok(())
    }

    /// It is of no use.
    pub(super) fn discard(self) {
        // What cannot be removed is overwritten next time.
        let _ = fs::remove_file(&self.about);
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: Option<&str>, last_modified: Option<&str>) -> Version {
        Version {
            url: "http://h/a.csv".to_owned(),
            etag: etag.map(str::to_owned),
            last_modified: last_modified.map(str::to_owned),
        }
    }

    #[test]
    fn only_a_version_that_is_known_exactly_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.csv");
        for (version, strong) in [
            (version(Some("\"x\""), Some("Mon")), Some("\"x\"")),
            (version(Some("W/\"x\""), Some("Mon")), Some("Mon")),
            (version(Some("W/\"x\""), None), None),
            (version(None, None), None),
        ] {
            let mut part = Part::open(&target).unwrap();
            part.restart(version.clone()).unwrap();
            assert_eq!(part.resumable("http://h/a.csv"), None, "nothing has come");
            part.write(b"abc").unwrap();
            drop(part);
            let part = Part::open(&target).unwrap();
            assert_eq!(part.version(), &version);
            let expected = strong.map(|strong| (3, strong));
            assert_eq!(part.resumable("http://h/a.csv"), expected);
            assert_eq!(part.resumable("http://h/b.csv"), None, "another file");
        }
        Part::open(&target).unwrap().discard();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.csv");
        let first = Part::open(&target).unwrap();
        let error = Part::open(&target).unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
        drop(first);
        Part::open(&target).unwrap();
    }
}
