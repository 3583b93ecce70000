use core::time::Duration;
use std::path::Path;
use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use strikewire_types::Mono;

use crate::Error;
use crate::credentials::TokenSource;

/// The access token, and whether there is another one by now.
#[derive(Debug)]
pub(super) struct Watch {
    source: TokenSource,
    token: SecretString,
    /// Length and time of change of the file when it was last read.
    seen: Option<(u64, SystemTime)>,
    every: Duration,
    next_look: Mono,
}

impl Watch {
    pub(super) fn new(source: TokenSource, every: Duration) -> Self {
        Self {
            source,
            token: SecretString::default(),
            seen: None,
            every,
            next_look: Mono::default(),
        }
    }

    /// The token that was last read; empty before the first.
    pub(super) const fn token(&self) -> &SecretString {
        &self.token
    }

    /// When to [`look`](Self::look) again.
    pub(super) const fn next_look(&self) -> Mono {
        self.next_look
    }

    /// Reads the token; says whether it is another one than before.
    pub(super) fn read(&mut self) -> Result<bool, Error> {
        // Before the contents: what changes in between is seen the next time.
        let seen = self.source.path().and_then(stamp);
        let token = self.source.read()?;
        self.seen = seen;
        let changed = token.expose_secret() != self.token.expose_secret();
        self.token = token;
        Ok(changed)
    }

    /// Reads the token if its file has changed; says whether it is another one than
    /// before. A file that cannot be read matters when a connection is tried.
    pub(super) fn look(&mut self, now: Mono) -> bool {
        self.next_look = now + self.every;
        let Some(path) = self.source.path() else {
            return false;
        };
        if self.seen.is_some() && stamp(path) == self.seen {
            return false;
        }
        self.read().unwrap_or(false)
    }
}

/// Length and time of change of a file; none if that says nothing: file systems count
/// time in ticks, so a file that has only just changed may change again unseen.
fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    const TICK: Duration = Duration::from_secs(2);
    let metadata = std::fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?;
    let age = SystemTime::now().duration_since(modified).ok()?;
    (age > TICK).then_some((metadata.len(), modified))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn written(path: &Path, token: &str, at: SystemTime) {
        std::fs::write(path, token).unwrap();
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(at).unwrap();
    }

    #[test]
    fn another_token_is_seen_at_the_next_look_even_within_a_tick() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut watch = Watch::new(TokenSource::File(path.clone()), Duration::from_secs(5));
        assert!(!watch.look(Mono::default()), "there is none yet");
        assert_eq!(watch.next_look(), Mono::default() + Duration::from_secs(5));
        assert!(watch.read().is_err());

        let now = SystemTime::now();
        written(&path, "one", now);
        assert!(watch.look(Mono::default()));
        assert_eq!(watch.token().expose_secret(), "one");
        // As long, and changed at the very same time as far as the file system knows.
        written(&path, "two", now);
        assert!(watch.look(Mono::default()));
        assert!(!watch.look(Mono::default()), "once");
        // A file that has been there for long is read when its time changes only.
        let hour = Duration::from_secs(3600);
        written(&path, "two", now - hour);
        assert!(!watch.look(Mono::default()));
        written(&path, "not", now - hour);
        assert!(!watch.look(Mono::default()));
        written(&path, "three", now - hour);
        assert!(watch.look(Mono::default()));
        written(&path, "fourt", now - hour / 2);
        assert!(watch.look(Mono::default()));
        // It is gone for a while, and comes back as it was.
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.look(Mono::default()));
        assert_eq!(watch.token().expose_secret(), "fourt");
        written(&path, "fourt", now);
        assert!(!watch.look(Mono::default()));
    }

    #[test]
    fn a_fixed_token_is_read_once() {
        let mut watch = Watch::new(TokenSource::Fixed("one".into()), Duration::from_secs(5));
        assert!(watch.read().unwrap());
        assert!(!watch.read().unwrap());
        assert!(!watch.look(Mono::default()));
    }
}
