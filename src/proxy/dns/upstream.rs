//! Asks one resolver one question, and reads nothing else from its answer.
//!
//! Owns the exchange with the outside. Invariant: the query is made here from a canonical name and
//! a type, so nothing else of the container's message leaves. Resolvers' answers are hostile, too:
//! forged ones from elsewhere are ignored, extra records dropped, alias chains bounded.
//!
//! An alias is followed within one answer, wherever it leads: whoever owns an allowed name decides
//! where that leads, and could as well give it the other name's addresses. A deny rule for the
//! target's name is about clients that mean that name; what closes a place to every name is a deny
//! rule for its addresses, which the dialler asks about. Where an answer stops at an alias, nobody
//! is asked about the rest: that is the resolver's own task (RFC 1034, 4.3.1), no client goes on
//! either, and a name that the policy never saw would leave the machine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};

use super::message::{UDP_PAYLOAD, framed};
use crate::policy::Hostname;
use crate::proxy::budget::{Budget, Share, used_up};
use crate::proxy::connect::tcp_connected;
use crate::proxy::egress::Egress;
use crate::sys;
use crate::sys::random;
use crate::sys::socket::{Queues, Source};

/// What a connection to a resolver holds unread, in the kernel.
const QUEUE: usize = 16 * 1024;
/// The same of a socket for datagrams: a few, with the kernel's own for each.
const DATAGRAMS: usize = 8 * 1024;
/// Aliases followed in one answer: twice of what resolvers follow themselves (unbound 11, BIND 16).
const MAX_ALIASES: usize = 32;
/// How long a server may be silent before it is also asked without EDNS: some drop what they don't
/// understand.
const SILENCE: Duration = Duration::from_secs(1);
/// What one record takes: its own structure, and two names of the longest kind beside it.
const RECORD: usize = 1024;
/// Records kept of one answer.
const MAX_RECORDS: usize = 64;
/// The longest time to live that the container is told, in seconds: what it may still be using,
/// `learned` still knows.
const MAX_TTL: u32 = 300;
/// How long an answer without records holds, in seconds.
const EMPTY_TTL: u32 = 5;

/// What a resolver said about a name.
#[derive(Debug)]
pub struct ResolverAnswer {
    /// Whether the name exists.
    pub exists: bool,
    /// The alias chain from the name asked for, then the records of the type asked for. Their own
    /// times to live don't count.
    pub records: Vec<Record>,
    /// For how many seconds it held when it came.
    pub ttl: u32,
    /// When it came.
    pub received: Instant,
    /// Who said it.
    pub server: SocketAddr,
    /// What it takes for as long as it is remembered.
    pub room: Share,
}

impl ResolverAnswer {
    /// The addresses in it.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.records.iter().filter_map(|record| match record.data {
            RData::A(address) => Some(address.0.into()),
            RData::AAAA(address) => Some(address.0.into()),
            _ => None,
        })
    }

    /// For how many seconds it still holds.
    pub(super) fn remaining_ttl(&self) -> u32 {
        let age = u32::try_from(self.received.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.ttl.saturating_sub(age)
    }
}

/// How a question is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With EDNS (RFC 6891): the answer may be larger than 512 bytes.
    Extended,
    /// As RFC 1035 has it, for servers that know no more.
    Plain,
}

/// What can be made of a message that came in.
#[derive(Debug, PartialEq)]
pub enum Reading {
    /// Not the answer to our question.
    NotOurs,
    /// The server may not know EDNS (RFC 6891, 7): it says FORMERR or NOTIMP, and some of them not
    /// even to which question.
    NotUnderstood,
    /// There is more than fits a datagram.
    Truncated,
    /// The resolver could not or would not.
    Failed(ResponseCode),
    /// Whether the name exists, the records, and for how many seconds they hold.
    Found(bool, Vec<Record>, u32),
}

/// Asks `server`, by UDP and, where the answer doesn't fit, by TCP. Gives the form of the question
/// that it answered, too: `form`, or the plain one where it didn't take to that. No time limit of
/// its own: the caller sets one.
pub(super) async fn ask(
    egress: &Egress,
    budget: &Budget,
    server: SocketAddr,
    client: IpAddr,
    (name, kind): (&Hostname, RecordType),
    form: Form,
) -> io::Result<(ResolverAnswer, Form)> {
    let source = egress.source_for(client, server.ip());
    let ask = |form| query(name, kind, form);
    let (mut reading, form) = by_udp(source, server, ask, form).await?;
    if reading == Reading::Truncated {
        reading = by_tcp(source, server, &ask(form)?).await?;
    }
    match reading {
        Reading::Found(exists, records, ttl) => {
            let room = budget.take(RECORD * records.len());
            let room = room.ok_or_else(|| io::Error::other(used_up().reason))?;
            let answer = ResolverAnswer {
                exists,
                records,
                ttl,
                received: Instant::now(),
                server,
                room,
            };
            Ok((answer, form))
        }
        Reading::Failed(code) => Err(io::Error::other(format!("it responded {code}"))),
        Reading::NotOurs | Reading::NotUnderstood | Reading::Truncated => {
            Err(io::Error::other("malformed response"))
        }
    }
}

/// A fresh question: random id, our own options.
///
/// # Errors
/// Where the name is no name for DNS, which a [`Hostname`] always is.
pub fn query(name: &Hostname, kind: RecordType, form: Form) -> io::Result<Message> {
    let name = Name::from_ascii(format!("{name}.")).map_err(io::Error::other)?;
    // Any sixteen of its bits.
    let [first, second, ..] = random::number()?.to_ne_bytes();
    let id = u16::from_ne_bytes([first, second]);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));
    if form == Form::Extended {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        message.set_edns(edns);
    }
    Ok(message)
}

/// Asks in this form, and where the server says that it doesn't understand, or nothing at all,
/// plainly, too: the first answer to either counts. So whoever forges a refusal brings about one
/// more question and no more.
async fn by_udp(
    source: Option<Source>,
    server: SocketAddr,
    ask: impl Fn(Form) -> io::Result<Message>,
    form: Form,
) -> io::Result<(Reading, Form)> {
    let socket = UdpSocket::from_std(sys::socket::udp_from(
        source,
        server,
        Queues {
            received: DATAGRAMS,
            sent: DATAGRAMS,
        },
    )?)?;
    let first = ask(form)?;
    send(&socket, &first).await?;
    let mut plain = None;
    let mut buffer = vec![0; usize::from(UDP_PAYLOAD)];
    let silence = sleep(SILENCE);
    tokio::pin!(silence);
    loop {
        let may_ask_plainly = form == Form::Extended && plain.is_none();
        let asks_plainly = tokio::select! {
            length = socket.recv(&mut buffer) => {
                let bytes = buffer.get(..length?).unwrap_or_default();
                let to_first = read(bytes, &first);
                let to_plain = plain.as_ref().map(|query| read(bytes, query));
                match (to_first, to_plain) {
                    (Reading::NotUnderstood, _) => true,
                    // A forged or late answer is no reason to give up on the real one.
                    (Reading::NotOurs, None | Some(Reading::NotOurs)) => false,
                    (Reading::NotOurs, Some(reading)) => return Ok((reading, Form::Plain)),
                    (reading, _) => return Ok((reading, form)),
                }
            }
            () = &mut silence, if may_ask_plainly => true,
        };
        if asks_plainly && may_ask_plainly {
            let query = ask(Form::Plain)?;
            send(&socket, &query).await?;
            plain = Some(query);
        }
    }
}

async fn send(socket: &UdpSocket, query: &Message) -> io::Result<()> {
    let bytes = query.to_vec().map_err(io::Error::other)?;
    socket.send(&bytes).await.map(drop)
}

async fn by_tcp(
    source: Option<Source>,
    server: SocketAddr,
    query: &Message,
) -> io::Result<Reading> {
    let mut stream = tcp_connected(source, server, QUEUE).await?;
    let query_bytes = query.to_vec().map_err(io::Error::other)?;
    stream.write_all(&framed(&query_bytes)).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    Ok(read(&buffer, query))
}

/// Makes of a message what can be made of it.
#[must_use]
pub fn read(bytes: &[u8], query: &Message) -> Reading {
    if bytes.first_chunk() != Some(&query.metadata.id.to_be_bytes()) {
        return Reading::NotOurs;
    }
    let Ok(message) = Message::from_vec(bytes) else {
        return Reading::NotOurs;
    };
    let is_answer = message.metadata.message_type == MessageType::Response
        && message.metadata.op_code == OpCode::Query;
    let code = message.metadata.response_code;
    let is_misunderstood =
        query.edns.is_some() && matches!(code, ResponseCode::FormErr | ResponseCode::NotImp);
    let asked = match (query.queries.as_slice(), message.queries.as_slice()) {
        _ if !is_answer => return Reading::NotOurs,
        (_, []) if is_misunderstood => return Reading::NotUnderstood,
        ([asked], [echoed]) if asked == echoed => asked,
        _ => return Reading::NotOurs,
    };
    let exists = match code {
        _ if is_misunderstood => return Reading::NotUnderstood,
        _ if message.metadata.truncation => return Reading::Truncated,
        ResponseCode::NoError => true,
        ResponseCode::NXDomain => false,
        code => return Reading::Failed(code),
    };
    let Some(records) = chain(&message.answers, asked) else {
        return Reading::Failed(ResponseCode::ServFail);
    };
    let has_answer = records
        .iter()
        .any(|record| record.record_type() == asked.query_type);
    let ttl = records
        .iter()
        .map(|record| record.ttl)
        .min()
        .unwrap_or(EMPTY_TTL);
    Reading::Found(
        exists,
        records,
        ttl.min(if has_answer { MAX_TTL } else { EMPTY_TTL }),
    )
}

/// The aliases from the name asked for, in their order, and what stands at their end. None: too
/// many, or in a circle.
fn chain(answers: &[Record], asked: &Query) -> Option<Vec<Record>> {
    let mut kept = Vec::new();
    let mut owner = &asked.name;
    for _ in 0..=MAX_ALIASES {
        let about = |record: &&Record| record.name == *owner && record.dns_class == DNSClass::IN;
        let found = answers
            .iter()
            .filter(about)
            .filter(|record| record.record_type() == asked.query_type);
        let before = kept.len();
        kept.extend(found.take(MAX_RECORDS).cloned());
        if kept.len() > before {
            return Some(kept);
        }
        let alias = answers
            .iter()
            .filter(about)
            .find_map(|record| match &record.data {
                RData::CNAME(target) => Some((record, &target.0)),
                _ => None,
            });
        let Some((record, target)) = alias else {
            return Some(kept);
        };
        kept.push(record.clone());
        owner = target;
    }
    None
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{A, CNAME, TXT};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn asked() -> Message {
        asked_in(Form::Extended)
    }

    fn asked_in(form: Form) -> Message {
        query(&Hostname::parse("a.test").unwrap(), RecordType::A, form).unwrap()
    }

    fn answer(query: &Message, records: Vec<Record>) -> Message {
        let mut message = Message::response(query.metadata.id, OpCode::Query);
        message.add_query(query.queries[0].clone());
        message.add_answers(records);
        message
    }

    fn address(owner: &str, last: u8) -> Record {
        Record::from_rdata(name(owner), 3600, RData::A(A::new(192, 0, 2, last)))
    }

    fn alias(owner: &str, target: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
    }

    fn read_back(message: &Message, query: &Message) -> Reading {
        read(&message.to_vec().unwrap(), query)
    }

    #[test]
    fn the_question_carries_nothing_but_name_and_type() {
        let (first, second) = (asked(), asked());
        let read = Message::from_vec(&first.to_vec().unwrap()).unwrap();
        assert_eq!(read.queries, [Query::query(name("a.test."), RecordType::A)]);
        assert!(read.edns.unwrap().options().as_ref().is_empty());
        assert!(read.answers.is_empty() && read.additionals.is_empty());
        // One in 65,536 runs may draw the same twice; three draws alike would be no chance.
        assert!(
            first.metadata.id != second.metadata.id || first.metadata.id != asked().metadata.id
        );
    }

    #[test]
    fn only_the_answer_to_our_question_counts() {
        let query = asked();
        let good = answer(&query, vec![address("a.test.", 1)]);
        assert_eq!(
            read_back(&good, &query),
            Reading::Found(true, vec![address("a.test.", 1)], 300)
        );

        let mut other_id = good.clone();
        other_id.metadata.id ^= 1;
        let mut other_name = good.clone();
        other_name.queries[0].name = name("b.test.");
        let mut other_type = good.clone();
        other_type.queries[0].query_type = RecordType::AAAA;
        let mut no_answer = good.clone();
        no_answer.metadata.message_type = MessageType::Query;
        let mut no_question = good;
        no_question.queries.clear();
        for forged in [other_id, other_name, other_type, no_answer, no_question] {
            assert_eq!(read_back(&forged, &query), Reading::NotOurs);
        }
    }

    #[test]
    fn records_off_the_alias_chain_are_dropped() {
        let query = asked();
        let text = Record::from_rdata(
            name("b.test."),
            1,
            RData::TXT(TXT::new(vec!["data".to_owned()])),
        );
        let records = vec![
            address("other.test.", 9),
            text,
            address("b.test.", 1),
            alias("a.test.", "B.test."),
        ];
        let expected = vec![alias("a.test.", "b.test."), address("b.test.", 1)];
        assert_eq!(
            read_back(&answer(&query, records), &query),
            Reading::Found(true, expected, 60)
        );
    }

    #[test]
    fn an_alias_chain_may_be_long_but_neither_endless_nor_a_circle() {
        let query = asked();
        let links = |count: usize| -> Vec<Record> {
            let names: Vec<_> = std::iter::once("a.test.".to_owned())
                .chain((0..count).map(|n| format!("n{n}.")))
                .collect();
            names
                .windows(2)
                .map(|pair| alias(&pair[0], &pair[1]))
                .chain([address(&names[count], 1)])
                .collect()
        };
        for count in [9, 16, MAX_ALIASES] {
            assert!(
                matches!(read_back(&answer(&query, links(count)), &query), Reading::Found(true, records, _) if records.len() == count + 1),
                "{count}"
            );
        }
        let failed = Reading::Failed(ResponseCode::ServFail);
        assert_eq!(
            read_back(&answer(&query, links(MAX_ALIASES + 1)), &query),
            failed
        );
        let circle = vec![alias("a.test.", "b.test."), alias("b.test.", "a.test.")];
        assert_eq!(read_back(&answer(&query, circle), &query), failed);
    }

    #[test]
    fn a_refusal_is_not_taken_for_the_names_absence() {
        let query = asked();
        let mut message = answer(&query, Vec::new());
        assert_eq!(
            read_back(&message, &query),
            Reading::Found(true, Vec::new(), EMPTY_TTL)
        );
        message.metadata.response_code = ResponseCode::NXDomain;
        assert_eq!(
            read_back(&message, &query),
            Reading::Found(false, Vec::new(), EMPTY_TTL)
        );
        message.metadata.response_code = ResponseCode::Refused;
        assert_eq!(
            read_back(&message, &query),
            Reading::Failed(ResponseCode::Refused)
        );
        message.metadata.truncation = true;
        assert_eq!(read_back(&message, &query), Reading::Truncated);
    }

    #[test]
    fn a_server_that_knows_no_edns_is_told_from_one_that_fails() {
        let (extended, plain) = (asked(), asked_in(Form::Plain));
        for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
            let failed = |query: &Message| {
                let mut message = answer(query, Vec::new());
                message.metadata.response_code = code;
                message
            };
            assert_eq!(
                read_back(&failed(&extended), &extended),
                Reading::NotUnderstood
            );
            assert_eq!(read_back(&failed(&plain), &plain), Reading::Failed(code));
            // A header alone.
            let header = |query: &Message| {
                let mut message = failed(query);
                message.queries.clear();
                message
            };
            assert_eq!(header(&extended).to_vec().unwrap().len(), 12);
            assert_eq!(
                read_back(&header(&extended), &extended),
                Reading::NotUnderstood
            );
            assert_eq!(read_back(&header(&plain), &plain), Reading::NotOurs);
            let mut forged = header(&extended);
            forged.metadata.id ^= 1;
            assert_eq!(read_back(&forged, &extended), Reading::NotOurs);
        }
    }

    #[test]
    fn a_huge_answer_is_cut_to_what_anyone_needs() {
        let query = asked();
        let message = answer(&query, vec![address("a.test.", 1); 500]);
        assert!(
            matches!(read_back(&message, &query), Reading::Found(_, records, _) if records.len() == MAX_RECORDS)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..800)) {
            let query = asked();
            let mut ours = query.metadata.id.to_be_bytes().to_vec();
            ours.extend(bytes);
            let _ = read(&ours, &query);
        }

        #[test]
        fn no_change_of_a_real_answer_makes_it_panic(at in 2usize..120, byte in any::<u8>()) {
            let query = asked();
            let message = answer(&query, vec![alias("a.test.", "b.test."), address("b.test.", 1)]);
            let mut bytes = message.to_vec().unwrap();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = read(&bytes, &query);
        }
    }
}
