//! Takes the name of an abstract socket as a user without capabilities, says so, and keeps it until its input ends:
//! `squat NAME USER`, as root.

use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use nix::unistd::{Uid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("the name");
    let user = arguments.next().and_then(|user| user.parse().ok());
    let user = Uid::from_raw(user.expect("the number of the user"));
    setresuid(user, user, user).expect("become the user");
    // Root keeps them, and loses them as in a container.
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).expect("give up all capabilities");
    let address = SocketAddr::from_abstract_name(name).expect("a name of a socket");
    let _listener = UnixListener::bind_addr(&address).expect("take the name");
    println!();
    // Whatever comes, the end of it is waited for.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
