//! What the driver leaves unset on its sockets.
//!
//! A message that is followed by another small one waits, without TCP_NODELAY, until the
//! server has acknowledged it, which takes the server forty milliseconds: each COPY would.
//! And a peer that is gone without a word would be waited for a quarter of an hour, an idle
//! one forever.
//!
//! sqlx opens its sockets and does not expose them, so they are found among those of the process:
//! all that are connected to PostgreSQL's port. Setting the option twice does no harm, nor does
//! setting it on another library's socket to that port.

use std::os::fd::RawFd;

#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";
#[cfg(not(target_os = "linux"))]
const DESCRIPTORS: &str = "/dev/fd";

/// A peer that acknowledges nothing for this long is gone.
#[cfg(target_os = "linux")]
const GONE_AFTER_SECONDS: libc::c_int = 30;

/// Prepares all TCP connections to this port. What cannot be set is done without.
pub(crate) fn prepare(port: u16) {
    let entries = match std::fs::read_dir(DESCRIPTORS) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::debug!(%error, "the sockets of PostgreSQL's connections cannot be looked up");
            return;
        }
    };
    for entry in entries.flatten() {
        let descriptor = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(descriptor) = descriptor
            && peer_port(descriptor) == Some(port)
        {
            for (level, option, value) in OPTIONS {
                set(descriptor, *level, *option, *value);
            }
        }
    }
}

#[cfg(target_os = "linux")]
const OPTIONS: &[(libc::c_int, libc::c_int, libc::c_int)] = &[
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
    (
        libc::IPPROTO_TCP,
        libc::TCP_KEEPIDLE,
        GONE_AFTER_SECONDS / 2,
    ),
    (
        libc::IPPROTO_TCP,
        libc::TCP_KEEPINTVL,
        GONE_AFTER_SECONDS / 6,
    ),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
    (
        libc::IPPROTO_TCP,
        libc::TCP_USER_TIMEOUT,
        GONE_AFTER_SECONDS * 1_000,
    ),
];

#[cfg(not(target_os = "linux"))]
const OPTIONS: &[(libc::c_int, libc::c_int, libc::c_int)] = &[
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
];

/// The port that a TCP socket is connected to.
fn peer_port(descriptor: RawFd) -> Option<u16> {
    // SAFETY: all bits zero is a valid `sockaddr_storage`, which has room for any address.
    let mut address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: both pointers are to live values, and `length` says how large the first one is.
    // A descriptor that is no socket, or was closed meanwhile, is an error.
    let failed = unsafe {
        libc::getpeername(
            descriptor,
            (&raw mut address).cast::<libc::sockaddr>(),
            &raw mut length,
        )
    };
    if failed != 0 {
        return None;
    }
    match libc::c_int::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: an address of this family is a `sockaddr_in`.
            let v4 = unsafe { &*(&raw const address).cast::<libc::sockaddr_in>() };
            Some(u16::from_be(v4.sin_port))
        }
        libc::AF_INET6 => {
            // SAFETY: an address of this family is a `sockaddr_in6`.
            let v6 = unsafe { &*(&raw const address).cast::<libc::sockaddr_in6>() };
            Some(u16::from_be(v6.sin6_port))
        }
        _ => None,
    }
}

fn set(descriptor: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) {
    // SAFETY: the pointer is to a live value of the length that is given.
    let failed = unsafe {
        libc::setsockopt(
            descriptor,
            level,
            option,
            (&raw const value).cast::<libc::c_void>(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if failed != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, level, option, "an option of a connection cannot be set");
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_connections_to_the_port_are_prepared() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (Ok(server), Ok(other)) = (TcpListener::bind(host), TcpListener::bind(host)) else {
                // Not every machine has IPv6; the first one is everywhere.
                assert_eq!(host, "[::1]:0");
                continue;
            };
            let address = server.local_addr().unwrap();
            let ours = TcpStream::connect(address).unwrap();
            let theirs = TcpStream::connect(other.local_addr().unwrap()).unwrap();
            assert!(!ours.nodelay().unwrap());
            prepare(address.port());
            assert!(ours.nodelay().unwrap(), "{host}");
            assert!(!theirs.nodelay().unwrap(), "{host}");
        }
    }
}
