//! The second process: it loads filters, tries calls, tells the answers, and waits to be looked at.

#![expect(unsafe_code, reason = "filters are loaded and calls are made raw")]
#![expect(clippy::print_stdout, reason = "answers are told on standard output")]

use std::io::Read;

use boundary_shim::seccomp::arch;
use boundary_shim::seccomp::filter::Filter;
use boundary_shim::seccomp::proof::compile::compile;
use serde_json::{Value, json};

/// What it is called with, before the filters as a JSON list.
pub(crate) const WORD: &str = "under-filter";

/// The calls that are tried, with their first two arguments. None does anything where it is let
/// through: `unshare` of flags that don't exist, or of nothing; `setns` of no descriptor; `clone3`
/// without a structure.
pub(crate) const CALLS: [(&str, [u64; 2]); 8] = [
    ("unshare", [0, 0]),
    ("unshare", [0x2_0001, 0]),
    ("unshare", [0x1002_0001, 0]),
    ("unshare", [0x402_0001, 0]),
    ("unshare", [0x1_0000_0000, 0]),
    ("clone3", [0, 0]),
    ("setns", [0, 0x4000_0000]),
    ("setns", [0x2e02_0000, 0x4000_0000]),
];

/// Everything that it does.
pub(crate) fn run(filters: &str) {
    let filters: Vec<Value> = serde_json::from_str(filters).unwrap();
    for filter in &filters {
        load(filter);
    }
    println!(
        "{}",
        json!(CALLS.map(|(name, arguments)| attempt(name, arguments)))
    );
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn load(filter: &Value) {
    let program = compile(&Filter::read(filter).unwrap()).unwrap();
    let as_kernel = |i: &boundary_shim::seccomp::proof::cbpf::Instruction| libc::sock_filter {
        code: i.code,
        jt: i.when_true,
        jf: i.when_false,
        k: i.constant,
    };
    let mut instructions: Vec<_> = program.instructions.iter().map(as_kernel).collect();
    let length = u16::try_from(instructions.len()).unwrap();
    let program = libc::sock_fprog {
        len: length,
        filter: instructions.as_mut_ptr(),
    };
    // SAFETY: `program` points to as many instructions as it says, and both live until the call is
    // over.
    let loaded = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    assert_eq!(loaded, 0, "{}", std::io::Error::last_os_error());
}

/// The error number that a call is answered with, or 0.
fn attempt(name: &str, [first, second]: [u64; 2]) -> i32 {
    let number = arch::own().unwrap().number(name).unwrap();
    // SAFETY: the calls of `CALLS` take numbers, or null, and do nothing.
    let answer = unsafe { libc::syscall(number.into(), first, second, 0_u64, 0_u64, 0_u64, 0_u64) };
    if answer == -1 {
        std::io::Error::last_os_error().raw_os_error().unwrap()
    } else {
        0
    }
}
