//! What every type of jail is made from, and comes to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::allowed_sockets::AllowedSockets;
use super::init::Init;
use super::inner::Handed;
use super::options::{Options, Type};
use super::target::Target;
use crate::policy::Policy;
use crate::proxy::Sockets;

/// A command that waits in its jail until its filter serves: what every type of jail comes to.
pub(crate) struct Jailed {
    /// Which type it is.
    pub(crate) jail_type: Type,
    /// Where the filter comes by what the command sends. A type opens them on the target's side and has
    /// them handed out ([`Sockets::hand_out`]), or makes them here ([`Sockets::told`]).
    pub(crate) sockets: Sockets,
    /// The command's inner init.
    pub(crate) init: Init,
    /// What this type does in the jail's own process for as long as the command lives, if anything.
    pub(crate) beside: Option<Beside>,
}

/// It begins when the filter serves, before the command runs, within a tokio runtime of one thread (it
/// may start threads). It is given what the target hands out before it becomes its program
/// ([`super::inner::TargetSide::confine`]), and is dropped at the end. If it ends by itself, so does the jail.
pub(crate) type Beside = Box<
    dyn FnOnce(mpsc::UnboundedReceiver<Handed>) -> Pin<Box<dyn Future<Output = anyhow::Error>>>,
>;

/// What a type of jail is made from.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// What was asked for.
    pub(crate) options: &'a Options,
    /// Unix sockets that are open to the command.
    pub(crate) allowed: &'a Arc<AllowedSockets>,
    /// The rules.
    pub(crate) policy: &'a Policy,
    /// The command.
    pub(crate) target: &'a Target,
}
