//! Who hears what: the architecture as code. One function for each machine's outputs, one arm for
//! each output; nothing is decided here.

use crate::engine::event::{EventKind, FailReason};
use crate::engine::queue::Queues;
use crate::engine::{Answer, Effect, Work};
use crate::link::Owner;
use crate::store::Request;
use crate::wire::{Channel, Lane};
use crate::{chat, delivery, discovery, gossip, link, membership, swim};

/// Numbers of reads: even ones are the chat machine's, odd ones the event queue's.
pub(super) const EVENT_READ: u64 = 1;

pub(super) fn effect(effect: Effect, q: &mut Queues) {
    match effect {
        Effect::Link(out) => from_link(out, q),
        Effect::Membership(out) => from_membership(out, q),
        Effect::Discovery(out) => from_discovery(out, q),
        Effect::Delivery(out) => from_delivery(out, q),
        Effect::Gossip(out) => from_gossip(out, q),
        Effect::Swim(out) => from_swim(out, q),
        Effect::Chat(out) => from_chat(out, q),
        Effect::Event(seq, kind) => q.events.stored_now(seq, kind),
    }
}

pub(super) fn from_link(out: link::Out, q: &mut Queues) {
    match out {
        link::Out::Up { peer, record, addr } => {
            q.work.push_back(Work::Membership(membership::In::LinkUp { peer, record, addr }));
            q.work.push_back(Work::Delivery(delivery::In::PeerUp(peer)));
            q.work.push_back(Work::Gossip(gossip::In::LinkUp(peer)));
            q.work.push_back(Work::Chat(chat::In::LinkUp(peer)));
            q.work.push_back(Work::Swim(swim::In::LinkUp { peer, addr }));
        }
        link::Out::Down { peer, reason } => {
            q.work.push_back(Work::Membership(membership::In::LinkDown { peer, reason }));
            q.work.push_back(Work::Delivery(delivery::In::PeerDown(peer)));
            q.work.push_back(Work::Gossip(gossip::In::LinkDown(peer)));
            q.work.push_back(Work::Chat(chat::In::LinkDown(peer)));
            q.work.push_back(Work::Swim(swim::In::LinkDown(peer)));
        }
        link::Out::Suspect(peer) => {
            q.work.push_back(Work::Membership(membership::In::Suspect(peer)));
            q.work.push_back(Work::Swim(swim::In::LinkSuspect(peer)));
        }
        link::Out::Where(peer) => q.work.push_back(Work::Membership(membership::In::Where(peer))),
        link::Out::Back(peer) => q.work.push_back(Work::Membership(membership::In::Back(peer))),
        link::Out::Message { from, channel, body } => q.work.push_back(match channel {
            Channel::Membership => Work::Membership(membership::In::Message { from, body }),
            Channel::Delivery => Work::Delivery(delivery::In::Message { from, body }),
            Channel::Gossip => Work::Gossip(gossip::In::Message { from, body }),
            Channel::Chat => Work::Chat(chat::In::Message { from, body }),
            Channel::Swim => Work::Swim(swim::In::Message { from, body }),
        }),
        link::Out::Resolved { addr, peer } => {
            q.work.push_back(Work::Membership(membership::In::Resolved { addr, peer }));
        }
        link::Out::Unreachable { addr, expect, wrong_node } => {
            q.work.push_back(Work::Membership(membership::In::Unreachable { addr, expect, wrong_node }));
        }
        link::Out::Moved { peer, addr } => {
            q.work.push_back(Work::Membership(membership::In::Moved { peer, addr }));
            q.work.push_back(Work::Swim(swim::In::Moved { peer, addr }));
        }
        link::Out::Measured(links) => {
            let rtts = links.iter().filter_map(|(peer, _, rtt)| Some((*peer, (*rtt)?))).collect();
            q.work.push_back(Work::Gossip(gossip::In::Measured(rtts)));
            q.work.push_back(Work::Membership(membership::In::Measured(links)));
        }
        link::Out::Observed { by, addr } => {
            q.work.push_back(Work::Membership(membership::In::Observed { by, addr }));
        }
    }
}

pub(super) fn from_membership(out: membership::Out, q: &mut Queues) {
    match out {
        membership::Out::Connect { addr, expect } => q.work.push_back(Work::Link(link::In::Connect { addr, expect })),
        membership::Out::Learn { peer, record, addrs } => {
            q.work.push_back(Work::Link(link::In::Learn { peer, record, addrs }));
        }
        membership::Out::Want(peer) => {
            q.work.push_back(Work::Link(link::In::Want { peer, owner: Owner::Membership }));
        }
        membership::Out::Unwant(peer) => {
            q.work.push_back(Work::Link(link::In::Unwant { peer, owner: Owner::Membership }));
        }
        membership::Out::Measure => q.work.push_back(Work::Link(link::In::Measure)),
        membership::Out::Close(peer) => q.work.push_back(Work::Link(link::In::Close { peer })),
        membership::Out::Send { to, lane, body } => {
            q.work.push_back(Work::Link(link::In::Send { to, channel: Channel::Membership, lane, body }));
        }
        membership::Out::NeighbourUp(peer) => {
            q.work.push_back(Work::Gossip(gossip::In::PeerUp(peer)));
            q.work.push_back(Work::Chat(chat::In::NeighbourUp(peer)));
            q.work.push_back(Work::Swim(swim::In::NeighbourUp(peer)));
        }
        membership::Out::NeighbourDown(peer) => {
            q.work.push_back(Work::Gossip(gossip::In::PeerDown(peer)));
            q.work.push_back(Work::Chat(chat::In::NeighbourDown(peer)));
            q.work.push_back(Work::Swim(swim::In::NeighbourDown(peer)));
        }
        membership::Out::Up { peer, name } => q.events.volatile(EventKind::PeerUp { peer, name }),
        membership::Out::Down { peer, reason } => q.events.volatile(EventKind::PeerDown { peer, reason }),
        membership::Out::State { from, to } => q.events.volatile(EventKind::StateChanged { from, to }),
        membership::Out::Estimate(nodes) => q.work.push_back(Work::Swim(swim::In::Estimate(nodes))),
        membership::Out::Compare(peer) => {
            q.work.push_back(Work::Chat(chat::In::Compare { peer, linked: true }));
        }
        membership::Out::Open => q.work.push_back(Work::Link(link::In::Open)),
        membership::Out::Shut => q.work.push_back(Work::Link(link::In::Shut)),
    }
}

pub(super) fn from_discovery(out: discovery::Out, q: &mut Queues) {
    match out {
        // An older one that nobody took says nothing that this one does not.
        discovery::Out::Beacon(bytes) => q.beacon = Some(bytes),
        discovery::Out::Found { addr, id } => q.work.push_back(Work::Membership(membership::In::Found { addr, id })),
    }
}

pub(super) fn from_delivery(out: delivery::Out, q: &mut Queues) {
    match out {
        delivery::Out::Send { to, lane, body } => {
            q.work.push_back(Work::Link(link::In::Send { to, channel: Channel::Delivery, lane, body }));
        }
        delivery::Out::Stored { to, order } => q.work.push_back(Work::Delivery(delivery::In::Stored { to, order })),
        delivery::Out::Arrived { from, id, body } => q.work.push_back(Work::Chat(chat::In::Carried { from, id, body })),
        delivery::Out::Delivered { to, id } => q.durable(EventKind::Delivered { message: id, to }),
        delivery::Out::Expired { to, id } => {
            q.durable(EventKind::Failed { message: id, to, reason: FailReason::Expired });
        }
        delivery::Out::Refused { to, id } => {
            q.durable(EventKind::Failed { message: id, to, reason: FailReason::Refused });
        }
        delivery::Out::Want(peer) => q.work.push_back(Work::Link(link::In::Want { peer, owner: Owner::Delivery })),
        delivery::Out::Unwant(peer) => q.work.push_back(Work::Link(link::In::Unwant { peer, owner: Owner::Delivery })),
        delivery::Out::Room => q.events.volatile(EventKind::Writable),
    }
}

pub(super) fn from_gossip(out: gossip::Out, q: &mut Queues) {
    match out {
        gossip::Out::Send { to, lane, body } => {
            q.work.push_back(Work::Link(link::In::Send { to, channel: Channel::Gossip, lane, body }));
        }
        gossip::Out::Stranger(peer) => q.work.push_back(Work::Membership(membership::In::Stranger(peer))),
        gossip::Out::Deliver { id, via, body } => q.work.push_back(Work::Chat(chat::In::Flooded { via, id, body })),
    }
}

pub(super) fn from_swim(out: swim::Out, q: &mut Queues) {
    match out {
        swim::Out::Send { to, body } => {
            q.work.push_back(Work::Link(link::In::Send { to, channel: Channel::Swim, lane: Lane::High, body }));
        }
        swim::Out::Learn { peer, addrs } => {
            q.work.push_back(Work::Link(link::In::Learn { peer, record: None, addrs }));
        }
        swim::Out::Want(peer) => q.work.push_back(Work::Link(link::In::Want { peer, owner: Owner::Swim })),
        swim::Out::Unwant(peer) => q.work.push_back(Work::Link(link::In::Unwant { peer, owner: Owner::Swim })),
        swim::Out::Member { peer, state } => {
            q.work.push_back(Work::Membership(membership::In::Member { peer, state }));
            q.events.volatile(EventKind::Member { peer, state });
        }
        swim::Out::Members(members) => {
            q.work.push_back(Work::Membership(membership::In::Zone(members.as_ref().map_or(0, |m| m.len()))));
            q.work.push_back(Work::Gossip(gossip::In::Zone(members)));
        }
    }
}

pub(super) fn from_chat(out: chat::Out, q: &mut Queues) {
    match out {
        chat::Out::Submit { to, id, body } => q.work.push_back(Work::Delivery(delivery::In::Submit { to, id, body })),
        chat::Out::Publish { body } => q.work.push_back(Work::Gossip(gossip::In::Publish { body })),
        chat::Out::Taken { from, id, accepted } => {
            q.work.push_back(Work::Delivery(delivery::In::Taken { from, id, accepted }));
        }
        chat::Out::Judged { id, genuine } => q.work.push_back(Work::Gossip(gossip::In::Verdict { id, genuine })),
        chat::Out::Send { to, lane, body } => {
            q.work.push_back(Work::Link(link::In::Send { to, channel: Channel::Chat, lane, body }));
        }
        chat::Out::Compared(peer) => q.work.push_back(Work::Membership(membership::In::Compared(peer))),
        chat::Out::Received(message) => q.durable(EventKind::Message(message)),
        chat::Out::Read(request) => q.requests.push_back(Request { id: request.id.wrapping_mul(2), ..request }),
        chat::Out::Page { query, messages, older } => q.answers.push_back(Answer { query, messages, older }),
    }
}
