//! What the real runtime gets: everything, untouched, but for our own options.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;

use crate::world::{World, stderr, tests};

tests![
    a_mistyped_word_is_told_by_us,
    words_reach_the_runtime_byte_for_byte,
    environment_directory_and_input_reach_the_runtime,
    descriptors_and_process_id_stay,
    signals_are_as_the_caller_left_them,
    a_runtime_is_found_without_a_path,
    a_missing_runtime_is_named,
    the_shim_does_not_call_itself,
    a_broken_configuration_starts_nothing,
    a_failure_is_reported_where_containerd_looks,
    a_failure_is_reported_as_text_where_no_json_is_asked_for,
    a_warning_is_where_the_engine_looks_and_not_in_the_containers_output,
    a_log_that_can_not_be_written_is_no_reason_to_hang_or_to_be_silent,
];

fn words_reach_the_runtime_byte_for_byte() {
    let world = World::new();
    let given = [
        "--root",
        "/r",
        "--strange=\u{1}",
        "state",
        "--",
        "",
        "a b",
        "--boundary-policy",
        "x",
    ];
    let mut given: Vec<OsString> = given.into_iter().map(OsString::from).collect();
    given.push(OsString::from_vec(vec![b'-', 0xff, b'\n']));
    let output = world.shim(&given).output().unwrap();
    world.assert_passed(&output);
    assert_eq!(
        world.handed_off().unwrap(),
        given
            .into_iter()
            .map(OsString::into_vec)
            .collect::<Vec<_>>()
    );
}

fn environment_directory_and_input_reach_the_runtime() {
    let world = World::new();
    world.write("input", "what update reads", 0o600);
    let mut command = world.shim(["update", "--resources", "-", "c"]);
    let input = std::fs::File::open(world.path("input")).unwrap();
    command
        .env("NOTIFY_SOCKET", "/n")
        .env("PATH", "/bin:/usr/bin")
        .env("EMPTY", "");
    let output = command
        .current_dir(world.path("bundle"))
        .stdin(input)
        .output()
        .unwrap();
    world.assert_passed(&output);
    let mut environment: Vec<String> = world.read("real/env").lines().map(str::to_owned).collect();
    environment.sort();
    assert_eq!(
        environment,
        ["EMPTY=", "NOTIFY_SOCKET=/n", "PATH=/bin:/usr/bin"]
    );
    assert_eq!(world.read("real/stdin"), "what update reads");
    assert_eq!(
        world.read("real/cwd").trim_end(),
        world.path("bundle").to_str().unwrap()
    );
}

/// A shell is the caller here: it can open descriptors by number and become us.
fn through_a_shell(world: &World, prefix: &str, words: &str) -> std::process::Output {
    let config = world.path("config.toml");
    let shim = env!("CARGO_BIN_EXE_boundary-shim");
    let line = format!(
        "{prefix} exec {{}} {shim} --boundary-config {} {words}",
        config.display()
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the program it tests"
    )]
    let mut shell = std::process::Command::new("/bin/sh");
    let line = line.replace(" {} ", " ");
    shell
        .arg("-c")
        .arg(line)
        .current_dir(world.path("bundle"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn descriptors_and_process_id_stay() {
    let world = World::new();
    world.write("activated", "", 0o600);
    let prefix = format!(
        "echo $$ > {}; exec 5<{};",
        world.path("caller").display(),
        world.path("activated").display()
    );
    let output = through_a_shell(&world, &prefix, "list");
    world.assert_passed(&output);
    assert_eq!(world.read("real/pid"), world.read("caller"));
    let descriptors = world.read("real/fds");
    assert!(
        descriptors.contains(&format!("5 -> {}", world.path("activated").display())),
        "{descriptors}"
    );
    // The shell has its script open as 10; all others are the caller's.
    let stray = |line: &&str| {
        ["3 ->", "4 ->", "6 ->", "7 ->", "8 ->", "9 ->"]
            .iter()
            .any(|fd| line.contains(&format!(" {fd}")))
    };
    assert_eq!(descriptors.lines().find(stray), None, "{descriptors}");
}

fn signals_are_as_the_caller_left_them() {
    // Shells clear the signal mask, so grep is the runtime here and coreutils' env the caller.
    let world = World::new();
    world.write("config.toml", "runtime = \"grep\"\n", 0o644);
    let config = world.path("config.toml");
    let seen = |words: &[&str]| {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test starts the program it tests"
        )]
        let mut env = std::process::Command::new("env");
        env.args([
            "--default-signal=PIPE",
            "--block-signal=USR1",
            "--ignore-signal=USR2",
        ])
        .args(words);
        let output = env
            .args(["^Sig[BI]", "/proc/self/status"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let through_us = seen(&[
        env!("CARGO_BIN_EXE_boundary-shim"),
        "--boundary-config",
        config.to_str().unwrap(),
    ]);
    assert_eq!(through_us, seen(&["grep"]));
    assert!(
        through_us.contains("SigBlk:\t0000000000000200"),
        "the caller blocks SIGUSR1: {through_us}"
    );
}

fn a_runtime_is_found_without_a_path() {
    // podman calls `delete` with no environment at all. `true` stands for a runtime in one of the
    // fixed directories.
    let world = World::new();
    world.write("config.toml", "runtime = \"true\"\n", 0o644);
    assert_eq!(world.call("list").status.code(), Some(0));
}

fn a_missing_runtime_is_named() {
    let world = World::new();
    world.write("config.toml", "runtime = \"no-such-runtime\"\n", 0o644);
    world.assert_refused(&world.call("list"), "no-such-runtime");
    world.write("config.toml", "runtime = \"/no/such/runtime\"\n", 0o644);
    world.assert_refused(&world.call("list"), "/no/such/runtime: ENOENT");
}

fn the_shim_does_not_call_itself() {
    let world = World::new();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_boundary-shim"), world.path("runc")).unwrap();
    world.write(
        "config.toml",
        format!("runtime = {:?}\n", world.path("runc").to_str().unwrap()),
        0o644,
    );
    world.assert_refused(&world.call("list"), "is this program itself");
}

fn a_broken_configuration_starts_nothing() {
    let world = World::new();
    world.settings("host-netwrok = \"refuse\"");
    world.assert_refused(&world.call("create --bundle BUNDLE ID"), "host-netwrok");
}

fn a_failure_is_reported_where_containerd_looks() {
    let world = World::new();
    world.write("bundle/log.json", "{\"level\":\"info\"}\n", 0o644);
    let output =
        world.call("--log DIR/bundle/log.json --log-format json create --bundle /no/such ID");
    world.assert_refused(&output, "can't read /no/such/config.json: No such file");
    let log = world.read("bundle/log.json");
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!((log.lines().count(), &last["level"]), (2, &"error".into()));
    assert_eq!(
        stderr(&output),
        format!("boundary-shim: {}\n", last["msg"].as_str().unwrap())
    );
    assert!(last["time"].as_str().unwrap().ends_with('Z'));
}

fn a_failure_is_reported_as_text_where_no_json_is_asked_for() {
    let world = World::new();
    world.assert_refused(
        &world.call("--log DIR/log create --bundle /no/such ID"),
        "/no/such",
    );
    let log = world.read("log");
    assert!(
        log.starts_with("time=\"") && log.contains(" level=error msg=\"can't read"),
        "{log}"
    );
}

/// Standard error is the container's at `create`.
fn a_warning_is_where_the_engine_looks_and_not_in_the_containers_output() {
    let world = World::new();
    let state = world.state();
    std::fs::create_dir_all(state.parent().unwrap()).unwrap();
    // What is no directory can't be removed as one.
    let _in_its_place = InPlace::of(&state);
    let warning = format!(
        "can't remove {}: Not a directory (os error 20)",
        state.display()
    );
    world.assert_passed(&world.call("--log DIR/log.json --log-format json delete ID"));
    let line: serde_json::Value = serde_json::from_str(&world.read("log.json")).unwrap();
    assert_eq!(
        (&line["level"], &line["msg"]),
        (&"warning".into(), &warning.clone().into())
    );
    world.assert_passed(&world.call("--log DIR/log delete ID"));
    assert!(
        world
            .read("log")
            .ends_with(&format!(" level=warning msg={warning:?}\n")),
        "{}",
        world.read("log")
    );
    assert_eq!(
        stderr(&world.call("delete ID")),
        format!("boundary-shim: warning: {warning}\n")
    );
    world.settings("log-level = \"error\"");
    world.assert_passed(&world.call("delete ID"));
}

/// A file where it doesn't belong, while this lasts.
struct InPlace(std::path::PathBuf);

impl InPlace {
    fn of(path: &std::path::Path) -> Self {
        std::fs::File::create(path).unwrap();
        Self(path.to_owned())
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn a_log_that_can_not_be_written_is_no_reason_to_hang_or_to_be_silent() {
    let world = World::new();
    nix::unistd::mkfifo(&world.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for log in ["DIR/fifo", "/no/such/log", "DIR"] {
        world.assert_refused(
            &world.call(&format!("--log {log} create --bundle /no/such ID")),
            "/no/such",
        );
    }
}

/// A person's slip, which no engine makes: with global options in front, any word is the runtime's.
fn a_mistyped_word_is_told_by_us() {
    for (word, meant) in [
        ("stauts", "did you mean status?"),
        ("log", "did you mean logs?"),
        ("creat", "did you mean create?"),
        ("strat", "did you mean start?"),
        ("gen-secomp", "did you mean gen-seccomp?"),
        ("frobnicate", "boundary-shim help shows all"),
    ] {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test starts the program it tests"
        )]
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_boundary-shim"))
            .arg(word)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            said,
            format!("boundary-shim: no such command: {word}; {meant}\n")
        );
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(2), &b""[..])
        );
    }
    let world = World::new();
    world.assert_passed(&world.call("stauts"));
}
