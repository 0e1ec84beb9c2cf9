//! Bad input: a clear error, the container not started, nothing left.

use std::fs;

use test_support::bed::{Bed, unique};
use test_support::command::wait_for;
use test_support::docker::{IMAGE, runtime};
use test_support::harness::Test;

pub(crate) const TESTS: &[Test] = &[
    (
        "a_broken_policy_stops_the_container_and_tells_every_mistake",
        broken_policy,
    ),
    ("no_policy_at_all_means_deny_all", no_policy),
    (
        "a_named_policy_without_a_file_stops_the_container",
        missing_policy,
    ),
    ("an_oversized_policy_stops_the_container", oversized_policy),
    ("a_privileged_container_is_refused", privileged),
    (
        "no_mount_shows_the_state_the_settings_or_the_record",
        own_files,
    ),
    ("install_and_uninstall_leave_daemon_json_as_it_was", install),
];

fn broken_policy(bed: &Bed) {
    let answer = bed.run_with("boundary-broken", &[], "true");
    answer.must_fail();
    for sign in ["broken.yaml", "domian", "notaport"] {
        assert!(
            answer.stderr.contains(sign),
            "no {sign} in {}",
            answer.stderr
        );
    }
    assert!(!answer.stderr.contains("panicked"), "{}", answer.stderr);
}

fn no_policy(bed: &Bed) {
    let script = "curl -sS -m 5 -w '%{http_code}' --resolve allowed.test:80:198.51.100.10 http://allowed.test/";
    let said = bed
        .run_with("boundary-bare", &[], script)
        .must_succeed()
        .stdout
        .clone();
    assert!(
        said.ends_with("403") && said.contains("/etc/boundary/bare/policies/default.yaml"),
        "{said}"
    );
}

fn missing_policy(bed: &Bed) {
    let answer = bed.run_with("boundary-unwritten", &[], "true");
    assert!(
        answer
            .must_fail()
            .stderr
            .contains("/etc/boundary/policies/unwritten.yaml"),
        "{}",
        answer.stderr
    );
}

fn privileged(bed: &Bed) {
    let answer = bed.run(&["--privileged"], "true");
    answer.must_fail();
    assert!(answer.stderr.contains("privileged"), "{}", answer.stderr);
}

/// Every way to the program's own files that was thought of; where the host allows it, each shows
/// them.
fn own_files(bed: &Bed) {
    let observed = bed.sleeper(&[]);
    let id = observed.id();
    bed.exec(&["ln", "-sfn", "/run", "/srv/link"])
        .must_succeed();
    bed.exec(&["mkdir", "-p", "/srv/below/again"])
        .must_succeed();
    bed.exec(&["mount", "--bind", "/var/log", "/srv/below/again"])
        .must_succeed();
    // Root in a container writes what is root's on the host.
    let project = "mkdir /srv/project
        printf 'allow:\\n- domain=allowed.test\\n' > /srv/project/policy.yaml
        ln -s /srv/project/policy.yaml /etc/boundary/policies/linked.yaml
        mkdir -p /srv/conf /srv/releases/1 /etc/boundary/presets.d
        cp /srv/project/policy.yaml /srv/releases/1/web.yaml
        ln -s ../releases/1 /srv/conf/current
        ln -s /srv/conf/current/web.yaml /etc/boundary/policies/released.yaml";
    bed.exec(&["sh", "-ec", project]).must_succeed();
    let (state, record, settings) = (
        "ls -d /x/*ID*/record.json",
        "ls /x/ID.jsonl",
        "cat /x/policies/default.yaml",
    );
    let deeper = |script: &str, folder: &str| script.replace("/x/", &format!("/x/{folder}/"));
    for (source, script) in [
        ("/run/boundary", state.to_owned()),
        ("/run", deeper(state, "boundary")),
        ("/var/run", deeper(state, "boundary")),
        ("/srv/link", deeper(state, "boundary")),
        ("/etc/boundary", settings.to_owned()),
        ("/etc", deeper(settings, "boundary")),
        ("/var/log/boundary", record.to_owned()),
        ("/var", deeper(record, "log/boundary")),
        ("/srv/below", deeper(record, "again/boundary")),
        ("/srv/project", "cat /x/policy.yaml".to_owned()),
        ("/srv/releases", "cat /x/1/web.yaml".to_owned()),
        // Nothing of ours is in there, but whoever writes there leads it elsewhere.
        ("/srv/conf", "readlink /x/current".to_owned()),
        ("/", deeper(state, "run/boundary")),
    ] {
        let mount = format!("{source}:/x:ro");
        let allowed = bed.run_with(
            "boundary-mounts",
            &["-v", &mount],
            &script.replace("ID", &id),
        );
        assert!(
            allowed.must_succeed().stdout.len() > 1,
            "{source}: {allowed:?}"
        );
        let refused = bed.run(&["-v", &mount], "true");
        assert!(
            refused.must_fail().stderr.contains("boundary-mounts"),
            "{source}: {}",
            refused.stderr
        );
    }
    let others = bed.run_with(
        "boundary-auto-ways",
        &["-v", "/etc/boundary/presets.d:/x:ro"],
        "true",
    );
    assert!(others.must_fail().stderr.contains("boundary-mounts"));
    bed.exec(&[
        "rm",
        "/etc/boundary/policies/linked.yaml",
        "/etc/boundary/policies/released.yaml",
    ])
    .must_succeed();
    let narrow = [
        "-v",
        "/etc/ssl:/etc/ssl:ro",
        "-v",
        "/etc/hostname:/name:ro",
        "-v",
        "/srv:/srv",
        "-v",
        "/tmp:/host",
    ];
    let answer = bed.run(&narrow, "true");
    bed.exec(&["umount", "/srv/below/again"]).must_succeed();
    // With an alias of the record below it, a harmless folder isn't.
    assert!(
        answer.must_fail().stderr.contains("/srv"),
        "{}",
        answer.stderr
    );
    bed.run(&narrow, "true").must_succeed();
}

/// As long as a policy may be, and one byte longer: a comment, so that nothing but its length is
/// wrong.
fn oversized_policy(bed: &Bed) {
    let rules = "allow:\n  - domain=allowed.test\n#";
    let longest = rules.to_owned() + &"x".repeat((1 << 20) - rules.len());
    let write =
        |policy: &str| fs::write(bed.inside("/etc/boundary/policies/huge.yaml"), policy).unwrap();
    write(&longest);
    bed.run_with("boundary-huge", &[], "true").must_succeed();
    write(&(longest + "x"));
    let answer = bed.run_with("boundary-huge", &[], "true");
    assert!(
        answer
            .must_fail()
            .stderr
            .contains("huge.yaml: longer than 1048576 bytes"),
        "{}",
        answer.stderr
    );
}

fn install(bed: &Bed) {
    let file = bed.inside("/etc/docker/daemon.json");
    let before = fs::read_to_string(&file).unwrap();
    let name = unique("other");
    bed.exec(&["boundary-shim", "install", "docker", "--name", &name])
        .must_succeed();
    let during: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(during["runtimes"][&name].is_object(), "{during}");
    assert_eq!(during["fixed-cidr-v6"], "fd00:bed::/64");
    // A signal makes dockerd read its file again, in its own time.
    wait_for("dockerd to know the runtime", || {
        bed.docker(&["info", "--format", "{{json .Runtimes}}"])
            .stdout
            .contains(&name)
    });
    bed.docker(&["run", "--rm", "--runtime", &name, IMAGE, "true"])
        .must_succeed();
    bed.docker(&["run", "--rm", "--runtime", &runtime(), IMAGE, "true"])
        .must_succeed();
    bed.exec(&["boundary-shim", "uninstall", "docker", "--name", &name])
        .must_succeed();
    let after: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        after,
        serde_json::from_str::<serde_json::Value>(&before).unwrap()
    );
}
