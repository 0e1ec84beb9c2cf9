//! A containerd that can be asked what it makes of its files, and the answer compared.
//!
//! No daemon is started: `containerd config dump` reads the files as the daemon would.

use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

use crate::here::{Here, text};

/// A containerd that can be asked.
pub(crate) struct RealContainerd {
    pub(crate) program: PathBuf,
    pub(crate) major: u32,
}

pub(crate) fn can_run() -> bool {
    let works = |program: &str| Command::new(program).arg("--version").output().is_ok();
    works("containerd") && works("nsenter")
}

pub(crate) fn can_run_newer() -> bool {
    newer().join("usr/bin/containerd").exists()
}

/// Where the newer one is: a system of its own.
fn newer() -> PathBuf {
    std::env::var_os("BOUNDARY_NEWER_DOCKER")
        .map_or_else(|| "/var/lib/boundary-testbed/sid".into(), PathBuf::from)
}

impl RealContainerd {
    pub(crate) fn older() -> Self {
        Self {
            program: "containerd".into(),
            major: 1,
        }
    }

    /// Not by chroot: it has to see our files.
    pub(crate) fn newer(here: &Here) -> Self {
        let root = newer();
        let script = format!(
            "#!/bin/sh\nr={}\nexec $r/lib64/ld-linux-x86-64.so.2 --library-path \
             $r/lib/x86_64-linux-gnu:$r/usr/lib/x86_64-linux-gnu $r/usr/bin/containerd \"$@\"\n",
            root.display()
        );
        here.put_program("containerd-2", &script);
        Self {
            program: here.at("containerd-2"),
            major: 2,
        }
    }

    /// The configuration as this containerd understands it.
    pub(crate) fn dump(&self, config: &Path) -> Table {
        let output = Command::new(&self.program)
            .arg("--config")
            .arg(config)
            .args(["config", "dump"])
            .output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).parse().expect("TOML")
    }
}

/// The CRI plugin's runtimes, by name.
pub(crate) fn runtimes(dump: &mut Table) -> &mut Table {
    let plugins = dump["plugins"].as_table_mut().expect("plugins");
    let cri = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"];
    let cri = cri.into_iter().find(|cri| {
        plugins
            .get(*cri)
            .is_some_and(|cri| cri.get("containerd").is_some())
    });
    plugins[cri.expect("a CRI plugin")]["containerd"]["runtimes"]
        .as_table_mut()
        .expect("runtimes")
}

/// All but ours is as before. An entry that was a default may lose what is as good as absent.
pub(crate) fn assert_others_untouched(
    before: &mut Table,
    after: &mut Table,
    ours: &[&str],
    what: &str,
) {
    for name in ours {
        runtimes(after).remove(*name).expect("ours");
    }
    for runtime in runtimes(before)
        .iter_mut()
        .chain(runtimes(after))
        .map(|(_, runtime)| runtime)
    {
        drop_defaults(runtime);
    }
    before.remove("imports");
    after.remove("imports");
    assert_eq!(before, after, "{what}");
}

fn drop_defaults(value: &mut Value) {
    let Value::Table(table) = value else { return };
    table.iter_mut().for_each(|(_, value)| drop_defaults(value));
    table.retain(|_, value| match value {
        Value::String(text) => !text.is_empty() && text != "podsandbox",
        Value::Boolean(set) => *set,
        Value::Integer(number) => *number != 0,
        Value::Array(list) => !list.is_empty(),
        Value::Table(table) => !table.is_empty(),
        _ => true,
    });
}
