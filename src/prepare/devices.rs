//! The devices that a spec lists: whether the host has them where the container will.
//!
//! In a user namespace nobody can create device nodes, so runtimes mount the host's own, by the
//! path that it will have in the container. `docker run --device /dev/sdb:/dev/disk` lists only
//! /dev/disk.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::sys::stat::{major, minor};
use serde_json::Value;

use crate::escape::{MAX_PATH_SHOWN, clean};

/// The permissions of a file's mode.
const MODE: u64 = 0o7777;
/// What runtimes give a device whose mode isn't said.
const EVERYBODYS: u64 = 0o666;

/// The path of the first listed device that the host doesn't have there, escaped for a message.
pub(crate) fn absent_on_host(spec: &Value) -> Option<String> {
    first_listed(spec, |device, path| {
        !std::fs::metadata(path).is_ok_and(|found| is(device, &found))
    })
}

/// The path of the first listed device that the host has there with another mode or owner, escaped
/// for a message. Where the spec doesn't say, runtimes make it everybody's, and root's.
pub(crate) fn other_on_host(spec: &Value) -> Option<String> {
    let differs = |device: &Value, found: &Metadata| {
        let number = |key: &str, otherwise: u64| {
            device.get(key).and_then(Value::as_u64).unwrap_or(otherwise)
        };
        let asked = (
            number("fileMode", EVERYBODYS) & MODE,
            number("uid", 0),
            number("gid", 0),
        );
        let (mode, uid, gid) = (found.mode(), found.uid(), found.gid());
        asked != (u64::from(mode) & MODE, u64::from(uid), u64::from(gid))
    };
    first_listed(spec, |device, path| {
        std::fs::metadata(path).is_ok_and(|found| is(device, &found) && differs(device, &found))
    })
}

/// The path of the first listed device of which something is so, escaped for a message.
fn first_listed(spec: &Value, is_so: impl Fn(&Value, &str) -> bool) -> Option<String> {
    let listed = spec.get("linux")?.get("devices")?.as_array()?;
    let mut found = listed.iter().filter_map(|device| {
        let path = device.get("path")?.as_str()?;
        is_so(device, path).then_some(path)
    });
    found.next().map(|path| clean(path, MAX_PATH_SHOWN))
}

/// Whether what was found is that device.
fn is(device: &Value, found: &Metadata) -> bool {
    let kind = found.file_type();
    let number = |key: &str| device.get(key).and_then(Value::as_u64);
    let same_numbers = number("major") == Some(major(found.rdev()))
        && number("minor") == Some(minor(found.rdev()));
    match device.get("type").and_then(Value::as_str) {
        Some("c" | "u") => kind.is_char_device() && same_numbers,
        Some("b") => kind.is_block_device() && same_numbers,
        Some("p") => kind.is_fifo(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_device_that_is_the_hosts_but_for_mode_or_owner_is_told() {
        // Not /dev/null: where it is a container's standard input, runc gives it to that one's user.
        let full = json!({"path": "/dev/full", "type": "c", "major": 1, "minor": 7});
        let listing = |key: &str, value: Value| {
            let mut device = full.clone();
            device[key] = value;
            other_on_host(&json!({"linux": {"devices": [device]}}))
        };
        // With the file's type, as engines write it.
        for (key, value) in [("uid", json!(0)), ("fileMode", json!(0o20666))] {
            assert_eq!(listing(key, value), None, "{key}");
        }
        for (key, value) in [
            ("uid", json!(1000)),
            ("gid", json!(5)),
            ("fileMode", json!(0o600)),
        ] {
            assert_eq!(listing(key, value).as_deref(), Some("/dev/full"), "{key}");
        }
        // Another device altogether: it is absent.
        assert_eq!(listing("minor", json!(5)), None);
    }

    #[test]
    fn a_device_counts_as_there_only_if_the_very_one_is() {
        let zero = json!({"path": "/dev/zero", "type": "c", "major": 1, "minor": 5});
        let listing =
            |device: &Value| absent_on_host(&json!({"linux": {"devices": [zero, device]}}));
        assert_eq!(listing(&zero), None);
        for (key, value) in [
            ("path", json!("/dev/no\nne")),
            ("type", json!("b")),
            ("minor", json!(3)),
            ("major", json!(null)),
        ] {
            let mut other = zero.clone();
            other[key] = value;
            assert!(listing(&other).is_some(), "{other}");
        }
        assert_eq!(
            listing(&json!({"path": "/dev/no\nne", "type": "c"})).unwrap(),
            "/dev/no\\u{a}ne"
        );
        for nothing in [
            json!({}),
            json!({"linux": {"devices": null}}),
            json!({"linux": {"devices": [{}]}}),
        ] {
            assert_eq!(absent_on_host(&nothing), None);
        }
    }
}
