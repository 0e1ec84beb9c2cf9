//! One request, and its answer: both are passed on at once, as they come.
//!
//! Owns what comes of them: whether either connection may go on, and what it is where one breaks off.
//! Knows nothing of rules: the request's head has been judged.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::answers::{self, Answer, Beginning};
use super::framing::Framing;
use super::head::Ambiguous;
use super::incoming::{BodyError, Incoming, NoHead};
use super::request::{BadRequest, Request, Version};
use crate::audit::Traffic;
use crate::audit::line::Side;
use crate::proxy::budget::used_up;
use crate::proxy::splice::Stop;
use crate::proxy::stream::Stream;

/// How long what a client said may go on to the server after the client is lost.
const SURVIVES: Duration = Duration::from_secs(5);
/// Some servers read a head behind a request without a version, others nothing.
pub(super) const MORE_FOLLOWS: BadRequest = BadRequest("more follows a request without a version");

/// Why a request got no answer, or not all of it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server ended before it said a word.
    Nothing,
    /// What it began is no answer, or it broke off before the client was given a byte.
    NoAnswer(Side, String),
    /// The client has had a part; whether the server ended in order.
    Part {
        by: Side,
        in_order: bool,
        why: Option<String>,
    },
    /// The request's body can't be told from what follows it.
    Malformed(&'static str),
}

/// An answer that has been passed on.
struct Answered {
    persists: bool,
    switched: bool,
    /// It keeps the connection from serving others.
    ties: bool,
}

/// An exchange that came to its end.
pub(super) struct Exchanged {
    /// Whether the connection to the server does.
    pub(super) goes_on: bool,
    pub(super) switched: bool,
    pub(super) may_be_pooled: bool,
}

/// What of a request decides how its answer is passed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Its answers have no body.
    pub(super) bodiless: bool,
    /// Whether the server may switch to another protocol.
    pub(super) may_switch: bool,
    /// The client wants its connection closed, the server wasn't told.
    pub(super) closing: bool,
}

/// Passes a request on and its answer back, both at once.
pub(super) async fn pass(
    client: &mut Incoming,
    server: &mut Incoming,
    head: usize,
    request: &mut Request,
    asked: Asked,
    traffic: &Arc<Traffic>,
) -> Result<Exchanged, Failure> {
    let (to_client, to_server) = (client.stream.clone(), server.stream.clone());
    let is_v09 = request.version == Version::V09;
    let mut upload = pin!(async {
        client
            .pass(head, &mut request.framing, &to_server, |bytes| {
                traffic.add_out(bytes as u64);
            })
            .await?;
        if is_v09 {
            nothing_follows(client, &to_server).await
        } else {
            Ok(())
        }
    });
    let mut download = pin!(pass_answer(server, &to_client, asked, traffic));
    let mut lost = pin!(async {
        to_client.lost().await;
        sleep(SURVIVES).await;
    });
    let mut uploaded = None;
    let answered = loop {
        tokio::select! {
            biased;
            done = &mut upload, if uploaded.is_none() => {
                uploaded = Some(upload_over(done, &to_server)?);
            }
            answered = &mut download => break answered?,
            () = &mut lost => return Err(lost_client()),
        }
    };
    // An early answer: what follows of the request still goes where it was meant for.
    let early = uploaded.is_none();
    if early && (answered.persists || answered.switched) {
        uploaded = Some(tokio::select! {
            biased;
            done = upload => upload_over(done, &to_server)?,
            () = lost => return Err(lost_client()),
        });
    }
    let whole = uploaded == Some(true);
    Ok(Exchanged {
        goes_on: answered.persists && whole,
        switched: answered.switched,
        may_be_pooled: !answered.ties && !early,
    })
}

fn lost_client() -> Failure {
    Failure::Part {
        by: Side::Client,
        in_order: false,
        why: None,
    }
}

/// Makes of an upload's end whether the request was whole.
fn upload_over(done: Result<(), BodyError>, to_server: &Stream) -> Result<bool, Failure> {
    match done {
        Ok(()) => Ok(true),
        // Some servers answer what they have.
        Err(BodyError::Incomplete) => {
            // One that is gone is found by what it doesn't answer.
            let _ = to_server.end();
            Ok(false)
        }
        // It may have answered before it went.
        Err(BodyError::Stopped(Stop::Writing(_))) => Ok(false),
        Err(BodyError::Stopped(Stop::Reading(error))) => Err(Failure::NoAnswer(
            Side::Client,
            format!("the request broke off: {error}"),
        )),
        Err(BodyError::Malformed(why)) => Err(Failure::Malformed(why.0)),
    }
}

/// After a request without a version, nothing more passes but the client's end.
async fn nothing_follows(client: &mut Incoming, to_server: &Stream) -> Result<(), BodyError> {
    match client.read().await {
        Ok(0) => {
            // One that is gone is found by what it doesn't answer.
            let _ = to_server.end();
            Ok(())
        }
        Ok(_) => Err(BodyError::Malformed(Ambiguous(MORE_FOLLOWS.0))),
        Err(error) => Err(BodyError::Stopped(Stop::Reading(error))),
    }
}

/// Passes a server's answer on: interim ones first, then the final one with its body.
async fn pass_answer(
    server: &mut Incoming,
    client: &Stream,
    asked: Asked,
    traffic: &Traffic,
) -> Result<Answered, Failure> {
    let count = |bytes: usize| traffic.add_back(bytes as u64);
    let mut ties = false;
    let mut begun = false;
    loop {
        let head = server
            .head(|bytes, seen| match answers::begins(bytes, seen) {
                Beginning::NeedMore => None,
                Beginning::Head(length) => Some(Some(length)),
                Beginning::NotHttp => Some(None),
            })
            .await
            .map_err(|why| no_answer(why, begun))?;
        let Some(head) = head else {
            pass_body(server, 0, Framing::UntilEnd, client, count).await?;
            return Ok(Answered {
                persists: false,
                switched: false,
                ties: true,
            });
        };
        let bytes = server.bytes().get(..head).unwrap_or_default();
        let Ok(answer) = answers::read(bytes, asked.bodiless) else {
            return Err(Failure::NoAnswer(
                Side::Server,
                "it has two lengths".to_owned(),
            ));
        };
        ties |= answer.asks_for_authority;
        if answer.status == 101 && !asked.may_switch {
            return Err(Failure::NoAnswer(
                Side::Server,
                "the server switched protocols unasked".to_owned(),
            ));
        }
        let is_interim = (100..200).contains(&answer.status);
        let switched = answer.status == 101;
        ties |= is_interim && !matches!(answer.status, 100 | 103);
        let persists = answer.persists;
        let head = if asked.closing && !is_interim {
            closing(server, head, &answer)
        } else {
            head
        };
        pass_body(server, head, answer.framing, client, count).await?;
        begun = true;
        if !is_interim || switched {
            return Ok(Answered {
                persists,
                switched,
                ties,
            });
        }
    }
}

/// Has the client be told that its connection ends. Gives the head's new length.
fn closing(server: &mut Incoming, head: usize, answer: &Answer) -> usize {
    let bytes = server.bytes().get(..head).unwrap_or_default();
    let Some(rewritten) = answer.closing(bytes) else {
        return head;
    };
    let length = rewritten.len();
    server.replace(head, rewritten);
    length
}

async fn pass_body(
    server: &mut Incoming,
    head: usize,
    mut framing: Framing,
    client: &Stream,
    count: impl Fn(usize),
) -> Result<(), Failure> {
    let until_end = matches!(framing, Framing::UntilEnd);
    let to_server = server.stream.clone();
    let mut passing = pin!(server.pass(head, &mut framing, client, count));
    let passed = tokio::select! {
        biased;
        passed = &mut passing => passed,
        // A server that goes on until its end may wait for the client's.
        () = half_closed(client), if until_end => {
            // One that is gone is found by what it doesn't say.
            let _ = to_server.end();
            passing.await
        }
    };
    match passed {
        Ok(()) => Ok(()),
        Err(BodyError::Incomplete) if until_end => Ok(()),
        Err(BodyError::Incomplete) => Err(Failure::Part {
            by: Side::Server,
            in_order: true,
            why: Some("the answer ended before its end".to_owned()),
        }),
        Err(BodyError::Malformed(why)) => Err(Failure::Part {
            by: Side::Server,
            in_order: false,
            why: Some(why.0.to_owned()),
        }),
        Err(BodyError::Stopped(stop)) => {
            let (by, error) = match stop {
                Stop::Reading(error) => (Side::Server, error),
                Stop::Writing(error) => (Side::Client, error),
            };
            let plain = matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            );
            Err(Failure::Part {
                by,
                in_order: false,
                why: (!plain).then(|| error.to_string()),
            })
        }
    }
}

/// Waits until a client has ended its side, and said nothing more before.
async fn half_closed(client: &Stream) {
    while client.readable().await.is_ok() {
        match client.peek() {
            Ok(0) => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.wait_for_more(),
            Ok(_) | Err(_) => break,
        }
    }
    pending().await
}

fn no_answer(why: NoHead, begun: bool) -> Failure {
    let problem = match why {
        NoHead::Ended if !begun => return Failure::Nothing,
        NoHead::Ended | NoHead::Incomplete(None) => "the server broke off".to_owned(),
        NoHead::Incomplete(Some(error)) => error.to_string(),
        NoHead::TooLong => "its head is over 1 MiB".to_owned(),
        NoHead::NoRoom => used_up().reason,
    };
    if begun {
        Failure::Part {
            by: Side::Server,
            in_order: true,
            why: Some(problem),
        }
    } else {
        Failure::NoAnswer(Side::Server, problem)
    }
}
