//! Whom a gateway that intercepts trusts, and who is made to trust it: the roots that servers are
//! verified with, and the files in its container that are given the certificate of its authority.

use std::fs::File;
use std::io;

use rustls::pki_types::CertificateDer;

use crate::container::plan::StoreFormat;
use crate::container::trust;

/// What the keeper opened for a filter that intercepts, before the filter gave up the means to.
#[derive(Debug)]
pub struct Trust {
    /// The host's roots, and those of `extra-ca`.
    pub roots: Vec<CertificateDer<'static>>,
    /// The container's trust stores, for writing.
    pub stores: Vec<(File, StoreFormat)>,
}

impl Trust {
    /// Has the container's stores hold this certificate, too. Each keeps its inode: that is what is
    /// mounted.
    ///
    /// # Errors
    /// What reading and writing give: the container must not start then.
    pub fn publish(&self, authority: &CertificateDer<'static>) -> io::Result<()> {
        self.stores
            .iter()
            .try_for_each(|(store, format)| trust::publish(store, *format, authority))
    }
}
