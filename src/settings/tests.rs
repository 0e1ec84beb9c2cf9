//! The configuration file: every key, every mistake with its line, and whose files are believed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;
use proptest::prelude::*;

use super::*;
use crate::policy::text::MAX_FILE;
use crate::policy::{DeniedNames, Mode, PolicyName};
use crate::seccomp::tier::Tier;

fn parsed(content: &str) -> Settings {
    parse("c.toml", content).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn mistakes(content: &str) -> Vec<String> {
    parse("c.toml", content)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn write(path: &Path, content: &str, mode: u32) {
    let mut file = File::create(path).unwrap();
    io::Write::write_all(&mut file, content.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(parsed(""), Settings::default());
    assert_eq!(parsed("[annotations]\n"), Settings::default());
}

#[test]
fn every_key_is_understood() {
    let settings = parsed(concat!(
        "runtime = \"/usr/bin/crun\"\npolicy = \"corp\"\nreload = \"auto\"\nresolvers = [\"192.0.2.53\", \"[2001:db8::53]:5353\"]\n",
        "extra-ca = [\"/etc/ssl/corp.pem\"]\ncontainer-resolvers = \"any\"\npreserved-sockets = \"allow\"\n",
        "record-labels = [\"com.example.team\"]\n",
        "audit-directory = \"/srv/audit\"\naudit-keep = \"30d\"\nuser-namespace = \"require\"\nprivileged = \"allow\"\nhost-network = \"refuse\"\n",
        "boundary-mounts = \"allow\"\nnet-devices = \"adopt\"\nrdma-devices = \"allow\"\n",
        "nesting = \"bwrap\"\npod-nesting = [\"ci\", \"agents\"]\npod-capabilities = \"drop\"\nproxy-memory = \"24MiB\"\ndns-rate-limit = 5_000\ndenied-names = \"answer\"\ndenied-note = \"Ask at #network.\"\nlog-level = \"debug\"\n",
        "[annotations]\npolicies = [\"npm\", \"pip\"]\nmodes = [\"enforce\", \"observe\"]\nceiling = \"top\"\n",
    ));
    let name = |text| PolicyName::parse(text).unwrap();
    assert_eq!(
        settings,
        Settings {
            runtime: Some(PathBuf::from("/usr/bin/crun")),
            file: PathBuf::from(DEFAULT_FILE),
            policy: name("corp"),
            policies: PathBuf::from("/etc/boundary/policies"),
            presets: PathBuf::from("/etc/boundary/presets.d"),
            layers: Vec::new(),
            reload: Reload::Auto,
            resolvers: vec![
                "192.0.2.53:53".parse().unwrap(),
                "[2001:db8::53]:5353".parse().unwrap()
            ],
            extra_ca: vec![PathBuf::from("/etc/ssl/corp.pem")],
            container_resolvers: ContainerResolvers::Any,
            preserved_sockets: PreservedSockets::Allow,
            audit_directory: PathBuf::from("/srv/audit"),
            record_labels: vec!["com.example.team".to_owned()],
            audit_keep: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            user_namespace: UserNamespace::Require,
            privileged: Privileged::Allow,
            boundary_mounts: BoundaryMounts::Allow,
            net_devices: NetDevices::Adopt,
            rdma_devices: RdmaDevices::Allow,
            host_network: HostNetwork::Refuse,
            nesting: Some(Tier::Bwrap),
            pod_nesting: PodNesting::Namespaces(vec!["ci".to_owned(), "agents".to_owned()]),
            pod_capabilities: PodCapabilities::Drop,
            proxy_memory: 24 << 20,
            dns_rate_limit: 5000.try_into().unwrap(),
            denied_names: DeniedNames::Answer,
            denied_note: Some("Ask at #network.".to_owned()),
            log_level: LevelFilter::Debug,
            annotations: Annotations {
                policies: vec![name("npm"), name("pip")],
                modes: vec![Mode::Enforce, Mode::Observe],
                ceiling: Some(name("top")),
            },
        }
    );
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_line() {
    let found = mistakes(concat!(
        "runtme = \"runc\"\n",
        "runtime = \"../runc\"\n",
        "policy = \"a/b\"\n",
        "resolvers = [\"192.0.2.1\",\n  \"dns.test\", 5, \"192.0.2.1:0\"]\n",
        "audit-directory = \"log\"\n",
        "user-namespace = \"no\"\n",
        "privileged = true\n",
        "host-network = [\"filter\"]\n",
        "log-level = \"trace\"\n",
        "[annotations]\n",
        "modes = \"enforce\"\n",
        "policy = []\n",
        "ceiling = \"..\"\n",
    ));
    let starts = [
        "c.toml:1: runtme: unknown key (expected one of runtime, policy,",
        "c.toml:2: runtime: expected an absolute path",
        "c.toml:3: policy: \"a/b\" is not a valid policy name",
        "c.toml:5: resolvers: expected an IP address",
        "c.toml:5: resolvers: expected a string in quotes",
        "c.toml:5: resolvers: expected an IP address",
        "c.toml:6: audit-directory: expected an absolute path",
        "c.toml:7: user-namespace: expected \"auto\", \"require\" or \"never\"",
        "c.toml:8: privileged: expected a string in quotes",
        "c.toml:9: host-network: expected a string in quotes",
        "c.toml:10: log-level: expected \"error\", \"warn\", \"info\" or \"debug\"",
        "c.toml:12: modes: expected a list of strings",
        "c.toml:13: policy: unknown key (expected one of policies, modes, ceiling)",
        "c.toml:14: ceiling: ",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}\n{start}");
    }
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let found = mistakes("policy = \"corp\"\npolicy = \"npm\"\nruntime =\nprivileged = \"no\"\n");
    for line in ["c.toml:2: ", "c.toml:3: ", "c.toml:4: privileged: "] {
        assert!(
            found.iter().any(|mistake| mistake.starts_with(line)),
            "{line}: {found:#?}"
        );
    }
    assert!(mistakes("annotations = 1")[0].starts_with("c.toml:1: annotations: "));
    assert!(!mistakes(&"[".repeat(100_000)).is_empty());
    assert_eq!(mistakes(&"x\n".repeat(100_000)).len(), 50);
}

#[test]
fn the_policies_are_beside_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    write(&file, "policy = \"corp\"\n", 0o644);
    let settings = load(Some(&file)).unwrap();
    assert_eq!(settings.policies, directory.path().join("policies"));
    assert_eq!(settings.policy.as_str(), "corp");
}

#[test]
fn a_file_that_was_named_must_exist() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let found = load(Some(&file)).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        format!("{}: does not exist", file.display())
    );
}

#[test]
fn a_file_that_others_could_have_written_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    for (mode, trusted) in [
        (0o600, true),
        (0o644, true),
        (0o664, false),
        (0o646, false),
        (0o622, false),
    ] {
        write(&file, "", mode);
        assert_eq!(read_trusted(&file).is_ok(), trusted, "{mode:o}");
    }
    write(&file, "", 0o644);
    if test_support::needs::is_root() {
        nix::unistd::chown(&file, Some(12345.into()), None).unwrap();
        assert_eq!(
            read_trusted(&file).unwrap_err().to_string(),
            "owned by user 12345, not by root"
        );
    }
}

#[test]
fn what_is_no_plain_file_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    symlink("/dev/zero", at("zero")).unwrap();
    write(&at("binary"), "", 0o600);
    fs::OpenOptions::new()
        .write(true)
        .open(at("binary"))
        .and_then(|mut file| io::Write::write_all(&mut file, b"\xff"))
        .unwrap();
    write(&at("big"), &"#".repeat(MAX_FILE + 1), 0o600);
    write(&at("full"), &"#".repeat(MAX_FILE), 0o600);
    for name in ["fifo", "zero", "binary", "big", "."] {
        assert!(read_trusted(&at(name)).is_err(), "{name}");
    }
    assert!(read_trusted(&at("full")).unwrap().is_some());
    assert!(read_trusted(&at("none")).unwrap().is_none());
    write(&at("real"), "policy = \"corp\"", 0o600);
    symlink("real", at("link")).unwrap();
    assert!(read_trusted(&at("link")).unwrap().is_some());
}

proptest! {
    #[test]
    fn any_text_is_judged_without_a_panic(text in any::<String>()) {
        let _ = parse("c.toml", &text);
    }

    #[test]
    fn texts_that_look_like_settings_are_judged_without_a_panic(
        text in "((runtime|policy|resolvers|modes|annotations|x)( = | )?(\"[a-z/.:0-9]{0,6}\"|\\[|\\]|\\{|\\}|true|1)?\n?){0,8}",
    ) {
        let _ = parse("c.toml", &text);
    }
}

#[test]
fn a_pod_nests_only_where_the_host_lists_its_namespace() {
    let cases = [
        ("", [true, false, false]),
        ("pod-nesting = \"off\"", [true, false, false]),
        ("pod-nesting = \"all\"", [true, true, true]),
        ("pod-nesting = [\"ci\"]", [true, true, false]),
        ("pod-nesting = []", [true, false, false]),
        ("pod-nesting = \"all\"\nnesting = \"none\"", [false; 3]),
    ];
    for (content, expected) in cases {
        let settings = parsed(content);
        assert_eq!(
            [None, Some("ci"), Some("")].map(|pod| settings.nesting_in(pod).is_some()),
            expected,
            "{content}"
        );
    }
}

#[test]
fn what_is_no_list_of_kubernetes_namespaces_is_refused() {
    for value in [
        "true",
        "\"ci\"",
        "[\"\"]",
        "[\"*\"]",
        "[\"CI\"]",
        "[\"a/b\"]",
        "[\"-a\"]",
        "[1]",
    ] {
        let content = format!("pod-nesting = {value}");
        assert!(
            mistakes(&content)[0].starts_with("c.toml:1: pod-nesting: "),
            "{value}: {:?}",
            mistakes(&content)
        );
    }
}

#[test]
fn memory_is_a_whole_number_of_a_unit_and_enough_for_a_filter() {
    for (text, size) in [
        ("64MiB", 64 << 20),
        ("16384KiB", 16 << 20),
        ("2GiB", 2 << 30),
        ("016MiB", 16 << 20),
    ] {
        assert_eq!(
            parsed(&format!("proxy-memory = \"{text}\"")).proxy_memory,
            size,
            "{text}"
        );
    }
    for text in [
        "",
        "64",
        "MiB",
        "64 MiB",
        "64MB",
        "64mib",
        "-64MiB",
        "+64MiB",
        "1.5GiB",
        "15MiB",
        "0GiB",
        "99999999999GiB",
    ] {
        assert!(
            mistakes(&format!("proxy-memory = \"{text}\""))[0].contains("at least 16MiB"),
            "{text}"
        );
    }
    assert!(mistakes("proxy-memory = 67108864")[0].contains("quotes"));
}

#[test]
fn a_rate_is_a_number_of_at_least_one() {
    let limit = |text: &str| {
        parsed(&format!("dns-rate-limit = {text}"))
            .dns_rate_limit
            .get()
    };
    assert_eq!(
        (limit("1"), limit("0x10"), limit("1_000_000")),
        (1, 16, 1_000_000)
    );
    for text in [
        "0",
        "-1",
        "1.5",
        "1000001",
        "99999999999",
        "\"2000\"",
        "true",
    ] {
        assert!(
            mistakes(&format!("dns-rate-limit = {text}"))[0]
                .starts_with("c.toml:1: dns-rate-limit: expected a whole number from 1 to 1000000"),
            "{text}"
        );
    }
}

#[test]
fn the_note_to_denials_is_one_line() {
    assert_eq!(parsed("").denied_note, None);
    for text in ["", "a\\nb", "a\\u001bb", &"x".repeat(513)] {
        let found = mistakes(&format!("denied-note = \"{text}\""));
        assert!(
            found[0].starts_with("c.toml:1: denied-note: expected one line"),
            "{found:?}"
        );
    }
}

#[test]
fn the_record_tells_only_labels_that_are_listed() {
    assert_eq!(parsed("").record_labels, Vec::<String>::new());
    assert_eq!(
        parsed("record-labels = [\"com.example.team\", \"app\"]").record_labels,
        ["com.example.team", "app"]
    );
    for value in [
        "true",
        "\"app\"",
        "[\"\"]",
        "[\"a b\"]",
        "[\"\\u001b\"]",
        "[1]",
    ] {
        let content = format!("record-labels = {value}");
        assert!(
            mistakes(&content)[0].starts_with("c.toml:1: record-labels: "),
            "{value}: {:?}",
            mistakes(&content)
        );
    }
}

#[test]
fn how_long_records_are_kept_is_a_time_that_passes() {
    assert_eq!(
        parsed("audit-keep = \"1d 12h\"").audit_keep,
        Some(Duration::from_secs(36 * 60 * 60))
    );
    for text in [
        "",
        "0s",
        "30",
        "d",
        "-30d",
        "for ever",
        "99999999999999999999d",
    ] {
        assert!(
            mistakes(&format!("audit-keep = \"{text}\""))[0]
                .starts_with("c.toml:1: audit-keep: expected a duration"),
            "{text}"
        );
    }
}

#[test]
fn layers_are_the_files_in_their_folder_and_a_name_that_can_be_none_is_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write(&at("config.toml"), "", 0o600);
    let load = || load(Some(&at("config.toml")));
    assert!(load().unwrap().layers.is_empty());
    fs::create_dir(at("ceiling.d")).unwrap();
    for name in [
        "b.yaml",
        "a.yaml",
        "..data",
        ".a.yaml.swp",
        "README",
        "a.yaml~",
    ] {
        write(&at("ceiling.d").join(name), "", 0o600);
    }
    let settings = load().unwrap();
    assert_eq!(
        settings.layers,
        ["a.yaml", "b.yaml"].map(|name| at("ceiling.d").join(name))
    );
    assert_eq!(settings.presets, at("presets.d"));
    for name in ["c.yml", "My corp.yaml"] {
        let file = at("ceiling.d").join(name);
        write(&file, "", 0o600);
        let found = load().unwrap_err();
        assert_eq!(found[0].origin, file.display().to_string());
        fs::remove_file(file).unwrap();
    }
    for number in 0..63 {
        write(&at("ceiling.d").join(format!("{number}.yaml")), "", 0o600);
    }
    assert!(load().unwrap_err()[0].message.contains("more than 64"));
    fs::remove_dir_all(at("ceiling.d")).unwrap();
    write(&at("ceiling.d"), "", 0o600);
    assert!(load().is_err(), "which there are, nobody knows");
}
