//! How many connections a gateway keeps back is its ruleset's word alone: nobody here reads what is
//! reported of them, and nobody answers for them.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use boundary_shim::gateway::Gateway;
use boundary_shim::gateway::adopt;
use boundary_shim::packets::agreed::ProxyPorts;
use boundary_shim::policy::CapturedPorts;
use boundary_shim::sys::socket;
use libtest_mimic::Failed;
use socket2::{Domain, Socket, Type};

use crate::{Answering, Wire};

/// Kept back at once, and in each second besides.
const AT_ONCE: usize = 256;
const A_SECOND: u128 = 1000;

/// For the acceptance of all that is not kept back.
const DEADLINE: Duration = Duration::from_secs(10);

/// More than can be kept back in the time that it takes to begin them.
const MANY: usize = 900;

pub(crate) fn beyond_what_is_kept_back() -> Result<(), Failed> {
    let wire = Wire::new();
    let mut gateway = Gateway::create()?;
    let any = "0.0.0.0".parse()?;
    let listener = gateway
        .side
        .namespace
        .inside(|| socket::listen_captured(any, 0))?;
    let ports = ProxyPorts {
        tcp: listener.local_addr()?.port(),
        udp: 1,
    };
    let captured = CapturedPorts {
        tcp: vec![(443, 443)],
        udp: vec![],
    };
    gateway.enforce(&captured, ports)?;
    let mut container = wire.side();
    let link = container.links.by_name("eth0")?;
    let adopted = adopt::adopt(&mut gateway, &mut container, link)?;
    let _answering = Answering::start(&gateway, &adopted);
    let _accepting = Accepting::start(listener);

    // The neighbour is known then: its kernel keeps back what waits for it.
    let refused: SocketAddr = "198.51.100.7:22".parse()?;
    let knock = || std::net::TcpStream::connect(refused);
    assert!(container.namespace.inside(knock).is_err());

    let began = Instant::now();
    let target: SocketAddr = "198.51.100.7:443".parse()?;
    let clients = container.namespace.inside(|| {
        let begin = |_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            client.set_nonblocking(true)?;
            match client.connect(&target.into()) {
                Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(client),
                outcome => outcome.map(|()| client),
            }
        };
        (0..MANY).map(begin).collect::<Result<Vec<_>, _>>()
    })?;
    let refilled = usize::try_from(began.elapsed().as_millis() * A_SECOND / 1000)?;
    let accepted = || {
        let is_accepted = |client: &&Socket| client.peer_addr().is_ok();
        clients.iter().filter(is_accepted).count()
    };
    let least = MANY.saturating_sub(AT_ONCE + refilled + 1);
    while accepted() < least {
        assert!(
            began.elapsed() < DEADLINE,
            "{} were accepted, {least} of them at least by the rules",
            accepted()
        );
        std::thread::yield_now();
    }
    let accepted = accepted();
    // Later, they ask again.
    if began.elapsed() < Duration::from_secs(1) {
        assert!(
            accepted <= MANY - AT_ONCE,
            "{accepted} of {MANY} were accepted: hardly any was kept back"
        );
    }
    Ok(())
}

/// Takes whoever comes, until dropped.
struct Accepting(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Accepting {
    fn start(listener: TcpListener) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let accept = move || {
            let mut guests = Vec::new();
            while !until.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((guest, _)) => guests.push(guest),
                    Err(_) => std::thread::yield_now(),
                }
            }
        };
        Self(over, Some(std::thread::spawn(accept)))
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(std::thread::JoinHandle::join);
    }
}
