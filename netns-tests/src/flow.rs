//! A TCP connection that lasts over a change of policy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::agent::DEADLINE;
use crate::patience::patient;
use crate::topology::{Family, Place, World};

/// Is an established connection to an echo server.
#[derive(Debug)]
pub struct Flow(TcpStream);

impl Flow {
    /// Connects `from` to the echo server of `to`.
    ///
    /// # Panics
    /// If the connection is not established within the deadline.
    pub fn open(world: &World, from: Place, to: Place, family: Family, port: u16) -> Self {
        let stream = world.site(from.site).run(|| {
            let domain = match family {
                Family::V4 => Domain::IPV4,
                Family::V6 => Domain::IPV6,
            };
            let socket =
                Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).expect("open a socket");
            socket
                .bind(&SocketAddr::new(from.address(family), 0).into())
                .expect("bind a flow");
            let to = SocketAddr::new(to.address(family), port);
            socket
                .connect_timeout(&to.into(), patient(DEADLINE))
                .expect("connect a flow");
            TcpStream::from(socket)
        });
        stream
            .set_read_timeout(Some(patient(DEADLINE)))
            .expect("set a deadline");
        let mut flow = Self(stream);
        flow.echo();
        flow
    }

    /// Sends a message over the connection and waits for its echo.
    ///
    /// # Panics
    /// If the echo does not come within the deadline.
    pub fn echo(&mut self) {
        const MESSAGE: &[u8] = b"still there?";
        self.0.write_all(MESSAGE).expect("write to the flow");
        let mut answer = [0; MESSAGE.len()];
        self.0
            .read_exact(&mut answer)
            .expect("the flow's echo comes back");
        assert_eq!(answer, MESSAGE);
    }

    /// Sends a message over the connection and says whether anything comes back within `patience`.
    ///
    /// The connection is of no use afterwards.
    pub fn answers(&mut self, patience: Duration) -> bool {
        self.0
            .set_read_timeout(Some(patience))
            .expect("set a deadline");
        let sent = self.0.write_all(b"?").is_ok();
        sent && self.0.read_exact(&mut [0]).is_ok()
    }
}
