//! What the filter, the process that reads what a container sends, may do: nothing but what serving
//! needs, all of which works.

use std::fs;
use std::path::Path;

use test_support::bed::{Bed, unique};
use test_support::command::wait_for;
use test_support::docker::Container;
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    ("the_filter_is_nobody_with_one_capability", capabilities),
    ("the_filter_has_no_files_but_its_record", files),
    (
        "whatever_a_container_does_the_filter_is_denied_nothing_that_it_asks_for",
        walk,
    ),
    ("a_record_that_was_removed_is_gone_on_with", removed_record),
];

/// A line of `/proc/PID/status`.
fn status(bed: &Bed, pid: &str, field: &str) -> String {
    let status = fs::read_to_string(bed.inside(&format!("/proc/{pid}/status"))).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"))
        .unwrap();
    line.to_owned()
}

fn capabilities(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let footprint = container.footprint();
    let (keeper, filter) = (&footprint.proxy, footprint.filter(bed));
    let of = |pid: &str, field| status(bed, pid, field);
    assert_eq!(of(&filter, "Uid"), "65534\t65534\t65534\t65534");
    assert_eq!(of(&filter, "Gid"), "65534\t65534\t65534\t65534");
    assert_eq!(of(&filter, "Groups").trim(), "");
    let namespace =
        |pid: &str, kind| fs::read_link(bed.inside(&format!("/proc/{pid}/ns/{kind}"))).unwrap();
    // One of its own would be its owner's to enter, and a container's root may be of the same user.
    assert_eq!(namespace(&filter, "user"), namespace(keeper, "user"));
    assert_eq!(namespace(&filter, "net"), namespace(keeper, "net"));
    // CAP_NET_RAW.
    for field in ["CapEff", "CapPrm"] {
        assert_eq!(of(&filter, field), format!("{:016x}", 1 << 13), "{field}");
    }
    let guard = footprint.guard(bed);
    // CAP_KILL.
    for field in ["CapEff", "CapPrm"] {
        assert_eq!(of(&guard, field), format!("{:016x}", 1 << 5), "{field}");
    }
    // Standard streams that lead nowhere, the keeper's words, and the container's first process.
    let open = fs::read_dir(bed.inside(&format!("/proc/{guard}/fd"))).unwrap();
    assert_eq!(open.count(), 5);
    for pid in [keeper, &filter, &guard] {
        for field in ["CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(of(pid, field), format!("{:016x}", 0), "{field}");
        }
        assert_eq!(of(pid, "NoNewPrivs"), "1");
    }
    assert_eq!(of(&filter, "Seccomp"), "2");
}

fn files(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let filter = container.footprint().filter(bed);
    let root = bed.inside(&format!("/proc/{filter}/root"));
    assert_eq!(fs::read_dir(root.join(".")).unwrap().count(), 0);
    let directory = bed.inside(&format!("/proc/{filter}/fd"));
    let open: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let record = format!("/var/log/boundary/{}.jsonl", container.id());
    for descriptor in open {
        let target = fs::read_link(&descriptor)
            .unwrap()
            .into_os_string()
            .into_string()
            .unwrap();
        let anonymous = [
            "socket:",
            "pipe:",
            "anon_inode:[eventpoll]",
            "anon_inode:[eventfd]",
            "anon_inode:[signalfd]",
        ];
        let known = anonymous.iter().any(|kind| target.starts_with(kind)) || target == "/dev/null";
        assert!(known || target.ends_with(&record), "{target}");
        if target.ends_with(&record) {
            let number = descriptor.file_name().unwrap().to_str().unwrap();
            let info = bed.inside(&format!("/proc/{filter}/fdinfo/{number}"));
            let flags = fs::read_to_string(info).unwrap();
            let flags = flags
                .lines()
                .find_map(|line| line.strip_prefix("flags:\t"))
                .unwrap();
            let flags = i32::from_str_radix(flags, 8).unwrap();
            assert_eq!(
                flags & (libc::O_ACCMODE | libc::O_APPEND),
                libc::O_WRONLY | libc::O_APPEND
            );
        }
    }
}

/// Everything that tests elsewhere do one by one, under a tracer that sees what each system call
/// got.
fn walk(bed: &Bed) {
    let container = bed.start_with("boundary-ports", &[], &["sleep", "600"]);
    let tracer = Tracer::attach(bed, &container.footprint().filter(bed));
    for script in [
        "curl -4 -sS -m 9 http://allowed.test/",
        "curl -6 -sS -m 9 http://allowed.test/",
        "curl -4 -sS -m 9 https://allowed.test/",
        "curl -sS -m 20 -o /dev/null http://allowed.test/bytes/30000000",
        "curl -sS -m 20 -o /dev/null https://allowed.test/bytes/30000000",
        "head -c 3000000 /dev/zero | curl -sS -m 20 -o /dev/null --data-binary @- http://allowed.test/",
        "curl -sS -m 9 -H Host:denied.test http://198.51.100.10/",
        "curl -sS -m 9 --resolve denied.test:443:198.51.100.20 https://denied.test/ || true",
        "nslookup allowed.test",
        "nslookup denied.test || true",
        "attacker probe tcp 198.51.100.30:5432",
        "attacker probe tcp 198.51.100.30:5433",
        "attacker probe udp 198.51.100.30:9999",
        "attacker probe icmp 203.0.113.66",
        "attacker quiet 203.0.113.66:443",
        "attacker scatter 203.0.113.66:7 200",
    ] {
        container.exec(script).must_succeed();
    }
    remove_record(bed, &container);
    let denied = tracer
        .stop()
        .into_iter()
        .filter(|line| line.contains(" = -1 EPERM"))
        .collect::<Vec<_>>();
    assert_eq!(denied, Vec::<String>::new());
    container
        .exec("curl -4 -sS -m 9 http://allowed.test/")
        .must_succeed();
}

fn removed_record(bed: &Bed) {
    let container = bed.sleeper(&[]);
    remove_record(bed, &container);
}

/// The filter, which can open nothing, is given another file.
fn remove_record(bed: &Bed, container: &Container<'_>) {
    let path = bed.inside(&format!("/var/log/boundary/{}.jsonl", container.id()));
    container
        .exec("curl -4 -sS -m 9 http://allowed.test/before")
        .must_succeed();
    fs::remove_file(&path).unwrap();
    // It is looked after once a second.
    wait_for("the record to be gone on with", || {
        container
            .exec("curl -4 -sS -m 9 http://allowed.test/after")
            .must_succeed();
        container
            .records()
            .iter()
            .any(|record| record["path"] == "/after")
    });
}

/// strace(1) on one process.
struct Tracer<'a> {
    bed: &'a Bed,
    pid: String,
    output: String,
}

impl<'a> Tracer<'a> {
    fn attach(bed: &'a Bed, process: &str) -> Self {
        let output = format!("/tmp/{}", unique("trace"));
        let start = "strace -f -o $0 -p $1 >/dev/null 2>&1 & echo $!";
        let said = bed.exec(&["bash", "-c", start, &output, process]);
        let pid = said.must_succeed().stdout.trim().to_owned();
        wait_for("a tracer", || status(bed, process, "TracerPid") != "0");
        Self { bed, pid, output }
    }

    fn stop(self) -> Vec<String> {
        self.bed.exec(&["kill", "-INT", &self.pid]).must_succeed();
        wait_for("the tracer's end", || {
            !Path::new(&self.bed.inside(&format!("/proc/{}", self.pid))).exists()
        });
        let trace = fs::read_to_string(self.bed.inside(&self.output)).unwrap();
        assert!(trace.lines().count() > 500, "too short a trace: {trace}");
        trace.lines().map(str::to_owned).collect()
    }
}
