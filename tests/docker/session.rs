//! What a developer does all day, or an agent: it is observed, the policy that is suggested for it is put
//! into force, and it does the same again; anything else is denied.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use test_support::bed::{Bed, records};
use test_support::command::run;
use test_support::docker::Container;
use test_support::harness::Test;
use test_support::programs::REPOSITORY;

use crate::https_world::serve_tls;
use crate::servers::PROGRAMS;

/// With the program that not every system may have.
pub(crate) const TESTS: &[(&str, Test)] = &[(
    "npm",
    (
        "goes_on_under_the_policy_that_is_suggested_and_nothing_else_does",
        suggested,
    ),
)];

/// The policy of the runtime `boundary-session`.
const FILE: &str = "/etc/boundary/session/policies/suggested.yaml";
/// What that may include.
const PRESET: &str = "/etc/boundary/session/presets.d/day.yaml";

/// What is done, each with its name: it prints what it got.
const SESSION: [(&str, &str); 10] = [
    (
        "git",
        "git clone -q https://git.wild.test:9143/git/small.git cloned; cat cloned/file",
    ),
    (
        "git over ssh",
        "git clone -q ssh://root@git.wild.test:9122/tmp/files/git/small.git by-ssh; cat by-ssh/file",
    ),
    (
        "pip",
        "python3 -m pip install -q --retries 0 --timeout 10 --no-cache-dir --disable-pip-version-check --root-user-action ignore \
            --index-url https://python.wild.test:9143/simple --target modules small
         PYTHONPATH=modules python3 -c 'import small; print(small.WORDS)'",
    ),
    (
        "npm",
        "npm install --silent --no-audit --no-fund --fetch-retries=0 --registry https://node.wild.test:9143/npm/ small
         node -p 'require(\"small\")'",
    ),
    (
        "curl",
        "curl -4 -sS -m 10 https://api.wild.test/v1/items; curl -4 -sS -m 10 -d more=1 https://api.wild.test/v1/items
         curl -4 -sS -m 10 http://allowed.test/v1/items",
    ),
    (
        "ssh",
        "$GIT_SSH_COMMAND -p 9122 root@git.wild.test echo from ssh",
    ),
    (
        "psql",
        "$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)/psql \
            'host=data.wild.test port=9132 user=postgres sslmode=disable connect_timeout=10' -Atc 'select 6 * 7'",
    ),
    (
        "redis",
        "redis-cli -h cache.wild.test -p 9179 ECHO 'from redis'",
    ),
    (
        "ntp",
        "python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)
s.sendto(b\"\\x23\" + bytes(47), (\"time.wild.test\", 123)); print(len(s.recv(99)), \"bytes\")'",
    ),
    ("dns", "nslookup api.wild.test | grep -c 198.51.100.30"),
];

/// What all of it prints.
const SAID: &str = "== git\nfrom git\n== git over ssh\nfrom git\n== pip\nfrom pip\n== npm\nfrom npm\n\
    == curl\nI am *.wild.test at 198.51.100.30\nI am *.wild.test at 198.51.100.30\nI am allowed.test at 198.51.100.10\n\
    == ssh\nfrom ssh\n== psql\n42\n== redis\nfrom redis\n== ntp\n48 bytes\n== dns\n1\n";

/// What else may be tried, and gets nothing where the suggestion is in force.
const OTHERWISE: [&str; 5] = [
    "curl -4 -sSf -m 10 https://other.wild.test/v1/items",
    "curl -4 -sSf -m 10 http://denied.test/v1/items",
    "curl -4 -sSf -m 10 https://git.wild.test/git/small.git",
    "curl -4 -sSf -m 10 http://allowed.test/v2/items",
    "curl -4 -sSf -m 10 -X DELETE http://allowed.test/v1/items",
];

/// The same, where requests in TLS were read.
const OTHER_REQUESTS: [&str; 4] = [
    "curl -4 -sSf -m 10 https://api.wild.test/v2/items",
    "curl -4 -sSf -m 10 -X DELETE https://api.wild.test/v1/items",
    "curl -4 -sSf -m 10 https://node.wild.test:9143/simple/small/",
    "cd /tmp/own/cloned && git push -q origin HEAD:refs/heads/at-$(hostname)",
];

/// Programs are the system's own, and keep to no settings of this machine's. An address of the sixth version is tried out before it can be used.
const SURROUNDINGS: &str = "export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/tmp/own LC_ALL=C GIT_TERMINAL_PROMPT=0
export npm_config_globalconfig=/dev/null npm_config_update_notifier=false
export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
export GIT_SSH_COMMAND='ssh -F none -i /key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR'
while ip -o -6 address show tentative | grep -q .; do sleep 0.1; done
";

fn suggested(bed: &Bed) {
    let _servers = servers(bed);
    goes_on(bed, "boundary-session-unread", FILE);
    // As a preset of the administrator's.
    let folder = bed.inside(PRESET);
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::write(bed.inside(FILE), "include: [day]\n").unwrap();
    let (observed, enforced, by_requests) = goes_on(bed, "boundary-session-read", PRESET);
    for script in OTHER_REQUESTS {
        assert!(observed.gets(script), "{script}");
        assert!(!enforced.gets(script), "{script}: {by_requests}");
    }
    applied(&observed);
}

/// Observes a session, and puts what is suggested for it into force, in this file; gives both containers and
/// the policy.
fn goes_on<'bed>(
    bed: &'bed Bed,
    runtime: &str,
    file: &str,
) -> (Developer<'bed>, Developer<'bed>, String) {
    let observed = Developer::start(bed, runtime);
    assert_eq!(observed.work(), SAID);
    observed.sh("nslookup only.looked-up.wild.test");
    let suggested = observed.policy(&["suggest", &observed.container.name]);
    std::fs::write(bed.inside(file), &suggested).unwrap();
    let checked = observed.policy(&["check", file]);
    assert_eq!(checked.lines().count(), 1, "each is needed: {checked}");

    let enforced = Developer::start(bed, "boundary-session");
    assert_eq!(enforced.work(), SAID, "{suggested}");
    let (rules, left_out) = suggested.split_once("# Left out:").unwrap();
    assert!(left_out.contains("only.looked-up.wild.test"), "{suggested}");
    let records = enforced.records();
    let is_unlisted = |line: &&Value| {
        let name = line["name"].as_str();
        line["verdict"] == "deny" && name.is_none_or(|name| !left_out.contains(name))
    };
    let unlisted: Vec<_> = records.iter().filter(is_unlisted).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}: {suggested}");
    let used: BTreeSet<_> = records
        .iter()
        .filter_map(|line| line["rule"].as_str())
        .collect();
    assert_eq!(rules_in(rules), used, "each is used");

    for script in OTHERWISE {
        assert!(observed.gets(script), "{script}");
        assert!(!enforced.gets(script), "{script}: {suggested}");
    }
    for probe in ["tcp 198.51.100.30:5432", "udp 198.51.100.30:9999"] {
        enforced.container.is_shut_out(probe);
    }
    (observed, enforced, suggested)
}

fn rules_in(policy: &str) -> BTreeSet<&str> {
    let rules = policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "));
    rules
        .filter_map(|rule| rule.split("   #").next())
        .map(|rule| rule.trim_matches('"'))
        .collect()
}

/// Applied to the container that is observed, its rules are in force, and it is observed still.
fn applied(observed: &Developer<'_>) {
    let before = observed.records().len();
    let said = observed.policy(&["apply", PRESET, &observed.container.name]);
    assert!(said.contains("is observed still"), "{said}");
    assert_eq!(observed.work(), SAID);
    let beyond_rules = || {
        let records = observed.records().into_iter().skip(before);
        let rules = records.filter_map(|line| line["rule"].as_str().map(str::to_owned));
        rules.filter(|rule| rule.starts_with("would deny")).count()
    };
    assert_eq!(beyond_rules(), 0);
    assert!(observed.gets(OTHERWISE[0]));
    assert!(beyond_rules() > 0);
}

/// A container in which somebody works.
struct Developer<'bed> {
    bed: &'bed Bed,
    container: Container<'bed>,
}

impl<'bed> Developer<'bed> {
    fn start(bed: &'bed Bed, runtime: &str) -> Self {
        let key = format!("{}:/key:ro", key(bed).display());
        let flags = [&PROGRAMS[..], &["-v", &key]].concat();
        let container = bed.start_with(runtime, &flags, &["sleep", "600"]);
        Self { bed, container }
    }

    /// Does all of it; gives what came of it.
    fn work(&self) -> String {
        let steps = SESSION.map(|(name, script)| format!("echo '== {name}'\n{script}\n"));
        let steps = steps.concat();
        self.sh(&format!(
            "rm -rf /tmp/own; mkdir /tmp/own; cd /tmp/own\n{steps}"
        ))
    }

    /// What a script prints, with its errors.
    fn sh(&self, script: &str) -> String {
        let script = format!("{SURROUNDINGS}exec 2>&1\n{script}");
        let exec = ["exec", &self.container.name, "sh", "-c", &script];
        self.bed.docker_within(90, &exec).stdout
    }

    fn gets(&self, script: &str) -> bool {
        self.container.exec(&format!("{SURROUNDINGS}{script}")).code == 0
    }

    fn policy(&self, words: &[&str]) -> String {
        let answer = self
            .bed
            .exec(&[&["boundary-shim", "policy"], words].concat());
        answer.must_succeed().stdout.clone()
    }

    fn records(&self) -> Vec<Value> {
        records(self.bed, &self.container.id())
    }
}

/// All servers that are visited, at all addresses.
fn servers(bed: &Bed) -> Container<'_> {
    let program = bed.path("servers.py");
    let source = Path::new(REPOSITORY).join("tests/jail/programs/servers.py");
    std::fs::copy(source, &program).unwrap();
    let program = format!("{}:/servers.py:ro", program.display());
    let key = format!("{}.pub:/key.pub:ro", key(bed).display());
    let flags = ["--interactive", "-v", &program, "-v", &key];
    let script =
        "export PATH=/usr/bin:/bin:/usr/sbin:/sbin; mkdir /tmp/files; cp /key.pub /tmp/files
        echo none:x:65534:65534::/tmp:/bin/sh >>/etc/passwd
        exec python3 /servers.py /tmp/files /tmp/certificate.pem /tmp/key.pem";
    // The last of them.
    serve_tls(bed, &flags, 9132, script)
}

/// A key whose owner may log in there.
fn key(bed: &Bed) -> std::path::PathBuf {
    let key = bed.path("developers-key");
    if !key.exists() {
        let path = key.display().to_string();
        let make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &path];
        run(20, &make).must_succeed();
    }
    key
}
