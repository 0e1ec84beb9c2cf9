//! What the container is answered: messages built from scratch, which contain nothing that we
//! didn't put there. No I/O.
//!
//! Owns the form of an answer, not the choice of it. Invariant: an answer by UDP fits the size that
//! the client announced (512 bytes without EDNS), or its resolver library might read half of one.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record};

use super::message::UDP_PAYLOAD;
use super::question::Question;
use super::upstream::ResolverAnswer;
use crate::policy::Denial;

/// The largest answer without EDNS (RFC 1035, 2.3.4).
const PLAIN_PAYLOAD: u16 = 512;
/// The option number of an Extended DNS Error (RFC 8914, 2).
const EXTENDED_ERROR: u16 = 15;
/// The longest text in an Extended DNS Error, in bytes, so that a denial fits even the smallest
/// answer.
const MAX_ERROR_TEXT: usize = 160;

/// Seconds that the address of a denied name may be kept: a policy that allows it holds soon.
const DENIED_FOR: u32 = 1;

/// How the answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyTransport {
    /// A datagram: cut down to what the client takes.
    Udp,
    /// A stream: up to 65,535 bytes.
    Tcp,
}

/// Info codes of Extended DNS Errors (RFC 8914, 4).
#[derive(Debug, Clone, Copy)]
enum ExtendedErrorCode {
    Forged = 4,
    Blocked = 15,
    NotSupported = 21,
    NetworkError = 23,
}

/// Answers a denied name: as one that does not exist, with the reason for those who understand it.
///
/// Not with REFUSED: musl's resolver ignores that code and waits five seconds for another answer,
/// and where it tries a search list first (Kubernetes: `ndots:5`) it then gives up on names that
/// are allowed. Seen with musl 1.2; glibc fails at once with both.
#[must_use]
pub fn denied(question: &Question, denial: &Denial) -> Message {
    explained(
        question,
        ResponseCode::NXDomain,
        ExtendedErrorCode::Blocked,
        &denial.reason,
    )
}

/// Answers a denied name with the address that stands for it, for a second; with none, where it has
/// none of the family that is asked for. The reason goes with it.
pub(super) fn denied_at(question: &Question, address: Option<IpAddr>, denial: &Denial) -> Message {
    let mut message = explained(
        question,
        ResponseCode::NoError,
        ExtendedErrorCode::Forged,
        &denial.reason,
    );
    message.add_answers(address.map(|address| {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        };
        Record::from_rdata(question.asked.name.clone(), DENIED_FOR, data)
    }));
    message
}

/// Answers a type that is not looked up: the name exists, with no such record.
#[must_use]
pub fn unsupported(question: &Question, denial: &Denial) -> Message {
    explained(
        question,
        ResponseCode::NoError,
        ExtendedErrorCode::NotSupported,
        &denial.reason,
    )
}

/// Answers when no resolver did.
pub(super) fn failed(question: &Question, reason: &str) -> Message {
    explained(
        question,
        ResponseCode::ServFail,
        ExtendedErrorCode::NetworkError,
        reason,
    )
}

/// Answers with no record.
#[must_use]
pub fn empty(question: &Question) -> Message {
    bare(question, ResponseCode::NoError)
}

/// Passes on what a resolver said.
#[must_use]
pub fn answered(question: &Question, answer: &ResolverAnswer) -> Message {
    let code = if answer.exists {
        ResponseCode::NoError
    } else {
        ResponseCode::NXDomain
    };
    let mut message = bare(question, code);
    let ttl = answer.remaining_ttl();
    message.add_answers(answer.records.iter().cloned().map(|mut record| {
        record.ttl = ttl;
        // The client's own spelling of its name, for clients that compare it byte for byte.
        if record.name == question.asked.name {
            record.name = question.asked.name.clone();
        }
        record
    }));
    message
}

/// Answers what was no question.
#[must_use]
pub fn malformed(id: u16, operation: OpCode, code: ResponseCode) -> Message {
    Message::error_msg(id, operation, code)
}

/// The bytes to send: with nothing but the question and the mark for "ask by TCP" where all of it
/// doesn't fit.
#[must_use]
pub fn encode(
    message: &Message,
    payload: Option<u16>,
    transport: ReplyTransport,
) -> Option<Vec<u8>> {
    let limit = match transport {
        ReplyTransport::Udp => payload
            .unwrap_or(PLAIN_PAYLOAD)
            .clamp(PLAIN_PAYLOAD, UDP_PAYLOAD),
        ReplyTransport::Tcp => u16::MAX,
    };
    let bytes = message.to_vec().ok()?;
    if bytes.len() <= usize::from(limit) {
        Some(bytes)
    } else {
        message.truncate().to_vec().ok()
    }
}

fn bare(question: &Question, code: ResponseCode) -> Message {
    let mut message = Message::error_msg(question.id, OpCode::Query, code);
    message.metadata.recursion_desired = question.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_query(question.asked.clone());
    if question.payload.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        message.set_edns(edns);
    }
    message
}

fn explained(
    question: &Question,
    code: ResponseCode,
    why: ExtendedErrorCode,
    text: &str,
) -> Message {
    let mut message = bare(question, code);
    if let Some(edns) = &mut message.edns {
        let mut data = (why as u16).to_be_bytes().to_vec();
        data.extend_from_slice(crate::escape::clean(text, MAX_ERROR_TEXT).as_bytes());
        edns.options_mut()
            .insert(EdnsOption::Unknown(EXTENDED_ERROR, data));
    }
    message
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{MessageType, Query};
    use hickory_proto::rr::rdata::CNAME;
    use hickory_proto::rr::{Name, RecordType};
    use tokio::time::Instant;

    use super::*;
    use crate::proxy::budget::Budget;

    fn question(payload: Option<u16>) -> Question {
        let asked = Query::query(Name::from_ascii("A.tEst.").unwrap(), RecordType::A);
        Question {
            id: 7,
            recursion_desired: true,
            asked,
            payload,
        }
    }

    fn answer(records: usize) -> ResolverAnswer {
        let alias = Record::from_rdata(
            Name::from_ascii("a.test.").unwrap(),
            1,
            RData::CNAME(CNAME(Name::from_ascii("b.test.").unwrap())),
        );
        let address = Record::from_rdata(
            Name::from_ascii("b.test.").unwrap(),
            1,
            RData::A(A::new(192, 0, 2, 1)),
        );
        let records = std::iter::once(alias)
            .chain(std::iter::repeat_n(address, records))
            .collect();
        let server = "192.0.2.53:53".parse().unwrap();
        let room = Budget::new(0).take(0).unwrap();
        ResolverAnswer {
            exists: true,
            records,
            ttl: 100,
            received: Instant::now(),
            server,
            room,
        }
    }

    fn sent(
        message: &Message,
        payload: Option<u16>,
        transport: ReplyTransport,
    ) -> (usize, Message) {
        let bytes = encode(message, payload, transport).unwrap();
        (bytes.len(), Message::from_vec(&bytes).unwrap())
    }

    #[test]
    fn a_denial_is_an_answer_every_library_takes_and_says_why_to_those_who_understand_it() {
        let denial = Denial::because("no rule allows it");
        let (_, plain) = sent(&denied(&question(None), &denial), None, ReplyTransport::Udp);
        assert_eq!(
            (plain.metadata.response_code, plain.metadata.id),
            (ResponseCode::NXDomain, 7)
        );
        assert_eq!(plain.edns, None);
        let (_, explained) = sent(
            &denied(&question(Some(4096)), &denial),
            Some(4096),
            ReplyTransport::Udp,
        );
        let edns = explained.edns.unwrap();
        let options = edns.options().as_ref();
        let said = options.iter().find_map(|(_, option)| match option {
            EdnsOption::Unknown(EXTENDED_ERROR, data) => Some(data.clone()),
            _ => None,
        });
        assert_eq!(said.unwrap(), b"\0\x0fno rule allows it");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_spelled_as_asked_and_ages_in_the_cache() {
        let answer = answer(1);
        tokio::time::advance(std::time::Duration::from_secs(30)).await;
        let (_, message) = sent(
            &answered(&question(None), &answer),
            None,
            ReplyTransport::Udp,
        );
        assert_eq!(message.metadata.message_type, MessageType::Response);
        assert!(
            message.answers[0]
                .name
                .eq_case(&Name::from_ascii("A.tEst.").unwrap())
        );
        assert!(
            message.queries[0]
                .name
                .eq_case(&Name::from_ascii("A.tEst.").unwrap())
        );
        assert_eq!(
            message.answers[1].name,
            Name::from_ascii("b.test.").unwrap()
        );
        assert!(message.answers.iter().all(|record| record.ttl == 70));
    }

    #[tokio::test]
    async fn what_does_not_fit_a_datagram_is_marked_as_cut() {
        for (payload, records, cut) in [
            (None, 10, false),
            (None, 60, true),
            (Some(4096), 60, false),
            (Some(4096), 90, true),
            (Some(0), 60, true),
        ] {
            let message = answered(&question(payload), &answer(records));
            let (length, sent_by_udp) = sent(&message, payload, ReplyTransport::Udp);
            assert_eq!(
                sent_by_udp.metadata.truncation, cut,
                "{payload:?} {records}"
            );
            assert_eq!(sent_by_udp.answers.is_empty(), cut);
            assert!(length <= usize::from(UDP_PAYLOAD));
            assert!(
                !sent(&message, payload, ReplyTransport::Tcp)
                    .1
                    .metadata
                    .truncation
            );
        }
    }
}
