//! `onward dead preview`: what would be sent now, and where.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::super::{Ended, Finding, print_json};
use crate::{
    client::{FhirClient, Written},
    config::Config,
    preview::{Preview, Previews},
    store::{DeadLetter, Store},
};

/// Shows one; its clinical content only where that is asked for.
pub(super) async fn show(
    config: Config,
    store: Arc<dyn Store>,
    letter: &DeadLetter,
    content: bool,
    as_json: bool,
) -> Ended {
    let previews = Previews {
        store,
        client: FhirClient::new(&config.outbound)?,
        base_url: config.server.base_url_at(config.server.listen),
        registry: Arc::new(ArcSwap::from_pointee(config.registry)),
    };
    let gone = || Finding(format!("{} is not a dead letter any more", letter.message));
    say_it(letter, previews.of(letter).await?.ok_or_else(gone)?, content, as_json);
    Ok(())
}

fn say_it(letter: &DeadLetter, preview: Preview, content: bool, as_json: bool) {
    let (written, unasked) = match preview {
        Preview::Sent(written) => (written, None),
        Preview::Unasked { written, why } => (written, Some(why)),
        Preview::Nothing(told) if as_json => {
            return print_json(&json!({"message": letter.message.to_string(), "sent": null, "why": told}));
        }
        Preview::Nothing(told) => {
            say!("{}", told);
            return;
        }
    };
    if as_json {
        let body = if content { written.body.clone() } else { shape(&written.body) };
        print_json(&json!({
            "message": letter.message.to_string(),
            "unasked": unasked,
            "sent": {
                "method": written.method.as_str(),
                "url": written.url,
                "headers": written.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                "body": body,
            },
        }));
        return;
    }
    if let Some(why) = unasked {
        say!("whom it is for could not be asked what is there already ({why}); if nothing of it were there:");
    }
    in_words(&written, content);
}

fn in_words(written: &Written, content: bool) {
    say!("{} {}", written.method, written.url);
    for (name, value) in &written.headers {
        say!("  {name}: {value}");
    }
    if content {
        say!("{:#}", written.body);
        return;
    }
    say!("{:#}", shape(&written.body));
    say!("its clinical content is shown by --content");
}

/// What there is, without what it says: types, ids, and how each entry is written.
fn shape(body: &Value) -> Value {
    let named = |resource: &Value| json!({"resourceType": resource.get("resourceType"), "id": resource.get("id")});
    let mut shape = named(body);
    if let Some(status) = body.get("status").filter(|_| body["resourceType"] == "Task") {
        shape["status"] = status.clone();
    }
    if let Some(entries) = body.get("entry").and_then(Value::as_array) {
        let entry = |entry: &Value| {
            let mut one = named(entry.get("resource").unwrap_or(&Value::Null));
            one["request"] = entry.get("request").cloned().unwrap_or_default();
            one
        };
        shape["entry"] = entries.iter().map(entry).collect();
    }
    shape
}
