//! Plots as SVG, drawn by hand: axes with names and units, colours that follow the page's theme.

use std::fmt::Write as _;

use crate::run::number;

/// Inner size of a plot, and room for the axes.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 52.0;
const TOP: f64 = 14.0;
const RIGHT: f64 = 16.0;

/// How an axis divides its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from the least value.
    Linear,
    /// By decades.
    Log,
}

/// An axis: its name with its unit, and what it spans.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Name and unit: "virtual time (s)".
    pub name: String,
    /// Least value shown.
    pub low: f64,
    /// Greatest value shown.
    pub high: f64,
    /// How it divides.
    pub scale: Scale,
}

impl Axis {
    /// An even axis.
    pub fn linear(name: &str, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { name: name.into(), low, high, scale: Scale::Linear }
    }

    /// An axis by decades; both ends must be above zero.
    pub fn log(name: &str, low: f64, high: f64) -> Self {
        Self { name: name.into(), low, high: high.max(low * 10.0), scale: Scale::Log }
    }

    /// Where a value is, from 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        part.clamp(0.0, 1.0)
    }

    /// Values to name: round ones.
    fn ticks(&self) -> Vec<f64> {
        if self.scale == Scale::Log {
            let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            return decades.map(|d| 10f64.powi(d)).filter(|t| (self.low..=self.high).contains(t)).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * magnitude).find(|s| *s >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        (first..).map(|i| i as f64 * step).take_while(|t| *t <= self.high + step * 1e-6).collect()
    }
}

/// A plot under construction.
pub struct Plot {
    x: Axis,
    y: Axis,
    body: String,
    legend: Vec<(String, usize)>,
}

impl Plot {
    /// An empty plot.
    pub fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, body: String::new(), legend: Vec::new() }
    }

    fn px(&self, x: f64) -> f64 {
        LEFT + self.x.at(x) * WIDTH
    }

    fn py(&self, y: f64) -> f64 {
        TOP + (1.0 - self.y.at(y)) * HEIGHT
    }

    /// A line through points, in the colour of series `colour` (0 to 3); `name` goes into the legend.
    pub fn line(&mut self, points: &[(f64, f64)], colour: usize, name: &str) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", self.px(*x), self.py(*y))).collect();
        let _ = writeln!(self.body, "<polyline class=\"line s{colour}\" points=\"{}\"/>", path.join(" "));
        self.legend.push((name.into(), colour));
    }

    /// Points without a line between them.
    pub fn dots(&mut self, points: &[(f64, f64)], colour: usize, name: &str) {
        for (x, y) in points {
            let (x, y) = (self.px(*x), self.py(*y));
            let _ = writeln!(self.body, "<circle class=\"dot f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>");
        }
        self.legend.push((name.into(), colour));
    }

    /// Bars from edge to edge, each with the text a pointer shows.
    pub fn bars(&mut self, bars: &[(f64, f64, f64, String)], colour: usize) {
        for (from, to, value, what) in bars.iter().filter(|b| b.2 > 0.0) {
            let (left, right, top) = (self.px(*from), self.px(*to), self.py(*value));
            let (width, height) = ((right - left - 1.0).max(0.5), TOP + HEIGHT - top);
            let _ = writeln!(
                self.body,
                "<rect class=\"f{colour}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
                 height=\"{height:.1}\" rx=\"1\"><title>{}</title></rect>",
                escape(what)
            );
        }
    }

    /// A line from bottom to top with a word beside it: a fault, a phase.
    pub fn mark(&mut self, x: f64, word: &str) {
        let px = self.px(x);
        let _ = writeln!(
            self.body,
            "<line class=\"mark\" x1=\"{px:.1}\" y1=\"{TOP}\" x2=\"{px:.1}\" y2=\"{}\"/>\
             <text class=\"word\" transform=\"translate({:.1},{}) rotate(90)\">{}</text>",
            TOP + HEIGHT,
            px + 4.0,
            TOP + 8.0,
            escape(word)
        );
    }

    /// The picture.
    pub fn draw(&self, label: &str) -> String {
        let (bottom, right) = (TOP + HEIGHT, LEFT + WIDTH);
        let mut out = format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
            right + RIGHT,
            bottom + BOTTOM,
            escape(label)
        );
        for tick in self.y.ticks() {
            let y = self.py(tick);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                number(tick)
            );
        }
        for tick in self.x.ticks() {
            let x = self.px(tick);
            let _ = writeln!(
                out,
                "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 4.0,
                bottom + 18.0,
                number(tick)
            );
        }
        out += &self.body;
        let _ = writeln!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
             <text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text class=\"name\" transform=\"translate(14,{}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            LEFT + WIDTH / 2.0,
            bottom + 42.0,
            escape(&self.x.name),
            TOP + HEIGHT / 2.0,
            escape(&self.y.name)
        );
        out += "</svg>\n";
        // One series needs no legend: the title says what it is.
        if self.legend.len() > 1 {
            let entries = self
                .legend
                .iter()
                .map(|(name, colour)| format!("<span><i class=\"key k{colour}\"></i>{}</span>", escape(name)));
            out += &format!("<p class=\"legend\">{}</p>\n", entries.collect::<String>());
        }
        out
    }
}

/// Text that HTML shows as it is.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_name_round_values_within_their_span() {
        assert_eq!(Axis::linear("x", 0.0, 1.0).ticks(), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(Axis::linear("x", 0.0, 430.0).ticks(), [0.0, 100.0, 200.0, 300.0, 400.0]);
        assert_eq!(Axis::log("x", 1.0, 5_000.0).ticks(), [1.0, 10.0, 100.0, 1_000.0]);
        assert_eq!(Axis::linear("x", 3.0, 3.0).ticks().len(), 6, "an empty span is widened");
    }

    #[test]
    fn a_plot_has_its_axes_its_series_and_nothing_unescaped() {
        let mut plot = Plot::new(Axis::linear("time (s)", 0.0, 10.0), Axis::linear("share <1>", 0.0, 1.0));
        plot.line(&[(0.0, 0.0), (10.0, 1.0)], 0, "one");
        plot.dots(&[(5.0, 0.5)], 1, "two & three");
        plot.mark(2.0, "fail \"30 %\"");
        let svg = plot.draw("how <it> went");
        for part in [
            ">time (s)<",
            ">share &lt;1&gt;<",
            "points=\"64.0,254.0 624.0,14.0\"",
            "cx=\"344.0\" cy=\"134.0\"",
            "fail &quot;30 %&quot;",
            "two &amp; three",
            "aria-label=\"how &lt;it&gt; went\"",
        ] {
            assert!(svg.contains(part), "{part} is not in\n{svg}");
        }
    }
}
