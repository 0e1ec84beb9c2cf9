//! The container doesn't notice: the same network, verbs, exit codes and terminals as with plain
//! runc.

use std::io::Write as _;

use test_support::bed::Bed;
use test_support::command::{run, wait_for};
use test_support::docker::{IMAGE, runtime};
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    (
        "interfaces_addresses_routes_and_mtu_are_as_with_runc",
        same_network,
    ),
    ("files_and_environment_are_as_with_runc", same_files),
    ("exit_codes_are_the_programs", exit_codes),
    ("signals_reach_the_program", signals),
    ("a_terminal_is_a_terminal", terminal),
    ("standard_input_reaches_the_program", input),
    ("exec_logs_and_stop_work", exec_logs_stop),
    ("restart_works", restart),
    ("pause_and_unpause_work", pause),
    ("volumes_users_and_limits_work", volumes),
    ("published_ports_are_reached_from_outside", published),
    ("a_read_only_container_with_an_init_works", read_only),
];

const LOOK: &str = "ip -o addr | sed 's/^[0-9]*: //; s/@if[0-9]*//'; ip route; ip -6 route | grep -v fe80;
    ip -o link | sed 's/^[0-9]*: //; s/@if[0-9]*//; s/link-netnsid [0-9]*//; s/ether [0-9a-f:]*//'; cat /sys/class/net/eth0/mtu";

fn same_network(bed: &Bed) {
    let network = test_support::bed::unique("same");
    bed.docker(&[
        "network",
        "create",
        "--subnet",
        "10.201.0.0/24",
        "--opt",
        "com.docker.network.driver.mtu=1400",
        &network,
    ])
    .must_succeed();
    let flags = [
        "--network",
        &network,
        "--ip",
        "10.201.0.5",
        "--dns",
        "198.51.100.53",
    ];
    let look = |runtime: &str| normal(&bed.run_with(runtime, &flags, LOOK).must_succeed().stdout);
    assert_eq!(look(&runtime()), look("runc"));
    bed.docker(&["network", "rm", &network]).must_succeed();
}

/// Without what differs between two runs of runc: link-local addresses and their state.
fn normal(text: &str) -> Vec<String> {
    let line = |line: &str| {
        line.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace(" tentative", "")
    };
    text.lines()
        .map(line)
        .filter(|line| !line.contains("fe80"))
        .collect()
}

fn same_files(bed: &Bed) {
    let script = "env | grep -v HOSTNAME | sort; cat /etc/resolv.conf; id; ulimit -a; ls -d /*; cat /proc/self/status | grep -E 'NoNew|Umask'";
    let ours = bed.run(&[], script).must_succeed().stdout.clone();
    assert_eq!(
        ours,
        bed.run_with("runc", &[], script).must_succeed().stdout
    );
}

fn exit_codes(bed: &Bed) {
    for code in [0, 1, 42, 255] {
        assert_eq!(bed.run(&[], &format!("exit {code}")).code, code);
    }
    let killed = bed.sleeper(&[]);
    killed.docker("kill").must_succeed();
    assert_eq!(killed.docker("wait").stdout.trim(), "137");
    let missing = bed.docker(&[
        "run",
        "--rm",
        "--runtime",
        &runtime(),
        IMAGE,
        "/no/such/program",
    ]);
    assert_eq!(missing.code, 127, "{}", missing.stderr);
}

fn signals(bed: &Bed) {
    let container = bed.start(
        &[],
        &[
            "sh",
            "-c",
            "trap 'echo caught; exit 7' USR1; echo ready; while :; do sleep 0.1; done",
        ],
    );
    wait_for("the trap", || {
        container.docker("logs").stdout.contains("ready")
    });
    bed.docker(&["kill", "--signal", "USR1", &container.name])
        .must_succeed();
    assert_eq!(container.docker("wait").stdout.trim(), "7");
    assert!(container.docker("logs").stdout.contains("caught"));
}

fn terminal(bed: &Bed) {
    let host = format!("unix://{}", bed.path("docker.sock").display());
    let inner = format!(
        "docker --host {host} run --rm -it --runtime {} {IMAGE} sh -c 'test -t 0 && stty size && exit 9'",
        runtime()
    );
    // script(1) lends us a terminal.
    let answer = run(
        60,
        &[
            "script",
            "--quiet",
            "--return",
            "--command",
            &inner,
            "/dev/null",
        ],
    );
    assert_eq!(answer.code, 9, "{}", answer.stdout);
}

fn input(bed: &Bed) {
    let host = format!("unix://{}", bed.path("docker.sock").display());
    let mut child = std::process::Command::new("timeout")
        .args([
            "60",
            "docker",
            "--host",
            &host,
            "run",
            "--rm",
            "-i",
            "--runtime",
            &runtime(),
            IMAGE,
            "wc",
            "-c",
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&[b'x'; 100_000])
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "100000");
}

fn exec_logs_stop(bed: &Bed) {
    let container = bed.start(
        &["--init"],
        &["sh", "-c", "echo hello; echo oops >&2; sleep 600"],
    );
    assert_eq!(container.exec("echo inside; exit 3").code, 3);
    wait_for("the log", || {
        container.docker("logs").stdout.contains("hello")
    });
    assert!(container.docker("logs").stderr.contains("oops"));
    bed.docker(&["stop", "--time", "5", &container.name])
        .must_succeed();
    assert_eq!(container.inspect("{{.State.Status}}"), "exited");
}

fn restart(bed: &Bed) {
    let container = bed.sleeper(&[]);
    for verb in [
        &["restart", "--time", "0"][..],
        &["stop", "--time", "0"],
        &["start"],
    ] {
        bed.docker(&[verb, &[&container.name]].concat())
            .must_succeed();
    }
    container
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_succeed();
}

fn pause(bed: &Bed) {
    let container = bed.sleeper(&[]);
    container.docker("pause").must_succeed();
    assert_eq!(container.inspect("{{.State.Status}}"), "paused");
    container.docker("unpause").must_succeed();
    container
        .exec("curl -sS -m 5 http://allowed.test/")
        .must_succeed();
}

fn volumes(bed: &Bed) {
    let flags = [
        "-v",
        "/srv",
        "--tmpfs",
        "/mnt2",
        "-u",
        "1000:1000",
        "--memory",
        "64m",
        "--pids-limit",
        "50",
        "--cap-add",
        "NET_ADMIN",
        "--ulimit",
        "nofile=512",
        "--sysctl",
        "net.ipv4.ip_forward=0",
    ];
    let said = bed
        .run(
            &flags,
            "id -u; ulimit -n; cat /proc/sys/net/ipv4/ip_forward",
        )
        .must_succeed()
        .stdout
        .clone();
    assert_eq!(said, "1000\n512\n0\n");
}

fn read_only(bed: &Bed) {
    let answer = bed.run(
        &["--read-only", "--init", "--cap-add", "NET_ADMIN"],
        "touch /x; curl -sS -m 5 https://allowed.test/",
    );
    assert!(answer.must_succeed().stdout.contains("I am allowed.test"));
    assert!(answer.stderr.contains("Read-only"));
}

fn published(bed: &Bed) {
    let flags = ["-p", "192.0.2.1:18080:8080"];
    let _container = bed.start(
        &flags,
        &[
            "sh",
            "-c",
            "echo published >/srv/index.html; httpd -f -p 8080 -h /srv",
        ],
    );
    let script = "exec 3<>/dev/tcp/192.0.2.1/18080; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; timeout 3 cat <&3";
    let visit = ["nsenter", "--net=/run/netns/internet", "bash", "-c", script];
    wait_for("the published port", || {
        bed.exec(&visit).stdout.contains("published")
    });
}
