//! The addresses of a network interface in this process's own namespace.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// The addresses of an interface by its name, but for link-local ones, which mean nothing
/// elsewhere; none where there is no such interface, or the kernel doesn't say (getifaddrs(3)).
#[must_use]
pub fn addresses(interface: &str) -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten();
    let own = all.filter(|one| one.interface_name == interface);
    own.filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    })
    .filter(|address| !is_link_local(*address))
    .collect()
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_address_and_a_missing_one_has_none() {
        assert!(addresses("lo").contains(&IpAddr::from([127, 0, 0, 1])));
        assert_eq!(addresses("no-such-link"), Vec::<IpAddr>::new());
    }
}
