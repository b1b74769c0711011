//! Record systems: each keeps a referral in its own record, sends it to Onward, and lets Onward write into that record what
//! became of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;

use crate::{
    demo::{
        caller::{Call, Caller, FHIR_JSON},
        double::{Change, Double},
        ledger::Ledger,
        referrals::Referral,
    },
    fhir::{Limits, XmlConverter, task},
};

const FHIR_XML: &str = "application/fhir+xml";
/// A request that gets no answer, or “not now”, is sent again so often.
const TRIES_MAX: u32 = 100;
/// And after this pause, unless a longer one is asked for.
const PAUSE: Duration = Duration::from_millis(250);

/// One record system.
pub struct RecordSystem {
    /// Its id in the configuration.
    pub id: String,
    /// Its FHIR server: the record.
    pub record: Arc<Double>,
    /// The token that its record wants.
    pub record_token: String,
    /// The token that it shows to Onward.
    pub token: String,
}

/// What the record systems share.
#[derive(Clone)]
pub struct Sending {
    /// How they speak.
    pub caller: Caller,
    /// Onward's FHIR base.
    pub fhir_base: String,
    /// What they saw.
    pub ledger: Arc<Ledger>,
    /// For what is sent as XML and kept as JSON.
    pub xml: Arc<XmlConverter>,
}

impl RecordSystem {
    /// Enters into the ledger every status that the record's Tasks come to show.
    pub fn watch(&self, ledger: Arc<Ledger>) {
        self.record.on_change(move |change: &Change| {
            let shown = &change.stored.resource;
            if change.kind == "Task"
                && let (Some(id), Ok(status)) = (super::task_id(shown), task::status(shown))
            {
                ledger.shown(&id, status, change.stored.at);
            }
        });
    }

    /// Keeps a referral in the record and sends it.
    ///
    /// # Errors
    /// In words, where Onward did not accept it.
    pub async fn refer(&self, with: &Sending, referral: &Referral) -> Result<(), String> {
        self.keep(with, referral).await?;
        let url =
            if referral.is_bundle { with.fhir_base.clone() } else { format!("{}/ServiceRequest", with.fhir_base) };
        let kind = if referral.is_xml { FHIR_XML } else { FHIR_JSON };
        let body = Bytes::from(referral.body.clone());
        let mut why = String::new();
        for _ in 0..TRIES_MAX {
            let call = Call::new(hyper::Method::POST, &url).token(&self.token).bytes(kind, body.clone());
            let begun = Instant::now();
            let mut pause = PAUSE;
            match with.caller.call(call).await {
                Ok(answer) if answer.status.is_success() => {
                    let took = begun.elapsed();
                    let links = answer.links("monitor");
                    let tasks: Vec<String> =
                        links.iter().filter_map(|url| url.rsplit('/').next()).map(str::to_owned).collect();
                    if tasks.len() != referral.referrals.len() {
                        let (file, told) = (referral.file, tasks.len());
                        let said =
                            format!("{file}: {} referrals acknowledged with {told} Tasks", referral.referrals.len());
                        with.ledger.trouble(said);
                    }
                    with.ledger.acknowledged(&self.id, &referral.referrals, &tasks, took);
                    return Ok(());
                }
                Ok(answer) if matches!(answer.status.as_u16(), 429 | 503) => {
                    pause = answer.retry_after().unwrap_or(pause).max(pause);
                    why = answer.describe();
                }
                Ok(answer) => return Err(answer.describe()),
                Err(error) => why = error.to_string(),
            }
            tokio::time::sleep(pause).await;
        }
        Err(why)
    }

    /// Keeps the referral as the record's own resources: what the clinician wrote before it was sent.
    async fn keep(&self, with: &Sending, referral: &Referral) -> Result<(), String> {
        let body: Value = if referral.is_xml {
            let bytes = Bytes::from(referral.body.clone());
            with.xml.read(bytes, &Limits::default()).await.map_err(|issue| issue.diagnostics)?
        } else {
            serde_json::from_str(&referral.body).map_err(|error| error.to_string())?
        };
        let base = self.record.base_url();
        let url = if referral.is_bundle { base.to_owned() } else { format!("{base}/ServiceRequest") };
        let call = Call::new(hyper::Method::POST, url).token(&self.record_token).json(FHIR_JSON, &body);
        let answer = with.caller.call(call).await.map_err(|error| error.to_string())?;
        if answer.status.is_success() { Ok(()) } else { Err(format!("its own record: {}", answer.describe())) }
    }
}
