//! The chart of a report: three groups of bars, drawn by hand.

use std::fmt::Write as _;

use crate::report::Report;

const WIDTH: f64 = 780.0;
const LABELS: f64 = 220.0;
const BARS: f64 = 380.0;
const ROW: f64 = 24.0;
const COLOURS: [(&str, &str); 3] = [
    ("client", "#2f6f8f"),
    ("database", "#d08c3a"),
    ("simulator", "#b8b8b8"),
];

/// One bar in parts, with words at its end.
struct Bar {
    label: String,
    parts: Vec<(f64, &'static str)>,
    words: String,
}

struct Group {
    title: &'static str,
    bars: Vec<Bar>,
    /// A line at this value.
    mark: Option<f64>,
}

pub(crate) fn draw(report: &Report) -> String {
    let groups = [cost_of_an_order(report), growth(report), ratios(report)];
    let mut body = String::new();
    let mut y = 30.0;
    legend(&mut body, y);
    for group in groups.iter().filter(|group| !group.bars.is_empty()) {
        y = draw_group(&mut body, group, y + 36.0);
    }
    let height = y + 16.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn cost_of_an_order(report: &Report) -> Group {
    let bars = report.throughput.iter().map(|cost| Bar {
        label: cost.name.clone(),
        parts: [cost.client_cpu, cost.database_cpu, cost.simulator_cpu]
            .into_iter()
            .zip(COLOURS)
            .map(|(cpu, (_, colour))| (cost.per_order(cpu), colour))
            .collect(),
        words: format!(
            "{:.0} µs, {:.0} orders/s",
            cost.per_order(cost.cpu()),
            cost.per_second()
        ),
    });
    Group {
        title: "Processor time for one whole order, µs",
        bars: bars.collect(),
        mark: None,
    }
}

fn growth(report: &Report) -> Group {
    let bars = report.growth.iter().map(|cost| Bar {
        label: format!("{} orders", entrypoints::display::count(cost.orders)),
        parts: vec![
            (cost.per_order(cost.client_cpu), COLOURS[0].1),
            (cost.per_order(cost.database_cpu), COLOURS[1].1),
        ],
        words: format!(
            "{:.0} µs, {:.0} MB",
            cost.per_order(cost.client_cpu + cost.database_cpu),
            cost.peak_mb
        ),
    });
    Group {
        title: "The same by the size of the shop, and the importer's memory",
        bars: bars.collect(),
        mark: None,
    }
}

fn ratios(report: &Report) -> Group {
    let bars = report.limits.iter().map(|kept| Bar {
        label: format!("{}, {}", kept.plan, kept.what),
        parts: vec![(kept.ratio(), "#4f8f5f")],
        words: format!("{:.3}, {} × 429", kept.ratio(), kept.throttled),
    });
    Group {
        title: "Time within Salla's limits ÷ the least time they allow (the line: 1.05)",
        bars: bars.collect(),
        mark: Some(1.05),
    }
}

fn legend(body: &mut String, y: f64) {
    for (index, (name, colour)) in COLOURS.into_iter().enumerate() {
        let x = LABELS + index as f64 * 110.0;
        let _ = writeln!(
            body,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\">{name}</text>",
            y - 10.0,
            x + 18.0
        );
    }
}

/// Returns where it ends.
fn draw_group(body: &mut String, group: &Group, top: f64) -> f64 {
    let length = |bar: &Bar| bar.parts.iter().map(|(value, _)| value).sum::<f64>();
    let longest = group.bars.iter().map(length).fold(0.0, f64::max);
    let scale = BARS / longest.max(f64::MIN_POSITIVE);
    let _ = writeln!(
        body,
        "<text x=\"12\" y=\"{top}\" font-weight=\"600\">{}</text>",
        group.title
    );
    let beyond_the_mark = group.mark.map_or(LABELS, |mark| LABELS + mark * scale);
    let mut y = top + 10.0;
    for bar in &group.bars {
        let middle = y + 13.0;
        let _ = writeln!(body, "<text x=\"12\" y=\"{middle}\">{}</text>", bar.label);
        let mut x = LABELS;
        for (value, colour) in &bar.parts {
            let width = value * scale;
            let _ = writeln!(
                body,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>"
            );
            x += width;
        }
        let _ = writeln!(
            body,
            "<text x=\"{:.1}\" y=\"{middle}\">{}</text>",
            x.max(beyond_the_mark) + 6.0,
            bar.words
        );
        y += ROW;
    }
    if let Some(mark) = group.mark {
        let x = LABELS + mark * scale;
        let _ = writeln!(
            body,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#a03030\"/>",
            top + 6.0
        );
    }
    y
}
