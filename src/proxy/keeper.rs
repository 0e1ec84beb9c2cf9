//! The messages between keeper and filter, and the filter's side of the exchange: the keeper holds
//! links, files and privileges, and the filter asks it for what it needs.
//!
//! Invariant: whatever the filter says is only a request, which the keeper bounds; the filter may
//! have been taken over.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use log::Level;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
pub use super::cause::Cause;
use super::egress::{Egress, Interfaces};
use super::in_force::InForce;
use super::neighbours::NeighbourResponder;
use crate::audit::denied::Pending;
use crate::audit::journal::ChangedAbout;
use crate::audit::line::Side;
use crate::audit::record::MAX_NAME;
use crate::audit::{CONTAINER_ENDED, Direction, End, Journal, Kind, Renew, Subject};
use crate::control::FilterReport;
use crate::escape::clean;
use crate::packets::agreed::DUMMY;
use crate::packets::arp_ndp::StandsFor;
use crate::policy::{Denial, DeniedAttempt, Grounds, Policy, PolicySource};
use crate::sys::buffers::Queue;
use crate::sys::channel::{Channel, Message};
use crate::sys::readiness;

/// Why a gateway ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// The container has ended. What it said last may still arrive.
    ContainerEnded,
    /// The same of a command that was jailed.
    CommandEnded,
    /// Something went wrong.
    Failed(String),
}

impl EndReason {
    /// This went wrong.
    #[must_use]
    pub fn failed(error: &anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }

    /// For the record.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::ContainerEnded => CONTAINER_ENDED.to_owned(),
            Self::CommandEnded => "the command has ended".to_owned(),
            Self::Failed(error) => format!("the container's network is shut: {error}"),
        }
    }
}

/// What the keeper tells the filter.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToFilter {
    /// It is to end, when all is on record.
    End(EndReason),
    /// Somebody has put the record's file aside, or removed it: go on in another.
    RecordMoved,
    /// What is known of the interfaces now.
    Interfaces(Interfaces),
    /// Who asks on a link is to be answered from now on. Comes with two sockets, for ARP and for
    /// neighbour discovery.
    Neighbours {
        /// The link's hardware address.
        mac: [u8; 6],
        /// For whom.
        stands_for: StandsFor,
    },
    /// An interface was plugged in, and adopted.
    PluggedIn {
        /// Its name.
        name: String,
        /// Its first address.
        address: Option<IpAddr>,
        /// How long it was held.
        held: Duration,
    },
    /// An interface was plugged in, and leads nowhere.
    NotPluggedIn {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// This is to stand in the record.
    Notice(String),
    /// The policy that comes with it, in a file, is in force from now on.
    Policy {
        /// Which of the gateway's policies it is.
        generation: u64,
        /// The hash of the policy, without what was approved besides.
        hash: String,
        /// Why.
        cause: Cause,
    },
    /// It is to say what was denied and may be approved; `seen`: to somebody. It is asked for no second
    /// answer before it has given all of the first.
    Pending {
        /// Whether somebody is shown it.
        seen: bool,
    },
    /// This attempt isn't pending any more.
    Dismiss(DeniedAttempt),
    /// It is to report. It is asked for no second one before it has.
    Report,
}

/// Attempts in one message of those that are pending: what they say is bounded, and so is it.
pub const PENDING_AT_ONCE: usize = 32;

/// What the filter tells the keeper.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// It is confined, and begins to serve.
    Ready,
    /// The buffer of the socket that comes with it is to hold so many bytes, which is more than
    /// this host lets everybody have.
    Enlarge(Queue, usize),
    /// Something about itself, for the system's log.
    Log {
        /// How grave it is.
        level: Level,
        /// What it is.
        text: String,
    },
    /// It can't go on.
    Failed(String),
    /// All is on record, and it ends.
    Written,
    /// What it was asked for.
    Report(FilterReport),
    /// The policy that it goes by now.
    GoesBy {
        /// Which of the gateway's policies it is.
        generation: u64,
        /// Open flows that it cut.
        cut: u64,
    },
    /// Some of what is pending.
    Pending {
        /// They, at most [`PENDING_AT_ONCE`].
        some: Vec<Pending>,
        /// With the last: how many were pushed out besides.
        pushed_out: Option<u64>,
    },
}

impl ToFilter {
    /// Its bytes.
    ///
    /// # Errors
    /// None that is known: all of it can be written.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }
}

impl ToKeeper {
    /// Reads one.
    ///
    /// # Errors
    /// `InvalidData` for what is none.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// What the keeper's words are about.
pub(super) struct Followed<'a> {
    pub(super) keeper: &'a Arc<Channel>,
    pub(super) in_force: &'a InForce,
    /// What is done right after a change of the policy.
    pub(super) after_change: &'a (dyn Fn() + Sync),
    pub(super) journal: &'a Journal,
    pub(super) egress: &'a Egress,
    pub(super) budget: &'a Budget,
}

impl Followed<'_> {
    /// Does what the keeper says, until it says that it is over, and why. Within a runtime.
    pub(super) async fn heed(&self) -> anyhow::Result<EndReason> {
        let keeper = self.keeper;
        let arrived = readiness::of(keeper)?;
        loop {
            let mut ready = arrived.readable().await?;
            let Ok(received) = ready.try_io(|_| keeper.receive(false)) else {
                continue;
            };
            let Message { bytes, descriptors } = received?;
            if bytes.is_empty() {
                anyhow::bail!("the keeper is gone");
            }
            match serde_json::from_slice(&bytes)? {
                ToFilter::End(why) => return Ok(why),
                word => self.follow(word, descriptors)?,
            }
        }
    }

    fn follow(&self, word: ToFilter, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        match word {
            // Heard by whoever calls.
            ToFilter::End(_) => {}
            ToFilter::RecordMoved => self.journal.go_on_elsewhere(),
            ToFilter::Notice(sentence) => self.journal.notice(&sentence),
            ToFilter::Interfaces(interfaces) => {
                self.egress.learn(interfaces);
            }
            ToFilter::Neighbours { mac, stands_for } => {
                let sockets = <[OwnedFd; 2]>::try_from(descriptors)
                    .map_err(|_| io::ErrorKind::InvalidData)?;
                tokio::spawn(NeighbourResponder::from(mac, stands_for, sockets).answer());
            }
            ToFilter::PluggedIn {
                name,
                address,
                held,
            } => {
                let address = address.unwrap_or(IpAddr::V4(DUMMY));
                let mut entry = self.journal.begin(plug(&name, address));
                entry.allowed(&Grounds::rule("plugged in"), Some(address));
                let how_long = format!("interface adopted after {} ms", held.as_millis());
                entry.finish(End::closed(Side::Gateway).because(how_long));
            }
            ToFilter::NotPluggedIn { name, reason } => {
                let entry = self.journal.begin(plug(&name, IpAddr::V4(DUMMY)));
                entry.deny(&Denial::because(reason));
            }
            ToFilter::Policy {
                generation,
                hash,
                cause,
            } => {
                self.change_policy((generation, hash, cause), descriptors)?;
            }
            ToFilter::Pending { seen } => self.tell_pending(seen)?,
            ToFilter::Dismiss(attempt) => self.journal.dismiss(attempt),
            ToFilter::Report => {
                let report = FilterReport {
                    tally: self.journal.status(),
                    held: self.budget.used(),
                };
                tell(self.keeper, &ToKeeper::Report(report), None)?;
            }
        }
        Ok(())
    }
}

impl Followed<'_> {
    /// Puts a policy in the place of the one in force. When all that is open has been judged by it,
    /// the record and the keeper are told.
    fn change_policy(
        &self,
        (generation, policy_hash, cause): (u64, String, Cause),
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let (source, policy) = read_policy(descriptors)?;
        let notices = policy.notices();
        let about = ChangedAbout {
            policy: clean(&source.name, MAX_NAME),
            policy_hash,
            intercepts: policy.may_intercept(),
            mode: source.mode.to_string(),
            generation,
        };
        self.journal.judge_pending(&policy);
        self.in_force.change(policy.of_generation(generation));
        (self.after_change)();
        let (in_force, journal) = (self.in_force.clone(), self.journal.clone());
        let keeper = Arc::clone(self.keeper);
        tokio::spawn(async move {
            let cut = in_force.judged().await;
            journal.policy_changed(about, &cause.words(), cut);
            notices.iter().for_each(|notice| journal.notice(notice));
            // A keeper that is gone takes us along.
            let _ = tell(&keeper, &ToKeeper::GoesBy { generation, cut }, None);
        });
        Ok(())
    }

    fn tell_pending(&self, seen: bool) -> io::Result<()> {
        let (pending, pushed_out) = self.journal.pending(seen);
        for some in pending.chunks(PENDING_AT_ONCE) {
            let some = some.to_vec();
            let word = ToKeeper::Pending {
                some,
                pushed_out: None,
            };
            tell(self.keeper, &word, None)?;
        }
        let last = ToKeeper::Pending {
            some: Vec::new(),
            pushed_out: Some(pushed_out),
        };
        tell(self.keeper, &last, None)
    }
}

/// Reads a policy that the keeper has compiled before.
fn read_policy(descriptors: Vec<OwnedFd>) -> io::Result<(PolicySource, Policy)> {
    let file = descriptors.into_iter().next().map(File::from);
    let mut text = Vec::new();
    file.ok_or(io::ErrorKind::InvalidData)?
        .read_to_end(&mut text)?;
    let source: PolicySource = serde_json::from_slice(&text)?;
    let policy = Policy::compile(&source).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((source, policy))
}

/// Tells the keeper something, with a socket that it is about. Waits where the keeper is behind.
pub(super) fn tell(
    keeper: &Channel,
    word: &ToKeeper,
    about: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    keeper.send(&serde_json::to_vec(word)?, about.as_slice())
}

/// Tells the keeper something, if it can take it at once.
pub(super) fn tell_now(keeper: &Channel, word: &ToKeeper) -> io::Result<()> {
    keeper.send_now(&serde_json::to_vec(word)?)
}

fn plug(name: &str, address: IpAddr) -> Subject {
    let address = SocketAddr::new(address, 0);
    Subject {
        name: Some(name.to_owned()),
        ..Subject::new(Kind::Other, Direction::In, address, address)
    }
}

/// The keeper as the source of the record's files. The filter waits for it: nothing may be allowed
/// meanwhile.
#[derive(Debug)]
pub struct Records(Channel);

/// How long the keeper may take to open a file: it may be waiting for a network's answers
/// meanwhile.
const OPENED_WITHIN: Duration = Duration::from_secs(2);

impl Records {
    /// By this channel, on which nothing else is said.
    ///
    /// # Errors
    /// What `setsockopt(2)` gives.
    pub fn by(channel: Channel) -> io::Result<Self> {
        channel.wait_at_most(OPENED_WITHIN)?;
        Ok(Self(channel))
    }
}

impl Renew for Records {
    fn renew(&self) -> io::Result<File> {
        self.0.send(b"another", &[])?;
        let Message { bytes, descriptors } = self.0.receive(true)?;
        let reason = || io::Error::other(String::from_utf8_lossy(&bytes).into_owned());
        descriptors
            .into_iter()
            .next()
            .map(File::from)
            .ok_or_else(reason)
    }
}

/// The keeper's side of [`Records`]: answers one request. Says whether there was one: none where
/// the other end is closed.
///
/// # Errors
/// Something else than a request came, or the answer can't be sent.
pub fn answer_for_file(channel: &Channel, source: &dyn Renew) -> io::Result<bool> {
    match channel.receive(false)?.bytes.as_slice() {
        b"" => return Ok(false),
        b"another" => {}
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    match source.renew() {
        Ok(file) => channel.send(b"here", &[file.as_fd()])?,
        Err(error) => channel.send(error.to_string().as_bytes(), &[])?,
    }
    Ok(true)
}
