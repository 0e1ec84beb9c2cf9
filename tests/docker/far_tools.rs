//! Tools that ask whether somebody listens, and wait until somebody does: what they find, and when,
//! is as with plain runc. What a client leaves behind that gave up, or that was killed.
//!
//! The far ends are those of `far_world`; the tools are this machine's, in the bed's image.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use test_support::bed::{Bed, unique};
use test_support::command::{Answer, run, wait_for, wait_for_within};
use test_support::docker::Container;
use test_support::harness::Test;

use crate::far_end::{End, GIVEN_UP, the_one};
use crate::far_world::{
    CLOSED, CLOSED_PORT, FarWorld, GREETS, LOSSY_PORT, MIXED, OPEN_PORT, SILENT, SILENT_PORT,
    addresses_of, begun,
};
use crate::servers::PROGRAMS;
use crate::side_by_side::same;
use crate::status;

/// Each with the program that not every system may have.
pub(crate) const TESTS: &[(&str, Test)] = &[
    ("nc.openbsd", ("nc_finds_the_ports_open_that_are", netcat)),
    ("bash", ("bash_finds_the_ports_open_that_are", bash)),
    (
        "wait-for-it",
        ("wait_for_it_waits_until_somebody_listens", wait_for_it),
    ),
    (
        "curl",
        ("curl_ends_where_the_far_end_does_not_answer", curl),
    ),
    (
        "curl",
        ("curl_retries_until_a_refused_port_is_open", curl_retries),
    ),
    ("nmap", ("nmap_sees_what_it_sees_with_runc", nmap)),
    (
        "docker-compose",
        ("a_composed_service_waits_for_another", compose_waits),
    ),
    (
        "docker-compose",
        (
            "a_composed_service_starts_when_another_was_found",
            compose_health,
        ),
    ),
    (
        "python3",
        ("data_in_the_first_segment_gets_its_answer", fast_open),
    ),
    (
        "bash",
        ("who_gave_up_or_was_killed_leaves_nothing_behind", given_up),
    ),
    (
        "bash",
        (
            "a_segment_sent_again_begins_no_second_connection",
            sent_again,
        ),
    ),
];

/// What they run under: rules for the far ends' addresses.
const RUNTIME: &str = "boundary-far-any";

/// IPv6 tries an address out before it is used.
const SETTLED: &str = "while ip -o -6 address show tentative | grep -q .; do sleep 0.1; done\n";

/// The same script with plain runc and with ours, among the far ends; what it printed.
#[track_caller]
fn says(bed: &Bed, world: &FarWorld<'_>, runtime: &str, script: &str) -> String {
    let flags = [&world.flags()[..], &PROGRAMS].concat();
    same(bed, runtime, &flags, &format!("{SETTLED}{script}"))
}

/// Runs a command for both addresses and three ports of one far end; `@A` and `@P` stand for these.
#[track_caller]
fn finds(bed: &Bed, command: &str) {
    finds_at(bed, &addresses_of(MIXED), command);
}

/// The same for some of its addresses.
#[track_caller]
fn finds_at(bed: &Bed, addresses: &[IpAddr], command: &str) {
    let world = FarWorld::up(bed);
    let mut script = String::new();
    for address in addresses {
        for port in [OPEN_PORT, CLOSED_PORT, SILENT_PORT] {
            let command = command
                .replace("@A", &address.to_string())
                .replace("@P", &port.to_string());
            script += &format!("{command} 2>/dev/null; echo $?\n");
        }
    }
    let said = says(bed, &world, RUNTIME, &script);
    let found: Vec<bool> = said.lines().map(|code| code == "0").collect();
    assert_eq!(
        found,
        [true, false, false].repeat(addresses.len()),
        "{said}"
    );
}

fn netcat(bed: &Bed) {
    finds(bed, "nc.openbsd -z -w 2 @A @P");
}

fn bash(bed: &Bed) {
    finds(bed, "timeout 2 bash -c 'exec 3<>/dev/tcp/@A/@P'");
}

/// It looks at once, and then every second; and takes no IPv6 address, however it is given.
fn wait_for_it(bed: &Bed) {
    let v4 = addresses_of(MIXED)[0];
    finds_at(bed, &[v4], "wait-for-it -h @A -p @P -q -t 2");
    let mut world = FarWorld::up(bed);
    for (runtime, port) in [("runc", 8081), (RUNTIME, 8082)] {
        let container = tool_box(bed, &world, runtime);
        let script = format!("wait-for-it 203.0.113.{CLOSED}:{port} -t 20 -q; echo $? >/tmp/code");
        begin(bed, &container, &script);
        refused(&container, 2);
        assert_eq!(container.exec("cat /tmp/code").stdout, "", "{runtime}");
        world.listen(CLOSED, &[port], b"");
        wait_for("it to have waited", || {
            container.exec("cat /tmp/code").stdout == "0\n"
        });
    }
}

/// By address and by name, where what the client says decides.
fn curl(bed: &Bed) {
    let world = FarWorld::up(bed);
    let visit = |host: &str| {
        format!(
            "curl -sS -o /dev/null --connect-timeout 2 http://{host}/ 2>/dev/null; echo $? $((SECONDS - began)); began=$SECONDS\n"
        )
    };
    let hosts = [SILENT, CLOSED, 210, 211, 212, 213];
    for (runtime, name) in [
        (RUNTIME, "203.0.113.@"),
        (RUNTIME, "[2001:db8:3::@]"),
        ("boundary-far-names", "n@.far.test"),
    ] {
        let number = |last: &u8| match name.starts_with('[') {
            true => format!("{last:x}"),
            false => last.to_string(),
        };
        let script: String = hosts
            .iter()
            .map(|last| visit(&name.replace('@', &number(last))))
            .collect();
        let said = same_codes(bed, &world, runtime, &script);
        // curl's: an operation timed out, and no connection.
        assert_eq!(said, [28, 7, 7, 7, 7, 7], "{name}");
    }
}

/// Lines of an exit code and the seconds that it took: the codes are equal, and ours come no later, but for
/// one second. They may come sooner: the host's kernel limits the ICMP errors that it sends (icmp(7)), and
/// a client that gets none sends again.
#[track_caller]
fn same_codes(bed: &Bed, world: &FarWorld<'_>, runtime: &str, script: &str) -> Vec<i32> {
    let script =
        format!("{SETTLED}cat >/tmp/script <<'END'\nbegan=$SECONDS\n{script}END\nbash /tmp/script");
    let [plain, ours] = ["runc", runtime].map(|runtime| {
        let flags = [&world.flags()[..], &PROGRAMS].concat();
        let answer = bed.run_with(runtime, &flags, &script);
        answer
            .must_succeed()
            .stdout
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(code, seconds)| (code.parse().unwrap(), seconds.parse().unwrap()))
            .collect::<Vec<(i32, i64)>>()
    });
    let alike = plain.len() == ours.len()
        && plain
            .iter()
            .zip(&ours)
            .all(|(plain, ours)| plain.0 == ours.0 && ours.1 <= plain.1 + 1);
    assert!(alike, "ours {ours:?}, with runc {plain:?}");
    ours.iter().map(|(code, _)| *code).collect()
}

fn curl_retries(bed: &Bed) {
    const PAGE: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nlate\n";
    let mut world = FarWorld::up(bed);
    for (runtime, port) in [("runc", 8083), (RUNTIME, 8084)] {
        let container = tool_box(bed, &world, runtime);
        let script = format!(
            "curl -sS --retry 20 --retry-delay 1 --retry-connrefused http://203.0.113.{CLOSED}:{port}/ >/tmp/page"
        );
        begin(bed, &container, &script);
        refused(&container, 2);
        world.listen(CLOSED, &[port], PAGE);
        wait_for("the page", || {
            container.exec("cat /tmp/page").stdout == "late\n"
        });
    }
}

/// By connect(2), as people without rights scan: ports and hosts.
fn nmap(bed: &Bed) {
    let world = FarWorld::up(bed);
    let ports = format!("{OPEN_PORT}-{SILENT_PORT}");
    let [v4, v6] = addresses_of(MIXED);
    let script = format!(
        "export LD_LIBRARY_PATH=$(echo /usr/lib/*/blas) # Debian leads there by links in /etc.
         scan() {{ nmap -n -Pn --unprivileged -sT --reason --max-retries 1 -p \"$@\" | grep -E '^[0-9]+/tcp|report'; }}
         scan {ports} {v4}; scan {ports} -6 {v6}; scan 80 203.0.113.{CLOSED} 203.0.113.{GREETS} 203.0.113.210 203.0.113.212"
    );
    let said = says(bed, &world, RUNTIME, &script);
    for sign in ["syn-ack", "conn-refused", "no-response", "host-unreach"] {
        assert!(said.contains(sign), "no {sign} in {said}");
    }
}

/// A server that comes up two seconds late, and one service in front of it.
fn compose_waits(bed: &Bed) {
    composed(bed, "203.0.113.128/27", |runtime| {
        service(
            "app",
            runtime,
            "wait-for-it db:5432 -t 20 -q -- sh -c 'echo hello | nc -w 3 db 5432'",
        ) + "    depends_on: [db]\n"
    });
}

/// One that is healthy when it found the server; when it is, another starts.
fn compose_health(bed: &Bed) {
    composed(bed, "203.0.113.160/27", |runtime| {
        service("gate", runtime, "sleep 600")
            + "    depends_on: [db]
    healthcheck: {test: [CMD, nc.openbsd, -z, db, '5432'], interval: 1s, timeout: 5s, retries: 30}\n"
            + &service("app", runtime, "echo hello | nc -w 3 db 5432")
            + "    depends_on: {gate: {condition: service_healthy}}\n"
    });
}

/// A service of a composition with the bed's image and this machine's programs.
fn service(name: &str, runtime: &str, script: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!(
        "  {name}:
    image: bed
    runtime: {runtime}
    volumes: ['/machine/usr:/usr:ro']
    stop_signal: SIGKILL
    command: [sh, -c, {script}]\n"
    )
}

/// What the service `app` prints is the server's answer, with plain runc and with ours.
fn composed(bed: &Bed, subnet: &str, services: impl Fn(&str) -> String) {
    let said = ["runc", RUNTIME].map(|runtime| {
        let server = service("db", "runc", "sleep 2; exec nc -ll -p 5432 -e cat");
        let text = format!(
            "version: '2.4'\nnetworks: {{default: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}}}\nservices:\n{server}{}",
            services(runtime)
        );
        let project = unique("composed");
        let file = bed.path(&format!("{project}.yaml"));
        fs::write(&file, text).unwrap();
        let compose = |words: &[&str]| compose(bed, &project, file.to_str().unwrap(), words);
        let answer = compose(&["run", "--rm", "-T", "app"]);
        compose(&["down", "--timeout", "0"]).must_succeed();
        (answer.code, answer.stdout)
    });
    assert_eq!(said[0], (0, "hello\n".to_owned()), "with runc");
    assert_eq!(said[1], said[0], "with ours");
}

fn compose(bed: &Bed, project: &str, file: &str, words: &[&str]) -> Answer {
    let host = format!("DOCKER_HOST=unix://{}", bed.path("docker.sock").display());
    let command = ["env", &host, "docker-compose", "-p", project, "-f", file];
    run(120, &[&command[..], words].concat())
}

/// Fast Open without a cookie (RFC 7413): what the first segment brings, the server's kernel may
/// leave, and the client then sends again.
fn fast_open(bed: &Bed) {
    const MSG_FASTOPEN: u32 = 0x2000_0000;
    const TCP_FASTOPEN_NO_COOKIE: u32 = 34;
    let world = FarWorld::up(bed);
    let capture = world.capture();
    let visit = |(family, address): (&str, String)| {
        format!(
            "s = socket.socket(socket.{family}); s.setsockopt(6, {TCP_FASTOPEN_NO_COOKIE}, 1); s.settimeout(5)
s.sendto(b'early words', {MSG_FASTOPEN}, ('{address}', {OPEN_PORT})); print(s.recv(100))\n"
        )
    };
    let [v4, v6] = addresses_of(MIXED);
    let visits: String = [("AF_INET", v4.to_string()), ("AF_INET6", v6.to_string())]
        .map(visit)
        .concat();
    let script = format!("python3 - <<'END'\nimport socket\n{visits}END");
    let said = says(bed, &world, RUNTIME, &script);
    assert_eq!(said, "b'early words'\n".repeat(2));
    // Of runc's alone: ours begins connections of its own.
    let early = |packet: &&String| packet.contains("Flags [S]") && packet.ends_with("length 11");
    assert_eq!(capture.stop().iter().filter(early).count(), 2);
}

fn given_up(bed: &Bed) {
    let world = FarWorld::up(bed);
    let container = world.visitor(RUNTIME);
    let targets = addresses_of(SILENT).map(|address| SocketAddr::new(address, OPEN_PORT));
    let [gives_up, is_killed] = targets;
    let said = container.exec(&format!("attacker knock 1 {gives_up}"));
    assert!(said.stdout.contains(" timeout "), "{said:?}");
    begin(bed, &container, &format!("attacker knock 100 {is_killed}"));
    wait_for("a client to wait", || synchronising(&container) == 1);
    container.exec("kill -9 $(pidof attacker)").must_succeed();
    for target in targets {
        let record = the_one(&container, target);
        assert_eq!(End::of(&record), End::NoAnswer, "{record}");
    }
    wait_for_within(GIVEN_UP, "nothing to be open", || {
        status::of(bed, &container)["open"] == 0
    });
}

/// Connections that the container's kernel has begun.
fn synchronising(container: &Container<'_>) -> usize {
    // SYN_SENT (include/net/tcp_states.h).
    let table = container.exec("cat /proc/net/tcp /proc/net/tcp6").stdout;
    table
        .lines()
        .filter(|line| line.split_whitespace().nth(3) == Some("02"))
        .count()
}

/// A server whose kernel hears the client only when that has asked twice.
fn sent_again(bed: &Bed) {
    let world = FarWorld::up(bed);
    for runtime in ["runc", RUNTIME] {
        let container = world.visitor(runtime);
        let capture = world.capture();
        world.lose(LOSSY_PORT, true);
        let targets =
            addresses_of(MIXED).map(|address| SocketAddr::new(address, LOSSY_PORT).to_string());
        let script = format!("attacker knock 20 {} >/tmp/knocked", targets.join(" "));
        begin(bed, &container, &script);
        wait_for("the client to have asked again", || {
            counter(&container, "TCPSynRetrans") >= 2
        });
        world.lose(LOSSY_PORT, false);
        let mut said = String::new();
        wait_for("the client's answer", || {
            said = container.exec("cat /tmp/knocked").stdout;
            said.lines().count() == 2
        });
        assert_eq!(said.matches("connected").count(), 2, "{runtime}: {said}");
        let visits: Vec<usize> = world.visits().into_values().collect();
        assert_eq!(visits, [1, 1], "{runtime}");
        let begun: Vec<usize> = begun(&capture.stop()).into_values().collect();
        assert_eq!(begun, [1, 1], "{runtime}");
    }
}

/// One of the container's kernel's counts, by its name in `/proc/net/snmp` or `/proc/net/netstat`.
pub(crate) fn counter(container: &Container<'_>, name: &str) -> u64 {
    let text = container
        .exec("cat /proc/net/snmp /proc/net/netstat")
        .stdout;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    // A line of names, and one of numbers.
    lines
        .chunks(2)
        .find_map(|pair| {
            let place = pair[0].iter().position(|word| *word == name)?;
            pair[1][place].parse().ok()
        })
        .unwrap()
}

/// Waits until connections of the container's have failed so often.
fn refused(container: &Container<'_>, times: u64) {
    wait_for("the client to have been refused", || {
        counter(container, "AttemptFails") >= times
    });
}

/// A container that sleeps, with this machine's programs.
fn tool_box<'bed>(bed: &'bed Bed, world: &FarWorld<'_>, runtime: &str) -> Container<'bed> {
    bed.start_with(
        runtime,
        &[&world.flags()[..], &PROGRAMS].concat(),
        &["sleep", "600"],
    )
}

/// Starts a script in a container, and doesn't wait for its end.
pub(crate) fn begin(bed: &Bed, container: &Container<'_>, script: &str) {
    bed.docker(&["exec", "--detach", &container.name, "sh", "-c", script])
        .must_succeed();
}
