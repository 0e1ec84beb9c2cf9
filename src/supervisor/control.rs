//! The gateway's control socket, in its state directory and for root alone: who may ask, how many
//! at once, and for how long.
//!
//! Invariant: the keeper's loop never waits for a caller. A task per caller hands its question to
//! the loop, so a caller that is slow or gone delays nobody else.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::control::{self, Approval, FilterReport, NewPolicy, Request, Response};
use crate::policy::ApprovalId;
use crate::proxy::accept::accepted;

/// How long a caller may take for all of its question, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Callers that are attended to at once; the next ones wait to be accepted.
const CALLERS: usize = 8;
/// How long the filter may take for a report.
const REPORTED_WITHIN: Duration = Duration::from_millis(300);

/// Who waits until the container's network is settled.
pub(crate) type Settling = oneshot::Sender<anyhow::Result<()>>;
/// Who waits for the filter's report.
pub(crate) type Asking = oneshot::Sender<FilterReport>;

/// A notice for the record, and who waits until the filter has it.
pub(crate) type Noticing = (String, oneshot::Sender<()>);

/// What is asked of the rules in force.
pub(super) enum Wish {
    /// This policy in the place of the one in force.
    Change(Box<NewPolicy>),
    /// What may be approved.
    Pending,
    /// The same under this ID.
    Find(ApprovalId),
    Approve(Approval),
    Dismiss(ApprovalId),
}

/// A wish, who has it, and waits for what becomes of it.
pub(crate) struct Changing {
    pub(super) wish: Wish,
    pub(super) by: u32,
    pub(super) answer: oneshot::Sender<Response>,
}

/// Where questions go.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    settle: mpsc::Sender<Settling>,
    report: mpsc::Sender<Asking>,
    notice: mpsc::Sender<Noticing>,
    change: mpsc::Sender<Changing>,
    /// Of the policy in force.
    generation: watch::Receiver<(u64, u64)>,
    /// Addresses that are never open to the container.
    own: watch::Receiver<Vec<IpAddr>>,
}

/// What comes to the desk, by who is to answer.
pub(super) struct Questions {
    pub(super) settling: mpsc::Receiver<Settling>,
    pub(super) asking: mpsc::Receiver<Asking>,
    pub(super) noticing: mpsc::Receiver<Noticing>,
    pub(super) changing: mpsc::Receiver<Changing>,
}

impl Desk {
    /// One, and what comes to it. `generation`: of the policy in force. `own`: addresses that are never open
    /// to the container.
    pub(super) fn open(
        generation: watch::Receiver<(u64, u64)>,
        own: watch::Receiver<Vec<IpAddr>>,
    ) -> (Self, Questions) {
        let (settle, settling) = mpsc::channel(CALLERS);
        let (report, asking) = mpsc::channel(CALLERS);
        let (notice, noticing) = mpsc::channel(CALLERS);
        let (change, changing) = mpsc::channel(CALLERS);
        let desk = Self {
            settle,
            report,
            notice,
            change,
            generation,
            own,
        };
        let questions = Questions {
            settling,
            asking,
            noticing,
            changing,
        };
        (desk, questions)
    }

    /// Has another policy put into force. Gives what came of it; none where the gateway ends.
    pub(super) async fn change(&self, policy: NewPolicy, by: u32) -> Option<Response> {
        self.answer(Request::Policy(Box::new(policy)), by).await
    }

    /// Has the record say something. None where the gateway ends.
    pub(super) async fn note(&self, sentence: String) -> Option<Response> {
        self.answer(Request::Notice(sentence), 0).await
    }

    /// None where the gateway ends.
    async fn answer(&self, request: Request, by: u32) -> Option<Response> {
        match request {
            Request::Settle => {
                let (settling, settled) = oneshot::channel();
                self.settle.send(settling).await.ok()?;
                Some(Response::of(&settled.await.ok()?))
            }
            Request::Notice(sentence) => {
                let (told, taken) = oneshot::channel();
                self.notice.send((sentence, told)).await.ok()?;
                taken.await.ok()?;
                Some(Response::Done)
            }
            Request::Generation => Some(Response::Generation(self.generation.borrow().0)),
            Request::Own => Some(Response::Own(self.own.borrow().clone())),
            Request::Policy(policy) => self.wish(Wish::Change(policy), by).await,
            Request::Pending => self.wish(Wish::Pending, by).await,
            Request::Find(id) => self.wish(Wish::Find(id), by).await,
            Request::Approve(approval) => self.wish(Wish::Approve(approval), by).await,
            Request::Dismiss(id) => self.wish(Wish::Dismiss(id), by).await,
            Request::Status => {
                let (asking, report) = oneshot::channel();
                self.report.send(asking).await.ok()?;
                // Who waits in vain is dropped by whom it waits for.
                Some(Response::Status(
                    timeout(REPORTED_WITHIN, report)
                        .await
                        .ok()
                        .and_then(Result::ok),
                ))
            }
        }
    }

    async fn wish(&self, wish: Wish, by: u32) -> Option<Response> {
        let (answer, answered) = oneshot::channel();
        self.change.send(Changing { wish, by, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// Makes the socket. Before the runtime, so that it is there when the hook returns.
pub(super) fn bind(state: &Path) -> io::Result<net::UnixListener> {
    let path = control::socket(state);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = net::UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Attends to callers until accepting fails.
pub(super) async fn serve(listener: &net::UnixListener, desk: Desk) -> anyhow::Result<Infallible> {
    let listener = UnixListener::from_std(listener.try_clone()?)?;
    let places = Arc::new(Semaphore::new(CALLERS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (caller, user) = next(&listener).await?;
        tokio::spawn(attend(caller, user, desk.clone(), place));
    }
}

/// Waits for the next caller of this process's own user, root; gives its number, too. Others are
/// dropped.
async fn next(listener: &UnixListener) -> io::Result<(UnixStream, u32)> {
    loop {
        let (stream, _) = accepted(|| listener.accept()).await?;
        let user = stream.peer_cred().map(|peer| peer.uid());
        if let Ok(user) = user
            && user == geteuid().as_raw()
        {
            return Ok((stream, user));
        }
    }
}

/// One caller, from its question to its answer. Who says nothing in time, or too much, is dropped;
/// so is who doesn't listen.
async fn attend(mut caller: UnixStream, user: u32, desk: Desk, _place: OwnedSemaphorePermit) {
    let Ok(Ok(body)) = timeout(PATIENCE, question(&mut caller)).await else {
        return;
    };
    let answer = match Request::read(&body) {
        Ok(request) => desk.answer(request, user).await,
        Err(answer) => Some(answer),
    };
    if let Some(frame) = answer.and_then(|answer| answer.frame().ok()) {
        // Who is gone by now has decided for itself.
        let _ = timeout(PATIENCE, caller.write_all(&frame)).await;
    }
}

async fn question(caller: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    caller.read_exact(&mut head).await?;
    let mut body = vec![0; control::length(head, control::LONGEST_REQUEST)?];
    caller.read_exact(&mut body).await?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::journal::JournalStatus;
    use crate::control::Changed;

    /// A keeper's side: settles whatever it is asked to, and has a filter that reports only if told
    /// to.
    struct Keeper {
        directory: tempfile::TempDir,
    }

    impl Keeper {
        fn new(filter_reports: bool) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let listener = bind(directory.path()).unwrap();
            let own = vec!["192.0.2.1".parse().unwrap()];
            let (desk, questions) = Desk::open(
                watch::Sender::new((7, 0)).subscribe(),
                watch::Sender::new(own).subscribe(),
            );
            let Questions {
                mut settling,
                mut asking,
                mut noticing,
                mut changing,
            } = questions;
            tokio::spawn(async move {
                while let Some(change) = changing.recv().await {
                    let cut = u64::from(change.by);
                    let generation = 8;
                    let changed = Changed { generation, cut };
                    change.answer.send(Response::Policy(changed)).ok();
                }
            });
            tokio::spawn(async move { serve(&listener, desk).await });
            tokio::spawn(async move {
                while let Some(caller) = settling.recv().await {
                    caller.send(Ok(())).ok();
                }
            });
            tokio::spawn(async move {
                while let Some((sentence, taken)) = noticing.recv().await {
                    assert_eq!(sentence, "as it is");
                    taken.send(()).ok();
                }
            });
            tokio::spawn(async move {
                let mut unanswered = Vec::new();
                while let Some(caller) = asking.recv().await {
                    match filter_reports {
                        true => drop(caller.send(FilterReport {
                            tally: JournalStatus::default(),
                            held: 7,
                        })),
                        false => unanswered.push(caller),
                    }
                }
            });
            Self { directory }
        }

        /// All that comes back for these bytes, after which it hangs up.
        async fn said(&self, bytes: &[u8]) -> String {
            heard(self.asked(bytes).await).await
        }

        async fn asked(&self, bytes: &[u8]) -> UnixStream {
            let mut stream = UnixStream::connect(control::socket(self.directory.path()))
                .await
                .unwrap();
            stream.write_all(bytes).await.unwrap();
            stream
        }
    }

    async fn heard(mut stream: UnixStream) -> String {
        let mut answer = Vec::new();
        // It may hang up with something unread.
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(answer.get(4..).unwrap_or_default()).into_owned()
    }

    fn framed(body: &str) -> Vec<u8> {
        [
            &u32::try_from(body.len()).unwrap().to_be_bytes(),
            body.as_bytes(),
        ]
        .concat()
    }

    const SETTLE: &str = r#"{"v":1,"request":"settle"}"#;
    const STATUS: &str = r#"{"v":1,"request":"status"}"#;
    const DONE: &str = r#"{"v":1,"answer":"done"}"#;

    #[tokio::test]
    async fn each_question_gets_its_answer() {
        let keeper = Keeper::new(true);
        assert_eq!(keeper.said(&framed(SETTLE)).await, DONE);
        let notice = r#"{"v":1,"request":{"notice":"as it is"}}"#;
        assert_eq!(keeper.said(&framed(notice)).await, DONE);
        assert!(keeper.said(&framed(STATUS)).await.contains(r#""held":7"#));
        let generation = r#"{"v":1,"request":"generation"}"#;
        assert_eq!(
            keeper.said(&framed(generation)).await,
            r#"{"v":1,"answer":{"generation":7}}"#
        );
        let own = r#"{"v":1,"request":"own"}"#;
        assert_eq!(
            keeper.said(&framed(own)).await,
            r#"{"v":1,"answer":{"own":["192.0.2.1"]}}"#
        );
        let source = serde_json::to_string(&crate::policy::PolicySource::default()).unwrap();
        let policy = format!(r#"{{"v":1,"request":{{"policy":{{"source":{source}}}}}}}"#);
        let by = geteuid();
        assert_eq!(
            keeper.said(&framed(&policy)).await,
            format!(r#"{{"v":1,"answer":{{"policy":{{"generation":8,"cut":{by}}}}}}}"#),
            "who asks is known"
        );
    }

    #[tokio::test]
    async fn what_is_not_understood_is_told_so() {
        let keeper = Keeper::new(true);
        for body in [
            r#"{"v":9,"request":"settle"}"#,
            r#"{"v":1,"request":"fly"}"#,
            "",
            "\u{1b}[2J",
            "settle\n",
        ] {
            let answer = keeper.said(&framed(body)).await;
            assert!(
                answer.starts_with(r#"{"v":1,"answer":{"not-understood":""#),
                "{body}: {answer}"
            );
        }
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_is_not_read() {
        let keeper = Keeper::new(true);
        let longest = format!(
            "{SETTLE}{}",
            " ".repeat(control::LONGEST_REQUEST - SETTLE.len())
        );
        assert_eq!(keeper.said(&framed(&longest)).await, DONE, "the longest");
        let too_long = u32::try_from(control::LONGEST_REQUEST + 1)
            .unwrap()
            .to_be_bytes();
        assert_eq!(keeper.said(&too_long).await, "");
        assert_eq!(keeper.said(b"settle\n").await, "", "the word of before");
    }

    #[tokio::test]
    async fn slow_callers_delay_nobody() {
        let keeper = Keeper::new(true);
        let mut slow = Vec::new();
        for _ in 1..CALLERS {
            slow.push(keeper.asked(&framed(SETTLE)[..9]).await);
        }
        assert_eq!(keeper.said(&framed(SETTLE)).await, DONE);
        let mut one = slow.pop().unwrap();
        one.write_all(&framed(SETTLE)[9..]).await.unwrap();
        assert_eq!(
            heard(one).await,
            DONE,
            "who was accepted long before is attended to"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_never_ends_its_question_makes_room_for_others() {
        let keeper = Keeper::new(true);
        let mut endless = Vec::new();
        for _ in 0..CALLERS {
            endless.push(keeper.asked(&framed(SETTLE)[..9]).await);
        }
        let began = tokio::time::Instant::now();
        assert_eq!(keeper.said(&framed(SETTLE)).await, DONE);
        assert!(began.elapsed() >= PATIENCE, "all places were taken");
        for one in endless {
            assert_eq!(heard(one).await, "");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_filter_that_hangs_is_not_waited_for() {
        let keeper = Keeper::new(false);
        assert_eq!(
            keeper.said(&framed(STATUS)).await,
            r#"{"v":1,"answer":{"status":null}}"#
        );
        assert_eq!(keeper.said(&framed(SETTLE)).await, DONE);
    }
}
