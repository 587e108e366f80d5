//! The `selector` room (placeholder until its branch is merged).
use std::collections::BTreeMap;
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(std::sync::Arc<str>);
pub trait Labels {
    fn get(&self, key: &str) -> Option<&str>;
}
impl Labels for BTreeMap<String, String> {
    fn get(&self, key: &str) -> Option<&str> {
        BTreeMap::get(self, key).map(String::as_str)
    }
}
