//! What the kernel says about links, addresses and routes. The words are the kernel's, but a
//! container with CAP_NET_ADMIN chooses what they are about; and what was read of an adopted link
//! is sent again, for the link in its place.

#![no_main]

use boundary_shim::gateway::addresses::address_of;
use boundary_shim::gateway::links::{described, news};
use boundary_shim::gateway::routes::{is_default, next_hop};
use boundary_shim::sys::netlink::{acknowledgements, messages};
use libfuzzer_sys::fuzz_target;
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

fuzz_target!(|bytes: &[u8]| {
    let _ = acknowledgements(bytes).count();
    let _ = news(bytes).count();
    let _ = described(bytes).count();
    for message in messages(bytes) {
        let NetlinkPayload::InnerMessage(message) = message.payload else {
            continue;
        };
        match &message {
            RouteNetlinkMessage::NewAddress(address) => {
                let _ = address_of(address);
                send_again(message);
            }
            RouteNetlinkMessage::NewRoute(route) => {
                let _ = (next_hop(route), is_default(route));
                send_again(message);
            }
            _ => {}
        }
    }
});

fn send_again(message: RouteNetlinkMessage) {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
}
