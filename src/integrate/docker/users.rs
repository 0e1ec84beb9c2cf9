//! The containers of a Docker that were made with a runtime, by the files in which dockerd keeps them
//! (moby's `container/container.go`: `ToDisk`). dockerd itself may not run.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::integrate::runtime_name::RuntimeName;
use crate::sys::file;

/// As many containers are looked at.
const MOST: usize = 10_000;
/// The most that is read of one of their files.
const LARGEST: u64 = 1 << 20;

/// Their names, whether they run or not. What can't be read is left out.
pub(super) fn of(data: &Path, runtime: &RuntimeName) -> BTreeSet<String> {
    let containers = std::fs::read_dir(data.join("containers"));
    let folders = containers.into_iter().flatten().flatten().take(MOST);
    let using = folders.filter_map(|folder| {
        let read = |name: &str| -> Option<Value> {
            let text = file::read_regular(&folder.path().join(name), LARGEST).ok()?;
            serde_json::from_slice(&text).ok()
        };
        let is_used = read("hostconfig.json")?.get("Runtime")? == runtime.as_str();
        let name = read("config.v2.json")?
            .get("Name")?
            .as_str()?
            .trim_start_matches('/')
            .to_owned();
        is_used.then_some(name)
    });
    using.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_made_with_the_runtime_is_named() {
        let data = tempfile::tempdir().expect("a directory");
        let put = |container: &str, name: &str, text: &str| {
            let folder = data.path().join("containers").join(container);
            std::fs::create_dir_all(&folder).expect("made");
            file::replace(&folder.join(name), text.as_bytes(), 0o600).expect("written");
        };
        for (container, runtime) in [
            ("1", "boundary"),
            ("2", "runc"),
            ("3", "boundary"),
            ("4", "boundary"),
        ] {
            put(
                container,
                "hostconfig.json",
                &format!("{{\"Runtime\": \"{runtime}\"}}"),
            );
        }
        put("1", "config.v2.json", "{\"Name\": \"/web\"}");
        put("2", "config.v2.json", "{\"Name\": \"/plain\"}");
        put("4", "config.v2.json", "not JSON");
        let name = "boundary".parse().expect("a name");
        assert_eq!(of(data.path(), &name), BTreeSet::from(["web".to_owned()]));
        assert_eq!(of(&data.path().join("none"), &name), BTreeSet::new());
    }
}
