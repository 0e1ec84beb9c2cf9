//! `logs --summary`: attempts added up by where they went.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::period::Wanted;
use super::words::size;
use super::zone::Zone;
use crate::audit::reader::{Destination, LineStream, RecordFiles, Row, Tally, Told};
use crate::cli::columns;

/// Shows the sums of these containers' attempts.
pub(super) fn show(
    containers: &[RecordFiles],
    wanted: Wanted,
    zone: Zone,
    out: &mut impl Write,
) -> io::Result<()> {
    let (mut tally, mut unread) = (Tally::default(), 0_u64);
    for recorded in containers {
        LineStream::open(recorded)?.tell_all(|told| match told {
            Told::Attempt(attempt) if wanted.has(&attempt) => tally.add(attempt),
            Told::Attempt(_) | Told::Event(_) => {}
            Told::Other(_) => unread += 1,
        })?;
    }
    write(tally, zone, out)?;
    if unread > 0 {
        writeln!(
            out,
            "{unread} lines could not be read (written by an older version, or incomplete) and are not counted here."
        )?;
    }
    out.flush()
}

fn write(tally: Tally, zone: Zone, out: &mut impl Write) -> io::Result<()> {
    let names = [
        "PROTOCOL",
        "DESTINATION",
        "ALLOWED",
        "DENIED",
        "OUT",
        "IN",
        "FIRST",
        "LAST",
        "WOULD BE ALLOWED BY",
    ];
    let mut rows = vec![names.map(str::to_owned).to_vec()];
    let (others, total) = (tally.others.clone(), tally.total.clone());
    for (target, row) in tally.rows() {
        let protocol = format!(
            "{}{}",
            target.protocol.unwrap_or("-"),
            if target.inward { " inbound" } else { "" }
        );
        let suggestion = row.suggestion.clone().unwrap_or_default();
        rows.push(cells(protocol, place(&target), &row, suggestion, zone));
    }
    for (name, row) in [("others", others), ("total", total)] {
        if row.count() > 0 || name == "total" {
            rows.push(cells(
                name.to_owned(),
                String::new(),
                &row,
                String::new(),
                zone,
            ));
        }
    }
    columns::write(&rows, &[2, 3, 4, 5], out)
}

fn cells(
    protocol: String,
    place: String,
    row: &Row,
    suggestion: String,
    zone: Zone,
) -> Vec<String> {
    let (allowed, denied) = (row.allowed.to_string(), row.denied.to_string());
    let (first, last) = (zone.short(&row.first), zone.short(&row.last));
    vec![
        protocol,
        place,
        allowed,
        denied,
        size(row.bytes_out),
        size(row.bytes_in),
        first,
        last,
        suggestion,
    ]
}

fn place(target: &Destination) -> String {
    match (&target.name, target.address) {
        (Some(name), _) => format!("{name}:{}", target.port),
        (None, Some(address)) => SocketAddr::new(address, target.port).to_string(),
        (None, None) => "-".to_owned(),
    }
}
