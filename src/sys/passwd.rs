//! `getpwuid_r(3)` and `getpwnam_r(3)`, in the place of the C library's: libcontainer asks, inside of a
//! container, for the home directory of the container's user.
//!
//! glibc's would load whatever libraries the container's own `/etc/nsswitch.conf` names, into a process
//! that still has its privileges; musl's would wait for whoever writes to a FIFO in the file's place, and
//! ask whoever serves at nscd's socket.
//!
//! Invariant: nothing but `/etc/passwd` is read, and no more of it than [`LIMIT`].

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;

use libc::{c_char, c_int, passwd, size_t, uid_t};

/// The most that is read: a directory of some ten thousand users.
const LIMIT: u64 = 1 << 20;

/// The parts of a line: name, password, user, group, description, home directory, shell.
const PARTS: usize = 7;

/// A user's line, each part of which ends with a zero byte, and where each begins.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    text: Vec<u8>,
    begins: [usize; PARTS],
    user: uid_t,
    group: libc::gid_t,
}

/// As getpwuid_r(3) says, of `/etc/passwd` alone.
///
/// # Safety
/// As there: `entry` and `result` can be written, and `buffer` up to its `size`.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "libcontainer knows it by this name alone")]
unsafe extern "C" fn getpwuid_r(
    user: uid_t,
    entry: *mut passwd,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut passwd,
) -> c_int {
    let line = first(|line| line.user == user);
    // SAFETY: the caller's promise.
    unsafe { answer(line, entry, buffer, size, result) }
}

/// As getpwnam_r(3) says, of `/etc/passwd` alone. Nothing of ours asks; but musl has both functions in one
/// piece, which a program gets wholly or not at all.
///
/// # Safety
/// As there: `name` ends with a zero byte; `entry` and `result` can be written, and `buffer` up to its
/// `size`.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "other crates know it by this name alone")]
unsafe extern "C" fn getpwnam_r(
    name: *const c_char,
    entry: *mut passwd,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut passwd,
) -> c_int {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    let line = first(|line| CStr::from_bytes_until_nul(&line.text) == Ok(name));
    // SAFETY: the caller's promise.
    unsafe { answer(line, entry, buffer, size, result) }
}

/// Hands a line to who asked, as both functions do.
///
/// # Safety
/// As for both: `entry` and `result` can be written, and `buffer` up to its `size`.
#[expect(unsafe_code, reason = "writes where its caller's caller said")]
unsafe fn answer(
    line: Option<Line>,
    entry: *mut passwd,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut passwd,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { result.write(std::ptr::null_mut()) };
    let Some(line) = line else { return 0 };
    if line.text.len() > size {
        return libc::ERANGE;
    }
    // SAFETY: the text is no longer than the buffer, by the caller's promise, and isn't part of it.
    unsafe { std::ptr::copy_nonoverlapping(line.text.as_ptr(), buffer.cast(), line.text.len()) };
    // Within what was copied.
    let [name, password, _, _, description, home, shell] =
        line.begins.map(|begin| buffer.wrapping_add(begin));
    let told = passwd {
        pw_name: name,
        pw_passwd: password,
        pw_uid: line.user,
        pw_gid: line.group,
        pw_gecos: description,
        pw_dir: home,
        pw_shell: shell,
    };
    // SAFETY: the caller's promise.
    unsafe { entry.write(told) };
    // SAFETY: the caller's promise.
    unsafe { result.write(entry) };
    0
}

/// The first line that is asked for; none where there is none, or no file that can be read.
fn first(asked: impl Fn(&Line) -> bool) -> Option<Line> {
    // A FIFO in its place must not hang us.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/etc/passwd")
        .ok()?;
    let lines = BufReader::new(file.take(LIMIT)).split(b'\n');
    lines.map_while(Result::ok).filter_map(parse).find(asked)
}

/// A line in its parts; none for what isn't one.
fn parse(mut text: Vec<u8>) -> Option<Line> {
    let mut begins = [0; PARTS];
    let mut ends = text.iter().enumerate().filter(|(_, byte)| **byte == b':');
    for begin in begins.iter_mut().skip(1) {
        *begin = ends.next()?.0 + 1;
    }
    if ends.next().is_some() || text.contains(&0) {
        return None;
    }
    let number = |part: usize| {
        let bytes = text.get(*begins.get(part)?..*begins.get(part + 1)? - 1)?;
        std::str::from_utf8(bytes).ok()?.parse().ok()
    };
    let (user, group) = (number(2)?, number(3)?);
    text.iter_mut()
        .filter(|byte| **byte == b':')
        .for_each(|byte| *byte = 0);
    text.push(0);
    Some(Line {
        text,
        begins,
        user,
        group,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_seven_parts_and_two_numbers() {
        let line = parse(b"web:x:33:34:www,data:/var/www:/bin/sh".to_vec()).unwrap();
        let part = |index: usize| {
            let rest = &line.text[line.begins[index]..];
            let end = rest.iter().position(|byte| *byte == 0).unwrap();
            std::str::from_utf8(&rest[..end]).unwrap()
        };
        assert_eq!((line.user, line.group), (33, 34));
        assert_eq!(
            [0, 1, 4, 5, 6].map(part),
            ["web", "x", "www,data", "/var/www", "/bin/sh"]
        );
        for other in [
            "",
            "web:x:33:34:www:/var/www",
            "web:x:33:34:www:/var/www:/bin/sh:",
            "web:x:thirty:34:www:/var/www:/bin/sh",
            "web:x:-1:34::/:/bin/sh",
            "web:x:33:4294967296::/:/bin/sh",
            "we\0b:x:33:34::/:/bin/sh",
        ] {
            assert_eq!(parse(other.into()), None, "{other}");
        }
    }

    #[test]
    fn whoever_asks_the_c_library_is_answered_from_the_file() {
        use nix::unistd::{Uid, User};
        let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        assert_eq!((root.name.as_str(), root.gid.as_raw()), ("root", 0));
        assert_eq!(User::from_uid(Uid::from_raw(4_000_000_000)).unwrap(), None);
        assert_eq!(User::from_name("root").unwrap(), Some(root));
        assert_eq!(User::from_name("no such user").unwrap(), None);
    }
}
