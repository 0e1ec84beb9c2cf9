//! What somebody who has taken the filter over could do: each attempt is made by a process confined
//! as the filter is, in its place, and by one that isn't, for which it works.
//!
//! Needs root.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start themselves and write files"
)]
#![expect(clippy::print_stdout, reason = "its findings are its standard output")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

use std::ffi::c_long;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use boundary_shim::proxy::confinement::{Cell, Rights, confine, deny_the_rest};
use boundary_shim::sys::confine::close_all_but;
use boundary_shim::sys::fork::Child;
use boundary_shim::sys::netns::Namespace;
use libtest_mimic::{Arguments, Failed, Trial};
use test_support::needs::Needs;

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It is killed for it. (Not all of these can succeed here for others; but nobody else is
    /// killed.)
    Killed,
    /// It is told no, and others are not.
    Denied,
}
use Expected::{Denied, Killed};

type Attempt = fn(&Prey) -> io::Result<c_long>;

/// What an attempt may be made on.
struct Prey {
    /// The filter's own record, as it has it.
    record: File,
    /// Another container's record.
    another: String,
    /// Who started it.
    parent: c_long,
}

const NULL: c_long = 0;
/// The path `/`, and one below it.
const ROOT: &std::ffi::CStr = c"/";
const PROGRAM: &std::ffi::CStr = c"/bin/true";

const ATTEMPTS: &[(&str, Expected, Attempt)] = &[
    ("a_program_is_run", Killed, |_| {
        let arguments = [pointer(PROGRAM), NULL];
        call(
            libc::SYS_execve,
            &[pointer(PROGRAM), address(&arguments), NULL],
        )
    }),
    ("a_program_is_run_from_a_descriptor", Killed, |prey| {
        let arguments = [pointer(PROGRAM), NULL];
        let empty = pointer(c"");
        let program = c_long::from(prey.record.as_raw_fd());
        let flags = c_long::from(libc::AT_EMPTY_PATH);
        call(
            libc::SYS_execveat,
            &[program, empty, address(&arguments), NULL, flags],
        )
    }),
    ("another_is_traced", Killed, |prey| {
        call(libc::SYS_ptrace, &[0x4206, prey.parent, NULL, NULL])
    }),
    ("anothers_memory_is_read", Killed, |prey| {
        call(
            libc::SYS_process_vm_readv,
            &[prey.parent, NULL, 0, NULL, 0, 0],
        )
    }),
    ("anothers_descriptor_is_taken", Killed, |_| {
        call(libc::SYS_pidfd_getfd, &[0, 0, 0])
    }),
    ("another_namespace_is_entered", Killed, |_| {
        call(libc::SYS_setns, &[0, 0])
    }),
    ("a_namespace_is_made", Killed, |_| {
        call(libc::SYS_unshare, &[c_long::from(libc::CLONE_NEWUSER)])
    }),
    ("another_root_is_taken", Killed, |_| {
        call(libc::SYS_chroot, &[pointer(ROOT)])
    }),
    ("a_file_system_is_mounted", Killed, |_| {
        call(libc::SYS_mount, &[NULL, pointer(ROOT), NULL, 0, NULL])
    }),
    ("a_file_system_is_made", Killed, |_| {
        call(libc::SYS_fsopen, &[pointer(c"tmpfs"), 0])
    }),
    ("a_file_is_opened_by_its_handle", Killed, |_| {
        call(libc::SYS_open_by_handle_at, &[0, NULL, 0])
    }),
    ("a_module_is_loaded", Killed, |_| {
        call(libc::SYS_finit_module, &[-1, NULL, 0])
    }),
    ("a_program_is_given_to_the_kernel", Killed, |_| {
        call(libc::SYS_bpf, &[-1, NULL, 0])
    }),
    ("the_kernel_is_profiled", Killed, |_| {
        call(libc::SYS_perf_event_open, &[NULL, 0, -1, -1, 0])
    }),
    ("a_ring_of_requests_is_made", Killed, |_| {
        call(libc::SYS_io_uring_setup, &[0, NULL])
    }),
    ("a_file_is_opened", Denied, |_| file(File::open("/"))),
    ("anothers_record_is_opened", Denied, |prey| {
        file(OpenOptions::new().append(true).open(&prey.another))
    }),
    ("a_process_is_started", Denied, |_| {
        match call(libc::SYS_fork, &[]) {
            Ok(0) => call(libc::SYS_exit_group, &[0]),
            outcome => outcome,
        }
    }),
    ("its_record_is_read", Denied, |prey| {
        let path = format!("/proc/self/fd/{}", prey.record.as_raw_fd());
        file(File::open(path))
    }),
    ("another_is_signalled", Denied, |prey| {
        call(libc::SYS_kill, &[prey.parent, 0])
    }),
    ("its_record_is_cut", Denied, |prey| {
        call(libc::SYS_ftruncate, &[descriptor(&prey.record), 0])
    }),
    ("its_record_is_overwritten", Denied, |prey| {
        call(
            libc::SYS_fcntl,
            &[descriptor(&prey.record), c_long::from(libc::F_SETFL), 0],
        )?;
        call(
            libc::SYS_pwrite64,
            &[descriptor(&prey.record), pointer(c"x"), 1, 0],
        )
    }),
    ("a_hole_is_made_in_its_record", Denied, |prey| {
        let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        call(
            libc::SYS_fcntl,
            &[descriptor(&prey.record), c_long::from(libc::F_SETFL), 0],
        )?;
        call(
            libc::SYS_fallocate,
            &[descriptor(&prey.record), c_long::from(how), 0, 1],
        )
    }),
    ("a_socket_to_programs_of_the_host_is_made", Denied, |_| {
        socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)
    }),
    ("a_socket_for_frames_is_made", Denied, |_| {
        socket(libc::AF_PACKET, libc::SOCK_RAW, 0)
    }),
    ("a_socket_for_packets_is_made", Denied, |_| {
        socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)
    }),
    ("a_socket_to_the_kernel_is_made", Denied, |_| {
        socket(libc::AF_NETLINK, libc::SOCK_RAW, 0)
    }),
    ("new_code_is_mapped", Denied, |_| {
        let (protection, flags) = (
            libc::PROT_EXEC | libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        call(
            libc::SYS_mmap,
            &[
                NULL,
                4096,
                c_long::from(protection),
                c_long::from(flags),
                -1,
                0,
            ],
        )
    }),
];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, flag, name, confined] = words.as_slice()
        && flag == "--attempt"
    {
        return make(name, confined == "confined");
    }
    let arguments = Arguments::from_args();
    let root = Needs::root();
    let mut trials: Vec<Trial> = ATTEMPTS
        .iter()
        .map(|(name, expected, _)| root.trial(*name, move || judge(name, *expected)))
        .collect();
    trials.push(root.trial("what_it_is_for_is_allowed", judge_allowed));
    libtest_mimic::run(&arguments, trials).exit();
}

/// The outcome of an attempt, in the words of [`make`].
fn outcome(name: &str, how: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--attempt", name, how])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn judge(name: &str, expected: Expected) -> Result<(), Failed> {
    let (free, confined) = (outcome(name, "free"), outcome(name, "confined"));
    let as_expected = match expected {
        Killed => !free.contains("killed") && confined == "it was killed by SIGSYS",
        Denied => free == "it worked" && confined == "it ended with code 1",
    };
    if as_expected {
        Ok(())
    } else {
        Err(format!("without confinement: {free}; with: {confined}").into())
    }
}

fn judge_allowed() -> Result<(), Failed> {
    match outcome("nothing", "confined").as_str() {
        "it worked" => Ok(()),
        other => Err(other.into()),
    }
}

/// Makes the attempt, in a child of this process, which has no second thread; and says what became
/// of that.
fn make(name: &str, confined: bool) {
    let attempt = ATTEMPTS
        .iter()
        .find(|(known, ..)| *known == name)
        .map_or(serve as Attempt, |(.., attempt)| *attempt);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    File::create(directory.path().join("another")).unwrap();
    std::fs::write(&path, "a line\n").unwrap();
    let prey = Prey {
        record: OpenOptions::new().append(true).open(&path).unwrap(),
        another: directory
            .path()
            .join("another")
            .to_str()
            .unwrap()
            .to_owned(),
        parent: c_long::from(std::process::id()),
    };
    let gateway = Namespace::create().unwrap();
    let keeper = std::process::id().cast_signed();
    let child = Child::start(|| {
        if confined {
            gateway.enter().unwrap();
            confine(&Cell {
                keeper,
                inside: None,
                rights: Rights::Root {
                    speaks_for_others: true,
                },
            })
            .unwrap();
            close_all_but(&[prey.record.as_fd()]).unwrap();
            deny_the_rest().unwrap();
        }
        i32::from(attempt(&prey).is_err())
    });
    let said = child
        .unwrap()
        .wait()
        .unwrap()
        .unwrap_or_else(|| "it worked".to_owned());
    println!("{said}");
}

/// What the filter is for, the parts that need a right.
fn serve(prey: &Prey) -> io::Result<c_long> {
    use boundary_shim::sys::socket::{self, Queues, Source};
    (&prey.record).write_all(b"another line\n")?;
    let source = Source {
        address: [192, 0, 2, 1].into(),
        mark: 1,
    };
    let to = ([127, 0, 0, 1], 9).into();
    // The loopback of the new namespace is down: to get as far as to be told so is enough.
    match socket::udp_from(
        Some(source),
        to,
        Queues {
            received: 4096,
            sent: 4096,
        },
    ) {
        Err(error) if error.raw_os_error() != Some(libc::ENETUNREACH) => Err(error),
        _ => Ok(0),
    }
}

fn file(opened: io::Result<File>) -> io::Result<c_long> {
    opened.map(|_| 0)
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<c_long> {
    call(
        libc::SYS_socket,
        &[
            c_long::from(family),
            c_long::from(kind),
            c_long::from(protocol),
        ],
    )
}

fn descriptor(file: &File) -> c_long {
    c_long::from(file.as_raw_fd())
}

fn pointer(text: &std::ffi::CStr) -> c_long {
    text.as_ptr().expose_provenance().cast_signed() as c_long
}

fn address(words: &[c_long]) -> c_long {
    words.as_ptr().expose_provenance().cast_signed() as c_long
}

/// A system call as somebody would make it who has nothing but the processor.
#[expect(unsafe_code, reason = "what is tried has no wrapper, on purpose")]
fn call(number: c_long, arguments: &[c_long]) -> io::Result<c_long> {
    let argument = |place: usize| arguments.get(place).copied().unwrap_or_default();
    // SAFETY: what is passed are numbers, null pointers, and pointers to text that lives; who forks
    // ends the copy at once.
    let outcome = unsafe {
        libc::syscall(
            number,
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
        )
    };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(outcome)
    }
}
