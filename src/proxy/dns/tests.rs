//! Whole questions, against a resolver on loopback that does what its script says.

use std::sync::Mutex;

use hickory_proto::op::{Edns, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::policy::{Attempt, DENIED_V4, DENIED_V6, DeniedNames, Permit, Protocol, Verdict};
use crate::proxy::bench::{Bench, DNS_RATE_LIMIT};

/// What the resolver does with a question by UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Answer,
    /// First what an attacker off the path could send, then the answer.
    ForgedFirst,
    /// Only by TCP.
    Truncate,
    Refuse,
    Silent,
    /// Of IPv6 it says nothing.
    OnlyA,
    /// Where the question has EDNS: FORMERR, a header alone.
    Misunderstand,
    /// The same: NOTIMP.
    NotImplement,
    /// The same: nothing.
    DropExtended,
    /// The name is another one for `denied.test`.
    Alias,
    /// First what an attacker who guessed the id could send, then the answer.
    ForgedRefusalFirst,
}

#[derive(Debug, Clone)]
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Message>>>,
}

const ALLOW: &[&str] = &["domain=allowed.test"];
const SOURCE: &str = "10.0.0.2:4000";
const ASKED: &str = "198.51.100.53:53";

impl Server {
    async fn start(script: Script) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let server = Self {
            address,
            heard: Arc::default(),
        };
        tokio::spawn(server.clone().serve_udp(udp, script));
        tokio::spawn(server.clone().serve_tcp(tcp));
        server
    }

    async fn serve_udp(self, socket: UdpSocket, script: Script) {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_vec(&buffer[..length]).unwrap();
            self.heard.lock().unwrap().push(query.clone());
            for reply in script_replies(&query, script) {
                socket
                    .send_to(&reply.to_vec().unwrap(), from)
                    .await
                    .unwrap();
            }
        }
    }

    async fn serve_tcp(self, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut bytes = vec![0; length.into()];
            stream.read_exact(&mut bytes).await.unwrap();
            let query = Message::from_vec(&bytes).unwrap();
            self.heard.lock().unwrap().push(query.clone());
            stream
                .write_all(&framed(&reply_to(&query).to_vec().unwrap()))
                .await
                .unwrap();
        }
    }

    fn heard(&self) -> Vec<Message> {
        self.heard.lock().unwrap().clone()
    }
}

fn script_replies(query: &Message, script: Script) -> Vec<Message> {
    let good = reply_to(query);
    let mut other = good.clone();
    match script {
        Script::Silent => vec![],
        Script::OnlyA if query.queries[0].query_type == RecordType::AAAA => vec![],
        Script::OnlyA => vec![good],
        Script::Answer => vec![good],
        Script::Truncate => vec![good.truncate()],
        Script::Refuse => {
            other.metadata.response_code = ResponseCode::Refused;
            vec![other]
        }
        Script::Misunderstand | Script::DropExtended | Script::NotImplement
            if query.edns.is_none() =>
        {
            vec![good]
        }
        Script::DropExtended => vec![],
        Script::Alias => {
            let target = Name::from_ascii("denied.test.").unwrap();
            other.answers[0].name = target.clone();
            let owner = query.queries[0].name.clone();
            let alias = Record::from_rdata(owner, 30, RData::CNAME(CNAME(target)));
            other.answers.insert(0, alias);
            vec![other]
        }
        Script::NotImplement => {
            other.answers.clear();
            other.metadata.response_code = ResponseCode::NotImp;
            vec![other]
        }
        Script::Misunderstand => vec![misunderstood(query)],
        Script::ForgedRefusalFirst => vec![misunderstood(query), good],
        Script::ForgedFirst => {
            other.metadata.id ^= 1;
            other.answers[0].data = RData::A(A::new(203, 0, 113, 66));
            vec![other, good]
        }
    }
}

fn misunderstood(query: &Message) -> Message {
    Message::error_msg(query.metadata.id, OpCode::Query, ResponseCode::FormErr)
}

fn reply_to(query: &Message) -> Message {
    let asked = query.queries[0].clone();
    let mut reply = Message::response(query.metadata.id, OpCode::Query);
    match asked.query_type {
        RecordType::A => reply.add_answer(Record::from_rdata(
            asked.name.clone(),
            30,
            RData::A(A::new(192, 0, 2, 1)),
        )),
        RecordType::AAAA => {
            let address = AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            reply.add_answer(Record::from_rdata(
                asked.name.clone(),
                30,
                RData::AAAA(address),
            ))
        }
        _ => &mut reply,
    };
    reply.add_query(asked);
    reply
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.set_edns(Edns::new());
    message.to_vec().unwrap()
}

async fn ask_as(bench: &Bench, message: &[u8]) -> Option<Message> {
    let (source, destination) = (SOURCE.parse().unwrap(), ASKED.parse().unwrap());
    let reply = bench
        .dns
        .answer(message, source, destination, ReplyTransport::Udp)
        .await?;
    Some(Message::from_vec(&reply).unwrap())
}

async fn ask(bench: &Bench, name: &str, kind: RecordType) -> Message {
    let reply = ask_as(bench, &question(name, kind)).await.unwrap();
    assert_eq!(
        (reply.metadata.id, reply.metadata.message_type),
        (4711, MessageType::Response)
    );
    reply
}

/// One that answers denied names, of a container with a way to IPv4 alone.
fn answering_denied_names() -> Bench {
    let mut bench = Bench::new(ALLOW, Vec::new());
    bench.egress.learn(crate::proxy::Interfaces {
        beyond: crate::proxy::Beyond {
            v4: true,
            v6: false,
        },
        ..Default::default()
    });
    bench.dns = Arc::new(DnsServer::new(
        bench.judge.clone(),
        Arc::clone(&bench.resolver),
        Arc::new(Inside::Here),
        bench.streams.budget.clone(),
        DNS_RATE_LIMIT,
        DeniedAnswers {
            setting: DeniedNames::Answer,
            given: Arc::clone(&bench.judge.given),
            egress: Arc::clone(&bench.egress),
        },
    ));
    bench
}

#[tokio::test]
async fn a_denied_name_can_have_an_address_for_a_second_that_opens_nothing() {
    let bench = answering_denied_names();
    let reply = ask(&bench, "Evil.dev.", RecordType::A).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    assert_eq!(first_address(&reply), Some(DENIED_V4.into()));
    assert!(reply.answers.iter().all(|record| record.ttl == 1));
    // Nothing is remembered by which a connection there could be judged, and the record says what it
    // always says.
    assert_eq!(bench.judge.learned.names_of(DENIED_V4.into()), []);
    let [record] = bench.records().try_into().unwrap();
    assert_eq!(record.verdict, "deny");
    for (name, kind, code) in [
        ("evil.dev.", RecordType::AAAA, ResponseCode::NoError),
        ("evil.dev.", RecordType::TXT, ResponseCode::NXDomain),
        ("evil.dev.", RecordType::HTTPS, ResponseCode::NXDomain),
        ("wpad.", RecordType::A, ResponseCode::NXDomain),
        ("evil.test.", RecordType::A, ResponseCode::NXDomain),
    ] {
        let reply = ask(&bench, name, kind).await;
        assert_eq!(
            (reply.metadata.response_code, reply.answers.len()),
            (code, 0),
            "{name} {kind}"
        );
    }
}

/// Whatever rules say, and in whatever name.
#[tokio::test]
async fn the_address_of_denied_names_is_never_dialled() {
    for address in [IpAddr::from(DENIED_V4), DENIED_V6.into()] {
        let rules = [
            "domain=allowed.test cidr=0.0.0.0/0,::/0,192.0.0.8,100::8",
            "cidr=192.0.0.0/24,192.0.0.8,100::/64",
        ];
        let bench = Bench::new(&rules, Vec::new());
        assert!(
            permit(&bench, "allowed.test")
                .upstream(address, &[])
                .is_err()
        );
        let unnamed = Attempt {
            protocol: Protocol::Tcp,
            name: None,
            destination: SocketAddr::new(address, 443),
            method: None,
            path: None,
        };
        assert!(
            matches!(bench.judge.policy().decide(&unnamed), Verdict::Deny(denial) if denial.suggestion.is_none())
        );
        assert!(
            bench
                .judge
                .policy()
                .allows_unread(unnamed.destination)
                .is_none()
        );
    }
}

fn first_address(message: &Message) -> Option<IpAddr> {
    message.answers.iter().find_map(|record| match record.data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    })
}

fn good_address() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn permit(bench: &Bench, name: &str) -> Permit {
    let name = Hostname::parse(name).unwrap();
    let destination = "192.0.2.1:443".parse().unwrap();
    let attempt = Attempt {
        protocol: Protocol::Https,
        name: Some(&name),
        destination,
        method: None,
        path: None,
    };
    match bench.judge.policy().decide(&attempt) {
        Verdict::Allow(permit) => permit,
        Verdict::Deny(denial) => panic!("{denial:?}"),
    }
}

#[tokio::test]
async fn an_allowed_name_is_asked_anew_and_recorded_and_remembered() {
    let server = Server::start(Script::Answer).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    let reply = ask(&bench, "Allowed.TEST.", RecordType::A).await;
    assert_eq!(first_address(&reply), Some(good_address()));

    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    assert!(
        heard[0].queries[0]
            .name
            .eq_case(&Name::from_ascii("allowed.test.").unwrap())
    );
    assert!(
        heard[0]
            .edns
            .as_ref()
            .unwrap()
            .options()
            .as_ref()
            .is_empty()
    );

    assert_eq!(
        bench.judge.names_of(good_address()),
        [Hostname::parse("allowed.test").unwrap()]
    );
    let record = &bench.records()[0];
    assert_eq!(
        (record.verdict.as_str(), record.method.as_deref()),
        ("allow", Some("A"))
    );
    assert_eq!(
        (record.name.as_deref(), record.address),
        (Some("Allowed.TEST"), server.address.ip())
    );
    assert!(record.bytes_out > 0 && record.bytes_in > 0);
}

#[tokio::test]
async fn a_denied_name_does_not_exist_is_recorded_and_asked_of_nobody() {
    let server = Server::start(Script::Answer).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    for (name, kind) in [
        ("secret.evil.test.", RecordType::A),
        ("secret.evil.test.", RecordType::TXT),
        ("evil.allowed.test.evil.test.", RecordType::AAAA),
        ("1.2.0.192.in-addr.arpa.", RecordType::PTR),
        ("xallowed.test.", RecordType::HTTPS),
        (".", RecordType::NS),
    ] {
        let reply = ask(&bench, name, kind).await;
        assert_eq!(
            reply.metadata.response_code,
            ResponseCode::NXDomain,
            "{name}"
        );
        assert!(reply.answers.is_empty());
    }
    assert_eq!(server.heard(), []);
    assert!(
        bench
            .records()
            .iter()
            .all(|record| record.verdict == "deny")
    );
    assert_eq!(bench.records().len(), 6);
}

#[tokio::test]
async fn an_allowed_name_may_be_an_alias_for_a_denied_one_which_opens_nothing_in_that_ones_name() {
    let server = Server::start(Script::Alias).await;
    let bench = Bench::within(
        1 << 20,
        ALLOW,
        &["domain=denied.test"],
        vec![server.address],
    );
    let reply = ask(&bench, "allowed.test.", RecordType::A).await;
    assert_eq!(first_address(&reply), Some(good_address()));
    assert_eq!(
        bench.judge.names_of(good_address()),
        [Hostname::parse("allowed.test").unwrap()]
    );
    let reply = ask(&bench, "denied.test.", RecordType::A).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn types_that_carry_data_or_keys_are_empty_and_asked_of_nobody() {
    let server = Server::start(Script::Answer).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    for (kind, verdict) in [
        (RecordType::HTTPS, "allow"),
        (RecordType::SVCB, "allow"),
        (RecordType::TXT, "deny"),
        (RecordType::NULL, "deny"),
        (RecordType::MX, "deny"),
        (RecordType::ANY, "deny"),
        (RecordType::Unknown(65_400), "deny"),
    ] {
        let reply = ask(&bench, "allowed.test.", kind).await;
        assert_eq!(
            (reply.metadata.response_code, reply.answers.len()),
            (ResponseCode::NoError, 0),
            "{kind}"
        );
        let record = bench.records().pop().unwrap();
        assert_eq!(record.verdict, verdict, "{kind}");
        assert_eq!(record.bytes_out, 0, "{kind}: nobody was asked");
    }
    assert_eq!(
        bench.records().last().unwrap().method.as_deref(),
        Some("TYPE65400")
    );
    assert_eq!(server.heard(), []);
}

#[tokio::test]
async fn a_forged_answer_is_waited_out() {
    let server = Server::start(Script::ForgedFirst).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    assert_eq!(
        first_address(&ask(&bench, "allowed.test.", RecordType::A).await),
        Some(good_address())
    );
}

/// Of the questions that a server heard, which had EDNS.
fn extended(server: &Server) -> Vec<bool> {
    let heard = server.heard();
    heard.iter().map(|query| query.edns.is_some()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_without_edns_is_asked_without_and_that_is_remembered_for_a_while() {
    for script in [
        Script::Misunderstand,
        Script::NotImplement,
        Script::DropExtended,
    ] {
        let server = Server::start(script).await;
        let bench = Bench::new(&["domain=*.allowed.test"], vec![server.address]);
        let began = tokio::time::Instant::now();
        let resolved = async |name: &str| {
            let reply = ask(&bench, name, RecordType::A).await;
            assert_eq!(first_address(&reply), Some(good_address()), "{script:?}");
        };
        resolved("a.allowed.test.").await;
        assert!(began.elapsed() < Duration::from_secs(2), "{script:?}");
        assert_eq!(extended(&server), [true, false], "{script:?}");
        resolved("b.allowed.test.").await;
        assert_eq!(extended(&server), [true, false, false], "{script:?}");
        tokio::time::advance(Duration::from_secs(900)).await;
        resolved("c.allowed.test.").await;
        assert_eq!(
            extended(&server),
            [true, false, false, true, false],
            "{script:?}"
        );
    }
}

#[tokio::test]
async fn a_forged_refusal_of_edns_changes_nothing() {
    let server = Server::start(Script::ForgedRefusalFirst).await;
    let bench = Bench::new(&["domain=*.allowed.test"], vec![server.address]);
    for name in ["a.allowed.test.", "b.allowed.test."] {
        let reply = ask(&bench, name, RecordType::A).await;
        assert_eq!(first_address(&reply), Some(good_address()));
    }
    let first_of_each: Vec<_> = server
        .heard()
        .iter()
        .map(|query| query.queries[0].name.to_string())
        .zip(extended(&server))
        .collect();
    assert!(
        first_of_each.contains(&("b.allowed.test.".to_owned(), true)),
        "{first_of_each:?}"
    );
}

#[tokio::test]
async fn an_answer_too_big_for_a_datagram_is_fetched_by_tcp() {
    let server = Server::start(Script::Truncate).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    assert_eq!(
        first_address(&ask(&bench, "allowed.test.", RecordType::A).await),
        Some(good_address())
    );
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn the_next_resolver_is_asked_where_one_refuses() {
    let (refusing, good) = (
        Server::start(Script::Refuse).await,
        Server::start(Script::Answer).await,
    );
    let bench = Bench::new(ALLOW, vec![refusing.address, good.address]);
    assert_eq!(
        first_address(&ask(&bench, "allowed.test.", RecordType::A).await),
        Some(good_address())
    );
    assert_eq!((refusing.heard().len(), good.heard().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn silent_resolvers_are_given_up_before_the_client_gives_up_on_us() {
    let server = Server::start(Script::Silent).await;
    let bench = Bench::new(ALLOW, vec![server.address, server.address]);
    let began = tokio::time::Instant::now();
    let reply = ask(&bench, "allowed.test.", RecordType::A).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(
        bench.records()[0]
            .reason
            .as_deref()
            .unwrap()
            .contains("timed out")
    );
}

#[tokio::test]
async fn without_resolvers_the_answer_says_so() {
    let bench = Bench::new(ALLOW, Vec::new());
    let reply = ask(&bench, "allowed.test.", RecordType::A).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(
        bench.records()[0].reason.as_deref(),
        Some("no resolver is configured")
    );
}

#[tokio::test]
async fn what_was_answered_once_is_not_asked_again_by_the_dialler() {
    let server = Server::start(Script::Answer).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    ask(&bench, "allowed.test.", RecordType::A).await;
    let permit = permit(&bench, "allowed.test");
    let found = bench
        .resolver
        .lookup(&permit, "10.0.0.2".parse().unwrap())
        .await;
    assert_eq!(found, Ok(vec![good_address()]));
    assert_eq!(server.heard().len(), 1);
    let found = bench
        .resolver
        .lookup(&permit, "fd00::2".parse().unwrap())
        .await;
    assert_eq!(found, Ok(vec!["2001:db8::1".parse().unwrap()]));
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn both_families_are_asked_at_once_and_the_silent_one_is_hardly_waited_for() {
    let [v4, v6] = ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().unwrap());
    for client in ["10.0.0.2", "fd00::2"] {
        let client = client.parse().unwrap();
        let server = Server::start(Script::Answer).await;
        let bench = Bench::new(ALLOW, vec![server.address]);
        let permit = permit(&bench, "allowed.test");
        let mut found = bench.resolver.lookup_both(&permit, client).await.unwrap();
        found.sort_unstable();
        assert_eq!((found, server.heard().len()), (vec![v4, v6], 2));

        let server = Server::start(Script::OnlyA).await;
        let bench = Bench::new(ALLOW, vec![server.address]);
        let began = std::time::Instant::now();
        let found = bench.resolver.lookup_both(&permit, client).await;
        assert_eq!(found, Ok(vec![v4]));
        assert!(began.elapsed() < Duration::from_secs(1), "{client}");
    }
}

#[tokio::test]
async fn lookups_of_one_name_at_once_are_one_question() {
    let server = Server::start(Script::Answer).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    let permit = permit(&bench, "allowed.test");
    let client = "10.0.0.2".parse().unwrap();
    let lookup = || bench.resolver.lookup(&permit, client);
    let (first, second, third) = tokio::join!(lookup(), lookup(), lookup());
    assert!(first.is_ok() && first == second && second == third);
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_waits_for_its_turn_but_not_for_ever() {
    let server = Server::start(Script::Answer).await;
    let bench = Bench::new(&["domain=*.allowed.test"], vec![server.address]);
    let turns = &bench.resolver.in_flight;
    let occupy = || turns.try_acquire_many(u32::try_from(turns.available_permits()).unwrap());

    let occupied = occupy().unwrap();
    let others_end = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        drop(occupied);
    };
    let (reply, ()) = tokio::join!(ask(&bench, "a.allowed.test.", RecordType::A), others_end);
    assert_eq!(first_address(&reply), Some(good_address()));

    let _occupied = occupy().unwrap();
    let began = tokio::time::Instant::now();
    let reply = ask(&bench, "b.allowed.test.", RecordType::A).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(
        bench.records()[1].reason.as_deref(),
        Some("too many lookups at once")
    );
}

#[tokio::test(start_paused = true)]
async fn memory_of_old_answers_is_given_back() {
    let server = Server::start(Script::Answer).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    let dns = Arc::clone(&bench.dns);
    tokio::spawn(async move { dns.tend().await });
    for _ in 0..2 {
        ask(&bench, "allowed.test.", RecordType::CNAME).await;
        assert!(bench.streams.budget.used() > 0);
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(bench.streams.budget.used(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_forgotten_after_a_second() {
    let server = Server::start(Script::Silent).await;
    let bench = Bench::new(ALLOW, vec![server.address]);
    ask(&bench, "allowed.test.", RecordType::A).await;
    let asked = server.heard().len();
    ask(&bench, "allowed.test.", RecordType::A).await;
    assert_eq!(server.heard().len(), asked);
    tokio::time::advance(Duration::from_secs(1)).await;
    ask(&bench, "allowed.test.", RecordType::A).await;
    assert!(server.heard().len() > asked);
}

#[tokio::test]
async fn hostile_bytes_are_recorded_and_answered_only_where_that_is_safe() {
    let bench = Bench::new(ALLOW, Vec::new());
    let mut answer_to_us = question("allowed.test.", RecordType::A);
    answer_to_us[2] |= 0x80;
    for silent in [
        &b""[..],
        b"GET / HTTP/1.0\r\n\r\n".get(..11).unwrap(),
        &answer_to_us,
    ] {
        assert!(ask_as(&bench, silent).await.is_none());
    }
    let mut cut = question("allowed.test.", RecordType::A);
    cut.truncate(20);
    assert_eq!(
        ask_as(&bench, &cut).await.unwrap().metadata.response_code,
        ResponseCode::FormErr
    );
    assert_eq!(bench.records().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_questions_is_dropped_and_leaves_a_hundred_records_and_a_count() {
    let bench = Bench::new(ALLOW, Vec::new());
    let denied = question("evil.test.", RecordType::A);
    let mut answered = 0_u32;
    for _ in 0..5000 {
        answered += u32::from(ask_as(&bench, &denied).await.is_some());
    }
    assert_eq!(answered, 10 * DNS_RATE_LIMIT.get());
    bench.judge.journal.write_minute();
    let records = bench.records();
    assert_eq!(
        (records.len(), records.last().unwrap().count),
        (101, Some(4900))
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_takes_several_questions_and_ends_when_silent() {
    let bench = Bench::new(ALLOW, Vec::new());
    let (mut client, ours) = tokio::io::duplex(4096);
    let talk = async {
        for _ in 0..3 {
            client
                .write_all(&framed(&question("evil.test.", RecordType::A)))
                .await
                .unwrap();
            let length = client.read_u16().await.unwrap();
            let mut reply = vec![0; length.into()];
            client.read_exact(&mut reply).await.unwrap();
            assert_eq!(
                Message::from_vec(&reply).unwrap().metadata.response_code,
                ResponseCode::NXDomain
            );
        }
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    };
    let (source, destination) = (SOURCE.parse().unwrap(), ASKED.parse().unwrap());
    let (asked, ()) = tokio::join!(bench.dns.answer_stream(ours, source, destination), talk);
    assert_eq!((asked, bench.records().len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_after_its_share_of_questions() {
    let bench = Bench::new(ALLOW, Vec::new());
    let (mut client, ours) = tokio::io::duplex(1 << 20);
    for _ in 0..QUESTIONS_A_CONNECTION + 5 {
        client
            .write_all(&framed(&question("evil.test.", RecordType::A)))
            .await
            .unwrap();
    }
    let (source, destination) = (SOURCE.parse().unwrap(), ASKED.parse().unwrap());
    assert_eq!(
        bench.dns.answer_stream(ours, source, destination).await,
        QUESTIONS_A_CONNECTION
    );
}

#[tokio::test(start_paused = true)]
async fn half_a_question_or_one_too_long_ends_the_connection() {
    for bytes in [&[0][..], &[0, 50, 1, 2], &[0xff, 0xff, 0, 0]] {
        let bench = Bench::new(ALLOW, Vec::new());
        let (mut client, ours) = tokio::io::duplex(4096);
        client.write_all(bytes).await.unwrap();
        let (source, destination) = (SOURCE.parse().unwrap(), ASKED.parse().unwrap());
        assert_eq!(bench.dns.answer_stream(ours, source, destination).await, 0);
    }
}
