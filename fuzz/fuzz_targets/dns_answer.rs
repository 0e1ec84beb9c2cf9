//! What a resolver, or somebody in its place, sends back: read, and passed on to the container.

#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use boundary_shim::policy::Hostname;
use boundary_shim::proxy::budget::Budget;
use boundary_shim::proxy::dns::message;
use boundary_shim::proxy::dns::question::Question;
use boundary_shim::proxy::dns::reply::{self, ReplyTransport};
use boundary_shim::proxy::dns::upstream::{self, Form, Reading, ResolverAnswer};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use libfuzzer_sys::fuzz_target;
use tokio::time::Instant;

const ID: u16 = 0x4242;
/// Records of one answer: the aliases, and what stands at their end (`upstream`).
const MOST: usize = 32 + 64;
/// Seconds (`upstream`).
const LONGEST: u32 = 300;

// The first byte chooses what was asked for; the rest is the answer, behind its id.
fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let kinds = [
        RecordType::A,
        RecordType::AAAA,
        RecordType::CNAME,
        RecordType::SRV,
        RecordType::PTR,
    ];
    let kind = kinds[usize::from(*kind) % kinds.len()];
    let name = Hostname::parse("a.test").expect("a name");
    let mut query = upstream::query(&name, kind, Form::Extended).expect("a question");
    query.metadata.id = ID;
    let Reading::Found(exists, records, ttl) =
        upstream::read(&[&ID.to_be_bytes(), bytes].concat(), &query)
    else {
        return;
    };
    assert!(ttl <= LONGEST && records.len() <= MOST);

    let asked = Question::read(&query.to_vec().expect("bytes")).expect("a question");
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
    let room = Budget::new(0).take(0).expect("no room is always there");
    let answer = ResolverAnswer {
        exists,
        records,
        ttl,
        received: Instant::now(),
        server,
        room,
    };
    let message = reply::answered(&asked, &answer);
    for transport in [ReplyTransport::Udp, ReplyTransport::Tcp] {
        let reply =
            reply::encode(&message, asked.payload, transport).expect("an answer to every question");
        assert!(
            transport == ReplyTransport::Tcp || reply.len() <= usize::from(message::UDP_PAYLOAD)
        );
        let read = Message::from_vec(&reply).expect("an answer that can be read");
        assert_eq!(read.queries, query.queries);
        assert!(read.metadata.truncation || read.answers.len() == answer.records.len());
    }
});
