//! Names of people: a name is a claim that any node can make, so one that two have is shown with a mark and the id.

use std::collections::{BTreeMap, BTreeSet};

use donp_core::{GroupId, NodeId};
use donp_runtime::Folded;
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::failure::Failure;
use crate::text::escape_for_terminal;

/// The names of nodes and groups that are known here.
#[derive(Clone, Debug, Default)]
pub struct People {
    nodes: BTreeMap<NodeId, Option<String>>,
    /// Names that this node's owner gave: they are no claims, so they are shown as they are.
    own: BTreeMap<NodeId, String>,
    node_claims: BTreeMap<Folded, BTreeSet<NodeId>>,
    group_claims: BTreeMap<Folded, BTreeSet<GroupId>>,
}

impl People {
    /// Asks for everybody who is known, this node included.
    ///
    /// # Errors
    /// As the backend.
    pub fn ask(backend: &mut Backend) -> Result<Self, Failure> {
        let call = |backend: &mut Backend, method: &str| backend.call(method, &json!({}));
        let (me, peers, groups) = (call(backend, "whoami")?, call(backend, "peers")?, call(backend, "groups")?);
        let mut people = Self::default();
        for node in std::iter::once(&me).chain(peers["peers"].as_array().into_iter().flatten()) {
            people.add_node(node);
        }
        let contacts = call(backend, "contacts")?;
        for contact in contacts["contacts"].as_array().into_iter().flatten() {
            people.add_contact(contact);
        }
        for group in ["groups", "joining"].iter().flat_map(|key| groups[*key].as_array().into_iter().flatten()) {
            people.add_group(group);
        }
        Ok(people)
    }

    /// Takes a node as known under this name, so that it is not asked for again.
    pub fn meet(&mut self, id: NodeId, name: Option<&str>) {
        self.nodes.insert(id, name.map(Into::into));
    }

    fn add_node(&mut self, node: &Value) {
        let Some(id) = node["id"].as_str().and_then(|id| id.parse::<NodeId>().ok()) else { return };
        let name = node["name"].as_str();
        self.nodes.insert(id, name.map(Into::into));
        if let Some(name) = name {
            self.node_claims.entry(Folded::new(name)).or_default().insert(id);
        }
    }

    fn add_contact(&mut self, contact: &Value) {
        let id = contact["node"].as_str().and_then(|id| id.parse::<NodeId>().ok());
        if let (Some(id), Some(petname)) = (id, contact["petname"].as_str()) {
            self.own.insert(id, petname.into());
            self.node_claims.entry(Folded::new(petname)).or_default().insert(id);
        }
    }

    fn add_group(&mut self, group: &Value) {
        let id = group["id"].as_str().and_then(|id| id.parse::<GroupId>().ok());
        if let (Some(id), Some(name)) = (id, group["name"].as_str()) {
            self.group_claims.entry(Folded::new(name)).or_default().insert(id);
        }
    }

    /// Whether this node was known under this name when the others were asked for.
    pub fn has(&self, id: NodeId, name: Option<&str>) -> bool {
        self.nodes.get(&id).is_some_and(|known| known.as_deref() == name)
    }

    /// A node's name; with `?` and its short id where others have that name too or it means something else; the short
    /// id alone if none is known.
    pub fn node(&self, id: NodeId, name: Option<&str>) -> String {
        let Some(name) = name else { return id.short() };
        if self.own.get(&id).is_some_and(|own| own == name) {
            return escape_for_terminal(name);
        }
        let is_reserved = name.trim().eq_ignore_ascii_case("all") || name.starts_with('#');
        let others = self.node_claims.get(&Folded::new(name)).is_some_and(|claims| claims.iter().any(|c| *c != id));
        let shown = escape_for_terminal(name);
        if others || is_reserved { format!("{shown}? {}", id.short()) } else { shown }
    }

    /// A group's name with its `#`, in the same way.
    pub fn group(&self, id: GroupId, name: Option<&str>) -> String {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return id.short() };
        let others = self.group_claims.get(&Folded::new(name)).is_some_and(|claims| claims.iter().any(|c| *c != id));
        let shown = escape_for_terminal(name);
        if others { format!("#{shown}? {}", id.short()) } else { format!("#{shown}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutations: names are compared as they are written; `is_reserved` is false.
    #[test]
    fn a_name_that_two_have_is_shown_with_a_mark_and_the_id() {
        let (one, two, three) = (NodeId([1; 32]), NodeId([2; 32]), NodeId([3; 32]));
        let mut people = People::default();
        for (id, name) in [(one, Some("Zoe\u{301}")), (two, Some("ZOÉ")), (three, Some("all"))] {
            people.add_node(&json!({ "id": id.to_string(), "name": name }));
        }
        assert_eq!(people.node(one, Some("Zoe\u{301}")), format!("Zoe\u{301}? {}", one.short()));
        assert_eq!(people.node(two, Some("ZOÉ")), format!("ZOÉ? {}", two.short()));
        assert_eq!(people.node(three, Some("all")), format!("all? {}", three.short()));
        assert_eq!(people.node(three, Some("sam")), "sam", "as long as no other has it");
        assert_eq!(people.node(NodeId([4; 32]), Some("zoé")), format!("zoé? {}", NodeId([4; 32]).short()));
        assert_eq!(people.node(one, None), one.short());
        assert!(people.has(two, Some("ZOÉ")) && !people.has(two, Some("zoé")) && !people.has(NodeId([4; 32]), None));
        // A name of one's own is none that others can take.
        people.add_contact(&json!({ "node": NodeId([5; 32]).to_string(), "petname": "sam" }));
        assert_eq!(people.node(NodeId([5; 32]), Some("sam")), "sam");
        assert_eq!(people.node(three, Some("sam")), format!("sam? {}", three.short()));
        let (team, other) = (GroupId([1; 32]), GroupId([2; 32]));
        people.add_group(&json!({ "id": team.to_string(), "name": "team" }));
        assert_eq!(people.group(team, Some("team")), "#team");
        people.add_group(&json!({ "id": other.to_string(), "name": "Team" }));
        assert_eq!(people.group(team, Some("team")), format!("#team? {}", team.short()));
        assert_eq!(people.group(team, None), team.short());
    }
}
