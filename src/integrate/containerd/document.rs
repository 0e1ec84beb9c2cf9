//! One of containerd's files as a tree of TOML that keeps comments, order and spacing.
//!
//! Must not know other files, or which of them counts. To remember: what containerd doesn't know here must survive.

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, TomlError, Value, value};

/// Of what the runtime is for containerd: runc's own shim, which runs the program in `BinaryName`.
const RUNTIME_TYPE: &str = "io.containerd.runc.v2";
/// What users may say with annotations, as containerd hands it on (Go's `path.Match`).
const ANNOTATIONS: &str = "boundary.*";
/// How a file that is ours altogether begins.
const MARK: &str = "# Written by `boundary-shim install containerd`; `uninstall containerd` takes it away.\n";

/// Stands above the entry for runc that an entry for us needs.
const STAND_IN: &str = "# What containerd 1.x has by itself, and drops where any other runtime is written.";

/// The form of the main file, which says what plugins are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// containerd 1.3 and later, 2.x too.
    Two,
    /// containerd 2.0 and later.
    Three,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No TOML.
    #[error("line {line}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// In the parser's words.
        message: String,
    },
    /// Something else stands where a table belongs.
    #[error("`{0}` isn't a table")]
    NotATable(String),
    /// Version 1, or none.
    #[error("it needs `version = 2`, or 3 from containerd 2.0 on: `containerd config migrate` shows it in that form")]
    Version,
    /// Not a list of texts.
    #[error("`imports` isn't a list of texts")]
    Imports,
    /// A pattern with more than we can follow.
    #[error(
        "`imports`: {0} can't be followed: write it with a path from the root, and with no pattern but `*` in the file's name"
    )]
    Pattern(String),
    /// They may import each other.
    #[error("over {0} files are imported")]
    TooMany(usize),
    /// More than the one line would be different.
    #[error("it has line ends (CR LF) or a byte order mark that an edit would lose: write it without")]
    LineEnds,
    /// Our own edit can't be read back.
    #[error("`{0}` is written in a way that nothing can be added to: write it as a table with a header")]
    Unwritable(&'static str),
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

    /// A file that is ours altogether. A main one imports what containerd 2.2 and later do where there is none.
    pub(super) fn new(version: Version, imports: Option<&str>) -> Self {
        let mut document = DocumentMut::new();
        document.insert("version", value(if version == Version::Two { 2 } else { 3 }));
        if let Some(pattern) = imports {
            document.insert("imports", value(Value::from_iter([pattern])));
        }
        document.key_mut("version").expect("just inserted").leaf_decor_mut().set_prefix(MARK);
        Self { tree: document, exact: true }
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
        let Some(imports) = self.tree.get("imports") else { return Ok(Vec::new()) };
        let imports = imports.as_array().ok_or(Malformed::Imports)?;
        imports.iter().map(|import| import.as_str().ok_or(Malformed::Imports)).collect()
    }

    pub(super) fn disables_cri(&self) -> bool {
        let disabled = self.tree.get("disabled_plugins").and_then(Item::as_array);
        let cri = ["cri", Version::Two.plugin(), Version::Three.plugin()];
        disabled.is_some_and(|list| list.iter().filter_map(Value::as_str).any(|plugin| cri.contains(&plugin)))
    }

    /// Whether the file says anything of the CRI plugin.
    pub(super) fn has_cri(&self, version: Version) -> Result<bool, Malformed> {
        Ok(self.table(&["plugins", version.plugin()])?.is_some())
    }

    pub(super) fn default_runtime(&self, version: Version) -> Result<Option<&str>, Malformed> {
        let containerd = self.table(&["plugins", version.plugin(), "containerd"])?;
        Ok(containerd.and_then(|table| table.get("default_runtime_name")?.as_str()))
    }

    pub(super) fn runtime(&self, version: Version, name: &str) -> Result<Option<&dyn TableLike>, Malformed> {
        let [plugins, plugin, containerd, runtimes] = version.runtimes();
        self.table(&[plugins, plugin, containerd, runtimes, name])
    }

    pub(super) fn has_runtimes(&self, version: Version) -> Result<bool, Malformed> {
        Ok(self.table(&version.runtimes())?.is_some_and(|runtimes| !runtimes.is_empty()))
    }

    /// What the runtimes run, as far as it is said.
    pub(super) fn binaries(&self, version: Version) -> Result<Vec<&str>, Malformed> {
        let Some(runtimes) = self.table(&version.runtimes())? else { return Ok(Vec::new()) };
        Ok(runtimes.iter().filter_map(|(_, runtime)| binary_name(runtime.as_table_like()?)).collect())
    }

    /// Adds an entry that isn't there.
    pub(super) fn add_runtime(&mut self, version: Version, name: &str, entry: Table) -> Result<(), Malformed> {
        let mut at = self.tree.as_item_mut();
        for key in version.runtimes() {
            at = child(at, key)?;
        }
        let entry = if at.is_inline_table() { value(entry.into_inline_table()) } else { Item::Table(entry) };
        at.as_table_like_mut().ok_or_else(|| Malformed::NotATable("runtimes".to_owned()))?.insert(name, entry);
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
        let runtimes = version.runtimes().into_iter().try_fold(self.tree.as_item_mut(), Item::get_mut);
        let Some(runtimes) = runtimes.and_then(Item::as_table_like_mut) else { return };
        runtimes.remove(name);
        let stands_in = |runc: &Item| runc.as_table().is_some_and(is_stand_in);
        if runtimes.len() == 1 && runtimes.get("runc").is_some_and(stands_in) {
            runtimes.remove("runc");
        }
    }

    /// Whether it was written by us and says nothing any more.
    pub(super) fn is_left_over(&self) -> bool {
        let text = self.text();
        let says = |document: &Self| document.tree.iter().any(|(key, _)| !["version", "imports"].contains(&key));
        text.starts_with(MARK) && Self::parse(&text).is_ok_and(|document| !says(&document))
    }

    fn table(&self, path: &[&str]) -> Result<Option<&dyn TableLike>, Malformed> {
        let mut at: &dyn TableLike = self.tree.as_table();
        for key in path {
            let Some(item) = at.get(key) else { return Ok(None) };
            at = item.as_table_like().ok_or_else(|| Malformed::NotATable((*key).to_owned()))?;
        }
        Ok(Some(at))
    }

    /// Some ways to write tables take no addition; CR LF and a byte order mark would be lost. What is printed is therefore read again before anyone else reads it.
    fn check(&self, version: Version, name: &str) -> Result<(), Malformed> {
        if !self.exact {
            return Err(Malformed::LineEnds);
        }
        let same = |copy: Self| copy.runtime(version, name).is_ok_and(|entry| entry.is_some_and(is_runtime));
        let written = Self::parse(&self.text()).is_ok_and(same);
        if written { Ok(()) } else { Err(Malformed::Unwritable("plugins")) }
    }
}

/// An entry for us which is like `like` (runc's) but for what makes it ours.
pub(super) fn entry(like: Option<Table>, binary: &str) -> Result<Table, Malformed> {
    let mut entry = Item::Table(like.unwrap_or_default());
    let systemd_cgroup = entry.as_table_like().and_then(systemd_cgroup);
    fit(&mut entry, binary, systemd_cgroup)?;
    entry.into_table().map_err(|_| Malformed::NotATable("runtimes".to_owned()))
}

/// runc as it is without an entry.
pub(super) fn stand_in() -> Table {
    let mut entry = Table::new();
    entry.insert("runtime_type", value(RUNTIME_TYPE));
    entry.decor_mut().set_prefix(format!("\n{STAND_IN}\n"));
    entry
}

fn is_stand_in(entry: &Table) -> bool {
    entry.decor().prefix().and_then(|prefix| prefix.as_str()).is_some_and(|prefix| prefix.contains(STAND_IN))
}

fn is_runtime(entry: &dyn TableLike) -> bool {
    entry.get("runtime_type").and_then(Item::as_str) == Some(RUNTIME_TYPE)
}

/// The program that a runtime's entry names.
pub(super) fn binary_name(entry: &(impl TableLike + ?Sized)) -> Option<&str> {
    entry.get("options")?.get("BinaryName")?.as_str()
}

/// Who makes the cgroups; the same for all runtimes of a node, or the kubelet loses sight of some.
pub(super) fn systemd_cgroup(entry: &(impl TableLike + ?Sized)) -> Option<bool> {
    entry.get("options")?.get("SystemdCgroup")?.as_bool()
}

/// Adds what `from` says, over what `into` says, without its comments.
pub(super) fn merge(into: &mut Table, from: &dyn TableLike) {
    for (key, item) in from.iter() {
        if let Some(from) = item.as_table_like() {
            if !into.get(key).is_some_and(Item::is_table) {
                into.insert(key, Item::Table(Table::new()));
            }
            into.get_mut(key).and_then(Item::as_table_mut).into_iter().for_each(|into| merge(into, from));
        } else if let Some(found) = item.as_value() {
            let mut found = found.clone();
            found.decor_mut().clear();
            into.insert(key, Item::Value(found));
        }
    }
}

fn fit(entry: &mut Item, binary: &str, systemd_cgroup: Option<bool>) -> Result<bool, Malformed> {
    let mut changed = set(entry, "runtime_type", Some(RUNTIME_TYPE.into()))?;
    for key in ["pod_annotations", "container_annotations"] {
        changed |= allow_annotations(entry, key)?;
    }
    let options = child(entry, "options")?;
    changed |= set(options, "BinaryName", Some(binary.into()))?;
    changed |= set(options, "SystemdCgroup", systemd_cgroup.map(Value::from))?;
    Ok(changed)
}

/// Gives a key its value, or takes the key away; says whether it was different.
fn set(item: &mut Item, key: &str, wanted: Option<Value>) -> Result<bool, Malformed> {
    let table = item.as_table_like_mut().ok_or_else(|| Malformed::NotATable(key.to_owned()))?;
    let same = table.get(key).and_then(Item::as_value).map(meaning) == wanted.as_ref().map(meaning);
    if same {
        return Ok(false);
    }
    match wanted {
        Some(wanted) => table.insert(key, value(wanted)),
        None => table.remove(key),
    };
    Ok(true)
}

/// Strings and booleans without how they are written.
fn meaning(value: &Value) -> (Option<String>, Option<bool>) {
    (value.as_str().map(str::to_owned), value.as_bool())
}

fn allow_annotations(entry: &mut Item, key: &str) -> Result<bool, Malformed> {
    let table = entry.as_table_like_mut().ok_or_else(|| Malformed::NotATable("runtimes".to_owned()))?;
    match table.get_mut(key).and_then(Item::as_array_mut) {
        Some(list) if list.iter().any(|pattern| pattern.as_str() == Some(ANNOTATIONS)) => return Ok(false),
        Some(list) => list.push(ANNOTATIONS),
        None => drop(table.insert(key, value(Value::from_iter([ANNOTATIONS])))),
    }
    Ok(true)
}

/// A table in a table, made where it isn't there, in the way that the outer one is written.
fn child<'a>(item: &'a mut Item, key: &str) -> Result<&'a mut Item, Malformed> {
    let inline = item.is_inline_table();
    let table = item.as_table_like_mut().ok_or_else(|| Malformed::NotATable(key.to_owned()))?;
    let made = || {
        let mut made = Table::new();
        made.set_implicit(true);
        if inline { value(InlineTable::new()) } else { Item::Table(made) }
    };
    let found = table.entry(key).or_insert_with(made);
    if found.is_table_like() { Ok(found) } else { Err(Malformed::NotATable(key.to_owned())) }
}

fn syntax(text: &str, error: &TomlError) -> Malformed {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    Malformed::Syntax { line, message: error.message().trim().replace('\n', ", ") }
}
