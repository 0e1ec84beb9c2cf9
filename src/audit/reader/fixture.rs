//! For tests: records written by hand.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::audit::line::{About, ContainerIdentity, Ended, Event, Line, RecordedVerdict, Totals};
use crate::audit::{Direction, Kind};

/// The lines of one container, one a second.
#[derive(Debug)]
pub(crate) struct Script {
    id: String,
    seq: u64,
    second: u64,
    text: Vec<u8>,
}

impl Script {
    pub(crate) fn of(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            seq: 0,
            second: 0,
            text: Vec::new(),
        }
    }

    /// The time of the next line.
    pub(crate) fn time(&self) -> String {
        let time =
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + self.second);
        humantime::format_rfc3339_millis(time).to_string()
    }

    /// Lets so many seconds pass.
    pub(crate) fn wait(&mut self, seconds: u64) -> &mut Self {
        self.second += seconds;
        self
    }

    /// Adds a line; gives its number.
    pub(crate) fn line(&mut self, event: Event, fill: impl FnOnce(&mut Line)) -> u64 {
        self.seq += 1;
        let mut line = Line {
            seq: self.seq,
            ..Line::new(event, self.time(), &self.id)
        };
        self.second += 1;
        fill(&mut line);
        serde_json::to_writer(&mut self.text, &line).unwrap();
        self.text.push(b'\n');
        self.seq
    }

    /// Adds bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.text.extend(bytes);
        self
    }

    pub(crate) fn start(&mut self, identity: ContainerIdentity) -> &mut Self {
        let began = self.time();
        self.begin(&began, identity)
    }

    /// The first line of a file of a gateway that began then.
    pub(crate) fn begin(&mut self, began: &str, identity: ContainerIdentity) -> &mut Self {
        let about = About {
            program: "0.1.0".to_owned(),
            began: began.to_owned(),
            policy: "default".to_owned(),
            policy_hash: "00".to_owned(),
            mode: "enforce".to_owned(),
            intercepts: false,
            generation: None,
            identity,
        };
        self.line(Event::Start, |line| line.gateway = Some(Box::new(about)));
        self
    }

    pub(crate) fn open(&mut self, name: &str) -> u64 {
        let flow = self.seq + 1;
        self.line(Event::Open, |line| {
            ask(line, name);
            line.flow = Some(flow);
            line.verdict = Some(RecordedVerdict::Allow);
            line.rule = Some(format!("domain={name}"));
        })
    }

    pub(crate) fn update(&mut self, flow: u64, bytes: u64) -> &mut Self {
        self.line(Event::Update, |line| {
            line.flow = Some(flow);
            count(line, bytes);
        });
        self
    }

    pub(crate) fn end(&mut self, flow: u64, bytes: u64, ended: Ended) -> &mut Self {
        self.line(Event::End, |line| {
            line.flow = Some(flow);
            line.ended = Some(ended);
            count(line, bytes);
        });
        self
    }

    pub(crate) fn deny(&mut self, name: &str) -> &mut Self {
        let flow = self.seq + 1;
        self.line(Event::End, |line| {
            ask(line, name);
            line.flow = Some(flow);
            line.verdict = Some(RecordedVerdict::Deny);
            line.reason = Some("no rule allows it".to_owned());
            line.suggestion = Some(format!("domain={name}"));
            count(line, 0);
        });
        self
    }

    pub(crate) fn stop(&mut self, allowed: u64, denied: u64) -> &mut Self {
        let totals = Totals {
            allowed,
            denied,
            bytes_out: 10,
            bytes_in: 20,
        };
        self.line(Event::Stop, |line| line.totals = Some(totals));
        self
    }

    /// Appends what was added since the last time to a file.
    pub(crate) fn write(&mut self, folder: &Path, name: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(folder.join(name))
            .unwrap();
        file.write_all(&std::mem::take(&mut self.text)).unwrap();
    }
}

/// Somebody of this name.
pub(crate) fn named(name: &str) -> ContainerIdentity {
    ContainerIdentity {
        name: Some(name.to_owned()),
        image: Some("little:1".to_owned()),
        ..ContainerIdentity::default()
    }
}

/// A container of this pod.
pub(crate) fn of_pod(namespace: &str, pod: &str) -> ContainerIdentity {
    ContainerIdentity {
        pod: Some(pod.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ContainerIdentity::default()
    }
}

fn ask(line: &mut Line, name: &str) {
    line.protocol = Some(Kind::Https);
    line.direction = Some(Direction::Out);
    line.source = Some("10.0.0.2:40000".parse().unwrap());
    line.name = Some(name.to_owned());
    line.address = Some("192.0.2.7".parse().unwrap());
    line.port = Some(443);
}

fn count(line: &mut Line, bytes: u64) {
    line.bytes_out = Some(bytes);
    line.bytes_in = Some(bytes * 2);
    line.duration_ms = Some(1000);
}
