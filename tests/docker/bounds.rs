//! What bounds a filter: a control group of its own, beside its container's.

use std::fs;
use std::path::{Path, PathBuf};

use test_support::bed::{Bed, Capture};
use test_support::command::{COMMAND_SECONDS, run, wait_for};
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::traces::Footprint;
use test_support::wire::leaks;

pub(crate) const TESTS: &[Test] = &[
    (
        "the_filters_group_is_beside_its_containers_in_every_hierarchy",
        beside,
    ),
    ("limits_are_in_force", limits),
    ("docker_sees_the_container_alone", unseen),
    ("a_container_that_is_paused_keeps_its_filter", paused),
    (
        "a_container_out_of_memory_keeps_its_filter",
        container_out_of_memory,
    ),
    ("a_filter_out_of_memory_opens_nothing", filter_out_of_memory),
    (
        "the_filters_sockets_are_charged_to_its_group",
        sockets_are_charged,
    ),
];

/// The hierarchies that bound a filter.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// Where a process is, by the controller: `/proc/PID/cgroup` of the bed, and the directory.
pub(crate) fn group_of(bed: &Bed, pid: &str, controller: &str) -> PathBuf {
    let groups = fs::read_to_string(bed.inside(&format!("/proc/{pid}/cgroup"))).unwrap();
    let first = |line: &&str| {
        line.split(':')
            .nth(1)
            .is_some_and(|names| names.split(',').any(|name| name == controller))
    };
    let second = |line: &&str| line.starts_with("0::");
    let line = groups
        .lines()
        .find(first)
        .or_else(|| groups.lines().find(second))
        .unwrap();
    let path = line.splitn(3, ':').nth(2).unwrap().trim_start_matches('/');
    let mount = if line.starts_with("0::") {
        "/sys/fs/cgroup".to_owned()
    } else {
        format!("/sys/fs/cgroup/{controller}")
    };
    Path::new(&mount).join(path)
}

/// The filter's group of a controller.
fn filters(bed: &Bed, container: &Container<'_>, controller: &str) -> PathBuf {
    group_of(bed, &container.footprint().proxy, controller)
}

fn beside(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let (id, proxy) = (container.id(), container.footprint().proxy);
    for controller in CONTROLLERS {
        let own = group_of(bed, &container.inspect("{{.State.Pid}}"), controller);
        assert!(own.ends_with(&id), "{}", own.display());
        let filters = group_of(bed, &proxy, controller);
        assert_eq!(filters.parent(), own.parent());
        let name = filters.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with(&format!("boundary-filter-{id}-")),
            "{name}"
        );
    }
}

fn limits(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let proxy = container.footprint().proxy;
    let value = |controller: &str, file: &str| {
        let text = fs::read_to_string(group_of(bed, &proxy, controller).join(file)).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    assert_eq!(value("pids", "pids.max"), 16);
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        assert_eq!(value("memory", "memory.max"), 64 << 20);
        // The keeper says what the kernel killed the filter for.
        assert_eq!(
            (
                value("memory", "memory.swap.max"),
                value("memory", "memory.oom.group")
            ),
            (0, 0)
        );
        assert_eq!(value("cpu", "cpu.weight"), 100);
    } else {
        assert_eq!(value("memory", "memory.limit_in_bytes"), 64 << 20);
        assert_eq!(value("memory", "memory.kmem.tcp.limit_in_bytes"), 32 << 20);
        assert_eq!(
            value("memory", "memory.memsw.limit_in_bytes"),
            value("memory", "memory.limit_in_bytes")
        );
        assert_eq!(
            (
                value("memory", "memory.swappiness"),
                value("cpu", "cpu.shares")
            ),
            (0, 1024)
        );
    }
}

fn unseen(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let top = container.docker("top").must_succeed().stdout.clone();
    assert_eq!(top.lines().count(), 2, "{top}");
    assert!(!top.contains("boundary"), "{top}");
    let stats = [
        "stats",
        "--no-stream",
        "--format",
        "{{.PIDs}}",
        &container.name,
    ];
    assert_eq!(bed.docker(&stats).must_succeed().stdout.trim(), "1");
}

/// A filter wakes when a link comes into its container's network.
fn paused(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let (proxy, init) = (container.footprint().proxy, container.pid().to_string());
    container.docker("pause").must_succeed();
    let switches = || {
        let status = fs::read_to_string(bed.inside(&format!("/proc/{proxy}/status"))).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let before = switches();
    run(
        COMMAND_SECONDS,
        &[
            "nsenter", "--net", "--target", &init, "ip", "link", "add", "type", "veth",
        ],
    )
    .must_succeed();
    wait_for("the filter to run while its container is paused", || {
        switches() > before
    });
    container.docker("unpause").must_succeed();
    container
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_succeed();
}

fn container_out_of_memory(bed: &Bed) {
    // Enough for what `exec` itself takes there: until it has become the command, the kernel would
    // rather take the container's init.
    let container = bed.sleeper(&["--memory", "64m"]);
    let footprint = container.footprint();
    let killed = container.exec("head -c 200m /dev/zero | tail >/dev/null");
    assert_eq!(killed.code, 137, "{killed:?}");
    assert!(is_there(bed, &footprint));
    container
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_succeed();
}

/// Something else in the group uses all of it, and the kernel is told to take the filter.
fn filter_out_of_memory(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let footprint = container.footprint();
    footprint.lose_guard(bed);
    let group = group_of(bed, &footprint.proxy, "memory");
    let capture = Capture::start(bed, &container.uplink(), "in");
    container
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_succeed();
    bed.exec(&[
        "bash",
        "-c",
        "echo 1000 >/proc/$0/oom_score_adj",
        &footprint.proxy,
    ])
    .must_succeed();
    let hog = "echo 0 >$0/cgroup.procs; head -c 200m /dev/zero | tail >/dev/null";
    run(
        COMMAND_SECONDS,
        &["bash", "-c", hog, group.to_str().unwrap()],
    );
    wait_for("the kernel to kill the filter", || {
        !is_there(bed, &footprint)
    });
    for probe in [
        "tcp 203.0.113.66:22",
        "udp 203.0.113.66:9999",
        "icmp 203.0.113.66",
    ] {
        container.is_shut_out(probe);
    }
    container
        .exec("curl -sS -m 2 http://allowed.test/")
        .must_fail();
    assert_eq!(leaks(&capture.stop()), Vec::<&str>::new());
    container.remove();
    footprint.vanishes(bed);
}

fn is_there(bed: &Bed, footprint: &Footprint) -> bool {
    let stat = fs::read_to_string(bed.inside(&format!("/proc/{}/stat", footprint.proxy)))
        .unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// A server's bytes that the container doesn't read wait in the filter's sockets.
fn sockets_are_charged(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let group = filters(bed, &container, "memory");
    let used = || {
        let first = fs::read_to_string(group.join("memory.kmem.tcp.usage_in_bytes"));
        let second = || {
            let stat = fs::read_to_string(group.join("memory.stat")).unwrap();
            stat.lines()
                .find_map(|line| line.strip_prefix("sock "))
                .unwrap()
                .to_owned()
        };
        first
            .unwrap_or_else(|_| second())
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    let before = used();
    let unread = "curl -sS -m 30 --limit-rate 1k -o /dev/null http://allowed.test/bytes/50000000";
    bed.docker(&["exec", "--detach", &container.name, "sh", "-c", unread])
        .must_succeed();
    wait_for("bytes to wait in the filter's sockets", || {
        used() > before + (64 << 10)
    });
}
