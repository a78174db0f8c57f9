//! The log lines for people who watch a node.

use donp_core::{Durable, Event, Volatile};

use crate::api::GroupChange;

/// Milestones for people who watch: ids shortened, never what was said.
pub(super) fn log_event(event: &Event) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    match event {
        Event::Volatile(Volatile::StateChanged { before, after }) => log::info!("{before} -> {after}"),
        Event::Volatile(Volatile::PeerUp { peer, .. }) => log::info!("link to {} is up", peer.short()),
        Event::Volatile(Volatile::PeerDown { peer, reason }) => {
            log::info!("link to {} is down: {reason}", peer.short());
        }
        Event::Volatile(Volatile::Lagged { missed }) => {
            log::warn!("{missed} events were lost: they were not acknowledged");
        }
        Event::Durable { event: Durable::Received(m), .. } => {
            log::debug!("message {} of {}", m.id.short(), m.author.short());
        }
        Event::Durable { event: Durable::Delivered { id, to }, .. } => {
            log::debug!("{} has message {}", to.short(), id.short());
        }
        Event::Durable { event: Durable::Failed { id, to, .. }, .. } => {
            log::info!("message {} to {} failed", id.short(), to.short());
        }
        Event::Durable { event: Durable::Forked { author, seq, .. }, .. } => {
            log::warn!(
                "{} sent two different messages as its number {seq}: its profile was copied, or it cheats",
                author.short()
            );
        }
        Event::Durable { event: Durable::LifeBegun { .. }, .. } => {
            log::warn!("another copy of this profile sends messages: this one starts a new message log");
        }
        Event::Durable { event: Durable::GroupChanged { group, change }, .. } => {
            log::info!("group {}: {}", group.short(), GroupChange::of(change).name());
        }
        Event::Durable { event: Durable::FileReceived { file }, .. } => log::info!("file {} is here", file.short()),
        _ => {}
    }
}
