//! How the host endpoints of this host fare.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::offline::Offline;
use super::show::{Fields, interface, put_list};
use crate::calc::EndpointStatus;
use crate::model::{Form, Problem, ResourceKey};

/// What is known of resources beside themselves.
#[derive(Debug)]
pub(super) struct Statuses {
    endpoints: BTreeMap<ResourceKey, EndpointStatus>,
    problems: BTreeMap<ResourceKey, Vec<Problem>>,
}

impl Statuses {
    /// Takes it from what was worked out.
    pub(super) fn of(offline: &Offline) -> Self {
        let mut problems: BTreeMap<_, Vec<Problem>> = BTreeMap::new();
        for problem in &offline.problems {
            if let Some(key) = &problem.object {
                problems
                    .entry(key.clone())
                    .or_default()
                    .push(problem.clone());
            }
        }
        let endpoints = offline.calc.status();
        Self {
            endpoints: endpoints
                .map(|status| (status.endpoint.clone(), status))
                .collect(),
            problems,
        }
    }

    /// Returns the interfaces that an endpoint of this host polices; `None` for an endpoint of another.
    pub(super) fn bound(&self, key: &ResourceKey) -> Option<Vec<String>> {
        let status = self.endpoints.get(key)?;
        Some(status.interfaces.iter().map(interface).collect())
    }

    /// Returns what is wrong with a resource, in short.
    pub(super) fn problems(&self, key: &ResourceKey) -> Vec<String> {
        let problems = self.problems.get(key).into_iter().flatten();
        problems.map(described).collect()
    }

    /// Returns all of it in the form in which resources tell their status.
    pub(super) fn value(&self, key: &ResourceKey) -> Option<Value> {
        let mut fields = Fields::new();
        match key.form {
            Form::V1 => {
                fields.insert("form".to_owned(), json!("v1"));
            }
            Form::V3 => {}
        }
        if let Some(status) = self.endpoints.get(key) {
            let interfaces: Vec<String> = status.interfaces.iter().map(interface).collect();
            fields.insert("interfaces".to_owned(), json!(interfaces));
            let absent: Vec<String> = status.absent.iter().map(interface).collect();
            put_list(&mut fields, "absentInterfaces", &absent);
            if !status.shadowed.is_empty() {
                let shadowed = status.shadowed.iter().map(
                    |(name, by)| json!({ "interface": interface(name), "by": by.to_string() }),
                );
                fields.insert("shadowed".to_owned(), shadowed.collect());
            }
        }
        put_list(&mut fields, "problems", &self.problems(key));
        (!fields.is_empty()).then_some(Value::Object(fields))
    }
}

/// Says what is wrong without naming the resource again.
fn described(problem: &Problem) -> String {
    let reason = problem.reason.lines().next().unwrap_or_default();
    if problem.field.is_empty() {
        reason.to_owned()
    } else {
        format!("{}: {reason}", problem.field)
    }
}
