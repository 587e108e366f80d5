use proptest::prelude::*;

use super::*;

/// One thing that happens to a host.
#[derive(Debug, Clone)]
enum Happening {
    Link(u32, usize, LinkState),
    Gone(u32),
    Want(usize, Vec<usize>),
    Unwant(usize),
    Foreign(usize, u32, u32),
    Lost(usize, u32),
    Neighbour(usize, u32, [u8; 6]),
    Inherited(usize),
    Step,
    Flushed,
}

const NAMES: [&str; 3] = ["cali0", "cali1", "eth0"];
const ADDRESSES: [&str; 3] = ["10.0.0.1", "10.0.0.2", "fd00::1"];

fn happening() -> impl Strategy<Value = Happening> {
    let state = prop_oneof![
        3 => Just(LinkState::Up),
        1 => Just(LinkState::Dormant),
        1 => Just(LinkState::Down)
    ];
    let (index, name, address) = (1..5_u32, 0..NAMES.len(), 0..ADDRESSES.len());
    // Only an interface of a workload is ever wanted.
    let workload = 0..NAMES.len() - 1;
    prop_oneof![
        (index.clone(), name.clone(), state).prop_map(|(i, n, s)| Happening::Link(i, n, s)),
        index.clone().prop_map(Happening::Gone),
        (
            workload.clone(),
            prop::collection::vec(address.clone(), 0..3)
        )
            .prop_map(|(n, a)| Happening::Want(n, a)),
        workload.prop_map(Happening::Unwant),
        (
            address.clone(),
            index.clone(),
            prop_oneof![Just(0), Just(1024)]
        )
            .prop_map(|(a, i, p)| Happening::Foreign(a, i, p)),
        (address.clone(), index.clone()).prop_map(|(a, i)| Happening::Lost(a, i)),
        (
            address.clone(),
            index,
            prop_oneof![Just(MAC), Just(OTHER_MAC)]
        )
            .prop_map(|(a, i, m)| Happening::Neighbour(a, i, m)),
        address.prop_map(Happening::Inherited),
        Just(Happening::Step),
        Just(Happening::Flushed),
    ]
}

impl World {
    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Link(index, name, state) => {
                let taken = self.observed.named(&interface(NAMES[*name]));
                if taken.is_none_or(|(owner, _)| owner == *index) {
                    self.link(*index, NAMES[*name], *state);
                }
            }
            Happening::Gone(index) => self.apply(Fact::LinkGone(*index)),
            Happening::Want(name, addresses) => {
                let addresses: Vec<&str> = addresses.iter().map(|a| ADDRESSES[*a]).collect();
                self.want(NAMES[*name], &addresses);
            }
            Happening::Unwant(name) => self.unwant(NAMES[*name]),
            Happening::Foreign(address, index, priority) => {
                if self.observed.link(*index).is_some() {
                    self.route(ADDRESSES[*address], *index, *priority, STATIC);
                }
            }
            Happening::Lost(address, index) => {
                let (key, _) = foreign(ADDRESSES[*address], *index, 1024, BOOT);
                self.apply(Fact::RouteGone(key));
            }
            Happening::Neighbour(address, index, mac) => {
                if self.observed.link(*index).is_some()
                    && let IpAddr::V4(address) = ip(ADDRESSES[*address])
                {
                    self.apply(Fact::Neighbour(*index, address, *mac));
                }
            }
            Happening::Inherited(address) => {
                self.inherited.insert(ip(ADDRESSES[*address]));
            }
            Happening::Step => {
                self.check_order();
                self.step();
            }
            Happening::Flushed => self.flushed(),
        }
    }

    /// Checks that no address is routed to one link while its connections are those of another, and that nothing
    /// says so.
    fn check_order(&mut self) {
        let plan = self.plan();
        for operation in plan.operations {
            let (address, index) = match operation {
                Operation::AddRoute(key, _) | Operation::ReplaceRoute(key, _) => {
                    (key.destination.addr(), key.index)
                }
                Operation::SetNeighbour { index, address, .. } => (address.into(), index),
                Operation::RemoveRoute(..) | Operation::RemoveNeighbour { .. } => continue,
            };
            let holder = self.ours.holders().get(&address);
            assert!(holder.is_none_or(|holder| *holder == index));
            assert!(!self.flushing.contains(&address) && !plan.flush.contains(&address));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_connections_go_first_and_each_address_has_one_route(
        happenings in prop::collection::vec(happening(), 0..60)
    ) {
        let mut world = World::new(&[]);
        for happening in &happenings {
            world.happen(happening);
        }
        for _ in 0..4 {
            world.check_order();
            world.step();
            world.flushed();
        }
        prop_assert_eq!(world.step(), [""; 0], "it does not settle");
        for text in ADDRESSES {
            let address = ip(text);
            let wants = |(name, wiring): (&InterfaceName, &Wiring)| {
                let (index, link) = world.observed.named(name)?;
                let wanted = wiring.addresses.contains(&address);
                (wanted && link.state == LinkState::Up).then_some(index)
            };
            let newest = world.wanted.iter().filter_map(wants).max();
            let ours: Vec<u32> = world
                .observed
                .routes()
                .iter()
                .filter(|(key, _)| key.destination == host_net(address))
                .filter(|(key, path)| {
                    world.ours.owns(key, **path, &world.observed, &world.settings)
                })
                .map(|(key, _)| key.index)
                .collect();
            prop_assert_eq!(ours, Vec::from_iter(newest));
        }
    }
}
