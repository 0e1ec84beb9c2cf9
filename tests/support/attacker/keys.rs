//! A key that the kernel doesn't have: given anything to call out with, it runs `/sbin/request-key` on the
//! host for it (request_key(2)).

#![expect(unsafe_code, reason = "request_key(2) has no safe wrapper here")]

use std::ffi::CString;

use nix::errno::Errno;

/// Asks for it, and gives what came of it: `found`, or the error's name.
pub(crate) fn request(description: &str) -> anyhow::Result<String> {
    let description = CString::new(description)?;
    let (kind, callout, nowhere) = (c"user", c"anything", 0);
    // SAFETY: request_key(2) reads these three texts, which live during the call, and writes nothing here.
    let key = unsafe {
        libc::syscall(
            libc::SYS_request_key,
            kind.as_ptr(),
            description.as_ptr(),
            callout.as_ptr(),
            nowhere,
        )
    };
    Ok(Errno::result(key).map_or_else(|error| format!("{error:?}"), |_| "found".to_owned()))
}
