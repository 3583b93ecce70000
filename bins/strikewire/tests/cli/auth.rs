//! API keys: made, shown once, listed, revoked, beside a server and without one.

use std::path::Path;

use serde_json::Value;

use crate::program::{Ran, json, program, run, with_server};

fn data(folder: &Path) -> String {
    folder.join("data").display().to_string()
}

#[test]
fn a_key_is_shown_once_and_listed_without_itself() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    // The database is made with the first key.
    let made = run(&[
        "auth",
        "new-key",
        "--user",
        "7",
        "--role",
        "admin",
        "--data-dir",
        &data,
    ]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let key = made.stdout.trim();
    // One line, so that a shell can take it.
    assert_eq!(made.stdout, format!("{key}\n"));
    assert!(key.starts_with("sw_") && key.len() == 46, "{key}");
    assert!(made.stderr.contains("not shown again"), "{}", made.stderr);
    assert!(made.stderr.contains("the first"), "{}", made.stderr);
    let made = json(&[
        "auth",
        "new-key",
        "--user",
        "8",
        "--role",
        "user",
        "--label",
        "the \u{1b}[31mdesk",
        "--data-dir",
        &data,
    ]);
    let other = made["key"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made["user_id"], &made["role"]),
        (&8.into(), &"user".into())
    );
    assert_ne!(other, key);

    let listed = json(&["auth", "list-keys", "--data-dir", &data]);
    let ids: Vec<u64> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(listed[1]["id"], made["id"]);
    let shown = run(&["auth", "list-keys", "--data-dir", &data]);
    assert!(shown.stdout.contains("desk"), "{}", shown.stdout);
    assert!(!shown.stdout.contains('\u{1b}'), "{:?}", shown.stdout);
    for key in [key, &other] {
        assert!(!format!("{listed}{shown:?}").contains(&key[3..]));
    }

    let id = ids[0].to_string();
    let revoke = ["auth", "revoke-key", &id, "--data-dir", &data];
    let done = run(&revoke);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("Active keys: 1"), "{}", done.stdout);
    let again = run(&revoke);
    assert!(again.stdout.contains("revoked before"), "{}", again.stdout);
    let listed = json(&["auth", "list-keys", "--data-dir", &data]);
    let revoked = |at: usize| listed[at]["revoked_at"].is_string();
    assert_eq!([revoked(0), revoked(1)], [true, false]);
    let unknown = run(&["auth", "revoke-key", "99", "--data-dir", &data]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no key 99"), "{}", unknown.stderr);
}

#[test]
fn what_cannot_be_done_is_said_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let missing = run(&["auth", "list-keys", "--data-dir", &data]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("there is no database"),
        "{}",
        missing.stderr
    );
    assert!(!Path::new(&data).exists());
    let role = run(&[
        "auth",
        "new-key",
        "--user",
        "7",
        "--role",
        "root",
        "--data-dir",
        &data,
    ]);
    assert_eq!(role.code, Some(2));
    assert!(role.stderr.contains("user or admin"), "{}", role.stderr);
    for url in [
        "mysql://u:hunter2@h/d",
        "postgres:///d?host=/nowhere&user=u&password=hunter2",
    ] {
        let mut command = program();
        command
            .args(["auth", "new-key", "--user", "7", "--role", "user"])
            .env("STRIKEWIRE_DATABASE", url);
        let ran = Ran::of(command);
        assert_eq!(ran.code, Some(1));
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
}

#[test]
fn the_database_is_found_as_the_server_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("strikewire.toml");
    let database = folder.path().join("keys.db");
    std::fs::write(
        &config,
        format!("database = \"sqlite:{}\"\n", database.display()),
    )
    .unwrap();
    let config = config.to_str().unwrap();
    json(&[
        "auth", "new-key", "--user", "7", "--role", "user", "--config", config,
    ]);
    assert!(database.exists());
    let url = format!("sqlite:{}", database.display());
    let listed = json(&["auth", "list-keys", "--database", &url]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[test]
fn a_running_server_takes_notice_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let config = folder.path().join("strikewire.toml");
    std::fs::write(&config, "tier_b = []\n[sim]\nrows = 2000\n").unwrap();
    let args = strikewired::Args {
        config: Some(config),
        data_dir: Some(data.as_str().into()),
        ..strikewired::Args::default()
    };
    with_server(args, |addr| {
        let url = format!("http://{addr}");
        let status = |key: Option<&str>| {
            let mut command = program();
            command
                .args(["status", "--json", "--server", &url])
                .env_remove("STRIKEWIRE_API_KEY");
            if let Some(key) = key {
                command.env("STRIKEWIRE_API_KEY", key);
            }
            Ran::of(command)
        };
        assert_eq!(status(None).code, Some(0));
        let made = json(&[
            "auth",
            "new-key",
            "--user",
            "1",
            "--role",
            "admin",
            "--data-dir",
            &data,
        ]);
        let key = made["key"].as_str().unwrap();
        let with_key = status(Some(key));
        assert_eq!(with_key.code, Some(0), "{}", with_key.stderr);
        assert!(serde_json::from_str::<Value>(&with_key.stdout).is_ok());
        let without = status(None);
        assert_eq!(without.code, Some(1));
        assert!(!without.stderr.is_empty());
        let id = made["id"].to_string();
        let done = run(&["auth", "revoke-key", &id, "--data-dir", &data]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let start = std::time::Instant::now();
        while status(Some(key)).code == Some(0) {
            assert!(start.elapsed().as_secs() < 60, "the key is still taken");
        }
    });
}
