//! The rules are no better than what they look with: small trees, each with something planted in
//! it that a rule must find, or must not mind.

use crate::graph::Graph;
use crate::rules;
use crate::tree::Tree;

/// A tree of sources, and the rows of the table of parts.
fn tree(sources: &[(&str, &str)], rows: &[&str]) -> Tree {
    let texts = sources
        .iter()
        .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    let table = format!(
        "# Map\n\n## Where things are\n\n| part | owns | may know |\n|---|---|---|\n{}\n\n## More\n",
        rows.join("\n")
    );
    Tree::new(texts.collect(), table)
}

/// Parts `a` and `b`, of which `a` may know nothing.
fn two(a: &str) -> Tree {
    tree(
        &[
            ("src/lib.rs", "pub mod a;\npub mod b;"),
            ("src/a.rs", a),
            ("src/b.rs", "pub struct B;\npub fn g() -> u8 { 0 }"),
        ],
        &["| `a.rs` | | nothing |", "| `b.rs` | | nothing |"],
    )
}

/// Files without a table, below a root that declares them.
fn files(sources: &[(&str, &str)]) -> Tree {
    tree(sources, &[])
}

fn circles(tree: &Tree) -> Vec<String> {
    Graph::of_files(tree).circles()
}

#[track_caller]
fn assert_one(wrong: &[String], says: &[&str]) {
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    for words in says {
        assert!(wrong[0].contains(words), "{words} is not in {}", wrong[0]);
    }
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn an_import_that_the_table_does_not_allow() {
    for a in [
        "use crate::b::B;",
        "use crate::{\n    b::{\n        B as C,\n    },\n};",
        "use crate::b;",
        "use crate::b::*;",
        "pub use crate::b::B;",
        "use super::b::B;",
        "use crate as root;\nfn f() { root::b::g(); }",
        "mod inner { use super::super::b::B; }",
        "mod inner { mod deeper { fn f() { crate::b::g(); } } }",
        "fn f() -> Option<crate::b::B> { None }",
        "fn f() { super::b::g(); }",
        "fn f(x: u8) { match x { crate::b::B::X => {} _ => {} } }",
        "impl<T: crate::b::B> Clone for Own<T> {}",
        "fn f() { <u8 as crate::b::B>::g(); }",
        "fn f() { let all = vec![1, crate::b::g()]; }",
        "fn f() { assert!(matches!(1, super::b::B)); }",
        "fn f() { tokio::select! { x = async { crate::b::g() } => {} } }",
        "macro_rules! m { () => { $crate::b::g() } }",
        "#[derive(crate::b::B)]\nstruct Own;",
        "struct Own { #[serde(default = \"crate::b::g\")] x: u8 }",
        "#[cfg(not(test))]\nuse crate::b::B;",
    ] {
        let wrong = rules::parts(&two(a));
        assert_one(&wrong, &["src/a.rs:", "`a` doesn't know `b`"]);
    }
    let wrong = rules::parts(&two("\n\nuse std::io;\nuse crate::b::{\n    g,\n};"));
    assert_one(&wrong, &["src/a.rs:5 names b::g"]);
}

#[test]
fn what_is_no_import() {
    for a in [
        "// use crate::b::B;",
        "/// See [`crate::b::B`].\nstruct Own;",
        "#[cfg(test)]\nuse crate::b::B;",
        "#[cfg(test)]\nuse crate::{b::B, b::g};\nfn f() {}",
        "#[cfg(test)]\n#[expect(dead_code)]\nconst X: [u8; 2] = { crate::b::g(); [1, 2] };",
        "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}",
        "#[cfg(all(test, target_os = \"linux\"))]\nmod tests {\n    use crate::b::B;\n}",
        "#[cfg(test)]\nfn f() -> Vec<crate::b::B> { crate::b::g() }\nfn h() {}",
        "#[test]\nfn f() { crate::b::g() }",
        "fn f() { #[cfg(test)]\nlet x = crate::b::B { y: 1 };\nlet z = 2; }",
        "struct Own { #[cfg(test)]\nx: std::collections::BTreeMap<u8, crate::b::B>, y: u8 }",
        "impl Own { #[cfg(test)]\nfn f() { crate::b::g() } }",
        "fn f(b: u8) -> u8 { b.g() }",
        "use std::sync as b;\nfn f() { b::g(); }",
        "mod b { pub fn g() {} }\nfn f() { b::g(); self::b::g(); }",
        "fn f() { println!(\"crate::b::g\"); }",
    ] {
        assert_none(&rules::parts(&two(a)));
    }
}

#[test]
fn test_only_files_do_not_count() {
    let tree = tree(
        &[
            (
                "src/lib.rs",
                "pub mod a;\npub mod b;\n#[cfg(test)]\nmod rig;",
            ),
            ("src/a.rs", "#[cfg(test)]\nmod tests;"),
            (
                "src/a/tests.rs",
                "mod more;\nuse crate::b::B;\nunsafe fn f() {}",
            ),
            ("src/a/tests/more.rs", "use crate::b::B;"),
            ("src/b.rs", "pub struct B;"),
            ("src/rig.rs", "use crate::a; use tokio::net::TcpStream;"),
        ],
        &["| `a.rs` | | nothing |", "| `b.rs` | | nothing |"],
    );
    assert_none(&rules::parts(&tree));
    assert_none(&rules::unsafe_code(&tree));
    assert_none(&rules::tokio(&tree));
    assert_none(&tree.undeclared);
}

#[test]
fn a_row_that_lists_too_much() {
    let tree = tree(
        &[
            ("src/lib.rs", "mod a;\nmod b;"),
            ("src/a.rs", ""),
            ("src/b.rs", ""),
        ],
        &["| `a.rs` | | b |", "| `b.rs` | | nothing |"],
    );
    assert_one(
        &rules::parts(&tree),
        &["`a` may know `b`, which it doesn't"],
    );
}

#[test]
fn parts_without_a_row_and_rows_without_a_part() {
    let sources = [
        ("src/lib.rs", "mod a;\nmod b;"),
        ("src/a.rs", "mod c;"),
        ("src/a/c.rs", "use crate::b::B;"),
        ("src/b.rs", "pub struct B;"),
    ];
    let b = "| `b.rs` | | nothing |";
    assert_one(&rules::parts(&tree(&sources, &[b])), &["no row for `a`"]);
    let gone = ["| `a/` | | b |", b, "| `gone/` | | nothing |"];
    assert_one(
        &rules::parts(&tree(&sources, &gone)),
        &["`gone`, which doesn't exist"],
    );
    let twice = ["| `a/` | | b |", b, b];
    assert_one(&rules::parts(&tree(&sources, &twice)), &["2 rows for `b`"]);
    let several = ["| `a/`, `b.rs` | both | nothing |"];
    assert_none(&rules::parts(&tree(&sources, &several)));
}

#[test]
fn the_edges_have_rows_too() {
    let sources = [
        ("src/lib.rs", "pub mod a;\npub mod hook;"),
        (
            "src/main.rs",
            "use boundary_shim::hook;\nfn main() { hook::run() }",
        ),
        ("src/a.rs", "pub fn f() {}"),
        ("src/hook.rs", "pub fn run() {\n    crate::a::f();\n}"),
        (
            "fuzz/fuzz_targets/x.rs",
            "use boundary_shim::a::f;\nfuzz_target!(|text: &str| { f(text) });",
        ),
    ];
    let rows = |main, hook, fuzz| {
        [
            format!("| `main.rs` | | {main} |"),
            format!("| `hook.rs` | | {hook} |"),
            format!("| `fuzz/` | | {fuzz} |"),
            "| `a.rs` | | nothing |".to_owned(),
        ]
    };
    let wrong = |rows: [String; 4]| {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        rules::parts(&tree(&sources, &rows))
    };
    assert_none(&wrong(rows("hook", "a", "a")));
    assert_one(
        &wrong(rows("", "a", "a")),
        &["src/main.rs:1", "`main` doesn't know `hook`"],
    );
    assert_one(&wrong(rows("hook", "", "a")), &["src/hook.rs:2 names a::f"]);
    assert_one(
        &wrong(rows("hook", "a", "")),
        &["fuzz/fuzz_targets/x.rs:1 names a::f"],
    );
}

#[test]
fn circles_of_every_kind() {
    let root = ("src/lib.rs", "mod a;\nmod b;");
    for (a, b) in [
        (
            "use crate::b::B;\npub struct A;",
            "use crate::a::A;\npub struct B;",
        ),
        (
            "use super::b::B;\npub struct A;",
            "use super::a::A;\npub struct B;",
        ),
        (
            "pub struct A;\nfn f() { vec![crate::b::B]; }",
            "pub struct B;\nfn f() { assert!(super::a::A); }",
        ),
        (
            "use crate::b;\npub struct A;\nfn f() { b::g(); }",
            "use crate::a::*;\npub fn g(a: A) {}",
        ),
        (
            "pub use crate::b::B;\npub struct A;",
            "use crate::a::A;\npub struct B;",
        ),
    ] {
        let tree = files(&[root, ("src/a.rs", a), ("src/b.rs", b)]);
        let says = [
            "src/a.rs → src/b.rs: src/a.rs:",
            "src/b.rs → src/a.rs: src/b.rs:",
        ];
        assert_one(&circles(&tree), &says);
        let wrong = Graph::of_parts(&tree).circles();
        assert_one(&wrong, &["a → b: src/a.rs:", "b → a: src/b.rs:"]);
    }
}

#[test]
fn a_circle_over_a_re_export() {
    let tree = files(&[
        ("src/lib.rs", "mod proxy;"),
        (
            "src/proxy.rs",
            "mod filter;\nmod dial;\npub use filter::Filter;",
        ),
        (
            "src/proxy/filter.rs",
            "use super::dial::Dial;\npub struct Filter(Dial);",
        ),
        (
            "src/proxy/dial.rs",
            "use crate::proxy::Filter;\npub struct Dial(Filter);",
        ),
    ]);
    let says = [
        "src/proxy/dial.rs → src/proxy/filter.rs: src/proxy/dial.rs:1 proxy::filter::Filter",
        "src/proxy/filter.rs → src/proxy/dial.rs: src/proxy/filter.rs:1 proxy::dial::Dial",
    ];
    assert_one(&circles(&tree), &says);
}

#[test]
fn circles_between_parent_and_child() {
    let circle = |parent: &str, child: &str| {
        let files = files(&[
            ("src/lib.rs", "mod hook;"),
            ("src/hook.rs", parent),
            ("src/hook/decide.rs", child),
        ]);
        circles(&files)
    };
    let child = "use super::State;\npub fn f() {}\npub struct Plan;";
    let says = [
        "src/hook.rs → src/hook/decide.rs: src/hook.rs:3 hook::decide::f",
        "src/hook/decide.rs → src/hook.rs: src/hook/decide.rs:1 hook::State",
    ];
    let parent = "mod decide;\nstruct State;\nfn g() { decide::f() }";
    assert_one(&circle(parent, child), &says);
    for uses in [
        "use decide::f;",
        "use self::decide::{f};",
        "pub use decide::Plan;\nfn g() -> Plan { todo!() }",
        "pub use decide::Plan;\nfn g() { vec![Plan] }",
    ] {
        let parent = format!("mod decide;\nstruct State;\n{uses}");
        assert_one(
            &circle(&parent, child),
            &["src/hook/decide.rs:1 hook::State"],
        );
        // The child uses nothing of the parent's.
        assert_none(&circle(&parent, "pub fn f() {}\npub struct Plan;"));
    }
    for no_use in [
        "",
        "pub use decide::Plan;",
        "pub(crate) use self::decide::*;",
    ] {
        let parent = format!("mod decide;\nstruct State;\n{no_use}");
        assert_none(&circle(&parent, child));
    }
    // What a parent has imported itself is not the parent's.
    let parent = "mod decide;\nuse std::io;\nfn g() { decide::f() }";
    assert_none(&circle(parent, "use super::io;\npub fn f() {}"));
}

#[test]
fn the_shortest_circle_is_told() {
    let tree = files(&[
        ("src/lib.rs", "mod a;\nmod b;\nmod c;\nmod d;"),
        ("src/a.rs", "use crate::b::B;"),
        ("src/b.rs", "use crate::c::C;\npub struct B;"),
        (
            "src/c.rs",
            "use crate::d::D;\npub struct C;\nfn f() { crate::a::f() }",
        ),
        ("src/d.rs", "pub use crate::c::C;\npub struct D;"),
    ]);
    let wrong = circles(&tree);
    assert_one(&wrong, &["src/c.rs → src/d.rs", "src/d.rs → src/c.rs"]);
    assert!(!wrong[0].contains("src/a.rs"), "{wrong:?}");
    let cut = Graph::of_files(&tree).to_be_cut();
    assert_eq!(cut.len(), 2, "{cut:?}");
}

#[test]
fn words_that_name_no_type_or_several() {
    let mut tree = files(&[
        ("src/lib.rs", "mod a;\nmod b;"),
        (
            "src/a.rs",
            "pub struct Plan;\n#[cfg(test)]\nstruct Exit;\nmod inner { trait Gate {} }",
        ),
        (
            "src/b.rs",
            "type Plan = u8;\npub enum Exit {}\nfn f() { union Gate {} }",
        ),
    ]);
    tree.document.push_str(
        "\n## Words\n\n| word | is |\n|---|---|\n| `Plan` | |\n| `Exit` | |\n| `Lost` | |\n",
    );
    let wrong = rules::words(&tree);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("src/a.rs:1, src/b.rs:1"), "{wrong:?}");
    assert!(wrong[1].contains("`Lost`"), "{wrong:?}");
}

/// One file, whose code is judged by a rule.
fn in_file(file: &str, code: &str, rule: fn(&Tree) -> Vec<String>) -> Vec<String> {
    let (part, child) = file.split_once('/').unwrap_or((file, ""));
    let root = format!("mod {part};");
    let top = format!("src/{part}.rs");
    let below = format!("src/{part}/{child}.rs");
    let declares = format!("mod {child};");
    match child {
        "" => rule(&files(&[("src/lib.rs", &root), (&top, code)])),
        _ => rule(&files(&[
            ("src/lib.rs", &root),
            (&top, &declares),
            (&below, code),
        ])),
    }
}

#[test]
fn tokio_outside_of_keeper_and_filter() {
    for code in [
        "use tokio::sync::mpsc;",
        "fn f() { tokio::select! {} }",
        "#[tokio::main]\nasync fn f() {}",
        "use {std::io, tokio as other};",
    ] {
        assert_one(
            &in_file("runtime/start", code, rules::tokio),
            &["src/runtime/start.rs:1"],
        );
        assert_none(&in_file("proxy/dial", code, rules::tokio));
        assert_none(&in_file("supervisor", code, rules::tokio));
        assert_none(&in_file("sys/readiness", code, rules::tokio));
    }
}

#[test]
fn unsafe_outside_of_sys() {
    for code in [
        "fn f() { unsafe { g() } }",
        "unsafe impl Send for X {}",
        "macro_rules! m { () => { unsafe { g() } } }",
    ] {
        assert_one(
            &in_file("proxy/dial", code, rules::unsafe_code),
            &["src/proxy/dial.rs:1"],
        );
        assert_none(&in_file("sys/memory", code, rules::unsafe_code));
    }
    let names = "#![deny(unsafe_code)]\n// unsafe\nfn f() { g(\"unsafe\") }";
    assert_none(&in_file("proxy", names, rules::unsafe_code));
}

#[test]
fn programs_started_elsewhere() {
    for code in [
        "use std::process::Command;",
        "use std::process::{Command as Program, Stdio};",
        "use std::process;\nfn f() { process::Command::new(\"ls\"); }",
        "use std as base;\nfn f() { base::process::Command::new(\"ls\"); }",
        "fn f() { tokio::process::Child::kill(); }",
    ] {
        let wrong = in_file("runtime/start", code, rules::programs);
        assert_one(&wrong, &["src/runtime/start.rs:", "starts a program"]);
        assert_none(&in_file("sys/process", code, rules::programs));
    }
    assert_none(&in_file("cli", "enum Command { Logs }", rules::programs));
}

#[test]
fn sockets_to_the_outside() {
    for code in [
        "use tokio::net::TcpStream;\nfn f() { TcpStream::connect(1); }",
        "fn f() { crate::sys::socket::tcp_from(1); }",
        "use crate::sys::socket::udp_from as quiet;",
        "use tokio::net::lookup_host as look;",
        "use std::net as n;\nfn f() { n::UdpSocket::bind(1); }",
        "fn f(a: impl std::net::ToSocketAddrs) {}",
        "fn f() { Socket::new(Domain::IPV4, Type::STREAM, None); }",
        "fn f() { Socket::new(domain, Type::STREAM, Domain::UNIX); }",
        "fn f() { all.map(socket2::Socket::new); }",
    ] {
        let wrong = in_file("cli/doctor", code, rules::outside);
        assert_one(&wrong, &["src/cli/doctor.rs:"]);
    }
    let unix = "fn f() { Socket::new(\n    Domain::UNIX,\n    Type::STREAM, None); }";
    assert_none(&in_file("control", unix, rules::outside));
    let dialled = "fn f() { tcp_from(1); }";
    assert_none(&in_file("proxy/connect", dialled, rules::outside));
}

#[test]
fn what_is_impure() {
    for code in [
        "use std::fs;",
        "use std::{fmt, io};",
        "use std as base;\nfn f() { base::env::var(\"X\"); }",
        "fn f() { std::time::Instant::now(); }",
        "use std::net::{IpAddr, TcpStream};",
        "use nix::fcntl::open;",
        "fn f() { crate::settings::load(None); }",
    ] {
        for file in ["policy/decide", "spec"] {
            assert_one(
                &in_file(file, code, rules::purity),
                &["depends on nothing but"],
            );
        }
        assert_none(&in_file("state", code, rules::purity));
    }
    let pure = "use std::net::IpAddr;\n#[cfg(test)]\nuse std::fs;";
    assert_none(&in_file("policy/net", pure, rules::purity));
}

#[test]
fn files_that_nobody_declares_or_introduces() {
    let long = format!("//! Long.\n{}", "// x\n".repeat(1000));
    let tree = files(&[
        ("src/lib.rs", "//! Root.\nmod a;\nmod long;"),
        ("src/a.rs", "mod b { }"),
        ("src/a/b.rs", "//! Lost."),
        ("src/long.rs", &long),
    ]);
    let wrong = rules::files(&tree);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong[0].contains("src/a/b.rs is declared by no module"));
    assert!(wrong[1].contains("src/a.rs doesn't begin with"));
    assert!(wrong[2].contains("src/long.rs has 1001 lines"));
}

#[test]
fn fields_of_a_record_that_nobody_fills() {
    let with = |journal: &str, proxy: &str| {
        rules::record_fields(&files(&[
            ("src/lib.rs", "mod audit;\nmod proxy;"),
            ("src/audit.rs", "mod line;\nmod record;\nmod journal;"),
            (
                "src/audit/line.rs",
                "pub struct Line { x: u8, pub y: Option<u8> }",
            ),
            (
                "src/audit/record.rs",
                "pub struct Subject { pub z: Option<String> }",
            ),
            ("src/audit/journal.rs", journal),
            ("src/proxy.rs", proxy),
        ]))
    };
    let proxy = "fn f() { (subject.z, x) = g(); }";
    for journal in [
        "fn f() { Line { x: 1, y: Some(2) } }",
        "fn f() { Line { x, y } }",
        "fn f() { line.y = g(); }",
    ] {
        assert_none(&with(journal, proxy));
    }
    for journal in [
        "fn f(y: u8) { Line { x: 1, y: None } }",
        "fn f() { line.y = None; }",
        "#[cfg(test)]\nfn f() { line.y = g(); }",
        "fn f() { if let Line { y, .. } = g() {} }",
    ] {
        assert_one(&with(journal, proxy), &["`y` of src/audit/line.rs"]);
    }
    let journal = "fn f() { line.y = g(); line.z = h(); }";
    assert_one(&with(journal, ""), &["`z` of src/audit/record.rs"]);
}
