//! Connections of an address are forgotten when it leaves its interface, and only then.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use netns_tests::ns::{Namespace, privileged};
use tortie::routes::Outcome;

use crate::host::{Host, V4, V6, first, wiring};

/// The hardware address of the host's side.
const GATEWAY: &str = "ee:ee:ee:ee:ee:ee";

/// Makes the kernel track connections.
const TRACK: &str = "table inet track {\n\
                       chain forward { type filter hook output priority 0; ct state new accept; }\n\
                     }\n";

/// Returns the host with a workload behind an interface, and the address of the host that it answers to.
fn workload(host: &Host, interface: &str) -> Namespace {
    let workload = Namespace::new("workload");
    host.ns.ip(&format!(
        "link add {interface} type veth peer name eth0 netns {}\n\
         link set {interface} address {GATEWAY} up\n",
        workload.name()
    ));
    workload.ip(&format!(
        "link set lo up\n\
         link set eth0 address {mac}\n\
         link set eth0 up\n\
         addr add {V4}/32 dev eth0\n\
         addr add {V6}/128 dev eth0 nodad\n\
         route add 192.0.2.1 dev eth0\n\
         route add 2001:db8::1 dev eth0\n\
         neigh add 2001:db8::1 lladdr {GATEWAY} dev eth0\n",
        mac = crate::host::MAC_TEXT
    ));
    workload
}

fn host() -> Host {
    let host = Host::new();
    host.ns.nft(TRACK);
    host.ns.ip("addr add 192.0.2.1/32 dev lo\n\
                addr add 2001:db8::1/128 dev lo nodad\n");
    host
}

/// Returns the tracked connections that bear a text.
fn tracked(host: &Host, text: &str) -> usize {
    let v4 = host.ns.exec("conntrack", &["-L", "-f", "ipv4"], "");
    let v6 = host.ns.exec("conntrack", &["-L", "-f", "ipv6"], "");
    let mentions = |line: &&str| line.split(' ').any(|word| word == text);
    (v4 + &v6).lines().filter(mentions).count()
}

/// Opens a TCP connection from the host to a server of the workload, and says something over it.
fn connect(host: &Host, workload: &Namespace, from: &str, to: &str) -> (TcpStream, TcpStream) {
    let server: SocketAddr = format!("{to}:8055").parse().expect("an address");
    let client: SocketAddr = format!("{from}:0").parse().expect("an address");
    let listener = workload.run(|| TcpListener::bind(server).expect("listen"));
    let mut near = host.ns.run(|| {
        let domain = socket2::Domain::for_address(server);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&client.into()).expect("bind");
        socket.connect(&server.into()).expect("connect");
        TcpStream::from(socket)
    });
    let (mut far, _) = listener.accept().expect("accept");
    near.write_all(b"x").expect("write");
    far.read_exact(&mut [0]).expect("read");
    (near, far)
}

/// Sends a datagram from the workload to the host, which makes a connection with the workload as its source.
fn speak(workload: &Namespace, from: &str, to: &str) {
    workload.run(|| {
        let socket = UdpSocket::bind(format!("{from}:0")).expect("bind");
        socket.send_to(b"x", format!("{to}:8055")).expect("send");
    });
}

#[test]
fn a_flap_keeps_connections_and_a_departure_forgets_them() {
    if !privileged() {
        return;
    }
    let mut host = host();
    let work = workload(&host, "cali0");
    host.wire("cali0", first());
    let _v4 = connect(&host, &work, "192.0.2.1", V4);
    let _v6 = connect(&host, &work, "[2001:db8::1]", &format!("[{V6}]"));
    speak(&work, V4, "192.0.2.1");
    assert!(tracked(&host, &format!("src={V4}")) >= 2);
    assert!(tracked(&host, &format!("src={V6}")) >= 1);

    host.ns.ip("link set cali0 down\n");
    host.hear("cali0", &Outcome::Down);
    host.ns.ip("link set cali0 up\n");
    host.hear("cali0", &Outcome::Wired);
    assert!(
        tracked(&host, &format!("src={V4}")) >= 2,
        "a flap is no departure"
    );

    host.unwant("cali0");
    host.eventually("the connections are forgotten", |host| {
        tracked(host, &format!("src={V4}")) == 0 && tracked(host, &format!("src={V6}")) == 0
    });
    assert!(host.routes_to(V4, "cali0").is_empty());
}

#[test]
fn the_connections_of_an_address_that_moves_are_gone_before_its_new_route_comes() {
    if !privileged() {
        return;
    }
    let mut host = host();
    let _old = workload(&host, "cali0");
    let _other = workload(&host, "cali1");
    let _new = workload(&host, "cali2");
    host.wire("cali0", first());
    host.wire("cali1", wiring(&["10.65.0.3"]));
    host.ns.run(|| {
        let socket = UdpSocket::bind("192.0.2.1:0").expect("bind");
        // So many that to delete them takes longer than to add a route.
        for port in 1..=3000 {
            socket.send_to(b"x", (V4, port)).expect("send");
        }
        socket.send_to(b"x", ("10.65.0.3", 7)).expect("send");
    });
    assert_eq!(tracked(&host, &format!("src={V4}")), 3000);

    let mut monitor = Monitor::start(&host.ns);
    host.unwant("cali0");
    host.want("cali2", first());
    assert!(monitor.hears(&format!("{V4} dev cali2")));
    assert_eq!(tracked(&host, &format!("src={V4}")), 0);
    host.hear("cali2", &Outcome::Wired);
    host.assert_wired("cali2");
    assert_eq!(tracked(&host, "src=10.65.0.3"), 1, "others keep theirs");
}

#[test]
fn a_zone_of_connections_is_no_hiding_place() {
    if !privileged() {
        return;
    }
    let mut host = host();
    let work = workload(&host, "cali0");
    host.ns.nft(
        "table inet zones {\n\
           chain out { type filter hook output priority -300; ct zone set 7; }\n\
           chain in { type filter hook prerouting priority -300; ct original zone set 9; }\n\
         }\n",
    );
    host.wire("cali0", first());
    speak(&work, V4, "192.0.2.1");
    host.ns.run(|| {
        let socket = UdpSocket::bind("192.0.2.1:0").expect("bind");
        socket.send_to(b"x", (V4, 9)).expect("send");
    });
    assert!(tracked(&host, &format!("src={V4}")) >= 2);
    assert!(tracked(&host, "zone=7") >= 1);
    host.unwant("cali0");
    host.eventually("the connections are forgotten", |host| {
        tracked(host, &format!("src={V4}")) == 0
    });
}

/// Is `ip monitor` in a namespace.
struct Monitor {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Monitor {
    /// Starts it and waits until it listens.
    fn start(namespace: &Namespace) -> Self {
        let mut child = namespace.run(|| {
            // What it waits for may never come.
            Command::new("timeout")
                .args(["20", "ip", "-o", "monitor", "route"])
                .stdout(Stdio::piped())
                .spawn()
                .expect("start ip monitor")
        });
        let stdout = child.stdout.take().expect("the output is a pipe");
        let mut monitor = Self {
            child,
            lines: BufReader::new(stdout),
        };
        // It listens once it has heard of a route that is made for it, again and again.
        let heard = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !heard.load(Ordering::Relaxed) {
                    namespace.ip("route add 203.0.113.9 dev lo\nroute delete 203.0.113.9 dev lo\n");
                }
            });
            let found = monitor.hears("203.0.113.9");
            heard.store(true, Ordering::Relaxed);
            assert!(found, "ip monitor hears nothing");
        });
        monitor
    }

    /// Waits for a line with this text, and tells whether it came.
    fn hears(&mut self, text: &str) -> bool {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            if self.lines.read_line(&mut line).expect("read") == 0 {
                return false;
            }
        }
        true
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
