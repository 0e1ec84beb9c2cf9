//! What an agent does all day, in each type of jail: it clones, installs, serves, talks to its agent, and is
//! looked at from outside.

use std::fs;

use test_support::bed::{Bed, unique};
use test_support::command::wait_for_within;

use crate::jail::{Caller, LANDJAILED_USER, Outside, SUPERVISED_USER, USER};
use crate::world::{self, NAMED, PROGRAMS, RULES, World};

pub(crate) const TESTS: &[test_support::harness::Test] = &[
    ("goes_by_in_nsjail", |bed| day(bed, USER, 7831)),
    ("goes_by_in_notify", |bed| day(bed, SUPERVISED_USER, 7832)),
    ("goes_by_in_landjail", |bed| day(bed, LANDJAILED_USER, 7833)),
];

/// What `day.sh` says, where its agent outside may be asked.
const SAID: &str = "1
from npm
from pip
over a WebSocket
from its own server
over the agent outside
over its own agent
over
";

/// An agent of the user's outside, with the key that the servers know. It ends with its input.
fn ssh_agent(bed: &Bed, at: &str) -> Outside {
    let script = "import os, subprocess, sys
at, key = sys.argv[1:]
agent = subprocess.Popen(['ssh-agent', '-D', '-a', at], stdout=subprocess.DEVNULL, user=1777, group=1777, extra_groups=[])
while subprocess.run(['ssh-add', '-q', key], env=dict(os.environ, SSH_AUTH_SOCK=at), user=1777, group=1777, extra_groups=[],
                     stderr=subprocess.DEVNULL).returncode:
    assert agent.poll() is None
print('ready', flush=True)
sys.stdin.read()
agent.terminate()";
    let key = format!("{PROGRAMS}/key");
    Outside::serve(bed, &["-c", script, at, &key])
}

fn day(bed: &Bed, caller: Caller, port: u16) {
    let _world = World::shared(bed);
    let (own, name) = (world::empty_folder(bed), unique("day"));
    let at = format!("{own}/agent");
    let _agent = ssh_agent(bed, &at);
    let ports = format!("{port}:3000");
    // In nsjail it is open as it is.
    let allow: &[&str] = if caller.supervised {
        &["--allow-socket", &at]
    } else {
        &[]
    };
    let options = [&RULES[..], &["--summary", "--publish", &ports], allow].concat();
    let script =
        format!("SSH_AUTH_SOCK={at} exec bash {PROGRAMS}/day.sh {NAMED} {PROGRAMS} {own} {name}");
    let jailed = std::thread::scope(|scope| {
        let jail = scope.spawn(|| caller.run(bed, &options, &script));
        let ask = format!("curl -sS -m 5 http://127.0.0.1:{port}/");
        wait_for_within(
            std::time::Duration::from_secs(50),
            "its server, from outside",
            || {
                let is_over = jail.is_finished();
                is_over || caller.run_unjailed(bed, &ask).stdout == "from its own server\n"
            },
        );
        fs::write(bed.inside(&format!("{own}/stop")), "").unwrap();
        jail.join().unwrap()
    });
    let own_agent = if caller.supervised {
        "no agent of its own"
    } else {
        "over its own agent"
    };
    let expected = SAID.replace("over its own agent", own_agent);
    assert_eq!(
        jailed.answer.stdout, expected,
        "{}: {:?}",
        caller.name, jailed.answer
    );
    assert_eq!(jailed.answer.code, 0, "{jailed:?}");
    let summary = &jailed.answer.stderr;
    assert!(
        summary.contains(" attempts allowed, 0 denied, "),
        "{jailed:?}"
    );
    let pushed = format!("git --git-dir {PROGRAMS}/servers/git/small.git show {name}:mine");
    let pushed = bed.exec(&["sh", "-c", &pushed]);
    assert_eq!(pushed.stdout, format!("by {name}\n"), "{pushed:?}");
    if caller.supervised {
        unnamed(bed, caller, &at);
    }
}

/// The agent outside is not there where nobody names it.
fn unnamed(bed: &Bed, caller: Caller, at: &str) {
    let list = format!("SSH_AUTH_SOCK={at} ssh-add -l");
    let unjailed = caller.run_unjailed(bed, &list);
    assert!(unjailed.stdout.contains("(ED25519)"), "{unjailed:?}");
    let jailed = caller.run(bed, &[], &list);
    assert!(
        jailed.answer.stderr.contains("Permission denied"),
        "{jailed:?}"
    );
}
