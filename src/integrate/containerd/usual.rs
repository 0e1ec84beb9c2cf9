//! Which runtime of the node ours is made after. Must not know how files become one.

use toml_edit::Table;

use super::entry;
use super::files::Files;
use crate::integrate::error::IntegrateError;
use crate::integrate::runtime_name::RuntimeName;

/// The entry that a node's pods run under, and that ours is made after.
#[derive(Debug)]
pub(super) struct UsualRuntime {
    pub(super) name: String,
    pub(super) entry: Table,
}

impl Files {
    /// The node's default runtime, where runc's own shim runs it and it isn't `ours`; else runc.
    pub(super) fn usual_runtime(
        &self,
        ours: &RuntimeName,
    ) -> Result<Option<UsualRuntime>, IntegrateError> {
        let mut default = None;
        for index in self.counting()? {
            if let Some(file) = self.list.get(index) {
                default = file.explain(file.document.default_runtime())?.or(default);
            }
        }
        for name in default.into_iter().chain(["runc"]) {
            let found = self.entry(name)?;
            let fits = |entry: &Table| {
                name == "runc" || (name != ours.as_str() && entry::is_runtime(entry))
            };
            if let Some(entry) = found.filter(fits) {
                let name = name.to_owned();
                return Ok(Some(UsualRuntime { name, entry }));
            }
        }
        Ok(None)
    }

    /// A runtime's entry, as containerd understands all that count.
    fn entry(&self, name: &str) -> Result<Option<Table>, IntegrateError> {
        let mut merged = None;
        for index in self.counting()? {
            let Some(file) = self.list.get(index) else {
                continue;
            };
            if let Some(entry) = file.explain(file.document.runtime(name))? {
                entry::merge(merged.get_or_insert_with(Table::new), entry);
            }
        }
        Ok(merged)
    }
}
