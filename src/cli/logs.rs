//! `boundary-shim logs`: shows a container's audit records.
//!
//! Owns finding the file, following it across rotation, and the form for people. Knows nothing of how records are made.
//! Not to be forgotten: a file is only ever chosen from the directory's own listing, never made from what the user typed;
//! and lines are cleaned again before a terminal sees them, for anything may have been put into a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::audit::{Kind, Notice, Record, clean, set_aside};
use crate::policy::text::all_of;
use crate::settings;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);
/// The longest line shown, in bytes; records are under 16 KiB.
const MAX_LINE: usize = 64 << 10;
/// Candidates listed where an abbreviation means several containers.
const MAX_LISTED: usize = 10;

/// What `logs` is told.
#[derive(Debug, clap::Args)]
pub struct LogsArguments {
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// Show the records as they stand in the file, one JSON object a line
    #[arg(long)]
    json: bool,
    /// The container's id, or its beginning
    id: String,
}

/// Shows the records of one container.
///
/// # Errors
/// A broken configuration, no such container, an ambiguous id (with the candidates), a file that cannot be read. Where the
/// reader of standard output is gone (`| head`), that very error, bare: the caller takes it for success.
pub fn run(arguments: &LogsArguments) -> Result<()> {
    let path = find(&audit_directory()?, &arguments.id)?;
    match show(arguments, &path, &mut io::stdout().lock()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(error.into()),
        outcome => outcome.with_context(|| format!("cannot show {}", path.display())),
    }
}

fn audit_directory() -> Result<PathBuf> {
    settings::load(None).map(|settings| settings.audit_directory).map_err(|mistakes| all_of(&mistakes))
}

/// The file of the container that an abbreviation means, as Docker understands abbreviations.
fn find(directory: &Path, id: &str) -> Result<PathBuf> {
    let mut ids = recorded(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    if !ids.iter().any(|full| full == id) {
        ids.retain(|full| full.starts_with(id) && !id.is_empty());
    } else {
        ids = vec![id.to_owned()];
    }
    ids.sort();
    match ids.as_slice() {
        [] => bail!("no records of a container {}", clean(id, 128)),
        [full] => Ok(directory.join(format!("{full}.jsonl"))),
        several => {
            let mut list: Vec<_> = several.iter().take(MAX_LISTED).map(|full| clean(full, 128)).collect();
            if several.len() > MAX_LISTED {
                list.push(format!("and {} more", several.len() - MAX_LISTED));
            }
            bail!("{} may be any of {}: {}", clean(id, 128), several.len(), list.join(", "))
        }
    }
}

/// The ids of which there are records: a file of its own, or only the one put aside.
fn recorded(directory: &Path) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(id) = name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".jsonl.1")) {
            ids.push(id.to_owned());
        }
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

fn show(arguments: &LogsArguments, path: &Path, out: &mut impl Write) -> io::Result<()> {
    // In this order: a file put aside in between is then seen twice, not missed.
    let mut current = open(path)?;
    if let Some(mut old) = open(&set_aside(path))?
        && current.as_ref().is_none_or(|current| current.inode != old.inode)
    {
        old.show_rest(arguments, out)?;
    }
    loop {
        if let Some(tail) = &mut current {
            tail.show_rest(arguments, out)?;
        }
        out.flush()?;
        if !arguments.follow {
            return Ok(());
        }
        current = newer(path, current, arguments, out)?;
        std::thread::sleep(POLL);
    }
}

/// Changes over to the file that took the followed one's place, once the old one is shown to its end.
fn newer(
    path: &Path,
    current: Option<Tail>,
    arguments: &LogsArguments,
    out: &mut impl Write,
) -> io::Result<Option<Tail>> {
    let fresh = open(path)?;
    let same = |fresh: &Tail| current.as_ref().is_some_and(|current| current.inode == fresh.inode);
    match fresh {
        Some(fresh) if !same(&fresh) => {
            if let Some(mut current) = current {
                current.show_rest(arguments, out)?;
            }
            Ok(Some(fresh))
        }
        _ => Ok(current),
    }
}

/// An audit file, read up to some point.
#[derive(Debug)]
struct Tail {
    reader: BufReader<File>,
    inode: (u64, u64),
    /// The beginning of a line whose end isn't there yet.
    begun: Vec<u8>,
}

fn open(path: &Path) -> io::Result<Option<Tail>> {
    match File::open(path) {
        Ok(file) => {
            let status = file.metadata()?;
            let inode = (status.dev(), status.ino());
            Ok(Some(Tail { reader: BufReader::new(file), inode, begun: Vec::new() }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Tail {
    /// Shows every whole line that there is by now.
    fn show_rest(&mut self, arguments: &LogsArguments, out: &mut impl Write) -> io::Result<()> {
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(());
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let (part, used) = end.map_or((chunk, chunk.len()), |end| (chunk.get(..end).unwrap_or_default(), end + 1));
            let room = MAX_LINE.saturating_sub(self.begun.len());
            self.begun.extend(part.iter().take(room));
            self.reader.consume(used);
            if end.is_some() {
                show_line(&std::mem::take(&mut self.begun), arguments.json, out)?;
            }
        }
    }
}

/// Shows one line; one that is no record (torn by a crash) as it is, but cleaned.
fn show_line(line: &[u8], json: bool, out: &mut impl Write) -> io::Result<()> {
    let text = String::from_utf8_lossy(line);
    if text.is_empty() {
        return Ok(());
    }
    let readable = if json { None } else { readable(&text) };
    writeln!(out, "{}", clean(readable.as_deref().unwrap_or(&text), MAX_LINE))
}

/// A record or a notice in words; none for what is neither.
fn readable(line: &str) -> Option<String> {
    let record = serde_json::from_str::<Record>(line).ok().map(|record| for_people(&record));
    let notice = || serde_json::from_str::<Notice>(line).ok();
    record.or_else(|| notice().map(|notice| format!("{} NOTE  {}", notice.time, notice.notice)))
}

/// `2024-05-01T12:00:00.000Z DENY https GET evil.test/x (192.0.2.1:443): no rule allows it; domain=evil.test would`.
fn for_people(record: &Record) -> String {
    let verdict = if record.verdict == "allow" { "ALLOW" } else { "DENY " };
    let mut line = format!("{} {verdict} {}", record.time, word(record.protocol));
    let address = std::net::SocketAddr::new(record.address, record.port);
    let method = record.method.as_deref().map(|method| format!(" {method}")).unwrap_or_default();
    let number = record.number.map(|number| format!(" {number}")).unwrap_or_default();
    let target = match &record.name {
        Some(name) => format!(" {name}{} ({address})", record.path.as_deref().unwrap_or_default()),
        None => format!(" {address}{}", record.path.as_deref().unwrap_or_default()),
    };
    line.push_str(&number);
    line.push_str(&method);
    line.push_str(&target);
    for (before, text) in
        [(" by ", &record.rule), (": ", &record.reason), ("; would be allowed by ", &record.suggestion)]
    {
        if let Some(text) = text {
            line.push_str(before);
            line.push_str(text);
        }
    }
    if let Some(count) = record.count {
        let ports = if record.port == 0 { ", to several ports" } else { "" };
        line.push_str(&format!(" (the first of {count} that were only counted{ports})"));
    }
    if record.bytes_out + record.bytes_in > 0 {
        line.push_str(&format!(" [{} B out, {} B in, {} ms]", record.bytes_out, record.bytes_in, record.duration_ms));
    }
    line
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Http => "http",
        Kind::Https => "https",
        Kind::Tcp => "tcp",
        Kind::Udp => "udp",
        Kind::Dns => "dns",
        Kind::Icmp => "icmp",
        Kind::Other => "other",
    }
}

#[cfg(any())]
mod tests;
