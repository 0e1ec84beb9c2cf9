//! Which of several sayings holds, and what is refused or only said.

use super::*;
use crate::jail::Type;
use crate::policy::text::parse_file;

const FILE: &str = "
allowlist:
  - domain=file.dev
jail_type: landjail
log_dir: /tmp/of_file
log_level: info
proxy_port: 8087
";

/// Something asked for; `more` changes it.
fn said(file: &str, more: impl FnOnce(&mut Said)) -> Said {
    let mut said = Said {
        file: parse_file("c", file).unwrap(),
        command: vec!["x".into()],
        ..Said::default()
    };
    more(&mut said);
    said
}

fn wrong(file: &str, more: impl FnOnce(&mut Said)) -> String {
    format!("{:#}", meaning(said(file, more)).unwrap_err())
}

#[test]
fn nothing_said_is_the_strongest_jail_that_reads_every_request() {
    let meant = meaning(said("", |_| {})).unwrap();
    assert_eq!(meant.options.jail_type, TypeChoice::Auto);
    assert_eq!(meant.options.tls.intercept, Intercept::Always);
    assert_eq!(meant.options.form, Form::Text(LevelFilter::Warn));
    assert_eq!(meant.options.denied_names, DeniedNames::Answer);
    assert_eq!((meant.audit, meant.log_directory), (Audit::Usual, None));
    assert!(meant.notes.is_empty() && meant.options.allow.is_empty());
}

#[test]
fn a_flag_beats_a_variable_which_beats_the_file() {
    let by = |more: fn(&mut Said)| meaning(said(FILE, more)).unwrap();
    let is = |meant: Meant, kind, level, directory: &str| {
        assert_eq!(meant.options.jail_type, TypeChoice::Only(kind));
        assert_eq!(meant.level, level);
        assert_eq!(meant.log_directory, Some(directory.into()));
    };
    is(
        by(|_| {}),
        Type::Landjail,
        LevelFilter::Info,
        "/tmp/of_file",
    );
    fn variables(said: &mut Said) {
        for (name, value) in [
            ("BOUNDARY_JAIL_TYPE", "notify"),
            ("BOUNDARY_LOG_LEVEL", "debug"),
            ("BOUNDARY_LOG_DIR", ""),
        ] {
            said.variables.insert(name, value.to_owned());
        }
    }
    is(
        by(variables),
        Type::Notify,
        LevelFilter::Debug,
        "/tmp/of_file",
    );
    let flags = by(|said| {
        variables(said);
        said.flags.insert("jail-type", "nsjail".to_owned());
        said.flags.insert("log-dir", "/f".to_owned());
    });
    is(flags, Type::Nsjail, LevelFilter::Debug, "/f");
}

#[test]
fn rules_of_the_file_come_first_and_the_variable_only_without_flags() {
    let rules = |more: fn(&mut Said)| meaning(said(FILE, more)).unwrap().options.allow;
    assert_eq!(rules(|_| {}), ["domain=file.dev"]);
    fn variable(said: &mut Said) {
        said.allow_variable = "domain=var.dev".to_owned();
    }
    assert_eq!(rules(variable), ["domain=file.dev", "domain=var.dev"]);
    let flags = rules(|said| {
        variable(said);
        said.allow = vec!["domain=flag.dev".to_owned()];
    });
    assert_eq!(flags, ["domain=file.dev", "domain=flag.dev"]);
}

#[test]
fn the_agent_is_told_unless_that_is_switched_off() {
    let audit = |more: fn(&mut Said)| meaning(said("", more)).unwrap().audit;
    for name in AUDIT_SOCKET.variables {
        let meant = meaning(said("", |said| {
            said.variables.insert(name, "/v".to_owned());
        }));
        assert_eq!(meant.unwrap().audit, Audit::At("/v".into()), "{name}");
    }
    let both: fn(&mut Said) = |said| {
        said.flags.insert("log-proxy-socket-path", "/f".to_owned());
        said.variables.insert("DISABLE_AUDIT_LOGS", "1".to_owned());
    };
    assert_eq!(audit(both), Audit::Off);
    assert_eq!(
        meaning(said("disable_audit_logs: true", |_| {}))
            .unwrap()
            .audit,
        Audit::Off
    );
    let empty = wrong("", |said| {
        said.flags.insert("log-proxy-socket-path", String::new());
    });
    assert!(empty.contains("empty"), "{empty}");
}

#[test]
fn what_is_not_needed_is_said_once() {
    let notes = |file: &str, more: fn(&mut Said)| meaning(said(file, more)).unwrap().notes;
    let all = notes(FILE, |said| {
        said.flags.insert("pprof", "true".to_owned());
        said.variables
            .insert("BOUNDARY_USE_REAL_DNS", "true".to_owned());
    });
    assert_eq!(all.len(), 1, "{all:?}");
    for said in [
        "proxy_port in the config file",
        "--pprof",
        "BOUNDARY_USE_REAL_DNS",
    ] {
        assert!(all[0].contains(said), "{all:?}");
    }
    assert!(notes("use_real_dns: false\npprof_enabled: false", |_| {}).is_empty());
    let level = notes("log_level: loud", |_| {});
    assert!(level[0].contains("loud") && level.len() == 1, "{level:?}");
}

#[test]
fn what_cant_be_had_is_an_error_that_names_who_asked_for_it() {
    let file = wrong("session_correlation_enabled: true", |_| {});
    assert!(
        file.contains("session_correlation_enabled in the config"),
        "{file}"
    );
    let kind = wrong("jail_type: docker", |_| {});
    assert!(
        kind.contains("jail_type") && kind.contains("docker"),
        "{kind}"
    );
    let switch = wrong("", |said| {
        said.variables
            .insert("BOUNDARY_NO_USER_NAMESPACE", "yes".to_owned());
    });
    assert!(switch.contains("BOUNDARY_NO_USER_NAMESPACE"), "{switch}");
    let list = wrong("log_level: [info]", |_| {});
    assert!(list.contains("log_level"), "{list}");
    let command = wrong("", |said| said.command.clear());
    assert!(command.contains("no command"), "{command}");
    // As with coder/boundary, targets without the switch are nothing.
    assert!(meaning(said("session_id_inject_targets: [domain=a.dev]", |_| {})).is_ok());
}

#[test]
fn what_the_file_says_of_tls_holds() {
    let tls = |file| meaning(said(file, |_| {})).unwrap().options.tls;
    assert_eq!(tls("tls: {intercept: auto}").intercept, Intercept::Auto);
    assert_eq!(tls("").intercept, Intercept::Always);
}
