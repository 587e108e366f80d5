//! What is stored: how much of it, and each resource as etcd holds it.
//!
//! All policies apply to every endpoint of the host. Three policies of the bench itself come first, so that a probe
//! meets a handful of rules whatever the size: what is measured is how long a change takes, not how long a packet is
//! compared. The policies behind them have ten rules each, TCP and UDP in turn, with a /32 source, a port and a range
//! of ports, all different. Members of the one set that policy names stand in network sets of a thousand each.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use netns_tests::agent::HOSTNAME;
use netns_tests::etcd::{V1, V3};
use netns_tests::writer::Change;
use netns_tests::{EXT, W1, W2};

/// How many rules each policy has.
const RULES: u32 = 10;
/// A number that no policy behind those of the bench has.
const UNUSED: u32 = 1_000_000;
/// How many members stand in one network set.
const IN_SET: u32 = 1_000;
/// The port that is always open.
pub(crate) const ALWAYS: u16 = 40_000;
/// The port that no rule allows.
pub(crate) const NEVER: u16 = 41_000;
/// The ports of which a policy opens one in each round.
pub(crate) const IN_TURN: [u16; 2] = [20_000, 20_001];
/// The port that is open to members of the set.
pub(crate) const MEMBERS: u16 = 30_000;
/// All of them.
const ALL: &str = "20000:41000";
/// The interface of the workload that comes and goes.
pub(crate) const INTERFACE: &str = "calibench";
/// The address of that workload.
pub(crate) const WORKLOAD: Ipv4Addr = Ipv4Addr::new(10, 66, 255, 10);

/// What members of the set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Single addresses.
    Addresses,
    /// Prefixes of 28 to 30 bits, of which no two can be joined.
    Prefixes,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Policies of ten rules.
    pub(crate) policies: u32,
    /// Members of the set.
    pub(crate) members: u32,
    /// Workloads of the host.
    pub(crate) workloads: u32,
    /// What the members are.
    pub(crate) form: Form,
}

/// What is measured without arguments: one shape, each of its sizes varied by itself, and ten times of all.
pub(crate) const USUAL: [&str; 13] = [
    "1000:10000:100",
    "10:10000:100",
    "10000:10000:100",
    "1000:0:100",
    "1000:100000:100",
    "1000:1000000:100",
    "1000:10000:100:prefixes",
    "1000:100000:100:prefixes",
    "1000:1000000:100:prefixes",
    "1000:10000:0",
    "1000:10000:1000",
    "10000:100000:1000",
    "10000:100000:1000:prefixes",
];

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}`: not POLICIES:MEMBERS:WORKLOADS[:prefixes]");
        let parts: Vec<&str> = text.split(':').collect();
        let (sizes, form) = match parts.as_slice() {
            [sizes @ .., "prefixes"] => (sizes, Form::Prefixes),
            sizes => (sizes, Form::Addresses),
        };
        let [policies, members, workloads] = sizes else {
            return Err(wrong());
        };
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self {
            policies: number(policies)?,
            members: number(members)?,
            workloads: number(workloads)?,
            form,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.policies, self.members, self.workloads)?;
        match self.form {
            Form::Addresses => Ok(()),
            Form::Prefixes => f.write_str(":prefixes"),
        }
    }
}

/// A change of what is stored that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A policy opens another port.
    Policy,
    /// A network set of a thousand members gets one more.
    Member,
    /// A workload of another node gets a label that makes it a member.
    Label,
    /// The host gets one more workload.
    Endpoint,
}

impl Kind {
    /// Every kind, in the order in which they are measured.
    pub(crate) const ALL: [Self; 4] = [Self::Policy, Self::Member, Self::Label, Self::Endpoint];

    /// Returns what the table calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Member => "member",
            Self::Label => "label",
            Self::Endpoint => "endpoint",
        }
    }
}

impl Shape {
    /// Returns everything that is stored at the beginning, but for the word that the datastore is ready.
    pub(crate) fn resources(&self) -> Vec<Change> {
        let own = [
            host_endpoint(),
            policy("a0", 0, &format!("{{{},{}}}", ALLOW, to(ALWAYS))),
            self.change(Kind::Policy, 0),
            policy(
                "a2",
                2,
                &format!(
                    r#"{{{ALLOW},"source":{{"selector":"role == 'member'"}},{}}}"#,
                    to(MEMBERS)
                ),
            ),
            policy(
                "a3",
                3,
                &format!(
                    r#"{{"action":"Deny","protocol":"UDP","destination":{{"ports":["{ALL}"]}}}}"#
                ),
            ),
            self.change(Kind::Label, 0),
        ];
        let sets = (0..self.members.div_ceil(IN_SET).max(1)).map(|index| self.set(index, None));
        own.into_iter()
            .chain((0..self.policies).map(filler))
            .chain(sets)
            .chain((0..self.workloads).map(workload))
            .collect()
    }

    /// Returns a change: an odd round of a policy opens the second of its ports, an odd one of anything else makes
    /// it be there, and an even one takes that back.
    pub(crate) fn change(&self, kind: Kind, round: u32) -> Change {
        let there = round % 2 == 1;
        match kind {
            Kind::Policy => {
                let port = IN_TURN[usize::from(there)];
                let last = format!("{{{ALLOW},{}}}", to(port));
                let rules: Vec<String> = (0..RULES - 1)
                    .map(|rule| filling(UNUSED, rule))
                    .chain([last])
                    .collect();
                policy("a1", 1, &rules.join(","))
            }
            Kind::Member => self.set(0, there.then_some(W1.v4)),
            Kind::Label => {
                let role = if there { "member" } else { "other" };
                workload_endpoint("node2", "remote", role, "caliremote", W2.v4)
            }
            Kind::Endpoint => {
                let (key, value) =
                    workload_endpoint(HOSTNAME, "probed", "local", INTERFACE, WORKLOAD);
                (key, value.filter(|_| there))
            }
        }
    }

    /// A network set with its share of the members, and one more.
    fn set(&self, index: u32, more: Option<Ipv4Addr>) -> Change {
        let own = index * IN_SET..((index + 1) * IN_SET).min(self.members);
        let net = |address: Ipv4Addr| match self.form {
            Form::Addresses => format!(r#""{address}""#),
            Form::Prefixes => format!(r#""{address}/32""#),
        };
        let nets: Vec<String> = own
            .map(|member| match self.form {
                Form::Addresses => net(Ipv4Addr::from(0x1400_0000 + member)),
                Form::Prefixes => format!(
                    r#""{}/{}""#,
                    Ipv4Addr::from(0x1400_0000 + 16 * member),
                    28 + member % 3
                ),
            })
            .chain(more.map(net))
            .collect();
        let name = format!("set{index:05}");
        let spec = format!(r#""nets":[{}]"#, nets.join(","));
        resource(
            "GlobalNetworkSet",
            "globalnetworksets",
            &name,
            r#","labels":{"role":"member"}"#,
            &spec,
        )
    }
}

/// What every datagram of the bench that is allowed is allowed by.
const ALLOW: &str = r#""action":"Allow","protocol":"UDP""#;

/// Says that the datastore may be used.
pub(crate) fn ready() -> Change {
    (format!("{V1}/Ready"), Some("true".to_owned()))
}

fn to(port: u16) -> String {
    format!(r#""destination":{{"ports":[{port}]}}"#)
}

fn host_endpoint() -> Change {
    let spec = format!(
        r#""node":"{HOSTNAME}","interfaceName":"eth0","expectedIPs":["{}"]"#,
        netns_tests::HOST0.v4
    );
    resource("HostEndpoint", "hostendpoints", "eth0", "", &spec)
}

/// A policy behind those of the bench, whose ten rules decide nothing here.
fn filler(index: u32) -> Change {
    let rules: Vec<String> = (0..RULES).map(|rule| filling(index, rule)).collect();
    policy(&format!("p{index:05}"), index + 10, &rules.join(","))
}

fn filling(index: u32, rule: u32) -> String {
    let number = index * RULES + rule;
    let [_, b, c, d] = number.to_be_bytes();
    let protocol = if rule.is_multiple_of(2) { "TCP" } else { "UDP" };
    let first = 1_024 + number % 18_000;
    let from = 42_000 + number % 20_000;
    format!(
        r#"{{"action":"Allow","protocol":"{protocol}","source":{{"nets":["11.{b}.{c}.{d}/32"]}},"destination":{{"ports":[{first},"{from}:{}"]}}}}"#,
        from + 9
    )
}

fn policy(name: &str, order: u32, rules: &str) -> Change {
    let spec =
        format!(r#""order":{order},"selector":"all()","types":["Ingress"],"ingress":[{rules}]"#);
    resource(
        "GlobalNetworkPolicy",
        "globalnetworkpolicies",
        name,
        "",
        &spec,
    )
}

/// A workload of the host that only is there.
fn workload(index: u32) -> Change {
    let address = Ipv4Addr::from(0x0a42_0000 + index);
    workload_endpoint(
        HOSTNAME,
        &format!("w{index:05}"),
        "local",
        &interface(index),
        address,
    )
}

/// The interface of a workload that only is there.
pub(crate) fn interface(index: u32) -> String {
    format!("cali{index:05}")
}

fn workload_endpoint(
    node: &str,
    pod: &str,
    role: &str,
    interface: &str,
    address: Ipv4Addr,
) -> Change {
    let spec = format!(
        r#""node":"{node}","orchestrator":"k8s","pod":"{pod}","endpoint":"eth0","interfaceName":"{interface}","ipNetworks":["{address}/32"],"profiles":["projectcalico-default-allow"]"#
    );
    resource(
        "WorkloadEndpoint",
        "workloadendpoints/default",
        &format!("{node}-k8s-{pod}-eth0"),
        &format!(r#","namespace":"default","labels":{{"role":"{role}"}}"#),
        &spec,
    )
}

fn resource(kind: &str, plural: &str, name: &str, metadata: &str, spec: &str) -> Change {
    let value = format!(
        r#"{{"kind":"{kind}","apiVersion":"projectcalico.org/v3","metadata":{{"name":"{name}"{metadata}}},"spec":{{{spec}}}}}"#
    );
    (format!("{V3}/{plural}/{name}"), Some(value))
}

/// Where a probe of a change comes from, other than a workload.
pub(crate) fn source(kind: Kind) -> Ipv4Addr {
    match kind {
        Kind::Policy => EXT.v4,
        Kind::Member => W1.v4,
        Kind::Label => W2.v4,
        Kind::Endpoint => WORKLOAD,
    }
}
