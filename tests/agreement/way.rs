//! The way of a packet through the hooks, as the kernel leads it.

use std::net::IpAddr;

use tortie::explain::{self, ConntrackState, Content};
use tortie::net::InterfaceName;
use tortie::nft::{Hook, Ruleset, ct_state, ct_status};

use crate::interpreter::{Fate, Packet, pass};
use crate::world::World;

/// Where connection tracking stands among the priorities.
const TRACKING: i32 = -200;
/// Where destinations are translated.
const TRANSLATION: i32 = -100;

/// The bits of a state.
fn bits(state: ConntrackState) -> u32 {
    match state {
        ConntrackState::New => ct_state::NEW,
        ConntrackState::Established => ct_state::ESTABLISHED,
        ConntrackState::Related => ct_state::RELATED,
        ConntrackState::Invalid => ct_state::INVALID,
        ConntrackState::Untracked => ct_state::UNTRACKED,
    }
}

/// A packet on its way.
struct Traveller<'a> {
    ruleset: &'a Ruleset,
    asked: &'a explain::Packet,
    packet: Packet,
    state: ConntrackState,
}

/// Tells whether a packet arrives, and whether it bypasses connection tracking.
pub fn travel(ruleset: &Ruleset, world: &World, asked: &explain::Packet) -> (bool, bool) {
    let packet = asked;
    let (source_port, destination_port) = match packet.content {
        Content::Ports {
            source,
            destination,
        } => (source, destination),
        Content::Icmp { kind, code } => (u16::from_be_bytes([kind, code]), 0),
        Content::Other => (0, 0),
    };
    let mut traveller = Traveller {
        ruleset,
        asked,
        packet: Packet {
            input: None,
            output: None,
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol.number(),
            source_port,
            destination_port,
            ct_state: 0,
            ct_status: 0,
            // Marks of others must mean nothing.
            mark: 0xffff_ffff,
            way_back: true,
            untracked: false,
        },
        state: packet.state,
    };
    let arrives = match (&packet.input, &packet.output) {
        (Some(input), output) => {
            traveller.packet.way_back = way_back(world, input, packet.source);
            traveller.comes_in(input)
                && match output {
                    None => traveller.hook(Hook::Input, i32::MIN..=i32::MAX),
                    Some(output) => traveller.is_forwarded(output),
                }
        }
        (None, output) => {
            let lo: InterfaceName = "lo".parse().unwrap();
            let output = output.clone().unwrap_or_else(|| lo.clone());
            traveller.is_sent(&output)
                && (output != lo || {
                    traveller.comes_in(&lo) && traveller.hook(Hook::Input, i32::MIN..=i32::MAX)
                })
        }
    };
    (arrives, traveller.packet.untracked)
}

impl Traveller<'_> {
    fn hook(&mut self, hook: Hook, priorities: std::ops::RangeInclusive<i32>) -> bool {
        let mut logged = 0;
        pass(
            self.ruleset,
            hook,
            priorities,
            &mut self.packet,
            &mut logged,
        ) == Fate::Accepted
    }

    /// Lets connection tracking find out what it can, unless a rule has kept it from that.
    fn is_tracked(&mut self) {
        let state = if self.packet.untracked {
            ConntrackState::Untracked
        } else {
            self.state
        };
        self.packet.ct_state = bits(state);
    }

    fn is_translated(&mut self) {
        let tracked = self.packet.ct_state & (ct_state::INVALID | ct_state::UNTRACKED) == 0;
        if let Some((address, port)) = self.asked.dnat
            && tracked
        {
            self.packet.destination = address;
            if let Some(port) = port {
                self.packet.destination_port = port;
            }
            self.packet.ct_status |= ct_status::DNAT;
        }
    }

    fn comes_in(&mut self, input: &InterfaceName) -> bool {
        let entry = ct_state::NEW | ct_state::ESTABLISHED | ct_state::RELATED;
        let known = Some(self.packet.ct_state).filter(|state| state & entry != 0);
        self.packet.input = Some(input.clone());
        self.packet.output = None;
        self.packet.ct_state = known.unwrap_or_default();
        if !self.hook(Hook::Prerouting, i32::MIN..=TRACKING) {
            return false;
        }
        if known.is_some() {
            // What has come over the loopback interface keeps the connection it has.
            self.packet.untracked = false;
        } else {
            self.is_tracked();
        }
        let passes = self.hook(Hook::Prerouting, TRACKING + 1..=TRANSLATION - 1);
        self.is_translated();
        passes
    }

    fn is_forwarded(&mut self, output: &InterfaceName) -> bool {
        self.packet.output = Some(output.clone());
        self.hook(Hook::Forward, i32::MIN..=i32::MAX)
            && self.hook(Hook::Postrouting, i32::MIN..=TRANSLATION)
    }

    fn is_sent(&mut self, output: &InterfaceName) -> bool {
        let first = self.asked.first_output.clone();
        let stale = first.unwrap_or_else(|| output.clone());
        self.packet.output = Some(stale);
        if !self.hook(Hook::Output, i32::MIN..=TRACKING) {
            return false;
        }
        self.is_tracked();
        self.is_translated();
        if !self.hook(Hook::Output, TRACKING + 1..=i32::MAX) {
            return false;
        }
        self.packet.output = Some(output.clone());
        self.hook(Hook::Postrouting, i32::MIN..=TRANSLATION)
    }
}

/// Tells whether the route to a source leads out of an interface: on a workload's own there are routes to its
/// addresses, and to what is on the link.
fn way_back(world: &World, input: &InterfaceName, source: IpAddr) -> bool {
    let link_local = match source {
        IpAddr::V4(_) => false,
        IpAddr::V6(source) => source.is_unicast_link_local(),
    };
    if link_local || !input.as_str().starts_with("cali") {
        return true;
    }
    let owner = world
        .resources
        .iter()
        .filter_map(|(key, resource)| Some((key, resource.as_workload_endpoint()?)))
        .filter(|(_, endpoint)| {
            endpoint.node.as_str() == crate::world::NODE
                && endpoint.interface == *input
                && (world.settings.spoofing || endpoint.allow_spoofed_sources.is_empty())
        })
        .min_by_key(|(key, endpoint)| {
            let rank = (
                &endpoint.orchestrator,
                &endpoint.workload,
                &endpoint.endpoint,
            );
            (rank, key.form)
        });
    owner.is_some_and(|(_, endpoint)| {
        endpoint.active && endpoint.nets.iter().any(|net| net.contains(&source))
    })
}
