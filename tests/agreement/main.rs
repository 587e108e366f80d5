//! Two readings of the same resources agree: what is rendered, walked by an interpreter of nftables objects, and
//! what the `explain` room says, which is written from the description of Calico's policy alone.
//!
//! Random resources of every kind follow one another without a start in between, so that changes are tried as well;
//! random packets take every way through the host. `AGREEMENT_SEEDS=FIRST..LAST` tries other seeds.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "the modules of a test may panic, and are nobody's interface"
)]

mod generate;
#[path = "../semantics/interpreter.rs"]
mod interpreter;
mod way;
mod world;

use generate::{Random, change, packet, world};
use tortie::explain::Packet;
use way::travel;
use world::{Rendered, World};

/// How many worlds each seed goes through.
const WORLDS: usize = 12;
/// How many packets are tried in each.
const PACKETS: usize = 80;

/// Returns the seeds to try.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var_os("AGREEMENT_SEEDS");
    given.map_or(0..160, |text| {
        let text = text.into_string().unwrap();
        let (first, last) = text.split_once("..").expect("FIRST..LAST");
        first.parse().unwrap()..last.parse().unwrap()
    })
}

/// Returns what the two readings say, where they differ.
fn difference(world: &World, rendered: &Rendered, asked: &Packet) -> Option<String> {
    let seen = travel(&rendered.ruleset, world, asked);
    let journey = world.host().packet(asked);
    let said = (journey.is_allowed(), journey.untracked);
    // What a packet that was refused would have been is nobody's business.
    let same = if said.0 { seen == said } else { !seen.0 };
    (!same).then(|| format!("rendered: {seen:?}\nexplained: {said:?}\n{journey}"))
}

/// Leaves out resources as long as the readings still differ about a packet in a start from scratch.
fn shrunk(world: &World, asked: &Packet) -> World {
    let mut smallest = world.clone();
    loop {
        let keys: Vec<_> = smallest.resources.keys().cloned().collect();
        let smaller = keys.iter().find_map(|key| {
            let mut without = smallest.clone();
            without.resources.remove(key);
            let rendered = Rendered::from_scratch(&without);
            difference(&without, &rendered, asked).map(|_| without)
        });
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

#[test]
fn what_is_rendered_is_what_is_explained() {
    let (mut packets, mut passed) = (0_u64, 0_u64);
    for seed in seeds() {
        let mut random = Random::new(seed);
        let mut now = world(&mut random);
        let mut rendered = Rendered::from_scratch(&now);
        for step in 0..WORLDS {
            for _ in 0..PACKETS {
                let asked = packet(&mut random);
                packets += 1;
                passed += u64::from(now.host().packet(&asked).is_allowed());
                let Some(said) = difference(&now, &rendered, &asked) else {
                    continue;
                };
                let scratch = Rendered::from_scratch(&now);
                let small = shrunk(&now, &asked);
                let again = difference(&small, &Rendered::from_scratch(&small), &asked);
                panic!(
                    "seed {seed}, world {step}\n{asked:#?}\n{said}\nfrom scratch: {}\n{:#?}\n{:#?}\n{}",
                    difference(&now, &scratch, &asked).unwrap_or_else(|| "no difference".into()),
                    small.resources,
                    small.settings,
                    again.unwrap_or_default(),
                );
            }
            let next = change(&mut random, &now);
            rendered.follow(&now, &next);
            now = next;
        }
    }
    eprintln!("{packets} packets, {passed} of them allowed");
    assert!(passed * 10 > packets, "hardly a packet passes");
    assert!(passed * 10 < packets * 9, "hardly a packet is refused");
}
