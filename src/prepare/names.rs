//! What the container's engine told it about names: its search domains, and the entries of
//! `--add-host`. From where no container can have written.
//!
//! A container can write its `/etc/resolv.conf` and `/etc/hosts` and be started again. Docker keeps
//! what it was told in `hostconfig.json`, in a directory of root's; what isn't said there comes
//! from dockerd's configuration and the host's files, as dockerd itself takes it (moby's
//! `buildSandboxOptions`, 20.10 and 28). Other engines' files count only where they were made for
//! this very creation of the container. podman and CRI-O keep nothing about entries that could be
//! read, and a kubelet writes those of `hostAliases` when the pod runs already.
//!
//! What can't be read is missing; it is no reason to refuse a container.

use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use crate::container::plan::ContainerId;
use crate::dockerd::Daemon;
use crate::policy::{GivenNames, Hostname};
use crate::resolv_conf;
use crate::spec::{self, Spec};
use crate::sys::file;

/// Search domains taken at most: as many as Kubernetes lets a pod have.
const SEARCHED: usize = 32;
/// Addresses of names taken at most: more than anybody writes by hand.
const ENTRIES: usize = 256;
/// The most that is read of a resolv.conf, in bytes.
const LARGEST: u64 = 64 * 1024;

/// What a container of any engine but Docker was told: the search domains in the resolv.conf that
/// the engine made for this creation of the container. containerd and CRI-O make a pod's sandbox
/// once, and podman removes the file and writes it anew at every start (from 4.6 on only after
/// `create`, so that it is empty here). The container's own id stands in the file's path, and nobody
/// knew that before.
pub(crate) fn of_engine(spec: &Spec, bundle: &Path, id: &ContainerId) -> GivenNames {
    let file = spec::mounted_on(spec, bundle, Path::new("/etc/resolv.conf"));
    let text = file
        .filter(|file| is_made_for(file, id))
        .and_then(|file| file::read_regular(&file, LARGEST).ok());
    let text = text.unwrap_or_default();
    GivenNames {
        search: domains(resolv_conf::search(&String::from_utf8_lossy(&text))),
        hosts: Vec::new(),
    }
}

/// What `hostconfig.json` says, and for what it leaves open the dockerds that keep it.
pub(super) fn of_docker(hostconfig: &Value, daemons: &[Daemon]) -> GivenNames {
    let host = || {
        let files = resolv_conf::HOST.map(|file| resolv_conf::text(Path::new(file)));
        let searches = files.map(|text| resolv_conf::search(&text));
        searches.into_iter().find(|search| !search.is_empty())
    };
    let daemon = || daemons.iter().flat_map(Daemon::search).collect();
    let gateways = || daemons.iter().flat_map(Daemon::host_gateways).collect();
    GivenNames {
        search: domains(first_said([
            &|| texts(hostconfig, "DnsSearch"),
            &daemon,
            &|| host().unwrap_or_default(),
        ])),
        hosts: entries(&texts(hostconfig, "ExtraHosts"), gateways),
    }
}

/// The first that says anything.
fn first_said(sources: [&dyn Fn() -> Vec<String>; 3]) -> Vec<String> {
    let said = sources.into_iter().map(|source| source());
    said.into_iter()
        .find(|said| !said.is_empty())
        .unwrap_or_default()
}

/// Whether it lies where an engine makes one for each container: containerd's CRI plugin for a
/// sandbox, and podman and CRI-O.
fn is_made_for(file: &Path, id: &ContainerId) -> bool {
    let of_containerd = ["sandboxes", id.as_str(), "resolv.conf"];
    let of_podman = ["overlay-containers", id.as_str(), "userdata", "resolv.conf"];
    let path = file.as_os_str().to_string_lossy();
    [&of_containerd[..], &of_podman]
        .iter()
        .any(|end| path.ends_with(&format!("/{}", end.join("/"))))
}

/// Those that are names; `.`, by which one says that there are none, isn't.
fn domains(said: Vec<String>) -> Vec<Hostname> {
    let names = said
        .iter()
        .filter_map(|domain| Hostname::parse(domain).ok());
    names.take(SEARCHED).collect()
}

/// `NAME:ADDRESS`, and `NAME:host-gateway` for `gateways`.
fn entries(said: &[String], gateways: impl Fn() -> Vec<IpAddr>) -> Vec<(Hostname, IpAddr)> {
    let entry = |text: &String| -> Option<Vec<(Hostname, IpAddr)>> {
        let (name, address) = text.split_once(':')?;
        let name = Hostname::parse(name).ok()?;
        let addresses = match address {
            "host-gateway" => gateways(),
            address => vec![address.trim_matches(['[', ']']).parse().ok()?],
        };
        let of_name = |address: IpAddr| (name.clone(), address.to_canonical());
        Some(addresses.into_iter().map(of_name).collect())
    };
    said.iter()
        .filter_map(entry)
        .flatten()
        .take(ENTRIES)
        .collect()
}

fn texts(json: &Value, key: &str) -> Vec<String> {
    let list = json.get(key).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_docker_was_told_for_the_container_is_searched_before_anything_else() {
        let search = |said: Value| of_docker(&json!({ "DnsSearch": said }), &[]).search;
        assert_eq!(
            search(json!(["Ok.test", "b.test."])),
            [name("ok.test"), name("b.test")]
        );
        // None at all, as people write it.
        assert_eq!(search(json!(["."])), []);
        assert_eq!(search(json!(["no name", 7, "ok.test"])), [name("ok.test")]);
        let said = |text: &str| vec![text.to_owned()];
        assert_eq!(
            first_said([&Vec::new, &|| said("daemon"), &|| said("host")]),
            ["daemon"]
        );
        assert_eq!(
            first_said([&Vec::new, &Vec::new, &|| said("host")]),
            ["host"]
        );
    }

    #[test]
    fn entries_are_names_with_addresses_and_a_word_for_the_hosts() {
        let said = [
            "db.test:198.51.100.30",
            "V6.test:2001:db8::1",
            "bracketed.test:[2001:db8::2]",
            "mapped.test:::ffff:192.0.2.1",
            "host.docker.internal:host-gateway",
            "no address",
            "nor.here:x",
            "127.0.0.1:192.0.2.1",
            ":192.0.2.1",
        ]
        .map(str::to_owned);
        let gateways = || vec![address("172.17.0.1"), address("fd00::1")];
        let expected = [
            ("db.test", "198.51.100.30"),
            ("v6.test", "2001:db8::1"),
            ("bracketed.test", "2001:db8::2"),
            ("mapped.test", "192.0.2.1"),
            ("host.docker.internal", "172.17.0.1"),
            ("host.docker.internal", "fd00::1"),
        ]
        .map(|(text, at)| (name(text), address(at)));
        assert_eq!(entries(&said, gateways), expected);
    }

    #[test]
    fn there_are_no_more_than_can_be_kept() {
        let many = |text: &str| vec![text.to_owned(); 1000];
        assert_eq!(domains(many("ok.test")).len(), SEARCHED);
        assert_eq!(entries(&many("a.test:192.0.2.1"), Vec::new).len(), ENTRIES);
    }

    #[test]
    fn another_engines_file_counts_only_where_it_was_made_for_this_container() {
        let directory = tempfile::tempdir().unwrap();
        let id = ContainerId::parse("c0ffee").unwrap();
        for (place, expected) in [
            ("sandboxes/c0ffee/resolv.conf", true),
            ("overlay-containers/c0ffee/userdata/resolv.conf", true),
            // A pod's other containers, a file of somebody's choice, an engine that leaves the
            // file as it is.
            ("sandboxes/other/resolv.conf", false),
            ("overlay-containers/other/userdata/resolv.conf", false),
            ("resolv.conf", false),
            ("containers/default/c0ffee/resolv.conf", false),
            ("xsandboxes/c0ffee/resolv.conf", false),
        ] {
            let file = directory.path().join(place);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            file::replace(&file, b"search ok.test\nnameserver 192.0.2.1\n", 0o644).unwrap();
            let spec = Spec::check(json!({
                "mounts": [{ "destination": "/etc/resolv.conf", "source": file }]
            }))
            .unwrap();
            let given = of_engine(&spec, directory.path(), &id);
            assert_eq!(given.search == [name("ok.test")], expected, "{place}");
        }
    }
}
