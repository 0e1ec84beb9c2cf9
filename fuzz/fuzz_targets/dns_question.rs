//! What the container sends to port 53: read, judged and answered.

#![no_main]

use std::sync::LazyLock;

use boundary_shim::policy::{Policy, PolicySource};
use boundary_shim::proxy::dns::message;
use boundary_shim::proxy::dns::question::{Judgement, Question};
use boundary_shim::proxy::dns::reply::{self, ReplyTransport};
use hickory_proto::op::{Message, MessageType};
use libfuzzer_sys::fuzz_target;

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let rules = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let (allow, deny) = (
        rules(&["domain=a.test", "domain=*.b.test"]),
        rules(&["domain=no.b.test"]),
    );
    Policy::compile(&PolicySource {
        allow,
        deny,
        ..PolicySource::default()
    })
    .expect("good rules")
});

fuzz_target!(|bytes: &[u8]| {
    match Question::read(bytes) {
        Ok(question) => answer(bytes, &question),
        Err(malformed) => {
            let Some((id, operation, code)) = malformed.answer else {
                return;
            };
            let reply = reply::encode(
                &reply::malformed(id, operation, code),
                None,
                ReplyTransport::Udp,
            );
            let reply = reply.expect("an answer of a header alone");
            assert_eq!(reply[..2], bytes[..2], "the id");
            assert!(reply[2] & 0x80 != 0 && reply.len() == 12);
        }
    }
});

fn answer(bytes: &[u8], question: &Question) {
    let (name, _) = (question.name(), question.kind());
    let reply = match question.judge(&POLICY) {
        Judgement::Forward(forwarded, _) => {
            let asked = name.to_ascii_lowercase();
            assert_eq!(forwarded.as_str(), asked.trim_end_matches('.'));
            assert!(forwarded.as_str() == "a.test" || forwarded.as_str().ends_with(".b.test"));
            assert_ne!(forwarded.as_str(), "no.b.test");
            reply::empty(question)
        }
        Judgement::Empty(_) => reply::empty(question),
        Judgement::Unsupported(denial) => reply::unsupported(question, &denial),
        Judgement::Deny(denial) => reply::denied(question, &denial),
    };
    for transport in [ReplyTransport::Udp, ReplyTransport::Tcp] {
        let reply = reply::encode(&reply, question.payload, transport)
            .expect("an answer to every question");
        let room = question
            .payload
            .unwrap_or(512)
            .clamp(512, message::UDP_PAYLOAD);
        assert!(
            transport == ReplyTransport::Tcp || reply.len() <= usize::from(room),
            "{} bytes for {room}",
            reply.len()
        );
        let read = Message::from_vec(&reply).expect("an answer that can be read");
        assert_eq!(read.metadata.id.to_be_bytes(), bytes[..2]);
        assert_eq!(read.metadata.message_type, MessageType::Response);
        assert_eq!(
            read.queries.as_slice(),
            std::slice::from_ref(&question.asked)
        );
        assert!(
            read.queries[0].name.eq_case(&question.asked.name),
            "the client's own spelling"
        );
    }
}
