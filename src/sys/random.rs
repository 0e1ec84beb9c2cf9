//! Random numbers, of the kernel's.
//!
//! The usual crate looks `getrandom` up by its name in the running program. One that is linked
//! statically has no names, and the filter can't open the file that would be read instead.

use std::io;

/// A number that nobody can foresee.
///
/// # Errors
/// Those of getrandom(2), which a kernel of ours doesn't give.
#[expect(unsafe_code, reason = "getrandom(2)")]
pub fn number() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let written = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // So few are given all at once, or not at all.
    if written.cast_unsigned() != bytes.len() {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_given_twice() {
        assert_ne!(number().unwrap(), number().unwrap());
    }
}
