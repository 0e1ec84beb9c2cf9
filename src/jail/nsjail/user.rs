//! Who is who in the jail's user namespace: everybody is himself.

use std::fs::OpenOptions;
use std::io::{self, Write};

use anyhow::{Context, bail};
use caps::Capability;
use nix::unistd::{getegid, geteuid};

use crate::jail::obstacle::Obstacle;
use crate::sys::confine;

/// Maps the users and groups of the new user namespace that this process is in: all that the caller
/// has, where it has the right to; else itself alone.
///
/// # Errors
/// `EPERM` for a root without `CAP_SETFCAP` (user_namespaces(7)).
pub(super) fn map(pid: i32) -> anyhow::Result<()> {
    let may_map_all = [
        Capability::CAP_SETUID,
        Capability::CAP_SETGID,
        Capability::CAP_SETFCAP,
    ]
    .into_iter()
    .map(confine::has)
    .collect::<io::Result<Vec<_>>>()?
    .into_iter()
    .all(|has| has);
    let (users, groups) = if may_map_all {
        (all("uid_map")?, all("gid_map")?)
    } else {
        // Who may not map others may not drop groups either: they can take rights away.
        write(pid, "setgroups", "deny")?;
        let (user, group) = (geteuid(), getegid());
        (format!("{user} {user} 1\n"), format!("{group} {group} 1\n"))
    };
    if geteuid().is_root() && !confine::has(Capability::CAP_SETFCAP)? {
        let (why, fix) = Obstacle::RootWithoutSetfcap.why_and_fix();
        bail!("{why}: {fix}");
    }
    write(pid, "uid_map", &users)?;
    write(pid, "gid_map", &groups)
}

/// Every range of this process's own map, each mapped to itself.
fn all(map: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(format!("/proc/self/{map}"))
        .with_context(|| format!("read /proc/self/{map}"))?;
    Ok(to_itself(&text))
}

fn to_itself(map: &str) -> String {
    map.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (first, _, count) = (words.next()?, words.next()?, words.next()?);
            Some(format!("{first} {first} {count}\n"))
        })
        .collect()
}

fn write(pid: i32, file: &str, text: &str) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/{file}");
    // Whole in one call (user_namespaces(7)).
    let written = OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("map the users of the jail ({path})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_mapped_to_itself() {
        assert_eq!(
            to_itself("         0     100000      65536\n     70000          5          1\n"),
            "0 0 65536\n70000 70000 1\n"
        );
    }
}
