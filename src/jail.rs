//! The jail: one command whose network is filtered as a container's is, by the same filter, with
//! whatever rights its caller has.
//!
//! Three types, by what stands between the command and the network: `nsjail` (namespaces of its own,
//! captured by the kernel), `notify` (a supervisor that makes its sockets) and `landjail`. What differs
//! between them ends with `jailed::Jailed`; all else is one story ([`run`]).
//!
//! Invariant: nothing of the command runs before all is ready, and nothing of it runs on without its
//! filter. It is told in one sentence why it can't be jailed, and isn't run then.

mod agent;
mod allowed_sockets;
mod filter;
mod init;
mod inner;
mod jailed;
mod life;
pub mod notify;
mod nsjail;
mod obstacle;
mod options;
mod policy;
mod ports;
mod record_file;
mod target;
mod trust;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use tokio::sync::mpsc;

use crate::audit::JournalStatus;
use crate::proxy::keeper::EndReason;
use crate::sys::reaper::ExitCode;
use crate::sys::signal::Requests;
use crate::sys::{confine, inherited, reaper, socket};
use agent::Agent;
use allowed_sockets::AllowedSockets;
use filter::{JailFilter, Record};
use init::{Init, News};
use inner::Handed;
use jailed::{Beside, Jailed, Wanted};
pub use obstacle::Obstacle;
pub use options::{Options, Publish, Type, TypeChoice};
use ports::Published;
use record_file::RecordFile;
use target::Target;
use trust::TrustFolder;

/// Descriptors that jail and filter may hold.
const OPEN_FILES: u64 = 65_536;

/// Runs a command in a jail. Gives its exit code: 128 and the number of a signal that ended it, 126 or
/// 127 where it can't be executed.
///
/// # Errors
/// Why it was not run, or had to be ended.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    hand_on_no_socket()?;
    let mut target = Target::of(&options.command)?;
    let source = policy::source(options)?;
    let policy = policy::compile(&source)?;
    let published = Published::open(&options.publish)?;
    let trust = policy.may_intercept().then(TrustFolder::make).transpose()?;
    let (folder, trust) = trust.unzip();
    if let Some(folder) = &folder {
        target = target.with(folder.variables(), folder.path());
    }
    let (jailed, instead) = jail(&Wanted {
        options,
        allowed: &Arc::new(AllowedSockets::named(&options.allow_sockets)),
        policy: &policy,
        target: &target,
    })?;
    // Not before there is a jail: one that can't be had leaves no record.
    let (record, record_file) = Record::open(options, &source, &policy)?;
    let socket = options.audit_socket.as_deref();
    let agent = socket.map(|path| Agent::beside(&record, path, &target));
    let agent = agent.transpose()?;
    // Not before the init was started: by this its number could not be mapped to its caller's.
    confine::allow_open_files(OPEN_FILES)?;
    reaper::take_orphans()?;
    confine::be_closed_to_others().context("close this process to others of its user")?;
    let Jailed {
        jail_type,
        sockets,
        init,
        beside,
    } = jailed;
    if options.jail_type == TypeChoice::Auto {
        log::info!("{}", chosen(jail_type, instead.as_ref()));
    }
    let filter = JailFilter::start(record, policy, trust, sockets, options.denied_names)?;
    let agent = agent.map(Agent::serve).transpose()?;
    let watched = watch(&filter, &init, beside, published, &target);
    // Whatever happened: nothing of the command may go on without its filter.
    init.end();
    reaper::end_descendants(Some(filter.pid()));
    let why = watched
        .as_ref()
        .map_or_else(EndReason::failed, |_| EndReason::CommandEnded);
    let finished = filter.finish(why);
    if let Some(agent) = agent {
        agent.finish();
    }
    let (code, totals) = (watched?, finished?);
    if options.summary {
        summarise(&totals);
    }
    if let Some(file) = record_file {
        tell_of(&file, options.summary);
    }
    Ok(code)
}

/// Keeps sockets of this process's network, and other things that are past every filter, from the
/// command.
fn hand_on_no_socket() -> anyhow::Result<()> {
    inherited::close_but_files().context("close what this process was started with")?;
    let among_streams = socket::network_socket_among(0).context("look at the standard streams")?;
    ensure!(
        among_streams.is_none(),
        "the standard streams are a network's socket, which no filter is in the way of: \
         start the command with pipes or files"
    );
    Ok(())
}

/// Jails the command, as it was asked for. Gives, too, why it isn't by the strongest type, where that
/// could have been chosen.
fn jail(wanted: &Wanted<'_>) -> anyhow::Result<(Jailed, Option<anyhow::Error>)> {
    match wanted.options.jail_type {
        TypeChoice::Only(Type::Nsjail) => Ok((nsjail::jail(wanted)?, None)),
        TypeChoice::Only(other) => Ok((notify::jail(wanted, other)?, None)),
        TypeChoice::Auto => match nsjail::jail(wanted) {
            Ok(jailed) => Ok((jailed, None)),
            Err(why) => match notify::jail(wanted, Type::Notify) {
                Ok(jailed) => Ok((jailed, Some(why))),
                Err(neither) => Err(anyhow!("{why:#}; {neither:#}")),
            },
        },
    }
}

/// What `auto` chose, and why nothing stronger, in one line.
fn chosen(jail_type: Type, instead: Option<&anyhow::Error>) -> String {
    let name = jail_type.name();
    match instead {
        None => format!("jailed by {name}, the strongest that can be had here"),
        Some(why) => format!("jailed by {name}: {why:#}"),
    }
}

/// Lets the command run, and looks after it until its end.
fn watch(
    filter: &JailFilter,
    init: &Init,
    beside: Option<Beside>,
    published: Published,
    target: &Target,
) -> anyhow::Result<ExitCode> {
    let requests = Requests::awaited()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        filter.is_ready()?;
        let (hand, handed) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let beside = async {
            match beside {
                Some(beside) => beside(handed).await,
                None => std::future::pending().await,
            }
        };
        // Where it has failed by now, it has said why.
        let _ = init.go();
        tokio::select! {
            // What the command did last is heard before what follows from it.
            biased;
            ended = listen(init, target, &hand, &answer) => ended,
            failed = beside => Err(failed),
            failed = filter.serve() => Err(failed),
            failed = published.serve(init, answers) => Err(failed),
            failed = pass_on(&requests, init) => Err(failed).context("pass a signal on"),
        }
    })
}

/// Hears what becomes of the command, until it has ended.
async fn listen(
    init: &Init,
    target: &Target,
    hand: &mpsc::UnboundedSender<Handed>,
    answer: &mpsc::UnboundedSender<Option<OwnedFd>>,
) -> anyhow::Result<ExitCode> {
    let arrived = init.readiness()?;
    loop {
        match init.news(&arrived).await? {
            News::Handed(handed) => {
                // A type that wants nothing of the kind isn't given it.
                let _ = hand.send(handed);
            }
            News::Connection(connection) => {
                // Nobody waits for it any more at the end.
                let _ = answer.send(connection);
            }
            News::CantRun(error) => log::error!("can't run {}: {error}", target.program()),
            News::Ended(code) => return Ok(code),
        }
    }
}

/// Passes on what this process is sent, as if it were the command.
async fn pass_on(requests: &Requests, init: &Init) -> anyhow::Error {
    loop {
        let passed = match requests.next().await {
            Ok(number) => init.signal(number),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = passed {
            return error;
        }
    }
}

/// Says what became of the record's file: whatever was asked for, if somebody changed it.
fn tell_of(file: &RecordFile, summary: bool) {
    match file.doubt() {
        (changed, true) => log::warn!("{changed}"),
        (possible, false) if summary => log::info!("{possible}"),
        _ => {}
    }
}

/// Says what came of it.
fn summarise(status: &JournalStatus) {
    let totals = &status.totals;
    log::info!(
        "{} attempts allowed, {} denied, {} bytes out, {} in",
        totals.allowed,
        totals.denied,
        totals.bytes_out,
        totals.bytes_in
    );
    if let Some(denial) = &status.last_denial {
        log::info!("denied last: {denial}");
    }
}
