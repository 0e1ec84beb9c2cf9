//! What uses a connection to a server: the streams that are under way on it, and what the last of them asked.
//!
//! Owns when a connection ends on which a changed policy allows nothing more. Each stream is judged by itself
//! (`exchange`); the connection is, once none is under way. Invariant: what is to end takes no more
//! streams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::proxy::flow::{Flow, Lead};
use crate::proxy::http::origin::Judged;
use crate::proxy::in_force::Footing;

/// The use of one connection.
#[derive(Debug)]
pub(super) struct Usage {
    lead: Lead,
    now: Mutex<Now>,
    /// That it is to be looked at again.
    news: Notify,
}

#[derive(Debug)]
struct Now {
    under_way: usize,
    /// What was asked on it last.
    asked: Arc<Judged>,
    /// Whether the policy was changed while streams were under way.
    is_behind: bool,
    /// Whether it takes no more.
    is_over: bool,
}

/// A stream that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Usage>);

impl Usage {
    /// That of a connection which leads there, and was made for a stream that asks this.
    pub(super) fn begun(lead: Lead, asked: Arc<Judged>) -> (Arc<Self>, UnderWay) {
        let now = Now {
            under_way: 1,
            asked,
            is_behind: false,
            is_over: false,
        };
        let usage = Arc::new(Self {
            lead,
            now: Mutex::new(now),
            news: Notify::new(),
        });
        (Arc::clone(&usage), UnderWay(usage))
    }

    /// Where the connection leads.
    pub(super) fn lead(&self) -> &Lead {
        &self.lead
    }

    /// Begins another stream, which asks this. None where it takes no more.
    pub(super) fn begin(self: &Arc<Self>, asked: &Arc<Judged>) -> Option<UnderWay> {
        let mut now = self.now();
        if now.is_over {
            return None;
        }
        now.under_way += 1;
        now.asked = Arc::clone(asked);
        drop(now);
        Some(UnderWay(Arc::clone(self)))
    }

    /// Has it take no more.
    pub(super) fn end(&self) {
        self.now().is_over = true;
    }

    /// Whether it takes no more.
    pub(super) fn is_over(&self) -> bool {
        self.now().is_over
    }

    /// Waits until a changed policy allows nothing more on it, and nothing is under way. It is no flow of the
    /// client's that would be counted as cut.
    pub(super) async fn shut(&self, footing: &mut Footing, flow: &Flow) {
        loop {
            let look = || {
                self.news.notify_one();
                Ok(())
            };
            let looked = footing.hold(look, self.news.notified()).await;
            if looked.is_ok() && !self.may_stay(flow) {
                return;
            }
        }
    }

    fn may_stay(&self, flow: &Flow) -> bool {
        let mut now = self.now();
        now.is_behind = now.under_way > 0;
        let may = now.is_behind || now.asked.may_be_followed(flow, &self.lead).is_ok();
        now.is_over |= !may;
        may
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// On this connection.
    pub(super) fn usage(&self) -> &Usage {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.under_way = now.under_way.saturating_sub(1);
        if now.under_way == 0 && now.is_behind {
            self.0.news.notify_one();
        }
    }
}
