//! What changed while no daemon ran, and nothing else, is written by a start; what is gone goes once the datastore is in
//! sync.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use netns_tests::agent::{Mark, field, says};
use netns_tests::crowd::endpoint;
use netns_tests::generation::generation;
use netns_tests::resources::{documents, eth0, ingress, network_set};
use netns_tests::store::Store;
use netns_tests::{Agent, Namespace, World, both_ways, witness};
use serde_json::Value;

use crate::load::Site;

/// Returns how many policies there are where nothing changes; a run by hand can have more.
fn policies() -> usize {
    std::env::var("RESTART_POLICIES").map_or(2_000, |text| text.parse().expect("a number"))
}

/// Returns all objects of the table by what they are and their handles.
fn objects(host: &Namespace) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for object in witness::ruleset(host) {
        for (kind, value) in object.as_object().into_iter().flatten() {
            let handle = &value["handle"];
            // A table says who owns it, which changes.
            let value = if kind == "table" { &Value::Null } else { value };
            all.insert(format!("{kind} {handle}"), value.clone());
        }
    }
    all
}

/// Returns the chains of the rules, and the names of the other objects, that are not in both or differ.
fn difference(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = before
        .iter()
        .filter(|(key, value)| after.get(*key) != Some(*value))
        .chain(
            after
                .iter()
                .filter(|(key, value)| before.get(*key) != Some(*value)),
        )
        .map(|(_, value)| {
            let name = value.get("chain").or_else(|| value.get("name"));
            name.and_then(Value::as_str).unwrap_or_default().to_owned()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The number of operations of a daemon's first commit.
fn operations(agent: &Agent) -> usize {
    let first = |line: &str| says(line, "applied") || says(line, "no change");
    let line = agent.line(&Mark::beginning(), "the first commit", first);
    let number = field(&line, "operations").and_then(|text| text.parse().ok());
    number.expect("a number of operations")
}

fn policy(number: usize, port: usize) -> String {
    let from = if number < 5 {
        "source: {selector: has(member)}, "
    } else {
        ""
    };
    let rule =
        |port| format!("{{action: Allow, protocol: UDP, {from}destination: {{ports: [{port}]}}}}");
    let order = u32::try_from(number).expect("a small number") + 10;
    let rules = [port, 30_000 + number].map(rule).join(", ");
    ingress(&format!("p{number}"), order, &rules)
}

fn members(first: usize) -> String {
    let nets: Vec<String> = (first..first + 50)
        .map(|it| format!("198.18.0.{it}"))
        .collect();
    network_set("members", "member: 'yes'", &nets.join(", "))
}

both_ways! {
    fn a_start_writes_the_difference_alone(owner) {
        let site = Site::new(10);
        let host = &site.world.host;
        let store = Store::directory();
        let settings = [("TORTIE_POLICYCOUNTERS", "Enabled")];
        let many = |port| (0..200).map(|number| policy(number, if number == 7 { port } else { 9_000 })).collect::<Vec<_>>();
        store.put("base.yaml", &site.resources());
        store.put("many.yaml", &documents(&many(9_000)));
        store.put("members.yaml", &members(1));
        store.put("more.yaml", &endpoint(300, "group: g0").replace("role: crowd", "role: other"));
        let mut agent = store.start(host, owner, &settings);
        let load = site.load();
        load.pass(2_000);
        let (before, kept) = (objects(host), counters(host));
        assert!(kept.values().any(|count| *count > 0), "{kept:?}");

        agent.terminate();
        load.pass(1_000);
        store.put("many.yaml", &documents(&many(9_001)));
        store.remove("more.yaml", "");
        agent = store.start(host, owner, &settings);
        load.pass(1_000);
        let after = objects(host);
        let written = operations(&agent);
        println!("{written} operations for one rule and one endpoint of {} objects", before.len());
        let changed = difference(&before, &after);
        assert!(changed.iter().any(|name| name.contains("p7")), "{changed:?}");
        assert!(changed.len() < 12, "{changed:?}");
        assert!(written < 40, "{written} operations");

        agent.terminate();
        store.put("members.yaml", &members(3));
        agent = store.start(host, owner, &settings);
        load.pass(1_000);
        let written = operations(&agent);
        println!("{written} operations for four members of a set that five policies name");
        let of_members = objects(host);
        let changed = difference(&after, &of_members);
        let of_the_set = |name: &String| name.starts_with("sel4-has-member");
        assert!(!changed.is_empty() && changed.iter().all(of_the_set), "{changed:?}");
        assert!(written < 6, "{written} operations");

        // Where a rule differs as well, no packet may see the new members by the old rules.
        agent.terminate();
        store.put("members.yaml", &members(5));
        store.put("many.yaml", &documents(&many(9_002)));
        agent = store.start(host, owner, &settings);
        load.pass(1_000);
        let written = operations(&agent);
        println!("{written} operations for the same and one rule");
        let changed = difference(&of_members, &objects(host));
        for chain in (0..5).map(|it| format!("pol-in-default.p{it}")) {
            assert!(changed.contains(&chain), "{chain} of {changed:?}");
        }
        for (name, count) in counters(host) {
            assert!(kept.get(&name).is_none_or(|before| *before <= count), "{name}: {count} of {kept:?}");
        }
        load.finish("changed while away");
    }
}

/// Returns what each counter has counted, in packets.
fn counters(host: &Namespace) -> BTreeMap<String, u64> {
    let text = host.exec(
        "nft",
        &["list", "counters", "table", "inet", witness::TABLE],
        "",
    );
    let mut name = String::new();
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["counter", it, "{"] => (*it).clone_into(&mut name),
            ["packets", count, ..] => {
                all.insert(name.clone(), count.parse().expect("a number"));
            }
            _ => {}
        }
    }
    all
}

both_ways! {
    fn a_start_with_thousands_of_policies_unchanged_sends_no_rule(owner) {
        let world = World::new();
        let host = &world.host;
        let store = Store::directory();
        let mut text = documents(&[eth0(), members(1)]);
        for number in 0..policies() {
            let _ = write!(text, "---\n{}", policy(number, 9_000));
        }
        store.put("all.yaml", &text);
        let mut agent = store.start(host, owner, &[]);
        let (before, first) = (objects(host), operations(&agent));
        agent.terminate();
        let generations = generation(host);
        agent = store.launch(host, owner, &[]);
        agent.logged("in-sync");
        let spent = generation(host) - generations;
        assert_eq!(objects(host), before);
        let written = operations(&agent);
        println!("{} policies: {first} operations at first, then {written} and {spent} generations", policies());
        // What the kernel can do is found out, and the table is taken over.
        assert!(written <= 1 && spent <= 2, "{written} operations and {spent} generations");
    }
}

both_ways! {
    fn scenario_97_what_is_gone_goes_once_the_datastore_is_in_sync(owner) {
        let site = Site::new(10);
        let host = &site.world.host;
        let store = Store::etcd(&site.world);
        let gone = endpoint(300, "group: g0");
        store.put("base.yaml", &site.resources());
        store.put("gone.yaml", &gone);
        let mut agent = store.start(host, owner, &[]);
        let load = site.load();
        let before = objects(host);
        let chains = |objects: &BTreeMap<String, Value>| {
            objects.values().filter(|it| it.to_string().contains("crowd300")).count()
        };
        assert!(chains(&before) > 0);
        agent.kill();
        store.remove("gone.yaml", &gone);
        let Store::Etcd(member) = &store else { unreachable!("it is etcd") };
        member.put("/calico/v1/Ready", "false");
        agent = store.launch(host, owner, &[]);
        agent.line(&Mark::beginning(), "it waits", |line| line.contains("wait-for-ready"));
        load.pass(2_000);
        assert_eq!(difference(&before, &objects(host)), Vec::<String>::new());
        member.put("/calico/v1/Ready", "true");
        agent.started();
        load.pass(2_000);
        assert_eq!(chains(&objects(host)), 0);
        load.finish("not in sync at first");
    }
}
