//! One query from the container: parsed from hostile bytes, then judged. No I/O.
//!
//! Owns which queries are understood and which are allowed; `reply` writes the answer. Invariant:
//! whatever is not in [`Question`] (other records, EDNS options, flags, the spelling of the name)
//! never leaves the machine: `upstream` makes a new query from the name and the type alone.

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

use crate::policy::{Denial, Grounds, Hostname, Policy};

/// A well-formed question.
#[derive(Debug)]
pub struct Question {
    /// The message's id, to be echoed.
    pub id: u16,
    /// Whether recursion was desired, to be echoed.
    pub recursion_desired: bool,
    /// The question as it was asked, to be echoed: spelling included.
    pub asked: Query,
    /// The largest answer the client takes by UDP, where it speaks EDNS (RFC 6891).
    pub payload: Option<u16>,
}

/// Why a message is no question that we answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// For the record.
    pub reason: &'static str,
    /// Id, operation and code to answer with; none: a message that must not be answered.
    pub answer: Option<(u16, OpCode, ResponseCode)>,
}

/// What is to be done with a question.
#[derive(Debug)]
pub enum Judgement {
    /// Ask a resolver, on these grounds.
    Forward(Hostname, Grounds),
    /// The name is allowed on these grounds, but the answer is always empty.
    Empty(Grounds),
    /// The name is allowed, the type is not: answered as if there were none.
    Unsupported(Denial),
    /// The name is not allowed.
    Deny(Denial),
}

impl Question {
    /// Reads a message: exactly one question, an ordinary query, of class IN.
    ///
    /// # Errors
    /// [`Malformed`] for everything else.
    pub fn read(message: &[u8]) -> Result<Self, Malformed> {
        let Some([id_high, id_low, flags, _, count_high, count_low]) = message.first_chunk::<6>()
        else {
            return Err(Malformed {
                reason: "not a DNS message",
                answer: None,
            });
        };
        if message.len() < HEADER || flags & IS_RESPONSE != 0 {
            return Err(Malformed {
                reason: "not a DNS question",
                answer: None,
            });
        }
        let id = u16::from_be_bytes([*id_high, *id_low]);
        let operation = OpCode::from_u8((flags >> 3) & 0xf);
        let malformed = |reason, code| Malformed {
            reason,
            answer: Some((id, operation, code)),
        };
        if operation != OpCode::Query {
            return Err(malformed(
                "a DNS operation other than a query",
                ResponseCode::NotImp,
            ));
        }
        // Before parsing: the parser would make room for as many questions as the header claims.
        if [*count_high, *count_low] != [0, 1] {
            return Err(malformed(
                "the DNS message doesn't have exactly one question",
                ResponseCode::FormErr,
            ));
        }
        let Ok(message) = Message::from_vec(message) else {
            return Err(malformed("a malformed DNS message", ResponseCode::FormErr));
        };
        debug_assert_eq!(message.metadata.message_type, MessageType::Query);
        let recursion_desired = message.metadata.recursion_desired;
        let payload = message
            .edns
            .as_ref()
            .map(hickory_proto::op::Edns::max_payload);
        match message.queries.into_iter().next() {
            Some(asked) if asked.query_class == DNSClass::IN => Ok(Self {
                id,
                recursion_desired,
                asked,
                payload,
            }),
            Some(_) => Err(malformed(
                "a DNS query of a class other than IN",
                ResponseCode::Refused,
            )),
            None => Err(malformed(
                "the DNS message doesn't have exactly one question",
                ResponseCode::FormErr,
            )),
        }
    }

    /// The name as text, for the record: hostile, and not always one that may be asked for.
    #[must_use]
    pub fn name(&self) -> String {
        let labels: Vec<_> = self
            .asked
            .name
            .iter()
            .map(String::from_utf8_lossy)
            .collect();
        labels.join(".")
    }

    /// The type's name, for the record.
    #[must_use]
    pub fn kind(&self) -> String {
        match self.asked.query_type {
            // As others write it (RFC 3597, 5).
            RecordType::Unknown(code) => format!("TYPE{code}"),
            known => known.to_string(),
        }
    }

    /// Decides what becomes of it.
    #[must_use]
    pub fn judge(&self, policy: &Policy) -> Judgement {
        let Some(name) = self.hostname() else {
            return Judgement::Deny(Denial::because("not a host name"));
        };
        let grounds = match policy.decide_lookup(&name) {
            Ok(grounds) => grounds,
            Err(denial) => return Judgement::Deny(denial),
        };
        match self.asked.query_type {
            RecordType::A
            | RecordType::AAAA
            | RecordType::CNAME
            | RecordType::SRV
            | RecordType::PTR => Judgement::Forward(name, grounds),
            // They tell a client keys for Encrypted Client Hello, which would hide the name from
            // us, and addresses past the A records. Answered as empty, every client falls back to A
            // and AAAA (RFC 9460, 3).
            RecordType::HTTPS | RecordType::SVCB => Judgement::Empty(grounds),
            // They carry free text both ways (TXT, NULL, private types), or what nobody behind a
            // filter needs. Empty rather than an error: a program that also asks for MX or TXT goes
            // on with the addresses.
            _ => Judgement::Unsupported(Denial::because(format!(
                "{} records are not looked up",
                self.kind()
            ))),
        }
    }

    /// The canonical name. Labels are taken as the bytes they are: a dot inside one is no
    /// separator.
    pub(super) fn hostname(&self) -> Option<Hostname> {
        let is_plain = |label: &[u8]| {
            label
                .iter()
                .all(|byte| byte.is_ascii_graphic() && *byte != b'.')
        };
        if self.asked.name.iter().all(is_plain) {
            Hostname::parse(&self.name()).ok()
        } else {
            None
        }
    }
}

/// Bytes in a message's header (RFC 1035, 4.1.1).
const HEADER: usize = 12;
/// The header's bit for "this is an answer", in its third byte.
const IS_RESPONSE: u8 = 0x80;

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Name;
    use proptest::prelude::*;

    use super::*;

    fn message(kind: RecordType, name: &Name) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(name.clone(), kind));
        message
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn code_for(message: &Message) -> Option<ResponseCode> {
        let malformed = Question::read(&message.to_vec().unwrap()).err()?;
        malformed.answer.map(|(id, _, code)| {
            assert_eq!(id, 7);
            code
        })
    }

    #[test]
    fn only_one_ordinary_question_about_the_internet_is_read() {
        let good = message(RecordType::A, &name("a.test."));
        assert!(Question::read(&good.to_vec().unwrap()).is_ok());

        let mut two = good.clone();
        two.add_query(Query::query(name("b.test."), RecordType::A));
        assert_eq!(code_for(&two), Some(ResponseCode::FormErr));

        let mut none = good.clone();
        none.queries.clear();
        assert_eq!(code_for(&none), Some(ResponseCode::FormErr));

        let mut chaos = good.clone();
        chaos.queries[0].query_class = DNSClass::CH;
        assert_eq!(code_for(&chaos), Some(ResponseCode::Refused));

        let mut update = good;
        update.metadata.op_code = OpCode::Update;
        assert_eq!(code_for(&update), Some(ResponseCode::NotImp));
    }

    #[test]
    fn an_answer_is_never_answered() {
        let mut answer = message(RecordType::A, &name("a.test."));
        answer.metadata.message_type = MessageType::Response;
        assert_eq!(
            Question::read(&answer.to_vec().unwrap())
                .unwrap_err()
                .answer,
            None
        );
        assert_eq!(Question::read(b"short").unwrap_err().answer, None);
    }

    #[test]
    fn a_count_of_questions_beyond_the_message_reserves_nothing() {
        let mut bytes = [0; 12];
        bytes[4..6].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(
            Question::read(&bytes).unwrap_err().reason,
            "the DNS message doesn't have exactly one question"
        );
    }

    #[test]
    fn every_spelling_of_a_name_is_one_host() {
        for text in ["a.test.", "A.tEsT."] {
            let question =
                Question::read(&message(RecordType::A, &name(text)).to_vec().unwrap()).unwrap();
            assert_eq!(question.hostname(), Hostname::parse("a.test").ok());
            assert!(question.asked.name.eq_case(&name(text)));
        }
    }

    #[test]
    fn a_dot_or_a_control_character_inside_a_label_makes_no_host() {
        for labels in [
            &[&b"a.allowed"[..], b"test"][..],
            &[b"a\0", b"test"],
            &[b"a\n", b"test"],
            &["ä".as_bytes(), b"test"],
            &[],
        ] {
            let name = Name::from_labels(labels.iter().copied()).unwrap();
            let question =
                Question::read(&message(RecordType::A, &name).to_vec().unwrap()).unwrap();
            assert_eq!(question.hostname(), None, "{labels:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Question::read(&bytes).map(|question| (question.name(), question.hostname()));
        }

        #[test]
        fn no_change_of_a_real_question_makes_it_panic(at in 0usize..60, byte in any::<u8>(), cut in 0usize..60) {
            let mut real = message(RecordType::AAAA, &name("some.name.test."));
            real.set_edns(hickory_proto::op::Edns::new());
            let mut bytes = real.to_vec().unwrap();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            let _ = Question::read(&bytes).map(|question| (question.name(), question.hostname()));
        }
    }
}
