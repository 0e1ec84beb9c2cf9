//! Asks the proxy's own resolvers, for the container and for the dialler, and caches their answers.
//!
//! Owns the choice of server, the time limits and the cache; `upstream` reads and writes the
//! messages. Invariant: a name gets here only after the policy allowed it: with a [`Permit`], or
//! through the judgement of a query.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use tokio::sync::{Notify, OnceCell, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::upstream::{self, Form, ResolverAnswer};
use crate::policy::{Hostname, Permit};
use crate::proxy::budget::{Budget, Share};
use crate::proxy::egress::Egress;
use crate::proxy::expiring::Expiring;

/// How long one server is waited for, once.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long all of them together are: resolver libraries ask again after five seconds.
const OVERALL: Duration = Duration::from_millis(4_900);
/// How often each server is asked.
const ROUNDS: usize = 2;
/// How long addresses of one family wait for those of the other (RFC 8305, 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// Questions that resolvers are asked at the same time: each costs a socket. Others wait for their
/// turn: whoever asks has taken its memory before.
const IN_FLIGHT: usize = 1024;

/// How long it is remembered of a server that it knows no EDNS.
const NO_EDNS: Duration = Duration::from_secs(900);

/// Answers remembered.
const CACHE: usize = 4096;
/// What one takes, besides its records: its name, who waits for it, or why there is none.
const ENTRY: usize = 1024;
/// How long an answer is used again, at most.
const KEEP: Duration = Duration::from_secs(60);
/// How long an answer is used again, at least: a failure (RFC 9520, 3.2), and a name whose server
/// says "don't keep", so that the dialler's look-up right after the container's doesn't ask again.
const KEEP_AT_LEAST: Duration = Duration::from_secs(1);

/// Why a name gave no address. Cheap to clone: callers who asked together share it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The proxy was given no resolvers.
    #[error("no resolver is configured")]
    NoResolver,
    /// Too many questions were asked before, and resolvers were too slow with them.
    #[error("too many lookups at once")]
    Busy,
    /// No resolver gave an answer; what the last one did instead.
    #[error("no resolver answered: {0}")]
    Failed(Arc<str>),
    /// The name does not exist.
    #[error("no such name")]
    NoSuchName,
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
}

type LookupResult = Result<Arc<ResolverAnswer>, LookupError>;

/// Filled by whoever asks first; those who come meanwhile wait for it.
#[derive(Debug)]
struct Lookup {
    outcome: OnceCell<LookupResult>,
    /// What it takes. None: there was no room, and it is not remembered.
    room: Option<Share>,
}

/// Asks resolvers and remembers answers.
#[derive(Debug)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    cache: Mutex<Expiring<(Hostname, RecordType), Arc<Lookup>>>,
    /// Servers that answered only without EDNS.
    plain: Mutex<Expiring<SocketAddr, ()>>,
    /// Something was remembered.
    remembers: Notify,
    pub(super) in_flight: Semaphore,
    egress: Arc<Egress>,
    budget: Budget,
}

impl Resolver {
    /// A resolver that asks these servers, in this order, and remembers what `budget` has room for.
    /// With none, every lookup fails and says so.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>, egress: Arc<Egress>, budget: Budget) -> Self {
        Self {
            plain: Mutex::new(Expiring::new(servers.len())),
            servers,
            cache: Mutex::new(Expiring::new(CACHE)),
            remembers: Notify::new(),
            in_flight: Semaphore::new(IN_FLIGHT),
            egress,
            budget,
        }
    }

    /// The addresses that a permit means: its own, or its name's. Those of `client`'s family; of
    /// the other only where it has none. Not yet checked: [`Permit::upstream`] is asked about each.
    ///
    /// # Errors
    /// See [`LookupError`]; within five seconds.
    pub async fn lookup(
        &self,
        permit: &Permit,
        client: IpAddr,
    ) -> Result<Vec<IpAddr>, LookupError> {
        let Some(name) = permit.name() else {
            return Ok(permit.address().into_iter().collect());
        };
        let (first, second) = kinds(client);
        let mut exists = false;
        for kind in [first, second] {
            let answer = self.ask(name, kind, client).await?;
            let addresses: Vec<_> = answer.addresses().collect();
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            exists |= answer.exists;
        }
        Err(no_address(exists))
    }

    /// As [`Self::lookup`], of both families where the container may reach both: they are asked at
    /// once, and when one has given addresses, the other is waited for 50 ms more (RFC 8305, 3).
    ///
    /// # Errors
    /// See [`LookupError`]; within five seconds.
    pub async fn lookup_both(
        &self,
        permit: &Permit,
        client: IpAddr,
    ) -> Result<Vec<IpAddr>, LookupError> {
        let (first, second) = kinds(client);
        let Some(name) = permit.name().filter(|_| {
            let v4 = !client.is_ipv4();
            self.egress.may_reach(client, v4)
        }) else {
            return self.lookup(permit, client).await;
        };
        let mut first = pin!(self.ask(name, first, client));
        let mut second = pin!(self.ask(name, second, client));
        let (sooner, other) = tokio::select! {
            biased;
            sooner = &mut first => (sooner, second),
            sooner = &mut second => (sooner, first),
        };
        let found = sooner
            .as_ref()
            .is_ok_and(|answer| answer.addresses().next().is_some());
        let later = if found {
            timeout(RESOLUTION_DELAY, other).await.ok()
        } else {
            Some(other.await)
        };
        let answers: Vec<_> = std::iter::once(sooner).chain(later).collect();
        let addresses: Vec<_> = answers
            .iter()
            .flatten()
            .flat_map(|answer| answer.addresses())
            .collect();
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        Err(no_address(answers.iter().any(|answer| answer.exists)))
    }

    /// Asks about a name that the policy allows to look up; or answers from memory.
    pub(super) async fn ask(
        &self,
        name: &Hostname,
        kind: RecordType,
        client: IpAddr,
    ) -> LookupResult {
        let key = (name.clone(), kind);
        let lookup = self.lookup_of(&key);
        let fill = || async {
            let outcome = self.ask_servers(name, kind, client).await;
            if lookup.room.is_some() {
                locked(&self.cache).insert(key, Arc::clone(&lookup), keep(&outcome));
                self.remembers.notify_one();
            }
            outcome
        };
        lookup.outcome.get_or_init(fill).await.clone()
    }

    /// The one under way, or remembered; else a new one.
    fn lookup_of(&self, key: &(Hostname, RecordType)) -> Arc<Lookup> {
        let mut cache = locked(&self.cache);
        if let Some(lookup) = cache.get(key) {
            return Arc::clone(lookup);
        }
        let lookup = Arc::new(Lookup {
            outcome: OnceCell::new(),
            room: self.budget.take(ENTRY),
        });
        if lookup.room.is_some() {
            cache.insert(key.clone(), Arc::clone(&lookup), OVERALL + PATIENCE);
        }
        lookup
    }

    /// Gives back the memory of what is too old to be used again. Sleeps where nothing is
    /// remembered.
    pub(super) async fn tend(&self) -> Infallible {
        loop {
            self.remembers.notified().await;
            loop {
                sleep(KEEP).await;
                if locked(&self.cache).forget_old() {
                    break;
                }
            }
        }
    }

    async fn ask_servers(&self, name: &Hostname, kind: RecordType, client: IpAddr) -> LookupResult {
        if self.servers.is_empty() {
            return Err(LookupError::NoResolver);
        }
        let end = Instant::now() + OVERALL;
        let Ok(Ok(_turn)) = timeout_at(end, self.in_flight.acquire()).await else {
            return Err(LookupError::Busy);
        };
        let mut problem = String::from("timed out");
        let containers = self.egress.interfaces();
        let each = async {
            for server in std::iter::repeat_n(&self.servers, ROUNDS).flatten() {
                // The container would answer, with any address it likes.
                if containers.sources.contains(&server.ip()) {
                    problem = format!("{} is the container's own address", server.ip());
                    continue;
                }
                match self.ask_server(*server, (name, kind), client).await {
                    Ok(answer) => return Some(answer),
                    Err(error) => problem = format!("{}: {error}", server.ip()),
                }
            }
            None
        };
        match timeout_at(end, each).await {
            Ok(Some(answer)) => Ok(Arc::new(answer)),
            Ok(None) | Err(_) => Err(LookupError::Failed(problem.into())),
        }
    }

    /// Asks one server, in the form that it understands.
    async fn ask_server(
        &self,
        server: SocketAddr,
        question: (&Hostname, RecordType),
        client: IpAddr,
    ) -> io::Result<ResolverAnswer> {
        let is_plain = locked(&self.plain).get(&server).is_some();
        let form = if is_plain {
            Form::Plain
        } else {
            Form::Extended
        };
        let asking = upstream::ask(&self.egress, &self.budget, server, client, question, form);
        let (answer, answered) = timeout(PATIENCE, asking)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        if answered != form {
            locked(&self.plain).insert(server, (), NO_EDNS);
        }
        Ok(answer)
    }
}

/// The type of the client's family, and the other.
fn kinds(client: IpAddr) -> (RecordType, RecordType) {
    if client.is_ipv4() {
        (RecordType::A, RecordType::AAAA)
    } else {
        (RecordType::AAAA, RecordType::A)
    }
}

fn no_address(exists: bool) -> LookupError {
    if exists {
        LookupError::NoAddress
    } else {
        LookupError::NoSuchName
    }
}

/// How long an outcome is used again.
fn keep(outcome: &LookupResult) -> Duration {
    let ttl = outcome.as_ref().map_or(0, |answer| answer.ttl);
    Duration::from_secs(ttl.into()).clamp(KEEP_AT_LEAST, KEEP)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
