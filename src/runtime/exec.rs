//! `exec`: never more capabilities than the container itself may hold (`docker exec --privileged` included).

use std::path::Path;

use anyhow::bail;

use super::Container;
use crate::bundle::Document;
use crate::spec::capabilities;
use crate::state::Record;

/// Takes what reaches beyond the container from the process to be run, unless a user namespace bounds it anyway.
pub(super) fn bound(container: &Container<'_>, process: Option<&Path>, asked: &[String]) -> anyhow::Result<()> {
    // No record, or one that can't be read or is another's: nothing is known to bound it.
    let record = Record::read(&container.state).ok().flatten();
    if record.is_some_and(|record| record.plan.user_namespace && record.init.alive()) {
        return Ok(());
    }
    if let Some(name) = asked.iter().find(|name| !name.is_empty() && capabilities::reaches_beyond(name)) {
        bail!("{} reaches beyond a container without a user namespace of its own", name.escape_debug());
    }
    let Some(process) = process else { return Ok(()) };
    let mut document = Document::read(process.to_owned())?;
    capabilities::check(&document.value)?;
    capabilities::bound(&mut document.value);
    Ok(document.write()?)
}
