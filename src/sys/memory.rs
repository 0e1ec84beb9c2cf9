//! The memory of this process as the kernel sees it.

/// Gives memory that was freed back to the kernel, also where it lies between what is still in use.
/// Without, the allocator keeps most of what a flood had it take.
#[expect(unsafe_code, reason = "a call into the allocator")]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes a number by value, locks the allocator's arenas itself, and
    // touches only pages in which nothing lies.
    unsafe {
        libc::malloc_trim(0)
    };
    #[cfg(target_env = "musl")]
    // SAFETY: takes a truth value by value, and touches only pages in which nothing lies, of the
    // calling thread's own heap and of threads that have ended.
    unsafe {
        mi_collect(true);
    }
}

/// musl's own allocator is safe and slow: `malloc` is this one's there, for C as well.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(target_env = "musl")]
#[expect(unsafe_code, reason = "a function of C's")]
unsafe extern "C" {
    fn mi_collect(force: bool);
}
