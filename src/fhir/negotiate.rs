//! JSON or XML: what a request's Content-Type says it is, and what its Accept header or `_format` asks for.

/// A FHIR format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `application/fhir+json`
    Json,
    /// `application/fhir+xml`
    Xml,
}

impl Format {
    /// The Content-Type that Onward answers with.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/fhir+json; charset=utf-8",
            Self::Xml => "application/fhir+xml; charset=utf-8",
        }
    }
}

/// The format of a body. None where the header is absent, names something else, another charset than UTF-8 or another
/// FHIR version than 4.0: the answer to that is 415.
pub fn of_content_type(content_type: Option<&str>) -> Option<Format> {
    let range = MediaRange::parse(content_type?)?;
    range.format().filter(|_| range.quality == MOST)
}

/// The format to answer in. `_format` goes before Accept; without either, or where all will do, JSON. None where nothing
/// that was asked for can be given: the answer to that is 406.
pub fn of_accept(accept: Option<&str>, format_param: Option<&str>) -> Option<Format> {
    if let Some(asked) = format_param.map(str::trim).filter(|asked| !asked.is_empty()) {
        return match asked.to_ascii_lowercase().as_str() {
            "json" | "text/json" => Some(Format::Json),
            "xml" => Some(Format::Xml),
            // in a query an unescaped “+” has become a space
            other => MediaRange::parse(&other.replacen("fhir ", "fhir+", 1))?.format(),
        };
    }
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Some(Format::Json) };
    let ranges: Vec<MediaRange> = accept.split(',').filter_map(MediaRange::parse).collect();
    let json = wish(&ranges, Format::Json);
    let xml = wish(&ranges, Format::Xml);
    match (json.filter(|wish| wish.0 > 0), xml.filter(|wish| wish.0 > 0)) {
        (Some(json), Some(xml)) if xml > json => Some(Format::Xml),
        (Some(_), _) => Some(Format::Json),
        (None, Some(_)) => Some(Format::Xml),
        (None, None) => None,
    }
}

/// Quality in thousandths.
const MOST: u16 = 1000;

struct MediaRange {
    media_type: String,
    quality: u16,
}

/// How much a format is wished for: quality, then how exactly it was named, then how early (so, the greater the better).
fn wish(ranges: &[MediaRange], format: Format) -> Option<(u16, u8, usize)> {
    let named = ranges.iter().enumerate().filter_map(|(index, range)| {
        let exactness = range.exactness(format)?;
        Some((exactness, range.quality, ranges.len() - index))
    });
    // a range that names the format more exactly overrules those that name it less so (RFC 9110, 12.5.1)
    named.max().map(|(exactness, quality, early)| (quality, exactness, early))
}

impl MediaRange {
    /// None where the text is no media range, or bears parameters that cannot be met.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next()?.to_ascii_lowercase();
        let mut range = Self { media_type, quality: MOST };
        for parameter in parts.filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.quality = quality(value)?,
                "charset" if value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8") => {}
                "fhirversion" if matches!(value, "4.0" | "4.0.1") => {}
                "charset" | "fhirversion" => return None,
                _ => {}
            }
        }
        range.media_type.contains('/').then_some(range)
    }

    fn format(&self) -> Option<Format> {
        match self.media_type.as_str() {
            "application/fhir+json" | "application/json" => Some(Format::Json),
            "application/fhir+xml" | "application/xml" | "text/xml" => Some(Format::Xml),
            _ => None,
        }
    }

    fn exactness(&self, format: Format) -> Option<u8> {
        match self.media_type.as_str() {
            "*/*" => Some(1),
            "application/*" => Some(2),
            "text/*" if format == Format::Xml => Some(2),
            _ => (self.format() == Some(format)).then_some(3),
        }
    }
}

fn quality(text: &str) -> Option<u16> {
    let value: f32 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    (0.0..=1.0).contains(&value).then(|| (value * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_types_are_told() {
        for json in [
            "application/fhir+json",
            "application/json",
            "Application/FHIR+JSON; charset=UTF-8",
            "application/fhir+json;fhirVersion=4.0",
            "application/fhir+json; fhirVersion=\"4.0\"; charset=\"utf-8\"",
        ] {
            assert_eq!(of_content_type(Some(json)), Some(Format::Json), "{json}");
        }
        for xml in ["application/fhir+xml", "application/xml", "text/xml;charset=utf-8"] {
            assert_eq!(of_content_type(Some(xml)), Some(Format::Xml), "{xml}");
        }
        for none in [
            "",
            "text/plain",
            "application/fhir+json; charset=iso-8859-1",
            "application/fhir+json; fhirVersion=3.0",
            "*/*",
            "application/json-patch+json",
            "json",
            "application/fhir+turtle",
        ] {
            assert_eq!(of_content_type(Some(none)), None, "{none}");
        }
        assert_eq!(of_content_type(None), None);
    }

    #[test]
    fn the_wish_with_the_highest_quality_is_met() {
        use Format::{Json, Xml};
        for (accept, expected) in [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("application/*", Some(Json)),
            ("application/fhir+xml", Some(Xml)),
            ("application/fhir+xml, application/fhir+json", Some(Xml)),
            ("application/fhir+json, application/fhir+xml", Some(Json)),
            ("application/fhir+xml;q=0.5, application/fhir+json;q=0.9", Some(Json)),
            ("text/html, application/xml;q=0.9, */*;q=0.8", Some(Xml)),
            ("application/fhir+json;q=0, */*", Some(Xml)),
            ("application/fhir+json;fhirVersion=5.0, application/fhir+xml;q=0.1", Some(Xml)),
            ("text/html", None),
            ("application/fhir+json;q=0", None),
            ("application/fhir+turtle", None),
        ] {
            assert_eq!(of_accept(Some(accept), None), expected, "{accept}");
        }
        assert_eq!(of_accept(None, None), Some(Json));
    }

    #[test]
    fn the_format_parameter_goes_before() {
        let xml = Some("application/fhir+xml");
        assert_eq!(of_accept(xml, Some("json")), Some(Format::Json));
        assert_eq!(of_accept(None, Some("application/fhir xml")), Some(Format::Xml));
        assert_eq!(of_accept(None, Some("text/xml")), Some(Format::Xml));
        assert_eq!(of_accept(None, Some("ttl")), None);
        assert_eq!(of_accept(xml, Some("")), Some(Format::Xml));
    }

    proptest! {
        #[test]
        fn no_header_crashes_it(text in "[a-z*/;=,.q0-9+ \"]{0,60}") {
            let _ = (of_content_type(Some(&text)), of_accept(Some(&text), None), of_accept(None, Some(&text)));
        }
    }
}
