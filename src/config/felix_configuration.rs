//! Conversion of `FelixConfiguration` and `ClusterInformation` objects to raw option texts.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::go_duration;
use super::layers::{DetectedHostname, HostnameSource, Layers};
use super::options::{self, Row};
use super::problem::{ConfigProblem, Severity, quoted};
use super::resolve::resolve;
use super::types::Unit;

/// Fields whose name is not the option's, in lower case.
const FIELD_NAMES: [(&str, &str); 12] = [
    ("externalnodeslist", "ExternalNodesCIDRList"),
    ("ipipenabled", "IpInIpEnabled"),
    ("ipipmtu", "IpInIpMtu"),
    (
        "iptablespostwritecheckinterval",
        "IptablesPostWriteCheckIntervalSecs",
    ),
    (
        "iptableslockprobeinterval",
        "IptablesLockProbeIntervalMillis",
    ),
    ("iptableslocktimeout", "IptablesLockTimeoutSecs"),
    ("netlinktimeout", "NetlinkTimeoutSecs"),
    ("reportinginterval", "ReportingIntervalSecs"),
    ("reportingttl", "ReportingTTLSecs"),
    ("endpointreportingdelay", "EndpointReportingDelaySecs"),
    (
        "usagereportinginitialdelay",
        "UsageReportingInitialDelaySecs",
    ),
    ("usagereportinginterval", "UsageReportingIntervalSecs"),
];

/// Field that says which hosts an object is for.
const NODE_SELECTOR: &str = "nodeSelector";

const ANNOTATION_PREFIX: &str = "config.projectcalico.org/";

/// Converts the spec and the annotations of a `FelixConfiguration` to raw texts by option.
///
/// Durations become decimal seconds or milliseconds, lists are joined with commas, an empty list of
/// failsafe ports is `none`, and an annotation `config.projectcalico.org/NAME` overrides the field
/// of that name without any check. A field that cannot be converted is left out and reported.
pub fn felix_configuration(
    spec: &Map<String, Value>,
    annotations: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Vec<String>) {
    let mut raw = BTreeMap::new();
    let mut problems = Vec::new();
    for (field, value) in spec.iter().filter(|(field, _)| *field != NODE_SELECTOR) {
        let row = find(field);
        let name = row.map_or_else(|| field.clone(), |row| row.1.to_owned());
        match text(field, row.map(|row| row.0), value) {
            Ok(Some(text)) => {
                raw.insert(name, text);
            }
            Ok(None) => {}
            Err(reason) => {
                let field = quoted(field);
                problems.push(format!("field {field}: {reason}; the field is ignored"));
            }
        }
    }
    for (annotation, value) in annotations {
        let Some(name) = annotation.strip_prefix(ANNOTATION_PREFIX) else {
            continue;
        };
        let spelling = raw
            .keys()
            .find(|key| key.eq_ignore_ascii_case(name))
            .cloned();
        if let Some(spelling) = spelling {
            raw.remove(&spelling);
        }
        raw.insert(name.to_owned(), value.clone());
    }
    (raw, problems)
}

/// Returns what is wrong with the spec and the annotations of a `FelixConfiguration`, on a host where nothing else is set.
pub fn felix_configuration_problems(
    spec: &Map<String, Value>,
    annotations: &BTreeMap<String, String>,
) -> Vec<ConfigProblem> {
    let (raw, unreadable) = felix_configuration(spec, annotations);
    let layers = Layers {
        datastore_global: raw,
        // Any name will do, as long as there is one.
        hostname: DetectedHostname::new("host", HostnameSource::Kernel),
        problems: unreadable
            .into_iter()
            .map(|reason| ConfigProblem {
                severity: Severity::Warning,
                subject: None,
                place: String::new(),
                reason,
            })
            .collect(),
        ..Layers::default()
    };
    resolve(&layers, None).problems
}

/// Finds the row of a field and the name (its own, or an alias) that the field stands for.
fn find(field: &str) -> Option<(&'static Row, &'static str)> {
    let lower = field.to_ascii_lowercase();
    let renamed = FIELD_NAMES
        .iter()
        .find(|(name, _)| *name == lower)
        .map(|(_, option)| *option);
    let name = renamed.unwrap_or(field);
    let row = options::find(name)?;
    let alias = row
        .aliases
        .iter()
        .find(|alias| alias.eq_ignore_ascii_case(name));
    Some((row, alias.copied().unwrap_or(row.name)))
}

/// Converts one value; what is absent or empty converts to nothing.
fn text(field: &str, row: Option<&Row>, value: &Value) -> Result<Option<String>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => match row.map(|row| row.unit) {
            Some(Unit::Seconds | Unit::Milliseconds) => {
                return Err(format!("`{number}` is not a duration, as `90s`"));
            }
            Some(Unit::None) | None => number.to_string(),
        },
        Value::String(text) => match row.map(|row| row.unit) {
            _ if text.is_empty() => return Ok(None),
            Some(Unit::Seconds) => seconds(text)?.to_string(),
            Some(Unit::Milliseconds) => (seconds(text)? * 1000.0).to_string(),
            Some(Unit::None) | None => text.clone(),
        },
        Value::Array(items) if is_failsafe(field) => failsafe_ports(items),
        Value::Array(items) => joined(items.iter().map(item))?,
        Value::Object(map) => object(map)?,
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn seconds(text: &str) -> Result<f64, String> {
    go_duration::parse_seconds(text)
        .ok_or_else(|| format!("{} is not a duration, as `90s`", quoted(text)))
}

fn is_failsafe(field: &str) -> bool {
    field.eq_ignore_ascii_case("failsafeInboundHostPorts")
        || field.eq_ignore_ascii_case("failsafeOutboundHostPorts")
}

fn joined(texts: impl Iterator<Item = Result<String, String>>) -> Result<String, String> {
    texts
        .collect::<Result<Vec<_>, _>>()
        .map(|texts| texts.join(","))
}

/// Converts a member of a list: a scalar, a range of numbers, or a named timeout.
fn item(value: &Value) -> Result<String, String> {
    match value {
        Value::Object(map) => object(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            scalar(value)
        }
    }
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("expected a text, a number or a boolean".to_owned())
        }
    }
}

/// Converts `{min, max}` to a range, `{name, timeout}` to a pair, and any other map to its pairs.
fn object(map: &Map<String, Value>) -> Result<String, String> {
    let pair = |first: &str, second: &str| match (map.get(first), map.get(second)) {
        (Some(a), Some(b)) if map.len() == 2 => Some(scalar(a).and_then(|a| Ok((a, scalar(b)?)))),
        _ => None,
    };
    if let Some(range) = pair("min", "max") {
        return range.map(|(min, max)| format!("{min}-{max}"));
    }
    if let Some(timeout) = pair("name", "timeout") {
        return timeout.map(|(name, timeout)| format!("{name}={timeout}"));
    }
    joined(
        map.iter()
            .map(|(key, value)| Ok(format!("{key}={}", scalar(value)?))),
    )
}

/// Joins failsafe ports; what is no port keeps its text, so that the option refuses it by its own rule.
fn failsafe_ports(items: &[Value]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let ports = items.iter().map(|item| {
        let field = |name: &str| match item.get(name)? {
            Value::Null => None,
            Value::String(text) if name != "port" => Some(text.clone()).filter(|t| !t.is_empty()),
            value @ (Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)) => Some(value.to_string()),
        };
        let port = field("port").unwrap_or_default();
        // Felix's protocol is mandatory; a list entry without one has always meant TCP.
        let protocol = field("protocol").map_or_else(|| "tcp".to_owned(), |p| p.to_lowercase());
        match field("net") {
            None => format!("{protocol}:{port}"),
            Some(net) if net.contains(':') => format!("{protocol}:[{net}]:{port}"),
            Some(net) => format!("{protocol}:{net}:{port}"),
        }
    });
    ports.collect::<Vec<_>>().join(",")
}
