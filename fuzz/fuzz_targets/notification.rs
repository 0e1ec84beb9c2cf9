//! A call of a jailed command: its registers, and what its memory has for an address and for a message.

#![no_main]

use boundary_shim::jail::notify::address::{self, Address};
use boundary_shim::jail::notify::message::{self, Head};
use boundary_shim::jail::notify::request::{self, Kind, Piece, Request};
use libfuzzer_sys::fuzz_target;

/// The most of an address that is read.
const ADDRESS: usize = 128;

fuzz_target!(|bytes: &[u8]| {
    let Some((registers, memory)) = bytes.split_at_checked(56) else {
        return;
    };
    let mut words = registers
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")));
    let call = words.next().expect("seven words").cast_signed();
    let arguments: [u64; 6] = std::array::from_fn(|_| words.next().expect("seven words"));
    hear(call, arguments);
    read_address(memory.get(..ADDRESS).unwrap_or(memory));
    read_message(memory);
});

/// Nothing is made but what is known, and no address is longer than what is read.
fn hear(call: i64, arguments: [u64; 6]) {
    match request::read(call, arguments) {
        Ok(Request::Make {
            kind: Kind::Unix(kind),
            ..
        }) => assert!([1, 2, 5].contains(&kind)),
        Ok(Request::Connect { address, .. } | Request::Bind { address, .. }) => {
            assert!(address.length <= 128);
        }
        Ok(Request::Send { address, .. }) => {
            assert!(address.length <= 128);
            assert_eq!(arguments[3] & 0x2000_0000, 0, "no first bytes connect");
        }
        _ => {}
    }
}

fn read_address(bytes: &[u8]) {
    let Some(Address::Ip(ip)) = address::read(bytes) else {
        return;
    };
    let written = address::written(ip, ip.is_ipv6());
    assert_eq!(address::read(&written), Some(Address::Ip(ip)));
    let destination = address::destination(ip);
    assert!(!destination.ip().is_unspecified());
    assert_eq!(destination.ip(), destination.ip().to_canonical());
}

fn read_message(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk() else {
        return;
    };
    let head = Head::read(head);
    assert!(head.address.is_none_or(|address| address.at != 0));
    let pieces: Vec<Piece> = message::pieces(rest);
    let parts = message::spread(&pieces, bytes.len());
    let sum: u64 = parts.iter().map(|part| part.length).sum();
    assert!(sum <= bytes.len() as u64);
    assert!(parts.len() <= pieces.len());
}
