//! Writes records: one writer a container, in order, bounded in size.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::record::Subject;

/// The audit file of one container. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal(Arc<()>); // helper D

/// An attempt that is being recorded: written once, when finished or dropped.
#[derive(Debug)]
pub struct Entry(()); // helper D

impl Journal {
    /// Opens (or continues) the file.
    pub fn open(_path: &Path, _container: &str, _policy: &str) -> std::io::Result<Self> {
        todo!()
    }

    /// Whether the last write succeeded. While false, nothing may be allowed: it would go unrecorded.
    #[must_use]
    pub fn healthy(&self) -> bool {
        todo!()
    }

    /// Begins the record of an attempt seen now.
    #[must_use]
    pub fn begin(&self, _subject: Subject) -> Entry {
        todo!()
    }
}

impl Entry {
    /// What was learnt since `begin`.
    pub fn subject(&mut self) -> &mut Subject {
        todo!()
    }

    /// Notes that it was allowed by this rule, and the address really used.
    pub fn allowed(&mut self, _rule: &str, _address: Option<IpAddr>) {
        todo!()
    }

    /// Ends it as denied.
    pub fn deny(self, _denial: &crate::policy::Denial) {
        todo!()
    }

    /// Ends it after it was allowed: bytes each way, and what went wrong, if something did.
    pub fn finish(self, _bytes_out: u64, _bytes_in: u64, _problem: Option<&str>) {
        todo!()
    }
}
