//! Which containers' gateways run, by what is remembered under `/run/boundary`.

use std::collections::HashSet;
use std::io;

use crate::state::{self, Record};

/// The containers whose gateways run; none where this user may not look, and nothing can be said.
#[derive(Debug, Default)]
pub(super) struct Running(Option<HashSet<String>>);

impl Running {
    /// Looks. A gateway that is just being made isn't remembered yet, though its record has begun.
    pub(super) fn now() -> io::Result<Self> {
        match state::containers(Record::filters) {
            Ok(ids) => Ok(Self(Some(ids))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    /// These.
    #[cfg(test)]
    pub(super) fn of(ids: impl IntoIterator<Item = String>) -> Self {
        Self(Some(ids.into_iter().collect()))
    }

    /// Whether a container's gateway runs, if that can be said.
    pub(super) fn has(&self, id: &str) -> Option<bool> {
        self.0.as_ref().map(|running| running.contains(id))
    }
}
