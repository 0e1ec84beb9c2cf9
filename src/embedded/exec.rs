//! `exec`: another process in a container, where libcontainer can be trusted with it.
//!
//! libcontainer 0.7 neither enters the container's user namespace (capabilities would count on the
//! host) nor applies its seccomp filter to the new process (see its `tenant_builder.rs`). A
//! container that has either is refused.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use super::create::attached;
use super::line::Exec;
use super::manage;
use crate::container::bundle::Bundle;

/// Runs a process in a container; in the foreground, waits for its end.
pub(super) fn exec(root: &Path, asked: &Exec) -> anyhow::Result<ExitCode> {
    let container = manage::load(root, &asked.id)?;
    let spec = Bundle::read(container.bundle().clone())?.config.value;
    refuse_unconfined(
        &spec,
        has_own_users(container.pid().map(|pid| pid.as_raw())),
    )?;
    let user = |key: &str| {
        let id = spec
            .get("process")
            .and_then(|process| process.get("user")?.get(key)?.as_u64())
            .unwrap_or_default();
        u32::try_from(id).context("the container's user or group ID is out of range")
    };
    let environment = asked
        .environment
        .iter()
        .filter_map(|entry| entry.split_once('='));
    let builder = attached(root, asked.id.as_str(), &asked.attachments)?
        .as_tenant()
        .with_detach(asked.detached)
        .with_cwd(asked.directory.as_ref())
        .with_env(
            environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
        .with_user(Some(user("uid")?))
        .with_group(Some(user("gid")?))
        .with_process(asked.process.as_ref())
        .with_container_args(asked.command.clone());
    let pid = builder
        .build()
        .context("can't run the process in the container")?;
    if asked.detached {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(
        match waitpid(Pid::from_raw(pid.as_raw()), None).context("can't wait for the process")? {
            WaitStatus::Exited(_, code) => {
                ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
            }
            WaitStatus::Signaled(_, signal, _) => {
                ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or(0))
            }
            _ => ExitCode::FAILURE,
        },
    )
}

/// Whether a container's first process is in another user namespace than this one, which the kernel
/// knows whatever its bundle says by now; whoever can't be looked at may be.
fn has_own_users(init: Option<i32>) -> bool {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/user")).ok();
    let theirs = init.and_then(|pid| namespace(&pid.to_string()));
    theirs.is_none() || theirs != namespace("self")
}

fn refuse_unconfined(spec: &Value, user: bool) -> anyhow::Result<()> {
    let linux = spec.get("linux").unwrap_or(&Value::Null);
    let seccomp = linux.get("seccomp").is_some_and(|filter| !filter.is_null());
    ensure!(
        !user && !seccomp,
        "the embedded runtime can't add a process to a container with {}: it would run without it; install runc for that",
        if user {
            "a user namespace"
        } else {
            "a seccomp filter"
        }
    );
    Ok(())
}
