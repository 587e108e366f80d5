//! A host whose interfaces are wired, in a namespace of its own.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netns_tests::ns::Namespace;
use netns_tests::patience::patient;
use tokio::runtime::{Builder, Runtime};
use tortie::net::InterfaceName;
use tortie::routes::{Event, Events, Handle, Outcome, Settings, SpoofedSources, Wiring, start};

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// The hardware address of the first workload.
pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The same as text.
pub(crate) const MAC_TEXT: &str = "02:00:00:00:00:01";
/// The IPv4 address of the first workload.
pub(crate) const V4: &str = "10.65.0.2";
/// Its IPv6 address.
pub(crate) const V6: &str = "fd65::2";

/// Is a namespace and the thread that wires its interfaces.
#[derive(Debug)]
pub(crate) struct Host {
    runtime: Runtime,
    handle: Handle,
    events: Events,
    /// What was said of other interfaces than the one that was waited for.
    unheard: VecDeque<Event>,
    /// The namespace.
    pub(crate) ns: Namespace,
}

impl Host {
    /// Makes the namespace, prepares it with lines for `ip`, and starts.
    pub(crate) fn prepared(settings: Settings, lines: &str) -> Self {
        let ns = Namespace::new("routes");
        ns.ip("link set lo up\n");
        ns.ip(lines);
        let (handle, events) = ns.run(|| start(settings)).expect("start");
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        Self {
            runtime,
            handle,
            events,
            unheard: VecDeque::new(),
            ns,
        }
    }

    /// Starts in an empty namespace, and says that nothing is wanted yet.
    pub(crate) fn new() -> Self {
        let host = Self::prepared(Settings::default(), "");
        host.in_sync();
        host
    }

    /// Starts anew in the same namespace, as after a restart of the daemon.
    pub(crate) fn restarted(self) -> Self {
        let Self {
            runtime,
            handle,
            mut events,
            unheard: _,
            ns,
        } = self;
        drop(handle);
        runtime.block_on(async { while events.next().await.is_some() {} });
        let (handle, events) = ns.run(|| start(Settings::default())).expect("start");
        Self {
            runtime,
            handle,
            events,
            unheard: VecDeque::new(),
            ns,
        }
    }

    /// Says that all is told.
    pub(crate) fn in_sync(&self) {
        self.handle.in_sync();
    }

    /// Changes the settings.
    pub(crate) fn configure(&self, settings: Settings) {
        self.handle.configure(settings);
    }

    /// Wants something of an interface.
    pub(crate) fn want(&self, interface: &str, wiring: Wiring) {
        self.handle.want(name(interface), Some(wiring));
    }

    /// Wants an interface wired, and waits until it is.
    pub(crate) fn wire(&mut self, interface: &str, wiring: Wiring) {
        self.want(interface, wiring);
        self.hear(interface, &Outcome::Wired);
    }

    /// Wants nothing of an interface any more.
    pub(crate) fn unwant(&self, interface: &str) {
        self.handle.want(name(interface), None);
    }

    /// Waits until this is said of an interface.
    #[track_caller]
    pub(crate) fn hear(&mut self, interface: &str, outcome: &Outcome) {
        self.hear_that(interface, &format!("{outcome:?}"), |heard| heard == outcome);
    }

    /// Waits until something of this kind is said of an interface.
    #[track_caller]
    pub(crate) fn hear_that(
        &mut self,
        interface: &str,
        what: &str,
        right: impl Fn(&Outcome) -> bool,
    ) {
        let interface = name(interface);
        let mut heard = Vec::new();
        let mut unheard = VecDeque::new();
        let (events, earlier) = (&mut self.events, &mut self.unheard);
        let found = self.runtime.block_on(async {
            tokio::time::timeout(patient(DEADLINE), async {
                loop {
                    let event = match earlier.pop_front() {
                        Some(event) => event,
                        None => events.next().await.expect("the thread lives"),
                    };
                    if event.interface != interface {
                        unheard.push_back(event);
                    } else if right(&event.outcome) {
                        return;
                    } else {
                        heard.push(event);
                    }
                }
            })
            .await
        });
        unheard.append(&mut self.unheard);
        self.unheard = unheard;
        let state = self.ns.exec("ip", &["addr"], "");
        assert!(
            found.is_ok(),
            "{interface} is never {what}, but {heard:?}\n{state}"
        );
    }

    /// Returns the routes of both families, one a line.
    pub(crate) fn routes(&self) -> String {
        let v4 = self.ns.exec("ip", &["-d", "-4", "route"], "");
        let v6 = self.ns.exec("ip", &["-d", "-6", "route"], "");
        v4 + &v6
    }

    /// Returns the lines about an address and an interface among the routes.
    pub(crate) fn routes_to(&self, address: &str, interface: &str) -> Vec<String> {
        self.routes()
            .lines()
            .filter(|line| line.contains(&format!("unicast {address} dev {interface} ")))
            .map(|line| line.trim().to_owned())
            .collect()
    }

    /// Returns the permanent neighbours of an interface.
    pub(crate) fn neighbours(&self, interface: &str) -> String {
        let arguments = ["neigh", "show", "dev", interface, "nud", "permanent"];
        self.ns.exec("ip", &arguments, "")
    }

    /// Checks that an interface has the routes and the neighbour of the first workload.
    #[track_caller]
    pub(crate) fn assert_wired(&self, interface: &str) {
        assert!(self.is_wired(interface), "{}", self.picture(interface));
    }

    /// Tells whether an interface has the routes and the neighbour of the first workload.
    pub(crate) fn is_wired(&self, interface: &str) -> bool {
        let v4 = format!("unicast {V4} dev {interface} proto boot scope link metric 1024");
        let v6 = format!("unicast {V6} dev {interface} proto boot scope global metric 1024");
        let routes = self.routes_to(V4, interface);
        let v6_routes = self.routes_to(V6, interface);
        routes == [v4]
            && v6_routes.len() == 1
            && v6_routes[0].starts_with(&v6)
            && self.neighbours(interface).trim() == format!("{V4} lladdr {MAC_TEXT} PERMANENT")
    }

    /// Returns what stands on an interface.
    pub(crate) fn picture(&self, interface: &str) -> String {
        format!("{}\n{}", self.routes(), self.neighbours(interface))
    }

    /// Waits until something is true of the kernel, which is asked again and again.
    #[track_caller]
    pub(crate) fn eventually(&self, what: &str, right: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !right(self) {
            let late = begun.elapsed() > patient(DEADLINE);
            assert!(!late, "it is never true that {what}\n{}", self.routes());
        }
    }

    /// Reads a setting below `/proc/sys` of the namespace.
    pub(crate) fn setting(&self, setting: &str) -> String {
        let path = format!("/proc/sys/{setting}");
        let text = self.ns.run(|| std::fs::read_to_string(&path));
        text.unwrap_or_else(|error| panic!("{path}: {error}"))
            .trim()
            .to_owned()
    }
}

/// Returns an interface name.
pub(crate) fn name(text: &str) -> InterfaceName {
    text.parse().expect("an interface name")
}

/// Returns the wiring of a workload with these addresses.
pub(crate) fn wiring(addresses: &[&str]) -> Wiring {
    let parse = |text: &&str| text.parse::<IpAddr>().expect("an address");
    Wiring {
        addresses: addresses.iter().map(parse).collect(),
        mac: Some(MAC),
        spoofing: SpoofedSources::Refused,
    }
}

/// Returns the wiring of the first workload.
pub(crate) fn first() -> Wiring {
    wiring(&[V4, V6])
}

/// Returns lines for `ip` that make an interface, down, and its peer, up.
pub(crate) fn veth(interface: &str) -> String {
    format!(
        "link add {interface} type veth peer name p-{interface}\n\
         link set p-{interface} up\n"
    )
}

/// Returns lines for `ip` that make an interface which is up.
pub(crate) fn veth_up(interface: &str) -> String {
    format!("{}link set {interface} up\n", veth(interface))
}
