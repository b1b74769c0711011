//! The API of a source that speaks Open Referral UK, read to its end: the pages of its services, then each service in full.
//!
//! Whatever it does not answer is an error and not a gap: what is missing would look as if it were gone.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    header::{ACCEPT, LOCATION, USER_AGENT},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    client::FhirClient,
    directory::open_referral::{Feed, ROWS_MAX, Told},
    fhir::{Limits, gate},
};

/// So many pages of one list are read.
const PAGES_MAX: usize = 10_000;
/// So many records are asked for on a page.
const PER_PAGE: usize = 100;
/// So many services are asked for at once: the source serves others as well.
const AT_ONCE: usize = 4;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes everything that the API at `base` tells into a feed.
pub(super) async fn take(base: &str, client: &FhirClient, feed: &mut Feed) -> anyhow::Result<()> {
    let base = base.trim_end_matches('/');
    let ids = services(base, client).await?;
    let full = stream::iter(ids).map(|id| async move {
        let url = format!("{base}/services/{}", utf8_percent_encode(&id, NON_ALPHANUMERIC));
        get(&url, client).await.map(|answer| (id, answer))
    });
    let mut full = std::pin::pin!(full.buffer_unordered(AT_ONCE));
    while let Some(answer) = full.next().await {
        match answer? {
            (_, Some(service)) => feed.add(service, "services"),
            (id, None) => feed.tell(Told::new("service", id, "it is listed, and not there when it is asked for")),
        }
    }
    for list in ["taxonomies", "taxonomy_terms"] {
        let mut seen = BTreeSet::new();
        for page in 1..=PAGES_MAX {
            // who tells of no taxonomies has none that could be told
            let Some(answer) = get(&page_url(base, list, page), client).await? else { break };
            let more = !is_last(&answer, page)
                && ids_of(&answer)?.into_iter().filter(|id| seen.insert(id.clone())).count() > 0;
            feed.add(answer, list);
            if !more {
                break;
            }
        }
    }
    Ok(())
}

/// The ids of all services.
async fn services(base: &str, client: &FhirClient) -> anyhow::Result<Vec<String>> {
    let (mut ids, mut seen) = (Vec::new(), BTreeSet::new());
    for page in 1..=PAGES_MAX {
        let url = page_url(base, "services", page);
        let Some(answer) = get(&url, client).await? else { bail!("{url}: there is no such page") };
        let told = ids_of(&answer).with_context(|| url.clone())?;
        let before = ids.len();
        ids.extend(told.into_iter().filter(|id| seen.insert(id.clone())));
        ensure!(ids.len() <= ROWS_MAX, "{base} has more than {ROWS_MAX} services");
        // a page with nothing new is the last, whatever it says of itself
        if is_last(&answer, page) || ids.len() == before {
            return Ok(ids);
        }
    }
    bail!("{base} has more than {PAGES_MAX} pages of services")
}

fn page_url(base: &str, list: &str, page: usize) -> String {
    format!("{base}/{list}?page={page}&per_page={PER_PAGE}")
}

fn is_last(page: &Value, number: usize) -> bool {
    let whole = |name: &str| page.get(name).and_then(Value::as_u64);
    page.get("last_page").and_then(Value::as_bool) == Some(true)
        || page.get("empty").and_then(Value::as_bool) == Some(true)
        || whole("total_pages").is_some_and(|total| total <= number as u64)
}

fn ids_of(page: &Value) -> anyhow::Result<Vec<String>> {
    let contents = page.get("contents").or_else(|| page.get("content")).unwrap_or(page);
    let items = contents.as_array().context("the answer is no page of a list: it has no contents")?;
    let ids = items.iter().filter_map(|item| item.get("id")?.as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// A document; none where there is none.
async fn get(url: &str, client: &FhirClient) -> anyhow::Result<Option<Value>> {
    let request = Request::get(url)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("onward/", env!("CARGO_PKG_VERSION")))
        .body(Full::<Bytes>::default())
        .with_context(|| format!("{url} is no URL"))?;
    let response = client.exchange(request, PATIENCE).await.with_context(|| url.to_owned())?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
        status if status.is_redirection() => {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
            bail!("{url} has moved to {to}: if that is right, name it instead");
        }
        status => ensure!(status.is_success(), "{url} answered {status}"),
    }
    let read = gate::read_any(response.body(), &Limits { bytes: 16 * 1024 * 1024, ..Limits::default() });
    read.map(Some).map_err(|issue| anyhow::anyhow!("{url}: the answer cannot be read: {}", issue.diagnostics))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use hyper::Response;
    use serde_json::json;

    use super::*;
    use crate::client::{CallError, Transport};

    /// A source with so many services, two a page, whatever page size is asked for.
    struct Source {
        services: usize,
        missing: Option<usize>,
    }

    #[async_trait]
    impl Transport for Source {
        async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CallError> {
            let path = request.uri().path().to_owned();
            let page: usize = request
                .uri()
                .query()
                .and_then(|query| query.split('&').find_map(|part| part.strip_prefix("page=")?.parse().ok()))
                .unwrap_or(1);
            let service = |n: usize| json!({"id": format!("s{n}"), "name": format!("Service {n}"), "status": "active"});
            let answer = |status: u16, body: Value| {
                let response = Response::builder().status(status).header(LOCATION, "https://b.example/");
                Ok(response.body(Bytes::from(body.to_string())).unwrap())
            };
            match path.strip_prefix("/api/").unwrap_or_default().split_once('/') {
                _ if path == "/moved/services" => answer(301, json!({})),
                _ if path == "/broken/services" => answer(500, json!({})),
                None if path == "/api/services" => {
                    let contents: Vec<_> = (1..=self.services).skip(2 * (page - 1)).take(2).map(service).collect();
                    let pages = self.services.div_ceil(2);
                    answer(
                        200,
                        json!({"total_pages": pages, "page_number": page, "last_page": page == pages, "contents": contents}),
                    )
                }
                None if path == "/api/taxonomies" => {
                    answer(200, json!({"contents": [{"id": "t1", "name": "Needs", "version": "1"}]}))
                }
                Some(("services", id)) => {
                    let n: usize = id.trim_start_matches('s').parse().unwrap();
                    if self.missing == Some(n) {
                        return answer(404, json!({}));
                    }
                    let mut full = service(n);
                    full["schedules"] = json!([{"id": "d", "freq": "WEEKLY", "byday": "MO"}]);
                    answer(200, full)
                }
                _ => answer(404, json!({})),
            }
        }
    }

    async fn taken(base: &str, source: Source) -> anyhow::Result<(usize, Vec<Told>)> {
        let mut feed = Feed::default();
        take(base, &FhirClient::over(Arc::new(source)), &mut feed).await?;
        let (rows, told) = feed.into_rows();
        assert!(rows.iter().all(|row| row.id == "t1" || row.fields.contains_key("schedules")));
        Ok((rows.len(), told))
    }

    #[tokio::test]
    async fn every_page_is_turned_and_every_service_is_read_in_full() {
        for services in [1, 2, 5] {
            let source = Source { services, missing: None };
            assert_eq!(taken("https://a.example/api/", source).await.unwrap(), (services + 1, vec![]));
        }
    }

    #[tokio::test]
    async fn what_is_listed_and_not_there_is_told_and_what_is_not_answered_is_an_error() {
        let source = Source { services: 3, missing: Some(2) };
        let (rows, told) = taken("https://a.example/api", source).await.unwrap();
        assert_eq!((rows, told[0].id.as_str()), (3, "s2"));
        let error = |base: &'static str| async move {
            taken(base, Source { services: 1, missing: None }).await.unwrap_err().to_string()
        };
        assert!(error("https://a.example/moved").await.contains("has moved to https://b.example/"));
        assert!(error("https://a.example/broken").await.contains("500"));
        assert!(error("https://a.example/nothing").await.contains("there is no such page"));
    }
}
