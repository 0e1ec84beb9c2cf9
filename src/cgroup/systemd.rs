//! Where systemd manages control groups, it makes the filter's: a transient scope in the same slice
//! as the container's. A group made without systemd's knowledge might be removed by it.
//!
//! It is asked on its private socket, which root may use and which needs no bus, so this works on
//! hosts without dbus-daemon.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::dbus::{self, PropertyValue, SystemdMessage};
use super::limits::{CPU_WEIGHT, TASKS};

/// Where systemd listens to root.
const SOCKET: &str = "/run/systemd/private";
/// Where it is while it runs (sd_booted(3)).
const RUNNING: &str = "/run/systemd/system";
/// How long it may take: at boot it has much else to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether systemd manages this host.
pub(super) fn is_running() -> bool {
    Path::new(RUNNING).is_dir()
}

/// Has a scope made in a slice, and this process put into it.
pub(super) fn enter_scope(name: &str, slice: &str, memory: u64) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    dbus::authenticate(&mut stream, nix::unistd::geteuid().as_raw())?;
    let properties = [
        (
            "Description",
            PropertyValue::Text("filter of a container's network"),
        ),
        ("Slice", PropertyValue::Text(slice)),
        ("PIDs", PropertyValue::Process(std::process::id())),
        // It ends with its container, which is ordered by its engine.
        ("DefaultDependencies", PropertyValue::Flag(false)),
        // One that was killed leaves no failed unit in the way of the next of its name.
        ("CollectMode", PropertyValue::Text("inactive-or-failed")),
        ("MemoryMax", PropertyValue::Number(memory)),
        ("MemorySwapMax", PropertyValue::Number(0)),
        ("CPUWeight", PropertyValue::Number(CPU_WEIGHT)),
        ("TasksMax", PropertyValue::Number(TASKS)),
    ];
    io::Write::write_all(&mut stream, &dbus::start_transient_unit(name, &properties))?;
    loop {
        match dbus::hear(&mut stream)? {
            SystemdMessage::Failed(reason) => return Err(io::Error::other(reason)),
            SystemdMessage::JobRemoved(unit, result) if unit == name => {
                return if result == "done" {
                    Ok(())
                } else {
                    Err(io::Error::other(format!(
                        "the job for the scope ended with {result}"
                    )))
                };
            }
            _ if Instant::now() > until => return Err(io::ErrorKind::TimedOut.into()),
            _ => {}
        }
    }
}
