//! Secrets and wrapped keys as people make them, on a server that stands for AWS.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step has to end the test that calls it"
)]

use aws_sdk_kms::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Aws;
use crate::secrets::{PURPOSE, WRAPPED};

/// Makes a secret and returns its name in full.
pub async fn create_secret(aws: &Aws, name: &str, text: &str) -> String {
    let client = aws_sdk_secretsmanager::Client::new(&aws.config);
    let created = client.create_secret().name(name).secret_string(text).send();
    created.await.unwrap().arn.unwrap()
}

/// Wraps a key for `purpose`, or for what the program expects.
pub async fn wrap(aws: &Aws, key: &str, purpose: Option<&str>) -> String {
    let client = aws_sdk_kms::Client::new(&aws.config);
    let master = client.create_key().send().await.unwrap();
    let wrapped = client
        .encrypt()
        .key_id(master.key_metadata.unwrap().key_id)
        .plaintext(Blob::new(key))
        .encryption_context(PURPOSE.0, purpose.unwrap_or(PURPOSE.1))
        .send()
        .await
        .unwrap();
    let bytes = wrapped.ciphertext_blob.unwrap().into_inner();
    format!("{WRAPPED}{}", STANDARD.encode(bytes))
}
