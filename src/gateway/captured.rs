//! What a gateway's ruleset hands to the proxy, while it is in force: the one part of it that
//! changes with the policy.

use crate::gateway::ruleset;
use crate::packets::agreed::ProxyPorts;
use crate::policy::CapturedPorts;
use crate::sys::netlink::Netfilter;

/// The part of a ruleset in force that says what is handed to the proxy.
#[derive(Debug)]
pub struct CapturedRules {
    netfilter: Netfilter,
    captured: CapturedPorts,
    proxy: ProxyPorts,
}

impl CapturedRules {
    /// Those of a ruleset that was made with these, changed through this socket of its namespace.
    pub(super) fn of(netfilter: Netfilter, captured: &CapturedPorts, proxy: ProxyPorts) -> Self {
        Self {
            netfilter,
            captured: captured.clone(),
            proxy,
        }
    }

    /// What is handed over now.
    #[must_use]
    pub fn captured(&self) -> &CapturedPorts {
        &self.captured
    }

    /// Hands over these instead, in one transaction: each packet meets the rules before it, or those
    /// after it. Nothing is done where they are the same.
    ///
    /// # Errors
    /// What nf_tables says; the rules before stay in force.
    pub fn capture(&mut self, captured: CapturedPorts) -> std::io::Result<()> {
        if captured == self.captured {
            return Ok(());
        }
        let (batch, acknowledged) = ruleset::recapture(&captured, self.proxy);
        self.netfilter.transact(&batch, acknowledged)?;
        self.captured = captured;
        Ok(())
    }
}
