//! Requests of ioctl(2).

/// A request as filters of system calls compare it. C libraries differ in the type they give it.
#[must_use]
#[expect(clippy::unnecessary_cast, reason = "glibc's type; musl's is an int")]
pub const fn request(number: libc::Ioctl) -> u64 {
    number as u64
}
