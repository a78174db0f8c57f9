//! A picture of the overlay: nodes that attract their neighbours and push others away.

use std::collections::VecDeque;
use std::fmt::Write as _;

use crate::graph::Graph;
use crate::rng::SimRng;

/// Nodes drawn at most: of a larger overlay those nearest to the first, hop by hop.
pub const DRAWN: usize = 400;
const SIZE: f64 = 640.0;
const ROUNDS: usize = 150;
/// Shades from few neighbours to many.
const SHADES: usize = 5;

/// The picture, and how many of how many running nodes it shows.
pub fn draw(graph: &Graph) -> (String, usize, usize) {
    let alive = graph.running.iter().filter(|r| **r).count();
    let shown = choose(graph);
    let mut place = vec![None; graph.running.len()];
    shown.iter().enumerate().for_each(|(i, n)| place[*n as usize] = Some(i));
    let mut edges = Vec::new();
    for (i, n) in shown.iter().enumerate() {
        let others = graph.links[*n as usize].iter().filter_map(|m| place[*m as usize]);
        edges.extend(others.filter(|j| *j > i).map(|j| (i, j)));
    }
    let points = arrange(shown.len(), &edges);
    let degree = |n: u32| graph.links[n as usize].len();
    let least = shown.iter().map(|n| degree(*n)).min().unwrap_or(0);
    let most = shown.iter().map(|n| degree(*n)).max().unwrap_or(0).max(least + 1);
    let mut out = format!("<svg viewBox=\"0 0 {SIZE} {SIZE}\" role=\"img\" aria-label=\"the overlay at the end\">\n");
    for (a, b) in &edges {
        let ((x1, y1), (x2, y2)) = (points[*a], points[*b]);
        let _ = writeln!(out, "<line class=\"edge\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
    }
    let radius = (90.0 / (shown.len().max(1) as f64).sqrt()).clamp(3.0, 9.0);
    for (n, (x, y)) in shown.iter().zip(&points) {
        let shade = (degree(*n) - least) * (SHADES - 1) / (most - least);
        let _ = writeln!(
            out,
            "<circle class=\"node n{shade}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\">\
             <title>node {n}: {} neighbours</title></circle>",
            degree(*n)
        );
    }
    out += "</svg>\n";
    let keys = (0..SHADES).map(|s| format!("<i class=\"key n{s}\"></i>")).collect::<String>();
    let _ = writeln!(out, "<p class=\"legend\"><span>{least} neighbours {keys} {most} neighbours</span></p>");
    (out, shown.len(), alive)
}

/// All running nodes if they fit, else a ball around the first.
fn choose(graph: &Graph) -> Vec<u32> {
    let alive: Vec<u32> = (0..graph.running.len() as u32).filter(|n| graph.running[*n as usize]).collect();
    if alive.len() <= DRAWN {
        return alive;
    }
    let mut seen = vec![false; graph.running.len()];
    let (mut out, mut todo) = (Vec::new(), VecDeque::new());
    for start in alive {
        if !std::mem::replace(&mut seen[start as usize], true) {
            todo.push_back(start);
        }
        while let Some(n) = todo.pop_front() {
            out.push(n);
            if out.len() == DRAWN {
                return out;
            }
            for next in &graph.links[n as usize] {
                if !std::mem::replace(&mut seen[*next as usize], true) {
                    todo.push_back(*next);
                }
            }
        }
    }
    out
}

/// Fruchterman and Reingold (1991), from places drawn with a seed of its own.
fn arrange(n: usize, edges: &[(usize, usize)]) -> Vec<(f64, f64)> {
    let mut rng = SimRng::new(1);
    let mut part = || rng.below(1_000_000) as f64 / 1e6 - 0.5;
    let mut at: Vec<(f64, f64)> = (0..n).map(|_| (part(), part())).collect();
    let ideal = 0.9 / (n.max(1) as f64).sqrt();
    for round in 0..ROUNDS {
        let mut pull = vec![(0.0, 0.0); n];
        for i in 0..n {
            for j in i + 1..n {
                let (dx, dy) = (at[i].0 - at[j].0, at[i].1 - at[j].1);
                let square = (dx * dx + dy * dy).max(1e-6);
                let force = ideal * ideal / square;
                pull[i].0 += dx * force;
                pull[i].1 += dy * force;
                pull[j].0 -= dx * force;
                pull[j].1 -= dy * force;
            }
        }
        for &(i, j) in edges {
            let (dx, dy) = (at[i].0 - at[j].0, at[i].1 - at[j].1);
            let force = (dx * dx + dy * dy).sqrt() / ideal;
            pull[i].0 -= dx * force;
            pull[i].1 -= dy * force;
            pull[j].0 += dx * force;
            pull[j].1 += dy * force;
        }
        let heat = 0.1 * (1.0 - round as f64 / ROUNDS as f64);
        for (place, pull) in at.iter_mut().zip(pull) {
            // A little gravity keeps components that nothing holds in the picture.
            let (dx, dy) = (pull.0 - place.0 * 0.3, pull.1 - place.1 * 0.3);
            let length = (dx * dx + dy * dy).sqrt().max(1e-9);
            place.0 += dx / length * length.min(heat);
            place.1 += dy / length * length.min(heat);
        }
    }
    let reach = at.iter().flat_map(|(x, y)| [x.abs(), y.abs()]).fold(1e-9, f64::max);
    let scale = (SIZE / 2.0 - 14.0) / reach;
    at.into_iter().map(|(x, y)| (SIZE / 2.0 + x * scale, SIZE / 2.0 + y * scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_running_node_is_drawn_within_the_picture_up_to_the_limit() {
        let ring = |n: u32| -> Graph {
            let views: Vec<Vec<u32>> = (0..n).map(|i| vec![(i + 1) % n]).collect();
            let mut running = vec![true; n as usize];
            running[0] = false;
            Graph::new(running, &views)
        };
        let (svg, shown, alive) = draw(&ring(30));
        assert_eq!((shown, alive), (29, 29));
        assert_eq!((svg.matches("<circle").count(), svg.matches("class=\"edge\"").count()), (29, 28));
        let (svg, shown, alive) = draw(&ring(1_000));
        assert_eq!((shown, alive, svg.matches("<circle").count()), (DRAWN, 999, DRAWN));
        let outside = svg.split("cx=\"").skip(1).filter_map(|s| s.split('"').next()?.parse::<f64>().ok());
        assert!(outside.clone().count() == DRAWN && outside.clone().all(|x| (0.0..=SIZE).contains(&x)));
        assert_eq!(draw(&Graph::default()).1, 0);
    }
}
