//! The real runtime: what it says of itself, and the services that it needs.

use std::io;
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::cli::doctor::facts::RuntimeFacts;
use crate::runtime::runtimes::RealRuntime;
use crate::sys::process;

pub(super) fn ask(runtime: &RealRuntime) -> RuntimeFacts {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
