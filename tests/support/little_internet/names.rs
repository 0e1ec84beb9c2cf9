//! The name server: answers for the zone over UDP and TCP, on every address, and prints every
//! question.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use test_support::hosts::{NOWHERE, OLD_RESOLVER};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::Ends;
use crate::zone::{REBINDING, aliases, by_name, is_half_dead, is_late, is_once, is_slow};

/// How long an answer may be kept, in seconds.
const TTL: u32 = 60;
/// How long a late name's answer takes: longer than resolvers wait.
const LATE: Duration = Duration::from_secs(6);
/// How long a slow name's takes.
const SLOW: Duration = Duration::from_millis(1500);

pub(crate) async fn serve_udp(address: SocketAddr) -> anyhow::Result<()> {
    let socket = Arc::new(
        UdpSocket::bind(address)
            .await
            .with_context(|| format!("udp {address}"))?,
    );
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let ends = Ends {
                client,
                server: address,
            };
            let Some(answer) = answer(buffer.get(..length).unwrap_or_default(), &ends) else {
                continue;
            };
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                if let Some(delay) = delay(&answer) {
                    tokio::time::sleep(delay).await;
                }
                socket.send_to(&answer, client).await.ok();
            });
        }
    });
    Ok(())
}

pub(crate) async fn serve_tcp(mut stream: TcpStream, ends: Ends) -> anyhow::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        let answer = answer(&question, &ends).context("no DNS message")?;
        stream.write_u16(u16::try_from(answer.len())?).await?;
        stream.write_all(&answer).await?;
    }
}

fn answer(question: &[u8], ends: &Ends) -> Option<Vec<u8>> {
    let request = Message::from_vec(question).ok()?;
    let query = request.queries.first()?.clone();
    let name = query.name().to_ascii();
    ends.log("dns", &format!("{} {name}", query.query_type()));
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.message_type = MessageType::Response;
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    if is_once(&name) && !is_first(&format!("{} {name}", query.query_type())) {
        return None;
    }
    if IpAddr::V4(OLD_RESOLVER) == ends.server.ip() && request.edns.is_some() {
        return Some(form_error(question));
    }
    if let Some(length) = aliases(&name) {
        response.add_answers(chain(query.name(), length, query.query_type()));
        response.add_query(query);
        return response.to_vec().ok();
    }
    let records = records(&name, query.query_type());
    let ttl = if is_once(&name) { 0 } else { TTL };
    if records.is_none() {
        response.metadata.response_code = ResponseCode::NXDomain;
    }
    for data in records.unwrap_or_default() {
        response.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
    }
    response.add_query(query);
    response.to_vec().ok()
}

/// A header alone, as servers answer that don't know EDNS.
fn form_error(question: &[u8]) -> Vec<u8> {
    let id = question.get(..2).unwrap_or_default();
    [id, &[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]].concat()
}

/// So many aliases, one for another, and the address of the last.
fn chain(name: &Name, length: usize, kind: RecordType) -> Vec<Record> {
    let link = |left: usize| Name::from_ascii(format!("{left}.chain.test.")).unwrap_or_default();
    let mut owner = name.clone();
    let mut answer = Vec::new();
    for left in (0..length).rev() {
        answer.push(Record::from_rdata(
            owner,
            TTL,
            RData::CNAME(CNAME(link(left))),
        ));
        owner = link(left);
    }
    let addresses = records("0.chain.test.", kind).unwrap_or_default();
    answer.extend(
        addresses
            .into_iter()
            .map(|data| Record::from_rdata(owner.clone(), TTL, data)),
    );
    answer
}

/// Whether this question was never asked before.
fn is_first(question: &str) -> bool {
    static ASKED: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    asked.get_or_insert_default().insert(question.to_owned())
}

/// How long this answer is kept back.
fn delay(answer: &[u8]) -> Option<Duration> {
    let answer = Message::from_vec(answer).ok()?;
    let name = answer.queries.first()?.name().to_ascii();
    match (is_late(&name), is_slow(&name)) {
        (true, _) => Some(LATE),
        (_, true) => Some(SLOW),
        _ => None,
    }
}

/// None: there is no such name.
fn records(name: &str, kind: RecordType) -> Option<Vec<RData>> {
    let bare = name.trim_end_matches('.').to_ascii_lowercase();
    if let Some((_, address)) = REBINDING.iter().find(|(name, _)| *name == bare) {
        return Some(if kind == RecordType::A {
            vec![RData::A(A(*address))]
        } else {
            Vec::new()
        });
    }
    let host = by_name(name)?;
    Some(match kind {
        RecordType::A => vec![RData::A(A(host.v4))],
        RecordType::AAAA if is_half_dead(name) => vec![RData::AAAA(AAAA(NOWHERE))],
        RecordType::AAAA => vec![RData::AAAA(AAAA(host.v6))],
        _ => Vec::new(),
    })
}
