//! The gate for XML: one streaming pass that bounds size, depth and number, and refuses DOCTYPE, entities, processing instructions
//! and foreign namespaces. What it makes is a tree of elements as they stand, without prefixes and comments; narrative is kept word for
//! word.

use std::{borrow::Cow, collections::HashMap, fmt::Write as _};

use quick_xml::{
    NsReader,
    escape::unescape,
    events::{BytesDecl, BytesStart, Event},
    name::{Namespace, ResolveResult},
};

use super::leaves::holds_resource;
use crate::fhir::{
    gate::Limits,
    outcome::{Issue, IssueCode},
    path,
    reference::is_resource_type,
};

/// More than any element of FHIR or XHTML has, and prefixes beside.
const ATTRIBUTES_MAX: usize = 64;

const FHIR: &[u8] = b"http://hl7.org/fhir";
const XHTML: &[u8] = b"http://www.w3.org/1999/xhtml";
const SCHEMA_INSTANCE: &[u8] = b"http://www.w3.org/2001/XMLSchema-instance";

/// An element as it stands.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Its name, without prefix.
    pub(super) name: String,
    /// The attribute `value`; of a narrative's `div`, all of it.
    pub(super) value: Option<String>,
    /// The attribute `id`.
    pub(super) id: Option<String>,
    /// The attribute `url`.
    pub(super) url: Option<String>,
    /// What stands in it, in its order.
    pub(super) children: Vec<Element>,
    /// Where its start tag ends, in bytes of the text.
    pub(super) at: usize,
}

type Fault = (IssueCode, String);

/// Whether XML 1.0 can carry the character at all.
pub(in crate::fhir) fn is_xml_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Reads a document: its root, and its text for those who look for a place in it.
pub(super) fn read<'t>(bytes: &'t [u8], limits: &Limits) -> Result<(Element, Cow<'t, str>), Issue> {
    if bytes.len() > limits.bytes {
        let said = format!("the content is longer than {} bytes", limits.bytes);
        return Err(Issue::error(IssueCode::TooLong, path::UNKNOWN_ROOT, said));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Issue::error(IssueCode::Structure, path::UNKNOWN_ROOT, "the content is not UTF-8"))?;
    // XML 1.0, 2.11
    let text: Cow<'_, str> =
        if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() };
    let mut reader = NsReader::from_str(&text);
    reader.config_mut().check_comments = true;
    let mut pass = Pass::new(limits);
    let walked = if text.chars().all(is_xml_char) {
        pass.walk(&mut reader)
    } else {
        Err((IssueCode::Structure, "a control character that XML does not allow".to_owned()))
    };
    match walked {
        Ok(root) => Ok((root, text)),
        Err((code, said)) => {
            let offset = usize::try_from(reader.buffer_position().max(reader.error_position())).unwrap_or(usize::MAX);
            let (line, column) = place(&text, offset);
            Err(Issue::error(code, pass.expression(), said).at(line, column))
        }
    }
}

/// Line and column of a byte of a text, from 1.
pub(super) fn place(text: &str, offset: usize) -> (u32, u32) {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.len() - before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

fn structure<T>(said: impl Into<String>) -> Result<T, Fault> {
    Err((IssueCode::Structure, said.into()))
}

fn syntax(error: impl std::error::Error) -> Fault {
    // quick-xml's messages may quote names from the input, so its words are not repeated
    let _ = error;
    (IssueCode::Structure, "not well-formed XML".to_owned())
}

/// An element that is open.
struct Open {
    element: Element,
    index: usize,
    is_resource: bool,
    children: HashMap<String, usize>,
}

struct Pass<'l> {
    limits: &'l Limits,
    /// The root, once it has ended.
    root: Option<Element>,
    kind: String,
    open: Vec<Open>,
    div: Option<Div>,
    values: usize,
    begun: bool,
}

/// A narrative on its way.
struct Div {
    text: String,
    depth: usize,
    at: usize,
}

impl<'l> Pass<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self { limits, root: None, kind: String::new(), open: Vec::new(), div: None, values: 0, begun: false }
    }

    /// The element that was reached. A second one of its name gets its index; whether the first is in a list XML does not say.
    fn expression(&self) -> String {
        let mut expression = if self.kind.is_empty() { path::UNKNOWN_ROOT.to_owned() } else { self.kind.clone() };
        for open in self.open.iter().skip(1).filter(|open| !open.is_resource) {
            expression = path::child(&expression, &open.element.name);
            if open.index > 0 {
                expression = path::item(&expression, open.index);
            }
        }
        expression
    }

    fn walk(&mut self, reader: &mut NsReader<&[u8]>) -> Result<Element, Fault> {
        loop {
            let event = reader.read_event().map_err(syntax)?;
            let first = !std::mem::replace(&mut self.begun, true);
            match event {
                Event::Decl(decl) if first => declaration(&decl)?,
                Event::Decl(_) => return structure("an XML declaration that does not stand first"),
                // they are no part of what a resource says (xml.html)
                Event::PI(_) if self.div.is_none() => {}
                Event::PI(_) => return structure("a processing instruction in a narrative"),
                Event::DocType(_) => return structure("a DOCTYPE"),
                Event::Eof if self.kind.is_empty() => return structure("there is no element"),
                Event::Eof => match self.root.take() {
                    Some(root) if self.open.is_empty() => return Ok(root),
                    _ => return structure("the content ends before the element does"),
                },
                Event::Start(start) => self.start(reader, &start, false)?,
                Event::Empty(start) => self.start(reader, &start, true)?,
                Event::End(end) if self.div.is_some() => self.end_html(end.local_name().as_ref())?,
                Event::End(_) => self.end()?,
                other => self.text(&other)?,
            }
        }
    }

    fn text(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        let (before, raw, after): (&str, &[u8], &str) = match event {
            Event::Text(text) => ("", text, ""),
            Event::CData(text) => ("<![CDATA[", text, "]]>"),
            Event::Comment(text) => ("<!--", text, "-->"),
            Event::GeneralRef(name) => ("&", name, ";"),
            _ => return structure("something that has no place in FHIR"),
        };
        let raw = std::str::from_utf8(raw).map_err(syntax)?;
        if matches!(event, Event::GeneralRef(_)) && !reference_is_known(raw) {
            return structure("an entity other than the five of XML and character numbers");
        }
        let Some(div) = &mut self.div else {
            let harmless = match event {
                Event::Comment(_) => true,
                Event::Text(_) => raw.bytes().all(|b| b.is_ascii_whitespace()),
                _ => false,
            };
            return if harmless { Ok(()) } else { structure("text outside of narrative") };
        };
        if matches!(event, Event::Text(_)) && raw.contains("]]>") {
            return structure("not well-formed XML");
        }
        let _ = write!(div.text, "{before}{raw}{after}");
        Ok(())
    }

    fn start(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>, empty: bool) -> Result<(), Fault> {
        self.count()?;
        if start.attributes().with_checks(false).count() > ATTRIBUTES_MAX {
            return Err((IssueCode::TooCostly, format!("more than {ATTRIBUTES_MAX} attributes of one element")));
        }
        let (namespace, local) = reader.resolve_element(start.name());
        let name = std::str::from_utf8(local.into_inner()).map_err(syntax)?;
        let is_html = namespace == ResolveResult::Bound(Namespace(XHTML));
        if path::element_name(name) != Some(name) {
            return structure("an element name that FHIR does not have");
        }
        if self.div.is_some() || (is_html && name == "div" && !self.open.is_empty()) {
            return if is_html {
                self.html(reader.buffer_position(), start, name, empty)
            } else {
                structure("narrative is in the XHTML namespace")
            };
        }
        if namespace != ResolveResult::Bound(Namespace(FHIR)) {
            return structure("this element is not in the namespace http://hl7.org/fhir");
        }
        if name == "div" {
            return structure("narrative is in the XHTML namespace");
        }
        self.fhir(reader, start, name)?;
        if empty { self.end() } else { Ok(()) }
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err((IssueCode::TooCostly, format!("more than {} elements and attributes", self.limits.values)));
        }
        let depth = self.open.len() + self.div.as_ref().map_or(0, |div| div.depth);
        if depth >= self.limits.depth {
            return Err((IssueCode::TooCostly, format!("nested deeper than {}", self.limits.depth)));
        }
        Ok(())
    }

    fn fhir(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>, name: &str) -> Result<(), Fault> {
        let is_resource = name.starts_with(|c: char| c.is_ascii_uppercase());
        let index = match self.open.last_mut() {
            None if !self.kind.is_empty() => return structure("there is more than one root element"),
            None if !is_resource_type(name) => return structure("the root element is not an R4 resource type"),
            None => 0,
            Some(parent) if is_resource && (parent.is_resource || !holds_resource(&parent.element.name)) => {
                return structure("a resource where R4 has none");
            }
            Some(parent) if is_resource && parent.has_content() || parent.children.contains_key("") => {
                return structure("an element that holds a resource holds nothing else");
            }
            Some(parent) => {
                // a resource is noted without its name, so that nothing can follow it
                let seen =
                    parent.children.entry(if is_resource { String::new() } else { name.to_owned() }).or_default();
                *seen += 1;
                *seen - 1
            }
        };
        if is_resource && !is_resource_type(name) {
            return structure("not an R4 resource type");
        }
        if self.open.is_empty() {
            self.kind = name.to_owned();
        }
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let element = Element { name: name.to_owned(), at, ..Element::default() };
        self.open.push(Open { element, index, is_resource, children: HashMap::new() });
        self.attributes(reader, start)
    }

    fn attributes(&mut self, reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<(), Fault> {
        let mut seen: Vec<&[u8]> = Vec::new();
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(syntax)?;
            self.count()?;
            once(&mut seen, attribute.key.into_inner())?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let (namespace, local) = reader.resolve_attribute(attribute.key);
            if namespace == ResolveResult::Bound(Namespace(SCHEMA_INSTANCE)) && local.as_ref() == b"schemaLocation" {
                continue;
            }
            let Some(open) = self.open.last_mut() else { return structure("an attribute without element") };
            let element = &mut open.element;
            let place = match local.as_ref() {
                _ if namespace != ResolveResult::Unbound || open.is_resource => None,
                b"value" => Some(&mut element.value),
                b"id" => Some(&mut element.id),
                b"url" if matches!(element.name.as_str(), "extension" | "modifierExtension") => Some(&mut element.url),
                _ => None,
            };
            let Some(place) = place else { return structure("an attribute that FHIR does not have here") };
            *place = Some(attribute_text(&attribute.value)?);
        }
        Ok(())
    }

    /// An element of narrative: kept as it was written, but for a prefix.
    fn html(&mut self, at: u64, start: &BytesStart<'_>, name: &str, empty: bool) -> Result<(), Fault> {
        let mut seen: Vec<&[u8]> = Vec::new();
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(syntax)?;
            self.count()?;
            once(&mut seen, attribute.key.into_inner())?;
            attribute_text(&attribute.value)?;
            let foreign = attribute.key.prefix().is_some_and(|prefix| prefix.as_ref() != b"xml");
            if foreign && attribute.key.as_namespace_binding().is_none() {
                return structure("an attribute that XHTML does not have");
            }
        }
        let raw = std::str::from_utf8(start.attributes_raw()).map_err(syntax)?;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let div = self.div.get_or_insert(Div { text: String::new(), depth: 0, at });
        let _ = write!(div.text, "<{name}");
        let declared =
            start.attributes().with_checks(false).flatten().any(|attribute| attribute.key.as_ref() == b"xmlns");
        if div.depth == 0 && !declared {
            div.text.push_str(" xmlns=\"http://www.w3.org/1999/xhtml\"");
        }
        let _ = write!(div.text, "{raw}{}>", if empty { "/" } else { "" });
        div.depth += usize::from(!empty);
        if div.depth == 0 { self.end_div() } else { Ok(()) }
    }

    fn end_html(&mut self, name: &[u8]) -> Result<(), Fault> {
        let Some(div) = &mut self.div else { return Ok(()) };
        let _ = write!(div.text, "</{}>", std::str::from_utf8(name).map_err(syntax)?);
        div.depth = div.depth.saturating_sub(1);
        if div.depth == 0 { self.end_div() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return structure("an end without a start") };
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(open.element),
            None => self.root = Some(open.element),
        }
        Ok(())
    }

    fn end_div(&mut self) -> Result<(), Fault> {
        let Some(div) = self.div.take() else { return Ok(()) };
        let Some(parent) = self.open.last_mut() else { return structure("narrative without a resource") };
        let element = Element { name: "div".to_owned(), value: Some(div.text), at: div.at, ..Element::default() };
        parent.element.children.push(element);
        Ok(())
    }
}

// === impl Open ===

impl Open {
    fn has_content(&self) -> bool {
        let Element { value, id, url, children, .. } = &self.element;
        value.is_some() || id.is_some() || url.is_some() || !children.is_empty()
    }
}

/// Notes the name of an attribute. Looking for one that stands twice takes the square of their number, so there may be few.
fn once<'a>(seen: &mut Vec<&'a [u8]>, name: &'a [u8]) -> Result<(), Fault> {
    if seen.len() >= ATTRIBUTES_MAX {
        return Err((IssueCode::TooCostly, format!("more than {ATTRIBUTES_MAX} attributes of one element")));
    }
    if seen.contains(&name) {
        return structure("an attribute that stands twice");
    }
    seen.push(name);
    Ok(())
}

fn declaration(decl: &BytesDecl<'_>) -> Result<(), Fault> {
    if decl.version().map_err(syntax)?.as_ref() != b"1.0" {
        return structure("only XML 1.0 is read");
    }
    match decl.encoding().transpose().map_err(syntax)? {
        Some(encoding) if !encoding.eq_ignore_ascii_case(b"utf-8") => structure("only UTF-8 is read"),
        _ => Ok(()),
    }
}

fn attribute_text(raw: &[u8]) -> Result<String, Fault> {
    let raw = std::str::from_utf8(raw).map_err(syntax)?;
    if raw.contains('<') {
        return structure("not well-formed XML");
    }
    let text = unescape(raw)
        .map_err(|_| (IssueCode::Structure, "an entity other than the five of XML and character numbers".to_owned()))?;
    if !text.chars().all(is_xml_char) {
        return structure("a control character that XML does not allow");
    }
    Ok(text.into_owned())
}

fn reference_is_known(name: &str) -> bool {
    unescape(&format!("&{name};")).is_ok_and(|text| text.chars().all(is_xml_char))
}
