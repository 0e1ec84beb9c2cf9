//! How Java is told of the filter's certificate: by a store, which an option names that every Java reads from
//! its environment.
//!
//! Java says on standard error that it did. Nothing quieter reaches all of them: a store can be mounted over
//! Java's own only where the command has mounts of its own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::callers::read;
use crate::certificates::{self, der, jks};
use crate::prepare::trust::host_java_roots;

/// The variable. What the command line says counts before it.
const OPTIONS: &str = "JAVA_TOOL_OPTIONS";
/// The option; of several the last counts.
const STORE: &str = "-Djavax.net.ssl.trustStore=";

/// A store with these roots, and with all that Java trusts without us.
pub(super) fn store(roots: &[CertificateDer<'static>]) -> Vec<u8> {
    let home = std::env::var_os("JAVA_HOME").map(PathBuf::from);
    let own = match std::env::var_os(OPTIONS).as_deref().and_then(named) {
        Some(named) => roots_in(&read(&named)),
        None => host_java_roots(home.as_deref()),
    };
    let all = certificates::union(vec![roots.to_vec(), own]);
    let entry = |(number, certificate)| jks::Entry {
        alias: format!("boundary:{number}"),
        created: 0,
        certificate,
    };
    let entries: Vec<_> = all.into_iter().enumerate().map(entry).collect();
    jks::write(&entries)
}

/// The variable that names this store, after whatever it says already.
pub(super) fn variable(store: &Path) -> OsString {
    with(std::env::var_os(OPTIONS), store)
}

fn with(own: Option<OsString>, store: &Path) -> OsString {
    let mut entry = OsString::from(format!("{OPTIONS}="));
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        entry.push(own);
        entry.push(" ");
    }
    // It is read as a shell's words are.
    entry.push("\"");
    entry.push(STORE);
    entry.push(store);
    entry.push("\"");
    entry
}

/// The store that options name. One with a blank in its name is read as none.
fn named(options: &OsStr) -> Option<PathBuf> {
    let mut words = options.to_str()?.split_whitespace().rev();
    words.find_map(|word| {
        let path = word.trim_matches(['"', '\'']).strip_prefix(STORE)?;
        Some(PathBuf::from(path.trim_matches(['"', '\''])))
    })
}

fn roots_in(store: &[u8]) -> Vec<CertificateDer<'static>> {
    match jks::read(store) {
        Some(entries) => entries.into_iter().map(|entry| entry.certificate).collect(),
        None => der::roots_within(store),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_callers_stay_and_name_its_store() {
        let store = Path::new("/tmp/a b/java");
        assert_eq!(
            with(None, store),
            "JAVA_TOOL_OPTIONS=\"-Djavax.net.ssl.trustStore=/tmp/a b/java\""
        );
        let own = "-Xmx1g -Djavax.net.ssl.trustStore=/own '-Djavax.net.ssl.trustStore=/last'";
        let both = with(Some(own.into()), store);
        assert!(
            both.to_str()
                .unwrap()
                .starts_with(&format!("JAVA_TOOL_OPTIONS={own} \""))
        );
        assert_eq!(named(OsStr::new(own)), Some("/last".into()));
        assert_eq!(named(OsStr::new("-Xmx1g")), None);
    }

    #[test]
    fn a_store_holds_roots_of_both_kinds() {
        assert!(jks::read(&store(&[])).is_some());
        assert!(roots_in(b"no store").is_empty());
    }
}
