//! What the kernel makes of our programs: it takes them, runs them as the evaluator says, and gives
//! them back as they were.
//!
//! Needs root without a filter of its own, on a kernel with CONFIG_CHECKPOINT_RESTORE.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start themselves a second time"
)]
#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use boundary_shim::seccomp::arch;
use boundary_shim::seccomp::filter::{Action, Filter};
use boundary_shim::seccomp::proof::cbpf::{Call, Instruction, Program, verdict};
use boundary_shim::seccomp::proof::compile::compile;
use libtest_mimic::{Arguments, Failed};
use serde_json::{Value, json};
use test_support::cbpf::evaluate;
use test_support::loaded_filter::loaded_filters;
use test_support::needs::Needs;

mod under_filter;

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(under_filter::WORD) {
        return under_filter::run(&words.next().unwrap());
    }
    let arguments = Arguments::from_args();
    let root = Needs::new("root without a seccomp filter", able());
    let trials = vec![
        root.trial("a_loaded_filter_is_read_back_as_it_was_compiled", read_back),
        root.trial(
            "filters_are_read_back_from_the_first_that_was_loaded",
            in_order,
        ),
        root.trial("a_process_without_a_filter_has_none", none),
        root.trial(
            "the_kernel_says_of_calls_what_the_evaluator_says",
            as_evaluated,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Root, in fact: with all capabilities, and no filter.
fn able() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let value = |key: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap()
            .trim()
            .to_owned()
    };
    let capabilities = u64::from_str_radix(&value("CapEff:"), 16).unwrap();
    let sys_admin = 1 << 21;
    capabilities & sys_admin != 0 && value("Seccomp:") == "0"
}

/// This program once more, under these filters, one after the other.
struct UnderFilter {
    child: Child,
    /// The error numbers that the calls to try were answered with; 0 where they were made.
    answers: Vec<i32>,
}

impl UnderFilter {
    fn start(filters: &[&Value]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([under_filter::WORD, &json!(filters).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let answers = serde_json::from_str(&line).expect("it tells its answers");
        Self { child, answers }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }
}

impl Drop for UnderFilter {
    fn drop(&mut self) {
        // It waits for the end of its standard input.
        drop(self.child.stdin.take());
        let ended = self.child.wait().unwrap();
        assert!(
            ended.success() || std::thread::panicking(),
            "it went on badly after it was read: {ended}"
        );
    }
}

/// What a container has to do with a jail of its own: `clone` for some flags only, `clone3` as if
/// it weren't there.
fn filter(forbidden: u64) -> Value {
    let condition = json!({"index": 0, "value": forbidden, "op": "SCMP_CMP_MASKED_EQ"});
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77, "args": [
                {"index": 0, "value": forbidden, "valueTwo": 0x2_0000, "op": "SCMP_CMP_MASKED_EQ"},
            ]},
            {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 78, "args": [
                {"index": 0, "value": 0x1_0000_0000_u64, "op": "SCMP_CMP_GE"},
            ]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["setns"], "action": "SCMP_ACT_ERRNO", "args": [condition]},
        ],
    })
}

fn program(filter: &Value) -> Program {
    compile(&Filter::read(filter).unwrap()).unwrap()
}

/// The filters that the kernel runs for a process.
fn loaded(process: &UnderFilter) -> io::Result<Vec<Vec<Instruction>>> {
    let instruction = |read: libc::sock_filter| Instruction {
        code: read.code,
        when_true: read.jt,
        when_false: read.jf,
        constant: read.k,
    };
    let filters = loaded_filters(process.pid())?.into_iter();
    Ok(filters
        .map(|filter| filter.into_iter().map(instruction).collect())
        .collect())
}

fn read_back() -> Result<(), Failed> {
    let filter = filter(0x2e02_0000);
    let process = UnderFilter::start(&[&filter]);
    assert_eq!(loaded(&process)?, [program(&filter).instructions]);
    Ok(())
}

fn in_order() -> Result<(), Failed> {
    let (first, second) = (filter(0x2e02_0000), filter(0x7e02_0000));
    let process = UnderFilter::start(&[&first, &second]);
    assert_eq!(
        loaded(&process)?,
        [program(&first).instructions, program(&second).instructions]
    );
    Ok(())
}

fn none() -> Result<(), Failed> {
    assert_eq!(loaded(&UnderFilter::start(&[]))?, [[]; 0]);
    Ok(())
}

fn as_evaluated() -> Result<(), Failed> {
    let filter = filter(0x2e02_0000);
    let process = UnderFilter::start(&[&filter]);
    let program = loaded_filters(process.pid())?.remove(0);
    let own = arch::own().unwrap();
    let mut kinds = Vec::new();
    for ((name, arguments), answer) in under_filter::CALLS.into_iter().zip(&process.answers) {
        let [a, b] = arguments;
        let number = own.number(name).unwrap();
        let call = Call {
            number,
            architecture: own.word,
            arguments: [a, b, 0, 0, 0, 0],
            ..Call::default()
        };
        let verdict = verdict(evaluate(&program, &call.words(false)).unwrap());
        kinds.push(verdict);
        match verdict {
            Action::Errno(number) => {
                assert_eq!(*answer, i32::from(number), "{name} {arguments:x?}")
            }
            // The kernel's own answers to these are others than the filter's.
            _ => assert!(
                ![1, 38, 77, 78].contains(answer),
                "{name} {arguments:x?} gave {answer}"
            ),
        }
    }
    assert_eq!(process.answers.len(), kinds.len());
    for verdict in [1, 38, 77, 78]
        .map(Action::Errno)
        .into_iter()
        .chain([Action::Allow])
    {
        assert!(
            kinds.contains(&verdict),
            "nothing was tried that gives {verdict:?}"
        );
    }
    Ok(())
}
