//! The key agreement of a first message: PQXDH (Kret, Schmidt, *The PQXDH Key Agreement Protocol*, revision 3) with
//! X25519, ML-KEM-768 and no one-time prekeys.

use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::dh::{KeyPair, dh};
use crate::crypto::kdf::{Key, hkdf_pair, sha256};
use crate::crypto::kem::{decapsulate, encapsulate};
use crate::rng::Rng;
use crate::session::bundle::{Binding, Bundle};
use crate::session::keys::{Keys, Prekeys};
use crate::session::wire::{First, SUITE, SUITES};

/// What both sides of a session agree on.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Agreement {
    pub(super) root: Key,
    /// The secret of KEM epoch 0.
    pub(super) epoch: Key,
    /// Bound into every message of the session: suites, devices and all keys of the agreement.
    pub(super) ad: Key,
}

/// The public side of an agreement.
struct Names<'a> {
    suites: u8,
    initiator: (&'a Key, &'a Key),
    responder: (&'a Key, &'a Key),
    bundle: u32,
    prekey: &'a Key,
    encapsulation: &'a [u8],
    ephemeral: &'a Key,
    ciphertext: &'a [u8],
}

impl Names<'_> {
    fn agree(&self, shared: [Key; 3], secret: Key) -> Agreement {
        let (shared, secret) = (Zeroizing::new(shared), Zeroizing::new(secret));
        let mut ad = blake3::Hasher::new_derive_key("DONP v1 session ad");
        ad.update(&[SUITE, self.suites]);
        ad.update(self.initiator.0).update(self.initiator.1).update(self.responder.0).update(self.responder.1);
        ad.update(&self.bundle.to_le_bytes()).update(self.prekey).update(&sha256(&[self.encapsulation]));
        ad.update(self.ephemeral).update(&sha256(&[self.ciphertext]));
        let ad = *ad.finalize().as_bytes();
        let parts: [&[u8]; 3] = [&[0xff; 32], shared.as_flattened(), secret.as_slice()];
        let (root, epoch) = hkdf_pair(&[0; 32], &parts, &[b"DONP v1 pqxdh", &[SUITE], &ad]);
        Agreement { root, epoch, ad }
    }
}

/// Begins a session with the owner of a bundle: what both will share, and the head of every message until the first
/// answer. None if a key of the bundle is none.
pub(super) fn initiate(keys: &Keys, bundle: &Bundle, rng: &mut Rng) -> Option<(Agreement, Vec<u8>)> {
    let ephemeral = KeyPair::new(rng.bytes());
    let (ciphertext, secret) = encapsulate(&bundle.encapsulation, rng)?;
    let shared =
        [dh(&keys.identity, &bundle.prekey)?, dh(&ephemeral, &bundle.identity)?, dh(&ephemeral, &bundle.prekey)?];
    let names = Names {
        suites: bundle.suites,
        initiator: (&keys.device(), &keys.identity.public),
        responder: (&bundle.device, &bundle.identity),
        bundle: bundle.id,
        prekey: &bundle.prekey,
        encapsulation: &bundle.encapsulation,
        ephemeral: &ephemeral.public,
        ciphertext: &ciphertext,
    };
    let first =
        First { bundle: bundle.id, binding: &keys.binding, ephemeral: ephemeral.public, ciphertext: &ciphertext };
    Some((names.agree(shared, secret), first.encode()))
}

/// What the sender of a first message shares with this device if it is genuine, which only an opened message shows.
pub(super) fn respond(keys: &Keys, prekeys: &Prekeys, first: &First<'_>, sender: &Binding) -> Option<Agreement> {
    let prekey = prekeys.prekey();
    let (secret, encapsulation) = decapsulate(&prekeys.seed, first.ciphertext)?;
    let shared =
        [dh(&prekey, &sender.identity)?, dh(&keys.identity, &first.ephemeral)?, dh(&prekey, &first.ephemeral)?];
    let names = Names {
        suites: SUITES,
        initiator: (&sender.device, &sender.identity),
        responder: (&keys.device(), &keys.identity.public),
        bundle: prekeys.id,
        prekey: &prekey.public,
        encapsulation: &encapsulation,
        ephemeral: &first.ephemeral,
        ciphertext: first.ciphertext,
    };
    Some(names.agree(shared, secret))
}
