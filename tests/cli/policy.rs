//! `policy`: files are checked and explained, and records become policies.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Output, Stdio};

use boundary_shim::audit::Direction;
use boundary_shim::audit::Kind;
use boundary_shim::audit::line::{Ended, Event, Line, RecordedVerdict};

use boundary_shim::container::plan::GatewayOwner;
use boundary_shim::container::state::{self, SavedState};
use boundary_shim::control::{self, Response};
use boundary_shim::policy::PolicySource;
use test_support::lock;

use crate::world::{World, alive, remember, stderr, tests};

tests![
    a_policy_is_checked_with_every_line_that_is_to_be_told,
    without_files_all_of_the_host_is_checked_and_what_names_nothing_is_told,
    what_a_policy_decides_is_explained_with_the_rule,
    what_was_observed_becomes_a_policy_that_allows_it,
    what_is_included_is_checked_and_explained_with_its_place,
    a_preset_is_listed_printed_and_included,
    what_a_layer_denies_is_explained_with_its_name,
    a_change_waits_while_policies_are_swapped,
    nobody_who_swaps_policies_waits_for_a_gateway,
];

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn a_policy_is_checked_with_every_line_that_is_to_be_told() {
    let world = World::new();
    for (content, code, told) in [
        (
            "allow:\n- domain=a.test\ndeny:\n- domain=*.corp except=jira.corp\n",
            0,
            "DIR/p.yaml: no mistakes; 1 rules allow, 1 deny\n",
        ),
        (
            "allow:\n- domain=*.test\n- domain=a.test\n",
            0,
            "DIR/p.yaml:3: allow: decides nothing: line 2 allows all of it\nDIR/p.yaml: no mistakes; 2 rules allow, 0 deny\n",
        ),
        (
            "allow:\n- domian=a.test\n- a.test\n",
            1,
            "DIR/p.yaml:2: domian: unknown key; did you mean domain?\nDIR/p.yaml:3: a.test: not a key=value word; did you mean domain=a.test?\n",
        ),
        (
            "allow:\n- *.a.test\n",
            1,
            "DIR/p.yaml:2: not a rule; did you mean domain=*.a.test?\n",
        ),
    ] {
        world.write("p.yaml", content, 0o644);
        let output = world.operate("policy check DIR/p.yaml");
        let directory = world
            .path("")
            .to_str()
            .unwrap()
            .trim_end_matches('/')
            .to_owned();
        assert_eq!(
            stdout(&output),
            told.replace("DIR", &directory),
            "{content}"
        );
        assert_eq!(output.status.code(), Some(code), "{content}");
    }
    let output = world.operate("policy check DIR/none.yaml");
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).ends_with("none.yaml: No such file or directory (os error 2)\n"));
}

/// In an `/etc` that has nothing but what is to be checked.
fn without_files_all_of_the_host_is_checked_and_what_names_nothing_is_told() {
    let checked = |files: &str| {
        let script = format!(
            "mount -t tmpfs etc /etc && mkdir -p /etc/boundary/policies /etc/boundary/presets.d /etc/boundary/ceiling.d &&
             cd /etc/boundary && {{ {files} }} && exec \"$1\" policy check"
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "a test starts the program it tests"
        )]
        let output = std::process::Command::new("unshare")
            .args(["--mount", "sh", "-c", &script, "sh"])
            .arg(env!("CARGO_BIN_EXE_boundary-shim"))
            .output()
            .unwrap();
        (output.status.code(), stdout(&output))
    };
    const POLICY: &str = "printf 'allow:\\n- domain=a.test\\n' > policies/default.yaml;";
    for (files, code, told) in [
        ("true;", 0, ""),
        (
            "cp policies/default.yaml presets.d/ours.yaml; cp policies/default.yaml ceiling.d/corp.yaml;",
            0,
            "/etc/boundary/presets.d/ours.yaml: no mistakes; 1 rules allow, 0 deny\n\
             /etc/boundary/ceiling.d/corp.yaml: no mistakes; 1 rules allow, 0 deny\n",
        ),
        (
            "printf '[annotations]\\nceiling = \"top\"\\npolicies = [\"npm\"]\\n' > config.toml;",
            1,
            "/etc/boundary/config.toml: annotations.policies: policy npm has no file /etc/boundary/policies/npm.yaml\n\
             /etc/boundary/config.toml: annotations.ceiling: policy top has no file /etc/boundary/policies/top.yaml\n",
        ),
        (
            "printf '[annotations]\\nceiling = \"top\"\\n' > config.toml; printf 'deny:\\n- domain=b.test\\n' > policies/top.yaml;",
            1,
            "/etc/boundary/config.toml: annotations.ceiling: policy top allows nothing, so that boundary.allow can allow nothing\n\
             /etc/boundary/policies/top.yaml: no mistakes; 0 rules allow, 1 deny\n",
        ),
        (
            "printf 'allow: []\\n' > ceiling.d/corp.yaml;",
            0,
            "/etc/boundary/ceiling.d/corp.yaml: allow: allows nothing: no container reaches anything\n\
             /etc/boundary/ceiling.d/corp.yaml: no mistakes; 0 rules allow, 0 deny\n",
        ),
    ] {
        let (found, said) = checked(&format!("{POLICY} {files}"));
        let own = "/etc/boundary/policies/default.yaml: no mistakes; 1 rules allow, 0 deny\n";
        assert!(said.contains(own), "{files}: {said}");
        assert_eq!(
            (found, said.replace(own, "")),
            (Some(code), told.to_owned()),
            "{files}"
        );
    }
}

fn what_a_policy_decides_is_explained_with_the_rule() {
    let world = World::new();
    let content = "allow:\n- domain=a.test\n- cidr=10.0.0.0/8 port=22\n";
    world.write("p.yaml", content, 0o644);
    for (words, code, told) in [
        (
            "GET https://a.test/x",
            0,
            "allowed: GET /x by HTTPS to a.test:443: by rule \"domain=a.test\" of p.yaml:2",
        ),
        (
            "https://b.test/x",
            1,
            "denied: GET /x by HTTPS to b.test:443: no rule allows it; this rule would allow it: domain=b.test",
        ),
        (
            "10.1.2.3:22",
            0,
            "allowed: other TCP to 10.1.2.3:22: by rule \"cidr=10.0.0.0/8 port=22\" of p.yaml:3",
        ),
        (
            "169.254.169.254:80/udp",
            1,
            "denied: UDP to 169.254.169.254:80: 169.254.169.254 is",
        ),
    ] {
        let output = world.operate(&format!("policy explain DIR/p.yaml {words}"));
        let text = stdout(&output);
        assert!(text.contains(told), "{words}: {text}");
        assert!(text.contains("p.yaml, policy p (enforce):\n"), "{text}");
        assert_eq!(output.status.code(), Some(code), "{words}: {text}");
    }
    let output = world.operate("policy explain DIR/none.yaml a.test:22");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no such file"));
}

/// A line of an attempt that was let through although no rule allows it.
fn observed(protocol: Kind, name: Option<&str>, address: &str, port: u16) -> Line {
    Line {
        protocol: Some(protocol),
        direction: Some(Direction::Out),
        name: name.map(str::to_owned),
        address: Some(address.parse().unwrap()),
        port: Some(port),
        verdict: Some(RecordedVerdict::Allow),
        rule: Some("would deny: no rule allows it".to_owned()),
        bytes_in: Some(100),
        ended: Some(Ended::Closed),
        ..Line::new(Event::End, "2026-05-01T10:00:00.000Z".to_owned(), "abc")
    }
}

fn what_was_observed_becomes_a_policy_that_allows_it() {
    let world = World::new();
    let request = |name: &str, path: &str| Line {
        method: Some("GET".to_owned()),
        path: Some(path.to_owned()),
        ..observed(Kind::Http, Some(name), "192.0.2.1", 80)
    };
    let lines = [
        observed(Kind::Https, Some("a.test"), "192.0.2.1", 443),
        request("b.test", "/it's/x:1"),
        request("b.test", "/y"),
        observed(Kind::Tcp, Some("db.test"), "10.0.0.5", 5432),
        observed(Kind::Udp, None, "192.0.2.7", 123),
        // It goes on.
        Line {
            event: Event::Open,
            flow: Some(6),
            bytes_in: None,
            ended: None,
            ..observed(Kind::Tcp, Some("long.test"), "192.0.2.9", 9000)
        },
        observed(Kind::Dns, Some("idle.test"), "192.0.2.53", 53),
        // Anybody's words.
        observed(Kind::Https, Some("x\ndeny: []"), "192.0.2.1", 443),
        // Servers read this path in several ways.
        request("d.test", "/a/..;/b"),
        request("e.test", "/a/./b"),
        Line {
            method: Some("GET\nallow:\n- domain=*".to_owned()),
            ..request("c.test", "/\n- domain=*")
        },
    ];
    let lines = (1..).zip(lines).map(|(seq, line)| Line { seq, ..line });
    let text: String = lines
        .map(|line| serde_json::to_string(&line).unwrap() + "\n")
        .collect();
    world.write("abc.jsonl", text, 0o640);
    let output = world.operate("policy suggest DIR/abc.jsonl");
    assert!(output.status.success(), "{}", stderr(&output));
    let policy = stdout(&output);
    let rules: Vec<_> = policy
        .lines()
        .filter(|line| line.starts_with("  - "))
        .collect();
    assert_eq!(
        rules,
        [
            "  - domain=a.test   # once, first 2026-05-01T10:00:00.000Z",
            "  - domain=c.test   # once, first 2026-05-01T10:00:00.000Z",
            "  - domain=d.test   # once, first 2026-05-01T10:00:00.000Z",
            "  - domain=e.test   # once, first 2026-05-01T10:00:00.000Z",
            "  - 'method=GET domain=b.test path=/it''s/x:1,/y proto=http'   # 2 times, first 2026-05-01T10:00:00.000Z",
            "  - proto=tcp domain=db.test port=5432 cidr=10.0.0.5/32   # once, first 2026-05-01T10:00:00.000Z",
            "  - proto=tcp domain=long.test port=9000   # once, first 2026-05-01T10:00:00.000Z",
            "  - proto=udp cidr=192.0.2.7/32 port=123   # once, first 2026-05-01T10:00:00.000Z",
        ],
        "{policy}"
    );
    assert!(
        policy.ends_with("# Left out:\n#   idle.test   (looked up once, never connected to)\n"),
        "{policy}"
    );

    world.write("p.yaml", policy, 0o644);
    let checked = world.operate("policy check DIR/p.yaml");
    assert!(
        stdout(&checked).ends_with("no mistakes; 8 rules allow, 0 deny\n"),
        "{}",
        stdout(&checked)
    );
    assert_eq!(stdout(&checked).lines().count(), 1);
    for (words, code) in [
        ("https://a.test/", 0),
        ("http://b.test/y", 0),
        ("http://b.test/z", 1),
        ("db.test:5432", 0),
        ("192.0.2.7:123/udp", 0),
        ("https://x.test/", 1),
    ] {
        let output = world.operate(&format!("policy explain DIR/p.yaml {words}"));
        assert_eq!(output.status.code(), Some(code), "{words}");
    }
}

fn what_is_included_is_checked_and_explained_with_its_place() {
    let world = World::new();
    std::fs::create_dir(world.path("policies")).unwrap();
    std::fs::create_dir(world.path("presets.d")).unwrap();
    for (name, content) in [
        (
            "policies/default.yaml",
            "allow: [domain=own.test]\ninclude: [npm, tools]\n",
        ),
        (
            "policies/npm.yaml",
            "allow:\n\n- domain=npm.test\n- domain=own.test\n",
        ),
        ("presets.d/tools.yaml", "deny: [domain=x.npm.test]"),
        ("policies/round.yaml", "include: [round]"),
    ] {
        world.write(name, content, 0o644);
    }
    let checked = world.operate("policy check DIR/policies/default.yaml");
    let told = stdout(&checked);
    assert!(
        told.starts_with(
            "npm.yaml:4: allow: decides nothing: line 1 of default.yaml allows all of it\n"
        ),
        "{told}"
    );
    assert!(
        told.ends_with("no mistakes; 3 rules allow, 1 deny\n"),
        "{told}"
    );
    for (words, told) in [
        (
            "https://npm.test/",
            "by rule \"domain=npm.test\" of npm.yaml:3, included by default.yaml:2\n",
        ),
        (
            "https://x.npm.test/",
            "rule \"deny domain=x.npm.test\" forbids it; it stands in presets.d/tools.yaml:1, included by default.yaml:2\n",
        ),
    ] {
        let output = world.operate(&format!("policy explain DIR/policies/default.yaml {words}"));
        assert!(stdout(&output).ends_with(told), "{}", stdout(&output));
    }
    let round = world.operate("policy check DIR/policies/round.yaml");
    assert_eq!(round.status.code(), Some(1));
    assert!(stdout(&round).contains("files include each other: round.yaml includes round.yaml"));
    // What is enforced is root's alone; what is checked, anybody's.
    world.write("policies/npm.yaml", "allow: [domain=npm.test]", 0o666);
    let refused = world.operate("policy explain DIR/policies/default.yaml https://npm.test/");
    assert!(
        stderr(&refused).contains("policy npm: writable by others"),
        "{}",
        stderr(&refused)
    );
    assert!(
        world
            .operate("policy check DIR/policies/default.yaml")
            .status
            .success()
    );
}

fn a_preset_is_listed_printed_and_included() {
    let world = World::new();
    let listed = stdout(&world.operate("policy presets"));
    let names = listed
        .lines()
        .map(|line| line.split_whitespace().next().unwrap());
    for name in names {
        let text = stdout(&world.operate(&format!("policy presets {name}")));
        assert!(
            text.lines().nth(1).unwrap().starts_with("# As of "),
            "{name}: {text}"
        );
        world.write("p.yaml", format!("include: [{name}]"), 0o644);
        let checked = world.operate("policy check DIR/p.yaml");
        assert!(checked.status.success(), "{name}: {}", stdout(&checked));
        assert_eq!(
            stdout(&checked).lines().count(),
            1,
            "{name}: {}",
            stdout(&checked)
        );
    }
    assert!(!world.operate("policy presets none").status.success());

    world.write("p.yaml", "include: [github]", 0o644);
    for (words, code) in [
        ("GET https://github.com/a/b.git/info/refs", 0),
        ("POST https://github.com/a/b.git/git-upload-pack", 0),
        ("POST https://github.com/a/b.git/git-receive-pack", 1),
        ("PUT https://api.github.com/repos/a/b", 1),
    ] {
        let output = world.operate(&format!("policy explain DIR/p.yaml {words}"));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words}: {}",
            stdout(&output)
        );
    }
}

fn what_a_layer_denies_is_explained_with_its_name() {
    let world = World::new();
    std::fs::create_dir(world.path("ceiling.d")).unwrap();
    for (content, code, told) in [
        (
            "allow: [domain=*.test]\ndeny: [domain=x.test]",
            0,
            "no mistakes; 1 rules allow, 1 deny\n",
        ),
        (
            "allow: []",
            0,
            "ceiling.d/corp.yaml: allow: allows nothing: no container reaches anything\n",
        ),
        (
            "",
            1,
            "a layer that neither allows nor denies bounds nothing",
        ),
        (
            "tls: {intercept: never}\ndeny: [domain=x.test]",
            1,
            "a layer has allow, deny and include",
        ),
    ] {
        world.write("ceiling.d/corp.yaml", content, 0o644);
        let output = world.operate("policy check DIR/ceiling.d/corp.yaml");
        assert!(
            stdout(&output).contains(told),
            "{content}: {}",
            stdout(&output)
        );
        assert_eq!(output.status.code(), Some(code), "{content}");
    }
    let create = || world.call("create --bundle BUNDLE ID");
    world.write("ceiling.d/corp.yaml", "", 0o644);
    world.assert_refused(&create(), "bounds nothing");
    world.write("ceiling.d/corp.yaml", "allow: [domain=a.test]", 0o666);
    world.assert_refused(&create(), "writable by others");
    world.write("ceiling.d/corp.yaml", "allow: [domain=a.test]", 0o644);
    world.assert_passed(&create());
    assert_eq!(world.plan().policy.layers[0].name, "ceiling.d/corp.yaml");
}

/// A container that is filtered by what its policy file says, `domain=a.test`.
fn filtered(world: &World) -> SavedState {
    let mut record = world.record(GatewayOwner::Own, alive(), Some(alive()));
    record.plan.configuration = Some(world.path("config.toml"));
    record.plan.policy = PolicySource {
        name: "default".to_owned(),
        allow: vec!["domain=a.test".to_owned()],
        ..PolicySource::default()
    };
    remember(&record);
    std::fs::create_dir(world.path("policies")).unwrap();
    record
}

fn a_change_waits_while_policies_are_swapped() {
    for words in ["reload", "reset", "apply DIR/policies/default.yaml"] {
        let world = World::new();
        let id = filtered(&world).plan.container;
        world.write("policies/default.yaml", "include: [more]", 0o644);
        world.write("policies/more.yaml", "half of it", 0o644);
        let swapping = state::swapping_policies(state::LOCK.as_ref()).unwrap();
        let mut command = world.operator(&format!("policy {words} {id}"));
        let change = command.stdout(Stdio::piped()).spawn().unwrap();
        lock::until_wanted(&swapping);
        world.write("policies/more.yaml", "allow: [domain=a.test]", 0o644);
        drop(swapping);
        let said = stdout(&change.wait_with_output().unwrap());
        assert!(said.ends_with(": unchanged\n"), "{words}: {said}");
    }
}

fn nobody_who_swaps_policies_waits_for_a_gateway() {
    let world = World::new();
    let record = filtered(&world);
    world.write("policies/default.yaml", "allow: [domain=b.test]", 0o644);
    let gateway = UnixListener::bind(control::socket(&record.plan.state)).unwrap();
    let mut command = world.operator(&format!("policy reload {}", record.plan.container));
    let change = command.stderr(Stdio::piped()).spawn().unwrap();
    let (mut asked, _) = gateway.accept().unwrap();
    drop(state::swapping_policies(state::LOCK.as_ref()).unwrap());
    // It still waits for an answer.
    asked.read_exact(&mut [0; 4]).unwrap();
    let answer = Response::NotUnderstood(String::new());
    asked.write_all(&answer.frame().unwrap()).unwrap();
    drop(asked);
    let said = stderr(&change.wait_with_output().unwrap());
    assert!(said.contains("of an older version"), "{said}");
}
