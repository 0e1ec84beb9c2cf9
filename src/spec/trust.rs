//! What a container is given so that its programs trust the gateway that intercepts their TLS: mounts
//! of our own files, and variables that name them.
//!
//! No file of the image's is covered but Java's stores, which no variable replaces, and, where the root
//! is read-only, the system's lists: whatever renames a file over one that is mounted fails (EBUSY), as
//! package managers do with such lists, and what is written to a mount is in no `docker commit`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::checked::Spec;
use super::error::SpecError;
use super::json::list_mut;
use super::user_namespace::binds::is_bind;

/// Roots, all that there are: the image's, the host's, and the gateway's authority.
pub const ROOTS: &str = "roots.pem";
/// The gateway's authority alone.
pub use crate::container::trust::AUTHORITY;
/// wget's settings.
pub const WGETRC: &str = "wgetrc";
/// apt's settings.
pub const APT: &str = "apt.conf";

/// Where our files are in a container: not in its image, so that no image that is made of it, and no
/// `docker diff`, knows of them.
const IN_DEVICES: &str = "/dev/boundary";
/// Where they are if [`IN_DEVICES`] can't be: an empty folder is left in the container's own layer.
const IN_ETC: &str = "/etc/boundary";

/// A file of ours by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustMount {
    /// On the host.
    pub source: PathBuf,
    /// In the container, free of links.
    pub destination: PathBuf,
}

/// A variable that tells programs whom to trust.
struct Variable {
    name: &'static str,
    file: &'static str,
    /// Variables that are for the same programs, and that this one would override there. Whoever
    /// set one of them has chosen.
    yields_to: &'static [&'static str],
}

const fn variable(
    name: &'static str,
    file: &'static str,
    yields_to: &'static [&'static str],
) -> Variable {
    Variable {
        name,
        file,
        yields_to,
    }
}

/// Those that replace a program's roots name [`ROOTS`], those that add to them [`AUTHORITY`].
const VARIABLES: [Variable; 18] = [
    // OpenSSL and all that asks it (Python, Ruby, PHP, Perl), Go, Rust, .NET.
    variable("SSL_CERT_FILE", ROOTS, &[]),
    variable("CURL_CA_BUNDLE", ROOTS, &["SSL_CERT_FILE", "SSL_CERT_DIR"]),
    variable("REQUESTS_CA_BUNDLE", ROOTS, &["CURL_CA_BUNDLE"]),
    variable("PIP_CERT", ROOTS, &["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]),
    variable("HTTPLIB2_CA_CERTS", ROOTS, &[]),
    variable("GIT_SSL_CAINFO", ROOTS, &["GIT_SSL_CAPATH"]),
    variable("AWS_CA_BUNDLE", ROOTS, &["REQUESTS_CA_BUNDLE"]),
    variable("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", ROOTS, &[]),
    variable(
        "CARGO_HTTP_CAINFO",
        ROOTS,
        &["SSL_CERT_FILE", "SSL_CERT_DIR"],
    ),
    variable("NIX_SSL_CERT_FILE", ROOTS, &["SSL_CERT_FILE"]),
    variable("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", ROOTS, &[]),
    variable("HEX_CACERTS_PATH", ROOTS, &[]),
    variable(
        "PERL_LWP_SSL_CA_FILE",
        ROOTS,
        &["HTTPS_CA_FILE", "PERL_LWP_SSL_CA_PATH"],
    ),
    variable(
        "JULIA_SSL_CA_ROOTS_PATH",
        ROOTS,
        &["SSL_CERT_FILE", "SSL_CERT_DIR"],
    ),
    variable("NODE_EXTRA_CA_CERTS", AUTHORITY, &[]),
    variable("DENO_CERT", AUTHORITY, &[]),
    // Programs that know no variable for roots, but one for their settings.
    variable("SYSTEM_WGETRC", WGETRC, &[]),
    variable("APT_CONFIG", APT, &[]),
];

/// Where our files are to be in a container. `jails_mount`: it may have jails inside with mounts of
/// their own, which as a rule take the container's files along, but not its devices.
#[must_use]
pub fn place(spec: &Spec, jails_mount: bool) -> &'static Path {
    let on_devices = mounts(spec)
        .rfind(|mount| destination(mount).is_some_and(|path| path == Path::new("/dev")));
    // A folder made in there must be neither the host's nor the image's.
    let own = on_devices.is_some_and(|mount| {
        !is_bind(mount) && mount.get("type").and_then(Value::as_str) == Some("tmpfs")
    });
    Path::new(if own && !jails_mount {
        IN_DEVICES
    } else {
        IN_ETC
    })
}

/// Whether nothing in the container's root can be renamed or written, so that a file mounted over one
/// there is in nobody's way.
#[must_use]
pub fn is_read_only(spec: &Spec) -> bool {
    let root = spec.get("root").and_then(|root| root.get("readonly"));
    root.is_some_and(|readonly| *readonly == true)
}

/// Adds the mounts and the variables; gives the variables that were not set by anybody yet.
///
/// # Errors
/// [`SpecError::Type`].
pub fn add(
    spec: &mut Spec,
    folder: TrustMount,
    stores: &[TrustMount],
) -> Result<Vec<String>, SpecError> {
    let read_only = is_read_only(spec);
    let variables = variables(&folder.destination);
    let tree = spec.tree();
    let added = add_variables(
        tree.get_mut("process").unwrap_or(&mut Value::Null),
        &variables,
    );
    let all = std::iter::once((&folder, true)).chain(stores.iter().map(|store| (store, read_only)));
    let all: Vec<Value> = all.map(|(one, read_only)| mount(one, read_only)).collect();
    list_mut(tree, "mounts")?.extend(all);
    Ok(added)
}

/// Gives a process those variables that it hasn't got; says which.
pub fn add_variables(process: &mut Value, variables: &[String]) -> Vec<String> {
    let set = |process: &Value, name: &str| {
        let entries = process.get("env").and_then(Value::as_array);
        let mut entries = entries.into_iter().flatten().filter_map(Value::as_str);
        entries.any(|entry| name_of(entry) == name)
    };
    let is_wanted = |entry: &&String| {
        let name = name_of(entry);
        let known = VARIABLES.iter().find(|variable| variable.name == name);
        let yields_to = known.map_or(&[][..], |variable| variable.yields_to);
        !set(process, name) && !yields_to.iter().any(|other| set(process, other))
    };
    let added: Vec<String> = variables.iter().filter(is_wanted).cloned().collect();
    if !added.is_empty()
        && let Ok(entries) = list_mut(process, "env")
    {
        entries.extend(added.iter().cloned().map(Value::String));
    }
    added
}

fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// All of them, where our files are in this place.
#[must_use]
pub fn variables(place: &Path) -> Vec<String> {
    let entry = |one: &Variable| format!("{}={}", one.name, place.join(one.file).display());
    VARIABLES.iter().map(entry).collect()
}

/// A bind mount. The flags take nothing away from files that are only read, and whatever the source
/// has of them, a user namespace couldn't take off.
fn mount(one: &TrustMount, read_only: bool) -> Value {
    let mode = if read_only { "ro" } else { "rw" };
    json!({
        "destination": one.destination,
        "type": "bind",
        "source": one.source,
        "options": ["bind", "rprivate", mode, "nosuid", "nodev", "noexec"],
    })
}

fn mounts(spec: &Spec) -> impl DoubleEndedIterator<Item = &Value> {
    let listed = spec.get("mounts").and_then(Value::as_array);
    listed.into_iter().flatten()
}

fn destination(mount: &Value) -> Option<&Path> {
    mount.get("destination")?.as_str().map(Path::new)
}

/// Who is root in the container, as the host has it: user and group.
#[must_use]
pub fn root(spec: &Spec) -> (u32, u32) {
    let mapped = |key: &str| {
        let listed = spec.get("linux")?.get(key)?.as_array()?;
        let number = |range: &Value, key: &str| range.get(key)?.as_u64();
        let range = listed
            .iter()
            .find(|range| number(range, "containerID") == Some(0))?;
        u32::try_from(number(range, "hostID")?).ok()
    };
    let [user, group] = ["uidMappings", "gidMappings"].map(|key| mapped(key).unwrap_or_default());
    (user, group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(env: &[&str], mounts: Value) -> Spec {
        let root = json!({"path": "rootfs"});
        Spec::check(json!({"root": root, "process": {"env": env}, "mounts": mounts})).unwrap()
    }

    fn folder() -> TrustMount {
        TrustMount {
            source: "/ours".into(),
            destination: IN_DEVICES.into(),
        }
    }

    fn devices() -> Value {
        json!([{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}])
    }

    #[test]
    fn what_is_set_stays_and_what_would_go_before_it_is_not_added() {
        for (set, missing, added) in [
            (
                "SSL_CERT_FILE=/x",
                &["CURL_CA_BUNDLE", "CARGO_HTTP_CAINFO", "NIX_SSL_CERT_FILE"][..],
                "GIT_SSL_CAINFO",
            ),
            (
                "REQUESTS_CA_BUNDLE=",
                &["PIP_CERT", "AWS_CA_BUNDLE"],
                "SSL_CERT_FILE",
            ),
            (
                "CURL_CA_BUNDLE",
                &["REQUESTS_CA_BUNDLE", "PIP_CERT"],
                "SSL_CERT_FILE",
            ),
            ("NODE_EXTRA_CA_CERTS=/x", &[], "DENO_CERT"),
        ] {
            let mut spec = spec(&["PATH=/bin", set], devices());
            let variables = add(&mut spec, folder(), &[]).unwrap();
            let names: Vec<_> = variables.iter().map(|entry| name_of(entry)).collect();
            assert!(names.contains(&added), "{set}: {names:?}");
            assert!(
                !missing.iter().any(|name| names.contains(name)),
                "{set}: {names:?}"
            );
            let env = spec["process"]["env"].as_array().unwrap();
            assert_eq!(env[..2], [json!("PATH=/bin"), json!(set)]);
            let name = name_of(set);
            let count = env
                .iter()
                .filter(|one| name_of(one.as_str().unwrap()) == name);
            assert_eq!(count.count(), 1, "{set}");
        }
    }

    #[test]
    fn a_process_without_variables_gets_them_and_those_of_exec_once() {
        for mut process in [json!({}), json!({"env": null})] {
            let all = variables(Path::new("/p"));
            assert_eq!(add_variables(&mut process, &all), all);
            assert_eq!(add_variables(&mut process, &all), [""; 0]);
            assert!(
                process["env"]
                    .to_string()
                    .contains("SSL_CERT_FILE=/p/roots.pem")
            );
        }
        assert_eq!(add_variables(&mut Value::Null, &[]), [""; 0]);
    }

    #[test]
    fn the_folder_is_read_only_and_a_store_is_as_the_root_is() {
        for (readonly, mode) in [(json!(null), "rw"), (json!(true), "ro")] {
            let mut value = spec(&[], devices()).into_value();
            value["root"]["readonly"] = readonly;
            let mut spec = Spec::check(value).unwrap();
            let store = TrustMount {
                source: "/java".into(),
                destination: "/cacerts".into(),
            };
            add(&mut spec, folder(), &[store]).unwrap();
            let options = |at: usize| spec["mounts"][at]["options"].to_string();
            assert!(options(1).contains("\"ro\"") && options(2).contains(mode));
            for at in [1, 2] {
                assert!(
                    ["nosuid", "nodev", "noexec"]
                        .iter()
                        .all(|flag| options(at).contains(flag))
                );
            }
        }
    }

    #[test]
    fn no_folder_is_made_in_the_hosts_devices() {
        for (mounts, jails_mount, expected) in [
            (devices(), false, IN_DEVICES),
            (devices(), true, IN_ETC),
            (json!([]), false, IN_ETC),
            (
                json!([{"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}]),
                false,
                IN_ETC,
            ),
            (
                json!([{"destination": "/dev", "type": "tmpfs"}, {"destination": "/dev/", "type": "tmpfs", "source": "/dev", "options": ["bind"]}]),
                false,
                IN_ETC,
            ),
        ] {
            assert_eq!(
                place(&spec(&[], mounts.clone()), jails_mount),
                Path::new(expected),
                "{mounts}"
            );
        }
    }

    #[test]
    fn root_is_who_is_mapped_to_it() {
        let of = |linux: Value| root(&Spec::check(json!({"linux": linux})).unwrap());
        let map = json!([{"containerID": 5, "hostID": 7, "size": 1}, {"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        assert_eq!(
            of(json!({"uidMappings": map, "gidMappings": map})),
            (100_000, 100_000)
        );
        assert_eq!(of(json!({})), (0, 0));
    }
}
