//! The filter process as the keeper sees it: started, told of interfaces, given files, ended.
//!
//! Invariant: the filter may have been taken over. What it says is bounded here, and every wait for
//! it has a time limit.

use std::cell::RefCell;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::control::{Asking, Noticing};
use super::heard::Heard;
use super::pending::{Answer, Answering};
use crate::audit::record::MAX_TEXT;
use crate::audit::{AtPath, Renew};
use crate::control::FilterReport;
use crate::escape::clean;
use crate::policy::FIRST_GENERATION;
use crate::proxy::keeper::{EndReason, ToFilter, ToKeeper, answer_for_file};
use crate::proxy::{Cell, Filter, FilterPlace, Interfaces, stream};
use crate::sys::buffers;
use crate::sys::channel::{Channel, Message};
use crate::sys::fork::Child;
use crate::sys::readiness;

/// How long it may take to be confined and ready, and to write its last records.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to say all that is pending.
const LISTED_WITHIN: Duration = Duration::from_secs(2);

/// A filter that runs.
#[derive(Debug)]
pub(crate) struct FilterProcess<R = AtPath> {
    child: Child,
    words: Channel,
    records: Channel,
    /// Where the record's files come from.
    source: R,
    /// What it said about itself.
    heard: RefCell<Heard>,
    /// The policy that it goes by, as it says: its generation, and how many flows that cut.
    goes_by: watch::Sender<(u64, u64)>,
    /// What it says is pending.
    answering: RefCell<Answering>,
    /// What others had to say last.
    noted: RefCell<String>,
    /// Addresses that it was told never to dial.
    own: watch::Sender<Vec<IpAddr>>,
}

impl FilterProcess {
    /// The inode of the record's file that it writes to.
    pub(super) fn record_inode(&self) -> u64 {
        self.source.inode()
    }
}

impl<R: Renew> FilterProcess<R> {
    /// Starts it: it confines itself meanwhile, see [`Self::is_ready`]. `source`: where the record's
    /// files come from.
    pub(crate) fn start(filter: Filter, cell: Cell<'_>, source: R) -> anyhow::Result<Self> {
        let (words, keeper) = Channel::pair()?;
        let (records, theirs) = Channel::pair()?;
        words.wait_at_most(PATIENCE)?;
        let run = move || {
            filter.run(FilterPlace {
                cell,
                keeper,
                records: theirs,
            })
        };
        let child = Child::start(run).context("start the filter")?;
        Ok(Self {
            child,
            words,
            records,
            source,
            heard: RefCell::new(Heard::nothing()),
            goes_by: watch::Sender::new((FIRST_GENERATION, 0)),
            answering: RefCell::default(),
            noted: RefCell::default(),
            own: watch::Sender::default(),
        })
    }

    /// Waits until it is confined and serves.
    pub(crate) fn is_ready(&self) -> anyhow::Result<()> {
        self.await_word(&ToKeeper::Ready)
    }

    /// Tells it something. It has to listen: what it doesn't know of, it would go wrong about.
    pub(crate) fn tell(&self, word: &ToFilter, sockets: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
        self.words
            .send(&word.encode()?, sockets)
            .context("tell the filter")
    }

    /// Tells it of the interfaces.
    pub(crate) fn tell_interfaces(&self, interfaces: Interfaces) -> anyhow::Result<()> {
        self.own.send_replace(interfaces.own.clone());
        self.tell(&ToFilter::Interfaces(interfaces), &[])
    }

    /// The addresses that are never open to this container, besides those that are to none.
    pub(super) fn own(&self) -> watch::Receiver<Vec<IpAddr>> {
        self.own.subscribe()
    }

    /// Has it write what others have to say, but not twice in a row: who is asked for the same again and again
    /// would fill the record.
    pub(super) fn note(&self, sentence: &str) -> anyhow::Result<()> {
        let sentence = clean(sentence, MAX_TEXT);
        if *self.noted.borrow() != sentence {
            self.tell(&ToFilter::Notice(sentence.clone()), &[])?;
            self.noted.replace(sentence);
        }
        Ok(())
    }

    /// Since then, something else was written.
    pub(super) fn forget_note(&self) {
        self.noted.take();
    }

    /// Gives it what it asks for, has it report to those who ask for that and write what others have
    /// to say, until it ends. Says why.
    pub(crate) async fn serve(
        &self,
        mut asking: mpsc::Receiver<Asking>,
        mut noticing: mpsc::Receiver<Noticing>,
    ) -> anyhow::Result<()> {
        let mut reports = Reports::default();
        let words = readiness::of(&self.words)?;
        let records = readiness::of(&self.records)?;
        loop {
            tokio::select! {
                // What it said last is heard before its end.
                biased;
                ready = words.readable() => match ready?.try_io(|_| self.words.receive(false)) {
                    Ok(received) => match self.understand(received?)? {
                        (ToKeeper::Report(report), _) => reports.tell(report)?,
                        (ToKeeper::GoesBy { generation, cut }, _) => {
                            self.goes_by.send_replace((generation, cut));
                        }
                        (ToKeeper::Pending { some, pushed_out }, _) => {
                            self.answering.borrow_mut().take(some, pushed_out)?;
                        }
                        (word, sockets) => self.grant(word, &sockets)?,
                    },
                    Err(_) => continue,
                },
                ready = records.readable() => match ready?.try_io(|_| answer_for_file(&self.records, &self.source)) {
                    Ok(Ok(true)) | Err(_) => continue,
                    Ok(Ok(false)) => return self.explain(),
                    Ok(Err(error)) => return Err(error).context("give the filter a file"),
                },
                Some(caller) = asking.recv() => if reports.wait(caller) {
                    self.tell(&ToFilter::Report, &[])?;
                },
                Some((sentence, taken)) = noticing.recv() => {
                    self.note(&sentence)?;
                    // It may have given up.
                    let _ = taken.send(());
                },
            }
        }
    }

    /// The generation of the policy that it goes by, as it says.
    pub(super) fn generation(&self) -> watch::Receiver<(u64, u64)> {
        self.goes_by.subscribe()
    }

    /// Waits until it goes by the policy that it was given last. Gives how many flows that cut. While
    /// [`Self::serve`] hears it.
    pub(super) async fn goes_by(&self, generation: u64) -> anyhow::Result<u64> {
        let mut said = self.goes_by.subscribe();
        let heard = timeout(PATIENCE, said.wait_for(|(said, _)| *said >= generation)).await;
        let heard = heard.context("the filter has not said yet that it goes by the new policy")?;
        Ok(heard?.1)
    }

    /// What was denied and may be approved, as it says, and how many more there were. `seen`: somebody is
    /// shown it. While [`Self::serve`] hears it.
    pub(super) async fn pending(&self, seen: bool) -> anyhow::Result<Answer> {
        let (caller, answer) = oneshot::channel();
        if self.answering.borrow_mut().wait(caller) {
            self.tell(&ToFilter::Pending { seen }, &[])?;
        }
        let answer = timeout(LISTED_WITHIN, answer).await;
        Ok(answer.context("the filter has not said yet what is pending")??)
    }

    /// Does what it asks for. It may ask for the same, or for what is no socket, as often as it
    /// likes: what buffers hold is charged to the control group that it is in.
    fn grant(&self, wish: ToKeeper, sockets: &[OwnedFd]) -> anyhow::Result<()> {
        match wish {
            ToKeeper::Enlarge(queue, bytes) => {
                let bytes = bytes.min(stream::MOST);
                for socket in sockets {
                    // It has what it has where this fails, and goes on.
                    let _ = buffers::force(socket, queue, bytes);
                }
                Ok(())
            }
            word => self.hear_besides(word),
        }
    }

    /// Its number.
    pub(crate) fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Asks it for a report, and waits for that. Not while [`Self::serve`] does.
    pub(crate) fn report(&self) -> anyhow::Result<FilterReport> {
        self.tell(&ToFilter::Report, &[])?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.hear()? {
                ToKeeper::Report(report) => return Ok(report.cleaned()),
                ToKeeper::Enlarge(..) | ToKeeper::GoesBy { .. } | ToKeeper::Pending { .. } => {}
                word => self.hear_besides(word)?,
            }
        }
        bail!("no report from the filter in time")
    }

    /// Tells it to end, and waits until all is on record.
    pub(crate) fn finish(&self, why: EndReason) -> anyhow::Result<()> {
        self.tell(&ToFilter::End(why), &[])?;
        self.await_word(&ToKeeper::Written)
    }

    /// Ends it, whatever it does, and waits for that.
    pub(crate) fn end(&self) {
        // It may have ended already.
        let _ = self.child.process().kill();
        self.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&self) {
        let _ = self.child.process().end_within(PATIENCE);
        // Somebody may have waited before.
        let _ = self.child.wait();
    }

    /// Waits until it says this, whatever it says before.
    fn await_word(&self, awaited: &ToKeeper) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.hear()? {
                word if word == *awaited => return Ok(()),
                // It is over, or there is nothing yet for which it would matter.
                ToKeeper::Enlarge(..)
                | ToKeeper::Report(_)
                | ToKeeper::GoesBy { .. }
                | ToKeeper::Pending { .. } => {}
                word => self.hear_besides(word)?,
            }
        }
        bail!("no {awaited:?} from the filter in time")
    }

    /// What it may say at any time.
    fn hear_besides(&self, word: ToKeeper) -> anyhow::Result<()> {
        match word {
            ToKeeper::Log { level, text } => self.heard.borrow_mut().pass_on(level, &text),
            word => unexpected(word)?,
        }
        Ok(())
    }

    fn hear(&self) -> anyhow::Result<ToKeeper> {
        let heard = self
            .words
            .receive(true)
            .context("receive from the filter")?;
        Ok(self.understand(heard)?.0)
    }

    /// Says why it is gone.
    fn explain(&self) -> anyhow::Result<()> {
        self.child.process().end_within(PATIENCE)?;
        let how = self.child.wait()?.unwrap_or_else(|| "it ended".to_owned());
        bail!("the filter is gone: {how}");
    }

    /// What it said, and the sockets that came with it.
    fn understand(&self, message: Message) -> anyhow::Result<(ToKeeper, Vec<OwnedFd>)> {
        if message.bytes.is_empty() {
            self.explain()?;
        }
        match ToKeeper::decode(&message.bytes)? {
            ToKeeper::Failed(error) => bail!("{error}"),
            word => Ok((word, message.descriptors)),
        }
    }
}

/// Who waits for the filter's report. It is asked for one at a time, so that one that hangs fills
/// no queue, for which the keeper would have to wait.
#[derive(Debug, Default)]
struct Reports {
    waiting: Vec<Asking>,
    asked: bool,
}

impl Reports {
    /// Has somebody wait. Says whether the filter is to be asked now.
    fn wait(&mut self, caller: Asking) -> bool {
        self.waiting.retain(|one| !one.is_closed());
        self.waiting.push(caller);
        !std::mem::replace(&mut self.asked, true)
    }

    /// Tells them all what came.
    fn tell(&mut self, report: FilterReport) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.asked, false) {
            return unexpected(ToKeeper::Report(report));
        }
        let report = report.cleaned();
        for caller in self.waiting.drain(..) {
            // It may have given up.
            let _ = caller.send(report.clone());
        }
        Ok(())
    }
}

fn unexpected(word: ToKeeper) -> anyhow::Result<()> {
    bail!("unexpected message from the filter: {word:?}")
}
