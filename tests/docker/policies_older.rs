//! A gateway of before policies could be changed, under a program that can: it goes on, `status` says
//! so, and each command says what it can't do.
//!
//! An older gateway's keeper is played, by the very words of one. With `BOUNDARY_TEST_OLDER=PROGRAM` an
//! older program makes the gateway, and its words are compared with those that are played.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use test_support::bed::{Bed, lines};
use test_support::docker::Container;
use test_support::harness::Test;

use crate::open_flows::apply;
use crate::status;

pub(crate) const TESTS: &[Test] = &[(
    "an_older_gateway_is_said_to_be_one_and_keeps_its_policy",
    older,
)];

/// What a keeper of the last version before policies could be changed was asked, and what it said.
const SAID: [(&str, &str); 2] = [
    (
        r#""generation""#,
        r#"{"v":1,"answer":{"not-understood":"unknown variant `generation`, expected one of `settle`, `status`, `notice`"}}"#,
    ),
    (
        r#""status""#,
        r#"{"v":1,"answer":{"status":{"tally":{"totals":{"allowed":0,"denied":0,"bytes_out":0,"bytes_in":0},"open":0,"last_denial":null,"healthy":true},"held":1048576}}}"#,
    ),
];

fn older(bed: &Bed) {
    let container = match std::env::var_os("BOUNDARY_TEST_OLDER") {
        Some(program) => made_by(bed, Path::new(&program)),
        None => bed.start_with("boundary-live", &[], &["sleep", "600"]),
    };
    let state = bed.state_of(&container.id())["plan"]["state"].clone();
    // By a path that is short enough for a socket's.
    let by_short_path = bed.path("older");
    symlink(bed.inside(state.as_str().unwrap()), &by_short_path).unwrap();
    let socket = by_short_path.join("control");
    match std::env::var_os("BOUNDARY_TEST_OLDER") {
        Some(_) => compare(&socket),
        None => play(&socket),
    }
    let shown = status::of(bed, &container);
    assert_eq!(
        (&shown["state"], &shown["older"]),
        (&"ok".into(), &true.into()),
        "{shown}"
    );
    let table = bed.exec(&["boundary-shim", "status"]).stdout;
    let line = table.lines().find(|line| line.contains(&container.name));
    assert!(
        line.is_some_and(|line| line.contains(" ok (older) ")),
        "{table}"
    );
    let said = apply(bed, &["domain=denied.test"], &container.name);
    assert_eq!(said.code, 1, "{said:?}");
    let why = "this gateway is of an older version and can't change its policy while it runs";
    assert!(said.stderr.contains(why), "{said:?}");
    // What its policy says already isn't asked for.
    for verb in ["reload", "reset"] {
        let said = bed.exec(&["boundary-shim", "policy", verb, &container.name]);
        said.must_succeed();
    }
    let shown = bed.exec(&["boundary-shim", "policy", "show", &container.name]);
    assert!(
        shown.must_succeed().stdout.contains("domain=allowed.test"),
        "{shown:?}"
    );
    let ask = |host: &str| {
        container
            .exec(&format!("curl -4 -sf -m 5 -o /dev/null http://{host}/"))
            .code
    };
    assert_eq!(ask("allowed.test"), 0);
    assert_ne!(ask("denied.test"), 0);
    assert!(!lines(bed, &container.id()).is_empty());
    // One of this version beside it is none.
    let new = bed.start_with("boundary-live", &[], &["sleep", "600"]);
    assert_eq!(status::of(bed, &new)["older"], false);
}

/// A container that an older program made; from then on there is the new one.
fn made_by<'bed>(bed: &'bed Bed, older: &Path) -> Container<'bed> {
    let program = bed.path("older-program");
    fs::copy(older, &program).unwrap();
    let folder = "cd /usr/local/bin && mv boundary-shim kept";
    let put = format!("{folder} && mv {} boundary-shim", program.display());
    bed.exec(&["sh", "-c", &put]).must_succeed();
    let container = bed.start_with("boundary-live", &[], &["sleep", "600"]);
    let back = "mv /usr/local/bin/kept /usr/local/bin/boundary-shim";
    bed.exec(&["sh", "-c", back]).must_succeed();
    container
}

/// Whether the older gateway says what is played where there is none.
fn compare(socket: &Path) {
    for (word, answer) in SAID {
        let mut keeper = UnixStream::connect(socket).unwrap();
        keeper
            .write_all(&frame(&format!(r#"{{"v":1,"request":{word}}}"#)))
            .unwrap();
        let mut said = Vec::new();
        keeper.read_to_end(&mut said).unwrap();
        let said = String::from_utf8(said.split_off(4)).unwrap();
        assert_eq!(without_numbers(&said), without_numbers(answer));
    }
}

fn without_numbers(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect()
}

/// Stands in a keeper's place, until the container's state is gone.
fn play(socket: &Path) {
    fs::remove_file(socket).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut caller, _)) = listener.accept() {
            let mut head = [0; 4];
            caller.read_exact(&mut head).unwrap();
            let mut asked = vec![0; u32::from_be_bytes(head) as usize];
            caller.read_exact(&mut asked).unwrap();
            let asked = String::from_utf8(asked).unwrap();
            let known = SAID.iter().find(|(word, _)| asked.contains(word));
            let (_, answer) = known.unwrap_or_else(|| panic!("{asked}"));
            caller.write_all(&frame(answer)).unwrap();
        }
    });
}

fn frame(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}
