//! What `boundary-shim doctor` says of a host, in text and in JSON, to root and to others.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::host::write_program;
use crate::world::{World, text};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("doctor_says_what_is_fine_and_what_is_not", host),
    ("doctor_tries_the_services_that_a_runtime_needs", services),
    ("doctor_says_the_same_in_json", in_json),
    ("doctor_of_one_engine_tries_no_jail", one_engine),
    ("doctor_judges_for_a_user_what_a_user_can_do", as_a_user),
];

/// What `doctor` says of a test's configuration, and its exit code.
fn examined(world: &World) -> (Option<i32>, String) {
    asked(world, &[])
}

fn asked(world: &World, further: &[&str]) -> (Option<i32>, String) {
    let config = world.path("config.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_boundary-shim"));
    let output = command
        .args(["doctor", "--config", &config])
        .args(further)
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout))
}

fn services() {
    let world = World::new("");
    let program = world.path("sysbox-runc");
    write_program(&program, "#!/bin/sh\necho sysbox-runc 0.7.0\n");
    world.configure(&format!("runtime = {program:?}"));
    let sockets = ["sysmgr", "sysfs"].map(|name| format!("/run/sysbox/{name}.sock"));
    fs::create_dir("/run/sysbox").unwrap();
    let listeners = sockets.clone().map(|at| UnixListener::bind(at).unwrap());
    let (code, said) = examined(&world);
    assert!(
        code == Some(0) && said.contains("ok    runtime: sysbox-runc"),
        "{said}"
    );
    drop(listeners);
    let (code, said) = examined(&world);
    assert_eq!(code, Some(1), "{said}");
    for (name, socket) in ["sysbox-mgr", "sysbox-fs"].iter().zip(&sockets) {
        let line =
            format!("FAIL  runtime: {name} can't be reached at {socket}: Connection refused");
        assert!(said.contains(&line), "{said}");
    }
    fs::remove_dir_all("/run/sysbox").unwrap();
}

fn host() {
    let world = World::new("embedded");
    let (code, said) = examined(&world);
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "ok    runtime: embedded",
        "ok    kernel: ",
        "ok    user namespaces: ",
        "ok    records: ",
    ] {
        assert!(said.contains(line), "no «{line}» in:\n{said}");
    }
    fs::write(world.path("policies/typo.yaml"), "allow:\n  - domian=x\n").unwrap();
    world.configure("runtime = \"no-such-runtime\"");
    let (code, said) = examined(&world);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("FAIL  runtime: no runtime \"no-such-runtime\""),
        "{said}"
    );
    assert!(said.contains("typo.yaml:2"), "{said}");
}

/// The lines that begin with a mark.
fn marked(said: &str) -> Vec<(&str, &str)> {
    let lines = said.lines().filter(|line| !line.starts_with(' '));
    let parts = lines.filter_map(|line| line.split_at_checked(6));
    parts.map(|(mark, what)| (mark.trim(), what)).collect()
}

fn in_json() {
    let world = World::new("embedded");
    let (_, said) = examined(&world);
    let (code, json) = asked(&world, &["--json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["healthy"], code == Some(0), "{json}");
    let of = |key: &str| report[key].as_array().unwrap();
    let findings = of("findings").iter().map(|finding| {
        let mark = match finding["severity"].as_str().unwrap() {
            "fine" => "ok",
            "fact" => "is",
            "note" => "note",
            _ => "FAIL",
        };
        (mark, finding["what"].as_str().unwrap().to_owned())
    });
    let ways = of("ways").iter().map(|way| {
        let name = way["name"].as_str().unwrap();
        let words = match way["works"].as_bool() {
            Some(true) => ("ok", format!("works: {}", way["command"].as_str().unwrap())),
            Some(false) => ("no", way["why"].as_str().unwrap().to_owned()),
            None => ("?", way["why"].as_str().unwrap().to_owned()),
        };
        (words.0, format!("way {name}: {}", words.1))
    });
    let all: Vec<(&str, String)> = findings.chain(ways).collect();
    let all: Vec<(&str, &str)> = all.iter().map(|(mark, what)| (*mark, &**what)).collect();
    // How much room there is may change meanwhile.
    let steady = |lines: &[(&str, &str)]| -> Vec<String> {
        let lines = lines.iter().filter(|line| !line.1.starts_with("records: "));
        lines.map(|line| format!("{line:?}")).collect()
    };
    assert_eq!(steady(&marked(&said)), steady(&all));
    let names: Vec<_> = of("ways").iter().map(|way| way["name"].clone()).collect();
    assert_eq!(
        names,
        [
            "runtime",
            "hook",
            "nsjail",
            "nsjail-no-user-namespace",
            "notify",
            "landjail"
        ]
    );
}

fn one_engine() {
    let world = World::new("embedded");
    let (code, json) = asked(&world, &["--json", "containerd"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &report["healthy"]), (Some(1), &Value::Bool(false)));
    assert_eq!(
        (&report["facts"], report["ways"].as_array().unwrap().len()),
        (&Value::Null, 0)
    );
}

fn as_a_user() {
    // Where nobody may look into the test's own directory.
    let program = Path::new("/run/boundary-shim-for-a-user");
    fs::copy(env!("CARGO_BIN_EXE_boundary-shim"), program).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program)
        .arg("doctor")
        .output()
        .unwrap();
    fs::remove_file(program).unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in [
        "note  host: looked at without root's rights",
        "?     way runtime: it takes root to tell",
        "ok    way notify: works",
        "no    way nsjail-no-user-namespace: ",
    ] {
        assert!(said.contains(line), "no «{line}» in:\n{said}");
    }
    assert!(!said.contains("FAIL"), "{said}");
}
