//! A hash of a run: equal runs have equal ones.

use donp_core::{Batch, Op};

/// What is hashed at once: BLAKE3 takes 16 chunks of 1 KiB side by side, small pieces one after the other.
const BUFFER: usize = 64 << 10;

#[derive(Default)]
pub(crate) struct Transcript {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Transcript {
    /// `what` happened to node `n` at `now`.
    pub(crate) fn note(&mut self, now: u64, what: &[u8], n: usize) {
        if self.buffer.len() + what.len() > BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        for head in [now, n as u64, what.len() as u64] {
            self.buffer.extend_from_slice(&head.to_le_bytes());
        }
        self.buffer.extend_from_slice(what);
    }

    /// Node `n` stored this.
    pub(crate) fn batch(&mut self, now: u64, n: usize, batch: &Batch) {
        for op in &batch.ops {
            let (tag, table, a, b) = match op {
                Op::Put { table, key, value } => (1, table, key, Some(value)),
                Op::Delete { table, key } => (2, table, key, None),
                Op::DeleteRange { table, start, end } => (3, table, start, Some(end)),
            };
            self.note(now, &[tag, table.to_byte()], n);
            self.note(batch.seq, a, n);
            self.note(batch.seq, b.map_or(&[], Vec::as_slice), n);
        }
    }

    pub(crate) fn hash(&self) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer);
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_all_notes_in_their_order() {
        let hash = |notes: &[(u64, &[u8], usize)]| {
            let mut transcript = Transcript::default();
            notes.iter().for_each(|&(now, what, n)| transcript.note(now, what, n));
            transcript.hash()
        };
        let large = vec![7; BUFFER];
        let notes: [(u64, &[u8], usize); 4] = [(1, b"a", 2), (1, &large, 3), (2, b"bc", 4), (3, b"", 5)];
        let mut bytes = Vec::new();
        for (now, what, n) in notes {
            for head in [now, n as u64, what.len() as u64] {
                bytes.extend_from_slice(&head.to_le_bytes());
            }
            bytes.extend_from_slice(what);
        }
        assert_eq!(hash(&notes), blake3::hash(&bytes).to_hex().to_string());
        assert_ne!(hash(&notes[..2]), hash(&[notes[1], notes[0]]));
        assert_ne!(hash(&[(1, b"ab", 2), (1, b"", 2)]), hash(&[(1, b"a", 2), (1, b"b", 2)]));
    }
}
