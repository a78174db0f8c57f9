//! Whom a person means: `all`, an id, the beginning of one, or a name of a node or a group.

use donp_core::{Conversation, GroupId, MessageId, NodeId, Peer};
use donp_runtime::{ErrorKind, Folded};

use crate::failure::{Exit, Failure};

/// Characters of a beginning that are enough to try.
const MIN_PREFIX: usize = 4;
/// Characters of a message's beginning that are enough to try: 30 bits, of which two messages of a conversation with
/// 10,000 agree once in twenty; then both are named.
const MIN_MESSAGE_PREFIX: usize = 6;
/// Characters of a message's hash: 32 bytes in base32.
const HASH_CHARS: usize = 51;
/// Characters by which messages are named that have one beginning.
const LONGER: usize = 20;
/// The digits of an id, after look-alike letters are folded.
const DIGITS: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// A group that is known here: its id and its name.
pub type KnownGroup = (GroupId, String);

/// None, one, or several that a text can mean, and how to show them.
type Meant<T> = Vec<(T, String)>;

/// A contact: its id and this node's own name for it, if it has one.
pub type KnownContact = (NodeId, Option<String>);

/// The contacts that a text can mean by their own names.
fn contacts_meant(text: &str, book: &[KnownContact]) -> Meant<NodeId> {
    let called = Folded::new(text);
    let meant = book.iter().filter(|(_, name)| name.as_deref().is_some_and(|name| Folded::new(name) == called));
    meant.map(|(id, _)| (*id, format!("{} (your contact {text})", id.short()))).collect()
}

/// Contacts that no peer is: they are known by their ids all the same.
fn others<'a>(book: &'a [KnownContact], peers: &'a [Peer]) -> impl Iterator<Item = (NodeId, Option<&'a str>)> {
    book.iter().filter(|(id, _)| peers.iter().all(|p| p.id != *id)).map(|(id, _)| (*id, None))
}

/// As [`conversation`], with the contacts: an own name wins over the names that nodes claim, since no other node gives it. A
/// group of that name makes it ambiguous all the same.
///
/// # Errors
/// As [`conversation`].
pub fn conversation_with(
    text: &str,
    book: &[KnownContact],
    peers: &[Peer],
    groups: &[KnownGroup],
) -> Result<Conversation, Failure> {
    let own = contacts_meant(text, book);
    let is_id = text.parse::<NodeId>().is_ok() || text.parse::<GroupId>().is_ok();
    if own.is_empty() || is_id || is_all(text) {
        let by_id = nodes_meant(text, others(book, peers));
        return match (by_id.first(), conversation(text, peers, groups)) {
            (Some((id, _)), Err(failure)) if failure.what.starts_with(NOBODY) => Ok(Conversation::Private(*id)),
            (_, found) => found,
        };
    }
    let own = own.into_iter().map(|(id, shown)| (Conversation::Private(id), shown));
    let groups = groups_meant(text, groups).into_iter().map(|(id, shown)| (Conversation::Group(id), shown));
    only(text, own.chain(groups).collect(), || Failure::new(Exit::Failed, NOBODY))
}

/// As [`node`], with the contacts, as [`conversation_with`].
///
/// # Errors
/// As [`node`].
pub fn node_with(text: &str, book: &[KnownContact], peers: &[Peer]) -> Result<NodeId, Failure> {
    let own = contacts_meant(text, book);
    if own.is_empty() || text.parse::<NodeId>().is_ok() {
        let nodes = peers.iter().map(|p| (p.id, p.name.as_deref())).chain(others(book, peers));
        return node_of(text, nodes).map_err(|failure| match &failure.hint {
            Some(_) => failure,
            None => failure.hint("donp contact list and donp peers list the known nodes; a whole node id always works"),
        });
    }
    only(text, own, || Failure::new(Exit::Failed, NOBODY))
}

fn is_all(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("all")
}

/// How the sentence begins that says that a text means no node.
const NOBODY: &str = "no known node is named";

/// # Errors
/// When none, or more than one node or group is meant.
pub fn conversation(text: &str, peers: &[Peer], groups: &[KnownGroup]) -> Result<Conversation, Failure> {
    if is_all(text) {
        return Ok(Conversation::Network);
    }
    if text.starts_with('#') {
        return group(text, groups).map(Conversation::Group);
    }
    if let Ok(id) = text.parse() {
        return Ok(Conversation::Private(id));
    }
    if let Ok(id) = text.parse() {
        return Ok(Conversation::Group(id));
    }
    let nodes = nodes_meant(text, peers.iter().map(|p| (p.id, p.name.as_deref())));
    let nodes = nodes.into_iter().map(|(id, shown)| (Conversation::Private(id), shown));
    let groups = groups_meant(text, groups).into_iter().map(|(id, shown)| (Conversation::Group(id), shown));
    let nobody = || {
        Failure::new(Exit::Failed, format!("{NOBODY} '{text}', and no group"))
            .hint("donp peers lists the known nodes, donp group list the groups; a whole id always works")
    };
    only(text, nodes.chain(groups).collect(), nobody)
}

/// An id wins over its beginning, the beginning over a name: a name is a claim that any node can make.
/// If the beginning of one node's id is the name of another, none is meant.
///
/// # Errors
/// When none or more than one node is meant.
pub fn node(text: &str, peers: &[Peer]) -> Result<NodeId, Failure> {
    node_of(text, peers.iter().map(|p| (p.id, p.name.as_deref()))).map_err(|failure| match &failure.hint {
        Some(_) => failure,
        None => failure.hint("donp peers lists the known nodes; a whole node id always works"),
    })
}

/// As [`node`], among these. Without a hint if none is meant: the caller knows where they are listed.
///
/// # Errors
/// As [`node`].
pub fn node_of<'a>(text: &str, nodes: impl Iterator<Item = (NodeId, Option<&'a str>)>) -> Result<NodeId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    only(text, nodes_meant(text, nodes), || Failure::new(Exit::Failed, format!("{NOBODY} '{text}'")))
}

/// A group by its id, the beginning of it, or its name, with or without `#`.
///
/// # Errors
/// When none or more than one is meant.
pub fn group(text: &str, groups: &[KnownGroup]) -> Result<GroupId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    only(text, groups_meant(text, groups), || {
        Failure::new(Exit::Failed, format!("no group is named '{text}'"))
            .hint("donp group list shows the groups of this node")
    })
}

fn nodes_meant<'a>(text: &str, nodes: impl Iterator<Item = (NodeId, Option<&'a str>)>) -> Meant<NodeId> {
    let (begins, called) = (prefix(text, 'n', MIN_PREFIX), Folded::new(text));
    let is_meant = |id: NodeId, name: Option<&str>| {
        name.is_some_and(|name| Folded::new(name) == called)
            || begins.iter().any(|b| id_text(&id.to_string()).starts_with(b))
    };
    let meant = nodes.filter(|(id, name)| is_meant(*id, *name));
    meant.map(|(id, name)| (id, format!("{} ({})", id.short(), name.unwrap_or("no name")))).collect()
}

fn groups_meant(text: &str, groups: &[KnownGroup]) -> Meant<GroupId> {
    let bare = text.strip_prefix('#').unwrap_or(text);
    let begins = if bare == text { prefix(text, 'g', MIN_PREFIX) } else { Vec::new() };
    let called = [Folded::new(text), Folded::new(bare)];
    let is_meant = |id: GroupId, name: &str| {
        called.contains(&Folded::new(name)) || begins.iter().any(|b| id_text(&id.to_string()).starts_with(b))
    };
    let meant = groups.iter().filter(|(id, name)| is_meant(*id, name));
    meant.map(|(id, name)| (*id, format!("{} (group {name})", id.short()))).collect()
}

/// The one that is meant.
fn only<T: PartialEq + Copy>(text: &str, meant: Meant<T>, nobody: impl FnOnce() -> Failure) -> Result<T, Failure> {
    let Some((first, _)) = meant.first() else { return Err(nobody()) };
    if meant.iter().all(|(other, _)| other == first) {
        return Ok(*first);
    }
    let mut list: Vec<String> = meant.into_iter().map(|(_, shown)| shown).collect();
    list.sort();
    list.dedup();
    Err(Failure::new(Exit::Failed, format!("'{text}' can be {}", list.join(" or ")))
        .kind(ErrorKind::InvalidInput)
        .hint("give more characters of the id"))
}

/// The 56 characters after the letter.
fn id_text(id: &str) -> &str {
    id.get(1..).unwrap_or_default()
}

/// What the beginning of an id may be: as written, and without the letter of its kind. Dashes are
/// for the eye; letters that look alike are folded as ids fold them.
fn prefix(text: &str, letter: char, least: usize) -> Vec<String> {
    let fold = |c: char| match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    };
    let folded: String = text.chars().filter(|c| *c != '-').map(fold).collect();
    let bare = folded.strip_prefix(letter).map(Into::into);
    // The short form is cut from the id itself, where eight characters hold no checksum.
    [Some(folded), bare].into_iter().flatten().filter(|p: &String| p.len() >= least).collect()
}

/// A message of a conversation by its id or the beginning of it, as `donp history` shows it. `all` gives every id of the
/// conversation, and is asked only for a beginning.
///
/// # Errors
/// When the text is no id and no beginning of one, or of none or more than one message.
pub fn message<I: Iterator<Item = Result<MessageId, Failure>>>(
    text: &str,
    all: impl FnOnce() -> I,
) -> Result<MessageId, Failure> {
    let wrong = match text.parse::<MessageId>() {
        Ok(id) => return Ok(id),
        Err(e) => e.to_string(),
    };
    let begins = prefix(text, 'm', MIN_MESSAGE_PREFIX);
    let is_digits = |p: &String| p.len() <= HASH_CHARS && p.chars().all(|c| DIGITS.contains(c));
    if !begins.iter().any(is_digits) {
        let why = match begins.iter().any(|p| p.len() > HASH_CHARS) {
            true => wrong,
            false => format!("at least {MIN_MESSAGE_PREFIX} characters of its beginning are needed"),
        };
        return Err(Failure::usage(format!("'{text}' is not a message id: {why}"))
            .hint("use the id as donp history shows it, in the same conversation"));
    }
    let mut meant = Vec::new();
    for id in all() {
        let id = id?;
        let printed = id.to_string();
        if begins.iter().any(|b| id_text(&printed).starts_with(b)) {
            meant.push((id, printed.chars().take(LONGER).collect()));
        }
    }
    only(text, meant, || {
        Failure::new(Exit::Failed, format!("no message of this conversation has an id that begins with '{text}'"))
            .hint("donp history shows the ids of a conversation")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use donp_core::NodeType;

    fn peer(id: u8, name: Option<&str>) -> Peer {
        Peer {
            id: NodeId([id; 32]),
            name: name.map(Into::into),
            account: None,
            bot: false,
            verified: false,
            node_type: NodeType::Regular,
            addr: None,
            linked: false,
            neighbour: false,
            outbound: false,
            rtt: None,
            queued: 0,
            link_generation: 0,
            last_linked: None,
            last_error: None,
        }
    }

    /// Mutations: the first one is taken; `MIN_MESSAGE_PREFIX` is 5; a damaged id counts as a beginning.
    #[test]
    fn a_message_is_meant_by_a_beginning_that_no_other_has() {
        let id = |hash: [u8; 4], depth| {
            let mut whole = [7; 32];
            whole[..4].copy_from_slice(&hash);
            MessageId { depth, hash: whole }
        };
        let all = [id([1, 2, 3, 4], 1), id([1, 2, 3, 5], 2), id([9, 9, 9, 9], 300)];
        let meant = |text: &str| message(text, || all.into_iter().map(Ok));
        for n in [0, 1, 2] {
            let (whole, short) = (all[n].to_string(), all[n].short());
            assert_eq!(meant(&whole), Ok(all[n]));
            for text in [&short, &format!("m{short}"), &short.replace('-', ""), &short.to_uppercase(), &whole[..30]] {
                assert_eq!(meant(text), Ok(all[n]), "{text}");
            }
        }
        assert_eq!(meant(&all[2].to_string()[..7]), Ok(all[2]), "a letter and six characters");
        let two = meant(&all[0].to_string()[..7]).unwrap_err();
        for id in &all[..2] {
            assert!(two.what.contains(&id.to_string()[..LONGER]), "{}", two.what);
        }
        assert_eq!(meant("mzzzzzz").unwrap_err().exit, Exit::Failed);
        let mut damaged = all[0].to_string();
        damaged.replace_range(8..9, if damaged.as_bytes()[8] == b'0' { "1" } else { "0" });
        for (text, says) in
            [("m1", "at least 6"), ("12345", "at least 6"), ("hello!", "at least 6"), (&damaged, "checksum")]
        {
            let failure = meant(text).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.what.contains(says), "{text}: {}", failure.what);
        }
    }

    #[test]
    fn names_are_compared_in_any_case_and_form() {
        let peers = [peer(1, Some("Zoe\u{301} ﬁsh"))];
        assert_eq!(meant("ZOÉ FISH", &peers), Some(1));
        assert_eq!(meant("zoe fish", &peers), None);
        let twins = [peer(1, Some("sam")), peer(2, Some("SAM"))];
        assert!(conversation("sam", &twins, &[]).is_err(), "a name that two have means neither");
        assert_eq!(conversation("All", &[peer(1, Some("all"))], &[]), Ok(Conversation::Network));
        assert_eq!(group("CREW", &[(GroupId([2; 32]), "crew".into())]), Ok(GroupId([2; 32])));
    }

    fn meant(text: &str, peers: &[Peer]) -> Option<u8> {
        match conversation(text, peers, &[]) {
            Ok(Conversation::Private(id)) => Some(id.0[0]),
            _ => None,
        }
    }

    #[test]
    fn all_ids_prefixes_and_names_are_understood() {
        let peers = [peer(1, Some("alice")), peer(2, None)];
        assert_eq!(conversation("all", &peers, &[]), Ok(Conversation::Network));
        assert_eq!(meant("alice", &peers), Some(1));
        let (id, short) = (NodeId([2; 32]).to_string(), NodeId([2; 32]).short());
        for text in [&id, &short, &short.replace('-', ""), &format!("n{short}"), &id[..6], &short.to_uppercase()] {
            assert_eq!(meant(text, &peers), Some(2), "{text}");
        }
        assert_eq!(meant(&NodeId([9; 32]).to_string(), &peers), Some(9), "a whole id needs no list");
        assert_eq!(meant(&short[..3], &peers), None, "too short");
        assert_eq!(meant("nobody", &peers), None);
    }

    /// Mutation: an own name is one claim among others.
    #[test]
    fn an_own_name_wins_over_what_nodes_claim() {
        let (x, y) = (NodeId([1; 32]), NodeId([2; 32]));
        let peers = [peer(1, Some("x")), peer(2, Some("sam"))];
        let book = [(x, Some("sam".to_owned())), (NodeId([7; 32]), None)];
        assert_eq!(node_with("sam", &book, &peers), Ok(x));
        assert_eq!(conversation_with("sam", &book, &peers, &[]), Ok(Conversation::Private(x)));
        assert_eq!(node_with("sam", &[], &peers), Ok(y));
        assert_eq!(node_with("x", &book, &peers), Ok(x), "by the name that it claims");
        assert_eq!(node_with(&y.to_string(), &book, &peers), Ok(y), "an id is an id");
        // A contact that no peer is, by the beginning of its id.
        let short = NodeId([7; 32]).short();
        assert_eq!(node_with(&short, &book, &peers), Ok(NodeId([7; 32])));
        assert_eq!(conversation_with(&short, &book, &peers, &[]), Ok(Conversation::Private(NodeId([7; 32]))));
        let group = [(GroupId([1; 32]), "sam".to_owned())];
        assert!(conversation_with("sam", &book, &peers, &group).unwrap_err().what.contains("your contact sam"));
        let whole = conversation_with("#sam", &book, &peers, &group);
        assert_eq!(whole, Ok(Conversation::Group(GroupId([1; 32]))));
        assert!(conversation_with("nobody", &book, &peers, &group).is_err());
        assert_eq!(conversation_with("all", &[(x, Some("all".into()))], &peers, &group), Ok(Conversation::Network));
    }

    #[test]
    fn what_can_be_two_nodes_is_refused_with_both() {
        let twins = [peer(1, Some("sam")), peer(2, Some("sam"))];
        let failure = conversation("sam", &twins, &[]).unwrap_err();
        for id in [1, 2] {
            assert!(failure.what.contains(&NodeId([id; 32]).short()), "{}", failure.what);
        }
        // A node takes the beginning of another's id as a name.
        let short = NodeId([1; 32]).short();
        assert!(conversation(&short, &[peer(1, None), peer(2, Some(&short))], &[]).is_err());
    }

    #[test]
    fn groups_are_understood_by_name_and_beginning() {
        let groups = [(GroupId([1; 32]), "team".to_owned()), (GroupId([2; 32]), "crew".into())];
        let (id, short) = (GroupId([2; 32]).to_string(), GroupId([2; 32]).short());
        for text in ["crew", "#crew", &id, &short, &format!("g{short}"), &id[..6]] {
            assert_eq!(group(text, &groups), Ok(GroupId([2; 32])), "{text}");
            assert_eq!(conversation(text, &[], &groups), Ok(Conversation::Group(GroupId([2; 32]))), "{text}");
        }
        for text in ["", "#", "#cre", "club", &short[..3]] {
            assert_eq!(group(text, &groups).unwrap_err().exit, Exit::Failed, "{text}");
        }
        let whole = GroupId([9; 32]);
        assert_eq!(group(&whole.to_string(), &groups), Ok(whole), "a whole id needs no list");
    }

    /// A group can have the name of a node, and two groups can have one name.
    #[test]
    fn a_name_of_a_node_and_a_group_means_neither() {
        let groups = [(GroupId([1; 32]), "sam".to_owned()), (GroupId([2; 32]), "sam".into())];
        let failure = group("#sam", &groups).unwrap_err();
        assert!(failure.what.contains(&GroupId([1; 32]).short()) && failure.what.contains("or"), "{}", failure.what);
        let failure = conversation("sam", &[peer(7, Some("sam"))], &groups[..1]).unwrap_err();
        assert!(failure.what.contains(&NodeId([7; 32]).short()) && failure.what.contains("group"), "{}", failure.what);
        let only_group = conversation("#sam", &[peer(7, Some("sam"))], &groups[..1]);
        assert_eq!(only_group, Ok(Conversation::Group(GroupId([1; 32]))));
    }
}
