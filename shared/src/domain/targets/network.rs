//! Networks, as they are written in a configuration: `10.0.0.0/8`, `fd00::/8`, or one address.

use core::fmt;
use core::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// A range of addresses (CIDR).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

impl Network {
    /// The network of this address and prefix; `None` where the prefix is longer than the address.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        IpNet::new(address, prefix).ok().map(|network| Self(network.trunc()))
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let one = |_| written.parse::<IpAddr>().map(IpNet::from);
        let network = written.parse::<IpNet>().or_else(one);
        let network =
            network.map_err(|_| format!("`{written}` is no network: write `10.0.0.0/8`, `fd00::/8` or one address"))?;
        if network != network.trunc() {
            return Err(format!("`{written}` is an address in a network: write the network, `{}`", network.trunc()));
        }
        match network {
            IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
                Err(format!("`{written}` is an IPv4 network: write it as one"))
            }
            IpNet::V6(_) | IpNet::V4(_) => Ok(Self(network)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
