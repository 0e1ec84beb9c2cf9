//! What people write into compose files and onto command lines, beyond an image and a port: each
//! has to come to the same with plain runc and with the filter around it.

use std::fmt::Write as _;

use crate::command::Answer;

/// One of them: what it is for, the engine's flags, and a script that shows that it works.
pub type Composition = (&'static str, &'static [&'static str], &'static str);

/// What the host needs for them, as a script: file systems with the options that careful hosts
/// give theirs, a socket, a folder with something mounted below it.
pub const HOST: &str = r#"set -e
mkdir -p /srv/composed && cd /srv/composed
for options in nosuid,nodev nosuid,nodev,noexec noatime; do
  mkdir "$options" && mount -t tmpfs -o "$options" composed "$options"
  mkdir "$options/folder"
  printf '#!/bin/sh\necho started\n' >"$options/program" && chmod 755 "$options/program"
  cp "$options/program" "$options/folder/"
done
mkdir -p tree/below && mount --bind tree tree && mount --make-shared tree && mount -t tmpfs composed tree/below && touch tree/below/hidden tree/seen
mkdir proc && mount -t proc -o nosuid,nodev,noexec proc proc
"#;

/// Takes that away again.
pub const HOST_AFTERWARDS: &str = "umount /srv/composed/no* /srv/composed/tree/below /srv/composed/tree /srv/composed/proc && rm -r /srv/composed";

/// They need nothing of the network: what passes there is other tests' matter.
pub const COMPOSITIONS: &[Composition] = &[
    (
        "a plain one",
        &[],
        "id; cat /proc/self/status | grep -E '^(Uid|NoNewPrivs)'; ls /dev | sort",
    ),
    (
        "a file of a host whose /run is nosuid and nodev",
        &["-v", "/srv/composed/nosuid,nodev/program:/x:ro"],
        "/x; grep -o '/x r[ow]' /proc/self/mountinfo",
    ),
    (
        "a folder of such a host",
        &["-v", "/srv/composed/nosuid,nodev/folder:/x:ro"],
        "/x/program; touch /x/y || echo read-only",
    ),
    (
        "a program from a folder with noexec, read-only",
        &["-v", "/srv/composed/nosuid,nodev,noexec/folder:/x:ro"],
        "/x/program || echo denied",
    ),
    (
        "the same, to be written to",
        &["-v", "/srv/composed/nosuid,nodev,noexec/folder:/x"],
        "/x/program; touch /x/y && rm /x/y && echo written",
    ),
    (
        "a folder with noatime",
        &[
            "-v",
            "/srv/composed/noatime:/x:ro",
            "-v",
            "/srv/composed/noatime/folder:/x/folder",
        ],
        "/x/program; touch /x/folder/y && rm /x/folder/y && grep -c noatime /proc/self/mountinfo",
    ),
    (
        "a folder and what is mounted below it",
        &["-v", "/srv/composed/tree:/x:ro"],
        "ls /x /x/below",
    ),
    (
        "a folder without what is mounted below it",
        &[
            "--mount",
            "type=bind,src=/srv/composed/tree,dst=/x,bind-nonrecursive=true",
        ],
        "ls /x /x/below",
    ),
    (
        "propagation from the host",
        &[
            "--mount",
            "type=bind,src=/srv/composed/tree,dst=/x,bind-propagation=rslave",
        ],
        "ls /x /x/below",
    ),
    (
        "metrics of the host",
        &[
            "-v",
            "/srv/composed/proc:/host/proc:ro",
            "-v",
            "/sys/fs/cgroup:/host/cgroup:ro",
        ],
        "head -n 1 /host/proc/stat | cut -d' ' -f1; test -e /host/proc/1/stat && ls -d /host/cgroup",
    ),
    (
        "the host's time zone",
        &[
            "-v",
            "/etc/passwd:/etc/localtime:ro",
            "-v",
            "/etc/hostname:/etc/timezone:ro",
        ],
        "wc -c </etc/localtime; touch /etc/localtime || echo read-only",
    ),
    (
        "a database's limits",
        &[
            "--shm-size",
            "96m",
            "--ulimit",
            "memlock=65536:65536",
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=500:500",
        ],
        "df -k /dev/shm | tail -n 1 | cut -d' ' -f2-; ulimit -l; ulimit -n",
    ),
    (
        "a database that locks memory and sets priorities",
        &[
            "--cap-add",
            "IPC_LOCK",
            "--cap-add",
            "SYS_NICE",
            "--ulimit",
            "memlock=65536:65536",
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=500:500",
        ],
        "ulimit -l; nice -n -5 nice; grep CapEff /proc/self/status",
    ),
    (
        "kernel settings of its own",
        &[
            "--sysctl",
            "net.core.somaxconn=511",
            "--sysctl",
            "kernel.shmmax=67108864",
            "--sysctl",
            "net.ipv4.ip_unprivileged_port_start=0",
        ],
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_unprivileged_port_start",
    ),
    (
        "hardened",
        &[
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--tmpfs",
            "/run:size=1m,noexec",
            "--cap-drop",
            "ALL",
            "--cap-add",
            "CHOWN",
            "--cap-add",
            "SETUID",
            "--cap-add",
            "SETGID",
            "--security-opt",
            "no-new-privileges",
        ],
        "touch /x || echo read-only; touch /tmp/x /run/x && chown 5:5 /tmp/x && stat -c %u:%g /tmp/x; \
         grep NoNewPrivs /proc/self/status",
    ),
    (
        "a user without any rights",
        &[
            "--user",
            "1000:1000",
            "--group-add",
            "44",
            "--cap-drop",
            "ALL",
        ],
        "id; grep CapBnd /proc/self/status; touch /x || echo denied",
    ),
    (
        "tmpfs with everything",
        &[
            "--mount",
            "type=tmpfs,dst=/x,tmpfs-mode=1770,tmpfs-size=1048576",
            "--tmpfs",
            "/y:exec,mode=700",
        ],
        "stat -c '%a %u' /x /y; echo 'echo started' >/y/p; chmod 755 /y/p; sh /y/p; dd if=/dev/zero of=/x/f bs=1k count=2000 \
         2>/dev/null || echo full",
    ),
    (
        "volumes over volumes",
        &[
            "-v",
            "/data",
            "-v",
            "/srv/composed/tree:/data/tree",
            "-v",
            "/srv/composed/nosuid,nodev/folder:/data/tree/below:ro",
        ],
        "ls /data /data/tree /data/tree/below; touch /data/x && echo written",
    ),
    (
        "a supervisor and a priority in need",
        &["--init", "--oom-score-adj", "500"],
        "cat /proc/self/oom_score_adj",
    ),
    (
        "limits",
        &[
            "--memory",
            "64m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "30",
            "--ulimit",
            "core=0",
            "--ulimit",
            "nproc=200:200",
            "--ulimit",
            "nofile=1024:1024",
        ],
        "ulimit -c; for i in 1 2 3; do true & done; wait; echo forked",
    ),
    (
        "names",
        &[
            "--hostname",
            "box",
            "--add-host",
            "db:10.9.8.7",
            "-w",
            "/tmp",
            "-e",
            "A=b",
        ],
        "hostname; grep -h db /etc/hosts; pwd; echo $A",
    ),
    (
        "the host's name",
        &["--uts", "host"],
        "hostname >/dev/null && echo named",
    ),
    (
        "shared memory that others may use",
        &["--ipc", "shareable"],
        "test -w /dev/shm && echo shared",
    ),
    (
        "the host's shared memory",
        &["--ipc", "host"],
        "test -w /dev/shm && echo shared",
    ),
    (
        "the host's control groups",
        &["--cgroupns", "host"],
        "grep -c . /proc/self/cgroup",
    ),
    (
        "a VPN's client",
        &["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"],
        "stat -c '%a %u %t:%T' /dev/net/tun; ip tuntap add dev tun9 mode tun && ip -o link show tun9 | cut -d: -f2",
    ),
    (
        "a file system in user space",
        &["--device", "/dev/fuse"],
        "stat -c '%a %u %g %t:%T' /dev/fuse",
    ),
    (
        "a device under another name",
        &["--device", "/dev/null:/dev/nothing"],
        "stat -c '%a %u %g %t:%T' /dev/nothing; echo x >/dev/nothing && echo written",
    ),
    (
        "a debugger",
        &[
            "--cap-add",
            "SYS_PTRACE",
            "--security-opt",
            "seccomp=unconfined",
        ],
        "sleep 5 & test -r /proc/$!/mem && cat /proc/$!/maps | head -n 1 | wc -l",
    ),
    (
        "the host's user ids",
        &["--userns", "host"],
        "id -u; touch /x && chown 4000000000:5 /x && stat -c %u /x",
    ),
    (
        "shown in full",
        &["--security-opt", "systempaths=unconfined"],
        "head -c 0 /proc/kcore; ls /proc/acpi >/dev/null 2>&1; echo seen",
    ),
    (
        "the host's devices",
        &["-v", "/dev:/host/dev:ro"],
        "stat -c '%a %t:%T' /host/dev/null",
    ),
    (
        "a program that its file makes root's",
        &["--user", "1000", "-v", "/srv/composed/noatime:/x"],
        "cat /proc/sys/kernel/cap_last_cap >/dev/null; id -u; test -O /x || echo not mine",
    ),
];

/// The exit code of an engine that couldn't start a container; no script here has one like it.
const ENGINES_ERROR: i32 = 125;

/// Those of them that come to something else than with plain runc, or don't start with that, with what each
/// said. `apart_from`: those that aren't played. `run`: what
/// comes of a container with these flags, under plain runc or not, and of a script in it.
pub fn differing(
    apart_from: &[&str],
    mut run: impl FnMut(bool, &[&str], &str) -> Answer,
) -> String {
    let mut differing = String::new();
    let played = COMPOSITIONS
        .iter()
        .filter(|(name, ..)| !apart_from.contains(name));
    for (name, flags, script) in played {
        let [plain, ours] = [true, false].map(|plain| run(plain, flags, script));
        let started = plain.code < ENGINES_ERROR;
        if !started || (plain.code, &plain.stdout) != (ours.code, &ours.stdout) {
            writeln!(
                differing,
                "{name} {flags:?}\n  runc: {plain:?}\n  ours: {ours:?}"
            )
            .unwrap();
        }
    }
    differing
}
