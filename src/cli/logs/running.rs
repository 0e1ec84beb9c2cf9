//! Which containers' gateways are running, according to `/run/boundary`.

use std::collections::HashSet;
use std::io;

use crate::container::state::{self, SavedState};

/// The containers whose gateways are running; none if this user may not look.
#[derive(Debug, Default)]
pub(super) struct Running(Option<HashSet<String>>);

impl Running {
    /// Looks now. A gateway that is just being created isn't listed yet, though its record has
    /// begun.
    pub(super) fn now() -> io::Result<Self> {
        match state::containers(SavedState::filters) {
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

    /// Whether a container's gateway is running, if known.
    pub(super) fn has(&self, id: &str) -> Option<bool> {
        self.0.as_ref().map(|running| running.contains(id))
    }
}
