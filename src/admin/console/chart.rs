//! Charts as SVG: drawn here, so that they need no script, and told in words beside.

use maud::{Markup, html};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 48.0;
const BOTTOM: f64 = 24.0;

/// One value a day: its name, and how many.
pub(super) type Point = (String, u64);

/// A line that falls, or does not.
pub(super) fn line(title: &str, points: &[Point]) -> Markup {
    let most = most(points);
    let path = points.iter().enumerate().map(|(place, (_, value))| {
        let word = if place == 0 { 'M' } else { 'L' };
        format!(
            "{word}{:.1} {:.1}",
            across(place, points.len()),
            up(*value, most)
        )
    });
    let path = path.collect::<Vec<_>>().join(" ");
    let last = points.len().saturating_sub(1);
    let area = format!(
        "{path} L{:.1} {:.1} L{LEFT} {:.1} Z",
        across(last, points.len()),
        up(0, most),
        up(0, most)
    );
    frame(
        title,
        points,
        &html! {
            path.area d=(area) {}
            path.line d=(path) {}
            @if let [(_, value)] = points { circle.dot cx=(across(0, 1)) cy=(up(*value, most)) r="4" {} }
        },
    )
}

/// A bar for each.
pub(super) fn bars(title: &str, points: &[Point]) -> Markup {
    let most = most(points);
    // A few are no wider than those of a month.
    let wide = (WIDTH - LEFT) / float(points.len().max(30));
    frame(
        title,
        points,
        &html! {
            @for (place, (name, value)) in points.iter().enumerate() {
                @let top = up(*value, most);
                rect.bar x=(format!("{:.1}", LEFT + wide * float(place) + 1.0)) y=(format!("{top:.1}"))
                    width=(format!("{:.1}", (wide - 2.0).max(1.0)))
                    height=(format!("{:.1}", HEIGHT - BOTTOM - top)) {
                    title { (name) ": " (super::layout::number(*value)) }
                }
            }
        },
    )
}

fn frame(title: &str, points: &[Point], drawn: &Markup) -> Markup {
    let most = most(points);
    let (first, last) = (points.first(), points.last());
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
                title { (title) }
                @for part in [0, most / 2, most] {
                    @let y = format!("{:.1}", up(part, most));
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(y) y2=(y) {}
                    text x=(LEFT - 6.0) y=(y) text-anchor="end" dominant-baseline="middle" { (super::layout::number(part)) }
                }
                (drawn)
                @if let (Some((first, _)), Some((last, _))) = (first, last) {
                    text x=(LEFT) y=(HEIGHT - 6.0) { (first) }
                    text x=(WIDTH) y=(HEIGHT - 6.0) text-anchor="end" { (last) }
                }
            }
            details {
                summary { "As a table" }
                table {
                    caption { (title) }
                    thead { tr { th scope="col" { "Day" } th scope="col" { "Number" } } }
                    tbody {
                        @for (name, value) in points {
                            tr { th scope="row" { (name) } td.number { (super::layout::number(*value)) } }
                        }
                    }
                }
            }
        }
    }
}

fn most(points: &[Point]) -> u64 {
    points
        .iter()
        .map(|(_, value)| *value)
        .max()
        .unwrap_or(0)
        .max(1)
}

fn across(place: usize, of: usize) -> f64 {
    LEFT + (WIDTH - LEFT) * float(place) / float(of.saturating_sub(1).max(1))
}

fn up(value: u64, most: u64) -> f64 {
    let share = float(usize::try_from(value).unwrap_or(usize::MAX))
        / float(usize::try_from(most).unwrap_or(usize::MAX));
    8.0 + (HEIGHT - BOTTOM - 8.0) * (1.0 - share)
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
