//! The engines: which are here, what their files say, and by what those that run go.

use std::path::Path;

use crate::cli::doctor::facts::{DockerdFacts, EngineFacts};
use crate::cli::install::InstallTarget;
use crate::dockerd::{self, Daemon};
use crate::integrate::containerd::{self, Containerd};
use crate::integrate::docker::Docker;
use crate::integrate::drop_in::{self, DropIn, DropInReader};
use crate::integrate::runtime_name::RuntimeName;
use crate::integrate::{self, Installation};
use crate::sys::process;

/// The programs of engines that are looked for.
const PROGRAMS: [&str; 4] = ["dockerd", "containerd", "podman", "crio"];

/// Whether there is any.
pub(super) fn are_here() -> bool {
    PROGRAMS
        .iter()
        .any(|program| process::on_host(program).is_some())
}

/// The engines that are there, or the one that was asked for.
pub(super) fn engines(ours: &Installation, only: Option<InstallTarget>) -> Vec<EngineFacts> {
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
        .filter_map(|(name, program, engine)| Some((name, process::on_host(program)?, engine)));
    here.map(|(name_of_engine, program, engine)| EngineFacts {
        version: version(&program),
        ..judged(name_of_engine, &engine, ours, &name)
    })
    .collect()
}

fn version(program: &Path) -> Option<String> {
    let said = process::answer(program, &["--version"]).ok()?;
    Some(said.lines().next()?.to_owned())
}

fn dockerds(runtime: &RuntimeName) -> Vec<DockerdFacts> {
    let daemons = dockerd::reading(Path::new(dockerd::DEFAULT_CONFIG)).unwrap_or_default();
    daemons.iter().map(|daemon| seen(daemon, runtime)).collect()
}

fn seen(daemon: &Daemon, runtime: &RuntimeName) -> DockerdFacts {
    let knows = daemon.knows_runtime(&runtime.to_string());
    DockerdFacts {
        knows_runtime: knows.map_err(|error| error.to_string()),
        dns: daemon.servers().iter().map(ToString::to_string).collect(),
        goes_by_dns: daemon.goes_by_dns(),
        cgroup_driver: daemon.cgroup_driver(),
    }
}

fn judged(
    engine: &'static str,
    place: &integrate::Engine,
    ours: &Installation,
    name: &RuntimeName,
) -> EngineFacts {
    // If there is something to uninstall, it is installed.
    let mut installed = integrate::uninstall(place, ours, name).map(|plan| !plan.steps.is_empty());
    let (mut runs, mut running, mut running_dockerds) = (None, None, Vec::new());
    match place {
        integrate::Engine::DropIn(drop_in) => {
            runs = drop_in.default_runtime();
            running = drop_in.runs_with(name);
        }
        integrate::Engine::Containerd(containerd) => match containerd.runs_with() {
            Ok(config) => running = Some(config),
            Err(error) => installed = Err(error),
        },
        integrate::Engine::Docker(_) => running_dockerds = dockerds(name),
    }
    EngineFacts {
        name: engine,
        runtime: name.to_string(),
        asked_for: false,
        installed: installed.map_err(|error| format!("{:#}", anyhow::Error::from(error))),
        running,
        runs,
        version: None,
        dockerds: running_dockerds,
    }
}
