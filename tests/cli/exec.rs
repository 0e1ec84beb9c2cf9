//! `exec`: what it may hold is what bounds the container.

use boundary_shim::container::plan::{GatewayOwner, Recipients};
use serde_json::{Value, json};

use crate::world::{World, alive, dead, remember, tests};

tests![
    exec_loses_what_reaches_beyond_the_container,
    exec_in_a_user_namespace_of_its_own_is_left_alone,
    exec_gives_what_the_container_was_given_to_nest,
    exec_gets_the_apparmor_profile_that_the_container_got,
    a_capability_by_option_is_refused,
    a_process_file_that_go_would_read_otherwise_is_refused,
    a_process_file_may_be_a_link_or_a_pipe,
];

fn process(world: &World) -> String {
    let sets = [
        "bounding",
        "effective",
        "inheritable",
        "permitted",
        "ambient",
    ];
    let all = sets.map(|set| {
        (
            set.to_owned(),
            json!(["CAP_CHOWN", "CAP_NET_ADMIN", "cap_sys_admin", "12"]),
        )
    });
    let text =
        json!({"args": ["sh"], "vendor": 1.5, "capabilities": Value::Object(all.into_iter().collect())}).to_string();
    world.write("process.json", &text, 0o600);
    text
}

fn exec_loses_what_reaches_beyond_the_container() {
    let world = World::new();
    // No record, one of a container without a user namespace, one of a container that is no more:
    // all the same.
    for record in [None, Some((false, alive())), Some((true, dead()))] {
        let given = process(&world);
        if let Some((user_namespace, init)) = record {
            let mut record = world.record(GatewayOwner::Own, init, Some(alive()));
            record.plan.user_namespace = user_namespace;
            remember(&record);
        }
        world.assert_passed(&world.call("exec --process DIR/process.json --detach ID"));
        let process = world.process();
        for set in [
            "bounding",
            "effective",
            "inheritable",
            "permitted",
            "ambient",
        ] {
            assert_eq!(process["capabilities"][set], json!(["CAP_CHOWN"]), "{set}");
        }
        assert_eq!(
            (&process["args"], &process["vendor"]),
            (&json!(["sh"]), &json!(1.5))
        );
        assert_eq!(world.read("process.json"), given);
    }
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn exec_in_a_user_namespace_of_its_own_is_left_alone() {
    let world = World::new();
    let before = process(&world);
    let mut record = world.record(GatewayOwner::Own, alive(), Some(alive()));
    record.plan.user_namespace = true;
    remember(&record);
    world.assert_passed(&world.call("exec -p DIR/process.json --cap CAP_SYS_ADMIN ID"));
    assert_eq!(world.read("process.json"), before);
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn exec_gets_the_apparmor_profile_that_the_container_got() {
    let world = World::new();
    let mut record = world.record(GatewayOwner::Own, alive(), Some(alive()));
    record.plan.user_namespace = true;
    record.plan.apparmor_profile = Some("boundary-default".to_owned());
    remember(&record);
    // What `docker exec --privileged` names, or a user chose, stays.
    for (named, gets) in [
        ("docker-default", "boundary-default"),
        ("unconfined", "unconfined"),
        ("", ""),
        ("mine", "mine"),
    ] {
        world.write(
            "process.json",
            json!({"args": ["sh"], "apparmorProfile": named}).to_string(),
            0o600,
        );
        world.assert_passed(&world.call("exec -p DIR/process.json ID"));
        let process = world.process();
        assert_eq!(process["apparmorProfile"], gets);
    }
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn exec_gives_what_the_container_was_given_to_nest() {
    let world = World::new();
    let own = json!(["CAP_CHOWN"]);
    let both = json!(["CAP_CHOWN", "CAP_NET_ADMIN"]);
    let given = json!(["CAP_NET_ADMIN"]);
    let sets = json!({"bounding": own, "effective": own});
    let cases = [
        (
            Recipients::Everybody,
            0,
            json!({"bounding": both, "effective": both, "permitted": given}),
        ),
        (
            Recipients::Everybody,
            1000,
            json!({"bounding": both, "effective": both, "inheritable": given, "permitted": given, "ambient": given}),
        ),
        (
            Recipients::Root,
            0,
            json!({"bounding": both, "effective": both, "permitted": given}),
        ),
        (Recipients::Root, 1000, sets.clone()),
    ];
    for (recipients, user, expected) in cases {
        let mut record = world.record(GatewayOwner::Own, alive(), Some(alive()));
        (record.plan.user_namespace, record.plan.nesting_capability) = (true, recipients);
        remember(&record);
        let process = json!({"user": {"uid": user}, "capabilities": sets});
        world.write("process.json", process.to_string(), 0o600);
        world.assert_passed(&world.call("exec --process=DIR/process.json ID"));
        assert_eq!(
            world.process()["capabilities"],
            expected,
            "{recipients:?} {user}"
        );
        // What mentions none gets the container's from the runtime, and what drops all has none.
        for none in [
            json!({}),
            json!({"capabilities": null}),
            json!({"capabilities": {"bounding": []}}),
        ] {
            world.write("process.json", none.to_string(), 0o600);
            world.assert_passed(&world.call("exec --process DIR/process.json ID"));
            assert_eq!(world.process(), none, "{recipients:?}");
        }
    }
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn a_process_file_may_be_a_link_or_a_pipe() {
    let world = World::new();
    let text = process(&world);
    std::os::unix::fs::symlink("process.json", world.path("link")).unwrap();
    nix::unistd::mkfifo(&world.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = world.path("pipe");
    let writer = std::thread::spawn(move || {
        let mut pipe = std::fs::File::options().write(true).open(pipe).unwrap();
        std::io::Write::write_all(&mut pipe, text.as_bytes()).unwrap();
    });
    for file in ["link", "pipe"] {
        world.assert_passed(&world.call(&format!("exec --process DIR/{file} ID")));
        let held = &world.process()["capabilities"]["bounding"];
        assert_eq!(held, &json!(["CAP_CHOWN"]), "{file}");
    }
    writer.join().unwrap();
}

fn a_capability_by_option_is_refused() {
    let world = World::new();
    for line in [
        "exec --cap CAP_NET_ADMIN ID sh",
        "exec -c=CAP_CHOWN,CAP_SYS_PTRACE ID sh",
        "exec --cap 12 ID sh",
    ] {
        world.assert_refused(&world.call(line), "reaches beyond");
    }
    world.assert_passed(&world.call("exec --cap CAP_CHOWN ID sh -c true"));
}

fn a_process_file_that_go_would_read_otherwise_is_refused() {
    let world = World::new();
    for text in [
        r#"{"Capabilities": {}}"#,
        r#"{"capabilities": {"Ambient": []}}"#,
        "[",
        "[]",
        "",
    ] {
        world.write("process.json", text, 0o600);
        let output = world.call("exec --process DIR/process.json ID");
        assert_eq!(
            (output.status.code(), world.handed_off()),
            (Some(1), None),
            "{text}"
        );
        assert_eq!(world.read("process.json"), text);
    }
    world.assert_refused(&world.call("exec --process DIR ID"), "Is a directory");
    world.assert_refused(
        &world.call("exec --process /no/such ID"),
        "can't read /no/such",
    );
}
