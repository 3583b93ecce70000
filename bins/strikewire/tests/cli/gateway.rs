//! Against a real server, with keys and over TLS: what it says is what is understood.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{self, AS_OF, Ran, json, master, program};

/// Nothing takes that long unless it hangs.
const LONG: Duration = Duration::from_secs(60);

/// Certificates for 127.0.0.1 and localhost, and of their authority.
fn certificate(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/dhan/tests/loopback/tls");
    folder.join(name)
}

struct Asker<'a> {
    url: &'a str,
    key: &'a str,
}

impl Asker<'_> {
    fn command(&self, line: &[&str]) -> Command {
        let mut command = program();
        command
            .args(line)
            .env("STRIKEWIRE_SERVER", self.url)
            .env("STRIKEWIRE_API_KEY", self.key)
            .env("STRIKEWIRE_CA", certificate("ca.pem"));
        command
    }

    fn ask(&self, line: &[&str]) -> Ran {
        Ran::of(self.command(line))
    }

    /// The first line of one that goes on until nobody reads it.
    fn first_line(&self, line: &[&str]) -> String {
        let mut child = self
            .command(line)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut first);
        read.unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{line:?}");
        first
    }

    /// It must succeed.
    fn text(&self, line: &[&str]) -> String {
        let ran = self.ask(line);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{line:?}");
        ran.stdout
    }

    fn json(&self, line: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[line, &["--json"]].concat())).unwrap()
    }

    /// It must be refused.
    fn refused(&self, line: &[&str]) -> String {
        let ran = self.ask(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{line:?}");
        ran.stderr
    }
}

/// Runs `test` with the address of a server, the key of an admin and that of user 7.
fn with_server(test: impl FnOnce(&str, &str, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let key = |user: &str, role: &str| -> String {
        let data = data.to_str().unwrap();
        let made = json(&[
            "auth",
            "new-key",
            "--user",
            user,
            "--role",
            role,
            "--data-dir",
            data,
        ]);
        made["key"].as_str().unwrap().to_owned()
    };
    let (admin, user) = (key("1", "admin"), key("7", "user"));
    let file = folder.path().join("strikewire.toml");
    let text = format!(
        "tier_b = []\n[tls]\ncertificate = {}\nkey = {}\n",
        json!(certificate("server.pem")),
        json!(certificate("server.key"))
    );
    std::fs::write(&file, text).unwrap();
    let args = strikewired::Args {
        config: Some(file),
        data_dir: Some(data),
        instruments: Some(master().path.clone()),
        clock: Some(format!("{AS_OF}T10:00:00+05:30@1").parse().unwrap()),
        ..strikewired::Args::default()
    };
    program::with_server(args, |addr| test(&format!("https://{addr}"), &admin, &user));
}

#[test]
fn what_a_server_says_is_understood() {
    with_server(|url, admin, user| {
        let (admin, user) = (Asker { url, key: admin }, Asker { url, key: user });
        let start = Instant::now();
        while admin.json(&["status"])["readiness"]["status"] == "starting" {
            assert!(start.elapsed() < LONG, "it never gets ready");
        }
        let status = admin.json(&["status"]);
        assert_eq!(status["connections"]["total_connections"], 5, "{status}");
        assert!(admin.text(&["status"]).contains("packets/s"));

        // What is a user's own needs no number.
        let reliance = ["RELIANCE", "--expiry", "24FEB2026", "--width", "3"];
        let said = user.text(&[&["watchlist", "add"][..], &reliance].concat());
        assert!(
            said.starts_with("RELIANCE added with 6 contracts"),
            "{said}"
        );
        let list = user.text(&["watchlist", "list", "--user", "7"]);
        assert!(list.contains("STOCK_OPTION  NSE       24FEB2026"), "{list}");
        let list = admin.json(&["watchlist", "list", "--user", "7"]);
        assert_eq!(list["items"][0]["strikes_subscribed"], 6);
        assert!(
            user.refused(&["watchlist", "list", "--user", "1"])
                .contains("admin")
        );

        let all = admin.json(&["subs", "list", "--all"]);
        let page = admin.json(&["subs", "list", "--limit", "2"]);
        assert_eq!(all["items"].as_array().unwrap().len(), 7);
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let cursor = page["next_cursor"].as_str().unwrap();
        let rest = admin.json(&["subs", "list", "--cursor", cursor]);
        assert_eq!(rest["items"].as_array().unwrap().len(), 5);
        assert_eq!(admin.text(&["subs", "list"]).lines().count(), 8);
        let why = admin.text(&["subs", "explain", "RELIANCE"]);
        assert!(why.contains("watchlist of user 7"), "{why}");

        // Instruments by other names, and a chain; everything ticks in the end.
        let watched = user.json(&[
            "watch",
            "nifty 50",
            "IDX_I:13",
            "RELIANCE",
            "--chain",
            "RELIANCE",
            "24FEB2026",
            "--width",
            "3",
            "--timeout",
            "60",
        ]);
        assert_eq!(watched["complete"], true, "{watched}");
        let tokens: Vec<&String> = watched["quotes"].as_object().unwrap().keys().collect();
        assert_eq!(tokens, ["NIFTY", "RELIANCE"]);
        assert_eq!(watched["chain"]["quotes"].as_object().unwrap().len(), 6);
        let first = user.first_line(&["watch", "NIFTY", "--timeout", "60"]);
        assert!(first.contains(" NIFTY ltp="), "{first}");
        for (line, named) in [
            (
                &["watch", "NIFTYY"][..],
                ["unknown instrument `NIFTYY`", "similar: NIFTY,"],
            ),
            (
                &["watch", "--chain", "RELIANCE", "25FEB2026"],
                ["25FEB2026", "24FEB2026"],
            ),
        ] {
            let said = user.refused(line);
            for name in named {
                assert!(said.contains(name), "no {name} in {said}");
            }
        }

        for (line, named) in [
            (&["admin", "rebalance"][..], "instruments that move: 0"),
            (
                &["admin", "invalidate-expiry", "RELIANCE", "24FEB2026"],
                "chains calculated anew: 1",
            ),
            (&["admin", "ws-status"], "live"),
            (&["admin", "reload-config"], "nothing has changed"),
            (
                &["admin", "unsubscribe-all-tier-a"],
                "instruments unsubscribed: 7",
            ),
        ] {
            let said = admin.text(line);
            assert!(said.contains(named), "{line:?}: {said}");
            let said = user.refused(line);
            assert!(said.contains("the role admin"), "{line:?}: {said}");
        }
        let said = user.text(&["status"]);
        assert!(
            said.contains("shown to a key with the role admin"),
            "{said}"
        );
        assert_eq!(user.json(&["status"])["connections"], Value::Null);
        let said = user.text(&["watchlist", "remove", "RELIANCE"]);
        assert!(said.starts_with("RELIANCE removed"), "{said}");

        let nobody = Asker { url, key: "" };
        for line in [&["status"][..], &["watch", "NIFTY"]] {
            let said = nobody.refused(line);
            assert!(said.contains("strikewire auth new-key"), "{said}");
            // Nor is a server trusted that nobody vouches for.
            let mut command = program();
            command.args(line).args(["--server", url]);
            let ran = Ran::of(command);
            assert_eq!(ran.code, Some(1));
            assert!(ran.stderr.contains("--ca"), "{}", ran.stderr);
        }
    });
}
