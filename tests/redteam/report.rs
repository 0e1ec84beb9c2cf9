//! SECURITY.md: written from the rows, so that it says what is tested and nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use test_support::jail_attacks::{ATTACKS, Attack};
use test_support::programs::REPOSITORY;

use crate::pairing::all;
use crate::row::Row;
use crate::rows;

/// Where it is written and compared.
fn file() -> PathBuf {
    Path::new(REPOSITORY).join("SECURITY.md")
}

/// Writes it where `REDTEAM_WRITE` is set, else fails unless it is what the rows say.
pub(crate) fn security_md_lists_exactly_the_rows() {
    let wanted = text();
    if std::env::var_os("REDTEAM_WRITE").is_some() {
        std::fs::write(file(), &wanted).unwrap();
    }
    let there = std::fs::read_to_string(file()).unwrap_or_default();
    assert!(
        there == wanted,
        "SECURITY.md is not what the rows say: write it with scripts/redteam --write"
    );
}

const HEAD: &str = "\
# Security

**To report a vulnerability**, use this repository's private vulnerability reporting (*Security*, *Report a vulnerability*).
Please don't open a public issue before it is mended; say which version, engine and kernel you used, and what got out.

## What is promised

From a container that runs under the filter nothing reaches the network but what its policy allows, whatever runs in the
container and as whom, and every attempt is in the record. What the filter can't start a container with safely, it refuses.

The filter itself is expected to be attacked, since it reads what the container sends. It is a process without rights, without
files and with a short list of system calls; `tests/confinement` makes each attempt that would lead out of it from its place, and
from an ordinary process, where it works. [ARCHITECTURE.md](ARCHITECTURE.md#keeper-and-filter) says what is left to who takes it over.

## What is tried

Each row below is an attack that runs in CI against the real thing (`tests/redteam`): root and uid 1000, IPv4 and IPv6, with
nesting and without, above runc and crun, with an older and a newer Docker, so that every pair of these occurs; all combinations
run with `scripts/redteam --full`. A judge looks from outside only: every byte on the container's uplink, what the attacker's
machine receives, the name server's log, and the record. The same attack without the filter must get its secret out, or the row
fails. TARGET is a machine that the container may not talk to. A row *holds* when, in every circumstance where it can run, no part
of the secret and no packet that nothing allows was seen outside. CI does not pass otherwise.

";

const JAIL: &str = "
## A jail

What a command tries that runs in `boundary-shim jail`. The judge is the little internet's log, or what the attempt itself says; the
same attempt succeeds without the jail, or against a supervisor that is wrong, else the test fails. (Two have nothing to be compared
with: a supervisor stalled by 100 calls, and a socket as standard input.)

";

const TAIL: &str = "
## Before a container's first instruction

A container may be created before its gateway is ready; whatever lets something run in it waits for that. `tests/runtimes/starts.rs`
judges by the frames that come out of the containers' links, after the same container has got its secret out without the filter:

- *200 containers, eight at a time*, send from their first instruction on, each started as soon as it has been created; *200 more*
  have a process added (`exec`) while they are started.
- *A process is added* to a container that is never started; *a container joins* the network of one whose gateway is being made;
  *others' hooks* (`createContainer`, `startContainer`) send from within the container's namespaces.
- *The keeper is killed* while it makes the gateway, or *can't make it*: nothing starts, and nothing is added; the error says why.
- *`create` is killed* at each step, and while the engine's own hook runs; *its keeper is killed* before the hook comes; the container
  is deleted while its gateway is made: no process, file or control group of ours is left.

## Capabilities in pods

The network of a pod is the host's user namespace's, unless the pod has `hostUsers: false`. There, capabilities are refused or taken
away that reach beyond the container; `tests/cri/capabilities.rs` makes the attempts, with older and newer containerds, and each
has to succeed in a pod without this runtime first.

- *What was taken comes back by no way*: the container's first process, `exec`, a container that is added later, a set-user-ID file,
  a file with capabilities, user and network namespaces of its own try to change the pod's interface, to look through it into the
  host's network, and to mount. The bounding set is empty of it, and a new user namespace has no rights over the pod's network.
- *SYS_PTRACE is taken, too*, although it acts only on processes that the container sees. A process that is added (`exec`, a
  probe of the pod's own, a container that shares the pod's processes) is in the container's pid namespace before it has given up
  the host's root's capabilities. Linux protects it from its fellows as it isn't dumpable, but not from a holder of SYS_PTRACE in
  the user namespace that it comes from: with runc, 30 of 30 such processes were attached to while they held everything. Where
  the pod has a user namespace of its own, none was.
- *Privileged containers are refused*, even where capabilities are taken away. Whoever is root in one opens the node's disks, since
  the device nodes are there, their owner is root, and no control group denies them; writes `/proc/sys/kernel/core_pattern` or
  `/proc/sysrq-trigger`, for which the kernel asks for the user alone. What would have to be taken (devices, masks, read-only
  paths, profiles) is all that made it privileged, and to forget one thing of it would be a way out.

## Out of scope

- What a policy allows: a host that may be reached can be given anything. Narrow rules are the only defence.
- Covert channels by time, load, cache or the sizes of what is allowed.
- Holes of the kernel, the container engine or the real runtime; a container that is privileged or shares the host's namespaces is
  refused unless the host's administrator says otherwise.
- Whoever holds the engine's socket, or is root on the host.
- Denial of service against the container's own network: it may always cut itself off.
- Physical and wireless neighbours of the host, and everything behind the servers that are allowed.
";

fn text() -> String {
    let mut text = String::from(HEAD);
    text.push_str("| attack | how | what stands in its way | result |\n|---|---|---|---|\n");
    for row in rows::all() {
        let Row {
            name,
            attack,
            defence,
            ..
        } = row;
        writeln!(
            text,
            "| `{name}` | {attack} | {defence} | {} |",
            result(&row)
        )
        .unwrap();
    }
    text + JAIL + &jail() + TAIL
}

fn jail() -> String {
    let mut text =
        String::from("| test | how | what stands in its way | tried as |\n|---|---|---|---|\n");
    for Attack {
        suite,
        test,
        attack,
        defence,
        tried,
    } in ATTACKS
    {
        let line = format!("| `{suite}`, `{test}` | {attack} | {defence} | {tried} |");
        writeln!(text, "{line}").unwrap();
    }
    text
}

/// In how many circumstances, and why not in the others.
fn result(row: &Row) -> String {
    let mut reasons: Vec<&str> = all().iter().filter_map(|one| row.hindrance(one)).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let possible = all()
        .iter()
        .filter(|one| row.hindrance(one).is_none())
        .count();
    let holds = format!(
        "holds, tried in pairs of {possible} combinations out of {}",
        all().len()
    );
    if reasons.is_empty() {
        holds
    } else {
        format!("{holds}; not in the others: {}", reasons.join("; "))
    }
}
