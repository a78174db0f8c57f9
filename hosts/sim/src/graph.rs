//! The overlay as a graph of neighbours.

use std::collections::VecDeque;

use crate::rng::SimRng;

/// Nodes from which shortest paths are searched at most.
const SOURCES: usize = 200;

/// The active views of all running nodes. Figures are of the undirected graph; a link counts if either
/// side has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Whether each node runs.
    pub running: Vec<bool>,
    /// Neighbours by node, sorted.
    pub links: Vec<Vec<u32>>,
    /// Links that only one side has.
    pub one_sided: usize,
}

/// The measures of HyParView's Table 1, and a few more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// Components among running nodes.
    pub components: usize,
    /// Share of the running nodes in the largest.
    pub giant: f64,
    /// Mean over nodes of the share of their neighbours' pairs that are linked; nodes with fewer than
    /// two neighbours count as zero.
    pub clustering: f64,
    /// Mean shortest path in hops over reachable pairs, from at most 200 sources drawn at random.
    pub path: f64,
    /// Longest shortest path found.
    pub diameter: usize,
    /// Mean neighbours.
    pub degree: f64,
    /// Fewest neighbours.
    pub degree_min: usize,
    /// Most neighbours.
    pub degree_max: usize,
    /// Share of the links that only one side has.
    pub one_sided: f64,
}

impl Graph {
    /// From each node's own view; views of nodes that do not run, and entries for such, are left out.
    pub fn new(running: Vec<bool>, views: &[Vec<u32>]) -> Self {
        let n = running.len();
        let mut directed: Vec<(u32, u32)> = Vec::new();
        for (from, view) in views.iter().enumerate().filter(|(from, _)| running[*from]) {
            directed.extend(view.iter().filter(|to| running[**to as usize]).map(|to| (from as u32, *to)));
        }
        directed.sort_unstable();
        directed.dedup();
        let mutual = directed.iter().filter(|(a, b)| directed.binary_search(&(*b, *a)).is_ok()).count();
        let mut links = vec![Vec::new(); n];
        for &(a, b) in &directed {
            links[a as usize].push(b);
            links[b as usize].push(a);
        }
        for view in &mut links {
            view.sort_unstable();
            view.dedup();
        }
        Self { running, links, one_sided: directed.len() - mutual }
    }

    /// Its figures. `rng` draws the sources of the searches.
    pub fn shape(&self, rng: &mut SimRng) -> Shape {
        let alive: Vec<u32> = (0..self.running.len() as u32).filter(|n| self.running[*n as usize]).collect();
        if alive.is_empty() {
            return Shape::default();
        }
        let sizes = self.component_sizes();
        let degrees = alive.iter().map(|n| self.links[*n as usize].len());
        let edges: usize = degrees.clone().sum::<usize>() / 2;
        let (mut pairs, mut sum, mut diameter) = (0usize, 0usize, 0);
        for source in rng.sample(&alive, SOURCES) {
            for distance in self.distances(source).into_iter().flatten().filter(|d| *d > 0) {
                pairs += 1;
                sum += distance as usize;
                diameter = diameter.max(distance as usize);
            }
        }
        Shape {
            components: sizes.len(),
            giant: sizes.first().copied().unwrap_or(0) as f64 / alive.len() as f64,
            clustering: alive.iter().map(|n| self.local_clustering(*n)).sum::<f64>() / alive.len() as f64,
            path: if pairs == 0 { 0.0 } else { sum as f64 / pairs as f64 },
            diameter,
            degree: 2.0 * edges as f64 / alive.len() as f64,
            degree_min: degrees.clone().min().unwrap_or(0),
            degree_max: degrees.max().unwrap_or(0),
            one_sided: if edges == 0 { 0.0 } else { self.one_sided as f64 / edges as f64 },
        }
    }

    /// Sizes of the components of running nodes, largest first.
    pub fn component_sizes(&self) -> Vec<usize> {
        let mut seen = vec![false; self.running.len()];
        let mut sizes = Vec::new();
        for start in 0..self.running.len() {
            if seen[start] || !self.running[start] {
                continue;
            }
            let (mut size, mut todo) = (0, vec![start as u32]);
            seen[start] = true;
            while let Some(n) = todo.pop() {
                size += 1;
                for &next in &self.links[n as usize] {
                    if !std::mem::replace(&mut seen[next as usize], true) {
                        todo.push(next);
                    }
                }
            }
            sizes.push(size);
        }
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes
    }

    /// Hops from `source` to each node; none without a path.
    pub fn distances(&self, source: u32) -> Vec<Option<u32>> {
        let mut out = vec![None; self.running.len()];
        let mut todo = VecDeque::from([source]);
        out[source as usize] = Some(0);
        while let Some(n) = todo.pop_front() {
            let next_distance = out[n as usize].map(|d| d + 1);
            for &next in &self.links[n as usize] {
                if out[next as usize].is_none() {
                    out[next as usize] = next_distance;
                    todo.push_back(next);
                }
            }
        }
        out
    }

    fn local_clustering(&self, n: u32) -> f64 {
        let view = &self.links[n as usize];
        if view.len() < 2 {
            return 0.0;
        }
        let linked = view
            .iter()
            .enumerate()
            .flat_map(|(i, a)| view[i + 1..].iter().map(move |b| (a, b)))
            .filter(|(a, b)| self.links[**a as usize].binary_search(b).is_ok())
            .count();
        linked as f64 / (view.len() * (view.len() - 1) / 2) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(running: &[bool], views: &[Vec<u32>]) -> Shape {
        Graph::new(running.to_vec(), views).shape(&mut SimRng::new(1))
    }

    #[test]
    fn a_ring_has_the_figures_of_a_ring() {
        let views: Vec<Vec<u32>> = (0..6u32).map(|n| vec![(n + 5) % 6, (n + 1) % 6]).collect();
        let s = shape(&[true; 6], &views);
        assert_eq!((s.components, s.giant, s.clustering, s.diameter), (1, 1.0, 0.0, 3));
        assert!((s.path - (1.0 + 1.0 + 2.0 + 2.0 + 3.0) / 5.0).abs() < 1e-9);
        assert_eq!((s.degree, s.degree_min, s.degree_max, s.one_sided), (2.0, 2, 2, 0.0));
    }

    #[test]
    fn a_clique_with_a_tail_a_dead_node_and_a_one_sided_link() {
        // 0, 1, 2 all linked; 3 has a link to 2, which does not know; 4 is dead; 5 is alone.
        let views = [vec![1, 2, 4], vec![0, 2], vec![0, 1], vec![2], vec![0], vec![]];
        let s = shape(&[true, true, true, true, false, true], &views);
        assert_eq!((s.components, s.giant), (2, 0.8));
        // 0 and 1: 1; 2: one of three pairs; 3 and 5: none.
        assert!((s.clustering - (1.0 + 1.0 + 1.0 / 3.0) / 5.0).abs() < 1e-9);
        assert_eq!((s.degree_min, s.degree_max, s.one_sided), (0, 3, 0.25));
        assert_eq!(shape(&[false], &[vec![]]), Shape::default());
    }
}
