//! Labelled sets of prefixes.

use super::rule::NAMESPACE_LABEL;
use super::value::list;
use super::{Context, Origin, value};
use crate::datastore::field::{Field, Object, quoted};
use crate::model::{LabelMap, NetworkSet, ProfileId};
use crate::net::parse_net;

/// Reads the spec of a set; `namespace` is empty for a global one.
pub(super) fn network_set(
    spec: &Object<'_>,
    namespace: &str,
    mut labels: LabelMap,
    context: Context,
) -> NetworkSet {
    let net = |field: &Field<'_>| match context.origin {
        Origin::File => value::net(field),
        // What another writer has let through must not take the good prefixes with it.
        Origin::Datastore => {
            let text = field.text()?;
            let net = parse_net(text);
            if net.is_none() {
                field.warn(format!(
                    "{} is not a CIDR or IP address, left out",
                    quoted(text)
                ));
            }
            net
        }
    };
    let nets = list(spec, "nets", net);
    let profile = (!namespace.is_empty()).then(|| {
        labels.insert(NAMESPACE_LABEL.to_owned(), namespace.to_owned());
        ProfileId::new(&format!("kns.{namespace}"))
    });
    NetworkSet {
        labels,
        nets,
        profile,
    }
}
