//! What the benches of `benches/rooms.rs` work on: one host endpoint, policies of ten rules, and a set of members.
//!
//! A package of its own, so that whoever builds or tests tortie builds nothing of what measures.

use std::sync::Arc;

use tortie::agent::{calc_settings, render_settings};
use tortie::calc::{Calc, LinkUpdate};
use tortie::config::Config;
use tortie::datastore::{Origin, decode_file};
use tortie::model::Update;
use tortie::nft::{Catalog, Extent, Plans, plan};
use tortie::render::Renderer;

/// Policies at the beginning.
pub const POLICIES: u32 = 100;
/// Members of the set that one of them names.
pub const MEMBERS: u32 = 1_000;
const RULES: u32 = 10;

/// Returns a policy of ten rules; each round moves the port of the first.
pub fn policy(index: u32, round: u32) -> String {
    let rules: Vec<String> = (0..RULES)
        .map(|rule| {
            let number = index * RULES + rule;
            let [_, b, c, d] = number.to_be_bytes();
            let first = 1_024 + number % 18_000 + if rule == 0 { round } else { 0 };
            let from = 42_000 + number % 20_000;
            format!(
                r#"{{"action":"Allow","protocol":"TCP","source":{{"nets":["11.{b}.{c}.{d}/32"]}},"destination":{{"ports":[{first},"{from}:{}"]}}}}"#,
                from + 9
            )
        })
        .collect();
    policy_of(&format!("p{index:05}"), &rules.join(","))
}

fn policy_of(name: &str, rules: &str) -> String {
    resource(
        "GlobalNetworkPolicy",
        name,
        &format!(r#""order":1,"selector":"all()","types":["Ingress"],"ingress":[{rules}]"#),
    )
}

/// Returns a network set with one member more in an odd round.
pub fn members(round: u32) -> String {
    let nets: Vec<String> = (0..MEMBERS + round % 2)
        .map(|member| {
            let [_, b, c, d] = member.to_be_bytes();
            format!(r#""20.{b}.{c}.{d}""#)
        })
        .collect();
    resource(
        "GlobalNetworkSet",
        "members",
        &format!(r#""nets":[{}]"#, nets.join(",")),
    )
}

fn resource(kind: &str, name: &str, spec: &str) -> String {
    format!(
        r#"{{"kind":"{kind}","apiVersion":"projectcalico.org/v3","metadata":{{"name":"{name}","labels":{{"role":"member"}}}},"spec":{{{spec}}}}}"#
    )
}

/// Decodes a resource.
pub fn decoded(text: &str) -> Update {
    let decoded =
        decode_file("bench", text.as_bytes(), Origin::Datastore).expect("it is a document");
    let object = decoded.objects.into_iter().next().expect("it is good");
    Update {
        key: object.key,
        value: Some(object.value),
    }
}

/// Returns everything that is there at the beginning.
pub fn updates() -> Vec<Update> {
    let endpoint = r#""node":"host1","interfaceName":"eth0""#;
    let rule = r#"{"action":"Allow","protocol":"TCP","source":{"selector":"role == 'member'"}}"#;
    let texts = [
        resource("HostEndpoint", "eth0", endpoint),
        policy_of("members", rule),
        members(0),
    ];
    texts
        .into_iter()
        .chain((0..POLICIES).map(|index| policy(index, 0)))
        .map(|text| decoded(&text))
        .collect()
}

/// The rooms in a row, as the daemon has them.
#[derive(Debug)]
pub struct Rooms {
    /// What is wanted.
    pub calc: Calc,
    /// How it is written.
    pub renderer: Renderer,
    /// What is there.
    pub catalog: Catalog,
}

impl Rooms {
    /// Makes rooms that know nothing.
    pub fn empty() -> Self {
        let config = Config::default_for("host1");
        let mut calc = Calc::new(calc_settings(&config));
        calc.apply_link(LinkUpdate {
            name: "eth0".parse().expect("a name"),
            addresses: Some(std::iter::once([192, 0, 2, 1].into()).collect()),
        });
        let settings = render_settings(&config).expect("the marks fit");
        Self {
            calc,
            renderer: Renderer::new(settings),
            catalog: Catalog::default(),
        }
    }

    /// Makes rooms that know everything that is there at the beginning.
    pub fn full() -> (Self, Plans) {
        let mut rooms = Self::empty();
        for update in updates() {
            rooms.calc.apply(update);
        }
        let changes = rooms.calc.take_whole();
        let objects = rooms.renderer.render(&changes, &rooms.calc);
        let (plans, delta) = plan(&rooms.catalog, &objects, Extent::Whole).expect("it is sound");
        rooms.catalog.apply(delta);
        (rooms, plans)
    }

    /// Takes in one change as far as its plan, and what it leads to.
    pub fn step(&mut self, update: &Update) -> Plans {
        self.calc.apply(Update {
            key: update.key.clone(),
            value: update.value.as_ref().map(Arc::clone),
        });
        let changes = self.calc.take_changes();
        let objects = self.renderer.render(&changes, &self.calc);
        let (plans, delta) = plan(&self.catalog, &objects, Extent::Part).expect("it is sound");
        self.catalog.apply(delta);
        plans
    }
}
