//! What a changed configuration changes.

use strikewire_api::Reloaded;

use super::{Config, settings_of};

/// The sections that can change while the server runs.
const LIVE: [&str; 4] = ["log", "http", "auth", "stream"];

impl Config {
    /// Which settings of `next` differ, told apart by whether they can be taken while the
    /// server runs.
    ///
    /// # Errors
    ///
    /// When a path is not Unicode.
    pub(crate) fn changes(&self, next: &Self) -> anyhow::Result<Reloaded> {
        let mut reloaded = Reloaded::default();
        for key in self.differing(next)? {
            let section = key.split('.').next().unwrap_or_default();
            if LIVE.contains(&section) {
                reloaded.changed.push(key);
            } else {
                reloaded.needs_restart.push(key);
            }
        }
        Ok(reloaded)
    }

    /// Takes over what can change while the server runs.
    pub(crate) fn adopt(&mut self, next: Self) {
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
                        .filter(|key| old.get(key) != new.get(key))
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
