//! Handing a secret down: the edges of the tree.

use super::*;
use crate::group::keys::{Order, make_order};

/// The smallest depth of a tree of degree 8 for so many, as the powers of 8 have it.
fn log8(n: usize) -> u32 {
    (0..).find(|depth| 8usize.pow(*depth) >= n).unwrap()
}

/// Fails if the feeding rule leaves one out, feeds one twice, is not its own inverse, or makes a feeder of more than
/// eight.
#[test]
fn every_recipient_is_fed_once_and_soon() {
    for n in 1..2_000usize {
        let members = nodes(n + 1);
        let order: Vec<u16> = (1..=n as u16).collect();
        let order = Order::new(&order, &members, node(0)).unwrap();
        let mut depth = alloc::vec![None; n];
        for p in order.children(None) {
            assert_eq!((order.feeder(p), depth[p].replace(1)), (None, None));
        }
        for p in 0..n {
            assert!(order.children(Some(p)).len() <= 8);
            let of_feeder: u32 = depth[p].unwrap();
            for child in order.children(Some(p)) {
                assert_eq!((order.feeder(child), depth[child].replace(of_feeder + 1)), (Some(p), None));
            }
        }
        assert!(depth.iter().all(|d| d.unwrap() <= log8(n + 1)), "{n}");
        assert_eq!((order.feeder(n), order.children(Some(n)).len(), order.len()), (None, 0, n));
        assert_eq!(order.children(None).len(), n.min(8), "in a group of up to nine the author feeds all");
    }
}

/// Fails if an order is believed that names one twice, a stranger, its author or not everybody, or if members are not
/// sorted.
#[test]
fn orders_with_doubles_or_strangers_are_refused() {
    let members = nodes(4);
    let order = Order::new(&[3, 0, 2], &members, node(1)).unwrap();
    assert_eq!([0, 1, 2, 3].map(|n| order.position(node(n))), [Some(1), None, Some(2), Some(0)]);
    assert_eq!([0, 1, 2, 3].map(|p| order.node(p)), [Some(node(3)), Some(node(0)), Some(node(2)), None]);
    let wrong: [&[u16]; 7] =
        [&[3, 0, 0], &[3, 0, 4], &[3, 0, 1], &[3, 0], &[3, 0, 2, 2], &[3, 0, 2, 1], &[3, 0, 65_535]];
    for indices in wrong {
        assert_eq!(Order::new(indices, &members, node(1)), None, "{indices:?}");
    }
    assert_eq!(Order::new(&[3, 0, 2], &members, node(9)), None);
    let unsorted = [[1, 0, 2, 3], [0, 0, 2, 3], [0, 1, 1, 3]].map(|n| n.map(node));
    assert!(unsorted.iter().all(|members| Order::new(&[0, 1, 2], members, node(3)).is_none()));
    assert_eq!(Order::new(&[], &[], node(1)), None);
    assert_eq!(Order::new(&[], &nodes(1), node(0)).map(|o| o.len()), Some(0));
}

proptest! {
    /// Fails if those believed away feed others while one that is here does not, if the order is one that
    /// [`Order::new`] refuses, or if it does not depend on the commitment.
    #[test]
    fn those_believed_away_come_last(n in 1usize..200, me in any::<usize>(), away in any::<u64>(), commitment: [u8; 32]) {
        let (members, me) = (nodes(n), node(me % n));
        let is_away = |node: NodeId| away >> (node.0[3] % 64) & 1 == 1;
        let indices = make_order(&commitment, &members, me, is_away).unwrap();
        let order = Order::new(&indices, &members, me).unwrap();
        let in_order: Vec<bool> = (0..order.len()).map(|p| is_away(order.node(p).unwrap())).collect();
        prop_assert!(in_order.is_sorted());
        let again = make_order(&commitment, &members, me, is_away);
        prop_assert_eq!(again, Some(indices.clone()));
        if n > 100 {
            prop_assert_ne!(make_order(&[1; 32], &members, me, is_away), Some(indices));
        }
        prop_assert_eq!(make_order(&commitment, &members, node(n), is_away), None);
    }
}
