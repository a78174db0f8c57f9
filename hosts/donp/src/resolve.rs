//! Whom a person means: `all`, an id, the beginning of one, or a name.

use donp_core::{Conversation, NodeId, Peer};

use crate::failure::{Exit, Failure};

/// Characters of a beginning that are enough to try.
const MIN_PREFIX: usize = 4;

/// # Errors
/// When nobody or more than one node is meant.
pub fn conversation(text: &str, peers: &[Peer]) -> Result<Conversation, Failure> {
    if text == "all" { Ok(Conversation::Network) } else { node(text, peers).map(Conversation::Private) }
}

/// An id wins over its beginning, the beginning over a name: a name is a claim that anybody can make.
/// If the beginning of one node's id is the name of another, nobody is meant.
pub fn node(text: &str, peers: &[Peer]) -> Result<NodeId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let begins = prefix(text);
    let by_id: Vec<_> = peers.iter().filter(|p| begins.iter().any(|b| id_text(p.id).starts_with(b))).collect();
    let by_name: Vec<_> = peers.iter().filter(|p| p.name.as_deref() == Some(text)).collect();
    let mut meant: Vec<_> = by_id.into_iter().chain(by_name).collect();
    meant.sort_by_key(|p| p.id);
    meant.dedup_by_key(|p| p.id);
    match meant.as_slice() {
        [peer] => Ok(peer.id),
        [] => Err(Failure::new(Exit::Failed, format!("nobody known is called '{text}'"))
            .hint("donp peers lists who is known; a whole node id always works")),
        several => {
            let list: Vec<_> = several
                .iter()
                .map(|p| format!("{} ({})", p.id.short(), p.name.as_deref().unwrap_or("no name")))
                .collect();
            Err(Failure::new(Exit::Failed, format!("'{text}' can be {}", list.join(" or ")))
                .hint("more characters of the node id"))
        }
    }
}

/// The 56 characters after the letter.
fn id_text(id: NodeId) -> String {
    id.to_string().split_off(1)
}

/// What the beginning of an id may be: as written, and without the letter of its kind. Dashes are
/// for the eye; letters that look alike are folded as ids fold them.
fn prefix(text: &str) -> Vec<String> {
    let fold = |c: char| match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    };
    let folded: String = text.chars().filter(|c| *c != '-').map(fold).collect();
    let bare = folded.strip_prefix('n').map(Into::into);
    // The short form is cut from the id itself, where eight characters hold no checksum.
    [Some(folded), bare].into_iter().flatten().filter(|p: &String| p.len() >= MIN_PREFIX).collect()
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
            last_error: None,
        }
    }

    fn meant(text: &str, peers: &[Peer]) -> Option<u8> {
        match conversation(text, peers) {
            Ok(Conversation::Private(id)) => Some(id.0[0]),
            _ => None,
        }
    }

    #[test]
    fn all_ids_prefixes_and_names_are_understood() {
        let peers = [peer(1, Some("alice")), peer(2, None)];
        assert_eq!(conversation("all", &peers), Ok(Conversation::Network));
        assert_eq!(meant("alice", &peers), Some(1));
        let (id, short) = (NodeId([2; 32]).to_string(), NodeId([2; 32]).short());
        for text in [&id, &short, &short.replace('-', ""), &format!("n{short}"), &id[..6], &short.to_uppercase()] {
            assert_eq!(meant(text, &peers), Some(2), "{text}");
        }
        assert_eq!(meant(&NodeId([9; 32]).to_string(), &peers), Some(9), "a whole id needs nobody's word");
        assert_eq!(meant(&short[..3], &peers), None, "too short");
        assert_eq!(meant("nobody", &peers), None);
    }

    #[test]
    fn what_can_be_two_nodes_is_refused_with_both() {
        let twins = [peer(1, Some("sam")), peer(2, Some("sam"))];
        let failure = conversation("sam", &twins).unwrap_err();
        for id in [1, 2] {
            assert!(failure.what.contains(&NodeId([id; 32]).short()), "{}", failure.what);
        }
        // Somebody takes the beginning of another's id as a name.
        let short = NodeId([1; 32]).short();
        assert!(conversation(&short, &[peer(1, None), peer(2, Some(&short))]).is_err());
    }
}
