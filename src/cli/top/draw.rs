//! `weir top` on the screen.
//!
//! The selection is reversed and has a mark, bad news has a sign: without colour nothing is lost. Narrow screens show fewer
//! columns; what the columns leave is for the curves.

use std::{collections::VecDeque, time::Duration};

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::model::{History, Mode, Top};
use crate::{
    admin::api::types::{Route, RouteBackend},
    cli::output::{self, Look},
};

/// A column: its heading, its width, and from which width of the screen it is shown.
struct Column {
    heading: &'static str,
    width: u16,
    from: u16,
    right: bool,
}

const fn number(heading: &'static str, width: u16, from: u16) -> Column {
    Column { heading, width, from, right: true }
}

const COLUMNS: [Column; 11] = [
    Column { heading: "ROUTE", width: 12, from: 0, right: false },
    Column { heading: "BACKEND", width: 10, from: 0, right: false },
    number("TARGET", 7, 0),
    number("OBSERVED", 8, 50),
    number("HEALTH", 7, 58),
    number("RPS", 6, 36),
    number("ERR%", 6, 42),
    number("P50", 6, 110),
    number("P95", 6, 100),
    number("P99", 6, 66),
    Column { heading: "RPS, CURVE", width: 0, from: 76, right: false },
];

/// Rows of the screen below the table.
const DETAIL: u16 = 4;
const HELP: &str = "\
 up, down, page up, page down, home, end   select a backend of a route
 +  -     another share for the selected backend; the line at the bottom says
          which part of the users would move, y or Enter applies, Esc does not
 k        kill switch: everything on the route to its baseline, after y
 u        kill switch off: the weights decide again, after y
 ?        this help; any key leaves it
 q        quit

 TARGET is the share of new users by the weights, OBSERVED the share of requests
 in the last seconds. Nothing is changed before you say yes.";

/// Draws everything, at `now` since the Unix epoch.
pub(super) fn draw(frame: &mut Frame<'_>, top: &mut Top, look: Look, now: Duration) {
    let detail = if frame.area().height >= 16 { DETAIL } else { 0 };
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(detail),
        Constraint::Length(1),
        Constraint::Length(1),
    ]);
    let [head, body, curves, line, keys] = areas.areas(frame.area());
    frame.render_widget(banner(top, look, now), head);
    if top.mode == Mode::Help {
        frame.render_widget(Paragraph::new(HELP), body);
    } else {
        table(frame, body, top, look);
        if detail > 0 {
            frame.render_widget(detail_of(top, look, curves), curves);
        }
    }
    frame.render_widget(status_line(top, look), line);
    let dim = Style::new().add_modifier(Modifier::DIM);
    let hints = " q quit  ? help  ↑↓ select  + - share  k kill switch  u unkill";
    let hints = if look.unicode { hints.to_owned() } else { hints.replace("↑↓", "up/down") };
    frame.render_widget(Line::styled(hints, dim), keys);
}

fn banner<'a>(top: &Top, look: Look, now: Duration) -> Line<'a> {
    if let Some((since, why)) = &top.gone {
        let age = output::age(now.saturating_sub(*since));
        let text = format!(" {} STALE for {age}, trying again: {why}", look.mark(false));
        return Line::styled(output::clean(&text), tone(look, false).add_modifier(Modifier::REVERSED));
    }
    let status = &top.status;
    let uptime = output::age(Duration::try_from_secs_f64(status.uptime_seconds).unwrap_or_default());
    let origin = &status.changed.origin;
    let by = format!("{}, {}", origin.channel.as_str(), output::clean(&origin.actor));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut spans = vec![
        Span::styled(format!(" weir {}", status.version), bold),
        Span::raw(format!(" up {uptime}  rev {} ({by})  file: ", status.revision.0)),
    ];
    spans.push(match (status.last_reload.ok, status.file.drifted) {
        (false, _) => Span::styled("REFUSED, the last good one runs", tone(look, false)),
        (true, true) => Span::styled("DRIFTED", bold),
        (true, false) => Span::raw("in force"),
    });
    Line::from(spans)
}

fn table(frame: &mut Frame<'_>, area: Rect, top: &mut Top, look: Look) {
    let shown: Vec<&Column> = COLUMNS.iter().filter(|column| column.from <= area.width).collect();
    let taken: u16 = shown.iter().map(|column| column.width + 1).sum::<u16>() + 2;
    let curve = area.width.saturating_sub(taken);
    // Long names get a part of what is left, and the curve the rest.
    let longest = |name: fn(&Route, &RouteBackend) -> usize, least: u16| {
        let longest = top.rows().map(|(route, backend)| name(route, backend)).max().unwrap_or(0);
        u16::try_from(longest).unwrap_or(u16::MAX).clamp(least, 24)
    };
    // A killed route has a mark before its name.
    let route_width =
        longest(|route, _| route.name.as_str().len() + usize::from(route.kill_switch.is_some()) * 3, 5);
    let backend_width = longest(|_, backend| backend.name.as_str().len(), 7);
    let spare = i32::from(curve) + 22 - i32::from(route_width) - i32::from(backend_width);
    let curve = u16::try_from(spare.max(0)).unwrap_or(0);
    let widths = shown.iter().map(|column| match column.heading {
        "ROUTE" => Constraint::Length(route_width),
        "BACKEND" => Constraint::Length(backend_width),
        _ if column.width == 0 => Constraint::Length(curve),
        _ => Constraint::Length(column.width),
    });
    let heading = shown.iter().map(|column| aligned(column, column.heading.to_owned(), Style::new()));
    let heading = Row::new(heading.collect::<Vec<_>>()).style(Style::new().add_modifier(Modifier::BOLD));
    let stale = if top.gone.is_some() { Modifier::DIM } else { Modifier::empty() };
    let mut above = None;
    let rows: Vec<Row<'_>> = top
        .rows()
        .map(|(route, backend)| {
            let first = above != Some(&route.name);
            above = Some(&route.name);
            let history = top.history(&route.name, &backend.name);
            let cells = shown.iter().map(|column| {
                let (text, style) = cell(column.heading, (route, backend, first), (history, curve), look);
                aligned(column, text, style)
            });
            Row::new(cells.collect::<Vec<_>>()).style(Style::new().add_modifier(stale))
        })
        .collect();
    let mark = if look.unicode { "▸ " } else { "> " };
    let widget = Table::new(rows, widths)
        .header(heading)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol(mark);
    let mut state = top.table;
    frame.render_stateful_widget(widget, area, &mut state);
    top.table = state;
}

fn aligned<'a>(column: &Column, text: String, style: Style) -> Cell<'a> {
    let alignment = if column.right { Alignment::Right } else { Alignment::Left };
    Cell::from(Text::from(text).alignment(alignment)).style(style)
}

fn cell(
    heading: &str,
    (route, backend, first): (&Route, &RouteBackend, bool),
    (history, width): (Option<&History>, u16),
    look: Look,
) -> (String, Style) {
    let traffic = &backend.traffic;
    let killed = route.kill_switch.as_ref();
    let plain = |text: String| (text, Style::new());
    match heading {
        "ROUTE" if !first => plain(String::new()),
        "ROUTE" if killed.is_some() => (format!("{} {}", look.mark(false), route.name), tone(look, false)),
        "ROUTE" => plain(route.name.to_string()),
        "BACKEND" => plain(backend.name.to_string()),
        "TARGET" => match killed {
            Some(taker) if *taker == backend.name => ("KILL".to_owned(), tone(look, false)),
            Some(_) => ("cut off".to_owned(), tone(look, false)),
            None => plain(output::percent(backend.target_ratio)),
        },
        "OBSERVED" => plain(output::or_dash(traffic.observed_ratio, output::percent)),
        "HEALTH" => {
            let healthy = backend.healthy > 0;
            let text = format!("{}/{} {}", backend.healthy, backend.endpoints, look.mark(healthy));
            (text, tone(look, healthy))
        }
        "RPS" => plain(output::rate(traffic.requests_per_second)),
        "ERR%" => {
            let text = output::or_dash(traffic.error_ratio, |ratio| format!("{:.2}", ratio * 100.0));
            if traffic.errors > 0 { (text, tone(look, false)) } else { plain(text) }
        }
        "P50" => plain(output::or_dash(traffic.p50_seconds, output::latency)),
        "P95" => plain(output::or_dash(traffic.p95_seconds, output::latency)),
        "P99" => plain(output::or_dash(traffic.p99_seconds, output::latency)),
        _ => plain(history.map_or_else(String::new, |history| curve(&history.rate, width.into(), look))),
    }
}

/// The curves of the selected backend.
fn detail_of<'a>(top: &Top, look: Look, area: Rect) -> Paragraph<'a> {
    let Some((route, backend)) = top.selected() else { return Paragraph::new(" no routes with backends") };
    let Some(history) = top.history(&route.name, &backend.name) else { return Paragraph::default() };
    let width = usize::from(area.width.saturating_sub(20));
    let last = |series: &VecDeque<f64>| series.back().copied().unwrap_or_default();
    let line = |name: &str, value: String, series| {
        Line::raw(format!(" {name:<5} {value:>10}  {}", curve(series, width, look)))
    };
    let title = format!(" {} / {}: the last two minutes", route.name, backend.name);
    Paragraph::new(vec![
        Line::styled(title, Style::new().add_modifier(Modifier::BOLD)),
        line("RPS", output::rate(last(&history.rate)), &history.rate),
        line("ERR", output::percent(last(&history.errors)), &history.errors),
        line("P99", output::latency(last(&history.p99)), &history.p99),
    ])
}

/// What waits for an answer, or what became of the last one.
fn status_line<'a>(top: &Top, look: Look) -> Line<'a> {
    let ask = Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED);
    let arrow = if look.unicode { "→" } else { "->" };
    match &top.mode {
        Mode::Weight { proposal, preview } => {
            let shares = [proposal.before, proposal.share].map(|share| output::percent(share / 100.0));
            let change =
                format!(" {} / {}: {} {arrow} {}", proposal.route, proposal.backend, shares[0], shares[1]);
            match preview {
                None => Line::styled(format!("{change}   asking who would move"), ask),
                Some(Ok(moved)) => {
                    let moved = output::percent(*moved);
                    Line::styled(format!("{change}, {moved} of users move   y apply   Esc leave "), ask)
                }
                Some(Err(text)) => {
                    Line::styled(format!("{change}   {} {text}", look.mark(false)), tone(look, false))
                }
            }
        }
        Mode::Switch { route, on: true } => Line::styled(
            format!(" KILL SWITCH: everything on {route} to its baseline   y yes, any other key no "),
            ask,
        ),
        Mode::Switch { route, on: false } => Line::styled(
            format!(" kill switch of {route} off: the weights decide   y yes, any other key no "),
            ask,
        ),
        Mode::Browse | Mode::Help => match &top.message {
            Some((good, text)) => {
                Line::styled(output::clean(&format!(" {} {text}", look.mark(*good))), tone(look, *good))
            }
            None => Line::default(),
        },
    }
}

fn tone(look: Look, good: bool) -> Style {
    match (look.colour, good) {
        (false, _) => Style::new(),
        (true, true) => Style::new().fg(Color::Green),
        (true, false) => Style::new().fg(Color::Red),
    }
}

/// The newest values of a series as a row of bars, the highest one full.
pub(super) fn curve(series: &VecDeque<f64>, width: usize, look: Look) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 9] = [' ', '.', '.', ':', '-', '=', '+', '*', '#'];
    let bars = if look.unicode { BARS } else { ASCII };
    let newest = series.iter().skip(series.len().saturating_sub(width));
    let highest = newest.clone().copied().fold(0.0, f64::max);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8")]
    let bar = |value: &f64| match (*value > 0.0, (value / highest * 8.0).round() as usize) {
        (false, _) => bars[0],
        // Little is not nothing.
        (true, step) => bars[step.clamp(1, 8)],
    };
    newest.map(bar).collect()
}
