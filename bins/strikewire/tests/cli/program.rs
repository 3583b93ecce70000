//! Running the program, and the master it is asked about.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::naive::Row;

/// The day on which the generated master is of today.
pub(crate) const AS_OF: &str = "2026-02-09";
const ROWS: &str = "5000";

/// The program, which gets nothing of whoever runs the tests: they may have a server of their
/// own, and its database.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strikewire"));
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "RUST_LOG" || text.starts_with("STRIKEWIRE_") || text.starts_with("DHAN_") {
            command.env_remove(&name);
        }
    }
    command
}

#[test]
fn the_database_of_who_runs_the_tests_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.db");
    // One of the tests, run by somebody who has a server of their own.
    let test = "auth::a_key_is_shown_once_and_listed_without_itself";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test])
        .env("STRIKEWIRE_DATABASE", format!("sqlite:{}", own.display()))
        .env("STRIKEWIRE_CONFIG", folder.path().join("none.toml"))
        .env("DHAN_CLIENT_ID", "1");
    let ran = Ran::of(command);
    assert!(ran.stdout.contains("1 passed"), "{ran:?}");
    assert!(!own.exists());
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub(crate) fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Ran {
    let mut command = program();
    command.args(arguments);
    Ran::of(command)
}

/// Runs it with `--json`: it must succeed and print one document and nothing else.
pub(crate) fn json<S: AsRef<OsStr>>(arguments: &[S]) -> Value {
    let mut all: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    all.push(OsStr::new("--json"));
    let ran = run(&all);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{all:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Runs it without `--json`: it must succeed and say nothing on standard error.
pub(crate) fn table<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let ran = run(arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    ran.stdout
}

/// Sends a signal, such as `-INT`.
pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status();
    assert!(sent.unwrap().success());
}

/// It ends well, and has said nothing on standard error.
pub(crate) fn ends_quietly(mut child: Child) {
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

/// Runs `test` beside a server of this process, with everything embedded, on a free port.
pub(crate) fn with_server(args: strikewired::Args, test: impl FnOnce(SocketAddr)) {
    let config = strikewired::Config::load(&strikewired::Args {
        listen: Some(([127, 0, 0, 1], 0).into()),
        ..args
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime
        .block_on(strikewired::Server::start(config, String::new))
        .unwrap();
    test(server.addr());
    runtime.block_on(server.stop()).unwrap();
}

/// A generated master that all tests read.
pub(crate) struct Master {
    _folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Master {
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        self.text.lines().skip(1).map(Row::of).collect()
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

pub(crate) fn master() -> &'static Master {
    static MASTER: OnceLock<Master> = OnceLock::new();
    MASTER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.csv");
        let file = path.to_str().unwrap();
        table(&[
            "instruments",
            "generate",
            "--as-of",
            AS_OF,
            "--rows",
            ROWS,
            "-o",
            file,
        ]);
        let text = fs::read_to_string(&path).unwrap();
        Master {
            _folder: folder,
            path,
            text,
        }
    })
}
