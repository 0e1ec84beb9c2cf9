//! The seccomp filters that the kernel runs for a process, read back from it.
//!
//! Needs CAP_SYS_ADMIN, a kernel with CONFIG_CHECKPOINT_RESTORE, and a reader that has no filter
//! itself (`seccomp_get_filter` in kernel/seccomp.c). The process is stopped while it is read.

#![expect(unsafe_code, reason = "nix has no request for a filter")]

use std::io;
use std::ptr;

use boundary_shim::seccomp::proof::cbpf::Instruction;

/// `PTRACE_SECCOMP_GET_FILTER` (linux/ptrace.h); `libc` has it for some targets only.
const GET_FILTER: libc::c_uint = 0x420c;
/// Filters that one process may have, as far as we read.
const MOST_FILTERS: usize = 64;

/// The programs that the kernel runs at each system call of a process, from the first that was
/// loaded.
pub(crate) fn loaded_filters(pid: libc::pid_t) -> io::Result<Vec<Vec<Instruction>>> {
    let traced = Traced::stop(pid)?;
    let mut filters = Vec::new();
    while filters.len() < MOST_FILTERS {
        match traced.filter(filters.len()) {
            Ok(filter) => filters.push(filter),
            // None has this number, or there is no filter at all.
            Err(error)
                if [Some(libc::ENOENT), Some(libc::EINVAL)].contains(&error.raw_os_error()) =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(filters)
}

/// A process that is stopped for us; it goes on when this is dropped.
struct Traced(libc::pid_t);

impl Traced {
    fn stop(pid: libc::pid_t) -> io::Result<Self> {
        request(libc::PTRACE_SEIZE, pid, 0, ptr::null_mut())?;
        let traced = Self(pid);
        request(libc::PTRACE_INTERRUPT, pid, 0, ptr::null_mut())?;
        let mut status = 0;
        // SAFETY: `status` is where waitpid may write one int.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        match waited {
            -1 => Err(io::Error::last_os_error()),
            _ if libc::WIFSTOPPED(status) => Ok(traced),
            _ => Err(io::Error::other(format!(
                "the process ended, with {status}"
            ))),
        }
    }

    fn filter(&self, number: usize) -> io::Result<Vec<Instruction>> {
        let length = request(GET_FILTER, self.0, number, ptr::null_mut())?;
        let length = usize::try_from(length).expect("lengths are positive");
        let mut filter = vec![
            libc::sock_filter {
                code: 0,
                jt: 0,
                jf: 0,
                k: 0
            };
            length
        ];
        request(GET_FILTER, self.0, number, filter.as_mut_ptr().cast())?;
        Ok(filter.into_iter().map(instruction).collect())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // Fails where the process is gone: then it needs nothing.
        let _ = request(libc::PTRACE_DETACH, self.0, 0, ptr::null_mut());
    }
}

/// `data` is null, or for GET_FILTER room for as many instructions as the same call with null told.
fn request(
    which: libc::c_uint,
    pid: libc::pid_t,
    address: usize,
    data: *mut libc::c_void,
) -> io::Result<libc::c_long> {
    // SAFETY: of the requests made here only GET_FILTER writes, as many instructions as it told,
    // and `data` has room for them: the process is stopped, so that its filters don't change in
    // between.
    let answer = unsafe {
        libc::ptrace(
            which,
            pid,
            ptr::without_provenance_mut::<libc::c_void>(address),
            data,
        )
    };
    if answer == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

fn instruction(read: libc::sock_filter) -> Instruction {
    Instruction {
        code: read.code,
        when_true: read.jt,
        when_false: read.jf,
        constant: read.k,
    }
}
