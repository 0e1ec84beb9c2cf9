//! Which resolvers the proxy asks: taken from the host's own files and from what Docker keeps,
//! never from the container's files.
//!
//! The container can edit its `/etc/resolv.conf` and be restarted. dockerd rewrites the file at
//! each start (tried with 20.10.24 and 28.5.2), but 28 says that it won't, so nothing relies on it.
//! Docker keeps the values of `--dns` in `hostconfig.json` beside that file, in a directory of
//! root's.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::names;
use crate::container::plan::ContainerId;
use crate::dockerd::{self, Daemon};
use crate::policy::{Exit, GivenNames};
use crate::resolv_conf;
use crate::settings::{ContainerResolvers, Settings};
use crate::spec::{self, Spec};
use crate::sys::file;

/// The most that is read of such a file.
const LIMIT: u64 = 1 << 20;

/// What Docker keeps about a container, as far as it matters here: what it was told about DNS.
#[derive(Debug, Default)]
pub(crate) struct DockerFiles {
    /// `--dns`: whoever starts the container says it.
    container: Vec<IpAddr>,
    /// `dns` of dockerd.
    daemon: Vec<IpAddr>,
    /// Whether dockerd was started with `dns`.
    daemon_goes_by_dns: bool,
    /// Whether Docker connects no further network to the container: `--network host` and
    /// `container:X`. From `none` it can be disconnected, and connected to others then (tried with
    /// 20.10.24 and 28.5.2).
    is_closed: bool,
    /// Where a running dockerd keeps the container's files: whoever starts one with another engine
    /// can mount a file of such a path.
    pub(crate) kept_in: Option<PathBuf>,
    /// What it was told about names; nothing where no dockerd runs that keeps its files.
    pub(crate) given: GivenNames,
}

impl DockerFiles {
    /// Reads it; the directory is dockerd's for the container ([`docker_directory`]).
    pub(crate) fn read(directory: &Path) -> Self {
        let hostconfig = dockers_file(directory, "hostconfig.json");
        let mode = hostconfig
            .get("NetworkMode")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // Whoever can't be asked doesn't go by it.
        let daemons = dockerd::keeping(directory).unwrap_or_default();
        Self {
            container: listed(&hostconfig, "Dns"),
            daemon: daemons.iter().flat_map(Daemon::servers).collect(),
            daemon_goes_by_dns: !daemons.is_empty() && daemons.iter().all(Daemon::goes_by_dns),
            is_closed: mode == "host" || mode.starts_with("container:"),
            kept_in: (!daemons.is_empty()).then(|| directory.to_owned()),
            given: match daemons.as_slice() {
                [] => GivenNames::default(),
                daemons => names::of_docker(&hostconfig, daemons),
            },
        }
    }

    /// Refuses a container for which dockerd's own resolver would ask from the host's namespace,
    /// past every filter of ours, now or once a network is connected to it.
    ///
    /// That resolver is 127.0.0.11 of user-defined networks; its sockets are dockerd's, inside the
    /// container's namespace. What it can't answer it asks the servers of `--dns` or of its own
    /// `dns` through the container's network, and without either the host's from the host: Docker
    /// 28 and later always, older ones where the host's resolver is on loopback at that moment.
    /// `docker network connect` brings it to a container that runs already, and nobody asks us
    /// then. So either is demanded in every version. The container's resolv.conf says more, but the
    /// container can write it.
    pub(crate) fn refuse_if_it_asks_from_host(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.is_closed || self.daemon_goes_by_dns || !self.container.is_empty(),
            "Docker's resolver 127.0.0.11 would query from the host, past the filter, because dockerd doesn't use the dns of its daemon.json yet: \
             run sudo boundary-shim install docker, then sudo systemctl restart docker, or start the container with --dns"
        );
        Ok(())
    }
}

/// Whom the proxy asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResolverChoice {
    /// The servers, in order.
    pub(crate) resolvers: Vec<SocketAddr>,
    /// What is to be said about it in the record.
    pub(crate) notices: Vec<String>,
}

/// Chooses the resolvers to ask, from the first source that names any: the host's configuration,
/// `--dns`, `dns` of dockerd, the host's own. Of `--dns`, only servers that one of the others
/// names, unless the host allows any. Those on loopback can be asked only by a proxy that dials as
/// the host.
pub(crate) fn choose(settings: &Settings, docker: &DockerFiles, exit: Exit) -> ResolverChoice {
    let host =
        resolv_conf::HOST.map(|file| resolv_conf::nameservers(&resolv_conf::text(Path::new(file))));
    decide(settings, docker, host.concat(), exit)
}

fn decide(
    settings: &Settings,
    docker: &DockerFiles,
    host: Vec<IpAddr>,
    exit: Exit,
) -> ResolverChoice {
    if !settings.resolvers.is_empty() {
        return ResolverChoice {
            resolvers: settings.resolvers.clone(),
            notices: Vec::new(),
        };
    }
    let of_host = match exit {
        Exit::Host => resolv_conf::usable_by_host(host.clone()),
        Exit::Uplink => resolv_conf::usable(host.clone()),
    };
    let is_known = |server: &IpAddr| {
        settings.container_resolvers == ContainerResolvers::Any
            || docker.daemon.contains(server)
            || host.contains(server)
    };
    let (known, unknown): (Vec<IpAddr>, Vec<IpAddr>) =
        docker.container.iter().copied().partition(is_known);
    let of_docker = [known, docker.daemon.clone()];
    let resolvers = of_docker
        .map(|servers| on_port_53(resolv_conf::usable(servers)))
        .into_iter()
        .chain([on_port_53(of_host)])
        .find(|servers| !servers.is_empty())
        .unwrap_or_default();
    let notice = (!unknown.is_empty()).then(|| {
        let unknown: Vec<_> = unknown.iter().map(ToString::to_string).collect();
        format!(
            "the DNS servers {} given by --dns are not used, because the host's configuration doesn't name them: names are looked up \
             with the host's; set resolvers, or container-resolvers = \"any\", in /etc/boundary/config.toml to change that",
            unknown.join(", ")
        )
    });
    let nobody = resolvers.is_empty().then(|| nobody_to_ask(&host));
    ResolverChoice {
        resolvers,
        notices: notice.into_iter().chain(nobody).collect(),
    }
}

/// What is to be said where no name can be looked up, for want of a server.
fn nobody_to_ask(named: &[IpAddr]) -> String {
    let [file, _] = resolv_conf::HOST;
    let why = if named.is_empty() {
        format!("{file} names none")
    } else {
        let named: Vec<_> = named.iter().map(ToString::to_string).collect();
        let named = named.join(", ");
        format!("{file} names only {named}, which answers the host alone")
    };
    format!(
        "no name can be looked up, because the host has no DNS server that the gateway could ask ({why}): \
         set resolvers in /etc/boundary/config.toml"
    )
}

/// The directory where dockerd keeps this container's files, if dockerd made it:
/// `…/containers/<id>`, known by a file from there that is mounted into the container.
pub(crate) fn docker_directory(spec: &Spec, bundle: &Path, id: &ContainerId) -> Option<PathBuf> {
    let mut known = docker_directories(spec, bundle);
    known.find(|path| is_named(path, id.as_str()))
}

/// The same of a container that joined another's network: dockerd mounts that one's files into it, and
/// keeps its own in the next directory. None where no running dockerd does.
pub(crate) fn joined_directory(spec: &Spec, bundle: &Path, id: &ContainerId) -> Option<PathBuf> {
    let mut beside = docker_directories(spec, bundle).map(|path| path.with_file_name(id.as_str()));
    beside.find(|path| path.is_dir() && dockerd::keeping(path).is_ok_and(|all| !all.is_empty()))
}

/// Where files of dockerd's that are mounted into the container are kept.
fn docker_directories(spec: &Spec, bundle: &Path) -> impl Iterator<Item = PathBuf> {
    ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"]
        .into_iter()
        .filter_map(|destination| {
            let file = spec::mounted_on(spec, bundle, Path::new(destination))?;
            file.parent().map(Path::to_owned)
        })
        .filter(|path| path.parent().is_some_and(|up| is_named(up, "containers")))
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|last| last == name)
}

/// What a file of dockerd's for a container says; nothing where it isn't root's alone to write.
pub(crate) fn dockers_file(directory: &Path, name: &str) -> Value {
    let path = directory.join(name);
    let bytes = if is_roots(&path) {
        file::read_regular(&path, LIMIT).unwrap_or_default()
    } else {
        Vec::new()
    };
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn listed(json: &Value, key: &str) -> Vec<IpAddr> {
    let list = json.get(key).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|address| address.as_str()?.parse().ok())
        .collect()
}

fn on_port_53(addresses: Vec<IpAddr>) -> Vec<SocketAddr> {
    addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, 53))
        .collect()
}

fn is_roots(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let root_only =
        |meta: std::fs::Metadata| meta.is_file() && meta.uid() == 0 && meta.mode() & 0o022 == 0;
    std::fs::symlink_metadata(path).is_ok_and(root_only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn servers(addresses: &[&str]) -> Vec<IpAddr> {
        addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect()
    }

    fn docker(container: &[&str], daemon: &[&str]) -> DockerFiles {
        DockerFiles {
            container: servers(container),
            daemon: servers(daemon),
            ..DockerFiles::default()
        }
    }

    #[test]
    fn docker_asks_through_the_container_where_it_was_started_with_dns_or_the_container_was() {
        let passes = |docker: DockerFiles| docker.refuse_if_it_asks_from_host().is_ok();
        assert!(!passes(docker(&[], &[])));
        assert!(!passes(docker(&[], &["10.0.0.2"])), "in the file only");
        assert!(passes(docker(&["10.0.0.2"], &[])));
        assert!(passes(DockerFiles {
            daemon_goes_by_dns: true,
            ..DockerFiles::default()
        }));
        assert!(passes(DockerFiles {
            is_closed: true,
            ..DockerFiles::default()
        }));
    }

    #[track_caller]
    fn assert_asked(settings: &Settings, docker: &DockerFiles, asked: &[&str], with_notice: bool) {
        let host = servers(&["127.0.0.53", "10.0.0.3"]);
        let choice = decide(settings, docker, host, Exit::Uplink);
        let asked: Vec<SocketAddr> = asked.iter().map(|server| server.parse().unwrap()).collect();
        assert_eq!(
            (choice.resolvers, !choice.notices.is_empty()),
            (asked, with_notice),
            "{docker:?}"
        );
    }

    #[test]
    fn what_the_host_configured_wins_then_docker_then_the_hosts_own() {
        let configured = Settings {
            resolvers: vec!["10.0.0.1:5353".parse().unwrap()],
            ..Settings::default()
        };
        assert_asked(
            &configured,
            &docker(&["6.6.6.6"], &["10.0.0.2"]),
            &["10.0.0.1:5353"],
            false,
        );
        let settings = Settings::default();
        assert_asked(
            &settings,
            &docker(&[], &["10.0.0.2"]),
            &["10.0.0.2:53"],
            false,
        );
        assert_asked(&settings, &docker(&[], &[]), &["10.0.0.3:53"], false);
    }

    #[test]
    fn of_a_containers_servers_only_those_that_the_host_knows_are_asked() {
        let settings = Settings::default();
        assert_asked(
            &settings,
            &docker(&["10.0.0.3"], &["10.0.0.2"]),
            &["10.0.0.3:53"],
            false,
        );
        assert_asked(
            &settings,
            &docker(&["6.6.6.6", "10.0.0.2"], &["10.0.0.2"]),
            &["10.0.0.2:53"],
            true,
        );
        assert_asked(
            &settings,
            &docker(&["6.6.6.6"], &["10.0.0.2"]),
            &["10.0.0.2:53"],
            true,
        );
        assert_asked(
            &settings,
            &docker(&["6.6.6.6"], &[]),
            &["10.0.0.3:53"],
            true,
        );
        let any = Settings {
            container_resolvers: ContainerResolvers::Any,
            ..Settings::default()
        };
        assert_asked(
            &any,
            &docker(&["6.6.6.6"], &["10.0.0.2"]),
            &["6.6.6.6:53"],
            false,
        );
    }

    #[test]
    fn a_loopback_server_is_asked_as_the_host_and_else_it_is_said_that_nobody_can_be() {
        let chosen = |host: &[&str], exit| {
            let docker = DockerFiles::default();
            decide(&Settings::default(), &docker, servers(host), exit)
        };
        let asked = |choice: ResolverChoice| {
            choice
                .resolvers
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            asked(chosen(&["127.0.0.53", "10.0.0.3"], Exit::Host)),
            ["127.0.0.53:53", "10.0.0.3:53"]
        );
        assert_eq!(asked(chosen(&["127.0.0.1"], Exit::Host)), ["127.0.0.1:53"]);
        for (host, why) in [
            (&["127.0.0.1", "::1"][..], "only 127.0.0.1, ::1,"),
            (&[], "names none"),
        ] {
            let choice = chosen(host, Exit::Uplink);
            assert!(choice.resolvers.is_empty());
            assert!(
                choice.notices.len() == 1 && choice.notices[0].contains(why),
                "{:?}",
                choice.notices
            );
        }
    }

    #[test]
    fn lists_of_another_shape_name_nothing() {
        for value in [
            json!(null),
            json!({"Dns": null}),
            json!({"Dns": "1.1.1.1"}),
            json!({"Dns": [1, "x", {}]}),
            json!([]),
        ] {
            assert!(listed(&value, "Dns").is_empty(), "{value}");
        }
        assert_eq!(
            listed(&json!({"Dns": ["1.1.1.1"]}), "Dns"),
            servers(&["1.1.1.1"])
        );
    }
}
