//! Where the filter's control group is, whatever was asked for the container's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::host::DENIED;
use crate::lives::{Test, get};
use crate::world::{World, hierarchies, text};

pub(crate) const TESTS: &[Test] = &[
    (
        "wherever_the_container_is_put_its_filter_is_beside_it",
        beside,
    ),
    (
        "a_container_within_a_filters_group_is_refused",
        within_a_filters,
    ),
    (
        "where_memory_can_not_be_bounded_the_record_says_so",
        unbounded,
    ),
    (
        "a_group_that_can_not_be_made_stops_the_container",
        in_the_way,
    ),
];

/// The controllers that bound a filter.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// A process's group of a controller, as the kernel says it.
fn group(pid: i64, controller: &str) -> PathBuf {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let is_it = |line: &&str| {
        line.split(':')
            .nth(1)
            .is_some_and(|names| names.split(',').any(|name| name == controller))
    };
    let line = groups
        .lines()
        .find(is_it)
        .or_else(|| groups.lines().find(|line| line.starts_with("0::")))
        .unwrap();
    line.splitn(3, ':').nth(2).unwrap().into()
}

/// The pid of the keeper, once it is ready.
fn filter(world: &World) -> i64 {
    world.until_ready();
    let states = fs::read_dir("/run/boundary")
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let own = states.filter(|state| {
        state
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(&world.id)
    });
    let record = fs::read_to_string(own.last().unwrap().join("record.json")).unwrap();
    serde_json::from_str::<Value>(&record).unwrap()["proxy"]["pid"]
        .as_i64()
        .unwrap()
}

/// Removes a group of the test's own, in every hierarchy.
pub(crate) fn remove(group: &str) {
    hierarchies()
        .iter()
        .for_each(|hierarchy| drop(fs::remove_dir(hierarchy.join(group))));
}

fn beside(runtime: &str) {
    let world = World::new(runtime);
    let above = format!("above-{}", world.id);
    for asked in [
        json!(null),
        json!(""),
        json!(world.id),
        json!(format!("/{}", world.id)),
        json!(format!("/{above}/{}", world.id)),
        json!(format!("/../..//{above}/./x/../{}/", world.id)),
    ] {
        world.edit_spec(|spec| {
            spec["process"]["args"] = json!(["/bin/busybox", "sleep", "600"]);
            spec["linux"]["cgroupsPath"] = asked.clone();
        });
        let created = world.call("--root DIR/root create --bundle BUNDLE --pid-file DIR/pid ID");
        if !created.status.success() {
            // Only runc cleans a path.
            assert!(
                asked.to_string().contains("..") && runtime != "runc",
                "{asked}: {}",
                text(&created.stderr)
            );
            world.leaves_nothing();
            continue;
        }
        let filter = filter(&world);
        for controller in CONTROLLERS {
            let (own, filters) = (
                group(world.init().into(), controller),
                group(filter, controller),
            );
            assert!(
                !filters.starts_with(&own) || own == Path::new("/"),
                "{asked}: {}",
                filters.display()
            );
            assert_eq!(
                filters.parent(),
                Some(own.parent().unwrap_or_else(|| Path::new("/"))),
                "{asked}"
            );
            assert!(
                filters
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("boundary-filter-"),
                "{asked}"
            );
        }
        world.must("--root DIR/root kill ID KILL");
        world.wait_for_end(world.init());
        world.must("--root DIR/root delete ID");
        world.leaves_nothing();
    }
    remove(&above);
}

fn within_a_filters(runtime: &str) {
    let world = World::new(runtime);
    let other = format!("boundary-filter-other-{}", world.id);
    world.edit_spec(|spec| spec["linux"]["cgroupsPath"] = json!(format!("/{other}/{}", world.id)));
    let output = world.call("--root DIR/root run --bundle BUNDLE ID");
    assert!(!output.status.success());
    // crun doesn't pass a hook's words on.
    let said = text(&output.stderr);
    assert!(
        runtime == "crun" || said.contains("in the control group of a filter"),
        "{said}"
    );
    world.leaves_nothing();
    remove(&other);
}

fn unbounded(runtime: &str) {
    let world = World::new(runtime);
    // Of a container that attempts nothing, no record is kept.
    world.set_command(&get(DENIED));
    let call = world.command("--root DIR/root run --bundle BUNDLE ID");
    let line = "umount /sys/fs/cgroup/memory && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    let output = command
        .args(["--mount", "sh", "-c", line])
        .arg(call.get_program())
        .args(call.get_args())
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let notices = world
        .records()
        .into_iter()
        .filter_map(|record| Some(record["notice"].as_str()?.to_owned()));
    let about_memory = |notice: &String| notice.contains("use of memory is not bounded");
    assert_eq!(
        notices.filter(about_memory).count(),
        1,
        "{:?}",
        world.records()
    );
    world.leaves_nothing();
}

/// Somebody is in a group of that name.
fn in_the_way(runtime: &str) {
    let world = World::new(runtime);
    let root = PathBuf::from(world.path("root"));
    let state = boundary_shim::container::state::directory(&root, &world.id);
    let name = format!(
        "boundary-filter-{}",
        state.file_name().unwrap().to_str().unwrap()
    );
    let taken = Path::new("/sys/fs/cgroup/pids").join(&name);
    fs::create_dir(&taken).unwrap();
    let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    fs::write(taken.join("cgroup.procs"), other.id().to_string()).unwrap();
    world.set_command("echo it runs");
    let output = world.call("--root DIR/root run --bundle BUNDLE ID");
    // It ends with its standard input.
    drop(other.stdin.take());
    other.wait().unwrap();
    let said = text(&output.stderr);
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{said}"
    );
    assert!(
        runtime == "crun" || said.contains("make the filter's control group"),
        "{said}"
    );
    world.leaves_nothing();
}
