//! Verbs about a container that exists: engines read their output and their errors as they read
//! runc's.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use libcontainer::container::{Container, ContainerStatus};
use libcontainer::signal::Signal;
use serde_json::{Value, json};

use crate::container::plan::ContainerId;
use crate::sys::process::Process;

/// The most entries of a root that are looked at.
const MOST: usize = 4096;

pub(super) fn load(root: &Path, id: &ContainerId) -> anyhow::Result<Container> {
    let directory = root.join(id.as_str());
    // containerd looks for these words.
    ensure!(
        directory.join("state.json").is_file(),
        "container does not exist"
    );
    Container::load(directory).context("can't read the container's state")
}

pub(super) fn start(root: &Path, id: &ContainerId) -> anyhow::Result<()> {
    let mut container = load(root, id)?;
    ensure!(
        container.can_start(),
        "cannot start a container that is {}",
        status(&container)
    );
    container.start().context("can't start the container")
}

pub(super) fn state(root: &Path, id: &ContainerId) -> anyhow::Result<()> {
    print(&format!("{:#}\n", described(&load(root, id)?)))
}

pub(super) fn list(root: &Path, json: bool) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries.with_context(|| format!("can't read {}", root.display()))?),
    };
    let names = entries
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .take(MOST)
        .map(|entry| entry.file_name());
    let ids = names.filter_map(|name| ContainerId::parse(name.to_str()?).ok());
    // One that is being made or removed just now is none.
    let all: Vec<Value> = ids
        .filter_map(|id| load(root, &id).ok())
        .map(|container| described(&container))
        .collect();
    if json {
        return print(&format!("{}\n", Value::Array(all)));
    }
    let column = |container: &Value, key: &str| {
        container.get(key).map_or_else(String::new, |value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
    };
    let row = |container: &Value| {
        ["id", "pid", "status", "bundle", "created"]
            .map(|key| column(container, key))
            .join("\t")
            + "\n"
    };
    print(
        &("ID\tPID\tSTATUS\tBUNDLE\tCREATED\n".to_owned()
            + &all.iter().map(row).collect::<String>()),
    )
}

/// The processes of a container: those that are in the pid namespace of its first one.
pub(super) fn ps(root: &Path, id: &ContainerId, json: bool) -> anyhow::Result<()> {
    let init = load(root, id)?
        .pid()
        .context("container not running")?
        .as_raw();
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(init).context("container not running")?;
    let entries = std::fs::read_dir("/proc").context("can't list the processes")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let pids: Vec<i32> = pids
        .filter(|pid| namespace(*pid).as_ref() == Some(&own))
        .collect();
    if json {
        return print(&format!("{}\n", json!(pids)));
    }
    print(
        &("PID\n".to_owned()
            + &pids
                .iter()
                .map(|pid| format!("{pid}\n"))
                .collect::<String>()),
    )
}

pub(super) fn kill(root: &Path, id: &ContainerId, signal: &str, all: bool) -> anyhow::Result<()> {
    let mut container = load(root, id)?;
    // containerd looks for these words, too.
    ensure!(all || container.can_kill(), "container not running");
    let signal = Signal::try_from(signal)
        .context("invalid signal: the embedded runtime knows 1 to 31 and their names")?;
    container
        .kill(signal, all)
        .context("can't signal the container")
}

pub(super) fn pause(root: &Path, id: &ContainerId) -> anyhow::Result<()> {
    load(root, id)?.pause().context("can't pause the container")
}

pub(super) fn resume(root: &Path, id: &ContainerId) -> anyhow::Result<()> {
    load(root, id)?
        .resume()
        .context("can't resume the container")
}

pub(super) fn delete(root: &Path, id: &ContainerId, force: bool) -> anyhow::Result<()> {
    match load(root, id) {
        Ok(mut container) => {
            let gone = matches!(
                container.status(),
                ContainerStatus::Stopped | ContainerStatus::Created
            );
            ensure!(
                force || gone,
                "cannot delete container {} that is not stopped: {}",
                id.as_str(),
                status(&container)
            );
            remove(&mut container)
        }
        // Engines force what may never have been.
        Err(_) if force => match std::fs::remove_dir_all(root.join(id.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                bail!("can't remove the container: {error}")
            }
            _ => Ok(()),
        },
        Err(error) => Err(error),
    }
}

/// Ends a container and removes it. libcontainer doesn't wait for what it kills, and a control
/// group can't be removed while something dies in it.
pub(super) fn remove(container: &mut Container) -> anyhow::Result<()> {
    if container.can_kill()
        && let Some(init) = container.pid()
    {
        let process = Process::open(init.as_raw());
        container
            .kill(Signal::try_from("KILL")?, true)
            .context("can't kill the container")?;
        // One that is gone already needs no waiting for.
        if let Ok(process) = process {
            process
                .end_within(PATIENCE)
                .context("can't wait for the container's end")?;
        }
    }
    container.delete(true).context("can't remove the container")
}

/// How long killed processes may take: those that wait for a slow disk need a while.
const PATIENCE: Duration = Duration::from_secs(10);

fn status(container: &Container) -> String {
    container.status().to_string().to_lowercase()
}

/// The state as the OCI specification has it, with runc's additions.
fn described(container: &Container) -> Value {
    let state = &container.state;
    let pid = state
        .pid
        .filter(|_| container.status() != ContainerStatus::Stopped)
        .unwrap_or_default();
    json!({
        "ociVersion": state.oci_version,
        "id": state.id,
        "pid": pid,
        "status": status(container),
        "bundle": state.bundle,
        "created": container.created().map(|created| created.to_rfc3339()),
        "annotations": state.annotations,
        "owner": "",
    })
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("can't write to standard output")
}
