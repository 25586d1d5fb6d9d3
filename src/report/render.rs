//! Shows a report: as one HTML page, and as CSV (RFC 4180).
//!
//! Names come from outside – domains from recipients, mailings from the application – so nothing gets into the page
//! but through [`Page::text`], and the page forbids scripts to itself should that ever fail.

use std::fmt::Write;
use std::ops::Range;

use super::figures::{Figures, Row};
use super::query::Report;
use crate::time::Timestamp;

/// Rows of a table on the page: more than a person reads, few enough to open at once on a telephone.
const MAX_ROWS: usize = 100;

/// Everything about how the page looks.
const STYLE: &str = include_str!("page.css");

/// The width of a bar in its own units; it is stretched to the width of its cell.
const BAR: u64 = 1000;

/// The parts of a bar, in order, each with its class and its words.
const PARTS: [(&str, &str); 5] = [
    ("delivered", "Delivered"),
    ("failed", "Refused or given up"),
    ("bounced", "Returned"),
    ("open", "Not ended yet"),
    ("not-sent", "Not sent"),
];

/// The report as one page.
pub(super) fn html(report: &Report) -> String {
    let mut page = Page(String::with_capacity(32 * 1024));
    page.html(concat!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
        "<meta name=\"color-scheme\" content=\"light dark\">\n",
        "<title>Delivery report</title>\n<style>\n",
    ));
    page.html(STYLE);
    page.html("</style>\n</head>\n<body>\n<header>\n<h1>Delivery report</h1>\n");
    page.heading(&report.range, report.made_at);
    page.html("</header>\n<main>\n");
    page.summary(&report.summary);
    page.reasons(&report.by_reason);
    page.groups("Recipient domains", "Domain", "domains", &report.by_domain);
    page.groups("Mailings", "Mailing", "mailings", &report.by_mailing);
    page.html("</main>\n</body>\n</html>\n");
    page.0
}

/// All rows as CSV.
pub(super) fn csv(report: &Report) -> String {
    let mut csv = String::from("by,name,queued,delivered,failed,bounced,open,complained\r\n");
    csv_row(&mut csv, "total", "", &report.summary);
    for (by, rows) in [("reason", &report.by_reason), ("domain", &report.by_domain), ("mailing", &report.by_mailing)] {
        rows.iter().for_each(|row| csv_row(&mut csv, by, &row.name, row));
    }
    csv
}

fn csv_row(csv: &mut String, by: &str, name: &str, figures: &Figures) {
    csv.push_str(by);
    csv.push(',');
    csv_field(csv, name);
    for (_, figure) in figures.named() {
        let _ = write!(csv, ",{figure}");
    }
    csv.push_str("\r\n");
}

/// Quoted where it must be; a name that a spreadsheet would take for a formula becomes text.
fn csv_field(csv: &mut String, field: &str) {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !formula && !field.contains(['"', ',', '\r', '\n']) {
        return csv.push_str(field);
    }
    csv.push_str(if formula { "\"'" } else { "\"" });
    for c in field.chars() {
        csv.push(c);
        if c == '"' {
            csv.push(c);
        }
    }
    csv.push('"');
}

/// The page as it grows.
struct Page(String);

impl Page {
    /// Markup of ours.
    fn html(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Text from anywhere.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if c.is_control() => self.0.push(char::REPLACEMENT_CHARACTER),
                c => self.0.push(c),
            }
        }
    }

    /// A name from outside, kept apart from the direction of what stands around it.
    fn name(&mut self, name: &str) {
        self.html("<bdi>");
        self.text(name);
        self.html("</bdi>");
    }

    fn number(&mut self, number: u64) {
        let digits = number.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                self.0.push(',');
            }
            self.0.push(digit);
        }
    }

    fn rate(&mut self, rate: f64) {
        let percent = rate * 100.0;
        if percent > 0.0 && percent < 0.05 {
            self.html("under 0.1 %");
        } else {
            let _ = write!(self.0, "{percent:.1} %");
        }
    }

    fn time(&mut self, time: Timestamp) {
        // To the minute: `2025-01-01T00:00:00.000Z` without its seconds.
        let full = time.to_string();
        let minute = full.rsplit_once(':').map_or(full.as_str(), |(minute, _)| minute).replace('T', " ");
        let _ = write!(self.0, "<time datetime=\"{full}\">{minute} UTC</time>");
    }

    /// Which messages the page is about.
    fn heading(&mut self, range: &Range<Timestamp>, made_at: Timestamp) {
        self.html("<p>Messages queued ");
        if range.start > Timestamp::EPOCH {
            self.html("from ");
            self.time(range.start);
            self.html(" ");
        }
        self.html("until ");
        self.time(range.end.min(made_at));
        self.html("</p>\n<p class=\"soft\">Made at ");
        self.time(made_at);
        self.html(". One message to one recipient counts as one.</p>\n");
    }

    fn summary(&mut self, figures: &Figures) {
        self.html("<dl>\n");
        self.tile("", "Queued", figures.queued, None, "");
        self.tile("delivered", "Delivered", figures.delivered, figures.delivery_rate(), "of those decided");
        self.tile("failed", "Refused or given up", figures.failed, figures.failure_rate(), "of those decided");
        self.tile("bounced", "Returned", figures.bounced, figures.bounce_rate(), "of those decided");
        self.tile("open", "Not ended yet", figures.open, None, "");
        if figures.not_sent() > 0 {
            self.tile("not-sent", "Not sent", figures.not_sent(), None, "");
        }
        self.tile("", "Complaints", figures.complained, figures.complaint_rate(), "of those accepted");
        self.html("</dl>\n");
        if figures.queued == 0 {
            return self.html("<p>No message was queued in this time.</p>\n");
        }
        self.bar("whole", &parts(figures), figures.queued);
        self.html(
            "<p class=\"soft\">Delivered means that a remote host accepted it and nothing came back so far.</p>\n",
        );
    }

    fn tile(&mut self, class: &str, words: &str, figure: u64, rate: Option<f64>, of: &str) {
        let _ = write!(self.0, "<div class=\"{class}\"><dt>{words}</dt><dd>");
        self.number(figure);
        if let Some(rate) = rate {
            self.html("<small>");
            self.rate(rate);
            let _ = write!(self.0, " {of}</small>");
        }
        self.html("</dd></div>\n");
    }

    /// A stacked bar; `whole` is what its full width stands for.
    fn bar(&mut self, class: &str, parts: &[u64; 5], whole: u64) {
        let words = PARTS.iter().zip(parts).filter(|(_, part)| **part > 0);
        let words: Vec<String> = words.map(|((_, words), part)| format!("{words}: {part}")).collect();
        let _ = write!(
            self.0,
            "<svg class=\"{class}\" viewBox=\"0 0 {BAR} 8\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            words.join(", ")
        );
        let (mut before, mut left) = (0u64, 0);
        for ((class, _), part) in PARTS.iter().zip(parts) {
            before = before.saturating_add(*part);
            // Anything at all is at least one unit wide, so that it can be seen.
            let right = scaled(before, whole).max(if *part > 0 { left + 1 } else { left }).min(BAR);
            if right > left {
                let _ = write!(
                    self.0,
                    "<rect class=\"{class}\" x=\"{left}\" y=\"0\" width=\"{}\" height=\"8\"/>",
                    right - left
                );
            }
            left = right;
        }
        self.html("</svg>");
    }

    fn reasons(&mut self, rows: &[Row]) {
        self.html("<section>\n<h2>Why messages failed</h2>\n");
        if rows.is_empty() {
            return self.html("<p>None failed, and none came back.</p>\n</section>\n");
        }
        let lost = |row: &Row| row.failed.saturating_add(row.bounced);
        let most = rows.iter().map(lost).max().unwrap_or(0);
        self.table("Reason", &["Refused", "Returned", "Together"]);
        for row in rows.iter().take(MAX_ROWS) {
            self.html("<tr><th scope=\"row\">");
            self.name(&row.name.replace('_', " "));
            self.bar("", &[0, row.failed, row.bounced, 0, 0], most);
            self.html("</th>");
            self.cells(&[("Refused", row.failed), ("Returned", row.bounced), ("Together", lost(row))]);
        }
        self.html("</tbody>\n</table>\n</section>\n");
    }

    fn groups(&mut self, title: &str, column: &str, plural: &str, rows: &[Row]) {
        let _ = write!(self.0, "<section>\n<h2>{title}</h2>\n");
        if rows.is_empty() {
            return self.html("<p>None.</p>\n</section>\n");
        }
        let most = rows.iter().map(|row| row.queued).max().unwrap_or(0);
        self.table(column, &["Queued", "Delivered", "Refused", "Returned", "Open", "Complaints"]);
        let (shown, rest) = rows.split_at(rows.len().min(MAX_ROWS));
        for row in shown {
            self.html("<tr><th scope=\"row\">");
            if row.name.is_empty() {
                self.html("<i>without a name</i>");
            } else {
                self.name(&row.name);
            }
            self.bar("", &parts(row), most);
            self.html("</th>");
            self.figures(row);
        }
        if !rest.is_empty() {
            self.html("<tr><th scope=\"row\"><i>");
            self.number(rest.len() as u64);
            let _ = write!(self.0, " more {plural}</i></th>");
            self.figures(&rest.iter().fold(Figures::default(), |sum, row| sum.plus(row)));
        }
        self.html("</tbody>\n</table>\n</section>\n");
    }

    /// Opens a table up to its body.
    fn table(&mut self, first: &str, columns: &[&str]) {
        let _ = write!(self.0, "<table>\n<thead><tr><th scope=\"col\">{first}</th>");
        for column in columns {
            let _ = write!(self.0, "<th scope=\"col\">{column}</th>");
        }
        self.html("</tr></thead>\n<tbody>\n");
    }

    fn figures(&mut self, figures: &Figures) {
        self.cells(&[
            ("Queued", figures.queued),
            ("Delivered", figures.delivered),
            ("Refused", figures.failed),
            ("Returned", figures.bounced),
            ("Open", figures.open),
            ("Complaints", figures.complained),
        ]);
    }

    /// The cells of a row, and its end.
    fn cells(&mut self, cells: &[(&str, u64)]) {
        for (name, figure) in cells {
            let class = if *figure == 0 { " class=\"zero\"" } else { "" };
            let _ = write!(self.0, "<td data-name=\"{name}\"{class}>");
            self.number(*figure);
            self.html("</td>");
        }
        self.html("</tr>\n");
    }
}

/// The parts of a bar, as in [`PARTS`].
fn parts(figures: &Figures) -> [u64; 5] {
    [figures.delivered, figures.failed, figures.bounced, figures.open, figures.not_sent()]
}

/// `part` of `whole` in units of a bar.
fn scaled(part: u64, whole: u64) -> u64 {
    let units = u128::from(part) * u128::from(BAR) / u128::from(whole.max(1));
    u64::try_from(units).unwrap_or(BAR)
}

#[cfg(test)]
mod tests;
