//! `start` and `delete`: nothing starts unless its gateway says so; what is over is forgotten.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use boundary_shim::container::plan::GatewayOwner;
use boundary_shim::container::state::Stage;
use boundary_shim::control;

use crate::world::{World, alive, dead, remember, tests};

tests![
    a_container_starts_once_its_gateway_says_so,
    any_other_answer_starts_nothing,
    a_container_without_a_living_gateway_does_not_start,
    before_its_gateway_is_ready_nothing_runs_in_a_container,
    a_joiner_starts_while_its_owners_gateway_lives,
    delete_forgets_what_is_over_and_never_fails,
];

/// A gateway that answers one question.
fn answering(world: &World, answer: Vec<u8>) -> std::thread::JoinHandle<Vec<u8>> {
    remember(&world.record(GatewayOwner::Own, alive(), Some(alive())));
    let socket = control::socket(&world.state());
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = [0; 64];
        let read = stream.read(&mut question).unwrap();
        // The other side may have gone after its limit.
        let _ = stream.write_all(&answer);
        question[..read].to_vec()
    })
}

fn framed(body: &str) -> Vec<u8> {
    [
        &u32::try_from(body.len()).unwrap().to_be_bytes(),
        body.as_bytes(),
    ]
    .concat()
}

fn a_container_starts_once_its_gateway_says_so() {
    let world = World::new();
    let gateway = answering(&world, framed(r#"{"v":1,"answer":"done"}"#));
    world.assert_passed(&world.call("start ID"));
    assert_eq!(
        gateway.join().unwrap(),
        framed(r#"{"v":1,"request":"settle"}"#)
    );
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn any_other_answer_starts_nothing() {
    let cases = [
        (
            framed(r#"{"v":1,"answer":{"failed":"eth1 has no address"}}"#),
            "can't be filtered: eth1 has no address",
        ),
        (
            framed(r#"{"v":1,"answer":{"not-understood":"settle"}}"#),
            "does not answer",
        ),
        (
            framed(r#"{"v":1,"answer":{"status":null}}"#),
            "does not answer",
        ),
        (framed(r#"{"v":2,"answer":"done"}"#), "speaks version 2"),
        (framed(r#"{"v":1,"answer":"Done"}"#), "does not answer"),
        (framed(r#"{"v":1,"answer":null}"#), "does not answer"),
        (framed("done"), "does not answer"),
        (
            framed(r#"{"v":1,"answer":"done"}"#)[..10].to_vec(),
            "does not answer",
        ),
        // What gateways of before answered, and silence.
        (b"ok\n".to_vec(), "does not answer"),
        (Vec::new(), "does not answer"),
        (b"\xff".repeat(100_000), "a frame of 4294967295 bytes"),
    ];
    let world = World::new();
    for (answer, why) in cases {
        let gateway = answering(&world, answer);
        world.assert_refused(&world.call("start ID"), why);
        gateway.join().unwrap();
    }
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn a_container_without_a_living_gateway_does_not_start() {
    let world = World::new();
    world.assert_refused(&world.call("start ID"), "has no gateway");
    for (init, proxy, why) in [
        (alive(), Some(dead()), "gateway is gone"),
        (alive(), None, "gateway is gone"),
        (dead(), Some(alive()), "has no gateway"),
        (alive(), Some(alive()), "does not answer"),
    ] {
        remember(&world.record(GatewayOwner::Own, init, proxy));
        world.assert_refused(&world.call("start ID"), why);
    }
    boundary_shim::sys::file::replace(&world.state().join("record.json"), b"{", 0o600).unwrap();
    world.assert_refused(&world.call("start ID"), "can't read the container's record");
    // Another root is another container.
    remember(&world.record(GatewayOwner::Own, alive(), Some(alive())));
    world.assert_refused(&world.call("--root /other start ID"), "has no gateway");
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn before_its_gateway_is_ready_nothing_runs_in_a_container() {
    let world = World::new();
    let failed = || Stage::Failed("no room".to_owned());
    for (stage, proxy, why) in [
        (failed(), dead(), "can't be filtered: no room"),
        (Stage::Preparing, dead(), "ended before it was ready"),
        (Stage::Ready, dead(), "gateway is gone"),
        (Stage::Preparing, alive(), "does not answer"),
        (Stage::Ready, alive(), "does not answer"),
    ] {
        let mut record = world.record(GatewayOwner::Own, alive(), Some(proxy));
        record.stage = stage;
        remember(&record);
        for call in ["start ID", "exec ID true"] {
            world.assert_refused(&world.call(call), why);
        }
    }
    // One that fails while it is asked says why.
    let mut record = world.record(GatewayOwner::Own, alive(), Some(alive()));
    record.stage = Stage::Preparing;
    remember(&record);
    let listener = UnixListener::bind(control::socket(&world.state())).unwrap();
    let gateway = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        record.reach(Stage::Failed("no room".to_owned())).unwrap();
        drop(stream);
    });
    world.assert_refused(&world.call("start ID"), "can't be filtered: no room");
    gateway.join().unwrap();
    // What was started is not asked for again.
    remember(&world.record(GatewayOwner::Own, alive(), Some(alive())));
    world.assert_passed(&world.call("exec ID true"));
    boundary_shim::container::state::remove(&world.state()).unwrap();
}

fn a_joiner_starts_while_its_owners_gateway_lives() {
    let (joiner, owner) = (World::new(), World::new());
    // A number that no namespace of this host has.
    let inode = u64::from(std::process::id());
    for (world, gateway, proxy) in [
        (&joiner, GatewayOwner::Joined, None),
        (&owner, GatewayOwner::Own, Some(alive())),
    ] {
        let mut record = world.record(gateway, alive(), proxy);
        record.network_namespace = inode;
        remember(&record);
    }
    joiner.assert_passed(&joiner.call("start ID"));
    std::fs::remove_file(joiner.path("real/argv")).unwrap();
    boundary_shim::container::state::remove(&owner.state()).unwrap();
    joiner.assert_refused(
        &joiner.call("start ID"),
        "gateway of the joined container is gone",
    );
    boundary_shim::container::state::remove(&joiner.state()).unwrap();
}

fn delete_forgets_what_is_over_and_never_fails() {
    let world = World::new();
    for (init, proxy, stays) in [
        (dead(), Some(dead()), false),
        (dead(), None, false),
        (alive(), Some(dead()), false),
        (alive(), Some(alive()), true),
        (alive(), None, true),
    ] {
        remember(&world.record(GatewayOwner::Own, init, proxy));
        world.assert_passed(&world.call("delete --force ID"));
        assert_eq!(world.state().exists(), stays, "{init:?} {proxy:?}");
    }
    boundary_shim::sys::file::replace(&world.state().join("record.json"), b"{", 0o600).unwrap();
    world.assert_passed(&world.call("delete ID"));
    assert!(!world.state().exists());
    for line in [
        "delete ID",
        "delete ../x",
        "delete",
        "delete a b",
        "delete --strange",
    ] {
        world.assert_passed(&world.call(line));
    }
}
