//! A document that came with a referral, opened safely: taken as a file, never shown as a page of ours, whatever is in it.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use uuid::Uuid;

use super::{absent, away};
use crate::{
    auth::Deed,
    domain::TaskId,
    fhir::tree,
    store::StoredResource,
    web::{Shared, form::Seen},
};

/// Kinds that are told as what they are, each with the ending of its files. All others are a file of unknown kind.
const KINDS: [(&str, &str); 9] = [
    ("application/pdf", "pdf"),
    ("text/plain", "txt"),
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/gif", "gif"),
    ("image/tiff", "tif"),
    ("application/rtf", "rtf"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
];
/// A name of a file has no more characters.
const NAME_CHARS_MAX: usize = 60;

/// A document as a file.
#[derive(Debug, PartialEq, Eq)]
struct File {
    kind: &'static str,
    name: String,
    content: Vec<u8>,
}

/// `GET /inbox/{task}/documents/{id}/{number}`
pub(in crate::web) async fn document(
    State(web): State<Shared>,
    seen: Seen,
    Path((task, id, number)): Path<(String, String, String)>,
) -> Response {
    let (Ok(task), Ok(id), Ok(number)) = (task.parse::<TaskId>(), id.parse::<Uuid>(), number.parse::<usize>()) else {
        return absent(&seen);
    };
    let resources = match web.task_for(&seen.visitor, task, Deed::Read).await {
        Ok(Some(record)) => web.visible(&record).await,
        Ok(None) => return absent(&seen),
        Err(error) => return away(&error),
    };
    let file = match resources {
        Ok(resources) => file(&resources, id, number),
        Err(error) => return away(&error),
    };
    let Some(File { kind, name, content }) = file else { return absent(&seen) };
    tracing::info!(person = seen.visitor.person, task.id = %task, "a document was opened");
    let mut response = (StatusCode::OK, content).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    let disposition = format!("attachment; filename=\"{name}\"");
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::try_from(disposition).unwrap_or(HeaderValue::from_static("attachment")),
    );
    response
}

/// The content of a DocumentReference: in it, or in a Binary that came along.
fn file(resources: &[(StoredResource, Value)], id: Uuid, number: usize) -> Option<File> {
    let (_, body) = resources.iter().find(|(s, _)| s.kind == "DocumentReference" && s.id == id)?;
    let attachment = tree::items(body, "content").get(number)?.get("attachment")?;
    let beside = tree::text(attachment, "url").and_then(|url| url.strip_prefix("Binary/"));
    let binary = beside.and_then(|id| resources.iter().find(|(s, _)| s.kind == "Binary" && s.id.to_string() == id));
    let holder = binary.map_or(attachment, |(_, body)| body);
    // base64 may be broken into lines (R4 datatypes, base64Binary)
    let data: String = tree::text(holder, "data")?.chars().filter(|c| !c.is_whitespace()).collect();
    let content = STANDARD.decode(data).ok()?;
    let said = tree::text(holder, "contentType").or_else(|| tree::text(attachment, "contentType")).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    let known = KINDS.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(said));
    let (kind, ending) = known.copied().unwrap_or(("application/octet-stream", "bin"));
    let title = tree::text(attachment, "title").or_else(|| tree::text(body, "type.text")).unwrap_or("document");
    Some(File { kind, name: format!("{}.{ending}", plain(title)), content })
}

/// A title as the name of a file: letters and digits of every system, and dashes.
fn plain(title: &str) -> String {
    let letters: String =
        title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(NAME_CHARS_MAX).collect();
    let name = letters.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    if name.is_empty() { "document".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(kind: &str, n: u128, body: Value) -> (StoredResource, Value) {
        let stored = crate::web::inbox::tests::stored(kind, Uuid::from_u128(n), &body);
        (stored, body)
    }

    fn opened(attachment: Value) -> Option<File> {
        let binary = stored("Binary", 2, json!({"contentType": "application/pdf", "data": "JVBE"}));
        let document = stored("DocumentReference", 1, json!({"content": [{"attachment": attachment}]}));
        file(&[document, binary], Uuid::from_u128(1), 0)
    }

    #[test]
    fn what_is_in_it_or_beside_it_is_opened_as_a_file() {
        let letter = opened(
            json!({"contentType": "text/plain; charset=utf-8", "data": "SGFs\nbG8=", "title": "A “letter”/..\r\nX: y"}),
        );
        let expected = File { kind: "text/plain", name: "A-letter-X-y.txt".into(), content: b"Hallo".to_vec() };
        assert_eq!(letter, Some(expected));
        let beside = opened(json!({"url": format!("Binary/{}", Uuid::from_u128(2)), "title": "Assessment"})).unwrap();
        assert_eq!((beside.kind, beside.name.as_str()), ("application/pdf", "Assessment.pdf"));
    }

    #[test]
    fn nothing_is_taken_for_a_page_and_nothing_is_fetched() {
        let html = opened(json!({"contentType": "text/html", "data": "PGI+"})).unwrap();
        assert_eq!((html.kind, html.name.as_str()), ("application/octet-stream", "document.bin"));
        assert_eq!(
            opened(json!({"contentType": "image/svg+xml", "data": "PGI+"})).unwrap().kind,
            "application/octet-stream"
        );
        assert_eq!(opened(json!({"url": "https://elsewhere.example/x.pdf"})), None);
        assert_eq!(opened(json!({"data": "?"})), None);
    }
}
