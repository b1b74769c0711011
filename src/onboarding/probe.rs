//! One endpoint looked at, layer by layer. What was seen is put into words by a pure function.

use std::{net::IpAddr, time::Duration};

use hyper::{StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    client::{Answer, CallError, FhirClient, NoConnection},
    config::registry::Endpoint,
    fhir::tree,
    resolve::Resolver,
};

/// A connection that is only to show whether there is one takes no longer.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// So many addresses of a name are tried, and told.
const ADDRESSES_MAX: usize = 4;

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The name has an address.
    Address,
    /// Something answers there.
    Connection,
    /// It is who it says it is, and takes Onward for who it is.
    Tls,
    /// It lets Onward in.
    Token,
    /// It is a FHIR R4 server.
    Server,
    /// It says that it can what is wanted of it.
    Able,
}

/// What was found at a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// As it should be.
    Good(String),
    /// Perhaps not as it should be.
    Doubtful {
        /// What.
        why: String,
        /// What to do about it.
        advice: String,
    },
    /// Not as it should be; nothing arrives.
    Bad {
        /// What.
        why: String,
        /// What to do about it.
        advice: String,
    },
    /// Not looked at, because something before it is not as it should be.
    NotTried,
}

/// A stage and what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The stage.
    pub stage: Stage,
    /// What was found.
    pub found: Found,
}

/// What is wanted of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// It takes referrals: transactions.
    Referrals,
    /// It takes what becomes of them: Tasks made and changed.
    Statuses,
    /// It gives what referrals refer to.
    Reading,
}

/// What was seen of an endpoint.
struct Seen {
    host: String,
    addresses: Result<Vec<IpAddr>, String>,
    answer: Result<Answer, CallError>,
    /// Where there was no connection: whether there is one below TLS.
    below: Option<Result<(), String>>,
}

/// Looks at one endpoint, and tells what it finds.
pub async fn probe(client: &FhirClient, resolver: &Resolver, endpoint: &Endpoint, needs: Needs) -> Vec<Step> {
    let uri = endpoint.base_url.parse::<Uri>().unwrap_or_default();
    let is_https = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default().to_owned();
    let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let addresses = resolver.resolve(&host).await.map_err(|error| error.to_string());
    let answer = client.get(endpoint, "metadata", &[]).await;
    // only where the client tried to connect, so that it may be connected to
    let below = match (&addresses, &answer) {
        (Ok(addresses), Err(CallError::Connect(_))) => Some(connected(addresses, port).await),
        _ => None,
    };
    let has_access = endpoint.access.token.is_some() || endpoint.access.grant.is_some();
    steps(&Seen { host, addresses, answer, below }, is_https, has_access || endpoint.access.identity.is_some(), needs)
}

async fn connected(addresses: &[IpAddr], port: u16) -> Result<(), String> {
    let mut why = "it has no address".to_owned();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect((*address, port))).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => why = format!("{address} port {port}: {error}"),
            Err(_) => why = format!("{address} port {port}: no answer within {} s", CONNECT_WITHIN.as_secs()),
        }
    }
    Err(why)
}

/// What was seen, in words. Pure.
fn steps(seen: &Seen, is_https: bool, has_access: bool, needs: Needs) -> Vec<Step> {
    let mut steps = vec![Step { stage: Stage::Address, found: address(seen) }];
    let rest = [
        (Stage::Connection, connection(seen)),
        (Stage::Tls, tls(seen, is_https)),
        (Stage::Token, token(seen, has_access)),
        (Stage::Server, server(seen)),
        (Stage::Able, able(seen, needs)),
    ];
    let mut is_over = is_bad(&steps);
    for (stage, found) in rest {
        let found = if is_over { Found::NotTried } else { found };
        steps.push(Step { stage, found });
        is_over = is_bad(&steps);
    }
    steps
}

fn is_bad(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step.found, Found::Bad { .. }))
}

fn good(told: impl Into<String>) -> Found {
    Found::Good(told.into())
}

fn bad(why: impl Into<String>, advice: &str) -> Found {
    Found::Bad { why: why.into(), advice: advice.to_owned() }
}

fn doubtful(why: impl Into<String>, advice: &str) -> Found {
    Found::Doubtful { why: why.into(), advice: advice.to_owned() }
}

fn address(seen: &Seen) -> Found {
    match &seen.addresses {
        Ok(all) if all.is_empty() => bad(format!("{} has no address", seen.host), "check the name in base-url"),
        Ok(all) => {
            let told: Vec<String> = all.iter().take(ADDRESSES_MAX).map(ToString::to_string).collect();
            good(format!("{} is {}", seen.host, told.join(", ")))
        }
        Err(why) => bad(why, "check the name in base-url, and the name servers of this machine"),
    }
}

fn connection(seen: &Seen) -> Found {
    match (&seen.answer, &seen.below) {
        (Err(CallError::NotAllowed), _) => {
            bad("it may not be connected to from here", "add its host or addresses to allow under [outbound]")
        }
        (Err(CallError::Connect(_)), Some(Err(why))) => {
            bad(why, "see that the server runs, and that no firewall between keeps this machine away")
        }
        (Err(CallError::Unusable(why)), _) => bad(why, "check base-url"),
        // the token is asked for before, elsewhere
        (Err(CallError::NoToken(_)), _) => doubtful("it was not connected to, for want of a token", "see below"),
        _ => good("something answers there"),
    }
}

fn tls(seen: &Seen, is_https: bool) -> Found {
    match &seen.answer {
        Err(CallError::NoCertificate(why)) => {
            bad(why, "put right the certificate that is shown to it, under its tls in the configuration")
        }
        Err(CallError::Connect(why)) => bad(
            match why {
                NoConnection::UnknownIssuer
                | NoConnection::OutOfDate
                | NoConnection::WrongName
                | NoConnection::Certificate
                | NoConnection::Version
                | NoConnection::TurnedAway => format!("it answers, and no TLS comes about: {why}"),
                _ => "it answers, and no TLS comes about: its certificate is not trusted here or is for another name, or it wants to be shown one"
                    .to_owned(),
            },
            "have the authority of its certificate trusted on this machine; check the name in base-url; ask its operators whether it \
             wants a certificate of its clients",
        ),
        _ if !is_https => doubtful("there is no TLS", "use https unless it is on this machine"),
        Err(CallError::NoToken(_)) => Found::NotTried,
        _ => good("its certificate is trusted and is for this name"),
    }
}

fn token(seen: &Seen, has_access: bool) -> Found {
    match &seen.answer {
        Err(CallError::NoToken(why)) => {
            bad(why, "check token-url, client-id and key of its grant, and that the key is known there")
        }
        Ok(answer) if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => bad(
            format!("it does not let Onward in: {}", answer.describe()),
            "check the token or grant in the configuration, and ask its operators what they have registered",
        ),
        _ if !has_access => {
            doubtful("it is shown nothing", "give it a token, a grant or a certificate unless it is to be open")
        }
        _ => good("what it is shown is let pass"),
    }
}

fn server(seen: &Seen) -> Found {
    let answer = match &seen.answer {
        Ok(answer) => answer,
        Err(CallError::TimedOut(limit)) => {
            return bad(
                format!("no answer within {limit:?}"),
                "ask its operators whether it is slow; timeout in the configuration says how long is waited",
            );
        }
        Err(other) => return bad(other.to_string(), "see what answers at base-url, with /metadata behind it"),
    };
    if !answer.status.is_success() {
        return bad(answer.describe(), "see what answers at base-url, with /metadata behind it");
    }
    let Some(body) = answer.body.as_ref().filter(|body| tree::resource_type(body) == Some("CapabilityStatement"))
    else {
        return bad(
            "there is no CapabilityStatement at /metadata",
            "base-url must be the FHIR base: what stands before /metadata",
        );
    };
    match body.get("fhirVersion").and_then(Value::as_str) {
        Some(version) if version.starts_with("4.0") => good(format!("it is a FHIR server of version {version}")),
        Some(version) => {
            bad(format!("it is a FHIR server of version {version}"), "Onward speaks R4 (4.0): use its base for that")
        }
        None => doubtful("it does not say which version of FHIR it speaks", "see that it speaks R4 (4.0)"),
    }
}

fn able(seen: &Seen, needs: Needs) -> Found {
    let body = seen.answer.as_ref().ok().and_then(|answer| answer.body.as_ref());
    let rest = body.and_then(|body| body.get("rest")).and_then(|rest| rest.get(0));
    let Some(rest) = rest else {
        return doubtful("it does not say what it can", "send a test referral, and see what becomes of it");
    };
    let codes = |of: &Value| -> Vec<String> {
        let all = of.get("interaction").and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|one| one.get("code").and_then(Value::as_str).map(str::to_owned)).collect()
    };
    let of_kind = |kind: &str| {
        let all = rest.get("resource").and_then(Value::as_array).into_iter().flatten();
        all.filter(|one| one.get("type").and_then(Value::as_str) == Some(kind)).flat_map(codes).collect::<Vec<_>>()
    };
    let missing: Vec<&str> = match needs {
        Needs::Referrals => [("transaction", codes(rest))]
            .into_iter()
            .filter(|(w, has)| !has.iter().any(|c| c == w))
            .map(|(w, _)| w)
            .collect(),
        Needs::Statuses => {
            let task = of_kind("Task");
            ["create", "update"].into_iter().filter(|wanted| !task.iter().any(|code| code == wanted)).collect()
        }
        Needs::Reading => {
            let request = of_kind("ServiceRequest");
            ["read"].into_iter().filter(|wanted| !request.iter().any(|code| code == wanted)).collect()
        }
    };
    let of = match needs {
        Needs::Referrals => "referrals",
        Needs::Statuses => "Tasks",
        Needs::Reading => "ServiceRequests",
    };
    if missing.is_empty() {
        return good(format!("it says that it does what is wanted with {of}"));
    }
    doubtful(
        format!("it does not say that it does this with {of}: {}", missing.join(", ")),
        "ask its operators; many servers can more than they say",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(answer: Result<Answer, CallError>) -> Seen {
        Seen { host: "mind.example".into(), addresses: Ok(vec!["192.0.2.7".parse().unwrap()]), answer, below: None }
    }

    fn answer(status: u16, body: Option<Value>) -> Result<Answer, CallError> {
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Answer { status, etag: None, location: None, retry_after: None, body })
    }

    fn statement(rest: Value) -> Option<Value> {
        Some(json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}))
    }

    /// The stages at which something is bad, doubtful, not tried.
    fn told(steps: &[Step]) -> (Vec<Stage>, Vec<Stage>, Vec<Stage>) {
        let of = |is: fn(&Found) -> bool| steps.iter().filter(|step| is(&step.found)).map(|step| step.stage).collect();
        (
            of(|found| matches!(found, Found::Bad { .. })),
            of(|found| matches!(found, Found::Doubtful { .. })),
            of(|found| matches!(found, Found::NotTried)),
        )
    }

    #[test]
    fn each_failure_is_told_at_its_stage_and_what_comes_after_is_not_tried() {
        use Stage::{Able, Address, Connection, Server, Tls, Token};
        let no_name =
            Seen { addresses: Err("no such name".into()), ..seen(Err(CallError::Connect(NoConnection::Handshake))) };
        let refused = Seen {
            below: Some(Err("192.0.2.7 port 443: refused".into())),
            ..seen(Err(CallError::Connect(NoConnection::Handshake)))
        };
        let no_tls = Seen { below: Some(Ok(())), ..seen(Err(CallError::Connect(NoConnection::Handshake))) };
        for (seen, stage, after) in [
            (no_name, Address, vec![Connection, Tls, Token, Server, Able]),
            (seen(Err(CallError::NotAllowed)), Connection, vec![Tls, Token, Server, Able]),
            (refused, Connection, vec![Tls, Token, Server, Able]),
            (no_tls, Tls, vec![Token, Server, Able]),
            (seen(Err(CallError::NoCertificate("gone".into()))), Tls, vec![Token, Server, Able]),
            (seen(answer(401, None)), Token, vec![Server, Able]),
            (seen(Err(CallError::TimedOut(Duration::from_secs(3)))), Server, vec![Able]),
            (seen(answer(404, None)), Server, vec![Able]),
            (seen(answer(200, Some(json!({"resourceType": "Patient"})))), Server, vec![Able]),
        ] {
            let steps = steps(&seen, true, true, Needs::Referrals);
            let (bad, _, not_tried) = told(&steps);
            assert_eq!((bad, not_tried), (vec![stage], after), "{steps:?}");
            assert_eq!(steps.len(), 6);
        }
        let no_token = steps(&seen(Err(CallError::NoToken("invalid_client".into()))), true, true, Needs::Statuses);
        assert_eq!(told(&no_token).0, [Token]);
    }

    #[test]
    fn what_a_server_says_it_can_is_held_against_what_is_wanted() {
        let tasks = |codes: &[&str]| {
            let all: Vec<Value> = codes.iter().map(|code| json!({"code": code})).collect();
            json!({"interaction": [{"code": "transaction"}], "resource": [{"type": "Task", "interaction": all}]})
        };
        let found = |rest: Value, needs| told(&steps(&seen(answer(200, statement(rest))), true, true, needs));
        let (bad, doubtful, _) = found(tasks(&["create", "update"]), Needs::Statuses);
        assert!(bad.is_empty() && doubtful.is_empty());
        assert_eq!(found(tasks(&["create"]), Needs::Statuses).1, [Stage::Able]);
        assert!(found(tasks(&[]), Needs::Referrals).1.is_empty());
        assert_eq!(found(json!({}), Needs::Referrals).1, [Stage::Able]);
        assert_eq!(found(tasks(&[]), Needs::Reading).1, [Stage::Able]);
        let old = json!({"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"});
        assert_eq!(told(&steps(&seen(answer(200, Some(old))), true, true, Needs::Referrals)).0, [Stage::Server]);
    }

    #[test]
    fn what_is_open_or_bare_is_doubtful() {
        let rest = json!({"interaction": [{"code": "transaction"}]});
        let found = steps(&seen(answer(200, statement(rest))), false, false, Needs::Referrals);
        assert_eq!(told(&found).1, [Stage::Tls, Stage::Token]);
    }
}
