//! What programs do that other filters broke, by public reports: the same in a container with plain
//! runc and with ours, on the same bed.
//!
//! The policy `cases` has a rule of each kind, with ports of its own: web by name on 80, 443 and
//! 8088, any TCP by name on 8087, 22, 993 and 5432, any TCP by address on 8089.

use test_support::bed::{Bed, unique};
use test_support::harness::Test;
use test_support::hosts::{NOWHERE, OLD_RESOLVER, WILD};

use crate::side_by_side::same;

pub(crate) const TESTS: &[Test] = &[
    (
        "encoded_slashes_and_odd_paths_pass_by_name",
        odd_paths_by_name,
    ),
    (
        "encoded_slashes_and_odd_paths_pass_by_address",
        odd_paths_by_address,
    ),
    (
        "any_protocol_may_be_upgraded_to_by_address",
        upgrades_by_address,
    ),
    ("a_websocket_may_be_upgraded_to_by_name", websocket_by_name),
    ("answers_with_150_headers_pass", many_headers_back),
    ("requests_with_150_headers_pass", many_headers_out),
    ("answers_with_folded_headers_pass", folded_back),
    (
        "answers_with_a_blank_before_the_colon_pass",
        blank_before_colon,
    ),
    ("answers_with_brackets_in_a_name_pass", brackets),
    ("requests_with_folded_headers_pass", folded_out),
    ("heads_arrive_as_they_were_sent_by_name", heads_by_name),
    (
        "heads_arrive_as_they_were_sent_by_address",
        heads_by_address,
    ),
    ("http_1_0_without_a_host_passes_by_address", no_host),
    ("a_host_with_another_port_passes_by_address", another_port),
    ("a_resolver_without_edns_is_understood", old_resolver),
    ("sixteen_aliases_are_followed", aliases),
    ("a_label_may_end_in_a_hyphen", hyphen),
    ("short_names_work_for_http", short_http),
    ("short_names_work_for_https", short_https),
    ("short_names_work_for_tcp", short_tcp),
    ("who_speaks_first_is_heard_at_once", greeting),
    (
        "a_connection_made_ahead_of_need_is_waited_for",
        late_first_byte,
    ),
    ("half_a_head_is_waited_for", late_second_half),
    ("a_few_letters_without_a_line_end_pass", few_letters),
    ("tls_without_sni_passes_by_the_name_resolved", no_sni),
    ("a_dead_ipv6_address_is_got_around", dead_ipv6),
];

const OURS: &str = "boundary-cases";

/// With and without the filter a script must print just this.
#[track_caller]
fn says(bed: &Bed, script: &str, text: &str) {
    assert_eq!(same(bed, OURS, &[], script), text);
}

/// A script that says something to the odd server, waits as long as its answer takes, and prints
/// that.
fn talk(host: &str, port: u16, text: &str) -> String {
    format!("{{ printf '{text}'; sleep 1; }} | timeout 6 nc {host} {port}")
}

/// npm's scoped packages, RabbitMQ's default host, GitLab's projects, Elasticsearch's dates, and
/// what is no encoding at all.
const PATHS: [&str; 6] = [
    "/@types%2fnode",
    "/api/queues/%2F/jobs",
    "/api/v4/projects/group%2Fproject",
    "/%3Clogs-%7Bnow%2Fd%7D%3E/_search",
    "/a//b/%7Euser",
    "/100%",
];

#[track_caller]
fn odd_paths(bed: &Bed, server: &str) {
    let script: Vec<String> = PATHS
        .iter()
        .map(|path| format!("curl -sS -m 5 --path-as-is 'http://{server}{path}'"))
        .collect();
    let text: String = PATHS
        .iter()
        .map(|path| format!("asked: GET {path} HTTP/1.1\n"))
        .collect();
    says(bed, &script.join("\n"), &text);
}

fn odd_paths_by_name(bed: &Bed) {
    odd_paths(bed, "a.wild.test:8088");
    odd_paths(bed, "a.wild.test:8087");
}

fn odd_paths_by_address(bed: &Bed) {
    odd_paths(bed, &format!("{}:8089", WILD.v4));
}

/// Asks for a protocol, and speaks it.
fn upgrade(host: &str, port: u16, protocol: &str) -> String {
    format!(
        "{{ printf 'GET /up HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nConnection: Upgrade\\r\\nUpgrade: {protocol}\\r\\n\\r\\n'
          sleep 1; printf 'spoken'; sleep 1; }} | timeout 6 nc {host} {port} | tr -d '\\r' | sed '1p; $!d'; echo"
    )
}

fn upgrades_by_address(bed: &Bed) {
    for protocol in ["tcp", "h2c", "SPDY/3.1", "websocket"] {
        says(
            bed,
            &upgrade(&WILD.v4.to_string(), 8089, protocol),
            "HTTP/1.1 101 UPGRADED\nspoken\n",
        );
    }
}

fn websocket_by_name(bed: &Bed) {
    let said = same(bed, OURS, &[], &upgrade("a.wild.test", 8088, "websocket"));
    assert!(said.ends_with("\nspoken\n"), "{said}");
}

fn many_headers_back(bed: &Bed) {
    says(
        bed,
        "curl -sS -m 5 -D - http://a.wild.test:8088/headers/150 | grep -c -i x-h",
        "150\n",
    );
}

fn many_headers_out(bed: &Bed) {
    says(
        bed,
        "curl -sS -m 5 $(seq 150 | sed 's/.*/-HX-A&:1/') http://a.wild.test:8088/head | grep -c -i x-a",
        "150\n",
    );
}

#[track_caller]
fn old_answer(bed: &Bed, path: &str) {
    says(
        bed,
        &format!("curl -sS -m 5 -w '%{{http_code}}\\n' http://a.wild.test:8088{path}"),
        &format!("asked: GET {path} HTTP/1.1\n200\n"),
    );
}

fn folded_back(bed: &Bed) {
    old_answer(bed, "/folded");
}

fn blank_before_colon(bed: &Bed) {
    old_answer(bed, "/spaced");
}

fn brackets(bed: &Bed) {
    old_answer(bed, "/bracketed");
}

fn folded_out(bed: &Bed) {
    let request = "GET /fold HTTP/1.1\\r\\nHost: a.wild.test:8088\\r\\nX-A: 1\\r\\n 2\\r\\nConnection: close\\r\\n\\r\\n";
    says(
        bed,
        &format!("{} | tail -n 1", talk("a.wild.test", 8088, request)),
        "asked: GET /fold HTTP/1.1\n",
    );
}

/// Order, case, blanks and doubles; what goes from hop to hop aside.
fn heads(bed: &Bed, host: &str, port: u16) {
    let request = format!(
        "GET /head HTTP/1.1\\r\\nx-ODD:  two blanks \\r\\nhOST: {host}:{port}\\r\\nCookie: a=1\\r\\nX-odd:again\\r\\nCookie: b=2\\r\\n\
         User-Agent:\\r\\n\\r\\n"
    );
    let said = same(
        bed,
        OURS,
        &[],
        &format!(
            "{} | tr -d '\\r' | sed '1,/^$/d'",
            talk(host, port, &request)
        ),
    );
    assert!(said.contains("\nx-ODD:  two blanks \n"), "{said}");
}

fn heads_by_name(bed: &Bed) {
    heads(bed, "a.wild.test", 8088);
}

fn heads_by_address(bed: &Bed) {
    heads(bed, &WILD.v4.to_string(), 8089);
}

/// HAProxy's `option httpchk`, as it comes.
fn no_host(bed: &Bed) {
    for line in ["OPTIONS / HTTP/1.0", "OPTIONS * HTTP/1.0"] {
        let script = talk(&WILD.v4.to_string(), 8089, &format!("{line}\\r\\n\\r\\n"));
        says(
            bed,
            &format!("{script} | tail -n 1"),
            &format!("asked: {line}\n"),
        );
    }
}

/// A forwarded port: the client's URL has another one, or a name that is none.
fn another_port(bed: &Bed) {
    for host in ["a.wild.test:9999", "-", "1234", "my svc"] {
        let request =
            format!("GET /x HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n");
        let script = talk(&WILD.v4.to_string(), 8089, &request);
        says(
            bed,
            &format!("{script} | tail -n 1"),
            "asked: GET /x HTTP/1.1\n",
        );
    }
}

fn old_resolver(bed: &Bed) {
    let said = same(
        bed,
        "boundary-old-resolver",
        &["--dns", &OLD_RESOLVER.to_string()],
        "curl -sS -m 10 http://a.wild.test/",
    );
    assert_eq!(said, format!("I am {} at {}\n", WILD.name, WILD.v4));
}

fn aliases(bed: &Bed) {
    for count in [8, 9, 12, 16] {
        says(
            bed,
            &format!("curl -4 -sS -m 5 http://chain{count}.wild.test/"),
            &format!("I am {} at {}\n", WILD.name, WILD.v4),
        );
    }
}

/// By HTTP and by any TCP; our TLS server refuses such a name itself.
fn hyphen(bed: &Bed) {
    says(
        bed,
        "curl -4 -sS -m 5 http://x-.wild.test/",
        &format!("I am {} at {}\n", WILD.name, WILD.v4),
    );
    says(bed, &talk("x-.wild.test", 5432, "hi"), "hi");
}

#[track_caller]
fn short(bed: &Bed, script: &str, text: &str) {
    assert_eq!(
        same(bed, OURS, &["--dns-search", "wild.test"], script),
        text
    );
}

fn short_http(bed: &Bed) {
    short(
        bed,
        "curl -4 -sS -m 5 http://a/",
        &format!("I am {} at {}\n", WILD.name, WILD.v4),
    );
}

fn short_https(bed: &Bed) {
    short(
        bed,
        "curl -4 -ksS -m 5 https://a/",
        &format!("I am {} at {}\n", WILD.name, WILD.v4),
    );
}

fn short_tcp(bed: &Bed) {
    short(bed, &talk("a", 5432, "hi"), "hi");
}

/// By the container's own clock.
fn greeting(bed: &Bed) {
    says(
        bed,
        "sleep 2 | timeout 1.5 nc a.wild.test 22",
        "SSH-2.0-little\r\n",
    );
}

/// Pools and browsers connect before they know what for.
fn late_first_byte(bed: &Bed) {
    for port in [80, 8087] {
        let request = "GET / HTTP/1.1\\r\\nHost: a.wild.test\\r\\nConnection: close\\r\\n\\r\\n";
        let script = format!(
            "{{ sleep 7; printf '{request}'; sleep 1; }} | timeout 12 nc a.wild.test {port} | head -n 1"
        );
        says(bed, &script, "HTTP/1.1 200 OK\r\n");
    }
}

fn late_second_half(bed: &Bed) {
    let script = "{ printf 'GET / HT'; sleep 6; printf 'TP/1.1\\r\\nHost: a.wild.test\\r\\n\\r\\n'; sleep 1; }
        | timeout 12 nc a.wild.test 80 | head -n 1";
    says(
        bed,
        &script.replace("\n        ", " "),
        "HTTP/1.1 200 OK\r\n",
    );
}

/// `ZooKeeper`'s four-letter words.
fn few_letters(bed: &Bed) {
    for word in ["ruok", "mntr", "GE"] {
        let script =
            format!("{{ printf {word}; sleep 2; }} | timeout 6 nc a.wild.test 5432; echo; echo $?");
        says(bed, &script, &format!("{word}\n0\n"));
    }
}

/// redis-cli, older libpq, `OpenLDAP`.
fn no_sni(bed: &Bed) {
    let flags = ["-v", "/machine/usr:/usr:ro"];
    let script = "echo Q | timeout 6 /usr/bin/openssl s_client -brief -connect a.wild.test:993 -noservername 2>&1 |
        grep -o 'CONNECTION ESTABLISHED'";
    assert_eq!(same(bed, OURS, &flags, script), "CONNECTION ESTABLISHED\n");
}

/// A container of both families, in a network whose way to one of a name's addresses is dead.
fn dead_ipv6(bed: &Bed) {
    let network = unique("dead6");
    let create = [
        "network",
        "create",
        "--ipv6",
        "--subnet",
        "2001:db8:7::/64",
        &network,
    ];
    bed.docker(&create).must_succeed();
    let routes = [
        ["blackhole", &format!("{NOWHERE}/128")].join(" "),
        "2001:db8:7::/64 via 2001:db8:ffff::1".to_owned(),
    ];
    let change = |verb: &str| {
        for route in &routes {
            let script = format!("ip -n internet -6 route {verb} {route}");
            bed.exec(&["sh", "-c", &script]).must_succeed();
        }
    };
    change("add");
    let said = same(
        bed,
        OURS,
        &["--network", &network],
        "for scheme in http https; do curl -ksS -m 5 $scheme://dead6.wild.test/; done",
    );
    change("del");
    bed.docker(&["network", "rm", &network]).must_succeed();
    assert_eq!(
        said,
        format!("I am {0} at {1}\n", WILD.name, WILD.v4).repeat(2)
    );
}
