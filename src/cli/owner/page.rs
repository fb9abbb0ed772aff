//! The report as one page for people: no script, nothing from elsewhere, and every text escaped.

use std::fmt::Write as _;

use crate::formats::report::{Count, Report, Verdict};

/// What the page may do: nothing but look as it does.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}\
h1{margin-bottom:0}h2{margin-top:2rem;border-bottom:1px solid #bbb}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #e4e4e4}\
.verdict{font-size:1.3rem;padding:.6rem 1rem;border-left:.5rem solid}.enforced{border-color:#1a7f37;background:#eaf6ec}\
.waiting{border-color:#9a6700;background:#fff8e0}.failed,.not_revoked{border-color:#b42318;background:#fdecea}\
pre{white-space:pre-wrap;word-break:break-all;font-size:.75rem;background:#f4f4f4;padding:1rem}@media print{body{margin:0}}";

/// The page.
pub(in crate::cli) fn of(report: &Report, signed: &str) -> String {
    let mut page = Page(String::new());
    let id = escape(&report.owner.id);
    page.raw(&format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Offboarding report: {id}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Offboarding report: {id}</h1>\n"
    ));
    page.raw(&format!("<p>Made by {} from the ledger up to position {}.</p>\n", escape(&report.iss), report.pos));
    page.verdict(report);
    page.owner(report);
    page.revocation(report);
    page.counts("What was ever issued under the owner before the revocation", &report.issued.before);
    page.downstreams(report);
    page.others(report);
    page.evidence(report, signed);
    page.raw("</body>\n</html>\n");
    page.0
}

struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn heading(&mut self, text: &str) {
        // A string takes all.
        let _ = writeln!(self.0, "<h2>{}</h2>", escape(text));
    }

    fn facts(&mut self, facts: &[(&str, Option<&str>)]) {
        self.raw("<table>\n");
        for (name, value) in facts {
            let _ = writeln!(self.0, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value.unwrap_or("-")));
        }
        self.raw("</table>\n");
    }

    fn rows(&mut self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let cells = |cells: &mut dyn Iterator<Item = String>, tag: &str| -> String {
            cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(&cell))).collect()
        };
        self.raw(&format!("<table>\n<tr>{}</tr>\n", cells(&mut head.iter().map(|head| (*head).to_owned()), "th")));
        for row in rows {
            self.raw(&format!("<tr>{}</tr>\n", cells(&mut row.into_iter(), "td")));
        }
        self.raw("</table>\n");
    }

    fn verdict(&mut self, report: &Report) {
        let word = match report.verdict {
            Verdict::Enforced => "Enforced: nothing that was revoked is accepted anywhere",
            Verdict::Waiting => "Waiting: something that was revoked may still be accepted",
            Verdict::Failed => "Failed",
            Verdict::NotRevoked => "Not revoked",
        };
        let _ = writeln!(self.0, "<p class=\"verdict {}\"><strong>{word}.</strong> {}</p>", report.verdict.as_str(), escape(&report.why));
        if let Some(last) = &report.last_moment {
            let _ = writeln!(
                self.0,
                "<p>Last moment at which anything could be accepted: <strong>{}</strong>, at {}.</p>",
                escape(&last.at),
                escape(&last.downstream)
            );
        }
    }

    fn owner(&mut self, report: &Report) {
        let owner = &report.owner;
        self.heading("Owner");
        self.facts(&[
            ("Id", Some(&owner.id)),
            ("Kind", Some(&owner.kind)),
            ("Answers for the purpose", Some(&owner.business_owner)),
            ("Answers for the running", Some(&owner.technical_owner)),
            ("Contract ends", owner.contract_end.as_deref()),
            ("Standing", Some(&owner.standing)),
        ]);
    }

    fn revocation(&mut self, report: &Report) {
        let Some(revocation) = &report.revocation else { return };
        self.heading("Revocation");
        let position = revocation.position.to_string();
        self.facts(&[
            ("Position in the ledger", Some(&position)),
            ("Committed", Some(&revocation.committed_at)),
            ("Published", revocation.published_at.as_deref()),
            ("Requested by", revocation.requested_by.as_deref()),
            ("Reason", Some(&revocation.reason)),
            ("Note", revocation.note.as_deref()),
            ("Closes by", Some(&revocation.closing)),
        ]);
        self.counts("What was alive, and ended", &revocation.ended);
    }

    fn counts(&mut self, heading: &str, counts: &[Count]) {
        self.heading(heading);
        if counts.is_empty() {
            return self.raw("<p>Nothing.</p>\n");
        }
        let row = |count: &Count| vec![count.kind.clone(), count.environment.clone(), count.count.to_string()];
        self.rows(&["Kind", "Environment", "How many"], counts.iter().map(row));
    }

    fn downstreams(&mut self, report: &Report) {
        self.heading("Where it was accepted");
        if report.downstreams.is_empty() {
            return self.raw("<p>Nowhere.</p>\n");
        }
        let rows = report.downstreams.iter().map(|at| {
            let confirmed = at.confirmed.as_ref().map_or_else(
                || "-".to_owned(),
                |confirmed| format!("up to {} at {}, by {} processes", confirmed.position, confirmed.at, confirmed.processes),
            );
            vec![
                at.name.clone().unwrap_or_else(|| "no downstream of the registry".to_owned()),
                at.kind.clone(),
                at.living.to_string(),
                at.state.clone(),
                at.at.clone(),
                confirmed,
                at.waiting_for.join(", "),
            ]
        });
        self.rows(&["Downstream", "Checks by", "Alive", "State", "Since, or at the latest", "Confirmed", "Waits for"], rows);
    }

    fn others(&mut self, report: &Report) {
        if report.others.is_empty() {
            return;
        }
        self.heading("Other revocations under the owner that have not ended everywhere");
        let rows = report.others.iter().map(|other| {
            vec![other.position.to_string(), other.subject.clone(), other.reason.clone(), other.until.clone().unwrap_or_default()]
        });
        self.rows(&["Position", "Of", "Reason", "At the latest"], rows);
    }

    fn evidence(&mut self, report: &Report, signed: &str) {
        self.heading("What it rests on");
        let entries: Vec<String> = report.entries.iter().map(u64::to_string).collect();
        let after = report.issued.after;
        let _ = writeln!(
            self.0,
            "<p>Entries of the ledger: {}. Issued under the owner after the revocation: {after}. Epoch {}, root {}.</p>",
            escape(&entries.join(", ")),
            escape(&report.epoch),
            escape(&report.root)
        );
        self.raw("<p>The signed report. Put it into a file and run <code>curfew verify report FILE --ledger BACKUP</code>.</p>\n");
        let _ = writeln!(self.0, "<pre>{}</pre>", escape(signed));
    }
}

/// A text that can stand between tags and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::full;

    #[test]
    fn whatever_people_write_stays_text() {
        let mut report = full();
        let hostile = "<script>alert('1')</script>\"&<img src=x onerror=y>";
        report.owner.business_owner = hostile.to_owned();
        report.why = hostile.to_owned();
        if let Some(revocation) = &mut report.revocation {
            revocation.note = Some(hostile.to_owned());
        }
        report.downstreams[0].name = Some(hostile.to_owned());
        report.downstreams[0].waiting_for = vec![hostile.to_owned()];
        let page = of(&report, hostile);
        for tag in ["<script", "<img", "onerror=y>", "href", "src=\"", "http://", "url("] {
            assert!(!page.contains(tag), "{tag} in {page}");
        }
        assert_eq!(page.matches("&lt;script&gt;").count(), 6, "each of them is shown");
    }

    #[test]
    fn everything_that_an_auditor_asks_is_on_it() {
        let report = full();
        let page = of(&report, "a.b.c");
        for text in [
            "payments",
            "spiffe://example.org/admin",
            "the contract ended",
            "ledger-api",
            "up to 40 at",
            "<strong>Enforced",
            "a.b.c",
            ">20<",
        ] {
            assert!(page.contains(text), "no {text} in {page}");
        }
    }
}
