//! Which resolvers the proxy asks: from the host's own files and Docker's book-keeping, never from the container's.
//!
//! The container can edit its `/etc/resolv.conf` and be restarted. Docker keeps what `--dns` said in `hostconfig.json`
//! beside the file that it mounts there, in a directory that is root's.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bundle::Bundle;
use crate::plan::ContainerId;
use crate::resolv_conf;
use crate::settings::{ContainerResolvers, Settings};
use crate::spec;
use crate::sys::file;

/// Docker's configuration.
const DAEMON: &str = "/etc/docker/daemon.json";
/// The most that is read of such a file.
const LIMIT: u64 = 1 << 20;

/// What Docker was told about a container's DNS.
#[derive(Debug, Default)]
pub(crate) struct Docker {
    /// `--dns`: whoever starts the container says it.
    pub(super) container: Vec<IpAddr>,
    /// `dns` in daemon.json, as the file is now: dockerd reads it only when it starts.
    pub(super) daemon: Vec<IpAddr>,
    /// Whether no network can be connected to the container later (`--network none`, `host`, `container:X`).
    pub(super) is_closed: bool,
}

impl Docker {
    /// Reads it; the directory is dockerd's for the container ([`docker_directory`]).
    pub(super) fn read(directory: Option<&Path>) -> Self {
        let container = directory.map(|directory| directory.join("hostconfig.json")).filter(|path| is_roots(path));
        let container = container.map(|path| json(&path)).unwrap_or_default();
        let mode = container.get("NetworkMode").and_then(Value::as_str).unwrap_or_default();
        Self {
            container: listed(&container, "Dns"),
            daemon: listed(&json(Path::new(DAEMON)), "dns"),
            is_closed: matches!(mode, "none" | "host") || mode.starts_with("container:"),
        }
    }
}

/// Whom the proxy asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The servers, in order.
    pub(crate) resolvers: Vec<SocketAddr>,
    /// What is to be said about it in the record.
    pub(crate) notice: Option<String>,
}

/// Chooses the resolvers to ask, from the first source that names any: the host's configuration, `--dns`, `dns` of dockerd, the
/// host's own. Of `--dns`, only servers that one of the others names, unless the host allows any.
pub(crate) fn choose(settings: &Settings, docker: &Docker) -> Choice {
    let host = resolv_conf::HOST.map(|file| resolv_conf::nameservers(&resolv_conf::text(Path::new(file)))).concat();
    decide(settings, docker, host)
}

fn decide(settings: &Settings, docker: &Docker, host: Vec<IpAddr>) -> Choice {
    if !settings.resolvers.is_empty() {
        return Choice { resolvers: settings.resolvers.clone(), notice: None };
    }
    let is_known = |server: &IpAddr| {
        settings.container_resolvers == ContainerResolvers::Any
            || docker.daemon.contains(server)
            || host.contains(server)
    };
    let (known, unknown): (Vec<IpAddr>, Vec<IpAddr>) = docker.container.iter().copied().partition(is_known);
    let sources = [known, docker.daemon.clone(), host].map(on_port_53);
    let resolvers = sources.into_iter().find(|servers| !servers.is_empty()).unwrap_or_default();
    let notice = (!unknown.is_empty()).then(|| {
        let unknown: Vec<_> = unknown.iter().map(ToString::to_string).collect();
        format!(
            "the DNS servers {} of --dns are not asked, as the host's configuration doesn't name them: names are looked up with \
             the host's; set resolvers, or container-resolvers = \"any\", in /etc/boundary/config.toml to change that",
            unknown.join(", ")
        )
    });
    Choice { resolvers, notice }
}

/// The directory where dockerd keeps this container's files, if dockerd made it: `…/containers/<id>`, known by a file from
/// there that is mounted into the container.
pub(super) fn docker_directory(bundle: &Bundle, id: &ContainerId) -> Option<PathBuf> {
    let known = ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"].into_iter().filter_map(|destination| {
        let file = spec::mounted_on(&bundle.config.value, &bundle.directory, Path::new(destination))?;
        file.parent().map(Path::to_owned)
    });
    let named = |path: &Path, name: &str| path.file_name().is_some_and(|last| last == name);
    known.into_iter().find(|path| named(path, id.as_str()) && path.parent().is_some_and(|up| named(up, "containers")))
}

fn json(path: &Path) -> Value {
    let bytes = file::read_regular(path, LIMIT).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn listed(json: &Value, key: &str) -> Vec<IpAddr> {
    let list = json.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|address| address.as_str()?.parse().ok()).collect()
}

fn on_port_53(addresses: Vec<IpAddr>) -> Vec<SocketAddr> {
    resolv_conf::usable(addresses).into_iter().map(|address| SocketAddr::new(address, 53)).collect()
}

fn is_roots(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let root_only = |meta: std::fs::Metadata| meta.is_file() && meta.uid() == 0 && meta.mode() & 0o022 == 0;
    std::fs::symlink_metadata(path).is_ok_and(root_only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn servers(addresses: &[&str]) -> Vec<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn docker(container: &[&str], daemon: &[&str]) -> Docker {
        Docker { container: servers(container), daemon: servers(daemon), is_closed: false }
    }

    #[track_caller]
    fn assert_asked(settings: &Settings, docker: &Docker, asked: &[&str], with_notice: bool) {
        let choice = decide(settings, docker, servers(&["127.0.0.53", "10.0.0.3"]));
        let asked: Vec<SocketAddr> = asked.iter().map(|server| server.parse().unwrap()).collect();
        assert_eq!((choice.resolvers, choice.notice.is_some()), (asked, with_notice), "{docker:?}");
    }

    #[test]
    fn what_the_host_configured_wins_then_docker_then_the_hosts_own() {
        let configured = Settings { resolvers: vec!["10.0.0.1:5353".parse().unwrap()], ..Settings::default() };
        assert_asked(&configured, &docker(&["6.6.6.6"], &["10.0.0.2"]), &["10.0.0.1:5353"], false);
        let settings = Settings::default();
        assert_asked(&settings, &docker(&[], &["10.0.0.2"]), &["10.0.0.2:53"], false);
        assert_asked(&settings, &docker(&[], &[]), &["10.0.0.3:53"], false);
    }

    #[test]
    fn of_a_containers_servers_only_those_that_the_host_knows_are_asked() {
        let settings = Settings::default();
        assert_asked(&settings, &docker(&["10.0.0.3"], &["10.0.0.2"]), &["10.0.0.3:53"], false);
        assert_asked(&settings, &docker(&["6.6.6.6", "10.0.0.2"], &["10.0.0.2"]), &["10.0.0.2:53"], true);
        assert_asked(&settings, &docker(&["6.6.6.6"], &["10.0.0.2"]), &["10.0.0.2:53"], true);
        assert_asked(&settings, &docker(&["6.6.6.6"], &[]), &["10.0.0.3:53"], true);
        let any = Settings { container_resolvers: ContainerResolvers::Any, ..Settings::default() };
        assert_asked(&any, &docker(&["6.6.6.6"], &["10.0.0.2"]), &["6.6.6.6:53"], false);
    }

    #[test]
    fn lists_of_another_shape_name_nothing() {
        for value in
            [json!(null), json!({"Dns": null}), json!({"Dns": "1.1.1.1"}), json!({"Dns": [1, "x", {}]}), json!([])]
        {
            assert!(listed(&value, "Dns").is_empty(), "{value}");
        }
        assert_eq!(listed(&json!({"Dns": ["1.1.1.1"]}), "Dns"), servers(&["1.1.1.1"]));
    }
}
