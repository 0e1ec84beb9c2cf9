//! A pod on its node: one gateway for all of its containers, whenever they come, and everything
//! that the kubelet does with it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use boundary_shim::sys::netns::Namespace;
use test_support::bed::{Bed, Capture};
use test_support::command::{must_be_shut_out, wait_for};
use test_support::harness::Test;
use test_support::wire::{leaks, must_show_allowed_traffic};

use crate::pod::{Asked, Container, Pod, Pods as _, Wanted};

pub(crate) const TESTS: &[Test] = &[
    ("two_containers_are_filtered_by_one_gateway", two_containers),
    (
        "an_init_container_is_filtered_and_so_is_what_follows",
        init_container,
    ),
    (
        "a_changed_policy_cuts_what_it_denies_in_every_container_and_no_more",
        changed,
    ),
    ("a_restarted_container_is_filtered", restarted),
    ("a_container_that_comes_later_is_filtered", later),
    ("exec_gives_no_more_than_the_container_has", exec),
    ("a_probe_from_the_node_reaches_the_pod", probe),
    ("a_port_forward_reaches_the_pod", port_forward),
    ("a_pod_with_the_hosts_network_is_filtered", host_network),
    (
        "nesting_is_for_pods_of_the_namespaces_that_the_host_lists",
        nesting,
    ),
    ("the_pods_annotation_picks_the_policy", annotation),
    ("many_pods_at_once_all_start_and_are_filtered", at_once),
    (
        "a_short_name_leads_where_the_pods_search_list_says_whatever_a_container_writes_there",
        short_names,
    ),
];

/// What needs containerd 2.
pub(crate) const WITH_OWN_USERS: &[Test] = &[(
    "a_pod_with_a_user_namespace_may_hold_and_nest_what_is_bounded_by_it",
    own_users,
)];

const DENIED: &str = "curl -sS -m 5 --resolve denied.test:80:198.51.100.20 http://denied.test/";

/// Allowed passes, denied doesn't.
#[track_caller]
pub(crate) fn is_filtered(container: &Container<'_>) {
    let allowed = container.exec("curl -sS -m 5 https://allowed.test/");
    assert!(allowed.must_succeed().stdout.contains("I am allowed.test"));
    let denied = container.exec(DENIED);
    assert!(
        denied.must_succeed().stdout.contains("domain=denied.test"),
        "{denied:?}"
    );
    for probe in ["tcp 203.0.113.66:22", "udp 203.0.113.66:9999"] {
        must_be_shut_out(probe, &container.exec(&format!("attacker probe {probe}")));
    }
}

/// A node that comes back after a boot, or a Deployment that is scaled up.
fn at_once(bed: &Bed) {
    let pod = || -> Result<(), String> {
        let pod = bed.pod_with(Wanted::default())?;
        let container = pod.start(Asked::default())?;
        let answer = container.exec(&format!("curl -sS -m 20 http://allowed.test/; {DENIED}"));
        let said = &answer.stdout;
        if said.contains("I am allowed.test") && said.contains("domain=denied.test") {
            pod.remove()
        } else {
            Err(format!("{answer:?}"))
        }
    };
    let failed: Vec<_> = std::thread::scope(|scope| {
        let pods: Vec<_> = (0..25).map(|_| scope.spawn(pod)).collect();
        pods.into_iter()
            .filter_map(|pod| pod.join().expect("no panic").err())
            .collect()
    });
    assert_eq!(failed, Vec::<String>::new());
}

fn two_containers(bed: &Bed) {
    let pod = bed.pod();
    let (one, other) = (pod.sleeper(), pod.sleeper());
    let mac = one.exec("cat /sys/class/net/eth0/address").stdout;
    let capture = Capture::start(bed, &bed.port_of("pods0", &pod.address(), mac.trim()), "in");
    is_filtered(&one);
    is_filtered(&other);
    one.exec("curl -4 -sS -m 5 http://allowed.test/")
        .must_succeed();
    let packets = capture.stop();
    assert_eq!(leaks(&packets), Vec::<&str>::new());
    must_show_allowed_traffic(&packets);
    // One record names them all, and there is one proxy.
    let denials = pod
        .records()
        .iter()
        .filter(|record| record["name"] == "denied.test")
        .count();
    assert_eq!(denials, 2);
    let addresses = "ip -o address show dev eth0";
    assert_eq!(one.exec(addresses).stdout, other.exec(addresses).stdout);
}

fn init_container(bed: &Bed) {
    let pod = bed.pod();
    let script = format!(
        "curl -sS -m 5 http://allowed.test/ | grep -q allowed && {DENIED} | grep -q domain=denied.test"
    );
    let init = pod
        .start(Asked {
            script: Some(&script),
            ..Asked::default()
        })
        .unwrap();
    wait_for("the init container's end", || init.exit_code().is_some());
    assert_eq!(init.exit_code(), Some(0));
    is_filtered(&pod.sleeper());
}

fn changed(bed: &Bed) {
    let pod = bed.pod();
    let both = [pod.sleeper(), pod.sleeper()];
    for container in &both {
        for host in ["allowed.test", "a.wild.test"] {
            let download =
                format!("curl -4 -sN -o /tmp/{host} http://{host}/slow; echo $? >/tmp/{host}.code");
            let script = format!("({download}) </dev/null >/dev/null 2>&1 &");
            container.exec(&script).must_succeed();
            wait_for("the download to be under way", || {
                container.exec(&format!("test -s /tmp/{host}")).code == 0
            });
        }
    }
    let script = format!(
        "printf 'allow:\\n- domain=allowed.test\\n' >/tmp/{0}.yaml; boundary-shim policy apply /tmp/{0}.yaml {0}",
        both[1].id
    );
    let said = bed.exec(&["bash", "-ec", &script]);
    assert!(
        said.must_succeed().stdout.contains("2 open flows cut"),
        "{said:?}"
    );
    for container in &both {
        wait_for("the denied one to be cut", || {
            container.exec("test -s /tmp/a.wild.test.code").code == 0
        });
        let size = || container.exec("stat -c %s /tmp/allowed.test").stdout;
        let before = size();
        wait_for("the other to go on", || size() != before);
        container
            .exec("test ! -e /tmp/allowed.test.code")
            .must_succeed();
        let anew = container.exec("curl -4 -sf -m 5 -o /dev/null http://a.wild.test/");
        assert_ne!(anew.code, 0);
    }
    let records = pod.records();
    let cut = records.iter().filter(|one| one["ended"] == "cut");
    let cut: Vec<_> = cut.map(|one| &one["name"]).collect();
    assert_eq!(cut, ["a.wild.test"; 2], "{records:#?}");
}

fn restarted(bed: &Bed) {
    let pod = bed.pod();
    let (first, other) = (pod.sleeper(), pod.sleeper());
    is_filtered(&first);
    first.remove();
    is_filtered(&other);
    is_filtered(&pod.sleeper());
    other.remove();
    is_filtered(&pod.sleeper());
}

/// As `kubectl debug` does.
fn later(bed: &Bed) {
    let pod = bed.pod();
    is_filtered(&pod.sleeper());
    let user = Asked {
        user: Some(1000),
        ..Asked::default()
    };
    is_filtered(&pod.start(user).unwrap());
}

fn exec(bed: &Bed) {
    let pod = bed.pod();
    let container = pod.sleeper();
    let capabilities = container.exec("grep ^Cap /proc/self/status").stdout;
    assert_eq!(
        capabilities,
        container.exec("grep ^Cap /proc/1/status").stdout
    );
    let effective = capabilities
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"))
        .unwrap();
    let held = u64::from_str_radix(effective, 16).unwrap();
    // CAP_NET_ADMIN, CAP_SYS_ADMIN.
    assert_eq!(held & (1 << 12 | 1 << 21), 0, "{effective}");
    assert_eq!(container.exec("exit 3").code, 3);
}

fn serving(pod: &Pod<'_>) {
    let script = "while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nserved' | nc -l -p 8080; done";
    pod.start(Asked {
        script: Some(script),
        ..Asked::default()
    })
    .unwrap();
}

fn probe(bed: &Bed) {
    let pod = bed.pod();
    serving(&pod);
    let url = format!("http://{}:8080/", pod.address());
    wait_for("the server", || {
        bed.on_the_wire(&["curl", "-sS", "-m", "2", &url]).stdout == "served"
    });
}

/// The kubelet's own way: a stream to containerd, which connects inside of the pod. Spoken as
/// WebSocket, whose first byte in each message is the stream's number; each stream begins with the
/// port.
fn port_forward(bed: &Bed) {
    let pod = bed.pod();
    serving(&pod);
    wait_for("an answer through the port-forward", || {
        forwarded(bed, &pod).contains("served")
    });
}

fn forwarded(bed: &Bed, pod: &Pod<'_>) -> String {
    let url = pod.port_forward(8080);
    let (server, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let node = Namespace::of_process(bed.first()).unwrap();
    let mut stream = node.inside(|| TcpStream::connect(server)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let upgrade = format!(
        "GET /{path}?port=8080 HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: v4.channel.k8s.io\r\nOrigin: http://{server}\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).unwrap();
    let request = b"\0GET / HTTP/1.0\r\n\r\n";
    let length = u8::try_from(request.len()).unwrap();
    // A whole binary message, masked with zeros.
    stream
        .write_all(&[&[0x82, 0x80 | length, 0, 0, 0, 0], &request[..]].concat())
        .unwrap();
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        said.extend(&buffer[..read]);
        if String::from_utf8_lossy(&said).contains("served") {
            break;
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn host_network(bed: &Bed) {
    let pod = bed
        .pod_with(Wanted {
            host_network: true,
            ..Wanted::default()
        })
        .unwrap();
    let (one, other) = (pod.sleeper(), pod.sleeper());
    for container in [&one, &other] {
        is_filtered(container);
        assert!(!container.exec("ls /sys/class/net").stdout.contains("pods0"));
    }
}

/// The namespace is `pod-nesting`'s in `etc/boundary/config.toml`. What can't be had in a pod is
/// said in its record.
fn nesting(bed: &Bed) {
    let notices = |pod: &Pod<'_>| {
        let records = pod.records();
        records
            .iter()
            .filter(|record| {
                record
                    .to_string()
                    .contains("a nested jail doesn't get CAP_NET_ADMIN")
            })
            .count()
    };
    let open = bed
        .pod_with(Wanted {
            namespace: "nests",
            ..Wanted::default()
        })
        .unwrap();
    is_filtered(&open.sleeper());
    assert_eq!((notices(&open), notices(&bed.pod())), (1, 0));
    let host_network = bed
        .pod_with(Wanted {
            namespace: "nests",
            host_network: true,
            ..Wanted::default()
        })
        .unwrap();
    is_filtered(&host_network.sleeper());
    assert_eq!(notices(&host_network), 1);
}

fn annotation(bed: &Bed) {
    let postgres = "attacker probe tcp 198.51.100.30:5432";
    let pod = bed
        .pod_with(Wanted {
            annotations: &[("boundary.policy", "ports")],
            ..Wanted::default()
        })
        .unwrap();
    let said = pod.sleeper().exec(postgres).stdout;
    assert!(
        said.starts_with("connected") || said.starts_with("answered"),
        "{said}"
    );
    let said = bed.pod().sleeper().exec(postgres).stdout;
    assert!(
        !said.starts_with("connected") && !said.starts_with("answered"),
        "{said}"
    );
}

/// `hostUsers: false`: the pod's network belongs to its user namespace, so CAP_NET_ADMIN reaches no
/// further.
fn own_users(bed: &Bed) {
    let holds = |container: &Container<'_>| {
        let status = container.exec("grep CapEff /proc/self/status").stdout;
        u64::from_str_radix(status.trim().trim_start_matches("CapEff:\t"), 16).unwrap() & 1 << 12
            != 0
    };
    let pod = bed
        .pod_with(Wanted {
            own_users: true,
            ..Wanted::default()
        })
        .unwrap();
    let (asks, plain) = (
        pod.start(Asked {
            capabilities: &["NET_ADMIN"],
            ..Asked::default()
        })
        .unwrap(),
        pod.sleeper(),
    );
    assert_eq!((holds(&asks), holds(&plain)), (true, false));
    // Routes and addresses are its own to change: it still gets nowhere else.
    asks.exec("ip address add 172.29.99.99/16 dev eth0")
        .must_succeed();
    is_filtered(&asks);
    is_filtered(&plain);
    let reached = asks
        .exec("attacker rtnetlink eth0")
        .must_succeed()
        .stdout
        .clone();
    // Its own namespaces it may number.
    let permitted = |line: &&str| line.ends_with(": permitted") && !line.starts_with("number ");
    assert_eq!(reached.lines().find(permitted), None);
    assert!(
        reached.contains("list links in 0: Permission denied"),
        "{reached}"
    );

    let nests = bed
        .pod_with(Wanted {
            own_users: true,
            namespace: "nests",
            ..Wanted::default()
        })
        .unwrap();
    let container = nests.sleeper();
    assert!(holds(&container));
    is_filtered(&container);
    let footprint = nests.footprint(&container);
    nests.remove().unwrap();
    footprint.vanishes(bed);
}

fn short_names(bed: &Bed) {
    let pod = bed
        .pod_with(Wanted {
            search: &["shop.svc.cluster.local", "wild.test"],
            ..Wanted::default()
        })
        .unwrap();
    let both = "curl -4 -sS -m 5 http://a/; curl -4 -ksS -m 5 https://a/";
    // resolv.conf is one file for all of them.
    let forge = "printf 'search test\nnameserver 198.51.100.53\n' >/etc/resolv.conf";
    let first = pod.sleeper();
    let said = first.exec(both).must_succeed().stdout.clone();
    assert_eq!(said.matches("I am *.wild.test").count(), 2, "{said}");
    first.exec(forge).must_succeed();
    for container in [first, pod.sleeper()] {
        let said = container.exec("cat /etc/resolv.conf; curl -4 -sS -m 5 http://allowed/");
        assert!(
            said.stdout.starts_with("search test\n")
                && said.stdout.contains("denied: GET allowed/"),
            "{said:?}"
        );
    }
}
