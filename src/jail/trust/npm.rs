//! npm: where its settings name a list of roots, no other counts for it. Then it is told of one of ours by a
//! variable, which goes before its settings.
//!
//! Only npm trusts what its settings name: the filter doesn't, since the project's are anybody's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::callers::read;
use crate::certificates;

/// Where settings of the whole host's are; besides them, the caller's own and the project's.
const OF_HOST: [&str; 3] = ["/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc"];

/// The variable, and the setting that it goes before.
const VARIABLE: &str = "npm_config_cafile";
const SETTING: &str = "cafile";

/// A list with these roots and those that npm trusts without us; none where nothing names any.
pub(super) fn list(roots: &[CertificateDer<'static>]) -> Option<String> {
    let named = named();
    let own = named.iter().map(|path| certificates::from_pem(&read(path)));
    let all: Vec<_> = std::iter::once(roots.to_vec()).chain(own).collect();
    (!named.is_empty()).then(|| certificates::to_pem(&certificates::union(all)))
}

/// The variable that names this list.
pub(super) fn variable(list: &Path) -> OsString {
    let mut entry = OsString::from(format!("{VARIABLE}="));
    entry.push(list);
    entry
}

/// The lists that are named.
fn named() -> Vec<PathBuf> {
    let home = std::env::home_dir().map(|home| home.join(".npmrc"));
    let project = std::env::current_dir().map(|here| here.join(".npmrc"));
    let files = OF_HOST.map(PathBuf::from).into_iter();
    let files = files.chain(home).chain(project);
    let by_files = files.filter_map(|file| list_in(&String::from_utf8_lossy(&read(&file))));
    let by_variable = std::env::var_os(VARIABLE).map(PathBuf::from);
    by_files.chain(by_variable).collect()
}

/// The one that a file of settings names; the last counts.
fn list_in(settings: &str) -> Option<PathBuf> {
    let value = |line: &str| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == SETTING).then(|| value.trim().trim_matches('"').to_owned())
    };
    let last = settings.lines().filter_map(value).next_back()?;
    Some(PathBuf::from(last)).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_list_that_is_named_counts() {
        let settings = "; cafile = /no\nregistry=x\ncafile=/one\ncafile = \"/two words\"\nca=x\n";
        assert_eq!(list_in(settings), Some("/two words".into()));
        assert_eq!(list_in("cafile="), None);
        assert_eq!(list_in("strict-ssl=true"), None);
    }
}
