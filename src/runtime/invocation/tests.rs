//! What is taken from runc's command lines, as engines write them and as an attacker would.

use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;

fn line(text: &str) -> Vec<OsString> {
    std::iter::once("boundary-shim")
        .chain(text.split_ascii_whitespace())
        .map(OsString::from)
        .collect()
}

fn command_of(text: &str) -> Result<RuntimeCommand, InvocationError> {
    scan(&line(text)).command
}

fn created(bundle: &str, id: &str) -> Result<RuntimeCommand, InvocationError> {
    let bundle = Some(bundle)
        .filter(|bundle| !bundle.is_empty())
        .map(PathBuf::from);
    Ok(RuntimeCommand::Create {
        bundle,
        id: id.to_owned(),
        waits: true,
        restores: false,
        no_pivot: false,
        preserved: 0,
    })
}

/// As a line that has `--no-pivot`, too.
fn without_pivot(
    command: Result<RuntimeCommand, InvocationError>,
) -> Result<RuntimeCommand, InvocationError> {
    command.map(|command| match command {
        RuntimeCommand::Create {
            bundle,
            id,
            waits,
            restores,
            preserved,
            ..
        } => RuntimeCommand::Create {
            bundle,
            id,
            waits,
            restores,
            no_pivot: true,
            preserved,
        },
        other => other,
    })
}

/// As [`created`], by a verb that also starts.
fn ran(bundle: &str, id: &str) -> Result<RuntimeCommand, InvocationError> {
    created(bundle, id).map(|command| match command {
        RuntimeCommand::Create {
            bundle,
            id,
            no_pivot,
            preserved,
            ..
        } => RuntimeCommand::Create {
            bundle,
            id,
            waits: false,
            restores: false,
            no_pivot,
            preserved,
        },
        other => other,
    })
}

/// As [`ran`], of what was saved.
fn restored(bundle: &str, id: &str) -> Result<RuntimeCommand, InvocationError> {
    let mut command = ran(bundle, id);
    if let Ok(RuntimeCommand::Create { restores, .. }) = &mut command {
        *restores = true;
    }
    command
}

#[test]
fn the_lines_of_engines_are_read() {
    let docker =
        "--root /run/docker/runtime-runc/moby --log /b/log.json --log-format json --systemd-cgroup";
    let found = scan(&line(&format!(
        "{docker} create --bundle /b --pid-file /b/init.pid --console-socket /t/p.sock ID"
    )));
    assert_eq!(found.command, created("/b", "ID"));
    assert_eq!(
        found.globals.root.as_deref(),
        Some(Path::new("/run/docker/runtime-runc/moby"))
    );
    assert_eq!(found.globals.log.as_deref(), Some(Path::new("/b/log.json")));
    assert_eq!(
        found.globals.log_format.as_deref(),
        Some(OsStr::new("json"))
    );
    assert_eq!(
        command_of(&format!("{docker} start ID")),
        Ok(RuntimeCommand::Start { id: "ID".into() })
    );
    assert_eq!(
        command_of(&format!("{docker} delete --force ID")),
        Ok(RuntimeCommand::Delete { id: "ID".into() })
    );
    let exec = RuntimeCommand::Exec {
        id: "ID".into(),
        process: Some("/tmp/p".into()),
        capabilities: vec![],
        preserved: 0,
    };
    assert_eq!(
        command_of(&format!(
            "{docker} exec --process /tmp/p --detach --pid-file /b/e.pid ID"
        )),
        Ok(exec)
    );
    let restore = "restore --image-path P --work-path W --detach --pid-file F --no-pivot -no-subreaper --bundle B ID";
    assert_eq!(command_of(restore), without_pivot(restored("B", "ID")));
}

#[test]
fn no_pivot_is_seen_however_it_is_written_and_never_guessed_at() {
    for option in [
        "--no-pivot",
        "-no-pivot",
        "--no-pivot=true",
        "--no-pivot=false",
    ] {
        assert_eq!(
            command_of(&format!("create {option} -b B ID")),
            without_pivot(created("B", "ID")),
            "{option}"
        );
        assert_eq!(
            command_of(&format!("run ID {option} -b B")),
            without_pivot(ran("B", "ID")),
            "{option}"
        );
    }
    // argp (crun) takes a beginning of the name, too.
    let short = command_of("create --no-piv -b B ID");
    assert!(
        matches!(short, Err(InvocationError::Unsupported(_))),
        "{short:?}"
    );
}

#[test]
fn the_bundle_is_found_however_it_is_written() {
    for bundle in [
        "--bundle B",
        "--bundle=B",
        "-bundle B",
        "-bundle=B",
        "-b B",
        "-b=B",
        "--b=B",
        "-bB",
    ] {
        assert_eq!(
            command_of(&format!("create {bundle} ID")),
            created("B", "ID"),
            "{bundle}"
        );
        assert_eq!(
            command_of(&format!("run ID {bundle}")),
            ran("B", "ID"),
            "{bundle}"
        );
    }
    assert_eq!(command_of("create -b A --bundle B ID"), created("B", "ID"));
    assert_eq!(command_of("create ID"), created("", "ID"));
    assert_eq!(command_of("create --bundle B -- ID"), created("B", "ID"));
}

#[test]
fn a_value_or_a_container_called_create_is_no_verb() {
    assert_eq!(
        command_of("--root create state ID"),
        Ok(RuntimeCommand::Other)
    );
    assert_eq!(command_of("state create"), Ok(RuntimeCommand::Other));
    assert_eq!(
        command_of("start create"),
        Ok(RuntimeCommand::Start {
            id: "create".into()
        })
    );
    assert_eq!(command_of("create create"), created("", "create"));
    assert_eq!(command_of("-- create ID"), created("", "ID"));
}

#[test]
fn a_line_that_could_start_something_unseen_is_refused() {
    for text in [
        "--strange value create --bundle B ID",
        "--strange state create --bundle B ID",
        "--strange exec create -b B ID",
        "create --strange VALUE ID",
        "create -- ID --bundle B",
        "create",
        "create A B",
        "start A B",
        "exec --strange VALUE ID sh",
        "exec --strange ID --process F",
    ] {
        assert!(command_of(text).is_err(), "{text}");
    }
}

#[test]
fn what_only_crun_would_understand_is_refused_where_it_matters() {
    for text in [
        "create --config F ID",
        "create -f F ID",
        "create -fF ID",
        "run --conf=F ID",
        "create --bund B ID",
        "create -dbB ID",
        "exec --proc=F ID",
        "exec -pF ID",
        "exec --ca=CAP_SYS_ADMIN ID",
    ] {
        assert!(command_of(text).is_err(), "{text}");
    }
}

#[test]
fn unknown_options_that_can_not_mislead_pass() {
    assert_eq!(
        command_of("--strange=1 create --other=2 --bundle B ID"),
        created("B", "ID")
    );
    assert_eq!(
        command_of("create --bundle B --strange ID"),
        created("B", "ID")
    );
    assert_eq!(
        command_of("--strange value state ID"),
        Ok(RuntimeCommand::Other)
    );
    assert_eq!(command_of("strange --verb x"), Ok(RuntimeCommand::Other));
    assert_eq!(command_of(""), Ok(RuntimeCommand::Other));
    assert_eq!(command_of("create --help"), Ok(RuntimeCommand::Other));
}

#[test]
fn the_program_run_by_exec_keeps_its_own_options() {
    let found = command_of("exec --cap CAP_A,CAP_B -c CAP_C ID mkdir -p /x --process Y");
    let capabilities = ["CAP_A", "CAP_B", "CAP_C"].map(str::to_owned).to_vec();
    assert_eq!(
        found,
        Ok(RuntimeCommand::Exec {
            id: "ID".into(),
            process: None,
            capabilities,
            preserved: 0
        })
    );
}

#[test]
fn the_number_of_preserved_descriptors_is_read_or_counts_as_all() {
    for (word, number) in [
        ("=2", 2),
        (" 2", 2),
        ("=0x2", u32::MAX),
        ("=-1", u32::MAX),
        ("=", u32::MAX),
    ] {
        for verb in ["create", "run", "restore", "exec"] {
            let read = match command_of(&format!("{verb} --preserve-fds{word} ID")) {
                Ok(
                    RuntimeCommand::Create { preserved, .. }
                    | RuntimeCommand::Exec { preserved, .. },
                ) => preserved,
                other => panic!("{other:?}"),
            };
            assert_eq!(read, number, "{verb}{word}");
        }
    }
    for verb in ["create", "exec"] {
        assert!(
            command_of(&format!("{verb} --preserve=2 ID")).is_err(),
            "argp takes a beginning, too"
        );
    }
}

#[test]
fn our_own_options_are_taken_out_only_before_the_verb() {
    for own in [
        "--boundary-policy npm",
        "--boundary-policy=npm",
        "-boundary-policy npm",
        "-boundary-policy=npm",
    ] {
        let found = scan(&line(&format!(
            "--root /r {own} --debug create ID --boundary-policy x=y"
        )));
        assert_eq!(found.globals.policy.as_deref(), Some("npm"));
        assert_eq!(
            found.arguments,
            line("--root /r --debug create ID --boundary-policy x=y")[1..]
        );
    }
    let found = scan(&line(
        "--boundary-config /etc/x --log -- --boundary-config=/etc/y -- state",
    ));
    assert_eq!(found.globals.config.as_deref(), Some(Path::new("/etc/y")));
    assert_eq!(found.arguments, line("--log -- -- state")[1..]);
    assert_eq!(
        command_of("--boundary-policy"),
        Err(InvocationError::NoValue("boundary-policy"))
    );
    assert_eq!(
        command_of("--boundary-policy= create ID"),
        Err(InvocationError::NoValue("boundary-policy"))
    );
}

#[test]
fn the_programs_name_picks_the_policy_and_the_option_wins() {
    let policy = |words: &[&str]| {
        scan(&words.iter().map(OsString::from).collect::<Vec<_>>())
            .globals
            .policy
    };
    assert_eq!(
        policy(&["/usr/local/bin/boundary-npm"]).as_deref(),
        Some("npm")
    );
    assert_eq!(
        policy(&["boundary-npm", "--boundary-policy", "ci"]).as_deref(),
        Some("ci")
    );
    for name in [
        "boundary-shim",
        "boundary",
        "boundary-",
        "runc",
        "/x/boundary-shim",
        "",
    ] {
        assert_eq!(policy(&[name]), None, "{name}");
    }
}

#[test]
fn the_programs_name_picks_the_mode_and_the_option_wins() {
    let named = |words: &[&str]| {
        let found = scan(&words.iter().map(OsString::from).collect::<Vec<_>>());
        (found.globals.policy, found.globals.mode)
    };
    let npm = || Some("npm".to_owned());
    for (words, expected) in [
        (
            &["/x/boundary-npm+observe"][..],
            (npm(), Some(Mode::Observe)),
        ),
        (&["boundary-shim+observe"], (None, Some(Mode::Observe))),
        (&["boundary-npm"], (npm(), None)),
        (
            &["boundary-npm+observe", "--boundary-mode", "enforce"],
            (npm(), Some(Mode::Enforce)),
        ),
        (
            &["boundary-npm", "--boundary-mode=observe"],
            (npm(), Some(Mode::Observe)),
        ),
        // No policy is called so, and nothing starts.
        (
            &["boundary-npm+watch"],
            (Some("npm+watch".to_owned()), None),
        ),
    ] {
        assert_eq!(named(words), expected, "{words:?}");
    }
    assert_eq!(
        command_of("--boundary-mode=off create ID"),
        Err(InvocationError::NoMode)
    );
    assert_eq!(
        command_of("--boundary-mode= create ID"),
        Err(InvocationError::NoValue("boundary-mode"))
    );
}

/// Words that a line is made of, the interesting ones often.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "--root",
        "-root=x",
        "--log",
        "--log=",
        "create",
        "run",
        "start",
        "exec",
        "state",
        "--bundle",
        "-b",
        "-bX",
        "--",
        "-",
        "--process=p",
        "-p",
        "--cap",
        "ID",
        "--strange",
        "--strange=1",
        "---x",
        "-=",
        "--=",
        "",
        "--debug",
        "-dbx",
        "=",
    ]);
    prop_oneof![4 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => prop::collection::vec(1..=255_u8, 0..6)]
}

fn own() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let name = prop::sample::select(vec!["boundary-config", "boundary-policy"]);
    let dashes = prop::sample::select(vec!["-", "--"]);
    (name, dashes, any::<bool>()).prop_map(|(name, dashes, apart)| {
        let flag = format!("{dashes}{name}");
        if apart {
            vec![flag.into_bytes(), b"v".to_vec()]
        } else {
            vec![format!("{flag}=v").into_bytes()]
        }
    })
}

fn words(parts: &[Vec<u8>]) -> Vec<OsString> {
    parts.iter().cloned().map(OsString::from_vec).collect()
}

proptest! {
    #[test]
    fn a_line_without_our_options_is_handed_off_byte_for_byte(parts in prop::collection::vec(word(), 0..10)) {
        let given = words(&parts);
        let found = scan(&[vec![OsString::from("boundary")], given.clone()].concat());
        prop_assert_eq!(found.arguments, given);
    }

    #[test]
    fn our_options_change_nothing_but_themselves(parts in prop::collection::vec(word(), 0..8), own in own()) {
        let line = |front: &[Vec<u8>]| [vec![OsString::from("boundary")], words(front), words(&parts)].concat();
        let (without, with) = (scan(&line(&[])), scan(&line(&own)));
        prop_assert_eq!(with.arguments, without.arguments);
        prop_assert_eq!(with.command, without.command);
    }
}

#[test]
fn features_and_the_version_are_seen_where_nothing_else_is_asked_for() {
    assert_eq!(command_of("features"), Ok(RuntimeCommand::Features));
    assert_eq!(
        command_of("--root /r --log /l features"),
        Ok(RuntimeCommand::Features)
    );
    for line in ["--version", "-v", "--root features --version"] {
        assert_eq!(command_of(line), Ok(RuntimeCommand::Version), "{line}");
    }
    for line in ["", "--help", "state features", "--version state c"] {
        assert_eq!(command_of(line), Ok(RuntimeCommand::Other), "{line}");
    }
}

#[test]
fn another_process_file_stands_exactly_where_the_line_names_one() {
    let changed = |text: &str| {
        let words = scan(&line(text)).with_process_file(OsStr::new("NEW"));
        words
            .iter()
            .map(|word| word.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (given, expected) in [
        ("exec --process f ID", "exec --process NEW ID"),
        ("exec -p f -d ID", "exec -p NEW -d ID"),
        ("exec --process=f ID", "exec --process=NEW ID"),
        ("--root /r exec -p=f ID", "--root /r exec -p=NEW ID"),
        ("exec -p f -p g ID", "exec -p NEW -p NEW ID"),
        ("exec -p f -- ID -p f", "exec -p NEW -- ID -p f"),
        (
            "exec -p f ID sh --process f",
            "exec -p NEW ID sh --process f",
        ),
        (
            "exec --cwd f -e p=f --process p ID f",
            "exec --cwd f -e p=f --process NEW ID f",
        ),
        ("--root exec exec -p f ID", "--root exec exec -p NEW ID"),
        ("exec ID", "exec ID"),
        ("--boundary-policy exec exec -p f ID", "exec -p NEW ID"),
    ] {
        assert_eq!(changed(given), expected, "{given}");
    }
}
