//! Has the command trust the filter where that intercepts TLS: a folder of files, which variables of
//! its environment name, as a container's does.
//!
//! Invariant: the folder is gone when the command is, whichever of our processes is killed. What is in
//! it is nobody's secret; whoever changes it changes whom the command trusts, and not what is allowed.

mod callers;
mod java;
mod npm;

use std::ffi::{CString, OsString};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::certificates;
use crate::container::plan::StoreFormat;
use crate::container::trust;
use crate::prepare::trust::{host_roots, settings_of};
use crate::proxy::tls::trust::Trust;
use crate::spec::trust::{AUTHORITY, ROOTS, variables};
use crate::sys::random;

/// Variables by which the caller may have named roots of its own.
const NAMED_BY: [&str; 4] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
];

/// The files of one jail. They are removed when this is dropped.
#[derive(Debug)]
pub(super) struct TrustFolder {
    path: PathBuf,
    /// Whether npm has a list of its own.
    has_npms: bool,
}

/// What Java trusts.
const JAVA: &str = "java";
/// What npm trusts.
const NPM: &str = "npm.pem";

impl TrustFolder {
    /// Makes them, and opens for the filter what it is to add its certificate to.
    ///
    /// # Errors
    /// There are no roots to verify servers with, or files can't be written anywhere.
    pub(super) fn make() -> anyhow::Result<(Self, Trust)> {
        let named = NAMED_BY.into_iter().filter_map(std::env::var_os);
        let own = named.map(|path| certificates::from_pem(&callers::read(Path::new(&path))));
        let of_host = host_roots();
        let own: Vec<_> = own.flatten().collect();
        let roots = match of_host {
            Ok(roots) => certificates::union(vec![roots, own]),
            Err(_) if !own.is_empty() => own,
            Err(error) => return Err(error),
        };
        let for_npm = npm::list(&roots);
        let folder = Self {
            path: make_somewhere()?,
            has_npms: for_npm.is_some(),
        };
        let failed = "can't write the files by which the command trusts the filter";
        for (name, content) in settings_of(&folder.path) {
            folder.write(name, &content).context(failed)?;
        }
        folder.write(AUTHORITY, b"").context(failed)?;
        let all = certificates::to_pem(&roots);
        folder.write(ROOTS, all.as_bytes()).context(failed)?;
        folder.write(JAVA, &java::store(&roots)).context(failed)?;
        let mut stores = vec![
            (AUTHORITY, StoreFormat::Pem),
            (ROOTS, StoreFormat::Pem),
            (JAVA, StoreFormat::Jks),
        ];
        if let Some(list) = for_npm {
            folder.write(NPM, list.as_bytes()).context(failed)?;
            stores.push((NPM, StoreFormat::Pem));
        }
        let open = |(name, format)| Ok((trust::open(&folder.path.join(name))?, format));
        let stores = stores.into_iter().map(open);
        let stores = stores.collect::<io::Result<Vec<_>>>().context(failed)?;
        Ok((folder, Trust { roots, stores }))
    }

    /// Where they are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The variables that name them.
    pub(super) fn variables(&self) -> Vec<CString> {
        let all = variables(&self.path).into_iter().map(OsString::from);
        let npm = || npm::variable(&self.path.join(NPM));
        all.chain([java::variable(&self.path.join(JAVA))])
            .chain(self.has_npms.then(npm))
            .filter_map(|entry| CString::new(entry.into_vec()).ok())
            .collect()
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(self.path.join(name))?;
        file.write_all(content)
    }
}

impl Drop for TrustFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes such a folder, which may be gone.
pub(super) fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}

/// An empty folder that is ours, in the first place where one can be made.
fn make_somewhere() -> anyhow::Result<PathBuf> {
    let places = [std::env::temp_dir(), "/tmp".into(), "/dev/shm".into()];
    let mut last = None;
    for place in places.into_iter().filter(|place| place.is_absolute()) {
        let path = place.join(format!("boundary-{:016x}", random::number()?));
        // Fails where something of that name is there, even a link.
        match DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) => last = Some((place, error)),
        }
    }
    Err(last.map_or_else(
        || anyhow!("there is no folder for temporary files"),
        |(place, error)| {
            anyhow!(
                "these rules need TLS to be intercepted, and no files for that can be made in {} ({error}): \
                 set TMPDIR to a folder that can be written to",
                place.display()
            )
        },
    ))
}
