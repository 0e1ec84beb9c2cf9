//! The arrows of ARCHITECTURE.md, and the rules of the house that no compiler checks, held against
//! the sources.
//!
//! It reads text, not syntax: it looks at the lines of product code (comments and tests left out)
//! for words that have no business there. That can be fooled by who wants to; it is for those who
//! don't know yet. Each message says the reason.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't read the sources says where"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a source file may have, its tests included.
const LONGEST: usize = 1000;

/// What each part of the program may name of the others. Whoever adds a line to a list draws an
/// arrow: it belongs on the map in ARCHITECTURE.md too. `cli`, `hook` and `main` are edges and
/// stand above all.
const MAY_NAME: [(&str, &[&str]); 22] = [
    ("sys", &[]),
    ("host", &[]),
    ("policy", &[]),
    ("audit", &["policy"]),
    ("control", &["audit"]),
    ("logging", &["audit", "sys"]),
    ("plan", &["audit", "policy"]),
    ("settings", &["policy", "seccomp"]),
    ("state", &["plan", "sys"]),
    ("cgroup", &["state", "sys"]),
    ("seccomp", &[]),
    ("apparmor", &["seccomp", "sys"]),
    ("bundle", &["plan", "sys"]),
    (
        "spec",
        &["apparmor", "audit", "host", "plan", "seccomp", "settings"],
    ),
    ("gateway", &["policy", "sys"]),
    ("resolv_conf", &["sys"]),
    ("dockerd", &["state", "sys"]),
    (
        "integrate",
        &["apparmor", "dockerd", "policy", "resolv_conf", "sys"],
    ),
    (
        "runtime",
        &[
            "apparmor",
            "audit",
            "bundle",
            "cgroup",
            "control",
            "dockerd",
            "host",
            "logging",
            "plan",
            "policy",
            "resolv_conf",
            "seccomp",
            "settings",
            "spec",
            "state",
            "sys",
        ],
    ),
    (
        "proxy",
        &["audit", "control", "gateway", "logging", "policy", "sys"],
    ),
    (
        "supervisor",
        &[
            "audit", "cgroup", "control", "gateway", "logging", "plan", "policy", "proxy", "state",
            "sys",
        ],
    ),
    (
        "cli",
        &[
            "apparmor",
            "audit",
            "cgroup",
            "control",
            "dockerd",
            "gateway",
            "host",
            "integrate",
            "logging",
            "plan",
            "policy",
            "resolv_conf",
            "runtime",
            "seccomp",
            "settings",
            "state",
            "sys",
        ],
    ),
];

/// Words that mean I/O, the clock or the process. Addresses of `std::net` are plain values.
const IMPURE: [&str; 14] = [
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::time",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "tokio",
    "nix::",
    "libc::",
    "socket2",
    "settings::load",
];

/// What opens or prepares a socket to the outside, and the files that may say it.
const TO_THE_OUTSIDE: [(&str, &[&str]); 8] = [
    ("tcp_from", &["sys/socket.rs", "proxy/dial.rs"]),
    ("tcp_connected", &["proxy/dial.rs", "proxy/dns/upstream.rs"]),
    (
        "udp_from",
        &["sys/socket.rs", "proxy/udp.rs", "proxy/dns/upstream.rs"],
    ),
    ("TcpStream::connect", &[]),
    ("TcpSocket", &[]),
    ("UdpSocket::bind", &[]),
    ("lookup_host", &[]),
    ("ToSocketAddrs", &[]),
];

#[test]
fn every_part_names_only_the_parts_below_it() {
    for (part, may) in MAY_NAME {
        for (file, number, line) in product_lines(|file| part_of(file) == part) {
            for named in names_of_the_crate(&line) {
                assert!(
                    named == part || may.contains(&named.as_str()),
                    "{file}:{number} names crate::{named}: `{part}` may know only {may:?}, so that each part can be read, \
                     tested and judged without those above it"
                );
            }
        }
    }
}

#[test]
fn decisions_and_edits_are_pure() {
    for (file, number, line) in product_lines(|file| ["policy", "spec"].contains(&part_of(file))) {
        for word in IMPURE {
            assert!(
                !has_word(&line, word),
                "{file}:{number} says `{word}`: what is decided and edited depends on nothing but its arguments, so that \
                 it can be tested as a law and can't be delayed, tricked or leaked by the host"
            );
        }
    }
}

#[test]
fn tokio_stays_in_keeper_and_filter() {
    let of_both =
        |file: &str| ["supervisor", "proxy"].contains(&part_of(file)) || file == "sys/readiness.rs";
    for (file, number, line) in product_lines(|file| !of_both(file)) {
        assert!(
            !has_word(&line, "tokio"),
            "{file}:{number} says `tokio`: runtime and hook live for milliseconds beside the engine's own threads and \
             descriptors; an event loop there costs time and hides who holds what"
        );
    }
}

#[test]
fn only_the_dialler_and_its_like_open_sockets_to_the_outside() {
    for (word, may) in TO_THE_OUTSIDE {
        for (file, number, line) in product_lines(|file| !may.contains(&file)) {
            assert!(
                !has_word(&line, word),
                "{file}:{number} says `{word}`: a connection outside {may:?} would be one that no policy permitted and no \
                 record tells of"
            );
        }
    }
    for (file, number, line) in product_lines(|file| part_of(file) != "sys") {
        assert!(
            !line.contains("Socket::new") || line.contains("Domain::UNIX"),
            "{file}:{number} makes a socket: outside sys/ only Unix sockets are made, which lead nowhere else"
        );
    }
}

#[test]
fn only_one_module_starts_programs() {
    for (file, number, line) in product_lines(|file| file != "sys/process.rs") {
        assert!(
            !line.contains("process::Command") && !line.contains("Command::new"),
            "{file}:{number} starts a program: only sys/process.rs does, with an empty environment and no descriptor of \
             ours; and nodes like Bottlerocket's have no program to start"
        );
    }
}

#[test]
fn unsafe_code_is_only_in_sys() {
    for (file, number, line) in product_lines(|file| part_of(file) != "sys") {
        assert!(
            !has_word(&line, "unsafe"),
            "{file}:{number} says `unsafe`: in sys/ each raw call has a wrapper whose obligations are written down, once"
        );
    }
}

#[test]
fn every_file_says_what_it_owns_and_fits_a_reader() {
    for file in files() {
        let text = read(&file);
        assert!(
            text.starts_with("//! "),
            "{file} doesn't begin with `//!`: a reader is told first what a file owns"
        );
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST,
            "{file} has {lines} lines: over {LONGEST} nobody holds a file in the head; split it"
        );
    }
}

/// That a field is in the struct says nothing: it must come from somewhere, or readers of the log
/// wait for it in vain.
#[test]
fn every_field_of_a_record_gets_a_value_somewhere() {
    let written = |fields: &[String], by: &dyn Fn(&str) -> bool| {
        let lines: Vec<String> = product_lines(by).map(|(_, _, line)| line).collect();
        for field in fields {
            let signs = [
                format!(".{field} = "),
                format!("{field}: "),
                format!("{field}, "),
                format!("{field}) = "),
            ];
            let given = lines
                .iter()
                .any(|line| signs.iter().any(|sign| line.contains(sign)) && !line.contains("None"));
            assert!(
                given,
                "nobody ever gives `{field}` a value: drop it from the record, or fill it"
            );
        }
    };
    let fields = |file: &str, name: &str| -> Vec<String> {
        let fields = fields_of(&read(file), name);
        assert!(fields.len() > 3, "the struct was not found: {fields:?}");
        fields
            .into_iter()
            .filter(|(_, optional)| *optional)
            .map(|(field, _)| field)
            .collect()
    };
    written(&fields("audit/line.rs", "Line"), &|file| {
        part_of(file) == "audit" && file != "audit/line.rs"
    });
    // What stands in a line of an attempt, whoever saw that must have said.
    written(&fields("audit/record.rs", "Subject"), &|file| {
        part_of(file) == "proxy"
    });
}

/// The public fields of a struct, and whether they are optional.
fn fields_of(source: &str, name: &str) -> Vec<(String, bool)> {
    let (_, body) = source
        .split_once(&format!("pub struct {name} {{\n"))
        .unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let declared = body
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    declared
        .map(|(field, kind)| (field.to_owned(), kind.starts_with("Option<")))
        .collect()
}

/// The first folder or the file's own name: `policy`, `hook`.
fn part_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// Every `X` of `crate::X` in a line.
fn names_of_the_crate(line: &str) -> Vec<String> {
    let identifier = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let listed = |text: &str| -> Vec<String> {
        match text.strip_prefix('{') {
            Some(list) => list
                .trim_end_matches("};")
                .split(',')
                .map(|item| identifier(item.trim()))
                .collect(),
            None => vec![identifier(text)],
        }
    };
    line.split("crate::").skip(1).flat_map(listed).collect()
}

/// Whether a word stands in a line by itself: `unsafe`, but not `unsafe_code`.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        !part(line[..at].chars().next_back()) && (word.ends_with(':') || !part(after))
    })
}

/// Lines of product code with their file and number: without comments, tests and files that are
/// only for tests.
fn product_lines(wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (String, usize, String)> {
    let all = files();
    let for_tests: Vec<PathBuf> = all.iter().flat_map(|file| test_modules(file)).collect();
    let product = all
        .into_iter()
        .filter(move |file| !for_tests.contains(&PathBuf::from(file)) && wanted(file));
    product.flat_map(|file| {
        let lines: Vec<_> = without_tests(&read(&file))
            .into_iter()
            .map(|(n, line)| (file.clone(), n, line))
            .collect();
        lines
    })
}

/// A file's lines up to its tests, numbered from 1, without comments.
fn without_tests(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|two| two[0] == "#[cfg(test)]" && two[1].ends_with('{'));
    let numbered = lines.iter().enumerate().take(tests.unwrap_or(lines.len()));
    let code = numbered.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.map(|(index, line)| {
        (
            index + 1,
            line.split(" // ").next().unwrap_or_default().to_owned(),
        )
    })
    .collect()
}

/// The files of the modules that a file declares for tests alone.
fn test_modules(file: &str) -> Vec<PathBuf> {
    let path = Path::new(file);
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let folder = path.parent().unwrap();
    let folder = if ["mod", "lib", "main"].contains(&stem) {
        folder.to_owned()
    } else {
        folder.join(stem)
    };
    let text = read(file);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|two| two[0] == "#[cfg(test)]");
    let names = declared.filter_map(|two| {
        two[1]
            .strip_suffix(';')?
            .rsplit_once("mod ")
            .map(|(_, name)| name)
    });
    names
        .map(|name| folder.join(format!("{name}.rs")))
        .collect()
}

/// Every Rust file below `src`, by its path there.
fn files() -> Vec<String> {
    let root = source_folder();
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(
                    path.strip_prefix(&root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    assert!(
        found.len() > 50,
        "the sources were not found in {}",
        root.display()
    );
    found.sort();
    found
}

fn read(file: &str) -> String {
    fs::read_to_string(source_folder().join(file)).unwrap()
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rules are no better than what they look with.
#[test]
fn the_looking_glass_is_not_blind() {
    assert_eq!(
        names_of_the_crate("use crate::{settings, state};"),
        ["settings", "state"]
    );
    assert_eq!(
        names_of_the_crate("f(crate::plan::Exit::Host, crate::sys)"),
        ["plan", "sys"]
    );
    assert!(
        has_word("x.unsafe {", "unsafe")
            && !has_word("unsafe_code", "unsafe")
            && has_word("nix::fcntl", "nix::")
    );
    let text = "use a;\n// tokio\nlet b; // tokio\n#[cfg(test)]\nmod c;\nlet d;\n#[cfg(test)]\nmod tests {\nunsafe\n}";
    let lines: Vec<usize> = without_tests(text)
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(lines, [1, 3, 4, 5, 6]);
    assert!(
        !without_tests(text)
            .iter()
            .any(|(_, line)| line.contains("tokio"))
    );
    assert!(
        files()
            .iter()
            .flat_map(|file| test_modules(file))
            .all(|file| source_folder().join(file).exists())
    );
    assert_eq!(
        product_lines(|file| file == "proxy/connection/rig.rs").count(),
        0
    );
    assert!(
        product_lines(|file| file == "sys/process.rs")
            .any(|(_, _, line)| line.contains("Command::new"))
    );
}
