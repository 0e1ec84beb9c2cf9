//! TLS that is intercepted, seen from outside: what is asked, what is answered, and what the record
//! tells of it.

use test_support::bed::Bed;
use test_support::harness::Test;

use crate::side_by_side::same;

pub(crate) const TESTS: &[Test] = &[
    ("what_a_rule_allows_passes_and_what_it_doesnt_is_told", told),
    ("what_no_rule_reads_is_passed_on_as_with_runc", spliced),
    ("logs_show_methods_paths_and_bytes", logs),
];

pub(crate) const RUNTIME: &str = "boundary-https";

fn told(bed: &Bed) {
    let container = bed.start_with(RUNTIME, &[], &["sleep", "600"]);
    let ask = |path: &str| {
        container
            .exec(&format!("curl -sS -m 10 https://allowed.test{path}"))
            .must_succeed()
            .stdout
            .clone()
    };
    assert_eq!(ask("/open/a"), "I am allowed.test at 198.51.100.10\n");
    let denied = ask("/never-told?secret=1");
    assert!(
        denied.starts_with("{\"error\":\"denied: GET allowed.test/never-told: no rule allows it\""),
        "{denied}"
    );
    // The server heard of the one, and in TLS.
    let log = bed.internet_log();
    assert!(log.contains("GET /open/a host=allowed.test"), "{log}");
    assert!(!log.contains("/never-told"), "{log}");
    // What signed for it is the container's own authority.
    let issuer = container.exec("curl -sSv -m 10 https://allowed.test/open/a 2>&1 | grep issuer");
    assert!(
        !issuer.must_succeed().stdout.contains("little internet"),
        "{issuer:?}"
    );
}

fn spliced(bed: &Bed) {
    let script = "curl -sSv -m 10 https://spliced.wild.test/any/path 2>&1 | grep -e issuer -e subject: -e 'I am'";
    let said = same(bed, RUNTIME, &[], script);
    assert!(said.contains("little internet"), "{said}");
}

fn logs(bed: &Bed) {
    let container = bed.start_with(RUNTIME, &[], &["sleep", "600"]);
    // What curl counts: requests, heads and bodies, and nothing of TLS.
    let counts = "%{size_request} %{size_header} %{size_download}\n";
    let script = format!(
        "curl -sS -m 10 -o /dev/null -w '{counts}' https://allowed.test/open/a?key=value
        curl -sS -m 10 -o /dev/null https://allowed.test/shut"
    );
    let said = container.exec(&script);
    let sizes: Vec<u64> = said
        .must_succeed()
        .stdout
        .split_whitespace()
        .map(|size| size.parse().unwrap())
        .collect();
    let [request, head, body] = sizes[..] else {
        panic!("{said:?}")
    };
    let passed = format!(
        "ALLOW https GET allowed.test/open/a (198.51.100.10:443) by domain=allowed.test path=/open/* [{request} B out, {} B in,",
        head + body
    );
    let id = container.id();
    container.remove();
    let shown = bed.exec(&["boundary-shim", "logs", &id]);
    let shown = &shown.must_succeed().stdout;
    assert!(shown.contains(&passed), "{passed}\n{shown}");
    let denied = "DENY  https GET allowed.test/shut (198.51.100.10:443): no rule allows it";
    assert!(shown.contains(denied), "{shown}");
    assert!(
        !shown.contains("key=value"),
        "a query is nobody's business: {shown}"
    );
}
