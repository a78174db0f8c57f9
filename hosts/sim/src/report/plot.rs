//! Plots as SVG, drawn by `plotters`: axes with names and units, and a legend below.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::run::number;

/// A plot with its axes, in pixels.
const SIZE: (u32, u32) = (640, 306);
/// Of each series. The page's style replaces them in a dark theme, and grey and black too.
const COLOURS: [RGBColor; 3] = [RGBColor(37, 99, 201), RGBColor(194, 65, 12), RGBColor(15, 118, 110)];
const GREY: RGBColor = RGBColor(128, 128, 128);
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// How an axis divides its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Evenly, from the least value.
    Linear,
    /// By decades.
    Log,
}

/// An axis: its name with its unit, and what it spans.
#[derive(Clone, Debug)]
pub struct Axis {
    name: String,
    low: f64,
    high: f64,
    scale: Scale,
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
}

enum Shape {
    Line(Vec<(f64, f64)>),
    Dots(Vec<(f64, f64)>),
    /// From, to, value.
    Bars(Vec<(f64, f64, f64)>),
}

/// A plot under construction.
pub struct Plot {
    x: Axis,
    /// Always even.
    y: Axis,
    /// Each with the number of its colour.
    shapes: Vec<(Shape, usize)>,
    marks: Vec<(f64, String)>,
    legend: Vec<(String, usize)>,
}

impl Plot {
    /// An empty plot.
    pub fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, shapes: Vec::new(), marks: Vec::new(), legend: Vec::new() }
    }

    /// A line through points, in the colour of series `colour` (0 to 2); `name` goes into the legend.
    pub fn line(&mut self, points: &[(f64, f64)], colour: usize, name: &str) {
        self.shapes.push((Shape::Line(points.to_vec()), colour));
        self.legend.push((name.into(), colour));
    }

    /// Points without a line between them.
    pub fn dots(&mut self, points: &[(f64, f64)], colour: usize, name: &str) {
        self.shapes.push((Shape::Dots(points.to_vec()), colour));
        self.legend.push((name.into(), colour));
    }

    /// Bars from edge to edge: from, to, value.
    pub fn bars(&mut self, bars: &[(f64, f64, f64)], colour: usize) {
        self.shapes.push((Shape::Bars(bars.to_vec()), colour));
    }

    /// A line from bottom to top with a word beside it: a fault, a phase.
    pub fn mark(&mut self, x: f64, word: &str) {
        self.marks.push((x, word.into()));
    }

    /// The picture; `label` says to a screen reader what it shows.
    pub fn draw(&self, label: &str) -> String {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            match self.x.scale {
                Scale::Linear => self.draw_on(&area, self.x.low..self.x.high),
                Scale::Log => self.draw_on(&area, (self.x.low..self.x.high).log_scale()),
            }
            .expect("a text takes all that is drawn");
        }
        // Within a page the name space is implied.
        let start = format!("<svg role=\"img\" aria-label=\"{}\" ", escape(label));
        let mut out = svg.replacen("<svg ", &start, 1).replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
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

    fn draw_on<'a, X>(&self, area: &Area<'a>, x: X) -> Drawn<'a>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let (low, high) = (self.y.low, self.y.high);
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(x, low..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GREY.mix(0.3))
            .axis_style(GREY)
            .x_desc(self.x.name.as_str())
            .y_desc(self.y.name.as_str())
            .x_label_formatter(&|value| number(*value))
            .y_label_formatter(&|value| number(*value))
            .label_style((FONT, 12))
            .axis_desc_style((FONT, 13))
            .draw()?;
        for (at, word) in &self.marks {
            chart.draw_series([PathElement::new([(*at, low), (*at, high)], GREY)])?;
            let font = (FONT, 11).into_font().color(&GREY).transform(FontTransform::Rotate90);
            chart.draw_series([Text::new(word.clone(), (*at, high), font)])?;
        }
        for (shape, colour) in &self.shapes {
            let colour = COLOURS[*colour];
            match shape {
                Shape::Line(points) => {
                    chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
                }
                Shape::Dots(points) => {
                    chart.draw_series(points.iter().map(|at| Circle::new(*at, 2, colour.filled())))?;
                }
                Shape::Bars(bars) => {
                    let bars = bars.iter().filter(|(.., value)| *value > 0.0);
                    chart.draw_series(
                        bars.map(|(from, to, value)| Rectangle::new([(*from, low), (*to, *value)], colour.filled())),
                    )?;
                }
            }
        }
        area.present()
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
    fn a_plot_has_its_axes_its_series_and_nothing_unescaped() {
        for x in [Axis::linear("time (s)", 0.0, 10.0), Axis::log("time (s)", 0.1, 10.0)] {
            let mut plot = Plot::new(x, Axis::linear("share <1>", 0.0, 1.0));
            plot.line(&[(1.0, 0.0), (10.0, 1.0)], 0, "one");
            plot.dots(&[(5.0, 0.5)], 1, "two & three");
            plot.bars(&[(1.0, 2.0, 0.5), (2.0, 3.0, 0.0)], 2);
            plot.mark(2.0, "fail <30 %>");
            let svg = plot.draw("how <it> went");
            for part in [
                ">\ntime (s)\n<",
                ">\nshare &lt;1&gt;\n<",
                "fail &lt;30 %&gt;",
                "two &amp; three",
                "aria-label=\"how &lt;it&gt; went\"",
            ] {
                assert!(svg.contains(part), "{part} is not in\n{svg}");
            }
            assert_eq!(svg.matches("<circle").count(), 1);
            assert_eq!(svg.matches("fill=\"#0F766E\"").count(), 1, "a bar of height 0 is none");
            assert_eq!(svg.matches("stroke=\"#2563C9\"").count(), 1);
            assert!(!svg.contains("http"));
        }
    }

    #[test]
    fn a_span_of_nothing_is_widened() {
        assert!(Plot::new(Axis::linear("x", 3.0, 3.0), Axis::linear("y", 0.0, 0.0)).draw("").contains("<svg"));
        assert!(Plot::new(Axis::log("x", 1.0, 1.0), Axis::linear("y", 0.0, 1.0)).draw("").contains("<svg"));
    }
}
