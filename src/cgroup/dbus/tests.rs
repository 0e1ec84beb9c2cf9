//! Messages as another implementation writes and reads them.

use super::*;

/// The file was written by jeepney 0.9, an implementation in Python.
#[test]
fn the_call_is_what_another_implementation_writes() {
    let properties = [
        ("Slice", PropertyValue::Text("a.slice")),
        ("PIDs", PropertyValue::Process(7)),
        ("DefaultDependencies", PropertyValue::Flag(false)),
        ("MemoryMax", PropertyValue::Number(64 << 20)),
    ];
    let written = include_bytes!("../../../testdata/start-transient-unit.dbus");
    assert_eq!(start_transient_unit("x.scope", &properties), written);
}

/// A message of one signal, little-endian.
fn signal(member: &str, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut written = Writer::default();
    body(&mut written);
    let fields = |message: &mut Writer| {
        message.field(1, "o", "/org/freedesktop/systemd1");
        message.field(3, "s", member);
    };
    message([SIGNAL, 1], 7, fields, "uoss", written)
}

fn job_removed() -> Vec<u8> {
    signal("JobRemoved", |body| {
        body.number(42);
        body.text("/org/freedesktop/systemd1/job/42");
        body.text("x.scope");
        body.text("done");
    })
}

#[test]
fn a_jobs_end_is_heard_among_other_signals() {
    let mut said = signal("UnitNew", |body| body.text("y.scope"));
    said.extend(job_removed());
    let mut said = said.as_slice();
    assert_eq!(hear(&mut said).unwrap(), SystemdMessage::Other);
    assert_eq!(
        hear(&mut said).unwrap(),
        SystemdMessage::JobRemoved("x.scope".to_owned(), "done".to_owned())
    );
    assert!(hear(&mut said).is_err());
}

#[test]
fn a_message_that_is_cut_or_changed_is_an_error_or_another_and_never_a_panic() {
    let whole = job_removed();
    for length in 0..whole.len() {
        assert!(hear(&mut &whole[..length]).is_err(), "{length}");
    }
    for at in 0..whole.len() {
        for value in [0, 1, 7, 0x7f, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            let _ = hear(&mut changed.as_slice());
        }
    }
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_anything_is_kept() {
    let mut head = job_removed();
    head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        hear(&mut head.as_slice()).unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
}

#[test]
fn who_is_not_believed_says_nothing_more() {
    struct Peer(&'static [u8], Vec<u8>);
    impl Read for Peer {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.read(into)
        }
    }
    impl Write for Peer {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            self.1.write(from)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut peer = Peer(b"REJECTED EXTERNAL\r\n", Vec::new());
    assert!(authenticate(&mut peer, 0).is_err());
    assert_eq!(peer.1, b"\0AUTH EXTERNAL 30\r\n");
    let mut peer = Peer(b"OK 0123456789abcdef\r\n", Vec::new());
    authenticate(&mut peer, 1000).unwrap();
    assert_eq!(peer.1, b"\0AUTH EXTERNAL 31303030\r\nBEGIN\r\n");
}
