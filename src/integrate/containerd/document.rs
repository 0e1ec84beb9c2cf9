//! One of containerd's files as a tree of TOML that keeps comments, order and spacing.
//!
//! Must not know other files, or which of them counts. To remember: what containerd doesn't know
//! here must survive.

use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError, Value, value};

use super::entry::{binary_name, child, fit, is_runtime, is_stand_in};
use super::malformed::Malformed;

/// How a file that is ours altogether begins.
const MARK: &str =
    "# Written by `boundary-shim install containerd`; `uninstall containerd` takes it away.\n";

/// The form of the main file, which says what plugins are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// containerd 1.3 and later, 2.x too.
    Two,
    /// containerd 2.0 and later.
    Three,
}

/// The tree.
#[derive(Debug, Clone)]
pub(super) struct Document {
    tree: DocumentMut,
    /// Whether the text comes out again as it was read; a newline at its end is no matter.
    exact: bool,
}

impl Version {
    /// The CRI plugin's name.
    pub(super) fn plugin(self) -> &'static str {
        match self {
            Self::Two => "io.containerd.grpc.v1.cri",
            Self::Three => "io.containerd.cri.v1.runtime",
        }
    }

    fn runtimes(self) -> [&'static str; 4] {
        ["plugins", self.plugin(), "containerd", "runtimes"]
    }
}

impl Document {
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let tree: DocumentMut = text.parse().map_err(|error| syntax(text, &error))?;
        let exact = tree.to_string().trim_end() == text.trim_end();
        Ok(Self { tree, exact })
    }

    /// A file that is ours altogether. A main one imports what containerd 2.2 and later do where
    /// there is none.
    pub(super) fn new(version: Version, imports: Option<&str>) -> Self {
        let mut document = DocumentMut::new();
        document.insert(
            "version",
            value(if version == Version::Two { 2 } else { 3 }),
        );
        if let Some(pattern) = imports {
            document.insert("imports", value(Value::from_iter([pattern])));
        }
        document
            .key_mut("version")
            .expect("just inserted")
            .leaf_decor_mut()
            .set_prefix(MARK);
        Self {
            tree: document,
            exact: true,
        }
    }

    pub(super) fn text(&self) -> String {
        self.tree.to_string()
    }

    pub(super) fn version(&self) -> Result<Version, Malformed> {
        match self.tree.get("version").and_then(Item::as_integer) {
            Some(2) => Ok(Version::Two),
            Some(3) => Ok(Version::Three),
            _ => Err(Malformed::Version),
        }
    }

    pub(super) fn imports(&self) -> Result<Vec<&str>, Malformed> {
        let Some(imports) = self.tree.get("imports") else {
            return Ok(Vec::new());
        };
        let imports = imports.as_array().ok_or(Malformed::Imports)?;
        imports
            .iter()
            .map(|import| import.as_str().ok_or(Malformed::Imports))
            .collect()
    }

    pub(super) fn disables_cri(&self) -> bool {
        let disabled = self.tree.get("disabled_plugins").and_then(Item::as_array);
        let cri = ["cri", Version::Two.plugin(), Version::Three.plugin()];
        disabled.is_some_and(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .any(|plugin| cri.contains(&plugin))
        })
    }

    /// Whether the file says anything of the CRI plugin.
    pub(super) fn has_cri(&self, version: Version) -> Result<bool, Malformed> {
        Ok(self.table(&["plugins", version.plugin()])?.is_some())
    }

    pub(super) fn default_runtime(&self, version: Version) -> Result<Option<&str>, Malformed> {
        let containerd = self.table(&["plugins", version.plugin(), "containerd"])?;
        Ok(containerd.and_then(|table| table.get("default_runtime_name")?.as_str()))
    }

    pub(super) fn runtime(
        &self,
        version: Version,
        name: &str,
    ) -> Result<Option<&dyn TableLike>, Malformed> {
        let [plugins, plugin, containerd, runtimes] = version.runtimes();
        self.table(&[plugins, plugin, containerd, runtimes, name])
    }

    pub(super) fn has_runtimes(&self, version: Version) -> Result<bool, Malformed> {
        Ok(self
            .table(&version.runtimes())?
            .is_some_and(|runtimes| !runtimes.is_empty()))
    }

    /// What the runtimes run, as far as it is said.
    pub(super) fn binaries(&self, version: Version) -> Result<Vec<&str>, Malformed> {
        let Some(runtimes) = self.table(&version.runtimes())? else {
            return Ok(Vec::new());
        };
        Ok(runtimes
            .iter()
            .filter_map(|(_, runtime)| binary_name(runtime.as_table_like()?))
            .collect())
    }

    /// Adds an entry that isn't there.
    pub(super) fn add_runtime(
        &mut self,
        version: Version,
        name: &str,
        entry: Table,
    ) -> Result<(), Malformed> {
        let mut at = self.tree.as_item_mut();
        for key in version.runtimes() {
            at = child(at, key)?;
        }
        let entry = if at.is_inline_table() {
            value(entry.into_inline_table())
        } else {
            Item::Table(entry)
        };
        at.as_table_like_mut()
            .ok_or_else(|| Malformed::NotATable("runtimes".to_owned()))?
            .insert(name, entry);
        self.check(version, name)
    }

    /// Brings the entry that is there up to date; says whether anything was different.
    pub(super) fn fit_runtime(
        &mut self,
        version: Version,
        name: &str,
        binary: &str,
        systemd_cgroup: Option<bool>,
    ) -> Result<bool, Malformed> {
        let mut at = self.tree.as_item_mut();
        for key in version.runtimes().into_iter().chain([name]) {
            at = child(at, key)?;
        }
        let changed = fit(at, binary, systemd_cgroup)?;
        self.check(version, name).map(|()| changed)
    }

    pub(super) fn remove_runtime(&mut self, version: Version, name: &str) {
        let runtimes = version
            .runtimes()
            .into_iter()
            .try_fold(self.tree.as_item_mut(), Item::get_mut);
        let Some(runtimes) = runtimes.and_then(Item::as_table_like_mut) else {
            return;
        };
        runtimes.remove(name);
        let stands_in = |runc: &Item| runc.as_table().is_some_and(is_stand_in);
        if runtimes.len() == 1 && runtimes.get("runc").is_some_and(stands_in) {
            runtimes.remove("runc");
        }
    }

    /// Whether it was written by us and says nothing any more.
    pub(super) fn is_left_over(&self) -> bool {
        let text = self.text();
        let says = |document: &Self| {
            document
                .tree
                .iter()
                .any(|(key, _)| !["version", "imports"].contains(&key))
        };
        text.starts_with(MARK) && Self::parse(&text).is_ok_and(|document| !says(&document))
    }

    fn table(&self, path: &[&str]) -> Result<Option<&dyn TableLike>, Malformed> {
        let mut at: &dyn TableLike = self.tree.as_table();
        for key in path {
            let Some(item) = at.get(key) else {
                return Ok(None);
            };
            at = item
                .as_table_like()
                .ok_or_else(|| Malformed::NotATable((*key).to_owned()))?;
        }
        Ok(Some(at))
    }

    /// Some ways to write tables take no addition; CR LF and a byte order mark would be lost. What
    /// is printed is therefore read again before anyone else reads it.
    fn check(&self, version: Version, name: &str) -> Result<(), Malformed> {
        if !self.exact {
            return Err(Malformed::LineEnds);
        }
        let same = |copy: Self| {
            copy.runtime(version, name)
                .is_ok_and(|entry| entry.is_some_and(is_runtime))
        };
        let written = Self::parse(&self.text()).is_ok_and(same);
        if written {
            Ok(())
        } else {
            Err(Malformed::Unwritable("plugins"))
        }
    }
}

fn syntax(text: &str, error: &TomlError) -> Malformed {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    Malformed::Syntax {
        line,
        message: error.message().trim().replace('\n', ", "),
    }
}
