//! The namespace that a command is for.

use serde_json::{Value, json};

use super::kinds;
use crate::datastore::Written;
use crate::model::{Form, Kind, ResourceKey};

/// Which namespaces a command that reads looks at.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct NamespaceArgs {
    /// The namespace of the resources; without it, those of all namespaces
    #[arg(
        short,
        long,
        value_name = "NAMESPACE",
        conflicts_with = "all_namespaces"
    )]
    namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

impl NamespaceArgs {
    /// Tells whether a resource is in one of them.
    pub(super) fn contain(&self, key: &ResourceKey) -> bool {
        is_within(key, self.namespace.as_deref())
    }

    /// Puts resources that are looked for and name no namespace into the one that is asked for, if one is.
    ///
    /// # Errors
    /// Fails where one of them names another, or can have none.
    pub(super) fn place(&self, written: Vec<Written>) -> anyhow::Result<Vec<Written>> {
        put_into(written, self.namespace.as_deref())
    }

    /// Refuses to look for a kind that has no namespaces in one.
    ///
    /// # Errors
    /// Fails where the kind has none.
    pub(super) fn check(&self, kind: Kind) -> anyhow::Result<()> {
        check(kind, self.namespace.as_deref())
    }
}

/// Tells whether a resource is in a namespace, if one is asked for.
pub(super) fn is_within(key: &ResourceKey, namespace: Option<&str>) -> bool {
    let own = match key.form {
        Form::V3 => Some(&*key.scope),
        // The scope of the v1 form is a node.
        Form::V1 => None,
    };
    namespace.is_none() || own == namespace
}

/// Refuses a namespace for a kind that has none.
///
/// # Errors
/// Fails where the kind has none and one is given.
pub(super) fn check(kind: Kind, namespace: Option<&str>) -> anyhow::Result<()> {
    if namespace.is_some() && !kind.is_namespaced() {
        anyhow::bail!("a {kind} has no namespace");
    }
    Ok(())
}

/// Puts resources that name no namespace into one, if one is asked for.
///
/// # Errors
/// Fails where one of them names another, or can have none.
pub(super) fn put_into(
    written: Vec<Written>,
    namespace: Option<&str>,
) -> anyhow::Result<Vec<Written>> {
    let Some(namespace) = namespace else {
        return Ok(written);
    };
    let put = |written: Written| {
        let place = &written.place;
        let kind = kinds::parse(written.kind()).ok();
        let is_v1 = written.key.as_ref().is_some_and(|key| key.form == Form::V1);
        if is_v1 || kind.is_some_and(|kind| !kind.is_namespaced()) {
            anyhow::bail!("{place}: a {} has no namespace", written.kind());
        }
        let mut document = written.document.clone();
        let Some(Value::Object(metadata)) = document.get_mut("metadata") else {
            return Ok(written);
        };
        match metadata.get("namespace").and_then(Value::as_str) {
            None | Some("") => {
                metadata.insert("namespace".to_owned(), json!(namespace));
                Ok(Written::from_json(&Value::Object(document), place)?)
            }
            Some(own) if own == namespace => Ok(written),
            Some(own) => anyhow::bail!(
                "{place}: metadata.namespace: is `{own}`, and --namespace is `{namespace}`"
            ),
        }
    };
    written.into_iter().map(put).collect()
}
