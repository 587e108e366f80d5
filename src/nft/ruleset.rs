//! The whole table in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Catalog, ChainRecord, Element, ElementKey, Extent, Fingerprint, Object, ObjectChange,
    ObjectChanges, ObjectKey, PlanError, SetRecord,
};

/// All objects of the table, with everything they hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// The objects, each under its own key.
    pub objects: BTreeMap<ObjectKey, Object>,
}

impl Ruleset {
    /// Makes a ruleset of whole objects.
    pub fn of(objects: impl IntoIterator<Item = Object>) -> Self {
        Self {
            objects: objects
                .into_iter()
                .map(|object| (object.key(), object))
                .collect(),
        }
    }

    /// Lets changes happen.
    ///
    /// # Errors
    /// Fails, having done nothing, where elements of a set change that is not there, and where a change is
    /// filed under the name of another object.
    pub fn apply(&mut self, changes: &ObjectChanges, extent: Extent) -> Result<(), PlanError> {
        let mut outcome = BTreeMap::new();
        for (key, change) in changes {
            let object = match change {
                ObjectChange::Chain(chain) => Some(Object::Chain(chain.clone())),
                ObjectChange::Set { spec, elements } => {
                    Some(Object::Set(spec.clone(), elements.clone()))
                }
                ObjectChange::Elements { added, removed } => {
                    Some(self.with_elements(key, added, removed)?)
                }
                ObjectChange::Counter => match key {
                    ObjectKey::Counter(name) => Some(Object::Counter(name.clone())),
                    ObjectKey::Set(_) | ObjectKey::Chain(_) => {
                        return Err(PlanError::Misfiled { key: key.clone() });
                    }
                },
                ObjectChange::Absent => None,
            };
            if object.as_ref().is_some_and(|object| object.key() != *key) {
                return Err(PlanError::Misfiled { key: key.clone() });
            }
            outcome.insert(key.clone(), object);
        }
        if extent == Extent::Whole {
            self.objects.clear();
        }
        for (key, object) in outcome {
            match object {
                Some(object) => self.objects.insert(key, object),
                None => self.objects.remove(&key),
            };
        }
        Ok(())
    }

    fn with_elements(
        &self,
        key: &ObjectKey,
        added: &[Element],
        removed: &[Element],
    ) -> Result<Object, PlanError> {
        let (spec, elements) = match (key, self.objects.get(key)) {
            (_, Some(Object::Set(spec, elements))) => (spec, elements),
            (ObjectKey::Set(set), Some(Object::Chain(_) | Object::Counter(_)) | None) => {
                return Err(PlanError::NoSet { set: set.clone() });
            }
            (
                ObjectKey::Chain(_) | ObjectKey::Counter(_),
                Some(Object::Chain(_) | Object::Counter(_)) | None,
            ) => {
                return Err(PlanError::Misfiled { key: key.clone() });
            }
        };
        let keyed = |element: &Element| (element.key.clone(), element.clone());
        let mut whole: BTreeMap<ElementKey, Element> = elements.iter().map(keyed).collect();
        for element in removed {
            whole.remove(&element.key);
        }
        whole.extend(added.iter().map(keyed));
        let elements = Arc::new(whole.into_values().collect());
        Ok(Object::Set(spec.clone(), elements))
    }

    /// Returns the changes that make any table this one, together with [`Extent::Whole`].
    pub fn changes(&self) -> ObjectChanges {
        self.objects
            .iter()
            .map(|(key, object)| (key.clone(), object.clone().into()))
            .collect()
    }

    /// Returns the catalogue of a kernel that holds just this table, as it would be read from there.
    pub fn catalog(&self) -> Catalog {
        let mut catalog = Catalog {
            table: true,
            ..Catalog::default()
        };
        for object in self.objects.values() {
            match object {
                Object::Chain(chain) => {
                    let base = chain.base;
                    let rules = &chain.rules;
                    let rules = rules.iter().map(|rule| Some(Fingerprint::of(rule)));
                    let rules = rules.collect();
                    let alien = false;
                    let record = ChainRecord { base, alien, rules };
                    catalog.chains.insert(chain.name.clone(), record);
                }
                Object::Set(spec, elements) => {
                    let record = SetRecord {
                        spec: spec.clone(),
                        elements: Some(elements.clone()),
                    };
                    catalog.sets.insert(spec.name.clone(), record);
                }
                Object::Counter(name) => {
                    catalog.counters.insert(name.clone());
                }
            }
        }
        catalog
    }
}
