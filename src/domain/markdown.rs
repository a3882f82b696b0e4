//! Markdown that people write, as HTML that is safe to show on a page: no raw HTML, no scripts, no images,
//! and links only to the web, to a mailbox, or within Tamis.

use std::fmt;

use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html};

/// HTML made by [`html_of`] only, so that a page may show it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SafeHtml(String);

impl SafeHtml {
    /// Nothing to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for SafeHtml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// CommonMark with tables and strike-through. HTML in the text is shown as text; images are replaced by
/// their description; headings begin at level 3, since they stand inside a page. Linear in the text.
pub fn html_of(markdown: &str) -> SafeHtml {
    let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    // whether each open link was let through
    let mut links: Vec<bool> = Vec::new();
    let events = parser.filter_map(|event| {
        Some(match event {
            Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
            Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
            Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => return None,
            Event::Start(Tag::Link { link_type, dest_url, .. }) => {
                let url = match link_type {
                    LinkType::Email => format!("mailto:{dest_url}").into(),
                    _ => dest_url,
                };
                links.push(is_harmless(&url));
                links.last().filter(|ok| **ok)?;
                Event::InlineHtml(opening(&url))
            }
            // columns are aligned by inline styles, which pages refuse
            Event::Start(Tag::Table(columns)) => {
                Event::Start(Tag::Table(vec![Alignment::None; columns.len()]))
            }
            Event::End(TagEnd::Link) => {
                links.pop().filter(|ok| *ok)?;
                Event::InlineHtml(CowStr::Borrowed("</a>"))
            }
            Event::Start(Tag::Heading { level, .. }) => {
                Event::Start(Tag::Heading { level: lower(level), id: None, classes: vec![], attrs: vec![] })
            }
            Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lower(level))),
            other => other,
        })
    });
    let mut out = String::with_capacity(markdown.len() * 3 / 2);
    html::push_html(&mut out, events);
    SafeHtml(out.trim_end().to_owned())
}

/// An address on the web, a mailbox, or a place within Tamis. What is not known to be harmless is not.
fn is_harmless(url: &str) -> bool {
    // browsers drop these before they read the scheme
    if url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return false;
    }
    let lower = url.to_ascii_lowercase();
    ["https://", "http://", "mailto:", "#"].iter().any(|start| lower.starts_with(start))
        || (url.starts_with('/') && !url.starts_with("//"))
}

fn opening(url: &str) -> CowStr<'static> {
    let mut escaped = String::with_capacity(url.len());
    for c in url.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    format!(r#"<a href="{escaped}" rel="noopener noreferrer nofollow">"#).into()
}

/// Pages have their own headings of the first two levels.
fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        HeadingLevel::H4 | HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        html_of(text).to_string()
    }

    #[test]
    fn what_people_write() {
        assert_eq!(
            of("# 定义\n\n**滑板**：有 *板* 的"),
            "<h3>定义</h3>\n<p><strong>滑板</strong>：有 <em>板</em> 的</p>"
        );
        assert_eq!(of("- a\n- b"), "<ul>\n<li>a</li>\n<li>b</li>\n</ul>");
        assert!(of("| a | b |\n|:--|---|\n| 1 | 2 |").contains("<td>1</td>"));
        assert_eq!(
            of("[rules](https://example.org/a?b=1&c='2')"),
            r#"<p><a href="https://example.org/a?b=1&amp;c=&#39;2&#39;" rel="noopener noreferrer nofollow">rules</a></p>"#
        );
        assert!(
            of("[same](/datasets/d/guide) [here](#top) <li@example.org>").matches("<a href=").count() == 3
        );
        assert!(html_of("").is_empty() && html_of(" \n").is_empty());
    }

    /// From the OWASP filter evasion list and the reports on other Markdown renderers.
    #[test]
    fn nothing_that_runs_gets_through() {
        for text in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a <svg/onload=alert(1)> b",
            "[a](javascript:alert(1))",
            "[a](JaVaScRiPt:alert(1))",
            "[a](java\tscript:alert(1))",
            "[a](&#106;avascript:alert(1))",
            "[a](\u{1}javascript:alert(1))",
            "[a](<javascript:alert(1)>)",
            "[a](data:text/html;base64,PHNjcmlwdD4=)",
            "[a](vbscript:msgbox(1))",
            "[a](//evil.example)",
            "[a](/\\evil.example)",
            "[a][b]\n\n[b]: javascript:alert(1)",
            "<javascript:alert(1)>",
            "![a](javascript:alert(1))",
            "![a\" onerror=\"alert(1)](https://x.example/a.png)",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<iframe src=//evil.example></iframe>",
            "<!-- --><b onmouseover=alert(1)>x</b>",
            "```\n</code></pre><script>alert(1)</script>\n```",
            "``` \"><script>alert(1)</script>\nx\n```",
            "# x {#id onclick=alert(1)}",
            "| <script> |\n|---|\n| <style>*{} |",
        ] {
            assert_harmless(&of(text), text);
        }
    }

    /// Only our own tags and attributes may be in it.
    fn assert_harmless(html: &str, from: &str) {
        const TAGS: [&str; 23] = [
            "p",
            "h3",
            "h4",
            "h5",
            "h6",
            "ul",
            "ol",
            "li",
            "a",
            "em",
            "strong",
            "del",
            "code",
            "pre",
            "blockquote",
            "br",
            "hr",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        ];
        for part in html.split('<').skip(1) {
            let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("{from:?} gave {html:?}"));
            let tag = tag.trim_start_matches('/').trim_end_matches('/').trim();
            let (name, rest) = tag.split_once(' ').unwrap_or((tag, ""));
            assert!(TAGS.contains(&name), "{from:?} gave {html:?}");
            let ours = rest.is_empty()
                || rest.starts_with("href=\"") && rest.ends_with("\" rel=\"noopener noreferrer nofollow\"")
                || (rest.starts_with("class=\"language-") || rest.starts_with("start=\""))
                    && rest.matches('"').count() == 2;
            assert!(ours, "{from:?} gave {html:?}");
            if let Some(url) = rest.strip_prefix("href=\"") {
                assert!(is_harmless(url.split('"').next().unwrap()), "{from:?} gave {html:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed(text in r#"([a\[\]\(\)<>!#`*_|~:/\\"'&; \n\t-]|javascript:|<script>|http://|on=){0,60}"#) {
            assert_harmless(&of(&text), &text);
        }
    }
}
