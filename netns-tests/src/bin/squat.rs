//! Takes the name of an abstract socket as a user without privileges, says so, and keeps it until its input ends:
//! `squat NAME`, as root.

use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use nix::unistd::{Uid, setresuid};

/// A user who owns nothing.
const NOBODY: Uid = Uid::from_raw(65534);

fn main() {
    let name = std::env::args().nth(1).expect("the name");
    setresuid(NOBODY, NOBODY, NOBODY).expect("become nobody");
    let address = SocketAddr::from_abstract_name(name).expect("a name of a socket");
    let _listener = UnixListener::bind_addr(&address).expect("take the name");
    println!();
    // Whatever comes, the end of it is waited for.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
