//! The bundle's `config.json` while a container lives, and after its end.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::lives::Test;
use crate::world::{World, shell, text};

pub(crate) const TESTS: &[Test] = &[
    ("after_its_end_a_containers_bundle_is_as_it_was", as_it_was),
    (
        "what_is_written_while_a_container_lives_stays",
        written_meanwhile,
    ),
    (
        "what_an_interrupted_call_left_is_not_taken_for_the_engines",
        interrupted,
    ),
];

/// Everything in the bundle beside the root.
fn bundle(world: &World) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(world.path("bundle")).unwrap().flatten();
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> = files
        .map(|file| {
            (
                file.file_name().into_string().unwrap(),
                fs::read(file.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

fn config(world: &World) -> String {
    fs::read_to_string(world.path("bundle/config.json")).unwrap()
}

/// A file with an end of line and blanks, as people write it.
fn write_as_people_do(world: &World, line: &str) {
    world.edit_spec(|spec| spec["process"]["args"] = shell(line));
    let spec: serde_json::Value = serde_json::from_str(&config(world)).unwrap();
    let text = format!("{spec:#}\n");
    fs::write(world.path("bundle/config.json"), text).unwrap();
}

fn as_it_was(runtime: &str) {
    let world = World::new(runtime);
    write_as_people_do(&world, "busybox true");
    let before = bundle(&world);
    world.must("--root DIR/root run --bundle BUNDLE ID");
    assert_eq!(bundle(&world), before, "run");
    world.leaves_nothing();

    write_as_people_do(&world, "busybox sleep 600");
    let before = bundle(&world);
    for delete in ["delete --force ID", "kill ID KILL"] {
        world.must("--root DIR/root create --bundle BUNDLE --pid-file DIR/pid ID");
        world.must("--root DIR/root start ID");
        assert_ne!(bundle(&world), before);
        world.must(&format!("--root DIR/root {delete}"));
        world.wait_for_end(world.init());
        world.leaves_nothing();
        assert_eq!(bundle(&world), before, "{delete}");
    }

    // What fails behind our hook. Only runc calls hooks then; after others the next start does it.
    world.edit_spec(|spec| spec["process"]["args"] = json!(["/no/such/program"]));
    let before = bundle(&world);
    let run = "--root DIR/root run --bundle BUNDLE ID";
    assert!(!world.call(run).status.success());
    world.call("--root DIR/root delete --force ID");
    world.leaves_nothing();
    if runtime == "runc" {
        assert_eq!(bundle(&world), before, "a failed run");
    }

    // The runtime alone afterwards.
    if runtime == "embedded" {
        return;
    }
    write_as_people_do(&world, "busybox true");
    world.must("--root DIR/root run --bundle BUNDLE ID");
    let alone = Command::new(runtime)
        .args(["--root", &world.path("alone"), "run", "--bundle"])
        .args([&world.path("bundle"), "another"])
        .output()
        .unwrap();
    assert!(alone.status.success(), "{}", text(&alone.stderr));
}

/// As an engine does that starts the container anew.
fn written_meanwhile(runtime: &str) {
    let world = World::new(runtime);
    world.set_command("busybox sleep 600");
    world.must("--root DIR/root create --bundle BUNDLE ID");
    world.set_command("busybox true");
    let written = config(&world);
    world.must("--root DIR/root delete --force ID");
    assert_eq!(config(&world), written);
    world.must("--root DIR/root run --bundle BUNDLE ID");
    assert_eq!(config(&world), written);
    world.leaves_nothing();
}

/// The edit is there, and the runtime was never called, or it refused before any hook.
fn interrupted(runtime: &str) {
    let world = World::new(runtime);
    write_as_people_do(&world, "busybox true");
    let before = bundle(&world);
    world.configure("runtime = \"/bin/false\"");
    for id in ["ID", "another"] {
        assert!(
            !world
                .call(&format!("create --bundle BUNDLE {id}"))
                .status
                .success()
        );
        assert_ne!(bundle(&world), before);
    }
    // One that is refused changes nothing: another's runtime may be about to read the edit.
    let edited = bundle(&world);
    world.configure("runtime = \"/bin/false\"\npolicy = \"none-of-that-name\"");
    let refused = world.call("create --bundle BUNDLE ID");
    assert!(text(&refused.stderr).contains("none-of-that-name"));
    assert_eq!(bundle(&world), edited);
    world.configure(&format!("runtime = {runtime:?}"));
    world.must("--root DIR/root run --bundle BUNDLE ID");
    assert_eq!(bundle(&world), before);
    world.leaves_nothing();
}
