//! What a hostile container can do with connections that it begins and doesn't mean to have: nothing
//! that it writes leaves, and a flood of it costs nobody else anything.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use test_support::bed::{self, Bed, Capture, unique};
use test_support::command::{comes_about, wait_for, wait_for_within};
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::hosts::WILD;

use crate::far_tools::{begin, counter};
use crate::far_world::{ACCEPTS, CLOSED, FarWorld, MIXED, OPEN_PORT, SILENT, addresses_of, begun};
use crate::memory::{Gateway, WHOLE};
use crate::status;

pub(crate) const TESTS: &[Test] = &[
    ("no_segment_of_the_containers_own_making_leaves", odd),
    ("no_range_is_reached_that_is_shut_whatever_the_rules", shut),
];

/// Not beside other tests: they take all the time that two processors have.
pub(crate) const FLOODS: &[Test] = &[
    ("a_flood_at_a_silent_address_costs_nobody_anything", |bed| {
        flood(bed, SILENT)
    }),
    ("a_flood_at_a_closed_port_costs_nobody_anything", |bed| {
        flood(bed, CLOSED)
    }),
    ("a_flood_at_an_open_port_costs_nobody_anything", |bed| {
        flood(bed, ACCEPTS)
    }),
    ("a_scan_is_no_faster_than_with_runc", scan),
    ("of_thousands_of_connections_none_is_reset", visits),
];

const RUNTIME: &str = "boundary-far-any";

/// With plain runc, what the container says in them arrives.
fn odd(bed: &Bed) {
    let world = FarWorld::up(bed);
    let secret = unique("sesame-open");
    let targets = addresses_of(MIXED).map(|address| SocketAddr::new(address, OPEN_PORT));
    for (runtime, said_outside) in [("runc", true), (RUNTIME, false)] {
        let container = bed.start_with(runtime, &[], &["sleep", "600"]);
        let far = world.capture();
        let uplink = Capture::start(bed, &container.uplink(), "in");
        let files = [far.file.clone(), uplink.file.clone()];
        for target in targets {
            container
                .exec(&format!("attacker syns odd {target} {secret}"))
                .must_succeed();
        }
        // Everything before it has been looked at by then.
        connects(&container, targets[0]);
        let (far, uplink) = (far.stop(), uplink.stop());
        for file in files {
            let packets = std::fs::read(file).unwrap();
            let is_said = packets
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert_eq!(is_said, said_outside, "{runtime}: {far:#?} {uplink:#?}");
        }
        if !said_outside {
            must_be_its_own(&uplink, &targets);
            assert_eq!(status::of(bed, &container)["state"], "ok");
            // Each line of the record is held against its schema.
            assert!(!container.records().is_empty());
        }
    }
}

/// Panics unless a filter's packets are all such as its kernel sends for the target's port.
#[track_caller]
fn must_be_its_own(packets: &[String], targets: &[SocketAddr]) {
    // Port 0 is one as any other: the rule is for all of them.
    let to = |target: &SocketAddr| {
        [target.port(), 0].map(|port| format!(" > {}.{port}: Flags [", target.ip()))
    };
    let signs: Vec<String> = targets.iter().flat_map(to).collect();
    let strange: Vec<&String> = packets
        .iter()
        .filter(|packet| packet.starts_with("IP") && packet.contains("Flags ["))
        .filter(|packet| {
            // The kernel's own first segments have a window scale and timestamps.
            let foreign = packet.contains("Flags [S") && !packet.contains("wscale");
            foreign || !signs.iter().any(|sign| packet.contains(sign))
        })
        .collect();
    assert!(strange.is_empty(), "{strange:#?}");
}

/// Every address is allowed by a rule, and names were looked up that lead there.
fn shut(bed: &Bed) {
    let targets: Vec<SocketAddr> = [
        "169.254.169.254:80",
        "127.0.0.1:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "168.63.129.16:80",
        "0.0.0.0:80",
        "[fe80::1]:80",
        "[::1]:80",
        "[ff02::1]:80",
        "[fd00:ec2::254]:80",
        "[64:ff9b::a9fe:a9fe]:80",
    ]
    .iter()
    .map(|target| target.parse().unwrap())
    .collect();
    let words: Vec<String> = targets.iter().map(ToString::to_string).collect();
    for (runtime, reached) in [("runc", true), ("boundary-far-all", false)] {
        let container = bed.start_with(runtime, &[], &["sleep", "600"]);
        let uplink = Capture::start(bed, &container.uplink(), "in");
        container.exec(&format!(
            "for name in metadata loopback; do nslookup $name.rebind.test; done; attacker syns to {}",
            words.join(" ")
        ));
        connects(&container, (IpAddr::from([198, 51, 100, 30]), 5432).into());
        let packets = uplink.stop();
        for target in &targets {
            let sign = format!(" > {}.80: Flags [S]", target.ip());
            let seen = packets.iter().any(|packet| packet.contains(&sign));
            assert_eq!(seen, reached, "{runtime}, {target}: {packets:#?}");
        }
    }
}

/// Segments of a flood, half of them in each family, each of another connection.
const FLOOD: u32 = 100_000;
/// To a port that nothing else in these tests is for.
const FLOODED_PORT: u16 = 7777;
/// How many attempts are held back at once, and how many begun in a second.
const HELD: u64 = 256;
const HELD_PER_SECOND: u64 = 1000;

fn flood(bed: &Bed, last: u8) {
    let mut world = FarWorld::up(bed);
    if last == ACCEPTS {
        world.listen(last, &[FLOODED_PORT], b"");
    }
    let far = world.capture();
    let ours = Flooded::by(bed, last);
    let may_be_held = HELD + HELD_PER_SECOND * (ours.lasted.as_secs() + 1);
    let dialled: u64 = begun(&far.stop())
        .into_iter()
        .filter(|(to, _)| to.ends_with(&format!(".{FLOODED_PORT}")))
        .map(|(_, count)| count as u64)
        .sum();
    assert!(
        dialled <= may_be_held,
        "{dialled} connections were begun in {:?}",
        ours.lasted
    );
    let [beside_loops, meanwhile] = ours.neighbour;
    // The kernel works on each segment, and the filter, unoptimized here, on each report.
    assert!(
        meanwhile * 6 >= beside_loops,
        "a neighbour made {meanwhile} connections, and {beside_loops} beside two busy loops"
    );
    let hostile = ours.hostile;
    let counted = Gateway::of(bed, &hostile).counted();
    assert!(
        counted <= WHOLE,
        "its control group counted {counted} bytes"
    );
    let mut later = 0;
    wait_for("its own connections to work", || {
        later += 1;
        hostile.exec(&knock(MIXED)).stdout.contains(" connected ")
    });
    assert_eq!(status::of(bed, &hostile)["state"], "ok");
    let (id, sent) = (hostile.id(), u64::from(FLOOD) - ours.lost);
    // By which it asked for the next hop: among the lost reports nobody knows them from others.
    let datagrams = counter(&hostile, "OutDatagrams");
    // What is counted is written once in a minute, and at the end.
    hostile.remove();
    let mut records = Vec::new();
    let mut sum = 0;
    comes_about(Duration::from_secs(60), || {
        records = bed::records(bed, &id);
        sum = attempts_of(&records, "tcp") + attempts_of(&records, "other");
        sum >= sent + later
    });
    assert!(
        (sent + later..=sent + later + datagrams).contains(&sum),
        "{sum} attempts, of {sent} and {later} later; {datagrams} datagrams"
    );
    // Reports that were lost count with those that were told of.
    let first = accepted_first(&records) + attempts_of(&records, "other");
    assert!(
        records.len() < 1000 + usize::try_from(may_be_held).unwrap(),
        "{} records",
        records.len()
    );
    assert!(
        (sent - may_be_held..=sent).contains(&first),
        "{first} of {sent} were accepted before their servers had answered, as the record says"
    );
}

/// Segments that the container's own link has lost so far.
fn lost(container: &Container<'_>) -> u64 {
    let said = container.exec("cat /sys/class/net/eth0/statistics/tx_dropped");
    said.must_succeed().stdout.trim().parse().unwrap()
}

/// What notices say of connections that were too many to be kept back.
fn accepted_first(records: &[Value]) -> u64 {
    let notices = records
        .iter()
        .filter_map(|record| record["notice"].as_str())
        .filter(|notice| notice.contains(" accepted "));
    notices
        .filter_map(|notice| notice.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn attempts_of(records: &[Value], protocol: &str) -> u64 {
    records
        .iter()
        .filter(|record| record["protocol"] == protocol)
        .map(|record| record["count"].as_u64().unwrap_or(1))
        .sum()
}

/// What came of a flood.
struct Flooded<'bed> {
    hostile: Container<'bed>,
    /// Connections that a neighbour made in two seconds, while the hostile container used up as much
    /// of two processors as it got, and when the flood had begun.
    neighbour: [u64; 2],
    lasted: Duration,
    /// Segments that the container's own link lost.
    lost: u64,
}

impl<'bed> Flooded<'bed> {
    fn by(bed: &'bed Bed, last: u8) -> Self {
        // Looked into by what is on the default bridge.
        let start = || bed.start_with(RUNTIME, &[], &["sleep", "600"]);
        let (hostile, neighbour) = (start(), start());
        let target = SocketAddr::new(addresses_of(MIXED)[0], OPEN_PORT);
        let storm = || {
            let said = neighbour.exec(&format!("attacker storm {target} 2"));
            let (_, made) = said.must_succeed().stdout.trim().rsplit_once(' ').unwrap();
            made.parse::<u64>().unwrap()
        };
        // Longer than the neighbour is measured.
        let loops = "for n in 1 2; do timeout 4 sh -c 'while :; do :; done' & done; wait";
        begin(bed, &hostile, &format!("({loops}); touch /tmp/idle"));
        let beside_loops = storm();
        wait_for("the loops' end", || {
            hostile.exec("test -e /tmp/idle").code == 0
        });
        let lost_before = lost(&hostile);
        let floods = addresses_of(last).map(|address| {
            let target = SocketAddr::new(address, FLOODED_PORT);
            format!("attacker syns flood {target} {}", FLOOD / 2)
        });
        let script = format!(
            "{{ {}; }} >/tmp/sent; mv /tmp/sent /tmp/over",
            floods.join("; ")
        );
        begin(bed, &hostile, &script);
        let meanwhile = storm();
        let mut said = String::new();
        wait_for_within(Duration::from_secs(60), "the flood's end", || {
            said = hostile.exec("cat /tmp/over").stdout;
            !said.is_empty()
        });
        // `COUNT in MILLISECONDS ms`
        let took = said.lines().map(|line| line.split(' ').nth(2).unwrap());
        let took: Vec<u64> = took.map(|took| took.parse().unwrap()).collect();
        assert_eq!(took.len(), 2, "{said}");
        let lost = lost(&hostile) - lost_before;
        Self {
            hostile,
            lost,
            neighbour: [beside_loops, meanwhile],
            lasted: Duration::from_millis(took.iter().sum()),
        }
    }
}

/// Ports of one host, all at once: no more than with plain runc are told to be closed, and no faster
/// than connections are kept back.
fn scan(bed: &Bed) {
    const PORTS: std::ops::Range<u16> = 20_000..22_000;
    let world = FarWorld::up(bed);
    let address = addresses_of(CLOSED)[0];
    let targets: Vec<String> = PORTS
        .map(|port| SocketAddr::new(address, port).to_string())
        .collect();
    let script = format!("attacker knock 5 {}", targets.join(" "));
    let [plain, ours] = ["runc", RUNTIME].map(|runtime| {
        let container = world.visitor(runtime);
        let far = world.capture();
        let said = container.exec(&script).must_succeed().stdout.clone();
        let told = said.lines().filter(|line| line.contains(" ECONNREFUSED "));
        let times = told
            .clone()
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
        (
            told.count() as u64,
            times.max().unwrap_or(0),
            begun(&far.stop()).len(),
        )
    });
    assert_eq!((plain.0, plain.2), (PORTS.len() as u64, PORTS.len()));
    let (told, within, reached) = ours;
    assert!(
        (HELD..=HELD + HELD_PER_SECOND * (within + 1000) / 1000).contains(&told),
        "{told} ports were told to be closed within {within} ms"
    );
    assert!(reached <= plain.2, "{reached} ports were reached");
}

/// One polite attempt at the open port.
fn knock(last: u8) -> String {
    let target = SocketAddr::new(addresses_of(last)[0], OPEN_PORT);
    format!("attacker knock 2 {target}")
}

#[track_caller]
fn connects(container: &Container<'_>, target: SocketAddr) {
    let said = container.exec(&format!("attacker knock 5 {target}"));
    assert!(said.stdout.contains(" connected "), "{said:?}");
}

/// The end of a handshake and what follows it may be on two processors at once. Where the kernel's own
/// fault isn't worked around (see `captured_tcp` in the gateway's rules), about one of 15,000 connections
/// is reset: every second run of this fails.
fn visits(bed: &Bed) {
    let container = bed.start_with("boundary-https", &[], &["sleep", "600"]);
    let namespace = format!("--net=/proc/{}/ns/net", container.inspect("{{.State.Pid}}"));
    let address = format!("{}:80", WILD.v4);
    let load = ["load", &address, "root.wild.test", "http", "new", "1", "10"];
    bed.exec(&[&["nsenter", &namespace][..], &load].concat())
        .must_succeed();
}
