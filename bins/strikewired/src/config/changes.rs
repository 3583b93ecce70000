//! What a changed configuration changes.

use strikewire_api::Reloaded;

use super::{Config, settings_of};
use crate::logging;

/// The sections that can change while the server runs.
const LIVE: [&str; 4] = ["log", "http", "auth", "stream"];
/// What does not hold while `RUST_LOG` does.
const LEVELS: [&str; 2] = ["log.level", "log.modules"];

impl Config {
    /// Which settings of `next` differ, told apart by whether they can be taken while the
    /// server runs.
    ///
    /// # Errors
    ///
    /// When a path is not Unicode.
    pub(crate) fn changes(&self, next: &Self) -> anyhow::Result<Reloaded> {
        self.changes_where(next, logging::is_overridden())
    }

    /// The same, where the levels of logs are the configuration's or are not.
    fn changes_where(&self, next: &Self, are_levels_fixed: bool) -> anyhow::Result<Reloaded> {
        let mut reloaded = Reloaded::default();
        for key in self.differing(next)? {
            let section = key.split('.').next().unwrap_or_default();
            let is_fixed = are_levels_fixed && LEVELS.contains(&key.as_str());
            if LIVE.contains(&section) && !is_fixed {
                reloaded.changed.push(key);
            } else {
                reloaded.needs_restart.push(key);
            }
        }
        Ok(reloaded)
    }

    /// Takes over what can change while the server runs.
    pub(crate) fn adopt(&mut self, next: Self) {
        self.adopt_where(next, logging::is_overridden());
    }

    fn adopt_where(&mut self, mut next: Self, are_levels_fixed: bool) {
        if are_levels_fixed {
            // To be told again the next time.
            next.file.log.level = self.file.log.level;
            next.file.log.modules = core::mem::take(&mut self.file.log.modules);
            next.log = core::mem::take(&mut self.log);
        }
        self.file.log = next.file.log;
        self.file.http = next.file.http;
        self.file.auth = next.file.auth;
        self.file.stream = next.file.stream;
        self.log = next.log;
        self.settings = next.settings;
    }

    /// Settings that differ, in the order of their names.
    fn differing(&self, next: &Self) -> anyhow::Result<Vec<String>> {
        let (old, new) = (settings_of(&self.file)?, settings_of(&next.file)?);
        let mut keys = Vec::new();
        let names = |a: &toml::Table, b: &toml::Table| {
            let mut names: Vec<String> = a.keys().chain(b.keys()).cloned().collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        for name in names(&old, &new) {
            match (old.get(&name), new.get(&name)) {
                (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) => keys.extend(
                    names(old, new)
                        .into_iter()
                        .filter(|key| {
                            let is_redis = name == "redis" && key == "url";
                            old.get(key) != new.get(key)
                                || is_redis && self.file.redis.url != next.file.redis.url
                        })
                        .map(|key| format!("{name}.{key}")),
                ),
                // In the tables it is masked.
                _ if name == "database" && self.file.database != next.file.database => {
                    keys.push(name);
                }
                (old, new) if old != new => keys.push(name),
                _ => {}
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        Config::validate(toml::from_str(toml).unwrap()).unwrap()
    }

    #[test]
    fn levels_that_do_not_hold_are_not_said_to() {
        let start = config("");
        let next = config(
            "[log]\nlevel = 'debug'\nformat = 'json'\nmodules = { strikewired = 'trace' }\n",
        );
        let both = ["log.level", "log.modules"];
        let told = start.changes_where(&next, false).unwrap();
        assert_eq!(told.changed, ["log.format", "log.level", "log.modules"]);
        assert!(told.needs_restart.is_empty(), "{told:?}");
        let told = start.changes_where(&next, true).unwrap();
        assert_eq!(told.changed, ["log.format"]);
        assert_eq!(told.needs_restart, both);

        // What holds is said once, what does not every time.
        for (are_levels_fixed, again) in [(false, &[][..]), (true, &both)] {
            let mut current = start.clone();
            current.adopt_where(next.clone(), are_levels_fixed);
            let told = current.changes_where(&next, are_levels_fixed).unwrap();
            assert!(told.changed.is_empty(), "{told:?}");
            assert_eq!(told.needs_restart, again);
        }
    }
}
