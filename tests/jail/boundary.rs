//! Called as `boundary`: coder/boundary's flags, variables, file and logs, and the page that tells
//! its users what is different.

use std::fs;

use serde_json::Value;
use test_support::bed::{Bed, unique};
use test_support::command::{Answer, run};
use test_support::harness::Test;

use crate::jail::Outside;

pub(crate) const TESTS: &[Test] = &[
    ("a_configuration_of_coder_boundary_holds", configuration),
    ("the_commands_of_the_migration_page_work", page),
    (
        "what_isnt_understood_is_one_sentence_and_nothing_runs",
        mistakes,
    ),
    ("lines_go_where_level_and_directory_say", lines),
    ("the_agent_is_told_of_each_request_in_its_own_format", agent),
    ("the_command_doesnt_get_to_the_agent", shut),
    ("an_agent_that_takes_nothing_holds_nothing_up", deaf),
];

/// The program's name here.
const BOUNDARY: &str = "/usr/local/bin/boundary";

/// Runs it as somebody without any right, with these variables, flags and the command `sh -c SCRIPT`.
fn boundary(bed: &Bed, variables: &[&str], flags: &[&str], script: &str) -> Answer {
    let command = ["--", "sh", "-c", script];
    called(bed, variables, &[flags, &command].concat())
}

fn called(bed: &Bed, variables: &[&str], words: &[&str]) -> Answer {
    bed.exec(&["ln", "-sfn", "boundary-shim", BOUNDARY])
        .must_succeed();
    let user = "setpriv --reuid 1777 --regid 1777 --clear-groups env -u HOME";
    let user: Vec<&str> = user.split(' ').collect();
    bed.exec(&[&user, variables, &[BOUNDARY], words].concat())
}

/// A file in the bed that only the user of [`boundary`] can write.
fn file(bed: &Bed, path: &str, text: &str) {
    fs::write(bed.inside(path), text).unwrap();
    bed.exec(&["chown", "1777", path]).must_succeed();
    bed.exec(&["chmod", "644", path]).must_succeed();
}

fn configuration(bed: &Bed) {
    let config = format!("/tmp/{}.yaml", unique("config"));
    let text = "allowlist:\n  - domain=allowed.test path=/open/*,/\njail_type: nsjail\nlog_level: warn\nproxy_port: 8087\n";
    file(bed, &config, text);
    let script = "for url in https://allowed.test/open/x http://allowed.test/shut http://nobody.dev/ https://nobody.dev/; do \
         curl -s -m 5 -o /dev/null -w '%{http_code} ' $url; done; exit 7";
    // The little internet's authority is the caller's own.
    let trusted = "SSL_CERT_FILE=/etc/little-internet.pem";
    let named = format!("BOUNDARY_CONFIG={config}");
    let answer = boundary(bed, &[trusted, &named], &[], script);
    assert_eq!(answer.stdout, "200 403 403 403 ", "{answer:?}");
    assert_eq!(answer.code, 7, "{answer:?}");
    let denied = "msg=DENY method=GET url=https://nobody.dev/ host=nobody.dev";
    assert!(answer.stderr.contains(denied), "{answer:?}");
    assert!(!answer.stderr.contains("msg=ALLOW"), "{answer:?}");
    assert!(
        answer.stderr.contains("proxy_port in the config file"),
        "{answer:?}"
    );
    // A flag beats the file, and rules of both hold.
    let flags = [
        "--jail-type=notify",
        "--allow",
        "domain=allowed.test path=/shut",
    ];
    let answer = boundary(bed, &[trusted, &named], &flags, script);
    assert_eq!(answer.stdout, "200 200 403 403 ", "{answer:?}");
}

fn page(bed: &Bed) {
    let repository = env!("CARGO_MANIFEST_DIR");
    let page =
        fs::read_to_string(format!("{repository}/docs/migrate-from-coder-boundary.md")).unwrap();
    let page = page.replace("example.com", "allowed.test");
    let block = |kind: &str| -> Vec<&str> {
        let begin = format!("```{kind}\n");
        let blocks = page.split(&begin).skip(1);
        blocks
            .map(|block| block.split("```").next().unwrap())
            .collect()
    };
    let [config] = block("yaml")[..] else {
        panic!("one file")
    };
    bed.exec(&["mkdir", "-p", "/tmp/page/.config/coder_boundary"])
        .must_succeed();
    bed.exec(&["chown", "-R", "1777", "/tmp/page"])
        .must_succeed();
    file(bed, "/tmp/page/config.yaml", config);
    file(bed, "/tmp/page/.config/coder_boundary/config.yaml", config);
    bed.exec(&["rm", "-f", BOUNDARY]).must_succeed();
    let commands: Vec<&str> = block("sh").iter().flat_map(|block| block.lines()).collect();
    assert_eq!(commands.len(), 7, "{commands:?}");
    for command in commands {
        let user = if command.starts_with("ln ") {
            ""
        } else {
            "setpriv --reuid 1777 --regid 1777 --clear-groups env HOME=/tmp/page "
        };
        let line = format!("cd /tmp/page && {user}{command}");
        let answer = bed.exec(&["sh", "-c", &line]);
        assert_eq!(answer.code, 0, "{command}: {answer:?}");
        let fetched = command.contains("curl");
        assert!(
            !fetched || answer.stdout.contains("allowed.test"),
            "{command}: {answer:?}"
        );
    }
    let logs = bed.exec(&["sh", "-c", "ls /tmp/boundary_logs"]);
    assert!(logs.stdout.starts_with("boundary-20"), "{logs:?}");
    // The example's file is also found at home: without it, nothing is allowed.
    for (home, answered) in [("/tmp/page", true), ("/tmp", false)] {
        let home = format!("HOME={home}");
        let words = ["--", "curl", "-s", "http://allowed.test/"];
        let answer = called(bed, &[&home], &words);
        assert_eq!(
            answer.stdout.contains("allowed.test"),
            answered,
            "{answer:?}"
        );
    }
}

fn mistakes(bed: &Bed) {
    let config = |name: &str, text: &str| {
        let path = format!("/tmp/{name}.yaml");
        file(bed, &path, text);
        path
    };
    let unknown = config("unknown", "allowlist: []\nlog_proxy: /x\n");
    let list = config("list", "jail_type: [nsjail]\n");
    let open = config("open-to-all", "allowlist: []\n");
    bed.exec(&["chmod", "666", &open]).must_succeed();
    let cases: [(&[&str], &[&str], &str); 13] = [
        (&[], &["--config", &unknown], "log_proxy"),
        (&[], &["--config", &list], "jail_type"),
        (&[], &["--config", &open], "writable by others"),
        (&[], &["--config", "/tmp/none.yaml"], "no such file"),
        (&[], &["--allow", "domian=x.dev"], "domian"),
        (&[], &["--allow", ""], "empty"),
        (&["BOUNDARY_ALLOW=domain=[::1]"], &[], "domain"),
        (&[], &["--jail-type", "docker"], "docker"),
        (&["BOUNDARY_PPROF=perhaps"], &[], "BOUNDARY_PPROF"),
        (
            &["BOUNDARY_SESSION_CORRELATION_ENABLED=true"],
            &[],
            "take it out",
        ),
        (&[], &["--log-proxy-socket-path", ""], "empty"),
        (&[], &["--log-proxy-socket-path", "/tmp"], "not a socket"),
        (&[], &["--colour"], "--colour"),
    ];
    for (variables, flags, said) in cases {
        let answer = boundary(bed, variables, flags, "echo RAN");
        let what = format!("{variables:?} {flags:?}: {answer:?}");
        assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{what}");
        assert!(answer.stderr.contains(said), "{what}");
        assert_eq!(answer.stderr.lines().count(), 1, "{what}");
    }
    let nothing = called(bed, &[], &["--allow", "domain=allowed.test"]);
    assert_eq!(nothing.code, 1, "{nothing:?}");
    assert!(
        nothing.stderr.contains("no command was given"),
        "{nothing:?}"
    );
    let version = called(bed, &[], &["--version"]);
    assert_eq!(
        version.stdout,
        concat!("boundary-shim ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let missing = called(bed, &[], &["--", "/no/such/program"]);
    assert_eq!(missing.code, 127, "{missing:?}");
}

fn lines(bed: &Bed) {
    let script = "curl -s http://allowed.test/x?SECRET >&2; curl -s http://nobody.dev/ >&2";
    let rule = ["--allow", "domain=allowed.test"];
    let said = |level: &str| {
        let flags = [&rule[..], &["--log-level", level]].concat();
        let answer = boundary(bed, &[], &flags, script);
        let lines = answer.stderr.lines().filter(|line| line.contains("level="));
        lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    let allowed = "level=INFO msg=ALLOW method=GET url=http://allowed.test/x host=allowed.test rule=\"domain=allowed.test\"";
    let denied = "level=WARN msg=DENY method=GET url=http://nobody.dev/ host=nobody.dev";
    let [error, warn, info] = ["error", "warn", "info"].map(said);
    assert_eq!(error, "");
    assert!(warn.contains(denied) && !warn.contains("ALLOW"), "{warn}");
    assert!(info.contains(denied) && info.contains(allowed), "{info}");
    assert!(!info.contains("SECRET"), "{info}");

    let directory = format!("/tmp/{}/new", unique("logs"));
    let flags = [&rule[..], &["--log-dir", &directory]].concat();
    let answer = boundary(bed, &["BOUNDARY_LOG_LEVEL=info"], &flags, script);
    assert!(!answer.stderr.contains("level="), "{answer:?}");
    let text = bed.exec(&["sh", "-c", &format!("cat {directory}/boundary-*.log")]);
    assert!(
        text.stdout.contains(denied) && text.stdout.contains(allowed),
        "{text:?}"
    );
}

/// Somebody in the agent's place.
struct Agent {
    bed_file: String,
    socket: String,
    server: Outside,
}

impl Agent {
    fn begin(bed: &Bed, deaf: bool) -> Self {
        let name = unique("agent");
        let (socket, bed_file) = (format!("/tmp/{name}.sock"), format!("/tmp/{name}.bytes"));
        let program = include_str!("receive.py");
        let mut words = vec!["-c", program, &socket, &bed_file];
        words.extend(deaf.then_some("deaf"));
        let server = Outside::serve(bed, &words);
        Self {
            bed_file,
            socket,
            server,
        }
    }

    /// What it was told, decoded by another implementation of the format.
    fn told(self, bed: &Bed) -> Vec<Value> {
        let file = bed.inside(&self.bed_file);
        // It has all of it when it has ended.
        drop(self.server);
        let decoder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jail/decode.py");
        let line = format!("/usr/bin/python3 {decoder} < {}", file.display());
        let answer = run(60, &["sh", "-c", &line]);
        assert!(answer.code == 0 && answer.stderr.is_empty(), "{answer:?}");
        let messages = answer.stdout.lines();
        messages
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn agent(bed: &Bed) {
    for jail_type in ["nsjail", "notify"] {
        let agent = Agent::begin(bed, false);
        let variable = format!(
            "CODER_AGENT_FIREWALL_LOG_PROXY_SOCKET_PATH={}",
            agent.socket
        );
        let script = "for i in $(seq 11); do curl -s -o /dev/null http://allowed.test/$i?SECRET; done; \
             curl -s -o /dev/null -X POST http://nobody.dev/; curl -sk -o /dev/null https://allowed.test/in/tls; \
             curl -s -m 1 http://192.0.2.1:81/";
        let flags = ["--jail-type", jail_type, "--allow", "domain=allowed.test"];
        let trusted = "SSL_CERT_FILE=/etc/little-internet.pem";
        let answer = boundary(bed, &[&variable, trusted], &flags, script);
        let told = agent.told(bed);
        let sizes: Vec<usize> = told.iter().map(|one| logs(one).len()).collect();
        assert_eq!(sizes, [10, 3], "{jail_type}: {told:#?} {answer:?}");
        let (first, last) = (&told[0]["logs"], &told[1]["logs"]);
        assert_eq!(first["confined_process_name"], "sh");
        assert_eq!(first["session_id"].as_str().unwrap().len(), 36);
        assert_eq!(first["session_id"], last["session_id"]);
        let all: Vec<&Value> = told.iter().flat_map(logs).collect();
        for (number, log) in all.iter().enumerate() {
            // Zero is what isn't written.
            assert_eq!(
                log["sequence_number"].as_u64().unwrap_or(0),
                number as u64,
                "{all:#?}"
            );
            assert!(log["time"].as_str().unwrap().starts_with("20"), "{log}");
        }
        let request = |log: &Value| log["http_request"].clone();
        let asked = |method: &str, url: &str| serde_json::json!({"method": method, "url": url});
        let allowed = |method: &str, url: &str| {
            let mut asked = asked(method, url);
            asked["matched_rule"] = "domain=allowed.test".into();
            asked
        };
        assert_eq!(request(all[0]), allowed("GET", "http://allowed.test/1"));
        assert_eq!(all[0]["allowed"], true);
        assert_eq!(request(all[11]), asked("POST", "http://nobody.dev/"));
        assert!(all[11].get("allowed").is_none(), "{:#?}", all[11]);
        assert_eq!(
            request(all[12]),
            allowed("GET", "https://allowed.test/in/tls")
        );
    }
    let agent = Agent::begin(bed, false);
    let path = [
        "--disable-audit-logs",
        "--log-proxy-socket-path",
        &agent.socket,
    ];
    boundary(bed, &[], &path, "curl -s http://nobody.dev/").must_succeed();
    assert!(!bed.inside(&agent.bed_file).exists());
    let none = boundary(
        bed,
        &[],
        &["--log-proxy-socket-path", "/tmp/nobody.sock"],
        "echo RAN",
    );
    assert_eq!(none.stdout, "RAN\n", "{none:?}");
    assert!(
        none.stderr.contains("there is no /tmp/nobody.sock"),
        "{none:?}"
    );
}

fn logs(message: &Value) -> &[Value] {
    message["logs"]["logs"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn shut(bed: &Bed) {
    let forge = |socket: &str| {
        format!(
            "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.connect(\"{socket}\"); s.send(b\"FORGED\"); print(\"SENT\")'"
        )
    };
    for jail_type in ["nsjail", "notify", "landjail"] {
        let agent = Agent::begin(bed, false);
        let flags = [
            "--jail-type",
            jail_type,
            "--log-proxy-socket-path",
            &agent.socket,
        ];
        let script = format!(
            "{}; curl -s -o /dev/null http://nobody.dev/",
            forge(&agent.socket)
        );
        let answer = boundary(bed, &[], &flags, &script);
        assert!(!answer.stdout.contains("SENT"), "{jail_type}: {answer:?}");
        let told = agent.told(bed);
        assert_eq!(
            told.iter().map(|one| logs(one).len()).sum::<usize>(),
            1,
            "{told:#?}"
        );
    }
    // Without a jail, it gets there.
    let agent = Agent::begin(bed, false);
    let bare = bed.exec(&["sh", "-c", &forge(&agent.socket)]);
    assert_eq!(bare.stdout, "SENT\n", "{bare:?}");
}

fn deaf(bed: &Bed) {
    let agent = Agent::begin(bed, true);
    let path = [
        "--allow",
        "domain=allowed.test",
        "--log-proxy-socket-path",
        &agent.socket,
    ];
    let script = "date +%s%N; for i in $(seq 30); do curl -s -o /dev/null -w '%{http_code}\\n' http://allowed.test/; done; date +%s%N";
    let answer = boundary(bed, &[], &path, script);
    assert_eq!(answer.stdout.matches("200\n").count(), 30, "{answer:?}");
    assert!(answer.stderr.contains("can't be told yet"), "{answer:?}");
    assert!(
        answer.stderr.contains("was not told of 30 requests"),
        "{answer:?}"
    );
    drop(agent);
}
