//! The jail's filter: the same process as a container's, with what a jail has for it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use anyhow::{Context, anyhow};
use tokio::sync::mpsc;

use super::options::Options;
use super::record_file::RecordFile;
use crate::audit::line::About;
use crate::audit::{Journal, JournalStatus, Renew, Stream};
use crate::control::FilterReport;
use crate::gateway::links::Links;
use crate::policy::{DeniedNames, Exit, GivenNames, Hostname, Policy, PolicySource, is_public};
use crate::proxy::keeper::EndReason;
use crate::proxy::tls::trust::Trust;
use crate::proxy::{Beyond, Cell, Filter, Interfaces, Rights, Sockets, Task};
use crate::resolv_conf;
use crate::settings::Settings;
use crate::supervisor::filter::FilterProcess;
use crate::sys::channel::Channel;
use crate::sys::netlink::Route;

/// A jail's filter.
pub(super) struct JailFilter(FilterProcess<Box<dyn Renew>>);

impl JailFilter {
    /// Starts it. It confines itself meanwhile, see [`Self::is_ready`].
    ///
    /// # Errors
    /// What `fork(2)` gives.
    pub(super) fn start(
        record: Record,
        policy: Policy,
        trust: Option<Trust>,
        sockets: Sockets,
        denied_names: DeniedNames,
    ) -> anyhow::Result<Self> {
        let Record { journal, renew } = record;
        let notices = policy.notices();
        notices.iter().for_each(|notice| journal.notice(notice));
        let defaults = Settings::default();
        let task = Task {
            policy,
            journal,
            resolvers: resolvers(),
            given: given(),
            exit: Exit::Host,
            memory: defaults.proxy_memory,
            dns_rate_limit: defaults.dns_rate_limit,
            trust,
            denied_note: None,
            denied_names,
        };
        let cell = Cell {
            keeper: std::process::id().cast_signed(),
            inside: None,
            rights: Rights::of_caller()?,
        };
        let process = FilterProcess::start(Filter::new(task, sockets), cell, renew)?;
        process.tell_interfaces(interfaces())?;
        Ok(Self(process))
    }

    /// Waits until it serves.
    pub(super) fn is_ready(&self) -> anyhow::Result<()> {
        self.0.is_ready()
    }

    /// Its number.
    pub(super) fn pid(&self) -> i32 {
        self.0.pid()
    }

    /// Gives it what it asks for until it ends. Says why.
    pub(super) async fn serve(&self) -> anyhow::Error {
        let (_ask, asking) = mpsc::channel(1);
        let (_notice, noticing) = mpsc::channel(1);
        let ended = self.0.serve(asking, noticing).await;
        ended.err().unwrap_or_else(|| anyhow!("the filter is gone"))
    }

    /// Has the last be recorded. Gives what it all came to.
    pub(super) fn finish(self, why: EndReason) -> anyhow::Result<JournalStatus> {
        let finished = self.report().and_then(|report| {
            self.0.finish(why)?;
            Ok(report.tally)
        });
        if finished.is_err() {
            self.0.end();
        }
        self.0.wait();
        finished
    }

    fn report(&self) -> anyhow::Result<FilterReport> {
        self.0.report()
    }
}

/// The record, and where more files for it come from.
pub(super) struct Record {
    journal: Journal,
    renew: Box<dyn Renew>,
}

impl Record {
    /// Opens it where it was asked for; with its file, where that is one.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn open(
        options: &Options,
        source: &PolicySource,
        policy: &Policy,
    ) -> anyhow::Result<(Self, Option<RecordFile>)> {
        let about = about(source, policy);
        let name = format!("jail-{}", std::process::id());
        let Some(path) = &options.log else {
            let (journal, renew) = to_standard_error(options, &name, about)?;
            return Ok((Self { journal, renew }, None));
        };
        let failed = || format!("can't write the record to {}", path.display());
        let journal = Journal::open_in(options.form, path, &name, about).with_context(failed)?;
        let file = RecordFile::at(path).with_context(failed)?;
        let renew = file.further();
        Ok((Self { journal, renew }, Some(file)))
    }

    /// Has whoever holds the other end be told of each judged request, too.
    pub(super) fn report_to(&self, other: Channel) {
        self.journal.report_to(other);
    }
}

fn to_standard_error(
    options: &Options,
    name: &str,
    about: About,
) -> anyhow::Result<(Journal, Box<dyn Renew>)> {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let stderr = File::from(stderr.context("standard error is closed")?);
    let journal = Journal::to_stream(options.form, stderr.try_clone()?, name, about)?;
    Ok((journal, Box::new(Stream::of(stderr))))
}

fn about(source: &PolicySource, policy: &Policy) -> About {
    About {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        policy: source.name.clone(),
        policy_hash: source.hash(),
        mode: source.mode.to_string(),
        intercepts: policy.may_intercept(),
        ..About::default()
    }
}

/// The servers that this host asks.
fn resolvers() -> Vec<std::net::SocketAddr> {
    let named =
        resolv_conf::HOST.map(|file| resolv_conf::nameservers(&resolv_conf::text(file.as_ref())));
    resolv_conf::usable_by_host(named.concat())
        .into_iter()
        .map(|address| (address, 53).into())
        .collect()
}

/// How the command completes short names: as this host does.
fn given() -> GivenNames {
    let [file, _] = resolv_conf::HOST;
    let domains = resolv_conf::search(&resolv_conf::text(file.as_ref()));
    GivenNames {
        search: domains
            .iter()
            .filter_map(|domain| Hostname::parse(domain).ok())
            .collect(),
        hosts: Vec::new(),
    }
}

/// The command speaks as this host does. Its public addresses are never dialled: what serves there may
/// trust whoever comes from them.
fn interfaces() -> Interfaces {
    let own = Route::open().and_then(|route| Links::new(route).every_address());
    let own = own.unwrap_or_else(|error| {
        log::warn!(
            "this host's public addresses are not refused, since they can't be listed: {error}"
        );
        Vec::new()
    });
    Interfaces {
        own: own
            .into_iter()
            .filter(|address| is_public(*address))
            .collect(),
        beyond: Beyond { v4: true, v6: true },
        ..Interfaces::default()
    }
}
