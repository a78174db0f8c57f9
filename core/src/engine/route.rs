//! Requests and answers between machines: the architecture as code. One function for each machine's outputs,
//! one arm for each output; nothing is decided here. What happened is a [`Fact`](crate::fact::Fact) and reaches
//! every machine.

use crate::engine::event::{Durable, FailReason, Volatile};
use crate::engine::list::list;
use crate::engine::queue::Queues;
use crate::engine::work::{Effect, Reader};
use crate::engine::{Answer, FilePart};
use crate::link::Owner;
use crate::session::Subject;
use crate::wire::content::{Content, Conversation};
use crate::wire::{Channel, Priority};
use crate::{
    authentication, chat, contacts, delivery, device, discovery, file, gossip, group, link, membership, register,
    session, swim,
};

/// Routes the outputs of a machine.
pub(super) trait Route {
    fn route(self, q: &mut Queues);
}

macro_rules! release {
    ($($field:ident: $Machine:ident,)+) => {
        impl Effect {
            /// Routes the outputs that a commit released.
            pub(super) fn release(self, q: &mut Queues) {
                match self {
                    Self::Event(seq, event) => q.events.stored_now(seq, event),
                    $(Self::$Machine(out) => out.route(q),)+
                }
            }
        }
    };
}

list!(release);

impl Route for link::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Fact(fact) => q.fact(fact),
            Self::Message { from, channel, body } => match channel {
                Channel::Membership => q.input(membership::In::Message { from, body }),
                Channel::Session => q.input(session::In::Message { from, body }),
                Channel::Gossip => q.input(gossip::In::Message { from, body }),
                Channel::Chat => q.input(chat::In::Message { from, body }),
                Channel::Swim => q.input(swim::In::Message { from, body }),
                Channel::Group => q.input(group::In::Sealed { from, body }),
                Channel::File => q.input(file::In::Message { from, body }),
                Channel::Authentication => q.input(authentication::In::Message { from, body }),
                Channel::Device => q.input(device::In::Message { from, body }),
            },
            Self::AddressNeeded(peer) => q.input(membership::In::AddressNeeded(peer)),
            Self::Resolved { addr, peer } => q.input(membership::In::Resolved { addr, peer }),
            Self::Unreachable { addr, expect, wrong_node } => {
                q.input(membership::In::Unreachable { addr, expect, wrong_node });
            }
            Self::Observed { by, addr } => q.input(membership::In::Observed { by, addr }),
            Self::Share(register) => q.within_step(register::In::Share(register)),
            Self::Keyed { peer, hash } => q.input(authentication::In::Keyed { peer, hash }),
        }
    }
}

impl Route for membership::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Fact(fact) => q.fact(fact),
            Self::Connect { addr, expect } => q.input(link::In::Connect { addr, expect }),
            Self::AddAddresses { peer, record, addrs, told } => {
                q.input(link::In::AddAddresses { peer, record, addrs, told });
            }
            Self::Want(peer) => q.input(link::In::Want { peer, owner: Owner::Membership }),
            Self::Unwant(peer) => q.input(link::In::Unwant { peer, owner: Owner::Membership }),
            Self::Measure => q.input(link::In::Measure),
            Self::Close(peer) => q.input(link::In::Close { peer }),
            Self::Send { to, priority, body } => {
                q.input(link::In::Send { to, channel: Channel::Membership, priority, body })
            }
            Self::Up { peer, name } => q.events.volatile(Volatile::PeerUp { peer, name }),
            Self::Down { peer, reason } => q.events.volatile(Volatile::PeerDown { peer, reason }),
            Self::State { from, to } => q.events.volatile(Volatile::StateChanged { before: from, after: to }),
            Self::Estimate(nodes) => q.input(swim::In::Estimate(nodes)),
            Self::Compare(peer) => q.input(chat::In::Compare { peer, linked: true }),
            Self::Open => q.input(link::In::Open),
            Self::Shut => q.input(link::In::Shut),
        }
    }
}

impl Route for discovery::Out {
    fn route(self, q: &mut Queues) {
        match self {
            // A newer beacon replaces one that the host did not take.
            Self::Beacon(bytes) => q.beacon = Some(bytes),
            Self::Found { addr, id } => q.input(membership::In::Found { addr, id }),
        }
    }
}

impl Route for session::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Send { to, priority, body } => {
                q.input(link::In::Send { to, channel: Channel::Session, priority, body })
            }
            Self::Opened { from, digest, body } => q.input(delivery::In::Message { from, digest, body }),
            Self::Unopened { from, digest } => q.input(delivery::In::Unopened { from, digest }),
            Self::History { from, body } => q.input(chat::In::Opened { from, body }),
            Self::Group { from, body } => q.input(group::In::Message { from, body }),
            Self::Device { from, identity, body } => q.input(device::In::Opened { from, identity, body }),
            Self::Register { from, body } => q.input(register::In::Opened { from, body }),
            Self::Ready(to) => {
                q.input(delivery::In::Ready(to));
                q.input(chat::In::Ready(to));
                q.input(group::In::Ready(to));
                q.input(device::In::Ready(to));
                q.input(register::In::Ready(to));
            }
            Self::SaveDue => q.input(session::In::SaveDue),
            Self::Keys { device, identity } => {
                q.input(contacts::In::Keys { device, identity });
                q.input(device::In::Keys { device, identity });
            }
        }
    }
}

impl Route for delivery::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Send { to, order, priority, body } => {
                q.input(session::In::Seal { to, order, subject: Subject::Message, priority, body });
            }
            Self::Forget { to, order } => q.input(session::In::Forget { to, order }),
            Self::Lost(from) => q.input(session::In::Lost(from)),
            Self::Stored { to, order } => q.input(delivery::In::Stored { to, order }),
            Self::AcksDue => q.input(delivery::In::AcksDue),
            Self::Received { from, id, body } => q.input(chat::In::DirectReceived { from, id, body }),
            Self::Delivered { to, id } => {
                q.input(chat::In::Delivered { to, id });
                q.durable(Durable::Delivered { id, to });
            }
            Self::Expired { to, id } => q.durable(Durable::Failed { id, to, reason: FailReason::Expired }),
            Self::Blocked { to, id } => q.durable(Durable::Failed { id, to, reason: FailReason::Blocked }),
            Self::Refused { to, id } => q.durable(Durable::Failed { id, to, reason: FailReason::Refused }),
            Self::Want(peer) => q.input(link::In::Want { peer, owner: Owner::Delivery }),
            Self::Unwant(peer) => q.input(link::In::Unwant { peer, owner: Owner::Delivery }),
            Self::Writable => q.events.volatile(Volatile::Writable),
        }
    }
}

impl Route for gossip::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Send { to, priority, body } => {
                q.input(link::In::Send { to, channel: Channel::Gossip, priority, body })
            }
            Self::Stranger(peer) => q.input(membership::In::Stranger(peer)),
            Self::Deliver { id, via, body } => q.input(chat::In::GossipReceived { via, id, body }),
        }
    }
}

impl Route for swim::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Fact(fact) => q.fact(fact),
            Self::Send { to, body } => {
                q.input(link::In::Send { to, channel: Channel::Swim, priority: Priority::High, body });
            }
            Self::AddAddresses { peer, record, addrs, told } => {
                q.input(link::In::AddAddresses { peer, record, addrs, told });
            }
            Self::Want(peer) => q.input(link::In::Want { peer, owner: Owner::Swim }),
            Self::Unwant(peer) => q.input(link::In::Unwant { peer, owner: Owner::Swim }),
        }
    }
}

impl Route for chat::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Submit { to, ids, body } => q.input(delivery::In::Submit { to, ids, body }),
            Self::Publish { body } => q.input(gossip::In::Publish { body }),
            Self::DirectValidated { from, id, accepted } => q.input(delivery::In::Validated { from, id, accepted }),
            Self::Forged(peer) => q.input(link::In::Forged { peer }),
            Self::GossipValidated { id, genuine } => q.input(gossip::In::Validated { id, genuine }),
            Self::Send { to, priority, body } => q.input(link::In::Send { to, channel: Channel::Chat, priority, body }),
            Self::Seal { to, priority, body } => {
                q.input(session::In::Seal { to, order: None, subject: Subject::History, priority, body });
            }
            Self::Carry { group, body } => q.input(group::In::Carry { group, body }),
            Self::CaughtUp(group) => q.input(group::In::CaughtUp(group)),
            Self::Vet { group, author, context } => q.input(group::In::Vet { group, author, context }),
            Self::Where { group, member, from } => q.input(group::In::Where { group, member, from }),
            Self::Unknown(node) => q.input(device::In::Meet(node)),
            Self::Compared(peer) => q.input(membership::In::Compared(peer)),
            Self::Received(message) => {
                if let Conversation::Private(from) = message.conversation {
                    // Whether it is a stranger's request is stored with the message.
                    q.within_step(contacts::In::Received { from, author: message.author });
                }
                if let Content::File { file, .. } = &message.content {
                    let (conversation, author) = (message.conversation, message.author);
                    match conversation {
                        // Whether it is a stranger's.
                        Conversation::Private(from) => q.input(contacts::In::Named { from, file: file.clone() }),
                        Conversation::Network | Conversation::Group(_) => {
                            q.input(file::In::Named { conversation, author, file: (**file).clone() });
                        }
                    }
                }
                q.durable(Durable::Received(message));
            }
            Self::Forked { conversation, author, life, seq } => {
                q.durable(Durable::Forked { conversation, author, life, seq });
            }
            Self::LifeBegun { conversation } => q.durable(Durable::LifeBegun { conversation }),
            Self::Confirmed { conversation, confirmations } => {
                q.events.volatile(Volatile::Confirmed { conversation, confirmations });
            }
            Self::Typing { conversation, node, active } => {
                q.events.volatile(Volatile::Typing { conversation, node, active });
            }
            Self::Read { read, scan } => q.read(Reader::Chat, read, scan),
            Self::Private => q.input(device::In::Private),
            Self::Share(register) => q.within_step(register::In::Share(register)),
            Self::Page { query, messages, older } => q.answers.push_back(Answer { query, messages, older }),
        }
    }
}

impl Route for contacts::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Fact(fact) => q.fact(fact),
            Self::Trust { node, identity, held, compared } => {
                q.input(session::In::Trust { node, identity, held, compared });
            }
            Self::Meet(node) => q.input(session::In::Meet(node)),
            Self::Kept { node, kept } => q.input(device::In::Contact { node, kept }),
            Self::Named { from, file } => {
                q.input(file::In::Named { conversation: Conversation::Private(from), author: from, file: *file });
            }
            // What the user set is stored with its register, or a crash leaves own devices without it.
            Self::Share(register) => q.within_step(register::In::Share(register)),
            Self::Suggest(register) => q.within_step(register::In::Suggest(register)),
            Self::Moved { device, person } => q.within_step(register::In::Moved { device, person }),
            Self::Requested(node) => q.durable(Durable::ContactRequest { node }),
            Self::Changed(node) => q.durable(Durable::ContactChanged { node }),
        }
    }
}

impl Route for authentication::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Send { to, body } => {
                q.input(link::In::Send { to, channel: Channel::Authentication, priority: Priority::High, body });
            }
            Self::Done { peer, result } => q.events.volatile(Volatile::Authenticated { peer, result }),
        }
    }
}

impl Route for group::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Say { to, body } => {
                q.input(session::In::Seal { to, order: None, subject: Subject::Group, priority: Priority::High, body })
            }
            Self::Carry { to, body } => {
                q.input(link::In::Send { to, channel: Channel::Group, priority: Priority::Normal, body });
            }
            Self::View { group, view } => {
                q.input(file::In::Group { group, view: view.clone() });
                q.input(chat::In::Group { group, view });
            }
            Self::Vetted { group, author, context, may, members } => {
                q.input(chat::In::Vetted { group, author, context, may, members });
            }
            Self::Opened { group, via, body } => q.input(chat::In::Carried { group, via, body }),
            Self::Where { group, member, history } => q.input(chat::In::Where { group, member, history }),
            Self::Stand(group) => q.input(chat::In::Stand(group)),
            Self::Want(peer) => q.input(link::In::Want { peer, owner: Owner::Group }),
            Self::Unwant(peer) => q.input(link::In::Unwant { peer, owner: Owner::Group }),
            Self::Changed { group, change } => q.durable(Durable::GroupChanged { group, change }),
        }
    }
}

impl Route for file::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Send { to, priority, body } => q.input(link::In::Send { to, channel: Channel::File, priority, body }),
            Self::Want(peer) => q.input(link::In::Want { peer, owner: Owner::File }),
            Self::Unwant(peer) => q.input(link::In::Unwant { peer, owner: Owner::File }),
            Self::Read { read, scan } => q.read(Reader::Files, read, scan),
            Self::Complete(file) => q.durable(Durable::FileReceived { file }),
            Self::Progress { file, bytes, size, holders } => {
                q.events.volatile(Volatile::FileProgress { file, bytes, size, holders: holders as u64 });
            }
            Self::PartRead { query, bytes } => q.parts.push_back(FilePart { query, bytes }),
        }
    }
}

impl Route for device::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Fact(fact) => q.fact(fact),
            Self::Send { to, body } => {
                q.input(link::In::Send { to, channel: Channel::Device, priority: Priority::Normal, body });
            }
            Self::Seal { to, identity, body } => q.input(session::In::SealFor { to, identity, body }),
            Self::Unproven(peer) => q.input(session::In::Lost(peer)),
            Self::Want(peer) => q.input(link::In::Want { peer, owner: Owner::Device }),
            Self::Unwant(peer) => q.input(link::In::Unwant { peer, owner: Owner::Device }),
            Self::Devices { person, devices } => {
                q.within_step(chat::In::Devices { person, devices: devices.clone() });
                q.within_step(file::In::Devices { person, devices: devices.clone() });
                q.within_step(contacts::In::Devices { person, devices: devices.clone() });
                q.within_step(link::In::Devices { person, devices });
            }
            Self::Own { generation, common, devices, chain } => {
                q.within_step(register::In::Own { generation, common, devices });
                q.input(group::In::Own(chain));
            }
            Self::Changed { person, device, added } => {
                // With the list that is the reason, or a crash between them leaves one without the other.
                if !added {
                    q.within_step(delivery::In::GiveUp(device));
                    q.within_step(session::In::Wipe(device));
                }
                q.within_step(contacts::In::DevicesChanged { person, device });
                q.durable(Durable::DevicesChanged { node: person, device, added });
            }
        }
    }
}

impl Route for register::Out {
    fn route(self, q: &mut Queues) {
        match self {
            Self::Seal { to, body } => {
                q.input(session::In::Seal {
                    to,
                    order: None,
                    subject: Subject::Register,
                    priority: Priority::Normal,
                    body,
                });
            }
            Self::Contact(register) => q.within_step(contacts::In::Shared(register)),
            Self::Block { peer, blocked } => q.within_step(link::In::Block { peer, blocked }),
            Self::Read { conversation, upto } => q.within_step(chat::In::ReadElsewhere { conversation, upto }),
            Self::Changed => q.events.volatile(Volatile::AccountDataChanged),
        }
    }
}
