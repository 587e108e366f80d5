//! What became of a packet, as it is printed.

use serde_json::{Value, json};

use super::output::Table;
use super::show::{Fields, put, put_list};
use crate::explain::{Connection, Content, Journey, Packet, Reason, RuleSource, Step, Verdict};
use crate::model::{Direction, ResourceKey};

/// What was found out.
pub(super) enum Answer {
    /// What becomes of a packet.
    Packet(Journey),
    /// What becomes of a request and its reply.
    Connection(Connection),
}

impl Answer {
    /// Tells whether the packet passes, and where there is an answer to it, that too.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Packet(journey) => journey.is_allowed(),
            Self::Connection(connection) => {
                connection.request_seen && (connection.reply.is_none() || connection.reply_seen)
            }
        }
    }

    fn verdict(&self) -> Verdict {
        if self.passes() {
            Verdict::Allowed
        } else {
            Verdict::Denied
        }
    }

    /// Returns it for people.
    pub(super) fn table(&self) -> String {
        match self {
            Self::Packet(journey) => journey_table("packet", journey),
            Self::Connection(connection) => {
                let request = journey_table("request", &connection.request);
                let reply = connection.reply.as_ref();
                let answered = reply.map(|reply| format!("\n{}", journey_table("reply", reply)));
                let why = if self.passes() || !connection.request_seen {
                    ""
                } else if reply.is_some_and(Journey::is_allowed) {
                    ": the reply is not translated back, as it bypasses connection tracking"
                } else {
                    ": the request arrives and its reply does not"
                };
                let (reply, verdict) = (answered.unwrap_or_default(), self.verdict());
                format!("{request}{reply}\nverdict: {verdict}{why}\n")
            }
        }
    }

    /// Returns it as a value.
    pub(super) fn value(&self) -> Value {
        let mut fields = Fields::new();
        fields.insert("verdict".to_owned(), json!(self.verdict().to_string()));
        match self {
            Self::Packet(journey) => {
                fields.insert("packet".to_owned(), journey_value(journey));
            }
            Self::Connection(connection) => {
                fields.insert("request".to_owned(), journey_value(&connection.request));
                let reply = connection.reply.as_ref().map(journey_value);
                put(&mut fields, "reply", reply.as_ref());
                fields.insert("requestSeen".to_owned(), json!(connection.request_seen));
                fields.insert("replySeen".to_owned(), json!(connection.reply_seen));
                fields.insert("tracked".to_owned(), json!(connection.tracked));
            }
        }
        Value::Object(fields)
    }
}

/// Returns the way of a packet: what it is, a row for each question, and the verdict.
fn journey_table(name: &str, journey: &Journey) -> String {
    let mut table = Table::new(&["HOOK", "INTERFACE", "ENDPOINT", "ANSWER", "BECAUSE"]);
    for step in &journey.steps {
        let logged = step.logged.iter().map(|by| format!("; logged by {by}"));
        table.push([
            step.hook.to_string(),
            step.interface.to_string(),
            step.endpoint
                .as_ref()
                .map(ResourceKey::to_string)
                .unwrap_or_default(),
            step.outcome.to_string(),
            format!("{}{}", step.reason, logged.collect::<String>()),
        ]);
    }
    let how = match (journey.refusal, journey.untracked) {
        (Some(refusal), _) => format!(" ({refusal})"),
        (None, true) => ", without connection tracking".to_owned(),
        (None, false) => String::new(),
    };
    let (packet, verdict) = (&journey.packet, journey.verdict);
    format!("{name}: {packet}\n{table}{name} {verdict}{how}\n")
}

fn journey_value(journey: &Journey) -> Value {
    let mut fields = packet_fields(&journey.packet);
    fields.insert("verdict".to_owned(), json!(journey.verdict.to_string()));
    let refusal = journey.refusal.map(|refusal| refusal.to_string());
    put(&mut fields, "refusal", refusal.as_ref());
    fields.insert("untracked".to_owned(), json!(journey.untracked));
    fields.insert(
        "steps".to_owned(),
        journey.steps.iter().map(step_value).collect(),
    );
    Value::Object(fields)
}

fn packet_fields(packet: &Packet) -> Fields {
    let mut fields = Fields::new();
    put(
        &mut fields,
        "in",
        packet.input.as_ref().map(ToString::to_string).as_ref(),
    );
    put(
        &mut fields,
        "out",
        packet.output.as_ref().map(ToString::to_string).as_ref(),
    );
    fields.insert("from".to_owned(), json!(packet.source.to_string()));
    fields.insert("to".to_owned(), json!(packet.destination.to_string()));
    fields.insert("protocol".to_owned(), json!(packet.protocol.to_string()));
    match packet.content {
        Content::Ports {
            source,
            destination,
        } => {
            fields.insert("sourcePort".to_owned(), json!(source));
            fields.insert("port".to_owned(), json!(destination));
        }
        Content::Icmp { kind, code } => {
            fields.insert("icmp".to_owned(), json!({ "type": kind, "code": code }));
        }
        Content::Other => {}
    }
    if let Some((address, port)) = packet.dnat {
        let mut dnat = Fields::new();
        dnat.insert("to".to_owned(), json!(address.to_string()));
        put(&mut dnat, "port", port.as_ref());
        fields.insert("dnat".to_owned(), Value::Object(dnat));
    }
    fields.insert("state".to_owned(), json!(packet.state.to_string()));
    fields
}

fn step_value(step: &Step) -> Value {
    let mut fields = Fields::new();
    fields.insert("hook".to_owned(), json!(step.hook.to_string()));
    fields.insert("interface".to_owned(), json!(step.interface.to_string()));
    let endpoint = step.endpoint.as_ref().map(ToString::to_string);
    put(&mut fields, "endpoint", endpoint.as_ref());
    fields.insert("answer".to_owned(), json!(step.outcome.to_string()));
    fields.insert("because".to_owned(), json!(step.reason.to_string()));
    if let Reason::Rule {
        source,
        direction,
        number,
    } = &step.reason
    {
        match source {
            RuleSource::Policy { tier, policy } => {
                fields.insert("tier".to_owned(), json!(tier.as_str()));
                fields.insert("policy".to_owned(), json!(policy.to_string()));
            }
            RuleSource::Profile(profile) => {
                fields.insert("profile".to_owned(), json!(profile.as_str()));
            }
        }
        let direction = match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        fields.insert("direction".to_owned(), json!(direction));
        fields.insert("rule".to_owned(), json!(number));
    }
    put_list(&mut fields, "loggedBy", &step.logged);
    Value::Object(fields)
}
