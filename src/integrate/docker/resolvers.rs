//! The host's own DNS servers, as far as a container can ask them too.
//!
//! Only the file format of resolv.conf(5) is known here. A loopback server (`127.0.0.53`) is the host's alone.

use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

/// glibc asks no more than three servers (resolv.conf(5), `MAXNS`).
const MOST: usize = 3;

/// A file beyond this is no resolv.conf.
const LARGEST: u64 = 64 * 1024;

/// The servers of the first file that names any; empty where none does. An unreadable file names none.
#[must_use]
pub fn of_host(files: &[impl AsRef<Path>]) -> Vec<IpAddr> {
    files.iter().map(|file| servers(&read(file.as_ref()))).find(|servers| !servers.is_empty()).unwrap_or_default()
}

fn read(file: &Path) -> String {
    let mut text = String::new();
    match std::fs::File::open(file).and_then(|file| file.take(LARGEST).read_to_string(&mut text)) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

/// Addresses with a zone (`fe80::1%eth0`) don't parse, which is right: a link's name means nothing in a container.
fn servers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    };
    let reachable = |address: &IpAddr| {
        let plain = address.to_canonical();
        !plain.is_loopback() && !plain.is_unspecified()
    };
    text.lines().filter_map(address).filter(reachable).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_nonsense_are_left_out() {
        let text = "# nameserver 9.9.9.9\n; x\nsearch example.com\nnameserver 127.0.0.53\nnameserver\nnameserver x\n\
                    nameserver ::1\nnameserver 0.0.0.0\nnameserver ::ffff:127.0.0.1\nnameserver fe80::1%eth0\n\
                    nameserver\t10.0.0.2\n nameserver 2001:db8::53 # comment\nnameservers 1.1.1.1\n";
        let expected: Vec<IpAddr> = vec!["10.0.0.2".parse().expect("v4"), "2001:db8::53".parse().expect("v6")];
        assert_eq!(servers(text), expected);
    }

    #[test]
    fn no_more_than_three_are_taken() {
        assert_eq!(servers(&"nameserver 1.1.1.1\n".repeat(9)).len(), MOST);
    }

    #[test]
    fn the_second_file_counts_where_the_first_names_only_loopback() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::io::Write::write_all(&mut std::fs::File::create(&path).expect("a file"), text.as_bytes())
                .expect("text");
            path
        };
        let stub = file("stub", "nameserver 127.0.0.53\n");
        let real = file("real", "nameserver 192.0.2.1\n");
        assert_eq!(of_host(&[&stub, &real]), ["192.0.2.1".parse::<IpAddr>().expect("v4")]);
        assert!(of_host(&[stub, directory.path().join("missing")]).is_empty());
    }
}
