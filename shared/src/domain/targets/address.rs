//! What an address is for, and which addresses a call to it can end at.
//!
//! By the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and what has been added since) and the addresses
//! at which clouds serve credentials. Invariant: what is not known to be on the public internet is not `Public`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A host on the public internet.
    Public,
    /// No host, or this one: `0.0.0.0/8`, `::`.
    Unspecified,
    /// A network of one's own: RFC 1918, unique local and site-local addresses.
    Private,
    /// Shared by a provider's customers (CGNAT, RFC 6598).
    Shared,
    /// This machine.
    Loopback,
    /// This link.
    LinkLocal,
    /// A cloud's service that knows a machine's credentials.
    Metadata,
    /// Examples in texts.
    Documentation,
    /// Measurements.
    Benchmarking,
    /// Groups of hosts.
    Multicast,
    /// Every host of this link.
    Broadcast,
    /// Protocols, discarded traffic, and what is not given out.
    Reserved,
}

impl Kind {
    /// What this very address is for, whatever address it may carry.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// In a word, for whoever runs this.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unspecified => "unspecified",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        // AWS, Azure, Google and others; tasks and pods of AWS; Alibaba; Oracle; the agent of Azure.
        [169, 254, 169, 254]
        | [169, 254, 170, 2 | 23]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192]
        | [168, 63, 129, 16] => Kind::Metadata,
        [0, ..] => Kind::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        [100, 64..=127, ..] => Kind::Shared,
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Documentation,
        [198, 18..=19, ..] => Kind::Benchmarking,
        [224..=239, ..] => Kind::Multicast,
        [255, 255, 255, 255] => Kind::Broadcast,
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Kind::Reserved,
        _ => Kind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Kind {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        // AWS, Google, Oracle.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254]
        | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254]
        | [0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe] => Kind::Metadata,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Kind::Private,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        [0xff00..=0xffff, ..] => Kind::Multicast,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Documentation,
        [0x2001, 0x0002, 0, ..] => Kind::Benchmarking,
        // Only 2000::/3 is given out, and its beginning is for protocols.
        [0x2001, 0..=0x01ff, ..] => Kind::Reserved,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Reserved,
    }
}

/// The addresses that decide about a call to this one: itself, or the IPv4 addresses that it carries, or both where the
/// form itself is not one of the public internet.
#[must_use]
pub fn decisive(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else { return vec![address] };
    match v6.segments() {
        // Mapped (RFC 4291), translated by NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, _, _, _, _, _] => vec![v4(high, low)],
        // Teredo (RFC 4380): its server, and its client the other way up.
        [0x2001, 0, server_high, server_low, _, _, high, low] => vec![v4(server_high, server_low), v4(!high, !low)],
        // NAT64 of one's own network (RFC 8215), translated (RFC 7915), compatible (RFC 4291).
        [0x0064, 0xff9b, 1, _, _, _, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => vec![address, v4(high, low)],
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => vec![address, v4(high, low)],
        _ => vec![address],
    }
}

fn v4(high: u16, low: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}
