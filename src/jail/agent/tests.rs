//! What reaches the agent, in which batches, and who is not taken for it.

use std::io::Read;
use std::os::unix::net::UnixListener;

use super::*;

fn agent(path: &Path) -> (Agent, Channel) {
    let (logs, filters) = Channel::pair().unwrap();
    let link = Link {
        path: path.to_owned(),
        session: "s".to_owned(),
        process: "p".to_owned(),
        stream: None,
    };
    (Agent::new(logs, link), filters)
}

fn tell(filters: &Channel, lost: u64, log: &[u8]) {
    let message = [&lost.to_be_bytes(), log].concat();
    filters.send_now(&message).unwrap();
}

#[test]
fn a_session_is_a_uuid() {
    let session = session().unwrap();
    let parts: Vec<usize> = session.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{session}");
    assert_eq!(session.as_bytes()[14], b'4', "{session}");
    assert!(b"89ab".contains(&session.as_bytes()[19]), "{session}");
}

#[test]
fn a_command_is_called_by_its_program() {
    assert_eq!(process("/usr/bin/claude"), "claude");
    assert_eq!(process("npm"), "npm");
    assert!(process(&"x".repeat(1000)).len() <= LONGEST_PROCESS);
}

#[test]
fn who_is_below_this_process_or_gone_is_not_the_agent() {
    assert!(is_outside(1) && is_outside(0));
    assert!(!is_outside(std::process::id().cast_signed()));
    assert!(!is_outside(i32::MAX));
}

#[test]
fn a_listener_of_this_process_is_told_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (mut agent, filters) = agent(&path);
    tell(&filters, 0, b"x");
    assert!(agent.take() && !agent.send());
    let mut heard = Vec::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_end(&mut heard)
        .unwrap();
    assert!(heard.is_empty());
}

#[test]
fn ten_are_sent_at_once_and_then_how_many_were_lost() {
    let (mut agent, filters) = agent(Path::new("/nonexistent/s"));
    let (ours, mut theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
    agent.link.stream = Some(ours);
    for _ in 0..=BATCH {
        tell(&filters, 300, b"x");
    }
    drop(filters);
    assert_eq!(agent.tell(), 0);
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).unwrap();
    let batch = |many: usize| boundary_log::report(&vec![b"x".to_vec(); many], "s", "p");
    let expected = [batch(BATCH), boundary_log::status(300), batch(1)];
    assert_eq!(heard, expected.concat());
}

#[test]
fn while_a_batch_cant_be_sent_no_more_is_taken_and_all_of_it_counts_as_untold() {
    let (mut agent, filters) = agent(Path::new("/nonexistent/s"));
    for _ in 0..BATCH + 3 {
        tell(&filters, 2, b"x");
    }
    while !agent.is_full() {
        assert!(agent.take());
    }
    assert!(!agent.send() && agent.due.is_some());
    drop(filters);
    assert_eq!(agent.end(), BATCH as u64 + 3 + 2);
}

#[test]
fn long_logs_make_short_batches_that_the_agent_takes() {
    let (mut agent, filters) = agent(Path::new("/nonexistent/s"));
    let longest = vec![b'x'; LONGEST_LOG];
    tell(&filters, 0, &vec![b'x'; LONGEST_LOG + 1]);
    for _ in 0..BATCH {
        tell(&filters, 0, &longest);
    }
    while !agent.is_full() {
        assert!(agent.take());
    }
    assert!(agent.batch.len() < BATCH);
    assert!(agent.link.report(&agent.batch).len() <= LONGEST);
}
