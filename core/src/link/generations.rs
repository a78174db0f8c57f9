//! The post-quantum secrets of one link: each end of an ML-KEM exchange derives the next one, and handshakes mix in the
//! newest that both hold (docs/design/links.md §7).

use alloc::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::kdf::{Key, sha256};
use crate::crypto::kem::{CT_LEN, EK_LEN, SEED_LEN, decapsulate, encapsulate, encapsulation_key};
use crate::id::NodeId;
use crate::link::packet::{Epoch, NO_GENERATION};
use crate::rng::Rng;
use crate::wire::Malformed;

const OFFER: u8 = 1;
const ANSWER: u8 = 2;
const DECLINE: u8 = 3;
/// Why an offer is declined.
const BUSY: u8 = 1;
const OFF: u8 = 2;
/// Of the hash of a key, enough to tell the offers of one generation apart.
const NAME_LEN: usize = 8;

/// What two ends of a link say to make a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Exchange<'a> {
    Offer { generation: u8, key: &'a [u8] },
    Answer { generation: u8, offer: [u8; NAME_LEN], ciphertext: &'a [u8] },
    Decline { generation: u8, off: bool },
}

impl<'a> Exchange<'a> {
    /// Kind 1, generation 1; then an encapsulation key 1,184, the first 8 bytes of its SHA-256 and a ciphertext 1,088, or a
    /// reason 1 (1 busy, 2 off).
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let [kind, generation, rest @ ..] = bytes else { return Err(Malformed) };
        let generation = *generation;
        match (*kind, rest) {
            (_, _) if generation == NO_GENERATION => Err(Malformed),
            (OFFER, key) if key.len() == EK_LEN => Ok(Self::Offer { generation, key }),
            (ANSWER, rest) => {
                let (offer, ciphertext) = rest.split_first_chunk().ok_or(Malformed)?;
                match ciphertext.len() {
                    CT_LEN => Ok(Self::Answer { generation, offer: *offer, ciphertext }),
                    _ => Err(Malformed),
                }
            }
            (DECLINE, [BUSY]) => Ok(Self::Decline { generation, off: false }),
            (DECLINE, [OFF]) => Ok(Self::Decline { generation, off: true }),
            _ => Err(Malformed),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Offer { generation, key } => [&[OFFER, *generation], *key].concat(),
            Self::Answer { generation, offer, ciphertext } => [&[ANSWER, *generation], &offer[..], ciphertext].concat(),
            Self::Decline { generation, off } => [DECLINE, *generation, if *off { OFF } else { BUSY }].to_vec(),
        }
    }
}

/// Two ends of one life of a link: neither began anew since.
pub(super) struct Life {
    pub ids: [NodeId; 2],
    pub epochs: [Epoch; 2],
}

impl Life {
    /// The same at both ends.
    fn hash(&self) -> Key {
        let [one, two] = self.ids;
        let [of_one, of_two] = self.epochs;
        let mut ends = [(one, of_one), (two, of_two)];
        ends.sort_by_key(|(id, _)| *id);
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 link life");
        for (id, epoch) in ends {
            hasher.update(&id.0);
            hasher.update(&epoch.boot.to_le_bytes());
            hasher.update(&epoch.incarnation.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// The secrets of one life of a link.
///
/// INVARIANT: there is no seed after the last generation.
#[cfg_attr(test, derive(Debug))]
pub(super) struct Generations {
    life: Key,
    /// The newest that a handshake of both ends mixed in; 0 before the first.
    confirmed: u8,
    secret: Key,
    /// That of the generation after it, which the other end may not hold yet.
    next: Option<Key>,
    /// The own offer, until its answer.
    offered: Option<Offered>,
    /// The name of the offer that was answered last: links deliver at least once.
    answered: Option<[u8; NAME_LEN]>,
}

#[cfg_attr(test, derive(Debug))]
struct Offered {
    seed: Zeroizing<[u8; SEED_LEN]>,
    name: [u8; NAME_LEN],
}

fn name(key: &[u8]) -> [u8; NAME_LEN] {
    sha256(&[key]).first_chunk().copied().unwrap_or_default()
}

impl Drop for Generations {
    fn drop(&mut self) {
        self.secret.zeroize();
        self.next.zeroize();
    }
}

fn derive(context: &str, parts: &[&[u8]]) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

impl Generations {
    pub(super) fn new(life: &Life) -> Self {
        Self { life: life.hash(), confirmed: NO_GENERATION, secret: [0; 32], next: None, offered: None, answered: None }
    }

    /// The newest that is held.
    pub(super) fn newest(&self) -> u8 {
        self.confirmed.saturating_add(u8::from(self.next.is_some()))
    }

    fn secret_of(&self, generation: u8) -> Option<&Key> {
        match generation.checked_sub(self.confirmed)? {
            0 => Some(&self.secret),
            1 => self.next.as_ref(),
            _ => None,
        }
    }

    /// The pre-shared key of a handshake that mixes in this generation; none if its secret is not held.
    pub(super) fn psk(&self, network: &Key, generation: u8) -> Option<Key> {
        if generation == NO_GENERATION {
            return Some(*network);
        }
        let secret = self.secret_of(generation)?;
        Some(derive("DONP v1 link psk pq", &[network, secret]))
    }

    /// The generation for the answer to an Init of this life that claims `theirs`: the newest of both; none if this node
    /// does not hold it, so that the initiator says again what it holds.
    pub(super) fn choose(&self, theirs: u8) -> Option<u8> {
        let generation = self.newest().min(theirs);
        self.secret_of(generation).map(|_| generation)
    }

    /// Both ends mixed this generation in: what was before it is wiped.
    pub(super) fn confirm(&mut self, generation: u8) {
        if generation.checked_sub(self.confirmed) == Some(1)
            && let Some(next) = self.next.take()
        {
            self.secret.zeroize();
            self.secret = next;
            self.answered = None;
            self.confirmed = generation;
        }
    }

    /// The generation that an exchange would make now; none after the 255th.
    fn following(&self) -> Option<u8> {
        self.confirmed.checked_add(1)
    }

    pub(super) fn is_offered(&self) -> bool {
        self.offered.is_some()
    }

    /// Whether an own offer makes sense: nothing newer is held than both ends use.
    pub(super) fn may_offer(&self) -> bool {
        self.next.is_none() && self.following().is_some()
    }

    /// The own offer; a new one replaces one without an answer.
    pub(super) fn offer(&mut self, rng: &mut Rng) -> Option<Vec<u8>> {
        let generation = self.following().filter(|_| self.may_offer())?;
        let seed = Zeroizing::new(rng.bytes());
        let key = encapsulation_key(&seed);
        self.offered = Some(Offered { seed, name: name(&key) });
        Some(Exchange::Offer { generation, key: &key }.encode())
    }

    pub(super) fn withdraw(&mut self) {
        self.offered = None;
    }

    fn extend(&self, secret: &Key, key: &[u8], ciphertext: &[u8]) -> Key {
        derive("DONP v1 link pq", &[&self.secret, secret, &sha256(&[key, ciphertext]), &self.life])
    }

    /// Answers an offer; none if it is for another generation, was answered, or holds no key, and none after an own offer
    /// for that generation was accepted, which the other end may mix in by now.
    pub(super) fn answer(&mut self, generation: u8, key: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
        let offer = name(key);
        let accepted = self.next.is_some() && self.answered.is_none();
        if self.following() != Some(generation) || self.answered == Some(offer) || accepted {
            return None;
        }
        let (ciphertext, mut secret) = encapsulate(key, rng)?;
        self.next = Some(self.extend(&secret, key, &ciphertext));
        secret.zeroize();
        self.offered = None;
        self.answered = Some(offer);
        Some(Exchange::Answer { generation, offer, ciphertext: &ciphertext }.encode())
    }

    /// The answer to the own offer; false if it is none.
    pub(super) fn accept(&mut self, generation: u8, offer: [u8; NAME_LEN], ciphertext: &[u8]) -> bool {
        let own = self.offered.as_ref().filter(|own| own.name == offer && self.following() == Some(generation));
        let Some(own) = own else { return false };
        let Some((mut secret, key)) = decapsulate(&own.seed, ciphertext) else { return false };
        self.offered = None;
        self.answered = None;
        self.next = Some(self.extend(&secret, &key, ciphertext));
        secret.zeroize();
        true
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.offered.is_some() && self.following().is_none() {
            true => Err("a secret is offered after the last generation"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    fn ends() -> [Generations; 2] {
        let epoch = |boot| Epoch { boot, incarnation: 5 };
        let (one, two) = (NodeId([1; 32]), NodeId([2; 32]));
        let life = Life { ids: [one, two], epochs: [epoch(7), epoch(8)] };
        let seen = Life { ids: [two, one], epochs: [epoch(8), epoch(7)] };
        [Generations::new(&life), Generations::new(&seen)]
    }

    fn offered(bytes: &[u8]) -> (u8, Vec<u8>) {
        match Exchange::decode(bytes) {
            Ok(Exchange::Offer { generation, key }) => (generation, key.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    fn answered(bytes: &[u8]) -> (u8, [u8; NAME_LEN], Vec<u8>) {
        match Exchange::decode(bytes) {
            Ok(Exchange::Answer { generation, offer, ciphertext }) => (generation, offer, ciphertext.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    /// Breaks if the ciphertext, the key or the life of the link is left out of what one end derives.
    #[test]
    fn both_ends_derive_each_generation_and_another_life_another() {
        let ([mut one, mut two], mut rng) = (ends(), Rng::new([3; 32]));
        let mut used = Vec::new();
        for generation in 1..=255 {
            let offer = one.offer(&mut rng).unwrap();
            let (number, key) = offered(&offer);
            assert_eq!(number, generation);
            let (number, name, ciphertext) = answered(&two.answer(number, &key, &mut rng).unwrap());
            assert!(two.answer(number, &key, &mut rng).is_none(), "delivered twice");
            assert!(one.accept(number, name, &ciphertext) && !one.accept(number, name, &ciphertext), "one answer");
            assert_eq!((one.choose(generation), two.choose(generation)), (Some(generation), Some(generation)));
            assert_eq!(one.choose(generation - 1), Some(generation - 1), "the other end may not have it yet");
            let psk = one.psk(&[9; 32], generation).unwrap();
            assert_eq!(two.psk(&[9; 32], generation), Some(psk));
            assert!(!used.contains(&psk));
            used.push(psk);
            one.confirm(generation);
            two.confirm(generation);
            assert!(generation == 1 || one.psk(&[9; 32], generation - 1).is_none(), "wiped");
        }
        assert!(one.offer(&mut rng).is_none() && one.check().is_ok(), "the last");
        let mut other = ends().map(|mut end| {
            end.life = [4; 32];
            end
        });
        let (number, key) = offered(&one_offer(&mut other[0]));
        let (number, name, ciphertext) = answered(&other[1].answer(number, &key, &mut Rng::new([3; 32])).unwrap());
        other[1].life = [5; 32];
        assert!(other[0].accept(number, name, &ciphertext));
        let (secret, changed) = ([0; 32], &ciphertext[1..]);
        let same = other[0].extend(&secret, &key, &ciphertext);
        assert_ne!(other[0].extend(&secret, &key, changed), same);
        assert_ne!(other[0].extend(&secret, &key[1..], &ciphertext), same);
        assert_ne!(other[1].extend(&secret, &key, &ciphertext), same, "another life");
    }

    fn one_offer(of: &mut Generations) -> Vec<u8> {
        of.offer(&mut Rng::new([8; 32])).unwrap()
    }

    #[test]
    fn what_is_out_of_turn_changes_nothing() {
        let ([mut one, mut two], mut rng) = (ends(), Rng::new([3; 32]));
        let (number, key) = offered(&one.offer(&mut rng).unwrap());
        for other in [0, 2, 255] {
            assert!(two.answer(other, &key, &mut rng).is_none());
        }
        // FIPS 203 §7.2: each coefficient is below 3,329.
        assert!(two.answer(number, &[0xff; EK_LEN], &mut rng).is_none() || cfg!(donp_toy_keys));
        assert_eq!(two.newest(), 0);
        let (number, first, ciphertext) = answered(&two.answer(number, &key, &mut rng).unwrap());
        assert!(!one.accept(number + 1, first, &ciphertext) && one.is_offered());
        one.confirm(1);
        two.confirm(2);
        assert_eq!((one.confirmed, two.confirmed), (0, 0), "nothing held is confirmed");
        // An answer that was lost: the offer is made again, and the second answer stands at both ends.
        let (number, key) = offered(&one.offer(&mut rng).unwrap());
        let (number, name, second) = answered(&two.answer(number, &key, &mut rng).unwrap());
        assert!(!one.accept(number, first, &ciphertext), "that of another offer, which came late");
        assert!(one.accept(number, name, &second));
        assert_eq!(one.psk(&[0; 32], 1), two.psk(&[0; 32], 1));
        assert!(one.offer(&mut rng).is_none(), "the other end may not use it yet");
        // An offer of the other end that crossed and came late.
        let late = encapsulation_key(&[6; SEED_LEN]);
        assert!(one.answer(1, &late, &mut rng).is_none());
    }

    proptest! {
        #[test]
        fn messages_read_back_in_one_form(bytes in prop::collection::vec(any::<u8>(), 0..6), pick in 0usize..4) {
            let long = [EK_LEN, NAME_LEN + CT_LEN, EK_LEN + 1, 1];
            let mut all = bytes;
            all.resize(2 + long[pick], 1);
            if let Ok(read) = Exchange::decode(&all) {
                prop_assert_eq!(read.encode(), all);
            }
        }
    }

    #[test]
    fn a_message_of_another_length_is_refused() {
        for (kind, length) in [(OFFER, EK_LEN), (ANSWER, NAME_LEN + CT_LEN), (DECLINE, 1)] {
            let whole = [vec![kind, 1], vec![1; length]].concat();
            assert!(Exchange::decode(&whole).is_ok());
            assert!(Exchange::decode(&whole[..whole.len() - 1]).is_err());
            assert!(Exchange::decode(&[whole.as_slice(), &[1]].concat()).is_err());
            assert!(Exchange::decode(&[&[kind, 0], &whole[2..]].concat()).is_err(), "generation 0");
        }
    }
}
