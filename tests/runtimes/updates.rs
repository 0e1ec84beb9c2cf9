//! The program is replaced while containers run: what the old one began, the new one goes on with.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use boundary_shim::container::state;
use serde_json::{Value, json};

use crate::host::{ALLOWED, DENIED, reached};
use crate::lives::{Test, get};
use crate::world::{World, shell, text};

pub(crate) const TESTS: &[Test] = &[(
    "what_runs_when_the_program_is_replaced_goes_on_under_the_new_one",
    replaced,
)];

fn replaced(runtime: &str) {
    let mut world = World::new(runtime);
    world.program = world.path("boundary-shim").into();
    put_program(&world.program, b"");
    let plain = ["youki", "embedded"].contains(&runtime);
    if plain {
        // It adds no process to a container with a user namespace or a seccomp filter.
        world.configure(&format!("runtime = {runtime:?}\nnesting = \"none\""));
    }
    world.edit_spec(|spec| {
        spec["process"]["args"] = shell("busybox sleep 600");
        if plain {
            spec["linux"].as_object_mut().unwrap().remove("seccomp");
        }
    });
    world.must("--root DIR/root create --bundle BUNDLE --pid-file DIR/pid ID");
    world.must("--root DIR/root start ID");

    put_program(&world.program, b"a newer build");
    let states = state::directory(Path::new(&world.path("root")), &world.id);
    age(&states.join("record.json"), "/plan");
    age(&PathBuf::from(world.path("bundle/boundary.json")), "");

    assert_eq!(world.state()["status"], "running");
    assert_eq!(added(&world, &get(ALLOWED)), "hello\n");
    let said = added(&world, &get(DENIED));
    assert!(said.ends_with("refused\n") && !reached(DENIED), "{said}");
    world.must("--root DIR/root kill ID KILL");
    world.wait_for_end(world.init());
    world.must("--root DIR/root delete ID");
    world.leaves_nothing();
}

/// In place of what is there, as an update does it: what runs keeps the file that it was started
/// from.
fn put_program(path: &Path, more: &[u8]) {
    let new = path.with_extension("new");
    // By another process: nobody else's child may hold the file open for writing.
    let script = "cat \"$0\" - >\"$1\" && chmod 755 \"$1\" && mv \"$1\" \"$2\"";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_boundary-shim")])
        .args([&new, path])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(more).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Makes a plan what another version wrote: without what earlier ones didn't say, and with something
/// that this one doesn't know.
fn age(file: &Path, plan: &str) {
    let mut whole: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let plan = whole.pointer_mut(plan).unwrap().as_object_mut().unwrap();
    for unsaid in [
        "identity",
        "pod",
        "dns_rate_limit",
        "given",
        "denied_note",
        "denied_names",
    ] {
        assert!(plan.remove(unsaid).is_some(), "{unsaid}");
    }
    plan.insert("of_another_version".into(), json!({"more": [1]}));
    fs::write(file, whole.to_string()).unwrap();
}

/// What a process that is added to the container says.
fn added(world: &World, line: &str) -> String {
    let output = world
        .command("--root DIR/root exec ID")
        .args(["/bin/busybox", "sh", "-c", line])
        .output()
        .unwrap();
    text(&output.stdout) + &text(&output.stderr)
}
