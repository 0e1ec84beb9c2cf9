//! One of containerd's files as a tree of TOML that keeps comments, order and spacing.
//!
//! Must not know other files, or which of them takes effect.
//!
//! Invariant: everything that isn't ours stays in the file, including what containerd doesn't know.

use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError, Value, value};

use super::entry::{binary_name, child, fit, is_runtime, is_stand_in};
use super::malformed::MalformedToml;

/// How a file that is ours altogether begins.
const MARK: &str =
    "# Written by `boundary-shim install containerd`; `uninstall containerd` takes it away.\n";

/// The form of a file, which says what plugins are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConfigVersion {
    /// containerd 1.3 and later, 2.x too.
    Two,
    /// containerd 2.0 and later.
    Three,
    /// containerd 2.3 and later: only the server's own settings moved, so its plugin for runtimes
    /// is written as in 3.
    Four,
}

/// The tree.
#[derive(Debug, Clone)]
pub(super) struct TomlDocument {
    tree: DocumentMut,
    /// Whether the text comes out again as it was read; a newline at its end is no matter.
    exact: bool,
    /// What containerd calls the plugin when it reads this file.
    plugin: &'static str,
}

impl ConfigVersion {
    /// The CRI plugin's name.
    pub(super) fn plugin(self) -> &'static str {
        match self {
            Self::Two => "io.containerd.grpc.v1.cri",
            Self::Three | Self::Four => "io.containerd.cri.v1.runtime",
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }
}

impl TomlDocument {
    /// Read by the names of its own version, or of 2 where it says none.
    pub(super) fn parse(text: &str) -> Result<Self, MalformedToml> {
        let tree: DocumentMut = text.parse().map_err(|error| syntax(text, &error))?;
        let exact = tree.to_string().trim_end() == text.trim_end();
        let plugin = ConfigVersion::Two.plugin();
        let mut document = Self {
            tree,
            exact,
            plugin,
        };
        if let Ok(version) = document.version() {
            document.read_as(version);
        }
        Ok(document)
    }

    /// As containerd reads it, whatever the file's own version.
    pub(super) fn read_as(&mut self, version: ConfigVersion) {
        self.plugin = version.plugin();
    }

    fn runtimes(&self) -> [&'static str; 4] {
        ["plugins", self.plugin, "containerd", "runtimes"]
    }

    /// A file that is ours altogether. A main one imports what containerd 2.2 and later do where
    /// there is none.
    pub(super) fn new(version: ConfigVersion, imports: Option<&str>) -> Self {
        let mut document = DocumentMut::new();
        document.insert("version", value(version.number()));
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
            plugin: version.plugin(),
        }
    }

    pub(super) fn text(&self) -> String {
        self.tree.to_string()
    }

    pub(super) fn version(&self) -> Result<ConfigVersion, MalformedToml> {
        match self.tree.get("version").and_then(Item::as_integer) {
            Some(2) => Ok(ConfigVersion::Two),
            Some(3) => Ok(ConfigVersion::Three),
            Some(4) => Ok(ConfigVersion::Four),
            Some(newer @ 5..) => Err(MalformedToml::Newer(newer)),
            _ => Err(MalformedToml::Version),
        }
    }

    pub(super) fn imports(&self) -> Result<Vec<&str>, MalformedToml> {
        let Some(imports) = self.tree.get("imports") else {
            return Ok(Vec::new());
        };
        let imports = imports.as_array().ok_or(MalformedToml::Imports)?;
        imports
            .iter()
            .map(|import| import.as_str().ok_or(MalformedToml::Imports))
            .collect()
    }

    pub(super) fn disables_cri(&self) -> bool {
        let disabled = self.tree.get("disabled_plugins").and_then(Item::as_array);
        let cri = [
            "cri",
            ConfigVersion::Two.plugin(),
            ConfigVersion::Three.plugin(),
        ];
        disabled.is_some_and(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .any(|plugin| cri.contains(&plugin))
        })
    }

    /// Whether the file says anything of the CRI plugin.
    pub(super) fn has_cri(&self) -> Result<bool, MalformedToml> {
        Ok(self.table(&["plugins", self.plugin])?.is_some())
    }

    pub(super) fn default_runtime(&self) -> Result<Option<&str>, MalformedToml> {
        let containerd = self.table(&["plugins", self.plugin, "containerd"])?;
        Ok(containerd.and_then(|table| table.get("default_runtime_name")?.as_str()))
    }

    pub(super) fn runtime(&self, name: &str) -> Result<Option<&dyn TableLike>, MalformedToml> {
        let [plugins, plugin, containerd, runtimes] = self.runtimes();
        self.table(&[plugins, plugin, containerd, runtimes, name])
    }

    pub(super) fn has_runtimes(&self) -> Result<bool, MalformedToml> {
        Ok(self
            .table(&self.runtimes())?
            .is_some_and(|runtimes| !runtimes.is_empty()))
    }

    /// What the runtimes run, as far as it is said.
    pub(super) fn binaries(&self) -> Result<Vec<&str>, MalformedToml> {
        let Some(runtimes) = self.table(&self.runtimes())? else {
            return Ok(Vec::new());
        };
        Ok(runtimes
            .iter()
            .filter_map(|(_, runtime)| binary_name(runtime.as_table_like()?))
            .collect())
    }

    /// Adds an entry that isn't there.
    pub(super) fn add_runtime(&mut self, name: &str, entry: Table) -> Result<(), MalformedToml> {
        let keys = self.runtimes();
        let mut at = self.tree.as_item_mut();
        for key in keys {
            at = child(at, key)?;
        }
        let entry = if at.is_inline_table() {
            value(entry.into_inline_table())
        } else {
            Item::Table(entry)
        };
        at.as_table_like_mut()
            .ok_or_else(|| MalformedToml::NotATable("runtimes".to_owned()))?
            .insert(name, entry);
        self.check(name)
    }

    /// Brings the entry that is there up to date; says whether anything was different.
    pub(super) fn fit_runtime(
        &mut self,
        name: &str,
        binary: &str,
        systemd_cgroup: Option<bool>,
    ) -> Result<bool, MalformedToml> {
        let keys = self.runtimes();
        let mut at = self.tree.as_item_mut();
        for key in keys.into_iter().chain([name]) {
            at = child(at, key)?;
        }
        let changed = fit(at, binary, systemd_cgroup)?;
        self.check(name).map(|()| changed)
    }

    pub(super) fn remove_runtime(&mut self, name: &str) {
        let runtimes = self
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

    fn table(&self, path: &[&str]) -> Result<Option<&dyn TableLike>, MalformedToml> {
        let mut at: &dyn TableLike = self.tree.as_table();
        for key in path {
            let Some(item) = at.get(key) else {
                return Ok(None);
            };
            at = item
                .as_table_like()
                .ok_or_else(|| MalformedToml::NotATable((*key).to_owned()))?;
        }
        Ok(Some(at))
    }

    /// Some ways to write tables take no addition; CR LF and a byte order mark would be lost. What
    /// is printed is therefore read again before anyone else reads it.
    fn check(&self, name: &str) -> Result<(), MalformedToml> {
        if !self.exact {
            return Err(MalformedToml::LineEnds);
        }
        let same = |mut copy: Self| {
            copy.plugin = self.plugin;
            copy.runtime(name)
                .is_ok_and(|entry| entry.is_some_and(is_runtime))
        };
        let written = Self::parse(&self.text()).is_ok_and(same);
        if written {
            Ok(())
        } else {
            Err(MalformedToml::Unwritable("plugins"))
        }
    }
}

fn syntax(text: &str, error: &TomlError) -> MalformedToml {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    MalformedToml::Syntax {
        line,
        message: error.message().trim().replace('\n', ", "),
    }
}
