//! The Diffie-Hellman function of links and sessions: X25519 (RFC 7748), or in simulations a toy.
//!
//! Three quarters of the time of a simulated network are X25519. A build with `--cfg donp_toy_keys`
//! computes in the group of the integers modulo 2^61 - 1 instead: the same algebra, so every step of the
//! handshake and its errors are there, of a size that is easily broken. Its Noise protocol has another name, so
//! nothing real ever understands it.

#[cfg(not(donp_toy_keys))]
use real as group;
#[cfg(donp_toy_keys)]
use toy as group;

pub(crate) use group::KeyPair;

/// The shared secret; none if the other key is of low order.
pub(crate) fn dh(key: &KeyPair, public: &[u8; 32]) -> Option<[u8; 32]> {
    key.agree(public)
}

#[cfg(not(donp_toy_keys))]
mod real {
    use x25519_dalek::{PublicKey, StaticSecret};

    /// An X25519 key pair. The public key is always computed from the secret.
    #[derive(Clone)]
    pub(crate) struct KeyPair {
        secret: StaticSecret,
        pub public: [u8; 32],
    }

    impl KeyPair {
        pub(crate) fn new(secret: [u8; 32]) -> Self {
            let secret = StaticSecret::from(secret);
            let public = PublicKey::from(&secret).to_bytes();
            Self { secret, public }
        }

        pub(crate) fn secret(&self) -> &[u8; 32] {
            self.secret.as_bytes()
        }

        pub(super) fn agree(&self, public: &[u8; 32]) -> Option<[u8; 32]> {
            let shared = self.secret.diffie_hellman(&PublicKey::from(*public));
            shared.was_contributory().then(|| shared.to_bytes())
        }
    }
}

#[cfg(any(test, donp_toy_keys))]
mod toy {
    /// A Mersenne prime.
    const P: u64 = (1 << 61) - 1;
    /// Generates the multiplicative group: the least primitive root modulo `P`.
    const G: u64 = 37;

    fn times(a: u64, b: u64) -> u64 {
        // Both are below 2^64: the product fits. 2^61 is 1 modulo P, so the high part is added to the low one.
        let product = u128::from(a).wrapping_mul(u128::from(b));
        let folded = (product & u128::from(P)).wrapping_add(product >> 61);
        let sum = ((folded & u128::from(P)).wrapping_add(folded >> 61)) as u64;
        if sum >= P { sum.wrapping_sub(P) } else { sum }
    }

    fn power(mut base: u64, mut exponent: u64) -> u64 {
        let mut out = 1;
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = times(out, base);
            }
            base = times(base, base);
            exponent >>= 1;
        }
        out
    }

    /// A key pair of no worth. Of the secret only 60 bits count.
    #[derive(Clone)]
    pub(crate) struct KeyPair {
        secret: [u8; 32],
        pub public: [u8; 32],
    }

    impl KeyPair {
        pub(crate) fn new(secret: [u8; 32]) -> Self {
            let pair = Self { secret, public: [0; 32] };
            Self { public: wide(power(G, pair.exponent())), ..pair }
        }

        pub(crate) fn secret(&self) -> &[u8; 32] {
            &self.secret
        }

        pub(super) fn agree(&self, public: &[u8; 32]) -> Option<[u8; 32]> {
            // Only what `new` makes is a key: a changed bit anywhere is refused or changes the result.
            let (head, tail) = public.split_first_chunk::<8>()?;
            let base = u64::from_le_bytes(*head);
            // 1 and P - 1 are the elements of low order that are easily met.
            let weak = base < 2 || base >= P.wrapping_sub(1) || tail.iter().any(|b| *b != 0);
            (!weak).then(|| wide(power(base, self.exponent())))
        }

        fn exponent(&self) -> u64 {
            let low = self.secret.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
            // Odd, hence never zero.
            (low >> 4) | 1
        }
    }

    fn wide(x: u64) -> [u8; 32] {
        let mut out = [0; 32];
        if let Some(head) = out.first_chunk_mut::<8>() {
            *head = x.to_le_bytes();
        }
        out
    }
}

#[cfg(all(test, not(donp_toy_keys)))]
mod tests {
    use super::{real, toy};
    use proptest::prelude::*;

    proptest! {
        // The toy keeps what the handshake lives on.
        #[test]
        fn both_sides_agree_and_a_changed_key_does_not(a: [u8; 32], b: [u8; 32], at in 0usize..256) {
            let (alice, bob) = (toy::KeyPair::new(a), toy::KeyPair::new(b));
            prop_assert_eq!(alice.secret(), &a);
            let shared = alice.agree(&bob.public);
            prop_assert!(shared.is_some() && shared == bob.agree(&alice.public));
            let mut changed = bob.public;
            changed[at / 8] ^= 1 << (at % 8);
            prop_assert_ne!(alice.agree(&changed), shared);
        }
    }

    #[test]
    fn keys_of_low_order_are_refused() {
        let (toy, real) = (toy::KeyPair::new([7; 32]), real::KeyPair::new([7; 32]));
        let mut one = [0; 32];
        one[0] = 1;
        for weak in [[0; 32], one, [0xff; 32]] {
            assert_eq!(toy.agree(&weak), None);
        }
        assert_eq!(real.agree(&[0; 32]), None);
        assert_eq!(real.agree(&one), None);
    }
}
