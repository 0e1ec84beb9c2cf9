//! What a gateway says about itself, as a host's log daemon hears it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

use boundary_shim::container::state;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{DEADLINE, World};

pub(crate) const TESTS: &[(&str, fn())] = &[(
    "the_hosts_log_hears_of_a_gateways_start_its_end_and_why_it_was_shut",
    start_and_ends,
)];

fn start_and_ends() {
    let journal = journal();
    let world = World::new("embedded");
    let begin = || {
        world.set_command("busybox sleep 600");
        world.must("--root DIR/root create --bundle BUNDLE ID");
        world.must("--root DIR/root start ID");
        let filtered = format!(
            "container {}: info: its network is filtered: policy default, enforce",
            world.id
        );
        assert_eq!(message(&journal, &world, "6"), filtered);
    };
    begin();
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();
    assert_eq!(
        message(&journal, &world, "6"),
        format!(
            "container {}: info: it has ended, and so has its gateway",
            world.id
        )
    );

    begin();
    kill(filter(&world), Signal::SIGKILL).unwrap();
    let why = "the container's network is shut: the filter is gone: it was killed by SIGKILL";
    assert_eq!(
        message(&journal, &world, "3"),
        format!("container {}: error: {why}", world.id)
    );
    world.must("--root DIR/root delete --force ID");
    world.leaves_nothing();

    world.configure("runtime = \"embedded\"\nlog-level = \"error\"");
    world.set_command("true");
    world.must("--root DIR/root run --bundle BUNDLE ID");
    world.leaves_nothing();
    let more: Vec<String> = journal
        .try_iter()
        .filter(|entry| is_about(entry, &world))
        .collect();
    assert_eq!(more, Vec::<String>::new());
}

/// All that systemd's journal would be told from now on. It is heard at once: a queue that is full
/// would lose something.
fn journal() -> Receiver<String> {
    fs::create_dir_all("/run/systemd/journal").unwrap();
    let socket = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut entry = [0; 4096];
        while let Ok(length) = socket.recv(&mut entry)
            && tell
                .send(String::from_utf8_lossy(&entry[..length]).into_owned())
                .is_ok()
        {}
    });
    told
}

fn is_about(entry: &str, world: &World) -> bool {
    entry.contains(&format!("\nBOUNDARY_CONTAINER={}\n", world.id))
}

/// The next message about this test's container.
fn message(journal: &Receiver<String>, world: &World, priority: &str) -> String {
    loop {
        let entry = journal.recv_timeout(DEADLINE).unwrap();
        if is_about(&entry, world) {
            assert!(
                entry.contains(&format!(
                    "\nPRIORITY={priority}\nSYSLOG_IDENTIFIER=boundary-shim\n"
                )),
                "{entry}"
            );
            return entry
                .lines()
                .next()
                .unwrap()
                .strip_prefix("MESSAGE=")
                .unwrap()
                .to_owned();
        }
    }
}

/// The process that the container's keeper keeps.
fn filter(world: &World) -> Pid {
    let directory = state::directory(Path::new(&world.path("root")), &world.id);
    let keeper = state::SavedState::read(&directory)
        .unwrap()
        .unwrap()
        .proxy
        .unwrap()
        .pid;
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap())
}
