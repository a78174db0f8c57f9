//! What nodes say of themselves and of others. A record is signed, addresses and names are hearsay; all of it
//! is checked before it is used.

use super::*;

impl Membership {
    pub(super) fn announced(
        &mut self,
        from: NodeId,
        cert: &crate::identity::DeviceCert,
        addrs: &[SocketAddr],
        out: &mut Outbox<Out>,
    ) {
        let Some(source) = self.linked.get(&from).copied() else { return };
        let account = self.book.get(from).and_then(|k| k.record.as_ref()).map(|r| r.account);
        let Some(account) = account.filter(|&account| cert.vouches(account, from)) else {
            // Who shows a false paper is not talked to.
            self.drops.count(DropReason::Signature);
            return out.push(Out::Close(from));
        };
        self.remember(from, out, |known| {
            known.account = Some(account);
            known.name = Some(cert.name.clone());
            for &addr in addrs.iter().take(MAX_ADDRS) {
                if may_probe(addr, Some(source.ip())) {
                    known.other_addr(addr);
                }
            }
        });
        if let Some(known) = self.book.get(from) {
            out.push(Out::AddAddresses { peer: from, record: None, addrs: known.addrs.to_vec() });
        }
        out.push(Out::Up { peer: from, name: Some(cert.name.clone()) });
    }

    /// Takes a node that `from` tells of into the passive view; who it is, if it is known afterwards.
    pub(super) fn heard_of(
        &mut self,
        from: NodeId,
        info: NodeInfo,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Option<NodeId> {
        let source = self.linked.get(&from).copied()?;
        let Ok(claimed) = NodeRecord::decode_unverified(&info.record.0) else {
            self.drops.count(DropReason::Signature);
            return None;
        };
        let id = claimed.id();
        if id == cx.me {
            return None;
        }
        let known = self.book.get(id);
        let fresh = known.and_then(|k| k.record.as_ref()).is_none_or(|known| known.seq < claimed.seq);
        // Hearsay is checked when it is used, or when it is to replace what was.
        if fresh && known.is_some_and(|k| k.proven) && NodeRecord::decode(&info.record.0).is_err() {
            self.drops.count(DropReason::Signature);
            return None;
        }
        let name = info.name.filter(|n| crate::identity::name_is_valid(n));
        self.remember(id, out, |known| {
            if fresh {
                known.record = Some(claimed);
            }
            // A name that its owner told stands; hearsay only fills a blank.
            if known.name.is_none() {
                known.name = name;
            }
            for addr in info.addrs.into_iter().take(MAX_ADDRS) {
                if may_probe(addr, Some(source.ip())) {
                    known.other_addr(addr);
                }
            }
        });
        if self.sought.remove(&id) {
            self.teach(id, out);
        }
        if !self.neighbours.contains(&id) {
            self.book.passive(id, self.config.membership.passive, cx.rng);
        }
        Some(id)
    }

    /// Tells the link where `peer` is; whether that is known.
    pub(super) fn teach(&mut self, peer: NodeId, out: &mut Outbox<Out>) -> bool {
        if !self.book.prove(peer) {
            self.drops.count(DropReason::Signature);
        }
        let known = self.book.get(peer).filter(|k| !k.addrs.is_empty());
        if let Some(known) = known {
            out.push(Out::AddAddresses { peer, record: known.record.clone(), addrs: known.addrs.to_vec() });
        }
        known.is_some()
    }
}
