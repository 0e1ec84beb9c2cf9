//! Collects the facts: does what the start of a container does and undoes it at once, and asks the
//! programs that would be called.
//!
//! Changes nothing on the host. Lists of modules and versions say little about what a kernel can
//! do, so things are tried instead.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nix::unistd::{AccessFlags, access};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use super::findings::{EngineFacts, Facts, RuntimeFacts, SettingsFacts};
use crate::apparmor::{self, Denied};
use crate::cli::install::{InstallTarget, installation};
use crate::container::state;
use crate::dockerd;
use crate::gateway::{Gateway, NamespaceHandle, adopt};
use crate::host::Host;
use crate::integrate::containerd::{self, Containerd};
use crate::integrate::docker::Docker;
use crate::integrate::drop_in::{self, DropIn, DropInReader};
use crate::integrate::runtime_name::RuntimeName;
use crate::integrate::{self, Installation};
use crate::packets::agreed::ProxyPorts;
use crate::policy::{CapturedPorts, PolicyName, text};
use crate::runtime::runtimes::RealRuntime;
use crate::seccomp::tier::Tier;
use crate::settings::{self, Settings, Shelves};
use crate::sys::netns::Namespace;
use crate::sys::process::{self, Trial};
use crate::sys::socket;

/// Looks at this host, and at all its engines or `only` one.
///
/// # Errors
/// This program's own file can't be found.
pub(super) fn look(config: Option<&Path>, only: Option<InstallTarget>) -> anyhow::Result<Facts> {
    let settings = settings::load(config);
    // With a broken configuration no runtime is called: report the one used without configuration.
    let configured = settings
        .as_ref()
        .ok()
        .and_then(|settings| settings.runtime.clone());
    let nesting = settings.as_ref().ok().and_then(|settings| settings.nesting);
    Ok(Facts {
        runtime: RealRuntime::choose(configured.as_deref())
            .map(|runtime| ask(&runtime))
            .map_err(joined),
        configuration: settings
            .map(|settings| judge(&settings))
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect()),
        gateway: make_a_gateway().map_err(joined),
        host: Host::read(),
        user_namespace: process::try_in_child(Trial::UserNamespace, None)
            .map_err(|error| error.to_string()),
        profiles: nesting.map(profiles).unwrap_or_default(),
        neighbours: neighbours(),
        lost: state::list()
            .unwrap_or_default()
            .iter()
            .filter(|record| record.has_lost_its_gateway())
            .count(),
        engines: engines(&installation()?, only),
    })
}

/// What the kernel tells in the first network namespace alone. One without IPv6 isn't judged.
fn neighbours() -> Option<[u64; 2]> {
    let most = |family: &str| {
        let file = format!("/proc/sys/net/{family}/neigh/default/gc_thresh3");
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    Some([most("ipv4")?, most("ipv6")?])
}

fn joined(error: anyhow::Error) -> String {
    format!("{error:#}")
}

fn ask(runtime: &RealRuntime) -> RuntimeFacts {
    let kind = runtime.kind();
    let RealRuntime::Program(path) = runtime else {
        let version = Ok(format!("version {}", env!("CARGO_PKG_VERSION")));
        let differences = kind.differences;
        return RuntimeFacts {
            name: kind.name,
            path: None,
            version,
            hooks: None,
            ignores_seccomp: false,
            unreachable: Vec::new(),
            differences,
        };
    };
    let version = process::answer(path, &["--version"]).map_err(|error| error.to_string());
    let features = process::answer(path, &["features"])
        .ok()
        .and_then(|said| serde_json::from_str(&said).ok());
    RuntimeFacts {
        name: kind.name,
        path: Some(path.display().to_string()),
        version: version.map(|said| said.lines().next().unwrap_or_default().to_owned()),
        hooks: features.as_ref().and_then(hooks),
        ignores_seccomp: features.as_ref().is_some_and(ignores_seccomp),
        unreachable: unreachable(kind.services),
        differences: kind.differences,
    }
}

/// Those of the services that nobody answers for at their sockets.
fn unreachable(services: &[(&str, &str)]) -> Vec<String> {
    let tried = services.iter().filter_map(|(name, socket)| {
        let error = connect(socket).err()?;
        Some(format!("{name} can't be reached at {socket}: {error}"))
    });
    tried.collect()
}

fn connect(socket: &str) -> io::Result<()> {
    // The backlog of a service that hangs may be full.
    const PATIENCE: Duration = Duration::from_secs(2);
    let end = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    end.set_write_timeout(Some(PATIENCE))?;
    end.connect(&SockAddr::unix(socket)?)
}

fn ignores_seccomp(features: &Value) -> bool {
    features.pointer("/linux/seccomp/enabled") == Some(&Value::Bool(false))
}

fn hooks(features: &Value) -> Option<Vec<String>> {
    let hooks = features.get("hooks")?.as_array()?;
    Some(
        hooks
            .iter()
            .filter_map(|hook| hook.as_str().map(str::to_owned))
            .collect(),
    )
}

fn judge(settings: &Settings) -> SettingsFacts {
    let (mut policies, mut mistakes) = (0, Vec::new());
    for file in settings::policy_files(&settings.policies) {
        match check_policy(settings, &file) {
            Ok(()) => policies += 1,
            Err(found) => mistakes.extend(found),
        }
    }
    let default = settings.policy.file(&settings.policies);
    SettingsFacts {
        user_namespace: settings.user_namespace,
        policies,
        mistakes,
        missing_default: (!default.exists()).then(|| default.display().to_string()),
        audit_directory: settings.audit_directory.display().to_string(),
        audit: writable(&settings.audit_directory).map_err(|error| error.to_string()),
    }
}

fn check_policy(settings: &Settings, file: &Path) -> Result<(), Vec<String>> {
    let origin = file.display().to_string();
    let content =
        settings::read_trusted(file).map_err(|error| vec![format!("{origin}: {error}")])?;
    let shelves = Shelves::of_host(settings, settings::read_trusted);
    let library = |name: &PolicyName| shelves.find(name);
    let rules = text::parse_whole(&origin, &content.unwrap_or_default(), &library);
    rules
        .map(drop)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

/// Whether files can be created in a directory, or the directory itself if it is missing.
fn writable(directory: &Path) -> nix::Result<()> {
    let existing = directory
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or_else(|| Path::new("/"));
    if !existing.is_dir() {
        return Err(nix::errno::Errno::ENOTDIR);
    }
    access(existing, AccessFlags::W_OK)
}

/// Creates what the start of a container creates: namespaces, ruleset, link, sockets. All of it is
/// gone when this returns.
fn make_a_gateway() -> anyhow::Result<()> {
    let mut gateway = Gateway::create()?;
    let captured = CapturedPorts {
        tcp: vec![(80, 80), (443, 443)],
        udp: vec![(123, 123)],
    };
    let listener = gateway
        .side
        .namespace
        .inside(|| socket::listen_captured(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    let port = listener
        .context("open a transparent socket")?
        .local_addr()?
        .port();
    gateway.enforce(
        &captured,
        ProxyPorts {
            tcp: port,
            udp: port,
        },
    )?;
    let mut container = NamespaceHandle::open(Namespace::create()?)?;
    adopt::private_link(&mut gateway, &mut container)?;
    Ok(())
}

/// The profiles that containers get, tried out by a confined child: ours, or if it isn't loaded the
/// engines' own.
fn profiles(tier: Tier) -> Vec<(String, Option<Denied>)> {
    if !apparmor::kernel::is_enabled() {
        return Vec::new();
    }
    let ours = apparmor::profiles::for_tier(tier);
    let loaded = apparmor::kernel::loaded();
    let has_ours = loaded.iter().any(|profile| profile == ours);
    let given = |profile: &String| {
        if has_ours {
            profile == ours
        } else {
            apparmor::is_engine_default(profile)
        }
    };
    let tried = loaded.into_iter().filter(given).map(|profile| {
        let denied = apparmor::kernel::denies(&profile, tier);
        (profile, denied)
    });
    tried.collect()
}

/// The engines that are there, or the one that was asked for.
fn engines(ours: &Installation, only: Option<InstallTarget>) -> Vec<EngineFacts> {
    if let Some(target) = only {
        let asked_for = judged("containerd", &target.engine, ours, &target.name);
        return vec![EngineFacts {
            asked_for: true,
            ..asked_for
        }];
    }
    let Ok(name) = "boundary".parse::<RuntimeName>() else {
        return Vec::new();
    };
    let in_folder = |reader, folder: &str| {
        integrate::Engine::DropIn(DropIn {
            reader,
            folder: folder.into(),
        })
    };
    let known = [
        (
            "docker",
            "dockerd",
            integrate::Engine::Docker(Docker::reading(dockerd::DEFAULT_CONFIG.into())),
        ),
        (
            "containerd",
            "containerd",
            integrate::Engine::Containerd(Containerd::reading(containerd::DEFAULT_CONFIG.into())),
        ),
        (
            "podman",
            "podman",
            in_folder(DropInReader::Podman, drop_in::PODMAN_FOLDER),
        ),
        (
            "crio",
            "crio",
            in_folder(DropInReader::Crio, drop_in::CRIO_FOLDER),
        ),
    ];
    let here = known
        .into_iter()
        .filter(|(_, program, _)| process::on_host(program).is_some());
    here.map(|(name_of_engine, _, engine)| judged(name_of_engine, &engine, ours, &name))
        .collect()
}

fn judged(
    engine: &'static str,
    place: &integrate::Engine,
    ours: &Installation,
    name: &RuntimeName,
) -> EngineFacts {
    // If there is something to uninstall, it is installed.
    let mut installed = integrate::uninstall(place, ours, name).map(|plan| !plan.steps.is_empty());
    let (mut runs, mut running) = (None, None);
    match place {
        integrate::Engine::DropIn(drop_in) => runs = drop_in.default_runtime(),
        integrate::Engine::Containerd(containerd) => match containerd.runs_with() {
            Ok(config) => running = Some(config),
            Err(error) => installed = Err(error),
        },
        integrate::Engine::Docker(_) => {}
    }
    EngineFacts {
        name: engine,
        runtime: name.to_string(),
        asked_for: false,
        installed: installed.map_err(|error| joined(error.into())),
        running,
        runs,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_directory_that_is_missing_can_be_written_where_it_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(writable(&directory.path().join("a/b")), Ok(()));
        std::fs::File::create(directory.path().join("file")).unwrap();
        assert_eq!(
            writable(&directory.path().join("file/b")),
            Err(nix::errno::Errno::ENOTDIR)
        );
        assert!(writable(Path::new("/proc/sys/boundary")).is_err());
    }

    #[test]
    fn every_policy_is_checked_and_what_is_no_policy_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            crate::sys::file::replace(&directory.path().join(name), content.as_bytes(), 0o644)
                .unwrap();
        };
        write("good.yaml", "allow:\n  - domain=example.org\n");
        write("bad.yaml", "allow:\n  - domian=example.org\n");
        write("README", "nothing");
        let settings = Settings {
            policies: directory.path().to_owned(),
            ..Settings::default()
        };
        let facts = judge(&settings);
        assert_eq!((facts.policies, facts.mistakes.len()), (1, 1));
        assert!(
            facts.mistakes[0].contains("bad.yaml:2"),
            "{:?}",
            facts.mistakes
        );
        assert!(facts.missing_default.unwrap().ends_with("default.yaml"));
    }

    #[test]
    fn hooks_are_read_from_features_and_from_nothing_else() {
        assert_eq!(
            hooks(&json!({"hooks": ["prestart", "createRuntime"]}))
                .unwrap()
                .len(),
            2
        );
        assert_eq!((hooks(&json!({})), hooks(&json!("none"))), (None, None));
    }

    #[test]
    fn only_who_says_so_ignores_seccomp() {
        assert!(ignores_seccomp(
            &json!({"linux": {"seccomp": {"enabled": false}}})
        ));
        for features in [
            json!({}),
            json!({"linux": {"seccomp": {"enabled": true}}}),
            json!({"linux": {"seccomp": null}}),
        ] {
            assert!(!ignores_seccomp(&features));
        }
    }
}
