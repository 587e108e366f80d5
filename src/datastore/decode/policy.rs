//! Policies and tiers.

use super::rule::{
    NAMESPACE_LABEL, NAMESPACE_PREFIX, SERVICE_ACCOUNT_LABEL, SERVICE_ACCOUNT_PREFIX, Scope, rules,
};
use super::value::{selector_of, written};
use super::{Context, Origin};
use crate::datastore::field::{Object, quoted};
use crate::datastore::validate;
use crate::model::{
    DEFAULT_TIER, Direction, EndOfTier, Form, Kind, Order, Policy, PolicyKind, PolicyTypes, Rule,
    Tier, TierName,
};
use crate::selector::Selector;

/// The order that calicoctl writes for a tier without one.
const WRITTEN_TIER_ORDER: f64 = 1_000_000.0;

/// Reads the spec of a v3 policy; `namespace` is empty for a global one.
pub(super) fn policy_v3(
    spec: &Object<'_>,
    kind: Kind,
    namespace: &str,
    context: Context,
) -> Option<Policy> {
    spec.ignore(&["performanceHints"]);
    let namespace = Some(namespace).filter(|_| kind.is_namespaced());
    let scope = Scope { context, namespace };
    let ingress = rules(spec, Direction::Ingress, scope);
    let egress = rules(spec, Direction::Egress, scope);
    let types = types(spec).unwrap_or_else(|| default_types(&ingress, &egress, context.origin));
    let kind = if kind.is_namespaced() {
        PolicyKind::Normal
    } else {
        let kind = policy_kind(spec, Form::V3);
        check_pre_dnat(spec, kind, types);
        kind
    };
    let selector = match namespace {
        Some(namespace) => namespaced_selector(spec, namespace),
        None => global_selector(spec),
    };
    Some(Policy {
        tier: tier_name(spec)?,
        order: order(spec)?,
        selector,
        types,
        kind,
        ingress,
        egress,
    })
}

/// Reads the spec of a v1 policy.
pub(super) fn policy_v1(spec: &Object<'_>, context: Context) -> Option<Policy> {
    let scope = Scope {
        context,
        namespace: None,
    };
    let ingress = rules(spec, Direction::Ingress, scope);
    let egress = rules(spec, Direction::Egress, scope);
    let types = types(spec).unwrap_or(PolicyTypes::BOTH);
    let kind = policy_kind(spec, Form::V1);
    check_pre_dnat(spec, kind, types);
    Some(Policy {
        tier: TierName::new(DEFAULT_TIER),
        order: order(spec)?,
        selector: selector_of(spec, "selector").unwrap_or_else(Selector::all),
        types,
        kind,
        ingress,
        egress,
    })
}

fn tier_name(spec: &Object<'_>) -> Option<TierName> {
    let Some(text) = spec.text("tier") else {
        return Some(TierName::new(DEFAULT_TIER));
    };
    written(&spec.get("tier")?, |text| {
        validate::resource_name(Kind::Tier, text)
    })?;
    Some(TierName::new(text))
}

fn order(spec: &Object<'_>) -> Option<Order> {
    match spec.get("order") {
        Some(field) => field.number().and_then(Order::new),
        None => Some(Order::LAST),
    }
}

fn types(spec: &Object<'_>) -> Option<PolicyTypes> {
    let field = spec.get("types")?;
    let mut types = PolicyTypes {
        ingress: false,
        egress: false,
    };
    for item in field.items() {
        let Some(text) = item.text() else { continue };
        if text.eq_ignore_ascii_case("ingress") {
            types.ingress = true;
        } else if text.eq_ignore_ascii_case("egress") {
            types.egress = true;
        } else {
            item.refuse(format!("{} is neither Ingress nor Egress", quoted(text)));
        }
    }
    if field.origin() == Origin::Datastore && !(field.is_empty() || types.ingress || types.egress) {
        field.reject("names no direction");
    }
    // An empty list is left out when Go writes it, and therefore absent.
    (types.ingress || types.egress).then_some(types)
}

/// What a policy governs that does not say: what calicoctl would write for a file, both directions
/// for what has been stored without.
fn default_types(ingress: &[Rule], egress: &[Rule], origin: Origin) -> PolicyTypes {
    match origin {
        Origin::Datastore => PolicyTypes::BOTH,
        Origin::File => PolicyTypes {
            ingress: egress.is_empty() || !ingress.is_empty(),
            egress: !egress.is_empty(),
        },
    }
}

fn policy_kind(spec: &Object<'_>, form: Form) -> PolicyKind {
    let untracked = spec.flag("doNotTrack");
    let pre_dnat = spec.flag("preDNAT");
    if untracked && pre_dnat {
        spec.refuse_field("preDNAT", "cannot be combined with doNotTrack");
    }
    let forward = match form {
        Form::V3 => spec.flag("applyOnForward"),
        Form::V1 => false,
    };
    if form == Form::V3 && (untracked || pre_dnat) && !forward {
        spec.refuse_field("applyOnForward", "must be true with doNotTrack or preDNAT");
    }
    if untracked {
        PolicyKind::Untracked
    } else if pre_dnat {
        PolicyKind::PreDnat
    } else if forward {
        PolicyKind::ApplyOnForward
    } else {
        PolicyKind::Normal
    }
}

fn check_pre_dnat(spec: &Object<'_>, kind: PolicyKind, types: PolicyTypes) {
    match kind {
        PolicyKind::Normal | PolicyKind::ApplyOnForward | PolicyKind::Untracked => return,
        PolicyKind::PreDnat => {}
    }
    if spec.get("egress").is_some_and(|egress| !egress.is_empty()) {
        spec.refuse_field("egress", "a preDNAT policy has no egress rules");
    }
    if spec.get("types").is_some() && types.egress {
        spec.refuse_field("types", "a preDNAT policy governs ingress only");
    }
}

/// Confines a policy to endpoints whose inherited labels a selector matches.
///
/// Calico rewrites `all()` in the whole text, the policy's own selector included.
fn confined(
    selector: Option<Selector>,
    inherited: Option<Selector>,
    prefix: &str,
    label: &str,
) -> Option<Selector> {
    let Some(inherited) = inherited else {
        return selector;
    };
    let has = Selector::has(label);
    let inherited = inherited.prefixed(prefix).replace_all(&has);
    Some(match selector {
        Some(selector) => selector.replace_all(&has).and(&inherited),
        None => inherited,
    })
}

fn with_accounts(selector: Option<Selector>, spec: &Object<'_>) -> Option<Selector> {
    let accounts = selector_of(spec, "serviceAccountSelector");
    confined(
        selector,
        accounts,
        SERVICE_ACCOUNT_PREFIX,
        SERVICE_ACCOUNT_LABEL,
    )
}

fn global_selector(spec: &Object<'_>) -> Selector {
    let namespaces = selector_of(spec, "namespaceSelector");
    let own = selector_of(spec, "selector");
    let selector = confined(own, namespaces, NAMESPACE_PREFIX, NAMESPACE_LABEL);
    with_accounts(selector, spec).unwrap_or_else(Selector::all)
}

fn namespaced_selector(spec: &Object<'_>, namespace: &str) -> Selector {
    let here = Selector::equals(NAMESPACE_LABEL, namespace);
    let confined = match selector_of(spec, "selector") {
        Some(selector) => selector.and(&here),
        None => here.clone(),
    };
    with_accounts(Some(confined), spec).unwrap_or(here)
}

/// Reads the spec of a tier.
pub(super) fn tier(spec: &Object<'_>, context: Context) -> Option<Tier> {
    let order = match (spec.get("order"), context.origin) {
        (None, Origin::File) => Order::new(WRITTEN_TIER_ORDER)?,
        (None, Origin::Datastore) | (Some(_), _) => order(spec)?,
    };
    let default_action = match (spec.text("defaultAction"), context.origin) {
        (Some("Pass"), _) => EndOfTier::Pass,
        (Some("Deny") | None, _) | (Some(_), Origin::Datastore) => EndOfTier::Deny,
        (Some(other), Origin::File) => {
            let reason = format!("{} is neither Pass nor Deny", quoted(other));
            spec.reject_field("defaultAction", reason);
            EndOfTier::Deny
        }
    };
    Some(Tier {
        order,
        default_action,
    })
}
