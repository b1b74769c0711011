//! The XHTML of a narrative: well-formed, only what formats a text, and something to read (narrative.html#xhtml, `txt-1`, `txt-2`).

use std::borrow::Cow;

use quick_xml::{
    Reader,
    escape::unescape,
    events::{BytesStart, Event},
};

use super::xml::is_xml_char;

const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Deeper than anybody formats a text.
const DEPTH_MAX: usize = 100;

/// More than XHTML has for any element.
const TAG_ATTRIBUTES_MAX: usize = 64;

/// Sorted. HTML 4.0, chapters 7 to 11 but for 9.4, and 15; `a`, `img` and what maps an image.
const ELEMENTS: [&str; 61] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "area",
    "b",
    "basefont",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "map",
    "menu",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
];

/// Sorted.
const ATTRIBUTES: [&str; 59] = [
    "abbr",
    "accesskey",
    "align",
    "alt",
    "axis",
    "bgcolor",
    "border",
    "cellhalign",
    "cellpadding",
    "cellspacing",
    "cellvalign",
    "char",
    "charoff",
    "charset",
    "cite",
    "class",
    "clear",
    "color",
    "colspan",
    "compact",
    "coords",
    "dir",
    "face",
    "frame",
    "headers",
    "height",
    "href",
    "hreflang",
    "hspace",
    "id",
    "ismap",
    "lang",
    "longdesc",
    "name",
    "nohref",
    "noshade",
    "nowrap",
    "rel",
    "rev",
    "rowspan",
    "rules",
    "scope",
    "shape",
    "size",
    "span",
    "src",
    "start",
    "style",
    "summary",
    "tabindex",
    "title",
    "type",
    "usemap",
    "valign",
    "value",
    "vspace",
    "width",
    "xml:lang",
    "xml:space",
];

/// What is wrong with the `div` of a narrative, where something is.
pub fn fault(div: &str) -> Option<&'static str> {
    let mut reader = Reader::from_str(div);
    let (mut depth, mut begun, mut says_something) = (0usize, false, false);
    // white space in there is kept, and is something
    let mut in_pre = 0usize;
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(_) => return Some("the narrative is not well-formed XHTML"),
        };
        match event {
            Event::Start(ref tag) | Event::Empty(ref tag) => {
                if depth == 0 && begun {
                    return Some("a narrative is one div");
                }
                if let Some(why) = tag_fault(tag, depth == 0) {
                    return Some(why);
                }
                begun = true;
                says_something |= tag.local_name().as_ref() == b"img";
                if matches!(event, Event::Start(_)) {
                    in_pre += usize::from(tag.local_name().as_ref() == b"pre");
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Some("the narrative is nested too deeply");
                    }
                }
            }
            Event::End(tag) => {
                in_pre = in_pre.saturating_sub(usize::from(tag.local_name().as_ref() == b"pre"));
                depth = depth.saturating_sub(1);
            }
            Event::Text(text) => {
                let blank = text.iter().all(u8::is_ascii_whitespace);
                if !blank && depth == 0 {
                    return Some("a narrative is one div, and nothing stands beside it");
                }
                says_something |= !blank || in_pre > 0 && !text.is_empty();
            }
            Event::CData(text) => says_something |= !text.iter().all(u8::is_ascii_whitespace),
            Event::GeneralRef(name) => {
                let reference = format!("&{};", std::str::from_utf8(&name).unwrap_or_default());
                if !unescape(&reference).is_ok_and(|text| text.chars().all(is_xml_char)) {
                    return Some(
                        "XML knows &lt; &gt; &amp; &quot; &apos; and numbers; other characters stand for themselves",
                    );
                }
                says_something = true;
            }
            Event::Comment(_) => {}
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                return Some("a narrative has no declarations and no processing instructions");
            }
            Event::Eof if depth > 0 => return Some("the narrative is not well-formed XHTML"),
            Event::Eof if !begun => return Some("a narrative is one div"),
            Event::Eof => return (!says_something).then_some("a narrative has some text, or an image"),
        }
    }
}

fn tag_fault(tag: &BytesStart<'_>, is_root: bool) -> Option<&'static str> {
    let name = tag.name();
    let (local, prefix) = name.decompose();
    let local = std::str::from_utf8(local.as_ref()).unwrap_or_default();
    if is_root && local != "div" {
        return Some("a narrative is one div");
    }
    if ELEMENTS.binary_search(&local).is_err() {
        return Some("a narrative has only elements that format a text (txt-1), and nothing active");
    }
    let mut in_xhtml = !is_root;
    // looking for a name that stands twice takes the square of their number: it is done here, among few
    let mut seen: Vec<&[u8]> = Vec::new();
    for attribute in tag.attributes().with_checks(false) {
        let Ok(attribute) = attribute else { return Some("the narrative is not well-formed XHTML") };
        if seen.len() >= TAG_ATTRIBUTES_MAX || seen.contains(&attribute.key.into_inner()) {
            return Some("an element of a narrative has each attribute once, and few of them");
        }
        seen.push(attribute.key.into_inner());
        let key = std::str::from_utf8(attribute.key.as_ref()).unwrap_or_default();
        let value = attribute.unescape_value().unwrap_or(Cow::Borrowed("\u{0}"));
        let declares = match (key, prefix) {
            ("xmlns", None) => true,
            (key, Some(prefix)) => key.strip_prefix("xmlns:").is_some_and(|of| of.as_bytes() == prefix.as_ref()),
            _ => false,
        };
        if declares {
            in_xhtml = value == XHTML;
            continue;
        }
        if key.starts_with("xmlns:") {
            continue;
        }
        if ATTRIBUTES.binary_search(&key).is_err() {
            return Some("a narrative has only attributes that format a text (txt-1), and nothing active");
        }
        let is_picture = key == "src" && value.trim_start().to_ascii_lowercase().starts_with("data:image/");
        if matches!(key, "href" | "src" | "cite" | "longdesc") && !is_picture && is_active(&value) {
            return Some("a link in a narrative runs nothing");
        }
    }
    (!in_xhtml).then_some("the div of a narrative is in the namespace http://www.w3.org/1999/xhtml")
}

/// Whether following it would run something: white space and control characters count for nothing, as in a browser.
fn is_active(link: &str) -> bool {
    let mut scheme = link.chars().filter(|c| !c.is_whitespace() && !c.is_control()).map(|c| c.to_ascii_lowercase());
    let start: String = scheme.by_ref().take(11).collect();
    ["javascript:", "vbscript:", "data:"].iter().any(|scheme| start.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn div(inner: &str) -> String {
        format!("<div xmlns=\"{XHTML}\">{inner}</div>")
    }

    #[test]
    fn the_lists_are_sorted() {
        assert!(ELEMENTS.is_sorted() && ATTRIBUTES.is_sorted());
    }

    #[test]
    fn what_formats_a_text_is_right() {
        for inner in [
            "a",
            "<p class=\"x\" style=\"color: red\">a <b>b</b><br/></p>",
            "<img src=\"#pic\" alt=\"a\"/>",
            "<a href=\"http://example.org/?a=1&amp;b=2\">&#160;&lt;</a>",
            "<table><tbody><tr><td colspan=\"2\">1</td></tr></tbody></table><!-- note -->",
            "<span xml:lang=\"cy\">helo</span>",
            "<address><kbd>a</kbd> <bdo dir=\"rtl\">b</bdo> <u>c</u> <font color=\"red\">d</font></address>",
            "<img src=\"data:image/png;base64,YQ==\" usemap=\"#m\"/><map name=\"m\"><area shape=\"rect\" href=\"#x\"/></map>",
        ] {
            assert_eq!(fault(&div(inner)), None, "{inner}");
        }
        assert_eq!(fault(&format!("<h:div xmlns:h=\"{XHTML}\"><h:p>a</h:p></h:div>")), None);
    }

    #[test]
    fn what_is_active_broken_or_empty_is_wrong() {
        for inner in [
            "",
            "  <p> </p>",
            "<script>a()</script>",
            "<p onclick=\"a()\">a</p>",
            "<a href=\" java\tscript:a()\">a</a>",
            "<a href=\"JavaScript:a()\">a</a>",
            "<iframe src=\"a\"/>a",
            "<a href=\"data:text/html;base64,YQ==\">a</a>",
            "a &#1; b",
            "a &#0; b",
            "<p class=\"a\" class=\"b\">a</p>",
            "<form>a</form>",
            "<p>a",
            "<p>a</b>",
            "a &nbsp; b",
            "a & b",
            "<p a=1>a</p>",
            "<?x y?>a",
        ] {
            assert!(fault(&div(inner)).is_some(), "{inner}");
        }
        let doctype = format!("<!DOCTYPE div [<!ENTITY e \"x\">]>{}", div("&e;"));
        for whole in ["", "a", "<div>a</div>", "<p xmlns=\"http://www.w3.org/1999/xhtml\">a</p>", &doctype] {
            assert!(fault(whole).is_some(), "{whole}");
        }
        assert!(fault(&(div("a") + &div("b"))).is_some());
        let many: String = (0..200_000).map(|n| format!(" xmlns:a{n}=\"x\"")).collect();
        let begun = std::time::Instant::now();
        assert!(fault(&div(&format!("<p{many}>a</p>"))).is_some() && begun.elapsed().as_secs() < 5);
        assert!(fault(&div(&format!("{}a{}", "<b>".repeat(200), "</b>".repeat(200)))).is_some());
    }
}
