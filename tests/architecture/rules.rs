//! The rules. Each takes a tree and says what is wrong in it, and why.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Expr, Member};

use crate::document;
use crate::graph::{Graph, part_of};
use crate::tokens;
use crate::tree::{Target, Tree};

/// Lines that a source file may have, its tests included.
const LONGEST: usize = 1000;

/// I/O, the clock and the process. Addresses of `std::net` are plain values.
const IMPURE: [&str; 15] = [
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::time",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "tokio",
    "nix",
    "libc",
    "socket2",
    "settings::load",
];

/// What opens or prepares a socket to the outside, and the files that may say it.
const TO_THE_OUTSIDE: [(&str, &[&str]); 8] = [
    ("tcp_from", &["src/sys/socket.rs", "src/proxy/connect.rs"]),
    (
        "tcp_connected",
        &[
            "src/proxy/connect.rs",
            "src/proxy/dial.rs",
            "src/proxy/dns/upstream.rs",
        ],
    ),
    (
        "udp_from",
        &[
            "src/sys/socket.rs",
            "src/proxy/udp.rs",
            "src/proxy/dns/upstream.rs",
        ],
    ),
    ("TcpStream::connect", &[]),
    ("TcpSocket", &[]),
    ("UdpSocket::bind", &[]),
    ("lookup_host", &[]),
    ("ToSocketAddrs", &[]),
];

/// What starts a program.
const PROGRAMS: [&str; 4] = [
    "std::process::Command",
    "tokio::process",
    "process::Command",
    "Command::new",
];

/// ARCHITECTURE.md says of each part which others it knows: no fewer and no more.
pub(crate) fn parts(tree: &Tree) -> Vec<String> {
    let graph = Graph::of_parts(tree);
    let rows = document::parts(&tree.document);
    let mut wrong = Vec::new();
    let existing: BTreeSet<&str> = tree
        .files
        .keys()
        .filter(|file| *file != "src/lib.rs")
        .map(|file| part_of(file))
        .collect();
    for part in &existing {
        match rows
            .iter()
            .filter(|row| row.parts.iter().any(|own| own == part))
            .count()
        {
            1 => {}
            0 => wrong.push(format!("ARCHITECTURE.md has no row for `{part}`")),
            n => wrong.push(format!("ARCHITECTURE.md has {n} rows for `{part}`")),
        }
    }
    for row in rows {
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        for part in &row.parts {
            if !existing.contains(part.as_str()) {
                wrong.push(format!(
                    "ARCHITECTURE.md has a row for `{part}`, which doesn't exist"
                ));
            }
            for (to, arrows) in graph.from(part) {
                let arrow = arrows.first();
                known.entry(to).or_insert_with(|| {
                    arrow.map_or_else(String::new, |arrow| {
                        format!("{}:{} names {}", arrow.file, arrow.line, arrow.named)
                    })
                });
            }
        }
        let name = row.parts.join(", ");
        for (to, place) in &known {
            if !row.parts.iter().any(|own| own == to) && !row.may_know.contains(*to) {
                wrong.push(format!(
                    "{place}: by ARCHITECTURE.md `{name}` doesn't know `{to}`. Each part is to be \
                     read, tested and judged without those above it"
                ));
            }
        }
        for may in &row.may_know {
            if !known.contains_key(may.as_str()) {
                wrong.push(format!(
                    "ARCHITECTURE.md says that `{name}` may know `{may}`, which it doesn't: take \
                     it from the list"
                ));
            }
        }
    }
    wrong
}

/// The words of ARCHITECTURE.md that name no type or more than one.
pub(crate) fn words(tree: &Tree) -> Vec<String> {
    let types = types(tree);
    let mut wrong = Vec::new();
    let words = document::words(&tree.document);
    for word in &words {
        let files = types.get(word).map_or(&[][..], Vec::as_slice);
        if files.len() != 1 {
            wrong.push(format!(
                "`{word}` is a word of ARCHITECTURE.md, but {} types have that name: {}",
                files.len(),
                files.join(", ")
            ));
        }
    }
    wrong
}

/// Where the types of `src` are defined, by name.
pub(crate) fn types(tree: &Tree) -> BTreeMap<String, Vec<String>> {
    struct Types<'a> {
        file: &'a str,
        found: BTreeMap<String, Vec<String>>,
    }
    impl Types<'_> {
        fn push(&mut self, name: &syn::Ident) {
            let place = format!("{}:{}", self.file, name.span().start().line);
            self.found.entry(name.to_string()).or_default().push(place);
        }
    }
    impl<'ast> Visit<'ast> for Types<'_> {
        fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
            self.push(&item.ident);
        }
        fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
            self.push(&item.ident);
        }
        fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
            self.push(&item.ident);
        }
        fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
            self.push(&item.ident);
            visit::visit_item_trait(self, item);
        }
        fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
            self.push(&item.ident);
        }
    }
    let mut types = Types {
        file: "",
        found: BTreeMap::new(),
    };
    for file in of_src(tree) {
        types.file = file;
        types.visit_file(&tree.syntax(file));
    }
    types.found
}

pub(crate) fn purity(tree: &Tree) -> Vec<String> {
    let pure = |file: &str| ["policy", "spec"].contains(&part_of(file));
    named(tree, pure, &IMPURE, |word| {
        format!(
            "says `{word}`: what is decided and edited depends on nothing but its arguments, so \
             that it can be tested as a law and can't be delayed, tricked or leaked by the host"
        )
    })
}

pub(crate) fn tokio(tree: &Tree) -> Vec<String> {
    let without = |file: &str| {
        !["supervisor", "proxy", "jail"].contains(&part_of(file)) && file != "src/sys/readiness.rs"
    };
    named(tree, without, &["tokio"], |word| {
        format!(
            "says `{word}`: runtime and hook live for milliseconds beside the engine's own threads \
             and descriptors; an event loop there costs time and hides who holds what"
        )
    })
}

pub(crate) fn outside(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (word, may) in TO_THE_OUTSIDE {
        wrong.extend(named(tree, |file| !may.contains(&file), &[word], |word| {
            format!(
                "says `{word}`: a connection outside {may:?} would be one that no policy permitted \
                 and no record tells of"
            )
        }));
    }
    for file in of_src(tree).filter(|file| part_of(file) != "sys") {
        for (line, arguments) in tokens::calls(&tree.tokens(file), &["Socket", "new"]) {
            if !arguments.as_ref().is_some_and(is_unix) {
                wrong.push(format!(
                    "{file}:{line} makes a socket: outside sys/ only Unix sockets are made, which \
                     lead nowhere else"
                ));
            }
        }
    }
    wrong
}

fn is_unix(arguments: &TokenStream) -> bool {
    let first = arguments
        .clone()
        .into_iter()
        .take_while(|token| !matches!(token, TokenTree::Punct(mark) if mark.as_char() == ','));
    let runs = tokens::runs(&first.collect());
    runs.iter().any(|run| {
        run.names
            .ends_with(&["Domain".to_owned(), "UNIX".to_owned()])
    })
}

pub(crate) fn programs(tree: &Tree) -> Vec<String> {
    named(
        tree,
        |file| file != "src/sys/process.rs",
        &PROGRAMS,
        |_| {
            "starts a program: only sys/process.rs does, with an empty environment and no descriptor \
         of ours; and nodes like Bottlerocket's have no program to start"
            .to_owned()
        },
    )
}

pub(crate) fn unsafe_code(tree: &Tree) -> Vec<String> {
    named(
        tree,
        |file| part_of(file) != "sys",
        &["unsafe"],
        |word| {
            format!(
                "says `{word}`: in sys/ each raw call has a wrapper whose obligations are written \
             down, once"
            )
        },
    )
}

pub(crate) fn files(tree: &Tree) -> Vec<String> {
    let mut wrong: Vec<String> = tree
        .undeclared
        .iter()
        .map(|file| format!("{file} is declared by no module: nobody compiles it"))
        .collect();
    for (file, text) in tree
        .texts
        .iter()
        .filter(|(file, _)| file.starts_with("src/"))
    {
        if !text.starts_with("//! ") {
            wrong.push(format!(
                "{file} doesn't begin with `//!`: a reader is told first what a file owns"
            ));
        }
        let lines = text.lines().count();
        if lines > LONGEST {
            wrong.push(format!(
                "{file} has {lines} lines: over {LONGEST} nobody holds a file in the head; split it"
            ));
        }
    }
    wrong
}

/// That a field is in the struct says nothing: it must come from somewhere, or readers of the log
/// wait for it in vain.
pub(crate) fn record_fields(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    let line = "src/audit/line.rs";
    let of_audit = |file: &str| part_of(file) == "audit" && file != line;
    unwritten(tree, line, "Line", &of_audit, &mut wrong);
    // What stands in a line of an attempt, whoever saw that must have said.
    let of_proxy = |file: &str| part_of(file) == "proxy";
    unwritten(
        tree,
        "src/audit/record.rs",
        "Subject",
        &of_proxy,
        &mut wrong,
    );
    wrong
}

/// The optional fields of a struct that no code of certain files gives a value.
fn unwritten(
    tree: &Tree,
    file: &str,
    name: &str,
    by: &dyn Fn(&str) -> bool,
    wrong: &mut Vec<String>,
) {
    let fields = match tree.files.contains_key(file) {
        true => optional_fields(&tree.syntax(file), name),
        false => Vec::new(),
    };
    if fields.is_empty() {
        wrong.push(format!(
            "{file} has no struct `{name}` with optional fields"
        ));
    }
    let mut given = Given::default();
    for file in of_src(tree).filter(|file| by(file)) {
        given.visit_file(&tree.syntax(file));
    }
    for field in fields {
        if !given.0.contains(&field) {
            wrong.push(format!(
                "nobody ever gives `{field}` of {file} a value: drop it from the record, or fill it"
            ));
        }
    }
}

fn optional_fields(syntax: &syn::File, name: &str) -> Vec<String> {
    let item = syntax.items.iter().find_map(|item| match item {
        syn::Item::Struct(item) if item.ident == name => Some(item),
        _ => None,
    });
    let fields = item.map(|item| item.fields.iter());
    let optional = fields
        .into_iter()
        .flatten()
        .filter(|field| match &field.ty {
            syn::Type::Path(path) => path
                .path
                .segments
                .last()
                .is_some_and(|last| last.ident == "Option"),
            _ => false,
        });
    optional
        .filter_map(|field| field.ident.as_ref().map(ToString::to_string))
        .collect()
}

/// The fields that are given a value other than `None`.
#[derive(Default)]
struct Given(BTreeSet<String>);

impl<'ast> Visit<'ast> for Given {
    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        let none = matches!(&field.expr, Expr::Path(path) if path.path.is_ident("None"));
        if let (Member::Named(name), false) = (&field.member, none) {
            self.0.insert(name.to_string());
        }
        visit::visit_field_value(self, field);
    }

    fn visit_expr_assign(&mut self, assignment: &'ast syn::ExprAssign) {
        let none = matches!(&*assignment.right, Expr::Path(path) if path.path.is_ident("None"));
        if !none {
            self.assigned(&assignment.left);
        }
        visit::visit_expr_assign(self, assignment);
    }
}

impl Given {
    fn assigned(&mut self, left: &Expr) {
        match left {
            Expr::Field(field) => {
                if let Member::Named(name) = &field.member {
                    self.0.insert(name.to_string());
                }
            }
            Expr::Tuple(tuple) => tuple.elems.iter().for_each(|part| self.assigned(part)),
            _ => {}
        }
    }
}

fn of_src(tree: &Tree) -> impl Iterator<Item = &str> {
    let files = tree.files.keys().map(String::as_str);
    files.filter(|file| file.starts_with("src/"))
}

/// The places in `src` that name one of these, as it is written or under another name. A word of
/// several names stands for them in a row, wherever in a path.
fn named(
    tree: &Tree,
    file: impl Fn(&str) -> bool,
    words: &[&str],
    wrong: impl Fn(&str) -> String,
) -> Vec<String> {
    let mut found: BTreeMap<(&str, usize), String> = BTreeMap::new();
    let mut look = |at: &str, line: usize, path: &[String]| {
        let word = words.iter().find(|word| {
            let word: Vec<&str> = word.split("::").collect();
            path.windows(word.len()).any(|part| part == word.as_slice())
        });
        if let Some(word) = word {
            let (at, _) = tree.files.get_key_value(at)?;
            found.entry((at, line)).or_insert_with(|| wrong(word));
        }
        Some(())
    };
    for at in of_src(tree).filter(|at| file(at)) {
        for run in &tree.files[at] {
            look(at, run.line, &run.names);
        }
    }
    for name in &tree.names {
        if name.file.starts_with("src/") && file(&name.file) {
            match &name.target {
                Target::Foreign(path) => look(&name.file, name.line, path),
                Target::Item { path, .. } => {
                    let path: Vec<String> = path.split("::").map(str::to_owned).collect();
                    look(&name.file, name.line, &path)
                }
                Target::Module { .. } => None,
            };
        }
    }
    found
        .into_iter()
        .map(|((at, line), wrong)| format!("{at}:{line} {wrong}"))
        .collect()
}
