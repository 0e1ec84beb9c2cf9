//! The rows, by kind. A new one goes where its kind is: whom the proxy asks, and names and
//! addresses that disagree, into `names.rs`; what a policy denies, made to look like something
//! else, into `pretences.rs`, and within TLS into `intercepted.rs`; what somebody is made to approve, into `approvals.rs`; what passes while the host changes what is allowed, into `live.rs`; who vouches for whom there, into `authority.rs`; networks that
//! come to a running container, and everything below TCP and UDP, into `capture.rs`; what the gateway's kernel does by itself into `kernel.rs`. The
//! policy that they attack is `etc/boundary/policies/default.yaml`.

mod approvals;
mod authority;
mod capture;
mod intercepted;
mod kernel;
mod live;
mod mutated;
mod names;
mod pretences;
mod take_over;

use crate::row::Row;

/// All of them, in the order of SECURITY.md.
pub(crate) fn all() -> impl Iterator<Item = Row> {
    [
        kernel::ROWS,
        take_over::ROWS,
        capture::ROWS,
        names::ROWS,
        approvals::ROWS,
        live::ROWS,
        pretences::ROWS,
        intercepted::ROWS,
        authority::ROWS,
        mutated::ROWS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
