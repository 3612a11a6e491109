//! Where a request comes from: the address at the other end of the connection, or what a proxy
//! says that is known to say the truth.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{Extensions, HeaderMap};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address at the other end of the connection. The server of the router puts it into the
/// request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The address of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(IpAddr);

impl Client {
    /// `None`: the server of the router does not provide the address.
    pub(crate) fn of(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().map(|client| client.0)
    }

    /// The nearest address that is not a trusted proxy's. Headers are lists to which every proxy
    /// adds the address that it sees; entries before the first that is not trusted may be forged.
    pub(crate) fn find(
        extensions: &Extensions,
        headers: &HeaderMap,
        proxies: &TrustedProxies,
    ) -> Option<Self> {
        let mut client = extensions.get::<Peer>()?.0.to_canonical();
        let values = headers.get_all(FORWARDED_FOR).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        let mut claimed = values.iter().rev().flat_map(|value| value.rsplit(','));
        while proxies.contain(client)
            && let Some(address) = claimed.next().and_then(address)
        {
            client = address;
        }
        Some(Self(client))
    }
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let parsed = bare.unwrap_or(text).parse().ok();
    let with_port = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    parsed
        .or_else(with_port)
        .map(|ip: IpAddr| ip.to_canonical())
}

/// The networks of the proxies in front of this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// IPv4 lies inside IPv6, as `::ffff:0:0/96`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    base: u128,
    mask: u128,
}

fn bits(address: IpAddr) -> u128 {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (all, before) = match address {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        let length = match length {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
            None => all,
        };
        let host_bits = (length <= all).then(|| 128 - before - length)?;
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(Self {
            base: bits(address) & mask,
            mask,
        })
    }
}

impl TrustedProxies {
    /// From networks as in `10.0.0.0/8, 2001:db8::/32`; an address alone is a network of one. The
    /// error is the word that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        let networks = words.map(|word| Network::parse(word).ok_or_else(|| word.to_owned()));
        networks.collect::<Result<_, _>>().map(Self)
    }

    fn contain(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.0
            .iter()
            .any(|network| bits & network.mask == network.base)
    }
}

/// What one subscriber has: an address of IPv4, or a network of IPv6, which has more addresses than
/// can be counted.
pub(crate) fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &str, peer: &str, claims: &[&str]) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(peer.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for claim in claims {
            headers.append(FORWARDED_FOR, claim.parse().unwrap());
        }
        let proxies = TrustedProxies::parse(proxies).unwrap();
        Client::find(&extensions, &headers, &proxies)
            .unwrap()
            .0
            .to_string()
    }

    #[test]
    fn only_trusted_proxies_say_who_the_client_is() {
        let ours = "10.0.0.0/8, 2001:db8:1::/48, 192.0.2.7";
        let table: &[(&str, &str, &[&str], &str)] = &[
            ("", "10.1.2.3", &["203.0.113.9"], "10.1.2.3"),
            (ours, "203.0.113.5", &["198.51.100.1"], "203.0.113.5"),
            (ours, "10.1.2.3", &[], "10.1.2.3"),
            (ours, "10.1.2.3", &["203.0.113.9"], "203.0.113.9"),
            (ours, "::ffff:10.1.2.3", &["203.0.113.9"], "203.0.113.9"),
            (ours, "2001:db8:1::5", &["2001:db8:2::9"], "2001:db8:2::9"),
            // A chain of ours, and an invention in front of it.
            (
                ours,
                "10.1.2.3",
                &["127.0.0.1, 203.0.113.9, 192.0.2.7"],
                "203.0.113.9",
            ),
            (
                ours,
                "10.1.2.3",
                &["127.0.0.1", "203.0.113.9", "10.9.9.9"],
                "203.0.113.9",
            ),
            (ours, "10.1.2.3", &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            (ours, "10.1.2.3", &["203.0.113.9:4711"], "203.0.113.9"),
            (ours, "10.1.2.3", &["[2001:db8:2::9]:4711"], "2001:db8:2::9"),
            (ours, "10.1.2.3", &["[2001:db8:2::9]"], "2001:db8:2::9"),
            // What is not an address belongs to no client.
            (ours, "10.1.2.3", &["203.0.113.9, unknown"], "10.1.2.3"),
            (ours, "10.1.2.3", &["' OR 1=1 --"], "10.1.2.3"),
            ("0.0.0.0/0", "10.1.2.3", &["1.1.1.1, 2.2.2.2"], "1.1.1.1"),
        ];
        for (proxies, peer, claims, expected) in table {
            assert_eq!(
                client(proxies, peer, claims),
                *expected,
                "{peer} {claims:?}"
            );
        }
    }

    #[test]
    fn networks_are_networks() {
        for good in [
            "",
            "10.0.0.0/8",
            "10.1.2.3/8 ::1",
            "::/0",
            "0.0.0.0/0,fe80::/10",
        ] {
            assert!(TrustedProxies::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "10.0.0/8",
            "proxy",
            "10.0.0.0/+8",
        ] {
            assert_eq!(TrustedProxies::parse(bad), Err(bad.to_owned()));
        }
        let none_of_ipv6 = TrustedProxies::parse("0.0.0.0/0").unwrap();
        assert!(!none_of_ipv6.contain("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn a_subscriber_has_a_network_of_ipv6() {
        let of = |text: &str| subscriber(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
    }
}
