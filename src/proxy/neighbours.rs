//! Answers the container's IPv6 neighbour solicitations on one inside link, as long as the link is there.

use std::io::Read;

use crate::gateway::link::Link;
use crate::gateway::neighbour;
use crate::sys::{readiness, socket};

/// IPv6's ethertype.
const IPV6: u16 = 0x86dd;

/// Answers until the link is gone.
pub(super) async fn answer(link: Link, socket: socket2::Socket) {
    let Ok(station) = <[u8; 6]>::try_from(link.station.as_slice()) else { return };
    let Ok(arrived) = readiness::of(&socket) else { return };
    let mut buffer = [0; 128];
    while let Ok(mut ready) = arrived.readable().await {
        match ready.try_io(|_| (&socket).read(&mut buffer)) {
            Ok(Ok(length)) => {
                let Some(asked) = buffer.get(..length).and_then(neighbour::solicitation) else { continue };
                let answer = neighbour::advertisement(asked, station);
                // The asker is the only other station on this wire: its broadcast reaches it, and needs no lookup.
                if let Ok(everyone) = socket::link_address(link.index, IPV6, [0xff; 6]) {
                    let _ = socket.send_to(&answer, &everyone);
                }
            }
            // ENETDOWN: the link was taken down or is gone.
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}
