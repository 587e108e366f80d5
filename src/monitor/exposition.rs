//! Metrics as text, in version 0.0.4 of Prometheus's format.
//!
//! The known libraries do not fit: one has no summaries, the other adds endings to the names of counters; and
//! Felix's names and types are what dashboards and alarms rely on.

use std::fmt::Write as _;
use std::time::Instant;

use super::summary::{Histogram, Summary};

/// The value of the header `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels with their values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page of metrics that grows.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// Adds a gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// Adds a counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], number(value));
    }

    /// Begins a family whose samples follow.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample of the family that was begun last.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", printed(value));
    }

    /// Adds a summary.
    pub(super) fn summary(&mut self, name: &str, help: &str, summary: &Summary, now: Instant) {
        self.family(name, "summary", help);
        for (quantile, value) in summary.quantiles(now) {
            self.sample(name, &[("quantile", quantile)], value);
        }
        self.sample(&format!("{name}_sum"), &[], summary.sum());
        self.sample(&format!("{name}_count"), &[], number(summary.count()));
    }

    /// Adds a histogram.
    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.buckets() {
            self.sample(&bucket, &[("le", &printed(bound))], number(count));
        }
        self.sample(&bucket, &[("le", "+Inf")], number(histogram.count()));
        self.sample(&format!("{name}_sum"), &[], histogram.sum());
        self.sample(&format!("{name}_count"), &[], number(histogram.count()));
    }

    /// Returns the page.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Returns a count as a metric's value.
#[expect(
    clippy::cast_precision_loss,
    reason = "a metric is a float, exact up to 2^53"
)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// Prints a value as the format spells it.
fn printed(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_the_format_says() {
        let mut page = Page::default();
        page.gauge("g", "A gauge.", 1.5);
        page.counter("c", "A counter.", 3);
        page.family("l", "gauge", "With labels.");
        page.sample("l", &[("a", "x\"\\\n"), ("b", "")], f64::INFINITY);
        let now = Instant::now();
        let mut summary = Summary::default();
        page.summary("s", "A summary.", &summary, now);
        summary.observe(now, 2.0);
        page.summary("t", "Another.", &summary, now);
        assert_eq!(
            page.into_text(),
            "# HELP g A gauge.\n# TYPE g gauge\ng 1.5\n\
             # HELP c A counter.\n# TYPE c counter\nc 3\n\
             # HELP l With labels.\n# TYPE l gauge\nl{a=\"x\\\"\\\\\\n\",b=\"\"} +Inf\n\
             # HELP s A summary.\n# TYPE s summary\ns{quantile=\"0.5\"} NaN\n\
             s{quantile=\"0.9\"} NaN\ns{quantile=\"0.99\"} NaN\ns_sum 0\ns_count 0\n\
             # HELP t Another.\n# TYPE t summary\nt{quantile=\"0.5\"} 2\n\
             t{quantile=\"0.9\"} 2\nt{quantile=\"0.99\"} 2\nt_sum 2\nt_count 1\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_everything() {
        let mut histogram = Histogram::default();
        histogram.observe(0.3);
        let mut page = Page::default();
        page.histogram("h", "A histogram.", &histogram);
        let text = page.into_text();
        assert!(
            text.contains("\nh_bucket{le=\"0.2\"} 0\nh_bucket{le=\"0.5\"} 1\n"),
            "{text}"
        );
        assert!(
            text.ends_with("h_bucket{le=\"+Inf\"} 1\nh_sum 0.3\nh_count 1\n"),
            "{text}"
        );
    }
}
