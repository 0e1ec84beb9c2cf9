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
use crate::spec;
use crate::sys::file;

/// Docker's configuration.
const DAEMON: &str = "/etc/docker/daemon.json";
/// The most that is read of such a file.
const LIMIT: u64 = 1 << 20;

/// The resolvers to ask, the first source that names any: the host's configuration, Docker's, the host's own.
pub(crate) fn choose(configured: &[SocketAddr], docker: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    if docker.is_empty() { on_port_53(resolv_conf::servers(&resolv_conf::HOST)) } else { docker }
}

/// What Docker was told to ask: for this container, else for all.
pub(super) fn docker_dns(directory: Option<&Path>) -> Vec<SocketAddr> {
    let container = directory.map(|directory| directory.join("hostconfig.json")).filter(|path| is_roots(path));
    let container = container.map(|path| on_port_53(listed(&json(&path), "Dns"))).unwrap_or_default();
    if container.is_empty() { on_port_53(listed(&json(Path::new(DAEMON)), "dns")) } else { container }
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

    #[test]
    fn what_the_host_configured_wins_then_docker() {
        let (ours, docker) = ("10.0.0.1:5353".parse().unwrap(), "10.0.0.2:53".parse().unwrap());
        assert_eq!(choose(&[ours], vec![docker]), [ours]);
        assert_eq!(choose(&[], vec![docker]), [docker]);
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
