//! The record's file, and what may happen to it: a full disk, one that is read-only, a new name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use test_support::record::lines;

use crate::host::ALLOWED;
use crate::lives::get;
use crate::world::{DEADLINE, World, text};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a_full_disk_lets_nothing_out_and_is_got_over", full),
    ("where_no_record_can_be_written_nothing_starts", read_only),
    (
        "a_record_that_was_renamed_goes_on_under_its_old_name",
        renamed,
    ),
];

/// A small file system of the test's own in the place of the records.
struct Disk(PathBuf);

impl Disk {
    fn mount(world: &World, options: &str) -> Self {
        let at = PathBuf::from(world.path("audit"));
        fs::create_dir_all(&at).unwrap();
        run(
            "mount",
            &["-t", "tmpfs", "-o", options, "tmpfs", at.to_str().unwrap()],
        );
        Self(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        text(&output.stderr)
    );
}

/// A container that lives, and asks the allowed address whenever it is told to.
fn begin(world: &World) {
    world.set_command("busybox sleep 600");
    let script = Path::new(&world.path("bundle/rootfs")).join("ask");
    fs::File::create(&script)
        .and_then(|mut file| std::io::Write::write_all(&mut file, get(ALLOWED).as_bytes()))
        .unwrap();
    world.must("--root DIR/root create --bundle BUNDLE ID");
    world.must("--root DIR/root start ID");
}

fn asks(world: &World) -> String {
    text(
        &world
            .call("--root DIR/root exec ID /bin/busybox sh /ask")
            .stdout,
    )
}

fn end(world: &World) {
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();
}

/// What `status` says of the container's gateway.
fn state(world: &World) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_boundary-shim"))
        .args(["status", "--json"])
        .output()
        .unwrap();
    let shown = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect::<Vec<Value>>();
    let own = shown
        .iter()
        .find(|one| one["container"] == world.id.as_str());
    own.map_or_else(
        || format!("{shown:?}"),
        |one| one["state"].as_str().unwrap().to_owned(),
    )
}

fn full() {
    let world = World::new("runc");
    let disk = Disk::mount(&world, "size=64k");
    begin(&world);
    assert_eq!(
        (asks(&world).as_str(), state(&world).as_str()),
        ("hello\n", "ok")
    );
    let filler = disk.0.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    // What is left of the last page of the record is for some lines yet.
    let deadline = Instant::now() + DEADLINE;
    while asks(&world).contains("hello") {
        assert!(
            Instant::now() < deadline,
            "it is let out, and can't be recorded"
        );
    }
    let refused = asks(&world);
    assert!(refused.ends_with("refused\n"), "{refused}");
    assert_eq!(state(&world), "record-unwritable");
    drop(file);
    fs::remove_file(&filler).unwrap();
    assert_eq!(
        (asks(&world).as_str(), state(&world).as_str()),
        ("hello\n", "ok")
    );
    end(&world);
}

fn read_only() {
    let world = World::new("runc");
    let _disk = Disk::mount(&world, "size=64k,ro");
    world.set_command("true");
    let output = world.call("--root DIR/root run --bundle BUNDLE ID");
    let said = text(&output.stderr);
    assert!(
        !output.status.success()
            && said.contains("open the audit file")
            && said.contains("Read-only"),
        "{said}"
    );
    world.leaves_nothing();
}

fn renamed() {
    let world = World::new("runc");
    begin(&world);
    assert_eq!(asks(&world), "hello\n");
    let path = PathBuf::from(world.path(&format!("audit/{}.jsonl", world.id)));
    let aside = path.with_extension("jsonl-20240501");
    fs::rename(&path, &aside).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while !path.exists() {
        assert!(Instant::now() < deadline, "nothing has its old name");
        assert_eq!(asks(&world), "hello\n");
    }
    let (old, new) = (
        lines(&fs::read_to_string(&aside).unwrap()),
        lines(&fs::read_to_string(&path).unwrap()),
    );
    assert_eq!(
        (&new[0]["event"], &new[0]["gateway"]),
        (&Value::from("start"), &old[0]["gateway"])
    );
    let numbers: Vec<u64> = old
        .iter()
        .chain(&new)
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    end(&world);
    let whole = lines(&fs::read_to_string(&path).unwrap());
    assert_eq!(whole.last().unwrap()["event"], "stop");
}
