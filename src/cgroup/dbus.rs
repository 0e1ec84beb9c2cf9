//! The part of the D-Bus protocol that one method call needs, over a direct connection to systemd:
//! no bus in between, no other peer.
//!
//! Written here because the available crates are far larger than the task: zbus adds 1.3 MB and
//! some eighty crates, rustbus has had no release since 2022. The message format:
//! <https://dbus.freedesktop.org/doc/dbus-specification.html>.

use std::io::{self, Read, Write};

/// The largest message that is read: systemd's signals have some kilobytes.
const LARGEST: usize = 1 << 20;

const METHOD_CALL: u8 = 1;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A value of a property.
#[derive(Debug, Clone, Copy)]
pub(super) enum PropertyValue<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    /// One process, as a list (`PIDs`).
    Process(u32),
}

/// Proves who we are, by what the kernel tells the other end (`EXTERNAL`). `user`: our user id.
pub(super) fn authenticate(stream: &mut (impl Read + Write), user: u32) -> io::Result<()> {
    let name: String = user
        .to_string()
        .bytes()
        .map(|digit| format!("{digit:02x}"))
        .collect();
    stream.write_all(format!("\0AUTH EXTERNAL {name}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.extend(byte);
        if answer.len() > 256 {
            return Err(malformed());
        }
    }
    if !answer.starts_with(b"OK ") {
        return Err(io::Error::other("authentication was refused"));
    }
    stream.write_all(b"BEGIN\r\n")
}

/// The call of `StartTransientUnit(name, "fail", properties, [])`.
pub(super) fn start_transient_unit(
    name: &str,
    properties: &[(&str, PropertyValue<'_>)],
) -> Vec<u8> {
    let mut body = Writer::default();
    body.text(name);
    body.text("fail");
    body.list(8, |body| {
        properties
            .iter()
            .for_each(|(key, value)| body.property(key, *value))
    });
    body.list(8, |_| {});

    let fields = |call: &mut Writer| {
        call.field(1, "o", "/org/freedesktop/systemd1");
        call.field(2, "s", "org.freedesktop.systemd1.Manager");
        call.field(3, "s", "StartTransientUnit");
        call.field(6, "s", "org.freedesktop.systemd1");
    };
    message([METHOD_CALL, 0], 1, fields, "ssa(sv)a(sa(sv))", body)
}

/// A message of a kind, with its flags and its number. The body's signature is the last of its
/// fields.
fn message(
    [kind, flags]: [u8; 2],
    serial: usize,
    fields: impl FnOnce(&mut Writer),
    signature: &str,
    body: Writer,
) -> Vec<u8> {
    let mut message = Writer::default();
    message.0.extend([b'l', kind, flags, 1]);
    message.number(body.0.len());
    message.number(serial);
    message.list(8, |message| {
        fields(message);
        message.align(8);
        message.0.extend([8, 1, b'g', 0]);
        message.signature(signature);
    });
    message.align(8);
    message.0.extend(body.0);
    message.0
}

/// What systemd says that concerns us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SystemdMessage {
    /// The call failed.
    Failed(String),
    /// A job is over: its unit and its result.
    JobRemoved(String, String),
    /// Anything else.
    Other,
}

/// Reads one message.
pub(super) fn hear(stream: &mut impl Read) -> io::Result<SystemdMessage> {
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    let mut fixed = MessageReader {
        bytes: &head,
        at: 4,
    };
    let (body, _serial, fields) = (fixed.number()?, fixed.number()?, fixed.number()?);
    let fields_end = fields.checked_next_multiple_of(8).ok_or_else(malformed)?;
    let length = fields_end
        .checked_add(body)
        .filter(|length| *length <= LARGEST)
        .ok_or_else(malformed)?;
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest)?;
    let [b'l', kind, ..] = head else {
        return Err(malformed());
    };
    let (fields, body) = rest.split_at_checked(fields_end).ok_or_else(malformed)?;
    let mut body = MessageReader { bytes: body, at: 0 };
    match kind {
        ERROR => Ok(SystemdMessage::Failed(body.text().unwrap_or_default())),
        SIGNAL if member(fields)? == "JobRemoved" => {
            let (_id, _path) = (body.number()?, body.text()?);
            Ok(SystemdMessage::JobRemoved(body.text()?, body.text()?))
        }
        _ => Ok(SystemdMessage::Other),
    }
}

/// The name of the signal, among a message's fields; empty where it has none.
fn member(fields: &[u8]) -> io::Result<String> {
    const MEMBER: u8 = 3;
    let mut fields = MessageReader {
        bytes: fields,
        at: 0,
    };
    while fields.align(8) {
        let code = fields.byte()?;
        match fields.signature()?.as_str() {
            "s" | "o" => {
                let value = fields.text()?;
                if code == MEMBER {
                    return Ok(value);
                }
            }
            "g" => drop(fields.signature()?),
            "u" => drop(fields.number()?),
            // The padding at the end, or a type that no field has.
            _ => break,
        }
    }
    Ok(String::new())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed response")
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    /// Lengths in here are of what we wrote ourselves: some hundred bytes.
    fn number(&mut self, number: usize) {
        self.align(4);
        self.0
            .extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend(text.bytes().chain([0]));
    }

    fn signature(&mut self, signature: &str) {
        self.0
            .push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        self.0.extend(signature.bytes().chain([0]));
    }

    /// A list: its length in bytes, without the padding before the first element.
    fn list(&mut self, alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.number(0);
        let length_ends = self.0.len();
        self.align(alignment);
        let start = self.0.len();
        elements(self);
        let length = u32::try_from(self.0.len() - start)
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        if let Some(place) = self.0.get_mut(length_ends - length.len()..length_ends) {
            place.copy_from_slice(&length);
        }
    }

    fn field(&mut self, code: u8, kind: &str, value: &str) {
        self.align(8);
        self.0.push(code);
        self.signature(kind);
        self.text(value);
    }

    fn property(&mut self, key: &str, value: PropertyValue<'_>) {
        self.align(8);
        self.text(key);
        match value {
            PropertyValue::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            PropertyValue::Number(number) => {
                self.signature("t");
                self.align(8);
                self.0.extend(number.to_le_bytes());
            }
            PropertyValue::Flag(flag) => {
                self.signature("b");
                self.number(usize::from(flag));
            }
            PropertyValue::Process(pid) => {
                self.signature("au");
                self.list(4, |list| list.0.extend(pid.to_le_bytes()));
            }
        }
    }
}

struct MessageReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl MessageReader<'_> {
    /// Whether there is something more, from the next multiple on.
    fn align(&mut self, to: usize) -> bool {
        self.at = self.at.next_multiple_of(to);
        self.at < self.bytes.len()
    }

    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        let end = self.at.checked_add(length).ok_or_else(malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take(1)?.first().copied().ok_or_else(malformed)
    }

    fn number(&mut self) -> io::Result<usize> {
        self.align(4);
        let bytes = self.take(4)?.try_into().map_err(|_| malformed())?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(io::Error::other)
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.number()?;
        self.string(length)
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = self.byte()?.into();
        self.string(length)
    }

    fn string(&mut self, length: usize) -> io::Result<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
