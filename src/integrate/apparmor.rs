//! AppArmor: the profiles under which containers can nest, loaded now and at every boot
//! (apparmor.service). Plans only.
//!
//! Invariant: all engines share the profiles, so they are removed with the last runtime of ours in
//! any engine, and not before the last container has ended: a process whose profile is removed is
//! no longer confined.

use std::path::{Path, PathBuf};

use super::change_plan::ChangePlan;
use super::config_file::{self, HEADER};
use super::error::IntegrateError;
use super::step::Step;
use crate::apparmor::{kernel, profiles};
use crate::sys::file::is_empty;
use crate::sys::process;

/// AppArmor on this host.
#[derive(Debug)]
pub struct AppArmor {
    /// The program that loads profiles (apparmor_parser(8)).
    pub parser: PathBuf,
    /// The folder that it loads at boot.
    pub folder: PathBuf,
    /// Whether all profiles of ours are loaded.
    pub loaded: bool,
}

impl AppArmor {
    /// That of this host; none where it is switched off or too old. Engines confine nobody either
    /// where the parser is missing, and before version 3 it knows no ABI to name.
    #[must_use]
    pub fn of_this_host() -> Option<Self> {
        let folder = PathBuf::from("/etc/apparmor.d");
        let parser = process::on_host("apparmor_parser")
            .filter(|_| kernel::is_enabled() && folder.join("abi/3.0").exists())?;
        let loaded = kernel::loaded();
        let all = [profiles::DEFAULT, profiles::BWRAP]
            .iter()
            .all(|ours| loaded.iter().any(|name| name == ours));
        Some(Self {
            parser,
            folder,
            loaded: all,
        })
    }

    /// Plans that the profiles are there, and loaded.
    pub(super) fn add(&self, plan: &mut ChangePlan) -> Result<(), IntegrateError> {
        let (path, before) = self.read()?;
        let after = format!("{HEADER}\n{}", profiles::file());
        let same = before.as_ref() == Some(&after);
        if !same {
            let changes = vec![
                "containers with the engine's default profile get one of these, so that they may nest".to_owned(),
            ];
            plan.write(path.clone(), before, after, changes);
        }
        if !same || !self.loaded {
            plan.steps.push(Step::LoadProfiles {
                parser: self.parser.clone(),
                file: path,
            });
        }
        Ok(())
    }

    /// Plans that they aren't, once the steps before have taken the last runtime of ours away.
    pub(super) fn remove(
        &self,
        running: &Path,
        configurations: &[PathBuf],
        plan: &mut ChangePlan,
    ) -> Result<(), IntegrateError> {
        let (path, Some(before)) = self.read()? else {
            return Ok(());
        };
        if plan.file_that_names_us(configurations).is_some() {
            return Ok(());
        }
        if !is_empty(running) {
            let why = "running containers use its profiles; uninstall again once they are removed";
            plan.notes
                .push(format!("{} is kept: {why}", path.display()));
            return Ok(());
        }
        // The parser takes what isn't loaded for an error.
        if self.loaded {
            plan.steps.push(Step::UnloadProfiles {
                parser: self.parser.clone(),
                file: path.clone(),
            });
        }
        plan.steps.push(Step::Remove {
            path,
            before,
            changes: Vec::new(),
        });
        Ok(())
    }

    /// The file's path and its text, where there is one. One that is not ours is an error.
    fn read(&self) -> Result<(PathBuf, Option<String>), IntegrateError> {
        config_file::read_own(&self.folder.join(profiles::FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrate::Engine;
    use crate::integrate::drop_in::{DropIn, DropInReader};
    use crate::integrate::test_host::{TestHost, has_note};

    const FILE: &str = "apparmor.d/boundary-shim";
    const ENGINE: &str = "elsewhere.d/boundary.conf";

    /// With a parser that takes everything.
    fn host(loaded: bool) -> TestHost {
        host_reading("elsewhere.d", loaded)
    }

    fn host_reading(engines_folder: &str, loaded: bool) -> TestHost {
        let mut host = TestHost::new(|at| {
            Engine::DropIn(DropIn {
                reader: DropInReader::Podman,
                folder: at(engines_folder),
            })
        });
        let folder = host
            .path("apparmor.d")
            .canonicalize()
            .unwrap_or_else(|_| host.path("apparmor.d"));
        host.ours.apparmor = Some(AppArmor {
            parser: "/bin/true".into(),
            folder,
            loaded,
        });
        host
    }

    fn loads(plan: &ChangePlan) -> bool {
        plan.steps
            .iter()
            .any(|step| matches!(step, Step::LoadProfiles { .. }))
    }

    #[test]
    fn profiles_are_written_and_loaded_before_the_engine_offers_the_runtime() {
        let mut host = host(false);
        let plan = host.install_now();
        let place = |wanted: fn(&Step) -> bool| plan.steps.iter().position(wanted);
        let loaded = place(|step| matches!(step, Step::LoadProfiles { .. }));
        let offered = place(
            |step| matches!(step, Step::Write { path, .. } if path.ends_with("boundary.conf")),
        );
        assert!(loaded < offered && loaded.is_some(), "{:?}", plan.steps);
        assert_eq!(host.get(FILE), format!("{HEADER}\n{}", profiles::file()));
        assert!(
            loads(&host.install().expect("planned")),
            "written, and not loaded"
        );
        host.ours.apparmor.as_mut().expect("there").loaded = true;
        assert_eq!(host.install().expect("planned").steps, []);
        host.put(FILE, &format!("{HEADER}\nolder"));
        assert!(loads(&host.install().expect("planned")));
    }

    #[test]
    fn profiles_go_with_the_last_runtime_of_ours_and_its_last_container() {
        let host = host(true);
        host.install_now();
        let unloads = || {
            let plan = host.uninstall().expect("planned");
            (
                plan.steps
                    .iter()
                    .any(|step| matches!(step, Step::UnloadProfiles { .. })),
                has_note(&plan, "is kept"),
            )
        };
        host.put(
            "elsewhere.json",
            r#"{"runtimes": {"b": {"path": "/usr/local/bin/boundary-shim"}}}"#,
        );
        assert_eq!(unloads(), (false, false), "another engine offers one");
        host.put("elsewhere.json", "{}");
        host.put("running/container/record.json", "{}");
        assert_eq!(unloads(), (false, true));
        std::fs::remove_dir_all(host.path("running")).expect("removed");
        assert_eq!(unloads(), (true, false));
        host.uninstall_now();
        assert!(!host.path(FILE).exists() && !host.path(ENGINE).exists());
        assert_eq!(host.uninstall().expect("planned").steps, []);
    }

    #[test]
    fn another_runtime_of_an_engine_with_files_in_another_place_needs_them_too() {
        let host = host_reading("unusual.d", true);
        host.install_now();
        host.put(
            "unusual.d/npm.conf",
            "npm = [\"/usr/local/bin/boundary-npm\"]\n",
        );
        host.uninstall_now();
        assert!(host.path(FILE).exists());
    }

    #[test]
    fn what_is_not_loaded_is_not_unloaded() {
        let host = host(false);
        host.install_now();
        let plan = host.uninstall_now();
        assert!(
            !plan
                .steps
                .iter()
                .any(|step| matches!(step, Step::UnloadProfiles { .. })),
            "{:?}",
            plan.steps
        );
        assert!(!host.path(FILE).exists());
    }

    #[test]
    fn a_file_that_somebody_else_made_is_left_alone() {
        let host = host(true);
        host.put(FILE, "profile mine {}\n");
        for plan in [host.install(), host.uninstall()] {
            assert!(matches!(plan, Err(IntegrateError::ForeignFile(_))));
        }
    }
}
