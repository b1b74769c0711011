//! What Onward signs to show the issuer who it is, where it has a key there in the place of a secret (`private_key_jwt`: Core 1.0, 9;
//! RFC 7523, 2.2).

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::json;

use crate::config::people::{Algorithm, ClientKey};

/// It holds for so long; some take none that holds for more than five minutes.
const HOLDS_S: i64 = 240;

/// An assertion for this token endpoint, made at this moment. It reads the key's file, so that a new key is taken up.
///
/// # Errors
/// Why it cannot be signed, in words that hold nothing secret.
pub(super) fn assertion(
    client_id: &str,
    key: &ClientKey,
    token_endpoint: &str,
    now: Timestamp,
) -> Result<String, String> {
    let at = now.as_second();
    let header = json!({"alg": key.algorithm.code(), "kid": key.id, "typ": "JWT"});
    let claims = json!({"iss": client_id, "sub": client_id, "aud": token_endpoint, "iat": at,
                        "exp": at.saturating_add(HOLDS_S), "jti": uuid::Uuid::now_v7().to_string()});
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&header), part(&claims));
    let file = key.file.display();
    let der = PrivateKeyDer::from_pem_file(&key.file).map_err(|_| format!("{file} is no PEM with a key"))?;
    let signature = sign(&der, key.algorithm, input.as_bytes())
        .ok_or_else(|| format!("the key in {file} is none for {}", key.algorithm.code()))?;
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Whether a key can be read, and is one for its algorithm.
///
/// # Errors
/// Why it is not, in words that hold nothing secret.
pub fn can_sign(key: &ClientKey) -> Result<(), String> {
    assertion("", key, "", Timestamp::UNIX_EPOCH).map(drop)
}

fn sign(key: &PrivateKeyDer<'_>, algorithm: Algorithm, input: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    let rsa = |encoding: &'static dyn RsaEncoding| {
        let key = match key {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            other => RsaKeyPair::from_der(other.secret_der()),
        };
        let key = key.ok()?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(encoding, &random, input, &mut signature).ok()?;
        Some(signature)
    };
    let ecdsa = |algorithm| {
        let key = EcdsaKeyPair::from_private_key_der(algorithm, key.secret_der()).ok()?;
        Some(key.sign(&random, input).ok()?.as_ref().to_vec())
    };
    match algorithm {
        Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
        Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
    };
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA512, PublicKeyData as _};
    use serde_json::Value;

    use super::*;

    fn parts(token: &str) -> (Value, Value, String, Vec<u8>) {
        let parts: Vec<&str> = token.split('.').collect();
        let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        (read(parts[0]), read(parts[1]), format!("{}.{}", parts[0], parts[1]), signature)
    }

    #[test]
    fn it_is_signed_as_is_asked_for_and_by_a_key_that_fits() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let of = |algorithm| ClientKey { file: file.clone(), id: "k1".into(), algorithm };
        let cases: [(_, _, &'static dyn VerificationAlgorithm, _); 2] = [
            (&PKCS_RSA_SHA512, Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512, Algorithm::Es256),
            (&PKCS_ECDSA_P256_SHA256, Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, Algorithm::Es384),
        ];
        for (kind, algorithm, verified, unfit) in cases {
            let key = KeyPair::generate_for(kind).unwrap();
            std::fs::write(&file, key.serialize_pem()).unwrap();
            let made = assertion("onward", &of(algorithm), "https://issuer.example/token", now).unwrap();
            let (header, claims, input, signature) = parts(&made);
            assert_eq!(header, json!({"alg": algorithm.code(), "kid": "k1", "typ": "JWT"}));
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!("onward"), &json!("onward")));
            assert_eq!(claims["aud"], "https://issuer.example/token");
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), HOLDS_S);
            UnparsedPublicKey::new(verified, key.der_bytes()).verify(input.as_bytes(), &signature).unwrap();
            let again = assertion("onward", &of(algorithm), "https://issuer.example/token", now).unwrap();
            assert_ne!(parts(&again).1["jti"], claims["jti"], "each is of use once");
            let why = assertion("onward", &of(unfit), "https://issuer.example/token", now).unwrap_err();
            assert!(why.ends_with(&format!("is none for {}", unfit.code())), "{why}");
        }
        std::fs::write(&file, "not a key").unwrap();
        assert!(assertion("onward", &of(Algorithm::Es256), "https://issuer.example/token", now).is_err());
    }
}
