//! The runtime inside of this program, for hosts that have none: the crate `libcontainer`
//! (youki's), behind runc's command line.
//!
//! It is called like an external one, after the same preparation: config.json has been rewritten by
//! then, and our hook is in it. What libcontainer can't do safely is refused.
//!
//! Invariant: a container's first process is forked from here, so whatever starts one runs from a
//! sealed copy of this program.

mod create;
mod exec;
mod line;
mod manage;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::escape::quoted;
use crate::sys::sealed::Sealed;
use crate::sys::{process, signal};
use line::{CommandLine, Verb};

/// Where its containers are kept unless `--root` says otherwise.
pub const ROOT: &str = "/run/boundary-embedded";

/// What settings call this runtime.
pub const NAME: &str = "embedded";

/// What `main` knows the sealed copy by.
const PERSONALITY: &str = "embedded-runtime";

/// Hands a prepared call over. What starts a process becomes a sealed copy of this program; the
/// rest is done here. `file`: what the copy is to inherit besides what it hands to the container.
pub(super) fn hand_off(arguments: &[OsString], file: Option<&Sealed>) -> anyhow::Result<ExitCode> {
    let line = CommandLine::read(arguments)?;
    let attachments = match &line.verb {
        Verb::Create(asked) => &asked.attachments,
        Verb::Exec(asked) => &asked.attachments,
        _ => return carry_out(line),
    };
    // A container that waits for its start must hold nothing of the caller's but what is meant for
    // it.
    process::keep_descriptors_to_ourselves(
        attachments
            .preserve_fds
            .saturating_add(process::handed_by_systemd()),
    );
    file.map_or(Ok(()), Sealed::hand_on)?;
    let words = ["boundary-shim", PERSONALITY]
        .into_iter()
        .map(OsString::from)
        .chain(arguments.iter().cloned());
    let words = words
        .map(|word| CString::new(word.as_bytes()))
        .collect::<Result<Vec<_>, _>>();
    match process::become_sealed_copy(&words.context("an argument contains a zero byte")?)
        .context("can't create the copy of this program that containers are started from")? {}
}

/// Handles one invocation of the embedded runtime (`words` begin with a name for the program).
pub(super) fn run(words: &[OsString]) -> anyhow::Result<ExitCode> {
    carry_out(CommandLine::read(words.get(1..).unwrap_or_default())?)
}

fn carry_out(line: CommandLine) -> anyhow::Result<ExitCode> {
    // Whatever is started from here gets SIGPIPE as its author expects it.
    signal::restore_pipe()?;
    let root = line.root.as_deref().unwrap_or_else(|| Path::new(ROOT));
    let done = |()| ExitCode::SUCCESS;
    match &line.verb {
        Verb::Create(asked) => create::create(root, asked),
        Verb::Exec(asked) => exec::exec(root, asked),
        Verb::Start(id) => manage::start(root, id).map(done),
        Verb::State(id) => manage::state(root, id).map(done),
        Verb::List { json } => manage::list(root, *json).map(done),
        Verb::Ps { id, json } => manage::ps(root, id, *json).map(done),
        Verb::Kill { id, signal, all } => manage::kill(root, id, signal, *all).map(done),
        Verb::Pause(id) => manage::pause(root, id).map(done),
        Verb::Resume(id) => manage::resume(root, id).map(done),
        Verb::Delete { id, force } => manage::delete(root, id, *force).map(done),
        Verb::Unsupported(verb) => bail!(
            "the embedded runtime doesn't support {}: install runc for that",
            quoted(verb)
        ),
    }
}

/// What `--version` says first.
pub(super) fn version() -> String {
    format!("{} (libcontainer 0.7)\nspec: 1.2.0\n", NAME)
}

/// What it can do, in the form of the OCI specification's features.md.
pub(super) fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false},
            "seccomp": {"enabled": true},
            "apparmor": {"enabled": true},
            "selinux": {"enabled": false},
        },
    })
}
