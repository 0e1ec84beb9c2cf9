//! How a jailed command begins and ends, and that nothing of it is left.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use test_support::bed::{Bed, enter, unique};
use test_support::command::{wait_for, wait_for_within};

use crate::jail::{CALLERS, Caller, PROGRAM};

pub(crate) const TESTS: &[test_support::harness::Test] = &[
    ("the_exit_status_is_the_commands", codes),
    (
        "it_has_its_callers_streams_directory_and_environment",
        untouched,
    ),
    ("it_has_its_callers_terminal", terminal),
    ("a_signal_to_the_jail_reaches_the_command", signals),
    ("nothing_is_left_when_the_jail_is_killed", |bed| {
        killed(bed, &[Part::Jail])
    }),
    ("nothing_is_left_when_its_init_is_killed", |bed| {
        killed(bed, &[Part::Init])
    }),
    ("nothing_is_left_when_its_reaper_is_killed", |bed| {
        killed(bed, &[Part::Reaper])
    }),
    ("nothing_is_left_when_jail_and_init_are_killed", |bed| {
        killed(bed, &[Part::Jail, Part::Init]);
    }),
    ("nothing_runs_on_when_the_filter_is_killed", |bed| {
        killed(bed, &[Part::Filter])
    }),
    ("what_it_leaves_running_ends_with_it", background),
    ("filter_init_and_reaper_have_no_rights", rights),
    ("how_long_a_start_takes", start),
];

fn codes(bed: &Bed) {
    for caller in CALLERS {
        for (script, code) in [
            ("true", 0),
            ("exit 7", 7),
            ("exit 255", 255),
            ("kill -9 $$", 137),
            ("kill -TERM $$", 143),
            ("kill -INT $$", 130),
            ("nothing-of-this-name", 127),
            ("/etc/passwd", 126),
        ] {
            let jailed = caller.run(bed, &[], script);
            assert_eq!(
                jailed.answer.code, code,
                "{}: {script}: {jailed:?}",
                caller.name
            );
        }
    }
    for (command, code) in [
        ("nothing-of-this-name", 127),
        ("/etc/passwd", 126),
        ("/nowhere/x", 127),
    ] {
        let answer = bed.exec(&[PROGRAM, "jail", "--", command]);
        assert_eq!(answer.code, code, "{answer:?}");
        let said = format!("boundary-shim: can't run {command}: ");
        assert_eq!(answer.stderr.matches(&said).count(), 1, "{answer:?}");
    }
}

fn untouched(bed: &Bed) {
    let command = [
        "sh",
        "-c",
        "cd /usr/share && echo words | MARK=mine boundary-shim jail --jail-type nsjail -- \
         sh -c 'pwd; echo $MARK; cat; echo err >&2; grep SigBlk /proc/self/status; grep SigIgn /proc/self/status' 2>/dev/null",
    ];
    let answer = bed.exec(&command);
    let (found, _) = answer.stdout.split_once("SigBlk").unwrap();
    assert_eq!(found, "/usr/share\nmine\nwords\n", "{answer:?}");
    let unjailed = bed.exec(&[
        "sh",
        "-c",
        "sh -c 'grep SigBlk /proc/self/status; grep SigIgn /proc/self/status'",
    ]);
    assert!(
        answer.stdout.ends_with(&unjailed.stdout),
        "{answer:?} {unjailed:?}"
    );
}

fn terminal(bed: &Bed) {
    let typist = ["python3", "-c", include_str!("programs/pty.py")];
    for caller in CALLERS {
        let log = format!("/tmp/{}.jsonl", unique("terminal"));
        let shell = caller.line(&["--log", &log], "exec bash --norc -i");
        let answer = bed.exec(&[&typist[..], &shell].concat());
        assert_eq!(answer.stdout, "5\n", "{}: {answer:?}", caller.name);
    }
}

fn signals(bed: &Bed) {
    for caller in CALLERS {
        let running = Running::start(
            bed,
            caller,
            "trap 'echo got it; exit 9' TERM; while :; do sleep 0.1; done",
        );
        running.kill(Signal::SIGTERM, &[Part::Jail]);
        let output = running.child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{}: {output:?}", caller.name);
        assert!(String::from_utf8_lossy(&output.stdout).contains("got it"));
    }
}

/// A process of a jail's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Jail,
    Reaper,
    Init,
    Filter,
}

/// A jail whose command has begun, with a child in a session of its own.
struct Running {
    child: Child,
    marks: [String; 2],
    first: String,
}

impl Running {
    fn start(bed: &Bed, caller: Caller, script: &str) -> Self {
        // By which what sleeps is found; no other test sleeps as long.
        let number = unique("").trim_start_matches('-').to_owned();
        let marks = [format!("98{number:0>5}"), format!("97{number:0>5}")];
        let script = format!("sleep {} & setsid sleep {} & {script}", marks[0], marks[1]);
        let first = bed.first().to_string();
        let log = format!("/tmp/{}.jsonl", unique("jail"));
        let options = ["--log", log.as_str()];
        let line = [&enter(&first)[..], &caller.line(&options, &script)].concat();
        let (program, arguments) = line.split_first().unwrap();
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let running = Self {
            child,
            marks,
            first,
        };
        wait_for("the command to run", || running.sleepers().len() == 2);
        running
    }

    /// What sleeps in this jail.
    fn sleepers(&self) -> Vec<i32> {
        let words: Vec<String> = self
            .marks
            .iter()
            .map(|mark| format!("sleep\0{mark}\0"))
            .collect();
        processes(|_, line| words.iter().any(|word| line == word))
    }

    fn pid(&self, part: Part) -> i32 {
        let command = parent(*self.sleepers().first().unwrap());
        let init = parent(command);
        let reaper = parent(init);
        let jail = parent(reaper);
        match part {
            Part::Init => init,
            Part::Reaper => reaper,
            Part::Jail => jail,
            Part::Filter => {
                let filters =
                    processes(|pid, _| comm(pid) == "boundary-filter" && parent(pid) == jail);
                assert_eq!(filters.len(), 1);
                filters[0]
            }
        }
    }

    fn kill(&self, signal: Signal, parts: &[Part]) {
        let pids: Vec<i32> = parts.iter().map(|part| self.pid(*part)).collect();
        for pid in pids {
            // What the first one's end brings about may have ended the next.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).ok();
        }
    }
}

fn killed(bed: &Bed, parts: &[Part]) {
    for caller in CALLERS {
        let mut running = Running::start(bed, caller, "wait");
        let all =
            [Part::Jail, Part::Reaper, Part::Init, Part::Filter].map(|part| running.pid(part));
        let start = Instant::now();
        running.kill(Signal::SIGKILL, parts);
        wait_for_within(Duration::from_secs(1), "nothing to be left", || {
            running.sleepers().is_empty() && !all.iter().any(|pid| is_alive(*pid))
        });
        println!(
            "{} {parts:?}: nothing left after {:?}",
            caller.name,
            start.elapsed()
        );
        let status = running.child.wait().unwrap();
        assert!(!status.success(), "{status}");
        assert!(!running.first.is_empty());
    }
}

fn background(bed: &Bed) {
    for caller in CALLERS {
        let stop = format!("/tmp/{}", unique("stop"));
        let script = format!("while [ ! -e {stop} ]; do sleep 0.1; done; exit 4");
        let mut running = Running::start(bed, caller, &script);
        std::fs::write(bed.inside(&stop), "").unwrap();
        let status = running.child.wait().unwrap();
        assert_eq!(status.code(), Some(4), "{}", caller.name);
        assert_eq!(running.sleepers(), [0; 0]);
    }
}

fn rights(bed: &Bed) {
    for caller in CALLERS {
        let running = Running::start(bed, caller, "wait");
        for part in [Part::Filter, Part::Init, Part::Reaper] {
            let path = format!("/proc/{}/status", running.pid(part));
            let status = std::fs::read_to_string(path).unwrap();
            let field = |name: &str| {
                let line = status.lines().find(|line| line.starts_with(name));
                let words = line.unwrap().split_whitespace().skip(1);
                words.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(field("NoNewPrivs:"), ["1"], "{part:?}: {status}");
            let left = u64::from_str_radix(&field("CapPrm:")[0], 16).unwrap();
            // Whoever ends what runs below it may do that to another user's.
            let kill = 1 << 5;
            if part == Part::Filter {
                assert_eq!(left, 0, "{}: {status}", caller.name);
                assert_eq!(field("Seccomp:"), ["2"], "{}: {status}", caller.name);
                let user = if caller.name.starts_with("root") {
                    "65534"
                } else {
                    "1777"
                };
                assert_eq!(field("Uid:"), [user; 4], "{}: {status}", caller.name);
            } else {
                assert_eq!(left & !kill, 0, "{} {part:?}: {status}", caller.name);
            }
        }
        running.kill(Signal::SIGTERM, &[Part::Jail]);
        running.child.wait_with_output().unwrap();
    }
}

/// Printed, not asserted: the machine may be busy.
fn start(bed: &Bed) {
    let time = |command: &str| {
        let script = format!(
            "import subprocess, time
took = []
for _ in range(40):
    begin = time.perf_counter()
    subprocess.run({command}, check=True, stderr=subprocess.DEVNULL)
    took.append(time.perf_counter() - begin)
print(round(sorted(took)[20] * 1000, 1))"
        );
        bed.exec(&["python3", "-c", &script])
            .must_succeed()
            .stdout
            .trim()
            .to_owned()
    };
    let bare = time("['true']");
    let jailed = time(
        "['boundary-shim', 'jail', '--jail-type', 'nsjail', '--log', '/tmp/start.jsonl', '--', 'true']",
    );
    println!("a start takes {jailed} ms, the bare command {bare} ms (medians of 40)");
}

/// Processes of this machine that are alive, by their command line.
fn processes(is: impl Fn(i32, &str) -> bool) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            line.is_ok_and(|line| is(*pid, &line))
        })
        .collect()
}

fn comm(pid: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim().to_owned()
}

/// The fields of `/proc/PID/stat` behind the name: state, parent, …
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

fn parent(pid: i32) -> i32 {
    stat(pid)
        .and_then(|fields| fields.get(1)?.parse().ok())
        .unwrap()
}

/// Whether it runs: one that has ended and waits to be noticed doesn't.
fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}
