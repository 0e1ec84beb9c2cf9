//! The memory of this process as the kernel sees it.

/// Gives memory that was freed back to the kernel, also where it lies between what is still in use
/// (malloc_trim(3)). Without, glibc keeps most of what a flood had it take.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "a call into the C library")]
pub fn give_back() {
    // SAFETY: takes a number by value, locks the allocator's arenas itself, and touches only pages
    // in which nothing lies.
    unsafe { libc::malloc_trim(0) };
}

/// Nothing to do: musl gives back by itself what it can.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
