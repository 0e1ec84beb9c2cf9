//! The host's configuration: its policies, and where records go.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use crate::cli::doctor::facts::SettingsFacts;
use crate::policy::{PolicyName, text};
use crate::prepare::trust;
use crate::settings::{self, Settings, Shelves};

/// `wholly`: certificates and the room for records are looked at, too.
pub(super) fn judge(settings: &Settings, wholly: bool) -> SettingsFacts {
    let (mut policies, mut mistakes) = (0, Vec::new());
    for file in settings::policy_files(&settings.policies) {
        match check_policy(settings, &file) {
            Ok(()) => policies += 1,
            Err(found) => mistakes.extend(found),
        }
    }
    let certificates = settings.extra_ca.iter().filter(|_| wholly);
    let extra_ca = certificates.filter_map(|path| trust::check_extra(path).err());
    let default = settings.policy.file(&settings.policies);
    SettingsFacts {
        user_namespace: settings.user_namespace,
        policies,
        mistakes,
        missing_default: (!default.exists()).then(|| default.display().to_string()),
        extra_ca: extra_ca.map(|error| format!("{error:#}")).collect(),
        audit_directory: settings.audit_directory.display().to_string(),
        audit: writable(&settings.audit_directory).map_err(|error| error.to_string()),
        space: space(&settings.audit_directory).filter(|_| wholly),
    }
}

fn check_policy(settings: &Settings, file: &Path) -> Result<(), Vec<String>> {
    let origin = file.display().to_string();
    let content =
        settings::read_trusted(file).map_err(|error| vec![format!("{origin}: {error}")])?;
    let shelves = Shelves::of_host(settings, settings::read_trusted);
    let library = |name: &PolicyName| shelves.find(name);
    let rules = text::parse_whole(&origin, &content.unwrap_or_default(), &library);
    rules
        .map(drop)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

/// Whether files can be created in a directory, or the directory itself if it is missing.
fn writable(directory: &Path) -> nix::Result<()> {
    let existing = existing(directory);
    if !existing.is_dir() {
        return Err(nix::errno::Errno::ENOTDIR);
    }
    access(existing, AccessFlags::W_OK)
}

/// Bytes that are free where a directory is, or would be made.
fn space(directory: &Path) -> Option<u64> {
    let status = statvfs(existing(directory)).ok()?;
    Some(status.blocks_available() * status.fragment_size())
}

fn existing(directory: &Path) -> &Path {
    let mut above = directory.ancestors();
    above
        .find(|path| path.exists())
        .unwrap_or_else(|| Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_missing_can_be_written_where_it_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(writable(&directory.path().join("a/b")), Ok(()));
        std::fs::File::create(directory.path().join("file")).unwrap();
        assert_eq!(
            writable(&directory.path().join("file/b")),
            Err(nix::errno::Errno::ENOTDIR)
        );
        assert!(writable(Path::new("/proc/sys/boundary")).is_err());
    }

    #[test]
    fn every_policy_is_checked_and_what_is_no_policy_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            crate::sys::file::replace(&directory.path().join(name), content.as_bytes(), 0o644)
                .unwrap();
        };
        write("good.yaml", "allow:\n  - domain=example.org\n");
        write("bad.yaml", "allow:\n  - domian=example.org\n");
        write("README", "nothing");
        let settings = Settings {
            policies: directory.path().to_owned(),
            ..Settings::default()
        };
        let facts = judge(&settings, true);
        assert_eq!((facts.policies, facts.mistakes.len()), (1, 1));
        assert!(
            facts.mistakes[0].contains("bad.yaml:2"),
            "{:?}",
            facts.mistakes
        );
        assert!(facts.missing_default.unwrap().ends_with("default.yaml"));
    }
}
