//! The rules that are rendered mean what the policies mean: random policies and random packets, decided by an
//! interpreter of nftables objects and by a plain reading of the policies.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "the modules of a test may panic, and are nobody's interface"
)]

mod generate;
mod interpreter;
mod oracle;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use regex_lite::Regex;
use tortie::calc::{self, Changes, Member, SetChange, SetId, SetMembers, SetSize};
use tortie::model::{Direction, HostInterface};
use tortie::net::Family;
use tortie::nft::{
    Elements, Extent, Hook, ObjectChange, ObjectChanges, Ruleset, ct_state, ruleset_text,
};
use tortie::render::{DenyAction, Keep, Renderer, Splitting, table_name};

use generate::{State, endpoint_id, packet, settings, state};
use interpreter::{Fate, Packet, pass};
use oracle::decide;

/// The members of sets, as calc would keep them.
struct Members<'a>(&'a BTreeMap<SetId, Vec<Member>>);

impl SetMembers for Members<'_> {
    fn size(&self, set: &SetId, family: Family) -> SetSize {
        let mut size = SetSize::default();
        for member in self.members(set, family) {
            let length = match member {
                Member::Net(net) => net.prefix_len(),
                Member::Port(..) => family.bits(),
            };
            *size.lengths.entry(length).or_default() += 1;
        }
        size
    }

    fn members(&self, set: &SetId, family: Family) -> calc::Members<'_> {
        let members = self.0.get(set).into_iter().flatten().copied();
        Box::new(members.filter(move |member| member.family() == family))
    }
}

/// When sets are split, small enough for the small world. Each is a form of its own for most sets.
fn splitting() -> impl Strategy<Value = Splitting> {
    let never = usize::MAX;
    prop_oneof![
        Just(Splitting::DEFAULT),
        // Without memory: what is not needed goes at once.
        (0_usize..4, 1_usize..4).prop_map(move |(above, tables)| Splitting {
            above,
            keep: never,
            tables
        }),
    ]
}

/// Splitting with a memory, which makes the rules depend on history.
fn keeping() -> impl Strategy<Value = Splitting> {
    (0_usize..5, 0_usize..3, 1_usize..4).prop_map(|(above, keep, tables)| Splitting {
        above,
        keep,
        tables,
    })
}

/// Returns the changes that lead from one state to another.
fn changes(before: &State, after: &State) -> Changes {
    fn differing<K: Ord + Clone, V: PartialEq + Clone>(
        before: &BTreeMap<K, V>,
        after: &BTreeMap<K, V>,
    ) -> BTreeMap<K, Option<Arc<V>>> {
        before
            .keys()
            .chain(after.keys())
            .filter(|key| before.get(*key) != after.get(*key))
            .map(|key| (key.clone(), after.get(key).cloned().map(Arc::new)))
            .collect()
    }
    let endpoint = |state: &State| match &state.endpoint {
        Some(policies) => BTreeMap::from([(endpoint_id(), policies.clone())]),
        None => BTreeMap::new(),
    };
    let mut changes = Changes {
        policies: differing(&before.world.policies, &after.world.policies),
        profiles: differing(&before.world.profiles, &after.world.profiles),
        endpoints: differing(&endpoint(before), &endpoint(after)),
        ..Changes::default()
    };
    if before.endpoint.is_some() != after.endpoint.is_some() || before.interface != after.interface
    {
        let bound = |state: &State| state.endpoint.is_some().then(|| state.interface.clone());
        let (old, new) = (bound(before), bound(after));
        if let Some(interface) = old.filter(|interface| Some(interface) != new.as_ref()) {
            changes.interfaces.insert(interface, None);
        }
        if let Some(interface) = new {
            changes.interfaces.insert(interface, Some(endpoint_id()));
        }
    }
    for id in before.world.sets.keys().chain(after.world.sets.keys()) {
        let change = match (before.world.sets.get(id), after.world.sets.get(id)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => SetChange::Members {
                added: new.iter().filter(|m| !old.contains(m)).copied().collect(),
                removed: old.iter().filter(|m| !new.contains(m)).copied().collect(),
            },
            (None, _) => SetChange::Whole,
            (Some(_), None) => SetChange::Gone,
        };
        changes.sets.insert(id.clone(), change);
    }
    changes
}

/// Renders a state from scratch.
fn from_scratch(state: &State, deny: DenyAction, splitting: Splitting) -> Ruleset {
    let mut renderer = Renderer::new(settings(deny)).splitting(splitting);
    let all = changes(&State::empty(), state);
    let objects = renderer.render(&all, &Members(&state.world.sets));
    let mut ruleset = Ruleset::default();
    ruleset
        .apply(&objects, Extent::Whole)
        .expect("whole objects");
    ruleset
}

/// Runs a packet through all base chains of a hook; also counts the log lines it left.
fn run(ruleset: &Ruleset, hook: Hook, packet: &Packet) -> (Fate, usize) {
    let mut logged = 0;
    let all = i32::MIN..=i32::MAX;
    let fate = pass(ruleset, hook, all, &mut packet.clone(), &mut logged);
    (fate, logged)
}

/// Returns the hook at which a packet of a direction is judged.
fn hook(direction: Direction) -> Hook {
    match direction {
        Direction::Ingress => Hook::Input,
        Direction::Egress => Hook::Output,
    }
}

/// Compares both readings of one packet.
fn agree(
    ruleset: &Ruleset,
    state: &State,
    deny: DenyAction,
    direction: Direction,
    packet: &Packet,
) {
    let (fate, logged) = run(ruleset, hook(direction), packet);
    let (expected, expected_logged) = match &state.endpoint {
        Some(endpoint) => decide(&state.world, endpoint, direction, packet),
        None => (Fate::Accepted, 0),
    };
    let expected = match (expected, deny) {
        (Fate::Dropped, DenyAction::Reject) => Fate::Rejected,
        (fate, _) => fate,
    };
    assert_eq!(fate, expected, "{packet:#?}");
    assert_eq!(logged, expected_logged, "log lines of {packet:#?}");
}

/// Writes a ruleset without what depends on history: the room and the turn of sets.
fn without_forms(ruleset: &Ruleset) -> String {
    let text = ruleset_text(&table_name(), ruleset, Elements::All);
    let name = Regex::new(r"\.(nets|(?:([0-9]+)-)?[0-9]+)(-b)?\b").unwrap();
    let size = Regex::new(r"(size [0-9]+|flags interval)").unwrap();
    size.replace_all(&name.replace_all(&text, ".$2"), "")
        .into_owned()
}

/// The kernel looks set elements up as they are at that moment, even for rules that a commit has just replaced:
/// so no set may change in place when rules change.
fn no_old_rule_sees_new_members(changes: &Changes, objects: &ObjectChanges) {
    let rules_change = objects.values().any(|change| match change {
        ObjectChange::Chain(_) => true,
        ObjectChange::Set { .. }
        | ObjectChange::Elements { .. }
        | ObjectChange::Counter
        | ObjectChange::Absent => false,
    });
    for (key, change) in objects {
        let in_place = match change {
            ObjectChange::Elements { .. } => !key.name().ends_with("-if"),
            ObjectChange::Chain(_)
            | ObjectChange::Set { .. }
            | ObjectChange::Counter
            | ObjectChange::Absent => false,
        };
        assert!(
            !(rules_change && in_place),
            "{key} changes in place beside {changes:#?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn rules_mean_what_policies_mean(
        state in state(),
        reject in any::<bool>(),
        splitting in splitting(),
        packets in proptest::collection::vec((packet(), any::<bool>()), 40),
    ) {
        let deny = if reject { DenyAction::Reject } else { DenyAction::Drop };
        let ruleset = from_scratch(&state, deny, splitting);
        for (packet, ingress) in packets {
            let direction = if ingress { Direction::Ingress } else { Direction::Egress };
            agree(&ruleset, &state, deny, direction, &packet.on(direction, "eth0"));
        }
    }

    #[test]
    fn changes_lead_where_a_start_from_scratch_leads(
        states in proptest::collection::vec(state(), 2..6),
        reject in any::<bool>(),
        splitting in splitting(),
        packets in proptest::collection::vec((packet(), any::<bool>()), 20),
    ) {
        let deny = if reject { DenyAction::Reject } else { DenyAction::Drop };
        let mut renderer = Renderer::new(settings(deny)).splitting(splitting);
        let mut ruleset = Ruleset::default();
        let mut before = State::empty();
        let mut extent = Extent::Whole;
        for state in &states {
            let changes = changes(&before, state);
            let objects = renderer.render(&changes, &Members(&state.world.sets));
            no_old_rule_sees_new_members(&changes, &objects);
            ruleset.apply(&objects, extent).expect("changes of what is there");
            for (packet, ingress) in &packets {
                let direction = if *ingress { Direction::Ingress } else { Direction::Egress };
                agree(&ruleset, state, deny, direction, &packet.on(direction, "eth0"));
            }
            prop_assert_eq!(without_forms(&ruleset), without_forms(&from_scratch(state, deny, splitting)));
            before = state.clone();
            extent = Extent::Part;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn members_alone_change_what_rules_mean(
        state in state(),
        contents in proptest::collection::vec(generate::members(), 1..8),
        splitting in keeping(),
        packets in proptest::collection::vec((packet(), any::<bool>()), 20),
    ) {
        let deny = DenyAction::Drop;
        let mut renderer = Renderer::new(settings(deny)).splitting(splitting);
        let mut ruleset = Ruleset::default();
        let mut before = State::empty();
        let mut extent = Extent::Whole;
        for sets in contents {
            let mut state = state.clone();
            let world = generate::with_sets(&state.world, sets);
            state.world = Arc::new(world);
            let changes = changes(&before, &state);
            let objects = renderer.render(&changes, &Members(&state.world.sets));
            no_old_rule_sees_new_members(&changes, &objects);
            ruleset.apply(&objects, extent).expect("changes of what is there");
            for (packet, ingress) in &packets {
                let direction = if *ingress { Direction::Ingress } else { Direction::Egress };
                agree(&ruleset, &state, deny, direction, &packet.on(direction, "eth0"));
            }
            // A start that finds this takes over every table, whatever their history.
            let mut again = Renderer::resume(settings(deny), &ruleset.catalog(), Keep::Equal);
            again = again.splitting(splitting);
            let all = changes_from_nothing(&state);
            let mut resumed = Ruleset::default();
            let objects = again.render(&all, &Members(&state.world.sets));
            resumed.apply(&objects, Extent::Whole).expect("whole objects");
            prop_assert_eq!(
                ruleset_text(&table_name(), &resumed, Elements::All),
                ruleset_text(&table_name(), &ruleset, Elements::All)
            );
            before = state;
            extent = Extent::Part;
        }
    }
}

/// Returns the changes of a start.
fn changes_from_nothing(state: &State) -> Changes {
    changes(&State::empty(), state)
}

#[test]
fn a_translated_packet_is_judged_once_and_by_its_real_interface() {
    let interface = |name: &str| Some(name.parse().unwrap());
    let mut state = State::empty();
    state.endpoint = Some(generate::denying_endpoint());
    state.interface = HostInterface::Name("eth0".parse().unwrap());
    for (deny, refused) in [
        (DenyAction::Drop, Fate::Dropped),
        (DenyAction::Reject, Fate::Rejected),
    ] {
        let ruleset = from_scratch(&state, deny, Splitting::DEFAULT);
        let mut packet = generate::plain_packet();
        packet.output = interface("eth0");
        packet.ct_state = ct_state::NEW;
        assert_eq!(run(&ruleset, Hook::Output, &packet).0, refused);
        assert_eq!(run(&ruleset, Hook::Postrouting, &packet).0, Fate::Accepted);

        packet.ct_status = tortie::nft::ct_status::DNAT;
        assert_eq!(run(&ruleset, Hook::Output, &packet).0, Fate::Accepted);
        // Nothing can be refused aloud after routing.
        assert_eq!(run(&ruleset, Hook::Postrouting, &packet).0, Fate::Dropped);
        packet.output = interface("eth1");
        assert_eq!(run(&ruleset, Hook::Postrouting, &packet).0, Fate::Accepted);
        packet.output = interface("eth0");
        packet.input = interface("eth1");
        assert_eq!(
            run(&ruleset, Hook::Postrouting, &packet).0,
            Fate::Accepted,
            "forwarded"
        );
    }
}
