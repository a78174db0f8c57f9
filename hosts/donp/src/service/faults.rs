//! `FaultToleranceProtocol` of the DONP document, and who is there: from JSON to JSON.

use std::net::SocketAddr;

use donp_core::{FailureType, LocalPeer, NodeId};
use serde_json::{Value, json};

use super::{Service, named, no_daemon, text_of};
use crate::failure::Failure;
use crate::json::object;
use crate::resolve;

/// What may have failed, under the names of `docs/control.md`.
const FAILURES: [(&str, FailureType); 4] = [
    ("node", FailureType::Node),
    ("network", FailureType::Network),
    ("partition", FailureType::Partition),
    ("state", FailureType::State),
];

impl Service {
    /// A method about what failed; none if there is no such method.
    pub(super) fn fault_call(&self, method: &str, params: &Value) -> Option<Result<Value, Failure>> {
        Some(match method {
            "members" => self.members(),
            "detect_node_failure" => self.detect_node_failure(params),
            "report_partition" => self.report_partition(params),
            "recover_from_failure" => self.recover_from_failure(params),
            "synchronize_state" => self.synchronize_state(params),
            "handle_local_peer" => self.handle_local_peer(params),
            "network_changed" => self.network_changed(),
            _ => return None,
        })
    }

    /// # Errors
    /// Without a node that takes part in the network.
    fn in_network(&self) -> Result<(), Failure> {
        if self.running { Ok(()) } else { Err(no_daemon("this is done over the network")) }
    }

    fn members(&self) -> Result<Value, Failure> {
        let names = self.names()?;
        let row = |m: donp_core::ZoneMember| {
            let mut row = object("member", named(m.id, names.get(m.id).map(Into::into)));
            row["state"] = m.state.name().into();
            row["incarnation"] = m.incarnation.into();
            row["linked"] = m.linked.into();
            row
        };
        let members: Vec<Value> = self.node.members()?.into_iter().map(row).collect();
        Ok(json!({ "members": members }))
    }

    /// A node that is asked something, as the answer shows it.
    fn asked(&self, kind: &str, node: NodeId) -> Result<Value, Failure> {
        Ok(object(kind, named(node, self.names()?.get(node).map(Into::into))))
    }

    fn detect_node_failure(&self, params: &Value) -> Result<Value, Failure> {
        self.in_network()?;
        let node = self.peer_of(params)?;
        self.node.detect_node_failure(node)?;
        self.asked("detecting", node)
    }

    fn report_partition(&self, params: &Value) -> Result<Value, Failure> {
        self.in_network()?;
        let (book, known) = (self.book()?, self.node.peers()?);
        let id_of = |one: &Value| match one.as_str() {
            Some(text) => resolve::node_with(text, &book, &known),
            None => Err(Failure::usage("'peers' is a list of nodes")),
        };
        let peers: Vec<NodeId> = match &params["peers"] {
            Value::Null => Vec::new(),
            Value::Array(peers) => peers.iter().map(id_of).collect::<Result<_, _>>()?,
            _ => return Err(Failure::usage("'peers' is a list of nodes")),
        };
        let ids: Vec<String> = peers.iter().map(ToString::to_string).collect();
        self.node.report_partition(peers)?;
        Ok(object("reported", json!({ "peers": ids })))
    }

    fn recover_from_failure(&self, params: &Value) -> Result<Value, Failure> {
        self.in_network()?;
        let name = text_of(params, "failure")?;
        let Some((name, failure)) = FAILURES.into_iter().find(|(known, _)| *known == name) else {
            return Err(Failure::usage(format!("'{name}' is not one of node, network, partition, state")));
        };
        self.node.recover_from_failure(failure)?;
        Ok(object("recovering", json!({ "failure": name })))
    }

    fn synchronize_state(&self, params: &Value) -> Result<Value, Failure> {
        self.in_network()?;
        let node = self.peer_of(params)?;
        self.node.synchronize_state(node)?;
        self.asked("synchronizing", node)
    }

    fn handle_local_peer(&self, params: &Value) -> Result<Value, Failure> {
        self.in_network()?;
        let text = text_of(params, "address")?;
        let addr: SocketAddr = text.parse().map_err(|_| {
            Failure::usage(format!("'{text}' is no address")).hint("ip:port, as 192.0.2.1:4000 or [2001:db8::1]:4000")
        })?;
        let id: Option<NodeId> = match &params["id"] {
            Value::Null => None,
            _ => {
                let wrong = |e| Failure::usage(format!("'id' is no node id: {e}"));
                Some(text_of(params, "id")?.parse::<NodeId>().map_err(wrong)?)
            }
        };
        self.node.handle_local_peer(LocalPeer { id, addr })?;
        Ok(object("local_peer", json!({ "address": addr.to_string(), "id": id.map(|id| id.to_string()) })))
    }

    fn network_changed(&self) -> Result<Value, Failure> {
        self.in_network()?;
        self.node.network_changed()?;
        Ok(object("network_changed", json!({ "id": self.node.id().to_string() })))
    }
}
