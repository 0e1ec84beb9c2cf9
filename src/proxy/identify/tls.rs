//! Reads a TLS ClientHello: RFC 8446 4.1.2 and 5.1, RFC 6066 3 (server name).
//!
//! Strict on purpose: every server reads what this accepts in the same way, so the name decided
//! about is the name that the server sees. A hello that could be read in two ways is refused. The
//! inner name of an encrypted ClientHello can't be seen: the outer name is decided about and
//! dialled.

use std::borrow::Cow;
use std::net::IpAddr;

use super::answer::Answer;
use crate::policy::Hostname;

/// The most bytes waited for, record headers included. Today's hellos take 250 to 600 bytes, 1.8
/// KiB with a post-quantum key share, and a few KiB with session tickets. One that is cut into
/// records of a single byte each grows sixfold (5 bytes of header for each), and 1.8 KiB then still
/// fits three times.
pub const HELLO_LIMIT: usize = 32 * 1024;

/// What the first flight of a TLS client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The server name asked for. None where the client sent none.
    pub sni: Option<Hostname>,
}

/// Reads the first bytes of a connection.
#[must_use]
pub fn read(bytes: &[u8]) -> Answer<Hello> {
    // What stands behind the limit counts for nothing, or the answer would depend on how much was
    // read at once.
    let bytes = bytes.get(..HELLO_LIMIT).unwrap_or(bytes);
    let answer = match bytes.first() {
        None => Answer::NeedMore,
        Some(&HANDSHAKE) => read_records(bytes),
        Some(_) => read_ssl2(bytes),
    };
    match answer {
        Answer::NeedMore if bytes.len() >= HELLO_LIMIT => {
            Answer::Refused("the ClientHello is over 32 KiB")
        }
        answer => answer,
    }
}

/// Record type 22 (RFC 8446 5.1).
const HANDSHAKE: u8 = 22;
/// Handshake type 1 (RFC 8446 4).
const CLIENT_HELLO: u8 = 1;
/// The longest plaintext fragment, 2^14 (RFC 8446 5.1).
const FRAGMENT_LIMIT: usize = 1 << 14;

type Refusal = &'static str;

/// Puts the handshake message together from one or more records. Only the second record makes it
/// copy.
fn read_records(bytes: &[u8]) -> Answer<Hello> {
    let mut rest = ByteReader(bytes);
    let mut message: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    loop {
        let fragment = match read_record(&mut rest, message.is_empty()) {
            Answer::Found(fragment) => fragment,
            Answer::NeedMore => return Answer::NeedMore,
            Answer::Not => return Answer::Not,
            Answer::Refused(why) => return Answer::Refused(why),
        };
        if message.is_empty() {
            message = Cow::Borrowed(fragment);
        } else {
            message.to_mut().extend_from_slice(fragment);
        }
        match read_message(&message) {
            Answer::NeedMore => {}
            answer => return answer,
        }
    }
}

/// Takes one whole record and gives its fragment.
fn read_record<'a>(rest: &mut ByteReader<'a>, first: bool) -> Answer<&'a [u8]> {
    let another = if first {
        Answer::Not
    } else {
        Answer::Refused("another record interrupts the ClientHello")
    };
    match (rest.u8(), rest.u8()) {
        (Some(HANDSHAKE), Some(3)) => {}
        (None, _) | (Some(HANDSHAKE), None) => return Answer::NeedMore,
        _ => return another,
    }
    let (Some(_minor), Some(length)) = (rest.u8(), rest.u16()) else {
        return Answer::NeedMore;
    };
    match length {
        0 => Answer::Refused("an empty handshake record"),
        length if length > FRAGMENT_LIMIT => Answer::Refused("a TLS record over 16 KiB"),
        length => rest.take(length).map_or(Answer::NeedMore, Answer::Found),
    }
}

/// Reads the handshake message once it is whole.
fn read_message(message: &[u8]) -> Answer<Hello> {
    let mut reader = ByteReader(message);
    match reader.u8() {
        Some(CLIENT_HELLO) => {}
        Some(_) => return Answer::Refused("the first handshake message is not a ClientHello"),
        None => return Answer::NeedMore,
    }
    let Some(length) = reader.u24() else {
        return Answer::NeedMore;
    };
    if length > HELLO_LIMIT {
        return Answer::Refused("the ClientHello is over 32 KiB");
    }
    match reader.0.len().cmp(&length) {
        std::cmp::Ordering::Less => Answer::NeedMore,
        // Whatever follows would be read by the server after we stopped looking.
        std::cmp::Ordering::Greater => {
            Answer::Refused("trailing bytes after the ClientHello in its record")
        }
        std::cmp::Ordering::Equal => match read_hello(&mut reader) {
            Ok(hello) => Answer::Found(hello),
            Err(why) => Answer::Refused(why),
        },
    }
}

fn read_hello(reader: &mut ByteReader<'_>) -> Result<Hello, Refusal> {
    read_hello_start(reader).ok_or("the ClientHello is malformed")?;
    if reader.0.is_empty() {
        return Ok(Hello { sni: None }); // TLS 1.2 and older may end here
    }
    let mut extensions = ByteReader(reader.vector16().ok_or("the ClientHello is malformed")?);
    if !reader.0.is_empty() {
        return Err("trailing bytes after the extensions of the ClientHello");
    }
    let mut sni = None;
    while !extensions.0.is_empty() {
        let (kind, data) = extensions
            .extension()
            .ok_or("a malformed extension in the ClientHello")?;
        if kind == SERVER_NAME && sni.replace(read_server_name(data)?).is_some() {
            return Err("two server names in the ClientHello");
        }
    }
    Ok(Hello { sni })
}

/// Extension type 0 (RFC 6066 3).
const SERVER_NAME: usize = 0;
/// Name type 0, the only one there is (RFC 6066 3).
const HOST_NAME: u8 = 0;

/// Everything before the extensions. None: malformed.
fn read_hello_start(reader: &mut ByteReader<'_>) -> Option<()> {
    let major = reader.u8()?;
    let _minor = reader.u8()?;
    let _random = reader.take(32)?;
    let session = reader.vector8()?;
    let suites = reader.vector16()?;
    let compressions = reader.vector8()?;
    let good = major == 3
        && session.len() <= 32
        && !suites.is_empty()
        && suites.len().is_multiple_of(2)
        && !compressions.is_empty();
    good.then_some(())
}

fn read_server_name(data: &[u8]) -> Result<Hostname, Refusal> {
    let malformed = "a malformed server name in the ClientHello";
    let mut extension = ByteReader(data);
    let mut list = ByteReader(extension.vector16().ok_or(malformed)?);
    let kind = list.u8().ok_or(malformed)?;
    let name = list.vector16().ok_or(malformed)?;
    if kind != HOST_NAME || !extension.0.is_empty() {
        return Err(malformed);
    }
    if !list.0.is_empty() {
        return Err("two server names in the ClientHello");
    }
    // ASCII only (RFC 6066): a name in another alphabet comes as its A-label.
    let name = std::str::from_utf8(name)
        .ok()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    let name = name.ok_or("the server name contains invalid bytes")?;
    if name.parse::<IpAddr>().is_ok() {
        return Err("the server name is an IP address");
    }
    Hostname::parse(name).map_err(|_| "the server name is not a valid host name")
}

/// An SSL 2 hello (RFC 5246 E.2) has no server name, and servers that still take it exist.
/// `length:2 (top bit set) type:1 version:2 suites:2 session:2 challenge:2`, and the lengths must
/// add up.
fn read_ssl2(bytes: &[u8]) -> Answer<Hello> {
    let mut reader = ByteReader(bytes);
    let plausible = [
        reader.u8().map(|byte| byte & 0x80 != 0),
        reader.u8().map(|_| true),
        reader.u8().map(|kind| kind == CLIENT_HELLO),
        reader
            .u16()
            .map(|version| version == 0x0002 || (0x0300..=0x0304).contains(&version)),
    ];
    if plausible.contains(&Some(false)) {
        return Answer::Not;
    }
    let (Some(suites), Some(session), Some(challenge)) = (reader.u16(), reader.u16(), reader.u16())
    else {
        return Answer::NeedMore;
    };
    let claimed = ByteReader(bytes).u16().map(|length| length & 0x7fff);
    if claimed == Some(9 + suites + session + challenge) {
        Answer::Refused("an SSL 2 hello")
    } else {
        Answer::Not
    }
}

/// Takes from the front; None (and nothing promised about the rest) where there is too little.
struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<usize> {
        Some(usize::from(self.u8()?) << 8 | usize::from(self.u8()?))
    }

    fn u24(&mut self) -> Option<usize> {
        Some(self.u16()? << 8 | usize::from(self.u8()?))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length)
    }

    fn extension(&mut self) -> Option<(usize, &'a [u8])> {
        Some((self.u16()?, self.vector16()?))
    }
}

#[cfg(test)]
mod tests;
