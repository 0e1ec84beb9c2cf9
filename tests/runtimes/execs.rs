//! `exec` with a process file, as runc takes it: what the process gets, and what it doesn't.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::lives::Test;
use crate::world::{World, shell, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_process_file_is_read_from_anywhere_and_left_as_it_is",
        from_anywhere,
    ),
    (
        "what_the_runtime_reads_instead_is_not_open_in_the_container",
        not_open,
    ),
    (
        "without_a_profile_only_upcalls_are_filtered_for_all_processes",
        upcalls,
    ),
];

/// A container that sleeps; in a user namespace, and with what nesting needs, where the runtime
/// can add a process to one.
fn begin(runtime: &str) -> World {
    begin_with(runtime, |_| {})
}

/// The same, with a spec that is changed.
fn begin_with(runtime: &str, edit: impl FnOnce(&mut Value)) -> World {
    let world = World::new(runtime);
    let plain = ["youki", "embedded"].contains(&runtime);
    if plain {
        world.configure(&format!("runtime = {runtime:?}\nnesting = \"none\""));
    }
    world.edit_spec(|spec| {
        spec["process"]["args"] = shell("busybox sleep 600");
        if plain {
            spec["linux"].as_object_mut().unwrap().remove("seccomp");
        }
        edit(spec);
    });
    world.must("--root DIR/root create --bundle BUNDLE --pid-file DIR/pid ID");
    world.must("--root DIR/root start ID");
    world
}

fn end(world: &World) {
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();
}

/// A process that runs a line of shell.
fn process(line: &str) -> Value {
    json!({"user": {"uid": 0, "gid": 0}, "args": shell(line), "env": ["PATH=/bin:/usr/bin"], "cwd": "/"})
}

/// The bounding set of what is run.
const BOUNDING: &str = "busybox grep CapBnd /proc/self/status";

/// In the virtual machine's tests, the kernel's own helper tells that nobody is called.
fn upcalls(runtime: &str) {
    let world = begin_with(runtime, |spec| {
        spec["linux"].as_object_mut().unwrap().remove("seccomp");
    });
    let filters = |status: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with("Seccomp_filters"));
        line.map(|line| line.replace('\t', " "))
    };
    let init = fs::read_to_string(format!("/proc/{}/status", world.init())).unwrap();
    let exec = world.must("--root DIR/root exec ID /bin/busybox cat /proc/self/status");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(filters(&own).as_deref(), Some("Seccomp_filters: 0"));
    for status in [init, exec] {
        assert_eq!(filters(&status).as_deref(), Some("Seccomp_filters: 1"));
    }
    end(&world);
}

fn from_anywhere(runtime: &str) {
    let world = begin(runtime);
    let file = world.path("process.json");
    fs::write(&file, process(BOUNDING).to_string()).unwrap();
    let before = fs::read(&file).unwrap();
    symlink(&file, world.path("link")).unwrap();
    let own = world.must("--root DIR/root exec ID /bin/busybox grep CapBnd /proc/self/status");
    // libcontainer keeps what isn't mentioned, so that is written down as nothing.
    let expected = match runtime {
        "youki" | "embedded" => "CapBnd:\t0000000000000000\n".to_owned(),
        _ => own,
    };
    for words in ["exec -p DIR/process.json ID", "exec --process=DIR/link ID"] {
        let said = world.must(&format!("--root DIR/root {words}"));
        assert_eq!(said, expected, "{words}");
    }
    let mut command = world.command("--root DIR/root exec --process /dev/stdin ID");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), &before).unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), expected);
    assert_eq!(fs::read(&file).unwrap(), before);
    end(&world);
}

/// With descriptors that are handed to the process, too: ours must not be taken for one of them.
fn not_open(runtime: &str) {
    let world = begin(runtime);
    let line = "busybox ls -l /proc/self/fd";
    fs::write(world.path("process.json"), process(line).to_string()).unwrap();
    for (preserved, open) in [(0, ""), (2, "3 4")] {
        let exec = world.command(&format!(
            "--root DIR/root exec --preserve-fds {preserved} -p DIR/process.json ID"
        ));
        let words = exec
            .get_args()
            .map(|word| word.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ");
        let call = format!(
            "exec 3</dev/null 4</dev/null 5</dev/null; exec {} {words}",
            env!("CARGO_BIN_EXE_boundary-shim")
        );
        let output = Command::new("sh").args(["-c", &call]).output().unwrap();
        let said = text(&output.stdout);
        // `ls` has the directory open, too.
        let given = said.lines().filter(|line| line.ends_with("/dev/null"));
        let numbers = given
            .filter_map(|line| line.rsplit(' ').nth(2))
            .filter(|number| number.parse::<u32>().is_ok_and(|number| number > 2))
            .collect::<Vec<_>>();
        assert_eq!(numbers.join(" "), open, "{said}{}", text(&output.stderr));
        assert!(!said.contains("memfd"), "{said}");
    }
    end(&world);
}
