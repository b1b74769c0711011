//! `onward keys`: what a client that signs needs to begin with, where it has no tools of its own for it yet.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jsonwebtoken::{
    Algorithm,
    jwk::{Jwk, PublicKeyUse},
};
use serde_json::json;

use super::{Ended, Finding};
use crate::{
    client::signer,
    config::{Grant, KeySet},
};

#[derive(Subcommand, Debug)]
pub(super) enum Keys {
    /// The public half of a private key as JWKS: what its client hands on (`jwks`).
    Public(Key),
    /// An assertion by which its client asks for an access token. It is of use once, within four minutes.
    Assertion(Assertion),
}

#[derive(Args, Debug)]
pub(super) struct Key {
    /// A PEM file with the private key (PKCS #8): EC on P-384, or RSA of 2048 bits or more.
    file: PathBuf,
    /// By which name the key is known.
    #[arg(long, value_name = "NAME")]
    kid: String,
}

#[derive(Args, Debug)]
pub(super) struct Assertion {
    #[command(flatten)]
    key: Key,
    /// Who signs: system/ID, provider/ID or steward/ID.
    #[arg(long, value_name = "CLIENT")]
    client: String,
    /// The `token_endpoint` that it is for.
    #[arg(long, value_name = "URL")]
    audience: String,
}

/// Reads the key and shows what was asked for. Nothing of its private half is shown.
pub(super) fn run(keys: &Keys) -> Ended {
    match keys {
        Keys::Public(key) => {
            let grant = grant(key, "", "")?;
            let signing = grant.signing_key().map_err(Finding)?;
            let mut jwk = Jwk::from_encoding_key(&signing, grant.algorithm)?;
            jwk.common.key_id = Some(key.kid.clone());
            jwk.common.public_key_use = Some(PublicKeyUse::Signature);
            let set = json!({"keys": [jwk]}).to_string();
            // what is made here is what is taken elsewhere
            KeySet::read(set.as_bytes()).map_err(|why| Finding(format!("{}: {why}", key.file.display())))?;
            say!("{set}");
        }
        Keys::Assertion(Assertion { key, client, audience }) => {
            let grant = grant(key, client, audience)?;
            say!("{}", signer::assertion(&grant, Timestamp::now()).map_err(Finding)?.as_str());
        }
    }
    Ok(())
}

/// What is signed by this key, by the algorithm that is for it.
fn grant(key: &Key, client: &str, audience: &str) -> anyhow::Result<Grant> {
    let of = |algorithm| Grant {
        token_url: audience.to_owned(),
        client_id: client.to_owned(),
        key: key.file.clone(),
        key_id: key.kid.clone(),
        algorithm,
        scopes: None,
        audience: audience.to_owned(),
    };
    if key.kid.is_empty() {
        return Err(Finding("a key needs a name: --kid".to_owned()).into());
    }
    let both = [Algorithm::ES384, Algorithm::RS384].map(of);
    let mut why = String::new();
    for grant in both {
        match grant.signing_key() {
            Ok(_) => return Ok(grant),
            Err(told) => why = told,
        }
    }
    Err(Finding(format!("{} {why}: EC on P-384 or RSA of 2048 bits or more is needed, as PKCS #8", key.file.display()))
        .into())
}
