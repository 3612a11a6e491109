//! Settings that Secrets Manager keeps, and keys that KMS has wrapped.

use std::collections::BTreeMap;

use aws_sdk_kms::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::failure::Failure;
use secrecy::SecretString;
use serde_json::Value;

use crate::Aws;
use crate::failure::{Call, failure};

/// What a wrapped key begins with; base64 of what KMS gave comes behind it.
pub const WRAPPED: &str = "kms:";

/// Goes into the wrapping, so that nothing else that the key of KMS has wrapped is taken for a
/// key of ours.
pub(crate) const PURPOSE: (&str, &str) = ("purpose", "salla-sync-key");

/// The texts of a secret that is a JSON object, by their names.
///
/// Fails with what is missing (secret, right) or with what is wrong about its form; no error
/// quotes any of it.
pub async fn read(aws: &Aws, id: &str) -> Result<BTreeMap<String, SecretString>, Failure> {
    let client = aws_sdk_secretsmanager::Client::new(&aws.config);
    let call = Call {
        doing: "reading the secret",
        what: id,
        right: "secretsmanager:GetSecretValue",
        region: aws.region(),
    };
    let read = client.get_secret_value().secret_id(id).send().await;
    let secret = read.map_err(|error| failure(call, &error))?;
    parse(secret.secret_string.as_deref()).map_err(|reason| Failure::Setup {
        message: format!("the secret {id} {reason}"),
    })
}

fn parse(text: Option<&str>) -> Result<BTreeMap<String, SecretString>, String> {
    const FORM: &str = "give it as a JSON object of texts, such as \
                        {\"SALLA_SYNC_KEY\": \"k1:…\", \"SALLA_CLIENT_SECRET\": \"…\"}";
    let Some(text) = text else {
        return Err(format!("holds bytes and no text; {FORM}"));
    };
    // An error of the parser would quote what it met.
    let Ok(Value::Object(values)) = serde_json::from_str(text) else {
        return Err(format!("is no JSON object; {FORM}"));
    };
    let mut texts = BTreeMap::new();
    for (name, value) in values {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => {
                return Err(format!(
                    "has something else than a text under {name}; {FORM}"
                ));
            }
        };
        texts.insert(name, text.into());
    }
    Ok(texts)
}

/// The key that `wrapped` stands for, a text that begins with [`WRAPPED`].
pub async fn unwrap(aws: &Aws, wrapped: &str) -> Result<SecretString, Failure> {
    let malformed = |reason: &str| Failure::Setup {
        message: format!(
            "the wrapped key {reason}; it is {WRAPPED} and what `aws kms encrypt \
             --encryption-context {}={} --query CiphertextBlob` prints",
            PURPOSE.0, PURPOSE.1
        ),
    };
    let encoded = wrapped.strip_prefix(WRAPPED).unwrap_or(wrapped);
    let bytes = STANDARD
        .decode(encoded.trim())
        .map_err(|_| malformed("is no base64"))?;
    let call = Call {
        doing: "unwrapping",
        what: "the key that tokens are encrypted with",
        right: "kms:Decrypt",
        region: aws.region(),
    };
    let unwrapped = aws_sdk_kms::Client::new(&aws.config)
        .decrypt()
        .ciphertext_blob(Blob::new(bytes))
        .encryption_context(PURPOSE.0, PURPOSE.1)
        .send()
        .await;
    let plain = match unwrapped {
        Ok(output) => output.plaintext.map(Blob::into_inner),
        Err(error) if crate::failure::code(&error) == Some("InvalidCiphertextException") => {
            return Err(malformed(
                "was not wrapped by KMS for this purpose, or was changed since",
            ));
        }
        Err(error) => return Err(failure(call, &error)),
    };
    let text = plain.and_then(|bytes| String::from_utf8(bytes).ok());
    match text {
        Some(text) => Ok(text.trim().to_owned().into()),
        None => Err(malformed("holds no text")),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_secret_is_an_object_of_texts() {
        let texts = parse(Some(r#"{"A": "x", "port": 5432}"#)).unwrap();
        let shown = texts
            .iter()
            .map(|(name, text)| (name.as_str(), text.expose_secret()));
        assert_eq!(shown.collect::<Vec<_>>(), [("A", "x"), ("port", "5432")]);
        for (text, part) in [
            (None, "bytes"),
            (Some("hidden"), "no JSON object"),
            (Some(r#""hidden""#), "no JSON object"),
            (Some(r#"{"A": "hidden""#), "no JSON object"),
            (Some(r#"{"A": {"hidden": 1}}"#), "under A"),
            (Some(r#"{"A": null}"#), "under A"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("hidden"), "{error}");
        }
    }
}
