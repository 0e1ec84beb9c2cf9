//! Parses the mounts that a process sees (`proc_pid_mountinfo(5)`).
//!
//! Two mounts with the same device show one file system, each from its own root on. This holds for
//! btrfs too, where the device reported by `stat` is a subvolume's and does not appear here.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number, while it is mounted.
    pub id: u32,
    /// The number of the mount that it is on.
    pub parent: u32,
    /// The file system, as `major:minor`.
    pub device: String,
    /// What of the file system is seen: the path in it.
    pub root: PathBuf,
    /// Where, as seen from the process's root.
    pub point: PathBuf,
    /// The mount's own options: `rw` or `ro`, `nosuid`, `noatime` and others.
    pub flags: String,
    /// The file system's type.
    pub kind: String,
    /// The file system's own options.
    pub options: String,
}

impl Mount {
    /// Where a path of the file system is found. None: it isn't below what is mounted here.
    #[must_use]
    pub fn locate(&self, within: &Path) -> Option<PathBuf> {
        let below = within.strip_prefix(&self.root).ok()?;
        // Joining nothing would leave a slash at the end.
        Some(if below == Path::new("") {
            self.point.clone()
        } else {
            self.point.join(below)
        })
    }
}

/// The mounts that a process sees from its root: a pid, or `self`.
///
/// # Errors
/// What reading gives.
pub fn of(process: &str) -> io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read(format!("/proc/{process}/mountinfo"))?))
}

/// The number of the mount that a path is on.
///
/// # Errors
/// What opening it gives.
pub fn id_at(path: &Path) -> io::Result<u32> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let id = told
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The mounts in a table; a line that isn't one is passed over.
#[must_use]
pub fn parse(table: &[u8]) -> Vec<Mount> {
    table
        .split(|byte| *byte == b'\n')
        .filter_map(mount)
        .collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let device = text(fields.next()?);
    let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
    let flags = text(fields.next()?);
    // Between the options of the mount and a hyphen stand as many fields as there are.
    fields.find(|field| *field == b"-")?;
    let kind = text(fields.next()?);
    let options = text(fields.nth(1)?);
    Some(Mount {
        id,
        parent,
        device,
        root,
        point,
        flags,
        kind,
        options,
    })
}

/// Spaces, tabs, line ends and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let code = rest
            .get(1..4)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                path.push(*first);
                rest = others;
            }
        }
    }
    OsStr::from_bytes(&path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_its_optional_fields_and_letters() {
        let table = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                      37 35 0:5 /a\\040b\\134040 /\xff\\12 rw - tmpfs x rw\n\
                      torn 35 0:5 / / rw - tmpfs x rw\n\
                      38 35 0:5 / /x rw\n";
        let found = parse(table);
        assert_eq!(found.len(), 2);
        let Mount {
            id,
            parent,
            device,
            root,
            point,
            flags,
            kind,
            options,
        } = &found[0];
        assert_eq!(
            (*id, *parent, device.as_str(), kind.as_str()),
            (36, 35, "98:0", "ext3")
        );
        assert_eq!(
            (flags.as_str(), options.as_str()),
            ("rw,noatime", "rw,errors=continue")
        );
        assert_eq!(
            (root.as_path(), point.as_path()),
            (Path::new("/mnt1"), Path::new("/mnt2"))
        );
        assert_eq!(found[1].root, Path::new("/a b\\040"));
        assert_eq!(found[1].point.as_os_str().as_bytes(), b"/\xff\\12");
    }

    #[test]
    fn what_is_not_below_the_root_is_nowhere() {
        let mount = &parse(b"30 24 0:26 /docker/x /cg rw - cgroup2 cgroup2 rw")[0];
        assert_eq!(mount.locate(Path::new("/docker/x/y")), Some("/cg/y".into()));
        assert_eq!(
            mount.locate(Path::new("/docker/x")).unwrap().as_os_str(),
            "/cg"
        );
        assert_eq!(mount.locate(Path::new("/docker/xy")), None);
    }

    #[test]
    fn the_mount_of_a_path_is_in_the_table() {
        let id = id_at(Path::new("/proc/self")).unwrap();
        assert_eq!(
            of("self")
                .unwrap()
                .iter()
                .find(|mount| mount.id == id)
                .unwrap()
                .kind,
            "proc"
        );
    }
}
