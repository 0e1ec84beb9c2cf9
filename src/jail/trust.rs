//! Has the command trust the filter where that intercepts TLS: a folder of files, which variables of
//! its environment name, as a container's does.
//!
//! Invariant: the folder is gone when the command is, whichever of our processes is killed. What is in
//! it is nobody's secret; whoever changes it changes whom the command trusts, and not what is allowed.

mod java;

use std::ffi::{CString, OsString};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::certificates;
use crate::container::plan::StoreFormat;
use crate::container::trust::{self, STORE_LIMIT};
use crate::prepare::trust::{host_roots, settings_of};
use crate::proxy::tls::trust::Trust;
use crate::spec::trust::{AUTHORITY, ROOTS, variables};
use crate::sys::{file, random};

/// Variables by which the caller may have named roots of its own.
const NAMED_BY: [&str; 5] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_cafile",
];

/// The files of one jail. They are removed when this is dropped.
#[derive(Debug)]
pub(super) struct TrustFolder(PathBuf);

/// What Java trusts.
const JAVA: &str = "java";

impl TrustFolder {
    /// Makes them, and opens for the filter what it is to add its certificate to.
    ///
    /// # Errors
    /// There are no roots to verify servers with, or files can't be written anywhere.
    pub(super) fn make() -> anyhow::Result<(Self, Trust)> {
        let named = NAMED_BY.into_iter().filter_map(std::env::var_os);
        let own = named.map(|path| roots_in(Path::new(&path)));
        let of_host = host_roots();
        let own: Vec<_> = own.flatten().collect();
        let roots = match of_host {
            Ok(roots) => certificates::union(vec![roots, own]),
            Err(_) if !own.is_empty() => own,
            Err(error) => return Err(error),
        };
        let folder = Self(make_somewhere()?);
        let failed = "can't write the files by which the command trusts the filter";
        for (name, content) in settings_of(&folder.0) {
            folder.write(name, &content).context(failed)?;
        }
        folder.write(AUTHORITY, b"").context(failed)?;
        let all = certificates::to_pem(&roots);
        folder.write(ROOTS, all.as_bytes()).context(failed)?;
        folder.write(JAVA, &java::store(&roots)).context(failed)?;
        let stores = [
            (AUTHORITY, StoreFormat::Pem),
            (ROOTS, StoreFormat::Pem),
            (JAVA, StoreFormat::Jks),
        ];
        let open = |(name, format)| Ok((trust::open(&folder.0.join(name))?, format));
        let stores = stores.into_iter().map(open);
        let stores = stores.collect::<io::Result<Vec<_>>>().context(failed)?;
        Ok((folder, Trust { roots, stores }))
    }

    /// Where they are.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The variables that name them.
    pub(super) fn variables(&self) -> Vec<CString> {
        let all = variables(&self.0).into_iter().map(OsString::from);
        all.chain([java::variable(&self.0.join(JAVA))])
            .filter_map(|entry| CString::new(entry.into_vec()).ok())
            .collect()
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(self.0.join(name))?;
        file.write_all(content)
    }
}

impl Drop for TrustFolder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes such a folder, which may be gone.
pub(super) fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}

fn roots_in(path: &Path) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    certificates::from_pem(&read(path))
}

/// What is in a file of the caller's choice; nothing where that can't be read.
fn read(path: &Path) -> Vec<u8> {
    let path = std::fs::canonicalize(path);
    let text = path.and_then(|path| file::read_regular(&path, STORE_LIMIT));
    text.unwrap_or_default()
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
