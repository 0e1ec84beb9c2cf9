//! What the far end answers is what connect(2) gives in the container, as with plain runc: a closed
//! port is closed, what can't be reached says so, and silence is silence.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use test_support::bed::{Bed, Capture};
use test_support::command::{STATE_DEADLINE, comes_about, wait_for, wait_for_within};
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::hosts::{ALLOWED, ATTACKER, DENIED};
use test_support::wire::leaks;

use crate::far_world::{ABSENT, FarWorld, KINDS, NO_ROUTE, ROUTE_PROHIBITS, addresses_of, begun};
use crate::status;

pub(crate) const TESTS: &[Test] = &[
    (
        "by_address_whatever_the_port_connect_gives_what_the_far_end_says",
        |bed| as_with_runc(bed, "boundary-far-any", &[5432], Known::Address),
    ),
    (
        "by_address_and_port_connect_gives_what_the_far_end_says",
        |bed| as_with_runc(bed, "boundary-far-ports", &[5432], Known::Address),
    ),
    (
        "by_name_on_the_webs_ports_connect_gives_what_the_far_end_says",
        |bed| as_with_runc(bed, "boundary-far-names", &[80, 443], Known::Name),
    ),
    (
        "a_port_that_no_rule_could_allow_is_refused_though_another_rule_captures_all",
        refused_at_once,
    ),
    (
        "what_was_asked_for_a_client_serves_it_if_it_names_that_and_nobody_else",
        named,
    ),
    (
        "each_attempt_by_address_is_one_record_with_its_end",
        |bed| recorded(bed, "boundary-far-any", &[5432], Known::Address),
    ),
    ("each_attempt_by_name_is_one_record_with_its_end", |bed| {
        recorded(bed, "boundary-far-names", &[80, 443], Known::Name)
    }),
];

/// Longer than a neighbour's silence takes (three questions, one a second).
const PATIENCE_SECONDS: u64 = 5;

/// How the client comes to the address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Address,
    /// It has looked up the name just before.
    Name,
}

/// One after the other from the same network, with plain runc and with ours: connect(2) gives the
/// same, about as fast, and the far ends see the same.
fn as_with_runc(bed: &Bed, runtime: &str, ports: &[u16], known: Known) {
    let world = FarWorld::up(bed);
    let targets = targets(known, ports);
    let [plain, ours] = ["runc", runtime].map(|runtime| {
        let container = world.visitor(runtime);
        if known == Known::Name {
            look_up(&container);
        }
        let capture = world.capture();
        let knocked = knock(&container, PATIENCE_SECONDS, &targets);
        let expected: usize = knocked.values().filter(|knock| knock.connected()).count();
        let mut visits = BTreeMap::new();
        // The servers count in their own time.
        comes_about(STATE_DEADLINE, || {
            visits.extend(world.visits());
            visits.values().sum::<usize>() >= expected
        });
        (knocked, visits, begun(&capture.stop()))
    });
    let differing: Vec<String> = targets
        .iter()
        .filter(|target| !ours.0[target].is_like(&plain.0[target], is_rationed(target)))
        .map(|target| {
            format!(
                "{target}: {:?}, with runc {:?}",
                ours.0[target], plain.0[target]
            )
        })
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(
        ours.2, plain.2,
        "connections that were begun with the far ends"
    );
    assert_eq!(ours.1, plain.1, "connections that the servers took");
}

/// Names lead to public addresses alone: none of them to the containers' own link.
fn targets(known: Known, ports: &[u16]) -> Vec<SocketAddr> {
    let kinds = KINDS
        .into_iter()
        .filter(|last| known == Known::Address || *last != ABSENT);
    let addresses = kinds.flat_map(addresses_of);
    addresses
        .flat_map(|address| {
            ports
                .iter()
                .map(move |port| SocketAddr::new(address, *port))
        })
        .collect()
}

/// Both families, as clients do.
fn look_up(container: &Container<'_>) {
    let names: Vec<String> = KINDS
        .iter()
        .map(|last| format!("n{last}.far.test"))
        .collect();
    let script = format!("for name in {}; do nslookup $name; done", names.join(" "));
    container.exec(&script).must_succeed();
}

/// What became of one connect(2).
#[derive(Debug)]
struct Knock {
    outcome: String,
    milliseconds: u64,
}

impl Knock {
    fn connected(&self) -> bool {
        self.outcome == "connected"
    }

    /// The same outcome, no later by a second, and no sooner by more than one SYN: an ICMP error
    /// that meets a client still in connect(2) is lost on it, and comes with the next, a second
    /// later. Where errors are rationed, it may be any SYN.
    fn is_like(&self, plain: &Self, is_rationed: bool) -> bool {
        let (ours, plains) = (self.milliseconds, plain.milliseconds);
        let is_soon = ours < plains + 1000;
        self.outcome == plain.outcome && is_soon && (is_rationed || plains < ours + 1500)
    }
}

/// What the containers' own host says by itself, it says to nobody more often than once a second,
/// but for the first few (`ip_error` in net/ipv4/route.c).
fn is_rationed(target: &SocketAddr) -> bool {
    [NO_ROUTE, ROUTE_PROHIBITS]
        .iter()
        .any(|last| addresses_of(*last).contains(&target.ip()))
}

/// A connection to each, all at once.
fn knock(
    container: &Container<'_>,
    seconds: u64,
    targets: &[SocketAddr],
) -> BTreeMap<SocketAddr, Knock> {
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let script = format!("attacker knock {seconds} {}", targets.join(" "));
    let answer = container.exec(&script);
    let line = |line: &str| {
        let [target, outcome, milliseconds] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let knock = Knock {
            outcome: outcome.to_owned(),
            milliseconds: milliseconds.parse().unwrap(),
        };
        (target.parse().unwrap(), knock)
    };
    answer.must_succeed().stdout.lines().map(line).collect()
}

/// Addresses of which rules speak, or none, and ports of which none does for that address.
fn refused_at_once(bed: &Bed) {
    let world = FarWorld::up(bed);
    let container = world.visitor("boundary-far-any");
    // Of an allowed name, too, which is known to be its.
    container.exec("nslookup allowed.test").must_succeed();
    let ends = [
        (IpAddr::V4(ALLOWED.v4), 22),
        (IpAddr::V6(ALLOWED.v6), 5432),
        (IpAddr::V4(DENIED.v4), 22),
        (IpAddr::V6(ATTACKER.v6), 8080),
    ];
    let targets = ends.map(|(address, port)| SocketAddr::new(address, port));
    let before = bed.internet_log();
    let knocked = knock(&container, PATIENCE_SECONDS, &targets);
    for target in targets {
        let knock = &knocked[&target];
        assert_eq!(knock.outcome, "ECONNREFUSED", "{target}");
        assert!(knock.milliseconds < 100, "{target}: {knock:?}");
        let record = the_one(&container, target);
        assert_eq!(record["verdict"], "deny", "{record}");
    }
    let log = bed.internet_log();
    let since = log.strip_prefix(&before).unwrap();
    let reached = targets.map(|target| format!("-> {target} "));
    // Other tests visit the web there, and nothing else of these.
    assert!(!reached.iter().any(|end| since.contains(end)), "{since}");
}

/// A client that has looked up an allowed name connects to its address, and then names it, or
/// another.
fn named(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let asked = ALLOWED.v4;
    container.exec("nslookup allowed.test").must_succeed();
    for (port, options, says, serves) in [
        (80, "http://allowed.test/", "I am allowed.test", true),
        (443, "https://allowed.test/", "I am allowed.test", true),
        (
            80,
            "--resolve denied.test:80:@ http://denied.test/",
            "denied: ",
            false,
        ),
        (
            80,
            "--resolve a.wild.test:80:@ http://a.wild.test/",
            "I am *.wild.test",
            false,
        ),
        (
            443,
            "--resolve b.wild.test:443:@ https://b.wild.test/",
            "I am *.wild.test",
            false,
        ),
    ] {
        let uplink = Capture::start(bed, &container.uplink(), "in");
        let options = options.replace('@', &asked.to_string());
        let said = container.exec(&format!("curl -4 -sS -m 5 {options}"));
        assert!(said.stdout.contains(says), "{options}: {said:?}");
        let packets = uplink.stop();
        let end = format!("{asked}.{port}");
        let begun = begun(&packets).remove(&end).unwrap_or(0);
        assert!(begun <= 1, "{options}: {packets:#?}");
        let hears = packets
            .iter()
            .any(|packet| packet.contains(&format!("> {end}: Flags [P")));
        assert_eq!(hears, serves, "{options}: {packets:#?}");
        assert_eq!(leaks(&packets), Vec::<&str>::new());
    }
}

/// Exactly one each, and nothing stays open.
fn recorded(bed: &Bed, runtime: &str, ports: &[u16], known: Known) {
    let world = FarWorld::up(bed);
    let container = world.visitor(runtime);
    if known == Known::Name {
        look_up(&container);
    }
    let targets = targets(known, ports);
    let knocked = knock(&container, PATIENCE_SECONDS, &targets);
    let mut wrong = Vec::new();
    for target in targets {
        let record = the_one(&container, target);
        let (end, expected) = (End::of(&record), End::after(&knocked[&target]));
        // Who connects by a name and says nothing was not told from others: any end will do.
        let is_told = known == Known::Address || expected != End::Connected;
        if is_told && end != expected {
            let knock = &knocked[&target];
            wrong.push(format!("{target}: {end:?} after {knock:?}: {record}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    wait_for("nothing to be open", || {
        status::of(bed, &container)["open"] == 0
    });
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Connected,
    Refused,
    Unreachable,
    /// Nobody answered, or the client gave up first.
    NoAnswer,
    Denied,
}

impl End {
    /// As the client saw it.
    fn after(knock: &Knock) -> Self {
        match knock.outcome.as_str() {
            "connected" => Self::Connected,
            "ECONNREFUSED" => Self::Refused,
            "timeout" | "ETIMEDOUT" => Self::NoAnswer,
            "EHOSTUNREACH" | "ENETUNREACH" | "EACCES" => Self::Unreachable,
            other => panic!("{other} is none of connect's outcomes"),
        }
    }

    /// As the record says it.
    pub(crate) fn of(record: &Value) -> Self {
        if record["verdict"] != "allow" {
            return Self::Denied;
        }
        let reason = record["reason"].as_str().unwrap_or_default().to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if says(&["refused"]) {
            Self::Refused
        } else if says(&["timed out", "no answer", "gave up", "did not answer"]) {
            Self::NoAnswer
        } else if record["ended"] == "unreachable"
            || says(&["unreachable", "no route", "permission"])
        {
            Self::Unreachable
        } else {
            Self::Connected
        }
    }
}

/// What filters take to give up a server that doesn't answer, and more.
pub(crate) const GIVEN_UP: Duration = Duration::from_secs(30);

/// The only record of attempts at an address and port, once it is there.
#[track_caller]
pub(crate) fn the_one(container: &Container<'_>, target: SocketAddr) -> Value {
    let (address, port) = (target.ip().to_string(), target.port());
    let mut found = Vec::new();
    wait_for_within(GIVEN_UP, &format!("the record of {target}"), || {
        let fits = |record: &Value| record["address"] == *address && record["port"] == port;
        found = container.records().into_iter().filter(fits).collect();
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}
