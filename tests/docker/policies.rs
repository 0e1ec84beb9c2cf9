//! The policy is changed while containers run: what it denies then is cut, all else goes on, and at
//! no moment does anything pass that neither policy allows.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use test_support::bed::{Bed, Capture, lines, records, unique};
use test_support::command::{Answer, wait_for};
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::hosts::DENIED;

use crate::status;

pub(crate) const TESTS: &[Test] = &[
    (
        "what_a_new_policy_denies_is_cut_and_all_else_arrives_whole",
        cut,
    ),
    ("a_flow_of_datagrams_that_is_denied_is_cut", datagrams),
    (
        "a_mistake_keeps_the_policy_and_is_told_by_command_record_and_status",
        mistake,
    ),
    (
        "rules_for_requests_in_tls_wait_for_a_container_that_trusts",
        without_trust,
    ),
    ("nobody_but_root_shows_or_changes_a_policy", root_alone),
];

/// With many connections a second, and many changes.
pub(crate) const CROWDED: &[Test] = &[
    ("nothing_passes_that_neither_policy_allows", neither),
    ("a_hundred_changes_leave_the_memory_as_it_was", memory),
];

/// Rules that the policy `live` has besides.
const ALLOWED: &str = "domain=allowed.test";
const WILD: &str = "domain=*.wild.test";

fn start(bed: &Bed) -> Container<'_> {
    bed.start_with("boundary-live", &[], &["sleep", "600"])
}

fn policy(bed: &Bed, words: &[&str]) -> Answer {
    bed.exec(&[&["boundary-shim", "policy"], words].concat())
}

/// A policy file of these rules.
fn file(bed: &Bed, rules: &[&str]) -> String {
    let path = format!("/etc/boundary/{}.yaml", unique("live"));
    let rules: Vec<_> = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    let text = format!("allow:\n{}", rules.concat());
    bed.exec(&[
        "bash",
        "-c",
        "printf %s \"$1\" > \"$2\"",
        "bash",
        &text,
        &path,
    ])
    .must_succeed();
    path
}

fn apply(bed: &Bed, file: &str, container: &Container<'_>) -> Answer {
    policy(bed, &["apply", file, &container.name])
}

/// Has a download begin; its file is called so.
fn download(container: &Container<'_>, bed: &Bed, name: &str, url: &str) {
    let script =
        format!("curl -4 -sk --limit-rate 4M -o /tmp/{name} {url}; echo $? > /tmp/{name}.code");
    bed.docker(&["exec", "--detach", &container.name, "sh", "-c", &script])
        .must_succeed();
    wait_for("the download to be under way", || {
        container.exec(&format!("test -s /tmp/{name}")).code == 0
    });
}

fn code(container: &Container<'_>, name: &str) -> String {
    let answer = container.exec(&format!("cat /tmp/{name}.code 2>/dev/null"));
    answer.stdout.trim().to_owned()
}

fn notices(bed: &Bed, container: &Container<'_>) -> Vec<Value> {
    let lines = lines(bed, &container.id());
    lines
        .into_iter()
        .filter(|line| line["event"] == "notice")
        .collect()
}

fn time(text: &Value) -> SystemTime {
    humantime::parse_rfc3339(text.as_str().unwrap()).unwrap()
}

fn cut(bed: &Bed) {
    // More than the buffers on the way hold.
    const SIZE: usize = 40_000_000;
    let container = start(bed);
    for (scheme, port) in [("http", 80), ("https", 443)] {
        let [kept, gone] = ["allowed.test", "a.wild.test"].map(|host| {
            (
                format!("{scheme}-{host}"),
                format!("{scheme}://{host}/bytes/{SIZE}"),
            )
        });
        download(&container, bed, &kept.0, &kept.1);
        download(&container, bed, &gone.0, &gone.1);
        let said = apply(bed, &file(bed, &[ALLOWED]), &container);
        assert!(
            said.must_succeed().stdout.contains("1 open flow cut"),
            "{said:?}"
        );
        wait_for("the denied one to be cut", || {
            !code(&container, &gone.0).is_empty()
        });
        assert_ne!(code(&container, &gone.0), "0", "{scheme}");
        wait_for("the other to arrive", || {
            !code(&container, &kept.0).is_empty()
        });
        assert_eq!(code(&container, &kept.0), "0", "{scheme}");
        let size = container.exec(&format!("stat -c %s /tmp/{}", kept.0));
        assert_eq!(size.stdout.trim(), SIZE.to_string(), "{scheme}");
        let records = records(bed, &container.id());
        let cut: Vec<_> = records
            .iter()
            .filter(|one| one["ended"] == "cut" && one["port"] == port)
            .collect();
        assert_eq!(cut.len(), 1, "{records:#?}");
        assert_eq!(cut[0]["name"], "a.wild.test");
        let changed = notices(bed, &container);
        let [ended, changed] = [cut[0], changed.last().unwrap()].map(|line| time(&line["time"]));
        assert!(ended < changed + Duration::from_secs(1), "{records:#?}");
        let why = cut[0]["reason"].as_str().unwrap();
        assert!(
            why.contains("the policy was changed while it was open"),
            "{why}"
        );
        // In its stead, a new one is denied; and allowed again under the container's own file.
        assert_ne!(
            container
                .exec(&format!("curl -4 -skf -m 5 {}", gone.1))
                .code,
            0
        );
        policy(bed, &["reset", &container.name]).must_succeed();
        container
            .exec(&format!(
                "curl -4 -skf -m 9 -o /dev/null {scheme}://a.wild.test/"
            ))
            .must_succeed();
    }
    let shown = status::of(bed, &container);
    assert_eq!(shown["policy_generation"], 5, "{shown}");
    assert_eq!(
        (&shown["policy"], &shown["policy_file"]),
        (&"live".into(), &"same".into())
    );
    let changes = notices(bed, &container);
    assert_eq!(changes.len(), 4, "{changes:#?}");
    assert_eq!(changes[3]["gateway"]["policy_hash"], shown["policy_hash"]);
    assert_eq!(changes[3]["gateway"]["generation"], 5);
    let said = changes[0]["notice"].as_str().unwrap();
    assert!(said.contains("user 0 changed it; 1 open flow"), "{said}");
}

fn datagrams(bed: &Bed) {
    let container = start(bed);
    let probe = format!("udp {}:9999", DENIED.v4);
    let rule = format!("cidr={}/32 proto=udp port=9999", DENIED.v4);
    apply(bed, &file(bed, &[ALLOWED, &rule]), &container).must_succeed();
    let answer = container.exec(&format!("attacker probe {probe}"));
    assert!(
        answer.stdout.starts_with("answered"),
        "what is captured has grown: {answer:?}"
    );
    assert_eq!(
        status::of(bed, &container)["open"],
        1,
        "it is open for a minute"
    );
    let said = apply(bed, &file(bed, &[ALLOWED]), &container);
    assert!(
        said.must_succeed().stdout.contains("1 open flow cut"),
        "{said:?}"
    );
    assert_eq!(status::of(bed, &container)["open"], 0);
    container.is_shut_out(&probe);
}

fn mistake(bed: &Bed) {
    let container = bed.start_with("boundary-live-broken", &[], &["sleep", "600"]);
    let before = status::of(bed, &container);
    let own = "/etc/boundary/policies/live-broken.yaml";
    let reaches = || container.exec("curl -4 -sf -m 5 http://allowed.test/").code == 0;
    let broken = file(bed, &["domian=allowed.test"]);
    let said = apply(bed, &broken, &container);
    assert!(said.must_fail().stderr.contains("domian"), "{said:?}");
    assert_eq!(said.code, 1);
    bed.exec(&[
        "bash",
        "-c",
        &format!("cp {own} /tmp/live-broken && cat {broken} > {own}"),
    ])
    .must_succeed();
    let said = policy(bed, &["reload", &container.name]);
    let shown = status::of(bed, &container);
    bed.exec(&["bash", "-c", &format!("cat /tmp/live-broken > {own}")])
        .must_succeed();
    assert!(said.must_fail().stderr.contains("domian"), "{said:?}");
    assert_eq!(shown["policy_file"], "broken");
    assert_eq!(shown["policy_hash"], before["policy_hash"]);
    assert!(reaches());
    let said = notices(bed, &container);
    assert_eq!(said.len(), 1, "{said:#?}");
    let said = said[0]["notice"].as_str().unwrap();
    assert!(
        said.contains("not changed") && said.contains("domian"),
        "{said}"
    );
    // What has not changed is not put into force again.
    let said = policy(bed, &["reload", &container.name]);
    assert!(said.must_succeed().stdout.contains("unchanged"), "{said:?}");
    assert_eq!(status::of(bed, &container)["policy_generation"], 1);
}

fn without_trust(bed: &Bed) {
    let container = start(bed);
    let requests = file(bed, &["domain=allowed.test method=GET path=/x"]);
    // Whoever asks again and again doesn't fill the record.
    apply(bed, &requests, &container).must_fail();
    let said = apply(bed, &requests, &container);
    assert!(
        said.must_fail().stderr.contains("from its next start"),
        "{said:?}"
    );
    container
        .exec("curl -4 -skf -m 5 -o /dev/null https://allowed.test/bytes/1")
        .must_succeed();
    let said = notices(bed, &container);
    assert_eq!(said.len(), 1, "{said:#?}");
    let said = said[0]["notice"].as_str().unwrap().to_owned();
    assert!(said.contains("as user 0 asked"), "{said}");
    let shown = policy(bed, &["show", &container.name]);
    let shown = &shown.must_succeed().stdout;
    assert!(
        shown.contains("# generation: 1\n") && shown.contains(ALLOWED),
        "{shown}"
    );
}

fn root_alone(bed: &Bed) {
    let container = start(bed);
    let state = bed.state_of(&container.id())["plan"]["state"]
        .as_str()
        .unwrap()
        .to_owned();
    let other = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let show = ["boundary-shim", "policy", "show", &container.name];
    assert!(
        bed.exec(&[&other[..], &show].concat())
            .must_fail()
            .stderr
            .contains("only root")
    );
    let connect = "socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or die $!";
    let socket = format!("{state}/control");
    let connect = ["perl", "-MSocket", "-e", connect, &socket];
    bed.exec(&connect).must_succeed();
    let refused = bed.exec(&[&other[..], &connect].concat());
    assert!(
        refused.must_fail().stderr.contains("Permission denied"),
        "{refused:?}"
    );
    container
        .exec(&format!("ls {socket} /run/boundary"))
        .must_fail();
}

fn neither(bed: &Bed) {
    let container = start(bed);
    let capture = Capture::start(bed, &container.uplink(), "in");
    // Three names at once, again and again, each on a connection of its own.
    let script = "end=$(($(date +%s) + 25)); while [ $(date +%s) -lt $end ]; do \
        curl -4 -sk -Z --parallel-immediate --parallel-max 60 -m 2 -H 'Connection: close' -o /dev/null -o /dev/null -o /dev/null \
        'http://allowed.test/?[1-60]' 'https://a.wild.test/?[1-60]' 'http://denied.test/?[1-60]'; done; true";
    bed.docker(&["exec", "--detach", &container.name, "sh", "-c", script])
        .must_succeed();
    let files = [file(bed, &[ALLOWED]), file(bed, &[WILD])];
    for round in 0..50 {
        apply(bed, &files[round % 2], &container).must_succeed();
    }
    container
        .exec("while pgrep curl > /dev/null; do sleep 0.2; done")
        .must_succeed();
    let packets = capture.stop();
    test_support::wire::must_show_allowed_traffic(&packets);
    // What the gateway's kernel tells the resolver of an answer whose question was given up, as any host's does.
    let is_of_late_answer =
        |packet: &&str| packet.contains("> 198.51.100.53: ICMP ") && packet.contains(" udp port ");
    let leaked = test_support::wire::leaks(&packets).into_iter();
    let leaked: Vec<_> = leaked.filter(|one| !is_of_late_answer(one)).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
    let records = records(bed, &container.id());
    let of = |name: &str| records.iter().filter(|one| one["name"] == name).count();
    assert!(
        of("allowed.test") > 100 && of("a.wild.test") > 100,
        "{}",
        records.len()
    );
    let denied = |one: &&Value| one["name"] == "denied.test" && one["verdict"] != "deny";
    assert_eq!(records.iter().filter(denied).count(), 0);
    assert_eq!(status::of(bed, &container)["policy_generation"], 51);
}

fn memory(bed: &Bed) {
    let container = start(bed);
    let files = [file(bed, &[ALLOWED]), file(bed, &[WILD])];
    let change = |times: usize| {
        for round in 0..times {
            apply(bed, &files[round % 2], &container).must_succeed();
        }
        status::of(bed, &container)["memory"].as_u64().unwrap()
    };
    let before = change(20);
    let after = change(100);
    assert!(
        after < before + (1 << 20),
        "{before} bytes before, {after} after"
    );
}
