//! The record of a command that can write to it.

use test_support::bed::{Bed, unique};

use crate::jail::CALLERS;

pub(crate) const TESTS: &[test_support::harness::Test] =
    &[("whether_its_file_was_or_could_be_changed_is_said", doubtful)];

fn doubtful(bed: &Bed) {
    for caller in CALLERS {
        let end = |script: &str, options: &[&str]| {
            let log = format!("/tmp/{}.jsonl", unique("doubtful"));
            let options = [options, &["--log", &log]].concat();
            let answer = bed.exec(&caller.line(&options, &script.replace("LOG", &log)));
            assert_eq!(answer.code, 0, "{}: {answer:?}", caller.name);
            answer.stderr.replace(&log, "LOG")
        };
        let said = end("true", &["--summary"]);
        let possible = "info: the command's user can write to the record LOG\n";
        assert!(said.ends_with(possible), "{}: {said}", caller.name);
        assert_eq!(end("true", &[]), "", "{}", caller.name);
        for (script, what) in [
            (": >LOG", "changed"),
            ("sed -i s/jail/other/ LOG", "moved or removed"),
            ("rm LOG", "moved or removed"),
            ("mv LOG LOG.old", "moved or removed"),
        ] {
            let said = end(script, &[]);
            let expected = format!("warning: the record LOG was {what} while the command ran\n");
            assert!(
                said.ends_with(&expected),
                "{}: {script}: {said}",
                caller.name
            );
        }
    }
}
