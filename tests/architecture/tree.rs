//! A tree of sources: its files, its modules, and what each file names.
//!
//! A value, so that the rules can be tried on small trees with something planted in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Item, UseTree, Visibility};

use crate::tokens::{self, Run};

/// The library's name, by which the program and the fuzz targets call it.
const LIBRARY: &str = "boundary_shim";

/// The names from the crate's root to a module. A crate other than the library has a first name of
/// its own, which no Rust name can be equal to.
pub(crate) type ModulePath = Vec<String>;

#[derive(Debug)]
pub(crate) struct Tree {
    /// ARCHITECTURE.md.
    pub(crate) document: String,
    /// Every file's text, those for tests too.
    pub(crate) texts: BTreeMap<String, String>,
    /// The files of the product, each with the runs of names in it.
    pub(crate) files: BTreeMap<String, Vec<Run>>,
    /// Files that no module declares.
    pub(crate) undeclared: Vec<String>,
    /// All that the product's files name.
    pub(crate) names: Vec<Name>,
    modules: BTreeMap<ModulePath, Module>,
}

#[derive(Debug, Default)]
struct Module {
    file: String,
    /// What a name stands for, in every namespace.
    names: BTreeMap<String, Vec<Meaning>>,
    globs: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
enum Meaning {
    /// An item that is defined here.
    Item,
    Child,
    Import(Vec<String>),
}

/// Something that a file names.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) target: Target,
    /// The files of the modules on the way to it.
    pub(crate) through: Vec<String>,
    /// Whether it is passed on to others by `pub use`.
    pub(crate) passed_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// An item, by the file that defines it and its path.
    Item { file: String, path: String },
    /// A module as such.
    Module { file: String },
    /// What is not ours, by its full path: `std::fs::read`.
    Foreign(Vec<String>),
}

/// A path as it is written.
#[derive(Debug)]
struct Written {
    module: ModulePath,
    line: usize,
    names: Vec<String>,
    passed_on: bool,
}

impl Tree {
    /// The sources of this repository.
    pub(crate) fn of_the_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut texts = BTreeMap::new();
        for folder in ["src", "fuzz/fuzz_targets"] {
            read_below(root, folder, &mut texts);
        }
        assert!(
            texts.len() > 50,
            "the sources are not in {}",
            root.display()
        );
        let document =
            fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is readable");
        Self::new(texts, document)
    }

    pub(crate) fn new(texts: BTreeMap<String, String>, document: String) -> Self {
        let mut tree = Self {
            document,
            texts,
            files: BTreeMap::new(),
            undeclared: Vec::new(),
            names: Vec::new(),
            modules: BTreeMap::new(),
        };
        let mut written = Vec::new();
        let mut for_tests = Vec::new();
        let roots: Vec<String> = tree
            .texts
            .keys()
            .filter(|file| is_root(file))
            .cloned()
            .collect();
        for root in roots {
            let module = match root.as_str() {
                "src/lib.rs" => Vec::new(),
                other => vec![format!("<{other}>")],
            };
            let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
            tree.load(&root, folder, module, &mut written, &mut for_tests);
        }
        let unseen = |file: &&String| {
            !tree.files.contains_key(*file)
                && !for_tests.iter().any(|own| is_at_or_below(file, own))
        };
        tree.undeclared = tree.texts.keys().filter(unseen).cloned().collect();
        tree.names = written
            .into_iter()
            .map(|(file, written)| tree.name(file, &written))
            .collect();
        tree
    }

    /// A file's code, without what is for tests alone.
    pub(crate) fn tokens(&self, name: &str) -> TokenStream {
        tokens::product(tokens_of(name, &self.texts[name]))
    }

    /// Likewise, as syntax.
    pub(crate) fn syntax(&self, name: &str) -> syn::File {
        parsed(name, self.tokens(name))
    }

    /// Reads a file and the files of the modules that it declares.
    fn load(
        &mut self,
        name: &str,
        folder: &str,
        module: ModulePath,
        written: &mut Vec<(String, Written)>,
        for_tests: &mut Vec<String>,
    ) {
        let text = self
            .texts
            .get(name)
            .unwrap_or_else(|| panic!("{name} is declared as a module, but there is no such file"));
        let whole = tokens_of(name, text);
        let tokens = tokens::product(whole.clone());
        let syntax = parsed(name, tokens.clone());
        let whole = parsed(name, whole);
        let product = declared(&syntax.items, folder, &module);
        for (file, ..) in declared(&whole.items, folder, &module) {
            if !product.iter().any(|(own, ..)| *own == file) {
                for_tests.push(file);
            }
        }
        let mut reader = Reader {
            file: name,
            module,
            modules: &mut self.modules,
            written: Vec::new(),
        };
        reader.enter(&syntax.items);
        reader.visit_file(&syntax);
        written.extend(reader.written.into_iter().map(|own| (name.to_owned(), own)));
        self.files.insert(name.to_owned(), tokens::runs(&tokens));
        for (file, folder, module) in product {
            self.load(&file, &folder, module, written, for_tests);
        }
    }

    /// What a path stands for.
    fn name(&self, file: String, written: &Written) -> Name {
        let mut through = Vec::new();
        let target = match self.resolve(&written.module, &written.names, &mut through, 0) {
            Place::Module(module) => Target::Module {
                file: self.modules[&module].file.clone(),
            },
            Place::Item(module, item) => {
                let mut path: Vec<&str> = module.iter().map(String::as_str).collect();
                path.push(&item);
                Target::Item {
                    file: self.modules[&module].file.clone(),
                    path: path.join("::"),
                }
            }
            Place::Foreign(path) => Target::Foreign(path),
        };
        Name {
            file,
            line: written.line,
            target,
            through,
            passed_on: written.passed_on,
        }
    }

    fn resolve(
        &self,
        at: &ModulePath,
        names: &[String],
        through: &mut Vec<String>,
        depth: usize,
    ) -> Place {
        let foreign = || Place::Foreign(names.to_vec());
        let Some((first, rest)) = names.split_first() else {
            return Place::Module(at.clone());
        };
        let root: ModulePath = at
            .first()
            .filter(|name| name.starts_with('<'))
            .cloned()
            .into_iter()
            .collect();
        match first.as_str() {
            "crate" => self.walk(root, rest, through, depth),
            "self" => self.walk(at.clone(), rest, through, depth),
            "super" => {
                let (mut module, mut rest) = (at.clone(), names);
                while let Some(("super", after)) = rest
                    .split_first()
                    .map(|(first, rest)| (first.as_str(), rest))
                {
                    module.pop();
                    rest = after;
                }
                self.walk(module, rest, through, depth)
            }
            LIBRARY => self.walk(Vec::new(), rest, through, depth),
            // Written with a leading `::`, so that no module is meant.
            "" if rest.first().is_some_and(|name| name == LIBRARY) => {
                self.walk(Vec::new(), &rest[1..], through, depth)
            }
            "" => Place::Foreign(rest.to_vec()),
            "Self" => foreign(),
            _ => self
                .find(at, first, rest, through, depth)
                .unwrap_or_else(foreign),
        }
    }

    /// What a path stands for whose first names led to a module.
    fn walk(
        &self,
        module: ModulePath,
        names: &[String],
        through: &mut Vec<String>,
        depth: usize,
    ) -> Place {
        let Some(known) = self.modules.get(&module) else {
            return Place::Foreign(names.to_vec());
        };
        through.push(known.file.clone());
        match names.split_first() {
            None => Place::Module(module),
            Some((first, rest)) => self
                .find(&module, first, rest, through, depth)
                // What a macro defines is not seen.
                .unwrap_or_else(|| Place::Item(module, first.clone())),
        }
    }

    /// A name in a module, and what is named inside of it.
    fn find(
        &self,
        module: &ModulePath,
        name: &str,
        rest: &[String],
        through: &mut Vec<String>,
        depth: usize,
    ) -> Option<Place> {
        if depth > 32 {
            return None;
        }
        let known = self.modules.get(module)?;
        let meanings = known.names.get(name).map_or(&[][..], Vec::as_slice);
        let mut candidates: Vec<(Place, Vec<String>)> = Vec::new();
        for meaning in meanings {
            let mut way = Vec::new();
            let place = match meaning {
                // A module and a function can have the same name.
                Meaning::Item if meanings.len() > 1 && !rest.is_empty() => continue,
                Meaning::Item => Place::Item(module.clone(), name.to_owned()),
                Meaning::Child => {
                    let mut child = module.clone();
                    child.push(name.to_owned());
                    self.walk(child, rest, &mut way, depth + 1)
                }
                Meaning::Import(path) => {
                    let path = [path.as_slice(), rest].concat();
                    // A crate that has the name of what is imported from it.
                    if path.first().is_some_and(|first| first == name) {
                        if meanings.len() > 1 {
                            continue;
                        }
                        Place::Foreign(path)
                    } else {
                        self.resolve(module, &path, &mut way, depth + 1)
                    }
                }
            };
            candidates.push((place, way));
        }
        for glob in &known.globs {
            if candidates.is_empty() {
                let path = [glob.as_slice(), &[name.to_owned()], rest].concat();
                let mut way = Vec::new();
                let place = self.resolve(module, &path, &mut way, depth + 1);
                if self.is_defined(&place) {
                    candidates.push((place, way));
                }
            }
        }
        let rank = |(place, _): &(Place, Vec<String>)| match place {
            Place::Item(..) => 0,
            Place::Foreign(_) => 1,
            Place::Module(_) => 2,
        };
        let (place, way) = candidates.into_iter().min_by_key(rank)?;
        through.extend(way);
        Some(place)
    }

    fn is_defined(&self, place: &Place) -> bool {
        match place {
            Place::Item(module, name) => self
                .modules
                .get(module)
                .is_some_and(|known| known.names.contains_key(name)),
            Place::Module(_) => true,
            Place::Foreign(_) => false,
        }
    }
}

/// What a path leads to.
#[derive(Debug)]
enum Place {
    Module(ModulePath),
    Item(ModulePath, String),
    Foreign(Vec<String>),
}

/// Reads a file's definitions and paths.
struct Reader<'a> {
    file: &'a str,
    module: ModulePath,
    modules: &'a mut BTreeMap<ModulePath, Module>,
    written: Vec<Written>,
}

impl Reader<'_> {
    /// Takes down what a module defines.
    fn enter(&mut self, items: &[Item]) {
        let module = self.modules.entry(self.module.clone()).or_default();
        self.file.clone_into(&mut module.file);
        for item in items {
            let meaning = match item {
                Item::Mod(_) => Meaning::Child,
                _ => Meaning::Item,
            };
            if let Some(name) = name_of(item) {
                module.names.entry(name).or_default().push(meaning);
            }
        }
    }

    fn own(&mut self) -> &mut Module {
        self.modules.entry(self.module.clone()).or_default()
    }

    fn push(&mut self, line: usize, names: Vec<String>, passed_on: bool) {
        self.written.push(Written {
            module: self.module.clone(),
            line,
            names,
            passed_on,
        });
    }

    fn import(&mut self, tree: &UseTree, before: &[String], passed_on: bool) {
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                self.import(&path.tree, &before, passed_on);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, passed_on);
                }
            }
            UseTree::Glob(_) => {
                self.own().globs.push(before.to_vec());
                self.push(line, [before, &["*".to_owned()]].concat(), passed_on);
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.import_as(line, before, &name, name.clone(), passed_on);
            }
            UseTree::Rename(rename) => {
                let name = rename.ident.to_string();
                self.import_as(line, before, &name, rename.rename.to_string(), passed_on);
            }
        }
    }

    fn import_as(
        &mut self,
        line: usize,
        before: &[String],
        name: &str,
        mut known_as: String,
        passed_on: bool,
    ) {
        let mut path = before.to_vec();
        if name != "self" {
            path.push(name.to_owned());
        } else if known_as == "self" {
            known_as = before.last().cloned().unwrap_or_default();
        }
        let meaning = Meaning::Import(path.clone());
        self.own().names.entry(known_as).or_default().push(meaning);
        self.push(line, path, passed_on);
    }

    /// Paths among tokens.
    fn scan(&mut self, tokens: &TokenStream) {
        for run in tokens::runs(tokens) {
            if is_path(&run) {
                self.push(run.line, run.names, false);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let Some((_, items)) = &item.content else {
            return;
        };
        self.module.push(item.ident.to_string());
        self.enter(items);
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let passed_on = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, &[], passed_on);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        let leading = path.leading_colon.map(|_| String::new());
        let names: Vec<String> = leading.into_iter().chain(names).collect();
        self.push(path.span().start().line, names, false);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.scan(&call.tokens);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.scan(&list.tokens);
            // Derived code takes paths as text: `#[serde(default = "crate::a::b")]`.
            for token in list.tokens.clone() {
                let proc_macro2::TokenTree::Literal(literal) = token else {
                    continue;
                };
                let text = literal.to_string();
                let path = syn::parse_str::<syn::Path>(text.trim_matches('"'));
                if let (true, Ok(path)) = (text.contains("::"), path) {
                    let names = path
                        .segments
                        .iter()
                        .map(|segment| segment.ident.to_string());
                    self.push(literal.span().start().line, names.collect(), false);
                }
            }
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// Whether a run of names among a macro's tokens can be a path: a single name could be a variable.
fn is_path(run: &Run) -> bool {
    let is_type = |name: &String| name.starts_with(char::is_uppercase);
    !run.after_dot && (run.names.len() > 1 || run.names.first().is_some_and(is_type))
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// The files of the modules that are declared among these items, each with the folder of its own
/// modules and its path.
fn declared(
    items: &[Item],
    folder: &str,
    module: &ModulePath,
) -> Vec<(String, String, ModulePath)> {
    let mut found = Vec::new();
    for item in items {
        if let Item::Mod(item) = item {
            let below = format!("{folder}/{}", item.ident);
            let module = [module.as_slice(), &[item.ident.to_string()]].concat();
            match &item.content {
                Some((_, items)) => found.extend(declared(items, &below, &module)),
                None => found.push((format!("{below}.rs"), below, module)),
            }
        }
    }
    found
}

fn tokens_of(name: &str, text: &str) -> TokenStream {
    TokenStream::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn parsed(name: &str, tokens: TokenStream) -> syn::File {
    syn::parse2(tokens).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether a crate begins with this file.
fn is_root(file: &str) -> bool {
    let target = file.strip_prefix("fuzz/fuzz_targets/");
    ["src/lib.rs", "src/main.rs"].contains(&file) || target.is_some_and(|name| !name.contains('/'))
}

/// Whether a file is a module's own or belongs to a module below it.
fn is_at_or_below(file: &str, module: &str) -> bool {
    let folder = module.strip_suffix(".rs").unwrap_or(module);
    file.strip_prefix(folder)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn read_below(root: &Path, folder: &str, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(root.join(folder)).expect("the folder is readable") {
        let entry = entry.expect("the folder is readable");
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_below(root, &name, texts);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).expect("a source is text");
            texts.insert(name, text);
        }
    }
}
