//! `create` and `run`: the bundle is rewritten and the plan beside it, or nothing is touched and
//! nothing starts.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use boundary_shim::container::plan::GatewayOwner;
use boundary_shim::container::state;
use boundary_shim::policy::Exit;
use serde_json::json;
use test_support::command::wait_for;
use test_support::lock;

use crate::world::{FAKE_EXIT, Namespaced, World, alive, dead, remember, tests};

tests![
    a_bundle_is_rewritten_and_its_plan_written,
    the_default_bundle_is_the_working_directory,
    other_verbs_leave_the_bundle_alone,
    the_same_bundle_twice_gives_the_same_file,
    what_can_not_be_filtered_leaves_the_bundle_as_it_was,
    hostile_bundles_are_refused_and_left_as_they_were,
    a_file_that_can_not_be_replaced_stays_and_its_plan_goes,
    a_link_in_place_of_the_file_is_refused,
    hostile_ids_are_refused,
    without_pivot_root_no_capability_waits_in_a_user_namespace,
    mode_and_owner_of_the_file_are_kept,
    the_hosts_network_is_filtered_and_stays_so_when_rewritten,
    a_network_in_use_is_refused_unless_a_gateway_filters_it,
    docker_told_us_whom_to_ask,
    a_container_to_which_dockers_resolver_can_still_come_is_refused,
    what_a_container_wrote_into_its_resolv_conf_opens_nothing,
    of_dockers_servers_only_those_of_the_host_are_asked,
    the_plan_says_whose_container_it_is,
    network_sockets_are_not_handed_on,
    the_runtimes_name_picks_the_policy,
    it_waits_while_policies_are_swapped,
    stale_state_is_swept_and_live_state_is_not,
];

fn a_bundle_is_rewritten_and_its_plan_written() {
    let world = World::new();
    world.assert_passed(&world.call("--root /r create --bundle BUNDLE --pid-file /p ID"));
    let hooks = &world.spec()["hooks"]["createRuntime"];
    let program = std::fs::canonicalize(env!("CARGO_BIN_EXE_boundary-shim")).unwrap();
    assert_eq!(hooks[0]["path"], program.to_str().unwrap());
    let plan = world.plan();
    assert_eq!(
        (plan.container.as_str(), plan.gateway, plan.exit),
        (world.id.as_str(), GatewayOwner::Own, Exit::Uplink)
    );
    assert_eq!(
        plan.audit,
        std::path::Path::new("/var/log/boundary").join(format!("{}.jsonl", world.id))
    );
    assert_eq!(plan.state, state::directory("/r".as_ref(), &world.id));
    let mode = MetadataExt::mode(&std::fs::metadata(world.path("bundle/boundary.json")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

/// A policy and the layers over it are read before a swap, or after it.
fn it_waits_while_policies_are_swapped() {
    let world = World::new();
    let swapping = state::swapping_policies(state::LOCK.as_ref()).unwrap();
    let mut create = world
        .shim(["create", &world.id])
        .current_dir(world.path("bundle"))
        .spawn()
        .unwrap();
    lock::until_wanted(&swapping);
    assert_eq!(create.try_wait().unwrap(), None);
    drop(swapping);
    assert_eq!(create.wait().unwrap().code(), Some(FAKE_EXIT));
}

fn the_default_bundle_is_the_working_directory() {
    for verb in ["create", "run"] {
        let world = World::new();
        let output = world
            .shim([verb, &world.id])
            .current_dir(world.path("bundle"))
            .output()
            .unwrap();
        world.assert_passed(&output);
        assert_eq!(
            world.spec()["hooks"]["createRuntime"][0]["args"],
            json!(["boundary-shim", "hook"])
        );
    }
}

fn other_verbs_leave_the_bundle_alone() {
    let world = World::new();
    let before = world.read("bundle/config.json");
    for verb in [
        "state create",
        "--root create kill",
        "delete",
        "spec --bundle BUNDLE",
        "frobnicate create",
    ] {
        world.assert_passed(&world.call(&format!("{verb} ID")));
    }
    assert_eq!(world.read("bundle/config.json"), before);
    assert!(!world.path("bundle/boundary.json").exists());
}

fn the_same_bundle_twice_gives_the_same_file() {
    let world = World::new();
    world.edit_spec(|spec| spec["process"]["capabilities"]["bounding"] = json!(["CAP_NET_ADMIN"]));
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    let (once, plan) = (
        world.read("bundle/config.json"),
        world.read("bundle/boundary.json"),
    );
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    assert_eq!(
        (
            world.read("bundle/config.json"),
            world.read("bundle/boundary.json")
        ),
        (once, plan)
    );
}

fn assert_untouched(world: &World, why: &str) {
    let before = std::fs::read(world.path("bundle/config.json")).unwrap();
    world.assert_refused(&world.call("create --bundle BUNDLE ID"), why);
    assert_eq!(
        std::fs::read(world.path("bundle/config.json")).unwrap(),
        before
    );
    let files = std::fs::read_dir(world.path("bundle")).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside it");
    assert!(!world.state().exists());
}

fn what_can_not_be_filtered_leaves_the_bundle_as_it_was() {
    let world = World::new();
    world.edit_spec(|spec| {
        let all = [
            "NET_ADMIN",
            "SYS_ADMIN",
            "SYS_MODULE",
            "SYS_PTRACE",
            "SYS_RAWIO",
        ]
        .map(|name| format!("CAP_{name}"));
        spec["process"]["capabilities"]["bounding"] = json!(all);
        spec["linux"]["seccomp"] = json!(null);
        spec["linux"]["maskedPaths"] = json!(null);
    });
    assert_untouched(&world, "--privileged");
    // What `--pid container:X` names where X has the host's: /proc/X/ns/pid.
    let world = World::new();
    world.edit_spec(|spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        let pids = namespaces
            .iter_mut()
            .find(|namespace| namespace["type"] == "pid")
            .unwrap();
        pids["path"] = "/proc/self/ns/pid".into();
    });
    assert_untouched(&world, "--pid=host");
    let world = World::new();
    world.settings("host-network = \"refuse\"");
    world.edit_spec(|spec| {
        drop(
            spec["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .remove(1),
        )
    });
    assert_untouched(&world, "host-network");
}

fn hostile_bundles_are_refused_and_left_as_they_were() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let huge = vec![b' '; (16 << 20) + 1];
    let world = World::new();
    let twisted = world
        .read("bundle/config.json")
        .replace("\"namespaces\"", "\"nameSpaces\"");
    let cases: [(&[u8], &str); 8] = [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "config.json must be an object"),
        (b"{}", "host's pid namespace"),
        (b"{\"a\": \"\xff\"}", "not valid JSON"),
        (deep.as_bytes(), "not valid JSON"),
        (&huge, "larger than"),
        (twisted.as_bytes(), "differs from namespaces only in case"),
    ];
    for (content, why) in cases {
        world.write("bundle/config.json", content, 0o644);
        assert_untouched(&world, why);
    }
}

fn a_file_that_can_not_be_replaced_stays_and_its_plan_goes() {
    let world = World::new();
    let file = world.path("bundle/config.json");
    let none = None::<&str>;
    // A mount point can't be renamed over.
    nix::mount::mount(Some(&file), &file, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
    assert_untouched(&world, "can't replace");
    nix::mount::umount(&file).unwrap();
}

fn a_link_in_place_of_the_file_is_refused() {
    let world = World::new();
    std::fs::rename(world.path("bundle/config.json"), world.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(world.path("elsewhere"), world.path("bundle/config.json")).unwrap();
    assert_untouched(&world, "not a regular file");
    std::fs::remove_file(world.path("bundle/config.json")).unwrap();
    nix::unistd::mkfifo(
        &world.path("bundle/config.json"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    world.assert_refused(
        &world.call("create --bundle BUNDLE ID"),
        "not a regular file",
    );
}

fn hostile_ids_are_refused() {
    let world = World::new();
    let long = "x".repeat(1025);
    for id in ["..", "../x", "a/b", "a\nb", "", &long] {
        let output = world
            .shim([
                "create",
                "--bundle",
                world.path("bundle").to_str().unwrap(),
                "--",
                id,
            ])
            .output()
            .unwrap();
        world.assert_refused(&output, "invalid container ID");
    }
    assert!(!world.path("bundle/boundary.json").exists());
}

fn without_pivot_root_no_capability_waits_in_a_user_namespace() {
    let world = World::new();
    world.assert_passed(&world.call("create --no-pivot --bundle BUNDLE ID"));
    let kinds: Vec<_> = world.spec()["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .to_vec();
    assert!(!kinds.contains(&json!({"type": "user"})), "{kinds:?}");
    assert!(
        world
            .plan()
            .notices
            .iter()
            .any(|notice| notice.contains("--no-pivot"))
    );
    let world = World::new();
    world.edit_spec(|spec| spec["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_ADMIN"]));
    let before = world.read("bundle/config.json");
    world.assert_refused(
        &world.call("create --no-pivot --bundle BUNDLE ID"),
        "--no-pivot",
    );
    assert_eq!(world.read("bundle/config.json"), before);
}

fn mode_and_owner_of_the_file_are_kept() {
    let world = World::new();
    world.write(
        "bundle/config.json",
        world.read("bundle/config.json"),
        0o640,
    );
    std::os::unix::fs::chown(world.path("bundle/config.json"), Some(12), Some(34)).unwrap();
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    let meta = std::fs::metadata(world.path("bundle/config.json")).unwrap();
    assert_eq!(
        (meta.mode() & 0o7777, meta.uid(), meta.gid()),
        (0o640, 12, 34)
    );
}

fn the_hosts_network_is_filtered_and_stays_so_when_rewritten() {
    let world = World::new();
    world.edit_spec(|spec| spec["linux"]["namespaces"][1]["path"] = json!("/proc/self/ns/net"));
    for _ in 0..2 {
        world.assert_passed(&world.call("create --bundle BUNDLE ID"));
        assert_eq!(world.plan().exit, Exit::Host);
        assert_eq!(
            world.spec()["linux"]["namespaces"][1],
            json!({"type": "network"})
        );
    }
    // Another bundle that only bears the mark gets nothing by it.
    let other = World::new();
    other.edit_spec(|spec| spec["annotations"] = json!({"boundary.original-network": "host"}));
    assert_untouched(&other, "boundary.original-network");
}

fn a_network_in_use_is_refused_unless_a_gateway_filters_it() {
    let (world, owner, namespaced) = (World::new(), World::new(), Namespaced::new());
    world.edit_spec(|spec| spec["linux"]["namespaces"][1]["path"] = json!(namespaced.path()));
    assert_untouched(&world, "has no gateway");
    let mut record = owner.record(GatewayOwner::Own, alive(), Some(alive()));
    record.network_namespace = MetadataExt::ino(&std::fs::metadata(namespaced.path()).unwrap());
    remember(&record);
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    assert_eq!(world.plan().gateway, GatewayOwner::Joined);
    // A gateway whose proxy is gone filters nothing; who has lost it, and is still in there, is ended.
    let late = World::new();
    late.edit_spec(|spec| spec["linux"]["namespaces"][1]["path"] = json!(namespaced.path()));
    record.proxy = Some(dead());
    remember(&record);
    assert_untouched(&late, "has no gateway");
    record.init = namespaced.process();
    remember(&record);
    assert_untouched(
        &late,
        "was killed, and its network with it: it has been ended",
    );
    wait_for("it to end", || !record.init.alive());
    state::remove(&owner.state()).unwrap();
}

/// A bundle of Docker's: its file for /etc/resolv.conf is mounted from its own directory for the
/// container.
fn dockers(world: &World, resolv_conf: &str) {
    let directory = format!("containers/{}", world.id);
    std::fs::create_dir_all(world.path(&directory)).unwrap();
    world.write(&format!("{directory}/resolv.conf"), resolv_conf, 0o644);
    let source = world.path(&format!("{directory}/resolv.conf"));
    world.edit_spec(|spec| spec["mounts"][1]["source"] = json!(source));
}

fn docker_told_us_whom_to_ask() {
    let world = World::new();
    world.settings("container-resolvers = \"any\"");
    dockers(&world, "nameserver 6.6.6.6\n");
    let file = format!("containers/{}/hostconfig.json", world.id);
    world.write(
        &file,
        r#"{"Dns": ["10.1.2.3", "127.0.0.1", "fd00::1"]}"#,
        0o644,
    );
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    assert_eq!(
        world.plan().resolvers,
        [
            "10.1.2.3:53".parse().unwrap(),
            "[fd00::1]:53".parse().unwrap()
        ]
    );
    world.settings("resolvers = [\"10.9.9.9:5353\"]");
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    assert_eq!(world.plan().resolvers, ["10.9.9.9:5353".parse().unwrap()]);
}

fn the_plan_says_whose_container_it_is() {
    let world = World::new();
    world.settings("record-labels = [\"app\"]");
    world.edit_spec(|spec| {
        spec["annotations"] = json!({
            "io.container.manager": "cri-o",
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri-o.Name": "k8s_web_web-0_shop_3c2b_0",
            "io.kubernetes.cri-o.SandboxName": "k8s_web-0_shop_3c2b_0",
            "io.kubernetes.cri-o.Labels": "{\"app\":\"web\",\"tier\":\"front\"}",
        });
    });
    // Of a folder that only looks like dockerd's nothing is believed.
    dockers(&world, "");
    world.write(
        &format!("containers/{}/config.v2.json", world.id),
        r#"{"Name": "/another"}"#,
        0o600,
    );
    world.write(
        &format!("containers/{}/hostconfig.json", world.id),
        r#"{"Dns": ["10.1.2.3"]}"#,
        0o644,
    );
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    let known = json!({"engine": "cri-o", "name": "web", "pod": "web-0", "namespace": "shop", "labels": {"app": "web"}});
    assert_eq!(json!(world.plan().identity), known);
}

fn of_dockers_servers_only_those_of_the_host_are_asked() {
    let world = World::new();
    dockers(&world, "nameserver 6.6.6.6\n");
    world.write(
        &format!("containers/{}/hostconfig.json", world.id),
        r#"{"Dns": ["203.0.113.77"]}"#,
        0o644,
    );
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    let plan = world.plan();
    assert!(
        !plan.resolvers.contains(&"203.0.113.77:53".parse().unwrap()),
        "{:?}",
        plan.resolvers
    );
    assert!(
        plan.notices
            .iter()
            .any(|notice| notice.contains("203.0.113.77")),
        "{:?}",
        plan.notices
    );
}

/// No dockerd keeps its data here, so none goes by `dns`.
fn a_container_to_which_dockers_resolver_can_still_come_is_refused() {
    let world = World::new();
    dockers(&world, "nameserver 10.0.0.1\n");
    world.assert_refused(
        &world.call("create --bundle BUNDLE ID"),
        "systemctl restart docker",
    );
    let file = format!("containers/{}/hostconfig.json", world.id);
    // A file that anybody may have written is not Docker's.
    world.write(
        &file,
        r#"{"Dns": ["10.1.2.3"], "NetworkMode": "host"}"#,
        0o666,
    );
    world.assert_refused(&world.call("create --bundle BUNDLE ID"), "install docker");
    std::fs::remove_file(world.path(&file)).unwrap();
    for mode in ["default", "bridge", "mynet", "none"] {
        world.write(&file, format!(r#"{{"NetworkMode": "{mode}"}}"#), 0o644);
        world.assert_refused(&world.call("create --bundle BUNDLE ID"), "--dns");
    }
    for mode in ["host", "container:x"] {
        world.write(&file, format!(r#"{{"NetworkMode": "{mode}"}}"#), 0o644);
        world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    }
}

/// It is a file of the container's: comments like Docker's tell nothing.
fn what_a_container_wrote_into_its_resolv_conf_opens_nothing() {
    for forged in [
        "# Generated by Docker Engine.\nnameserver 10.0.0.1\n# Overrides: [nameservers]\n",
        "nameserver 127.0.0.11\n# ExtServers: [10.0.0.1]\n# Overrides: [nameservers]\n",
        "nameserver 10.0.0.1\n",
        "",
    ] {
        let world = World::new();
        dockers(&world, forged);
        world.assert_refused(&world.call("create --bundle BUNDLE ID"), "install docker");
    }
}

/// The socket comes as the shell's standard input, and is moved to where the words say.
fn network_sockets_are_not_handed_on() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;
    let call = |world: &World, socket: OwnedFd, script: &str| {
        let (shim, config) = (
            env!("CARGO_BIN_EXE_boundary-shim"),
            world.path("config.toml"),
        );
        let script = format!("{script} {} \"$@\"", world.id);
        let script = script.replace(
            "SHIM",
            &format!("exec {shim} --boundary-config {}", config.display()),
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "a test starts the program it tests"
        )]
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &script])
            .current_dir(world.path("bundle"))
            .stdin(socket)
            .output()
            .unwrap()
    };
    let udp = || OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let handing = [
        "exec 3<&0 </dev/null; SHIM create --preserve-fds 1",
        "exec 4<&0 3</dev/null </dev/null; SHIM run --preserve-fds=2",
        "exec 3<&0 </dev/null; export LISTEN_FDS=1; SHIM create",
        "exec 3<&0 </dev/null; SHIM exec --preserve-fds 1",
        "SHIM create",
    ];
    for script in handing {
        let world = World::new();
        world.assert_refused(&call(&world, udp(), script), "preserved-sockets");
        // The fake runtime reads its input to the end, which a datagram socket hasn't got.
        if script == "SHIM create" {
            continue;
        }
        world.settings("preserved-sockets = \"allow\"");
        world.assert_passed(&call(&world, udp(), script));
        // Those of engines.
        let world = World::new();
        world.assert_passed(&call(
            &world,
            UnixDatagram::unbound().unwrap().into(),
            script,
        ));
    }
    // Open, but not for the container.
    let world = World::new();
    world.assert_passed(&call(&world, udp(), "exec 3<&0 </dev/null; SHIM create"));
}

fn the_runtimes_name_picks_the_policy() {
    let world = World::new();
    std::fs::create_dir(world.path("policies")).unwrap();
    for name in ["npm", "ci"] {
        world.write(
            &format!("policies/{name}.yaml"),
            format!("allow:\n  - domain={name}.test\n"),
            0o644,
        );
    }
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_boundary-shim"),
        world.path("boundary-npm"),
    )
    .unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the program it tests"
    )]
    let mut command = Command::new(world.path("boundary-npm"));
    command
        .arg("--boundary-config")
        .arg(world.path("config.toml"))
        .args(["create", &world.id]);
    let output = command.current_dir(world.path("bundle")).output().unwrap();
    world.assert_passed(&output);
    assert_eq!(world.plan().policy.name, "npm");
    world.assert_passed(&world.call("--boundary-policy ci create --bundle BUNDLE ID"));
    assert_eq!(
        (
            world.plan().policy.name.as_str(),
            world.plan().policy.allow.len()
        ),
        ("ci", 1)
    );
    assert_eq!(world.handed_off().unwrap()[0], b"create");
}

fn stale_state_is_swept_and_live_state_is_not() {
    let (world, over, live) = (World::new(), World::new(), World::new());
    remember(&over.record(GatewayOwner::Own, dead(), Some(dead())));
    remember(&live.record(GatewayOwner::Own, alive(), Some(alive())));
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    assert!(!over.state().exists());
    assert!(live.state().exists());
    // Nothing of a record's words is followed out of its own directory.
    let mut forged = live.record(GatewayOwner::Own, dead(), None);
    remember(&over.record(GatewayOwner::Own, dead(), None));
    forged.plan.state = live.state();
    let text = serde_json::to_vec(&forged).unwrap();
    boundary_shim::sys::file::replace(&over.state().join("record.json"), &text, 0o600).unwrap();
    world.assert_passed(&world.call("create --bundle BUNDLE ID"));
    assert!(live.state().exists());
    for world in [over, live] {
        state::remove(&world.state()).unwrap();
    }
}
