//! However many attempts: a bounded number of lines, and none that is neither written nor counted.

use proptest::prelude::*;

use super::*;
use crate::audit::line::Event;

fn record(protocol: Kind, port: u16) -> Line {
    Line {
        protocol: Some(protocol),
        direction: Some(Direction::Out),
        port: Some(port),
        verdict: Some(RecordedVerdict::Deny),
        ..Line::new(Event::End, "2024-05-01T12:00:00.000Z".to_owned(), "c")
    }
}

fn ended(minute: &mut Minute) -> Vec<Line> {
    let mut lines = Vec::new();
    minute.end(|line| {
        lines.push(line);
        true
    });
    lines
}

#[test]
fn the_first_hundred_are_written_and_one_line_counts_the_rest() {
    let mut minute = Minute::default();
    let written = (0..1000)
        .filter(|_| minute.admit(record(Kind::Udp, 9999)).is_some())
        .count();
    assert_eq!(written, 100);
    let lines = ended(&mut minute);
    assert_eq!(
        lines
            .iter()
            .map(|line| (line.port, line.count))
            .collect::<Vec<_>>(),
        [(Some(9999), Some(900))]
    );
    // The next minute begins anew, and says nothing where there is nothing to say.
    assert!(minute.admit(record(Kind::Udp, 9999)).is_some());
    assert_eq!(ended(&mut minute).len(), 0);
}

#[test]
fn a_flood_of_one_kind_takes_no_line_from_another() {
    let mut minute = Minute::default();
    for port in 0..=u16::MAX {
        minute.admit(record(Kind::Udp, port));
    }
    for other in [
        record(Kind::Tcp, 22),
        record(Kind::Icmp, 0),
        Line {
            direction: Some(Direction::In),
            ..record(Kind::Udp, 7)
        },
    ] {
        assert!(minute.admit(other).is_some());
    }
}

#[test]
fn what_was_allowed_out_always_has_its_line() {
    let mut minute = Minute::default();
    let allowed = || Line {
        verdict: Some(RecordedVerdict::Allow),
        ..record(Kind::Https, 443)
    };
    assert!((0..1000).all(|_| minute.admit(allowed()).is_some()));
    let inbound = || Line {
        direction: Some(Direction::In),
        ..allowed()
    };
    assert_eq!(
        (0..1000)
            .filter(|_| minute.admit(inbound()).is_some())
            .count(),
        100
    );
}

#[test]
fn a_count_that_could_not_be_written_is_kept() {
    let mut minute = Minute::default();
    (0..150).for_each(|_| drop(minute.admit(record(Kind::Tcp, 22))));
    minute.end(|_| false);
    minute.admit(record(Kind::Tcp, 22));
    assert_eq!(ended(&mut minute)[0].count, Some(51));
}

proptest! {
    #[test]
    fn each_is_written_or_counted_and_the_lines_are_bounded(
        attempts in proptest::collection::vec((0_usize..5, 0_u16..40), 0..20_000),
    ) {
        let mut minute = Minute::default();
        let kinds = [Kind::Tcp, Kind::Udp, Kind::Icmp, Kind::Http, Kind::Dns];
        let mut written = 0;
        for (kind, port) in &attempts {
            written += u64::from(minute.admit(record(kinds[*kind], *port)).is_some());
        }
        let lines = ended(&mut minute);
        let counted: u64 = lines.iter().filter_map(|line| line.count).sum();
        prop_assert_eq!(written + counted, attempts.len() as u64);
        prop_assert!(written <= (16 + 5) * LINES && lines.len() <= 16 + 5);
    }
}
