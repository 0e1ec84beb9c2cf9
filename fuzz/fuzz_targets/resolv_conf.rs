//! resolv.conf: the host's, and one that the container can write to.

#![no_main]

use boundary_shim::resolv_conf::{nameservers, search, usable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    assert!(search(&text).iter().all(|domain| text.contains(domain)));
    let servers = usable(nameservers(&text));
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
