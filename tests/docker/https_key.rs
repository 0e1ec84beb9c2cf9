//! The key of a container's authority: it is in its filter's memory, and nowhere else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use test_support::bed::Bed;
use test_support::harness::Test;

use crate::https::RUNTIME;

pub(crate) const TESTS: &[Test] = &[("is_in_the_filters_memory_alone", alone)];

/// A key of ECDSA P-256 in DER (RFC 5958, RFC 5915), before its number, and behind that before its point.
const BEFORE_THE_NUMBER: &[u8] =
    b"\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
const BEFORE_THE_POINT: &[u8] = b"\xa1\x44\x03\x42\x00";
const NUMBER: usize = 32;
const POINT: usize = 65;

fn alone(bed: &Bed) {
    let container = bed.start_with(RUNTIME, &[], &["sleep", "600"]);
    // A leaf has been made and signed, too.
    container
        .exec("curl -sS -m 10 https://allowed.test/open/a")
        .must_succeed();
    let certificate = container.exec("cat /dev/boundary/authority.pem");
    let certificate = pem::parse(&certificate.must_succeed().stdout).unwrap();
    let footprint = container.footprint();
    let filter = process(bed, &footprint.filter(bed));
    let memory = memory(&filter);
    let key = key_of(certificate.contents(), &memory).expect("the key in the filter's memory");
    // As the library keeps it.
    assert!(is_told(&memory, &key) && as_text(&key).len() == 16);

    for other in [footprint.proxy.clone(), footprint.guard(bed)] {
        assert!(!has(&self::memory(&process(bed, &other)), &key), "{other}");
    }
    // What anybody is told of a process, and what lies on disks.
    for process in fs::read_dir(bed.inside("/proc")).unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let said = fs::read(process.path().join(file)).unwrap_or_default();
            assert!(!is_told(&said, &key), "{process:?} {file}");
        }
    }
    let mut files = 0;
    for folder in ["/run", "/var/lib/boundary", "/var/log", "/etc", "/tmp"] {
        walk(&bed.inside(folder), &mut |path| {
            files += 1;
            let held = fs::read(path).unwrap_or_default();
            assert!(!is_told(&held, &key), "{}", path.display());
        });
    }
    assert!(files > 100, "{files} files were looked at");
}

fn process(bed: &Bed, pid: &str) -> PathBuf {
    bed.inside("/proc").join(pid)
}

/// What a process has written to: its own memory.
fn memory(process: &Path) -> Vec<u8> {
    let maps = fs::read_to_string(process.join("maps")).unwrap();
    let memory = File::open(process.join("mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|edge| u64::from_str_radix(edge, 16).unwrap());
        let mut piece = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut piece, from).is_ok() {
            all.extend(piece);
        }
    }
    all
}

/// The number of the key whose point is a certificate's.
fn key_of(certificate: &[u8], memory: &[u8]) -> Option<Vec<u8>> {
    let keys = memchr::memmem::find_iter(memory, BEFORE_THE_NUMBER).filter_map(|at| {
        let number = memory.get(at + BEFORE_THE_NUMBER.len()..)?.get(..NUMBER)?;
        let rest = &memory[at + BEFORE_THE_NUMBER.len() + NUMBER..];
        let point = rest.strip_prefix(BEFORE_THE_POINT)?.get(..POINT)?;
        has(certificate, point).then(|| number.to_vec())
    });
    keys.into_iter().next()
}

/// The key's number, or what stands for its beginning in PEM.
fn is_told(bytes: &[u8], key: &[u8]) -> bool {
    has(bytes, key) || has(bytes, as_text(key).as_bytes())
}

/// In PEM it begins behind so many bytes, and lasts to the end of the line.
fn as_text(key: &[u8]) -> String {
    const BEFORE: usize = 36;
    let whole = [&[0; BEFORE], key].concat();
    let text = pem::encode(&pem::Pem::new("PRIVATE KEY", whole));
    let line = text.lines().nth(1).unwrap();
    line[BEFORE / 3 * 4..].to_owned()
}

fn has(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

fn walk(folder: &Path, look: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            walk(&entry.path(), look);
        } else if kind.is_file() {
            look(&entry.path());
        }
    }
}
