//! systemd-resolved: containers follow the host's resolver from server to server, while they run.

use crate::Test;
use crate::machine::Machine;

pub(crate) const TESTS: &[Test] = &[
    ("it_answers_on_the_bridge", answers),
    (
        "a_change_of_servers_counts_for_containers_that_run",
        servers_change,
    ),
    ("a_vpns_own_names_are_asked_of_its_own_server", split),
    ("a_restart_of_resolved_is_survived", restarted),
];

const POLICY: &str =
    "allow:\n  - domain=allowed.test\n  - domain=*.wild.test\n  - domain=*.corp.test\n";

/// A second name server in the little internet, which knows names that the first doesn't, and says
/// what it is asked. The first has every address's port 53.
const SECOND: &str = "ip netns exec internet dnsmasq --port=5300 --bind-interfaces --no-resolv --no-hosts \
     --local=/wild.test/corp.test/ --log-queries --log-facility=/root/second.log --address=/wild.test/198.51.100.30 --address=/corp.test/198.51.100.30 \
     --listen-address=";

fn answers(machine: &Machine) {
    let container = machine.sleeper("boundary", "");
    assert!(
        container
            .exec("cat /etc/resolv.conf")
            .stdout
            .contains("nameserver 172.17.0.1")
    );
    assert!(
        machine
            .says("ss --listening --udp --numeric")
            .contains("172.17.0.1:53")
    );
    container
        .exec("curl -sS -m 20 http://allowed.test/")
        .must_succeed();
}

fn servers_change(machine: &Machine) {
    machine.write("/etc/boundary/policies/default.yaml", POLICY);
    machine
        .run(&format!("rm -f second.log; {SECOND}198.51.100.54"))
        .must_succeed();
    {
        let containers = ["runc", "boundary"].map(|runtime| machine.sleeper(runtime, ""));
        let all_ask = |label: &str| {
            for (container, name) in containers.iter().zip(["one", "two"]) {
                container
                    .exec(&format!("nslookup {label}-{name}.wild.test"))
                    .must_succeed();
            }
        };
        all_ask("before");
        machine.use_server("198.51.100.54:5300");
        all_ask("after");
    }
    let (first, second) = (
        machine.says("cat bed/internet.log"),
        machine.says("cat second.log"),
    );
    for name in ["one.wild.test", "two.wild.test"] {
        let asked =
            |log: &str| ["before", "after"].map(|label| log.contains(&format!("{label}-{name}")));
        assert_eq!(
            (asked(&first), asked(&second)),
            ([true, false], [false, true]),
            "{name}"
        );
    }
    machine.restore();
}

/// A link with a server of its own, for the names below one domain.
fn split(machine: &Machine) {
    machine.write("/etc/boundary/policies/default.yaml", POLICY);
    let set_up = "ip link add vpn0 type veth peer name vpn1 netns internet && ip address add 10.8.0.1/24 dev vpn0 &&
         ip link set vpn0 up && ip -n internet address add 10.8.0.2/24 dev vpn1 && ip -n internet link set vpn1 up";
    machine.run(set_up).must_succeed();
    machine
        .run(&format!("rm -f second.log; {SECOND}10.8.0.2"))
        .must_succeed();
    machine
        .run("resolvectl dns vpn0 10.8.0.2:5300 && resolvectl domain vpn0 '~corp.test'")
        .must_succeed();
    for runtime in ["runc", "boundary"] {
        let script = "nslookup web.corp.test && curl -sS -m 20 http://allowed.test/";
        let answer = machine.container(runtime, "", script);
        assert!(
            answer.must_succeed().stdout.contains("I am allowed.test"),
            "{runtime}: {answer:?}"
        );
    }
    let (first, second) = (
        machine.says("cat bed/internet.log"),
        machine.says("cat second.log"),
    );
    assert!(
        second.contains("web.corp.test") && !first.contains("corp.test"),
        "{second}"
    );
    machine.restore();
}

fn restarted(machine: &Machine) {
    let container = machine.sleeper("boundary", "");
    machine
        .run("systemctl restart systemd-resolved")
        .must_succeed();
    container
        .exec("curl -sS -m 20 http://allowed.test/")
        .must_succeed();
    container
        .exec("curl -sS -m 20 http://denied.test/")
        .must_fail();
}
