//! `start`: the last moment before the container's first instruction. Its gateway must say that all is filtered.
//!
//! Docker 28 and later attach the network only now, so the gateway adopts what it finds and answers when the namespace
//! holds nothing unfiltered. What must not be forgotten: silence, a dead proxy, an unknown container all mean no.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Container, mounts};
use crate::plan::Gateway;
use crate::settings::Settings;
use crate::state::{self, Record};

/// How long the gateway may take to adopt what the engine attached.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer.
const ANSWER_LIMIT: usize = 4096;

/// Lets the start go on once everything of the container's network is filtered, and it has nothing of this program's.
pub(super) fn settle(settings: &Settings, container: &Container<'_>) -> anyhow::Result<()> {
    let record = Record::read(&container.state).context("can't read the container's record")?;
    let Some(record) = record.filter(|record| record.init.alive()) else {
        bail!("the container {} has no gateway: it was not created by this runtime", container.id.as_str());
    };
    mounts::refuse_mounted(settings, record.init)?;
    match record.plan.gateway {
        Gateway::Joined => {
            let owner = state::filtering(record.network_namespace).context("can't list the gateways")?;
            owner.context("the gateway of the joined container is gone").map(drop)
        }
        Gateway::Own if !record.filters() => bail!("the container's gateway is gone"),
        Gateway::Own => {
            let answer = ask(&container.state.join("control")).context("the container's gateway does not answer")?;
            match answer.strip_prefix("error ") {
                _ if answer == "ok" => Ok(()),
                Some(problem) => bail!("the container's network can't be filtered: {problem}"),
                None => bail!("the container's gateway gave no answer that makes sense"),
            }
        }
    }
}

/// Asks the gateway to settle; its answer is one line.
fn ask(control: &Path) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Bounds `connect` too: a stopped proxy's backlog may be full.
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(control)?)?;
    socket.write_all(b"settle\n")?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 512]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() > ANSWER_LIMIT {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let read = socket.read(&mut buffer)?;
        answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if let Some(end) = answer.iter().position(|byte| *byte == b'\n') {
            answer.truncate(end);
            return String::from_utf8(answer).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
