//! What `boundary-shim doctor` says of the types of jail, held against what then happens in the same
//! place.

use serde_json::Value;

use crate::command::Answer;
use crate::jail_rows::Row;

/// A shell's command that asks it.
pub const SCRIPT: &str = "boundary-shim doctor --json";

/// The types that it is asked about.
pub const TYPES: [&str; 3] = ["nsjail", "notify", "landjail"];

/// What it said.
#[derive(Debug)]
pub struct Said(Value);

impl Said {
    /// Reads the answer to [`SCRIPT`].
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        let said: Value = serde_json::from_str(&answer.stdout)
            .unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        assert_eq!(
            said["healthy"].as_bool(),
            Some(answer.code == 0),
            "{answer:?}"
        );
        Self(said)
    }

    /// The kind of container that it takes itself to be in.
    pub fn container(&self) -> Option<&str> {
        self.0["container"].as_str()
    }

    /// Whether it finds no fault.
    pub fn is_healthy(&self) -> bool {
        self.0["healthy"] == true
    }

    /// Whether it has a way that works.
    pub fn has_a_way(&self) -> bool {
        let ways = self.0["ways"].as_array().expect("ways");
        ways.iter().any(|way| way["works"] == true)
    }

    /// Panics unless this is what came of a row's script for a type: in the very words of the jail,
    /// where it refused.
    #[track_caller]
    pub fn must_agree(&self, row: &Row, jail_type: &str, answer: &Answer, what: &str) {
        let way = self.way(row, jail_type);
        if answer.stdout == "200 403" {
            assert_eq!(way["works"], true, "{what}: {way}");
            return;
        }
        assert_eq!(way["works"], false, "{what}: {way}: {answer:?}");
        let why = way["why"].as_str().expect("why");
        let last = answer.stderr.lines().next_back();
        assert_eq!(last, Some(&*format!("boundary-shim: {why}")), "{what}");
    }

    /// The first of what it would have `docker run` be told, for a row's type that doesn't work.
    fn docker_line(&self, row: &Row, jail_type: &str) -> Option<String> {
        let fixes = self.way(row, jail_type)["fixes"].as_array()?.clone();
        let mut lines = fixes.iter().filter(|fix| fix["for"] == "docker");
        Some(lines.next()?["line"].as_str()?.to_owned())
    }

    /// Follows what it says for `docker run`, line by line, as one that helps shows the next, until a row
    /// that refuses `nsjail` has one that works. Gives the lines. `flags`: the row's; `profile`: where a
    /// profile of gen-seccomp is; `run`: runs a script in a container with these flags.
    #[track_caller]
    pub fn followed(
        row: &Row,
        mut flags: Vec<String>,
        profile: &str,
        run: impl Fn(&[String], &str) -> Answer,
    ) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        loop {
            let answer = run(&flags, &row.script("nsjail"));
            if answer.stdout == "200 403" {
                return said;
            }
            let doctor = Self::of(&run(&flags, SCRIPT));
            let what = format!("{}, after {said:?}", row.place);
            doctor.must_agree(row, "nsjail", &answer, &what);
            let line = doctor
                .docker_line(row, "nsjail")
                .unwrap_or_else(|| panic!("{what}: no line: {answer:?}"));
            assert!(!said.contains(&line), "{what}: no help: {answer:?}");
            let words = line.split(' ');
            flags.extend(words.map(|word| word.replace("boundary.json", profile)));
            said.push(line);
        }
    }

    fn way(&self, row: &Row, jail_type: &str) -> &Value {
        let alone = row.options == ["--no-user-namespace"];
        let name = match jail_type {
            "nsjail" if alone => "nsjail-no-user-namespace",
            other => other,
        };
        let ways = self.0["ways"].as_array().expect("ways");
        let mut named = ways.iter().filter(|way| way["name"] == name);
        named
            .next()
            .unwrap_or_else(|| panic!("no way {name}: {}", self.0))
    }
}
