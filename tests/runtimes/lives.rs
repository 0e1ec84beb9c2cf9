//! Containers' lives, the same on each real runtime.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use crate::host::{ALLOWED, DENIED, OBSERVED, PORT, reached, serve};
use crate::world::{DEADLINE, World, shell, text};

/// A test, told the runtime's name.
pub(crate) type Test = (&'static str, fn(&str));

pub(crate) const TESTS: &[Test] = &[
    ("run_gives_the_containers_output_and_exit_code", run),
    (
        "what_the_policy_allows_passes_and_all_else_is_refused_and_recorded",
        filtered,
    ),
    (
        "what_would_be_denied_is_recorded_with_the_rule_for_it",
        observed,
    ),
    ("a_network_of_its_own_leads_nowhere", own_network),
    (
        "a_network_device_of_the_hosts_is_refused_or_filtered_like_any_interface",
        network_device,
    ),
    ("an_id_may_be_as_long_as_runc_takes", long_id),
    ("create_start_kill_and_delete_do_as_engines_expect", life),
    (
        "a_container_that_was_never_started_can_be_deleted",
        never_started,
    ),
    (
        "a_capability_that_is_not_written_down_is_not_held",
        capabilities,
    ),
    ("the_seccomp_filter_is_on", seccomp),
    (
        "what_the_caller_left_open_is_not_held_by_the_proxy",
        descriptors,
    ),
    ("a_bundle_that_can_not_run_leaves_nothing", half_written),
    ("a_process_is_added_confined_or_not_at_all", exec),
    (
        "a_home_is_found_in_the_images_own_file_whatever_libraries_it_names",
        home,
    ),
    (
        "a_container_among_the_hosts_mounts_is_refused_or_as_filtered_as_any",
        hosts_mounts,
    ),
];

/// Words for the shell that ask an address for what the host answers. This host's bash can;
/// busybox, statically linked, can't resolve even a number.
pub(crate) fn get(address: Ipv4Addr) -> String {
    let ask =
        format!("exec 3<>/dev/tcp/{address}/{PORT} && echo who goes there >&3 && grep hello <&3");
    format!("busybox timeout 20 /usr/bin/bash -c '{ask}' 2>&1 || echo refused")
}

fn run(runtime: &str) {
    let world = World::new(runtime);
    world.set_command("echo out; echo err >&2; busybox hostname; exit 7");
    let output = world.call("--root DIR/root run --bundle BUNDLE ID");
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(7), "out\nlittle\n".into()),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(text(&output.stderr), "err\n");
    world.leaves_nothing();
}

fn home(runtime: &str) {
    if runtime == "youki" {
        // It asks the C library that it was built with.
        return;
    }
    let world = World::new(runtime);
    world.edit_spec(|spec| {
        spec["process"]["user"] = json!({"uid": 33, "gid": 33});
        spec["process"]["args"] = shell("echo $HOME");
    });
    fs::create_dir(world.path("bundle/rootfs/etc")).unwrap();
    let write = |name: &str, text: &str| {
        fs::write(world.path(&format!("bundle/rootfs/etc/{name}")), text).unwrap();
    };
    write("passwd", "web:x:33:33::/srv/web:/bin/sh\n");
    write("nsswitch.conf", "passwd: ofthisimage\n");
    assert_eq!(
        world.must("--root DIR/root run --bundle BUNDLE ID"),
        "/srv/web\n"
    );
    world.leaves_nothing();
}

fn filtered(runtime: &str) {
    let world = World::new(runtime);
    world.set_command(&format!("{}; {}", get(ALLOWED), get(DENIED)));
    let said = world.must("--root DIR/root run --bundle BUNDLE ID");
    assert!(
        said.starts_with("hello\n") && said.ends_with("refused\n"),
        "{said}{:?}",
        world.records()
    );
    assert!(reached(ALLOWED) && !reached(DENIED));
    world.leaves_nothing();
    let records = world.records();
    let verdicts = |address: &str| {
        let about = records
            .iter()
            .filter(|record| record.to_string().contains(address));
        about
            .filter_map(|record| record["verdict"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (
            verdicts("198.51.100.7").len(),
            verdicts("198.51.100.8").len()
        ),
        (1, 1),
        "{records:?}"
    );
}

fn observed(runtime: &str) {
    let world = World::new(runtime);
    world.configure(&format!(
        "runtime = {runtime:?}\nannotations = {{ modes = [\"observe\"] }}"
    ));
    world.edit_spec(|spec| {
        spec["process"]["args"] = shell(&get(OBSERVED));
        spec["annotations"] = json!({"boundary.mode": "observe"});
    });
    let said = world.must("--root DIR/root run --bundle BUNDLE ID");
    assert_eq!(said, "hello\n", "{:?}", world.records());
    world.leaves_nothing();
    let records = world.records();
    let record = records
        .iter()
        .find(|record| record["port"] == PORT)
        .expect("the attempt");
    assert_eq!(
        (&record["verdict"], &record["rule"]),
        (&json!("allow"), &json!("would deny: no rule allows it"))
    );
    assert_eq!(
        record["suggestion"],
        format!("cidr={OBSERVED}/32 port={PORT}"),
        "{record}"
    );
}

fn own_network(runtime: &str) {
    let world = World::new(runtime);
    world.edit_spec(|spec| {
        spec["process"]["args"] = shell(&get(DENIED));
        spec["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .push(json!({"type": "network"}));
    });
    let said = world.must("--root DIR/root run --bundle BUNDLE ID");
    assert!(said.ends_with("refused\n") && !reached(DENIED), "{said}");
    world.leaves_nothing();
}

/// `linux.netDevices`: the runtime moves the device in before the hook. One that can't is only tried
/// for the refusal.
fn network_device(runtime: &str) {
    let world = World::new(runtime);
    let device = format!("nd{}", std::process::id());
    let give = |line: &str| {
        world.edit_spec(|spec| {
            spec["process"]["args"] = shell(line);
            spec["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .push(json!({"type": "network"}));
            spec["linux"]["netDevices"] = json!({&device: {"name": "given0"}});
        });
    };
    give("true");
    let refused = world.call("--root DIR/root run --bundle BUNDLE ID");
    let said = text(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    for named in [&device, "net-devices"] {
        assert!(said.contains(named), "{said}");
    }
    let features = world.call("features");
    let features: serde_json::Value = serde_json::from_slice(&features.stdout).unwrap_or_default();
    if features.pointer("/linux/netDevices/enabled") != Some(&json!(true)) {
        return;
    }
    let make = format!(
        "link add {device} type veth peer name {device}h
         addr add 198.18.9.1/24 dev {device}h
         addr add 198.18.9.3/24 dev {device}h
         link set {device}h up
         addr add 198.18.9.2/24 dev {device}"
    );
    for line in make.lines() {
        let mut ip = Command::new("ip");
        assert!(ip.args(line.split_whitespace()).status().unwrap().success());
    }
    fs::write(
        world.path("policies/default.yaml"),
        format!("allow:\n  - cidr=198.18.9.3/32 port={PORT} proto=tcp\n"),
    )
    .unwrap();
    world.configure(&format!("runtime = {runtime:?}\nnet-devices = \"adopt\""));
    let [denied, allowed] = [1, 3].map(|last| {
        let address = Ipv4Addr::new(198, 18, 9, last);
        let listener = TcpListener::bind((address, PORT)).unwrap();
        std::thread::spawn(move || serve(&listener));
        get(address)
    });
    give(&format!(
        "busybox ip addr show dev given0; {allowed}; {denied}"
    ));
    let said = world.must("--root DIR/root run --bundle BUNDLE ID");
    for seen in ["198.18.9.2/24", "\nhello\n", "\nrefused\n"] {
        assert!(said.contains(seen), "{said}{:?}", world.records());
    }
    assert!(!reached(Ipv4Addr::new(198, 18, 9, 1)), "past the filter");
    world.leaves_nothing();
}

fn long_id(runtime: &str) {
    let mut world = World::new(runtime);
    world.id = format!("{:i<255}", world.id);
    world.set_command(&get(DENIED));
    let output = world.call("--root DIR/root run --bundle BUNDLE ID");
    let said = text(&output.stdout);
    assert!(said.ends_with("refused\n"), "{}", text(&output.stderr));
    world.leaves_nothing();
    for word in [&world.id, &world.id[..20]] {
        let logs = Command::new(env!("CARGO_BIN_EXE_boundary-shim"))
            .args(["logs", "--config", &world.path("config.toml"), word])
            .output()
            .unwrap();
        let said = text(&logs.stdout);
        assert!(
            said.contains(&DENIED.to_string()),
            "{said}{}",
            text(&logs.stderr)
        );
    }
}

fn life(runtime: &str) {
    let world = World::new(runtime);
    world.set_command("trap 'exit 3' TERM; echo up; while :; do busybox sleep 1; done");
    world.must("--root DIR/root create --bundle BUNDLE --pid-file DIR/pid ID");
    let state = world.state();
    assert_eq!(
        (&state["status"], &state["pid"]),
        (&json!("created"), &json!(world.init()))
    );
    let again = world.call("--root DIR/root create --bundle BUNDLE ID");
    assert!(!again.status.success(), "the id is in use");
    world.must("--root DIR/root start ID");
    assert_eq!(world.state()["status"], "running");
    assert!(
        !world.call("--root DIR/root delete ID").status.success(),
        "it runs"
    );
    world.must("--root DIR/root kill ID KILL");
    world.wait_for_end(world.init());
    assert_eq!(world.state()["status"], "stopped");
    let late = text(&world.call("--root DIR/root kill ID TERM").stderr);
    assert!(
        late.contains("not running")
            || late.contains("already finished")
            || late.to_lowercase().contains("no such process"),
        "{late}"
    );
    world.must("--root DIR/root delete ID");
    let gone = world.call("--root DIR/root state ID");
    let said = text(&gone.stderr);
    assert!(
        said.contains("does not exist") || said.contains("No such file"),
        "{said}"
    );
    // Engines send it twice.
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();
}

fn never_started(runtime: &str) {
    let world = World::new(runtime);
    world.must("--root DIR/root create --bundle BUNDLE ID");
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();
}

fn capabilities(runtime: &str) {
    let world = World::new(runtime);
    world.configure(&format!("runtime = {runtime:?}\nnesting = \"none\""));
    for sets in [json!(null), json!({}), json!({"permitted": ["CAP_CHOWN"]})] {
        world.edit_spec(|spec| {
            spec["process"]["args"] = shell("busybox grep -E 'Cap(Bnd|Eff|Prm)' /proc/self/status");
            spec["process"]["capabilities"] = sets;
        });
        let said = world.must("--root DIR/root run --bundle BUNDLE ID");
        assert!(
            said.lines().count() == 3
                && said
                    .lines()
                    .all(|line| line.ends_with("\t0000000000000000")),
            "{said}"
        );
    }
}

fn seccomp(runtime: &str) {
    let world = World::new(runtime);
    for explicit in [false, true] {
        world.edit_spec(|spec| {
            spec["process"]["args"] = shell("busybox grep Seccomp: /proc/self/status");
            if explicit {
                spec["process"]["noNewPrivileges"] = json!(false);
            }
        });
        assert_eq!(
            world.must("--root DIR/root run --bundle BUNDLE ID"),
            "Seccomp:\t2\n"
        );
    }
}

/// A pipe whose other end an engine reads to its end must not wait for the container's end.
fn descriptors(runtime: &str) {
    let world = World::new(runtime);
    world.set_command("busybox sleep 600");
    let (mut reader, writer) = std::io::pipe().unwrap();
    // By a shell, which can leave a descriptor open to what it becomes.
    let create = world.command("--root DIR/root create --bundle BUNDLE ID");
    let words = create
        .get_args()
        .map(|word| word.to_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ");
    let line = format!(
        "exec 9>/proc/{}/fd/{}; exec {} {words}",
        std::process::id(),
        writer.as_raw_fd(),
        env!("CARGO_BIN_EXE_boundary-shim")
    );
    let null = || {
        fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap()
    };
    let status = Command::new("sh")
        .args(["-c", &line])
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .status();
    assert!(status.unwrap().success());
    drop(writer);
    // Until then crun's own process keeps it.
    world.must("--root DIR/root start ID");
    let mut ends = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    let deadline = PollTimeout::try_from(DEADLINE).unwrap();
    assert_eq!(
        poll(&mut ends, deadline),
        Ok(1),
        "somebody holds the other end"
    );
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    assert_eq!(world.state()["status"], "running");
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();
}

fn half_written(runtime: &str) {
    let world = World::new(runtime);
    let spoil: [fn(&mut serde_json::Value); 4] = [
        |spec| spec["root"]["path"] = json!("no-such-rootfs"),
        |spec| spec["process"]["args"] = json!(["/no/such/program"]),
        |spec| drop(spec.as_object_mut().unwrap().remove("root")),
        |spec| spec["mounts"][0]["type"] = json!("no-such-filesystem"),
    ];
    for spoil in spoil {
        world.edit_spec(spoil);
        let output =
            world.call("--root DIR/root --log DIR/log --log-format json run --bundle BUNDLE ID");
        assert!(!output.status.success());
        // youki says it in one of the two places.
        let logged = fs::metadata(world.path("log")).map_or(0, |log| log.len());
        assert!(!output.stderr.is_empty() || logged > 0);
        world.must("--root DIR/root delete --force ID");
        world.leaves_nothing();
    }
    fs::write(world.path("bundle/config.json"), "{\"ociVersion\": ").unwrap();
    assert!(text(&world.call("run --bundle BUNDLE ID").stderr).contains("not valid JSON"));
    for words in [
        "run --bundle DIR/nowhere ID",
        "run --bundle BUNDLE ..",
        "create --bundle BUNDLE ../x",
        "frobnicate ID",
    ] {
        assert!(!world.call(words).status.success(), "{words}");
    }
}

fn exec(runtime: &str) {
    let world = World::new(runtime);
    world.set_command("busybox sleep 600");
    world.must("--root DIR/root create --bundle BUNDLE ID");
    world.must("--root DIR/root start ID");
    let line = "--root DIR/root exec ID /bin/busybox grep -E Seccomp:|NSpid /proc/self/status";
    let output = world.call(line);
    let said = text(&output.stdout);
    if output.status.success() {
        let own_ids = fs::read_to_string("/proc/self/status").unwrap();
        assert!(
            said.contains("Seccomp:\t2") && !own_ids.is_empty(),
            "{said}"
        );
    } else {
        assert!(
            ["youki", "embedded"].contains(&runtime),
            "{}",
            text(&output.stderr)
        );
        assert!(
            said.is_empty() && text(&output.stderr).contains("can't add a process"),
            "{}",
            text(&output.stderr)
        );
    }
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();
    // Where there is nothing that it could escape, all can.
    world.configure(&format!("runtime = {runtime:?}\nnesting = \"none\""));
    world.edit_spec(|spec| {
        spec["process"]["args"] = shell("busybox sleep 600");
        spec["linux"].as_object_mut().unwrap().remove("seccomp");
    });
    world.must("--root DIR/root create --bundle BUNDLE ID");
    world.must("--root DIR/root start ID");
    assert_eq!(
        world.must("--root DIR/root exec ID /bin/busybox hostname"),
        "little\n"
    );
    assert_eq!(
        world
            .call("--root DIR/root exec ID /bin/busybox sh -c false")
            .status
            .code(),
        Some(1)
    );
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();
}

/// runc calls hooks twice for such a container.
fn hosts_mounts(runtime: &str) {
    let world = World::new(runtime);
    let run = || {
        world.edit_spec(|spec| {
            spec["process"]["args"] = shell(&format!("{}; {}", get(ALLOWED), get(DENIED)));
            spec["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .retain(|namespace| namespace["type"] != "mount");
        });
        // What it mounts stays where it was called.
        let call = world.command("--root DIR/root run --bundle BUNDLE ID");
        Command::new("unshare")
            .arg("--mount")
            .arg(call.get_program())
            .args(call.get_args())
            .output()
            .unwrap()
    };
    let refused = run();
    assert!(!refused.status.success());
    assert!(
        text(&refused.stderr).contains("host's files"),
        "{}",
        text(&refused.stderr)
    );
    world.configure(&format!(
        "runtime = {runtime:?}\nprivileged = \"allow\"\nnesting = \"none\""
    ));
    let output = run();
    let said = text(&output.stdout);
    assert!(
        said.starts_with("hello\n") && said.ends_with("refused\n"),
        "{said} {}",
        text(&output.stderr)
    );
    assert!(!reached(DENIED));
    world.leaves_nothing();
}
