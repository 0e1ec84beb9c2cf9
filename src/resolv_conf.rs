//! resolv.conf(5): search domains, and the host's DNS servers, as far as they can be asked from another network
//! namespace. A loopback server (`127.0.0.53`) can't: it answers the host alone.

use std::net::IpAddr;
use std::path::Path;

use crate::sys::file;

/// The host's own; where systemd-resolved runs, the first names only its loopback address.
pub const HOST: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The most that is read of a file.
const LARGEST: u64 = 64 * 1024;
/// glibc asks no more than three servers (`MAXNS`).
const MOST: usize = 3;

/// The usable servers of the first file that names any; none where none does. An unreadable file
/// names none.
#[must_use]
pub fn servers(files: &[impl AsRef<Path>]) -> Vec<IpAddr> {
    files
        .iter()
        .map(|file| usable(nameservers(&text(file.as_ref()))))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// The text of one of the host's own files; empty where it can't be read. They are links on many
/// systems.
#[must_use]
pub fn text(path: &Path) -> String {
    let read = std::fs::canonicalize(path).and_then(|path| file::read_regular(&path, LARGEST));
    read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The addresses on the `nameserver` lines. Those with a zone (`fe80::1%eth0`) don't parse, which
/// is right: a link's name means nothing in another namespace.
#[must_use]
pub fn nameservers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        if words.next()? == "nameserver" {
            words.next()?.parse().ok()
        } else {
            None
        }
    };
    text.lines().filter_map(address).collect()
}

/// The domains by which short names are completed, as they are written: those of the last `search`
/// or `domain` line.
#[must_use]
pub fn search(text: &str) -> Vec<String> {
    let domains = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        if !["search", "domain"].contains(&words.next()?) {
            return None;
        }
        let domains = words.take_while(|word| !word.starts_with(['#', ';']));
        Some(domains.map(str::to_owned).collect::<Vec<_>>())
    };
    let mut said = text.lines().filter_map(domains);
    said.rfind(|domains| !domains.is_empty())
        .unwrap_or_default()
}

/// Those that mean the same in another namespace, where loopback is another machine; at most three.
#[must_use]
pub fn usable(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    asked(addresses, |address| !address.is_loopback())
}

/// Those that the host itself can ask; at most three.
#[must_use]
pub fn usable_by_host(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    asked(addresses, |_| true)
}

fn asked(addresses: Vec<IpAddr>, fits: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    addresses
        .into_iter()
        .map(|address| address.to_canonical())
        .filter(|address| !(address.is_unspecified() || address.is_multicast()) && fits(address))
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nameserver_lines_are_read_and_everything_else_is_not() {
        let text = "# nameserver 9.9.9.9\n; x\nsearch nameserver 1.1.1.1\nnameserver 10.0.0.1\n\tnameserver  fd00::1 # note\n\
                    nameserver\nnameserver x\nnameserver fe80::1%eth0\nnameservers 1.1.1.1";
        assert_eq!(nameservers(text), addresses(&["10.0.0.1", "fd00::1"]));
    }

    #[test]
    fn the_last_line_says_what_is_searched() {
        for (text, expected) in [
            (
                "search a.test b.test\nnameserver 10.0.0.1",
                &["a.test", "b.test"][..],
            ),
            ("search a.test\n domain\tb.test # note", &["b.test"]),
            (
                "domain a.test\nsearch b.test c.test\nsearch",
                &["b.test", "c.test"],
            ),
            ("# search a.test\nsearched b.test\noptions ndots:5", &[]),
        ] {
            assert_eq!(search(text), expected, "{text}");
        }
    }

    #[test]
    fn loopback_in_any_form_is_of_no_use_elsewhere() {
        let found = usable(addresses(&[
            "127.0.0.53",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
        ]));
        assert_eq!(found, addresses(&["10.0.0.1"]));
    }

    #[test]
    fn no_more_than_three_are_taken() {
        assert_eq!(usable(addresses(&["1.1.1.1"; 9])).len(), MOST);
    }

    #[test]
    fn the_second_file_counts_where_the_first_names_only_loopback() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            file::replace(&path, text.as_bytes(), 0o644).unwrap();
            path
        };
        let (local, real) = (
            file("local", "nameserver 127.0.0.53\n"),
            file("real", "nameserver 192.0.2.1\n"),
        );
        assert_eq!(servers(&[&local, &real]), addresses(&["192.0.2.1"]));
        assert!(servers(&[local, directory.path().join("missing")]).is_empty());
    }
}
