//! Where a caller comes from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The address of a peer, without its port. One of IPv4 is never held as one of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(IpAddr);

impl Address {
    /// The address itself.
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// What counts as one place: with IPv6, what is given to one customer, within which a host changes its address as it likes.
    pub fn place(self) -> Place {
        match self.0 {
            IpAddr::V4(_) => Place(self.0),
            IpAddr::V6(address) => Place(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self(ip.to_canonical())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address of IPv4, or a network of IPv6 of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(IpAddr);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn an_address_of_ipv4_is_the_same_in_either_form() {
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_eq!(address("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn a_host_of_ipv6_changes_its_address_and_not_its_place() {
        let place = |text| address(text).place();
        assert_eq!(place("2001:db8:0:1::1"), place("2001:db8:0:1:ffff::2"));
        assert_ne!(place("2001:db8:0:1::1"), place("2001:db8:0:2::1"));
        assert_ne!(place("192.0.2.1"), place("192.0.2.2"));
        assert_eq!(
            (place("2001:db8:0:1::1").to_string(), place("192.0.2.1").to_string()),
            ("2001:db8:0:1::/64".into(), "192.0.2.1".into())
        );
    }
}
