//! The rooms that only compute, each by itself: `cargo bench --package benches`.

use std::hint::black_box;

use benches::{Rooms, decoded, members, policy, updates};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tortie::calc::Changes;
use tortie::datastore::{Origin, decode_file};
use tortie::kernel::{Batch, Target};
use tortie::model::Update;
use tortie::nft::{Extent, Plans, plan};
use tortie::render::table_name;
use tortie::selector::Selector;

const SELECTOR: &str =
    "has(tier) && role in {'web', 'api'} && !(env == 'test') || name starts with 'db-'";

fn selector(bench: &mut Criterion) {
    let labels: std::collections::BTreeMap<String, String> =
        [("tier", "front"), ("role", "api"), ("env", "prod")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    bench.bench_function("selector parse", |b| {
        b.iter(|| Selector::parse(black_box(SELECTOR)));
    });
    let selector = Selector::parse(SELECTOR).expect("it is one");
    bench.bench_function("selector evaluate", |b| {
        b.iter(|| selector.matches(black_box(&labels)));
    });
}

fn decode(bench: &mut Criterion) {
    for (name, text) in [
        ("decode a policy of 10 rules", policy(7, 0)),
        ("decode a set of 1,000 members", members(0)),
    ] {
        bench.bench_function(name, |b| {
            b.iter(|| decode_file("bench", black_box(text.as_bytes()), Origin::Datastore));
        });
    }
}

/// Returns the two states of a policy, and the two of a set.
fn changes() -> [(&'static str, [Update; 2]); 2] {
    [
        ("a policy", [1, 0].map(|round| decoded(&policy(7, round)))),
        ("a member", [1, 0].map(|round| decoded(&members(round)))),
    ]
}

fn calc(bench: &mut Criterion) {
    let all = updates();
    bench.bench_function("calc everything", |b| {
        b.iter_batched(
            || (Rooms::empty(), all.clone()),
            |(mut rooms, updates)| {
                for update in updates {
                    rooms.calc.apply(update);
                }
                (rooms.calc.take_whole(), rooms)
            },
            BatchSize::LargeInput,
        );
    });
    for (name, states) in changes() {
        let (mut rooms, _) = Rooms::full();
        let mut states = states.iter().cycle();
        bench.bench_function(&format!("calc {name}"), |b| {
            b.iter(|| {
                rooms
                    .calc
                    .apply(states.next().expect("without end").clone());
                rooms.calc.take_changes()
            });
        });
    }
}

/// Returns what calc says of everything.
fn whole() -> (Rooms, Changes) {
    let mut rooms = Rooms::empty();
    for update in updates() {
        rooms.calc.apply(update);
    }
    let changes = rooms.calc.take_whole();
    (rooms, changes)
}

fn render(bench: &mut Criterion) {
    bench.bench_function("render everything", |b| {
        b.iter_batched(
            whole,
            |(mut rooms, changes)| (rooms.renderer.render(&changes, &rooms.calc), rooms),
            BatchSize::LargeInput,
        );
    });
    let (mut rooms, everything) = whole();
    let objects = rooms.renderer.render(&everything, &rooms.calc);
    bench.bench_function("plan everything", |b| {
        b.iter(|| plan(&rooms.catalog, black_box(&objects), Extent::Whole));
    });
    for (name, states) in changes() {
        let (mut rooms, _) = Rooms::full();
        let mut states = states.iter().cycle();
        bench.bench_function(&format!("calc, render and plan {name}"), |b| {
            b.iter(|| rooms.step(states.next().expect("without end")));
        });
    }
}

fn encode(bench: &mut Criterion) {
    let (mut rooms, everything) = Rooms::full();
    let table = table_name();
    let target = Target {
        table: &table,
        flags: 0,
    };
    let [(_, [policy, _]), (_, [member, _])] = changes();
    let (policy, member) = (rooms.step(&policy), rooms.step(&member));
    let mut each = |name: &str, plans: &Plans| {
        bench.bench_function(name, |b| {
            b.iter(|| {
                let batches = plans.transactions();
                let batches = batches.map(|plan| Batch::encode(black_box(plan), &target, 1));
                batches.filter_map(Result::ok).count()
            });
        });
    };
    each("encode everything", &everything);
    each("encode a policy", &policy);
    each("encode a member", &member);
}

criterion_group!(rooms, selector, decode, calc, render, encode);
criterion_main!(rooms);
