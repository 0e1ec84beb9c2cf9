//! Names that a container gets by other ways than DNS: short ones by its search list, and those of
//! `--add-host`. They come from what Docker keeps, whatever the container writes into its files.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use boundary_shim::sys::netns::Namespace;
use test_support::bed::{Bed, unique};
use test_support::command::Answer;
use test_support::docker::Container;
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    ("a_short_name_leads_where_it_does_with_runc", short),
    (
        "a_short_name_is_completed_by_the_daemons_search_domains_or_the_hosts",
        not_said,
    ),
    (
        "nobody_elses_name_is_asked_for_at_an_allowed_names_address",
        fronting,
    ),
    (
        "a_name_by_add_host_leads_to_its_address_under_a_rule_that_names_that",
        added,
    ),
    ("what_is_suggested_for_a_name_by_add_host_works", suggested),
    ("the_host_is_reached_by_its_name_for_containers", the_host),
    (
        "a_container_that_rewrites_its_files_and_restarts_reaches_nothing_new",
        rewritten,
    ),
];

const RUNTIME: &str = "boundary-names";
const SEARCH: [&str; 2] = ["--dns-search", "wild.test"];
const ADDED: [&str; 2] = ["--add-host", "given.example:198.51.100.30"];

fn short(bed: &Bed) {
    let network = unique("net");
    bed.docker(&["network", "create", &network]).must_succeed();
    let script = "curl -4 -sS -m 5 http://a/; curl -4 -ksS -m 5 https://a/;
                  echo hello | timeout 3 nc a 5432";
    for network in ["bridge", &network] {
        let flags = [&SEARCH[..], &["--network", network]].concat();
        let said = |runtime| {
            let answer = bed.run_with(runtime, &flags, script);
            answer.must_succeed().stdout.clone()
        };
        let with_runc = said("runc");
        assert_eq!(
            with_runc.matches("I am *.wild.test").count(),
            2,
            "{with_runc}"
        );
        assert_eq!(said(RUNTIME), with_runc, "{network}");
    }
    bed.docker(&["network", "rm", &network]).must_succeed();
}

/// The container was told none.
fn not_said(_: &Bed) {
    let bed = Bed::with_docker_and("tests/docker/etc-fresh");
    let daemon = |dns_search: &str| {
        format!(
            r#"{{ "dns": ["198.51.100.53"], {dns_search} "runtimes": {{ "boundary": {{ "path": "/usr/local/bin/boundary-shim" }} }} }}"#
        )
    };
    bed.docker(&["network", "create", "mynet"]).must_succeed();
    for (dns_search, resolv_conf) in [
        (
            r#""dns-search": ["test"],"#,
            "search other\nnameserver 198.51.100.53\n",
        ),
        ("", "nameserver 198.51.100.53\nsearch test\n"),
    ] {
        fs::write(bed.inside("/etc/docker/daemon.json"), daemon(dns_search)).unwrap();
        fs::write(bed.inside("/etc/resolv.conf"), resolv_conf).unwrap();
        bed.restart_docker();
        for network in ["bridge", "mynet"] {
            let answer = bed.run(&["--network", network], "curl -sS -m 5 http://allowed/");
            assert!(
                answer.stdout.contains("I am allowed.test"),
                "{dns_search} {network}: {answer:?}"
            );
        }
    }
}

/// DNS knows every name below the search domain, `denied.test.wild.test` among them.
fn fronting(bed: &Bed) {
    let container = bed.start_with(RUNTIME, &SEARCH, &["sleep", "600"]);
    let curl = |words: &str| container.exec(&format!("curl -4 -sS -m 5 {words}"));
    let known = curl("http://denied.test.wild.test/").stdout;
    assert!(known.contains("I am *.wild.test"), "{known}");
    let said = curl("-H 'Host: denied.test' http://denied.test.wild.test/").stdout;
    assert!(said.contains("denied: GET denied.test/"), "{said}");
    let at = "--resolve denied.test:443:198.51.100.30 https://denied.test/";
    assert_eq!(curl(at).must_fail().stdout, "");
}

fn added(bed: &Bed) {
    let script = "curl -sS -m 5 http://given.example/; curl -sS -m 5 https://given.example/;
                  echo hello | timeout 3 nc given.example 5432";
    let answer = bed.run_with(RUNTIME, &ADDED, script);
    let said = &answer.must_succeed().stdout;
    assert_eq!(said.matches("I am *.wild.test").count(), 2, "{said}");
    assert!(said.ends_with("hello\n"), "{said}");
    // The rule is for that address, whatever somebody adds.
    let elsewhere = ["--add-host", "given.example:203.0.113.66"];
    let answer = bed.run_with(RUNTIME, &elsewhere, "curl -sS -m 5 http://given.example/");
    assert!(!answer.stdout.contains("I am"), "{answer:?}");
    // A rule for the name alone is one for what DNS says of it.
    let allowed = ["--add-host", "allowed.test:203.0.113.66"];
    let answer = bed.run_with(RUNTIME, &allowed, "curl -sS -m 5 http://allowed.test/");
    assert!(answer.stdout.contains("I am allowed.test"), "{answer:?}");
}

fn suggested(bed: &Bed) {
    let flags = ["--add-host", "unknown.example:198.51.100.20"];
    let ask =
        |flags: &[&str]| bed.run_with(RUNTIME, flags, "curl -sS -m 5 http://unknown.example/");
    let denied = ask(&flags).stdout;
    let rule = "domain=unknown.example cidr=198.51.100.20/32";
    assert!(denied.contains(rule), "{denied}");
    let policy = bed.inside("/etc/boundary/policies/names.yaml");
    let before = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, format!("{before}  - {rule}\n")).unwrap();
    let answer = ask(&flags);
    fs::write(&policy, before).unwrap();
    assert!(answer.stdout.contains("I am denied.test"), "{answer:?}");
}

fn the_host(bed: &Bed) {
    let host = Namespace::of_process(bed.first()).unwrap();
    let listener = host.inside(|| TcpListener::bind("[::]:8000")).unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let lines = BufReader::new(&client).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            client
                .write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 8\r\n\r\nthe host")
                .ok();
        }
    });
    let flags = ["--add-host", "host.docker.internal:host-gateway"];
    let script = "curl -sS -m 5 http://host.docker.internal:8000/";
    for runtime in ["runc", RUNTIME] {
        let answer = bed.run_with(runtime, &flags, script);
        assert_eq!(answer.must_succeed().stdout, "the host", "{runtime}");
    }
}

/// The same file that `--add-host` and `--dns-search` end in is the container's to write.
fn rewritten(bed: &Bed) {
    let container = bed.start_with(RUNTIME, &[SEARCH, ADDED].concat(), &["sleep", "600"]);
    let forge = "echo '203.0.113.66 given.example allowed.test a.wild.test' >/etc/hosts
                 printf 'search test\nnameserver 198.51.100.53\n' >/etc/resolv.conf";
    for verb in ["restart", "restart", "stop"] {
        container.exec(forge).must_succeed();
        assert_as_given(&container);
        container.docker(verb).must_succeed();
        if verb == "stop" {
            container.docker("start").must_succeed();
        }
        assert_as_given(&container);
    }
}

/// It reaches what it was given, by the names that it was given, and nothing else.
#[track_caller]
fn assert_as_given(container: &Container<'_>) {
    let curl = |words: &str| -> Answer { container.exec(&format!("curl -4 -sS -m 5 {words}")) };
    for name in ["given.example", "allowed.test", "b.wild.test"] {
        let at = format!("--resolve {name}:80:203.0.113.66 http://{name}/");
        let said = curl(&at).stdout;
        assert!(
            said.contains("I am") && !said.contains("attacker"),
            "{name}: {said}"
        );
    }
    let opaque = container.exec("echo hello | timeout 3 nc 203.0.113.66 5432");
    assert_eq!(opaque.stdout, "");
    // The names are resolved, whatever the hosts file says, so that their addresses are known.
    let (allowed, wild) = ("allowed.test", "c.wild.test");
    for name in [allowed, wild] {
        container.exec(&format!("attacker dns udp 198.51.100.53:53 {name}"));
    }
    let said = curl("-H 'Host: allowed' http://198.51.100.10/").stdout;
    assert!(said.contains("denied: GET allowed/"), "{said}");
    let said = curl("-H 'Host: c' http://198.51.100.30/").stdout;
    assert!(said.contains("I am *.wild.test"), "{said}");
}
