//! Keys, and what is signed by them: rightly, and in every wrong way.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

/// Who holds a key.
pub struct Signer {
    pub kid: String,
    pub algorithm: Algorithm,
    key: EncodingKey,
    /// The key as its owner keeps it.
    pub private_pem: String,
    /// Its other half, as everybody may have it.
    pub public_pem: String,
}

impl Signer {
    pub fn new(kid: &str, algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Algorithm::ES384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            _ => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        let pair = pair.unwrap();
        let (private_pem, public_pem) = (pair.serialize_pem(), pair.public_key_pem());
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(private_pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(private_pem.as_bytes()),
        };
        Self { kid: kid.to_owned(), algorithm, key: key.unwrap(), private_pem, public_pem }
    }

    pub fn es384(kid: &str) -> Self {
        Self::new(kid, Algorithm::ES384)
    }

    /// Its public key as RFC 7517 writes it.
    pub fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = self.kid.clone().into();
        jwk
    }

    /// The claims of an assertion that holds.
    pub fn claims(&self, client: &str, audience: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 240,
               "jti": uuid::Uuid::now_v7().to_string()})
    }

    /// An assertion that holds.
    pub fn assertion(&self, client: &str, audience: &str) -> String {
        self.sign(&json!({}), &self.claims(client, audience))
    }

    /// What this key signs; `more` stands in the header, where null takes away.
    pub fn sign(&self, more: &Value, claims: &Value) -> String {
        let mut header = json!({"alg": format!("{:?}", self.algorithm), "typ": "JWT", "kid": self.kid});
        for (name, value) in more.as_object().unwrap() {
            header[name.as_str()] = value.clone();
        }
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let signed = unsigned(&header, claims);
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

/// Header and claims as they are signed.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// The public keys of these, as a set.
pub fn set(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}
