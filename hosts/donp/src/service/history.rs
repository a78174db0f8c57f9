//! Pages of history, and the messages that people mean by the beginning of an id.

use std::collections::{BTreeMap, VecDeque};

use donp_core::{Content, Conversation, Message, MessageId};
use donp_runtime::Folded;
use serde_json::{Value, json};

use super::{MAX_PAGE, MAX_PAGE_BYTES, PAGE, STORE_WAIT, Service, number_of};
use crate::failure::Failure;
use crate::json::{self, Names};
use crate::resolve;

/// Finds where messages are missing, in a walk from the newest on.
struct Gaps {
    /// Records are lost, so that a jump in depth is not one over merges without text.
    is_damaged: bool,
    /// The depth of the message that was looked at last: newer than the next.
    newer: Option<u64>,
    /// Shown messages before which some are missing.
    before: Vec<MessageId>,
}

impl Gaps {
    /// `shown` is the message that was shown last.
    fn look(&mut self, depth: u64, shown: Option<MessageId>) {
        let newer = self.newer.replace(depth);
        if self.is_damaged && newer.is_some_and(|newer| newer > depth.saturating_add(1)) {
            self.before.extend(shown);
        }
    }

    fn mark(&self, m: &Message, shown: &mut Value) {
        shown["gap_before"] = self.before.contains(&m.id).into();
    }
}

impl Service {
    /// A message of a conversation by its id or by the beginning of it.
    pub(super) fn message_id(&self, of: Conversation, text: &str) -> Result<MessageId, Failure> {
        resolve::message(text, || self.walk(of).map(|m| m.map(|m| m.id)))
    }

    /// Every message of a conversation, newest first.
    pub(super) fn walk(&self, of: Conversation) -> impl Iterator<Item = Result<Message, Failure>> {
        let (mut page, mut before, mut is_first) = (VecDeque::new(), None, true);
        std::iter::from_fn(move || {
            while page.is_empty() {
                if !is_first && before.is_none() {
                    return None;
                }
                match self.node.history(of, before, PAGE, STORE_WAIT) {
                    Ok(answer) => (page, before) = (answer.messages.into(), answer.older),
                    Err(e) => {
                        before = None;
                        is_first = false;
                        return Some(Err(e.into()));
                    }
                }
                is_first = false;
            }
            page.pop_back().map(Ok)
        })
    }

    pub(super) fn history(&self, params: &Value) -> Result<Value, Failure> {
        let names = self.names()?;
        let of = params["conversation"].as_str().unwrap_or("all");
        let to = resolve::conversation_with(of, &self.book()?, &self.node.peers()?, &self.known_groups()?)?;
        let limit = number_of(params, "limit", 100)?.clamp(1, MAX_PAGE);
        let limit = usize::try_from(limit).unwrap_or(100);
        let search = params["search"].as_str();
        let before = params["before"].as_str().map(|text| self.message_id(to, text)).transpose()?;
        if params["fold"] == true {
            return self.folded_history(to, &names, limit, before, search);
        }
        let mut before = before;
        // Of what a search finds, neighbours are none.
        let mut gaps = self.gaps(search.is_none())?;
        // Newest first while collecting.
        let mut found: Vec<Message> = Vec::new();
        let mut bytes = 0;
        let older = 'pages: loop {
            let left = u32::try_from(limit - found.len()).unwrap_or(PAGE).min(PAGE);
            let (messages, older) = match search {
                Some(text) => {
                    let page = self.node.search(to, text, before, left, STORE_WAIT)?;
                    (page.messages, page.older)
                }
                None => {
                    let page = self.node.history(to, before, left, STORE_WAIT)?;
                    (page.messages, page.older)
                }
            };
            let mut messages = messages.into_iter().rev().peekable();
            while let Some(m) = messages.next() {
                bytes += m.content.shown().len() + m.edited.as_ref().map_or(0, String::len);
                let place = m.id;
                gaps.look(m.id.depth, found.last().map(|m| m.id));
                found.push(m);
                if found.len() == limit || bytes > MAX_PAGE_BYTES {
                    let more = messages.peek().is_some() || older.is_some();
                    break 'pages more.then_some(place);
                }
            }
            match older {
                Some(older) => before = Some(older),
                None => break None,
            }
        };
        found.reverse();
        self.page(to, &names, &found, &gaps, older)
    }

    fn gaps(&self, looks: bool) -> Result<Gaps, Failure> {
        let is_damaged = looks && self.node.status()?.host.lost_records > 0;
        Ok(Gaps { is_damaged, newer: None, before: Vec::new() })
    }

    fn page(
        &self,
        to: Conversation,
        names: &Names,
        found: &[Message],
        gaps: &Gaps,
        older: Option<MessageId>,
    ) -> Result<Value, Failure> {
        let mut messages = Vec::with_capacity(found.len());
        for m in found {
            let own_private = m.author == names.me && matches!(m.conversation, Conversation::Private(_));
            let queued = own_private && self.node.is_queued(m.id)?;
            let Some(mut shown) = json::message(m, names, found, queued) else { continue };
            let is_counted = m.author == names.me && m.conversation != Conversation::Network;
            if let Some(context) = shown.context.as_mut().filter(|_| is_counted) {
                context.confirmations = self.counts(m.conversation, m.id).filter(|counts| counts.members > 0);
            }
            let mut shown = json::write(shown)?;
            gaps.mark(m, &mut shown);
            messages.push(shown);
        }
        Ok(json!({
            "conversation": json::conversation(to),
            "messages": messages,
            "older": older.map(|id| id.to_string()),
        }))
    }

    /// As a person reads it: edits, retractions and reactions are no messages of their own, and a place where something
    /// is missing is marked. Reactions come after what they are about, so the walk begins at the newest message.
    fn folded_history(
        &self,
        to: Conversation,
        names: &Names,
        limit: usize,
        before: Option<MessageId>,
        search: Option<&str>,
    ) -> Result<Value, Failure> {
        let status = self.node.status()?;
        let wanted = search.map(Folded::new);
        if wanted.as_ref().is_some_and(Folded::is_empty) {
            return Err(donp_core::CommandError::Empty("text to look for").into());
        }
        let mut gaps = self.gaps(true)?;
        let mut reactions = Reactions::default();
        let mut found: Vec<Message> = Vec::new();
        let (mut bytes, mut older, mut first_depth) = (0, None, None);
        for m in self.walk(to) {
            let m = m?;
            let is_after = before.is_some_and(|before| m.id >= before);
            gaps.look(m.id.depth, found.last().map(|m| m.id).filter(|_| !is_after));
            first_depth = Some(m.id.depth);
            if reactions.takes(&m, names) || is_after {
                continue;
            }
            if wanted.as_ref().is_some_and(|wanted| !Folded::new(m.shown()).contains(wanted)) {
                continue;
            }
            if found.len() == limit || bytes > MAX_PAGE_BYTES {
                older = found.last().map(|m| m.id);
                break;
            }
            bytes += m.content.shown().len() + m.edited.as_ref().map_or(0, String::len);
            found.push(m);
        }
        found.reverse();
        let mut page = self.page(to, names, &found, &gaps, older)?;
        for (m, shown) in found.iter().zip(page["messages"].as_array_mut().into_iter().flatten()) {
            let mut reactions = reactions.0.remove(&m.id).unwrap_or_default();
            reactions.reverse();
            shown["reactions"] = reactions.into();
        }
        // The first message of a conversation has the depth 1.
        page["begins_later"] = (older.is_none() && first_depth.is_some_and(|depth| depth > 1)).into();
        page["waiting"] = status.node.pending.into();
        Ok(page)
    }
}

/// Reactions are shown at the messages that they are about.
#[derive(Default)]
struct Reactions(BTreeMap<MessageId, Vec<Value>>);

impl Reactions {
    /// Whether the message shows at another one.
    fn takes(&mut self, m: &Message, names: &Names) -> bool {
        match &m.content {
            Content::React { react_to, mark } => {
                let row = json!({ "mark": mark, "author": m.author.to_string(), "name": names.get(m.author) });
                let all = self.0.entry(*react_to).or_default();
                // Two equal reactions of one author count once.
                if !m.retracted && !all.contains(&row) {
                    all.push(row);
                }
                true
            }
            Content::Edit { .. } | Content::Retract { .. } => true,
            _ => false,
        }
    }
}
