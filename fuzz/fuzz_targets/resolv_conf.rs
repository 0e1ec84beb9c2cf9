//! resolv.conf: the host's, and one that the container can write to.

#![no_main]

use boundary_shim::resolv_conf::{nameservers, usable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let named = nameservers(&String::from_utf8_lossy(bytes));
    let servers = usable(named);
    assert!(servers.len() <= 3);
    for server in servers {
        assert!(
            !server.to_canonical().is_loopback()
                && !server.is_unspecified()
                && !server.is_multicast(),
            "{server}"
        );
    }
});
