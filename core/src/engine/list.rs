//! The list of machines, in one place: a new machine is one line here.

/// Gives the list to a macro: the field of each machine, which is also its module, and its type.
///
/// The order is that in which facts reach the machines and deadlines are served. No machine depends on it for
/// correctness; it is part of what makes a run repeatable.
macro_rules! list {
    ($then:ident) => {
        $then! {
            link: Link,
            membership: Membership,
            discovery: Discovery,
            session: Sessions,
            delivery: Delivery,
            gossip: Gossip,
            swim: Swim,
            chat: Chat,
            group: Groups,
            file: Files,
            contacts: Contacts,
            authentication: Authentication,
            device: Devices,
            register: Registers,
        }
    };
}

pub(super) use list;
