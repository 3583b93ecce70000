//! The scripts that run in the server, each as a whole.

use redis::{Cmd, Pipeline, Script, ServerErrorKind};

/// One of them.
#[derive(Debug)]
pub(super) struct Operation {
    /// What it is called in metrics and errors.
    pub(super) name: &'static str,
    code: &'static str,
    pub(super) script: Script,
}

impl Operation {
    fn new(name: &'static str, code: &'static str) -> Self {
        Self {
            name,
            script: Script::new(code),
            code,
        }
    }

    /// The command that gives it to the server.
    pub(super) fn load(&self) -> Cmd {
        let mut cmd = redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(self.code);
        cmd
    }
}

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) release: Operation,
    pub(super) sweep: Operation,
    pub(super) alive: Operation,
}

macro_rules! lua {
    ($name:literal $(, $part:literal)*) => {
        Operation::new(
            $name,
            concat!(
                $(include_str!(concat!("lua/", $part, ".lua")), "\n",)*
                include_str!(concat!("lua/", $name, ".lua"))
            ),
        )
    };
}

/// Subscribes, heartbeats and unsubscribes.
pub(super) fn update() -> Operation {
    lua!("update", "record")
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            release: lua!("release", "record"),
            sweep: lua!("sweep", "record"),
            alive: lua!("alive"),
        }
    }

    /// The commands that give all of them to the server.
    pub(super) fn loading(&self) -> Pipeline {
        let mut loading = Pipeline::new();
        for operation in [&update(), &self.release, &self.sweep, &self.alive] {
            loading.add_command(operation.load());
        }
        loading
    }
}

/// Whether the server does not know a script: it was started anew, or forgot them.
pub(super) fn is_unknown(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
}
