//! Engines' sockets that a container is given: what it starts through one is no business of its
//! gateway's.
//!
//! It is said, not refused: CI runners and dashboards are given such a socket on purpose.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::escape::{MAX_PATH_SHOWN, clean};
use crate::spec::{Spec, mounts};

/// Where engines have their sockets, unless they are told otherwise.
const SOCKETS: [&str; 6] = [
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/cri-dockerd.sock",
];

/// What is to be said in the record about the sockets among a container's mounts.
pub(crate) fn notices(spec: &Spec, bundle: &Path) -> Vec<String> {
    let given = mounts::sources(spec, bundle)
        .into_iter()
        .filter_map(engines);
    let mut found: Vec<PathBuf> = given.collect();
    found.sort();
    found.dedup();
    found.iter().map(|socket| notice(socket)).collect()
}

/// The engine's socket that a path of the host shows: it is one, by its name wherever it lies
/// (rootless engines have theirs in a home), or a folder in which one is.
fn engines(given: PathBuf) -> Option<PathBuf> {
    let given = given.canonicalize().ok()?;
    let is_socket =
        |path: &Path| fs::metadata(path).is_ok_and(|status| status.file_type().is_socket());
    let mut known = SOCKETS.map(Path::new).into_iter();
    if is_socket(&given) {
        return known
            .any(|socket| socket.file_name() == given.file_name())
            .then_some(given);
    }
    known
        .find(|socket| socket.starts_with(&given) && is_socket(socket))
        .map(Path::to_owned)
}

fn notice(socket: &Path) -> String {
    format!(
        "the container has an engine's socket, {}: through it, it can start containers that nothing filters; \
         leave that mount out unless it is meant to",
        clean(&socket.to_string_lossy(), MAX_PATH_SHOWN)
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_socket_of_an_engines_is_told_of_once_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
        let _engine = UnixListener::bind(path("docker.sock")).unwrap();
        let _other = UnixListener::bind(path("app.sock")).unwrap();
        fs::File::create(path("podman.sock")).unwrap();
        std::os::unix::fs::symlink("docker.sock", path("link")).unwrap();
        let told = |names: &[&str]| {
            let mounts = names
                .iter()
                .map(|name| json!({"source": path(name), "destination": "/x"}));
            let spec = json!({"mounts": mounts.collect::<Vec<_>>()});
            notices(&Spec::check(spec).unwrap(), Path::new("/no/bundle"))
        };
        let said = told(&["docker.sock", "link", "app.sock", "podman.sock", "none"]);
        assert_eq!(said, [notice(&path("docker.sock"))]);
        assert!(told(&["app.sock", "podman.sock"]).is_empty());
    }
}
