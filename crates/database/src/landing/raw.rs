//! Raw records: a hash to detect changed content, and the compressed text for runs that store it.

use std::io::Read as _;
use std::sync::LazyLock;

use domain::failure::Failure;
use twox_hash::XxHash3_128;
use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::stream::read::Decoder;

/// XXH3 with 128 bits: enough to distinguish two contents of one record, in a tenth of the time of
/// a cryptographic hash. A shop that forges its own records deceives only itself.
const HASH_BYTES: usize = 16;

/// Part of every hash. Raise it when the translation of records reads more than
/// before, so that importing again writes rows whose raw text has not changed.
const DECODER_REVISION: &[u8] = b"reading 1\n";

/// The fastest level: it halves the time of the default one and loses little.
const LEVEL: i32 = 1;

/// What records have in common. Each compressed record names the dictionary it needs, so
/// this file must never change: a better one is added beside it, for new records
/// (docs/decisions/0004).
const DICTIONARY: &[u8] = include_bytes!("../../dictionaries/records-1.zdict");

static FOR_COMPRESSING: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));

static FOR_DECOMPRESSING: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

pub(crate) struct EncodedRaw {
    pub(crate) hash: [u8; HASH_BYTES],
    pub(crate) compressed: Option<Vec<u8>>,
}

/// Hashes and, where the run keeps raw records, compresses them.
pub(crate) struct RawEncoder {
    compressor: Option<Compressor<'static>>,
}

impl RawEncoder {
    pub(crate) fn new(keep_raw: bool) -> Result<Self, Failure> {
        let compressor = keep_raw
            .then(|| Compressor::with_prepared_dictionary(&FOR_COMPRESSING))
            .transpose()
            .map_err(|_| broken())?;
        Ok(Self { compressor })
    }

    pub(crate) fn content(&mut self, raw: &str) -> Result<EncodedRaw, Failure> {
        self.content_of([raw])
    }

    /// The content of a record that came in parts; only the first is compressed.
    pub(crate) fn content_of<const N: usize>(
        &mut self,
        parts: [&str; N],
    ) -> Result<EncodedRaw, Failure> {
        let mut hasher = XxHash3_128::new();
        hasher.write(DECODER_REVISION);
        for part in parts {
            hasher.write(&part.len().to_le_bytes());
            hasher.write(part.as_bytes());
        }
        let hash: [u8; HASH_BYTES] = hasher.finish_128().to_le_bytes();
        let compressed = match parts.first() {
            Some(raw) => self.compress(raw)?,
            None => None,
        };
        Ok(EncodedRaw { hash, compressed })
    }

    pub(crate) fn compress(&mut self, raw: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.compressor
            .as_mut()
            .map(|compressor| compressor.compress(raw.as_bytes()))
            .transpose()
            .map_err(|_| broken())
    }
}

/// The raw text of a stored record, whether or not it was compressed with the dictionary.
pub(crate) fn decompress(stored: &[u8]) -> Result<String, Failure> {
    let mut text = String::new();
    Decoder::with_prepared_dictionary(stored, &FOR_DECOMPRESSING)
        .and_then(|mut decoder| decoder.read_to_string(&mut text))
        .map_err(|_| broken())?;
    Ok(text)
}

fn broken() -> Failure {
    Failure::Bug {
        message: "a raw record could not be compressed or decompressed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let raw = "{\"name\":\"متجر\"}".repeat(50);
        let content = RawEncoder::new(true).unwrap().content(&raw).unwrap();
        let stored = content.compressed.unwrap();
        assert!(stored.len() < raw.len());
        assert_eq!(decompress(&stored).unwrap(), raw);
    }

    #[test]
    fn what_older_versions_compressed_without_a_dictionary_comes_back_too() {
        let raw = "{\"name\":\"متجر\"}".repeat(50);
        let stored = zstd::bulk::compress(raw.as_bytes(), LEVEL).unwrap();
        assert_eq!(decompress(&stored).unwrap(), raw);
    }

    const ORDER: &str = concat!(
        r#"{"id":55,"reference_id":1007,"draft":false,"currency":"SAR","date":{"date":"#,
        r#""2025-03-01 10:20:30.000000","timezone_type":3,"timezone":"Asia/Riyadh"},"status""#,
        r#":{"id":566146469,"name":"مكتمل","slug":"completed","customized":null},"amounts":{"#,
        r#""sub_total":{"amount":100,"currency":"SAR"},"cash_on_delivery":{"amount":0,"#,
        r#""currency":"SAR"},"total":{"amount":115,"currency":"SAR"}},"items":[]}"#,
    );

    /// ORDER as it was first compressed with the dictionary.
    const STORED: &str = concat!(
        "KLUv/WOPINdagwB9AgADggU/xDg7lXVECVkqy1IylOyeMyjb7HYDE/yg2AWhrEKENKWWpB",
        "xVbTyGPTZ+1+1lCwLNfrTvv9SjTiuZTflIrWq4HSU/+gUVgVoKtOcG",
    );

    #[test]
    fn what_the_dictionary_has_compressed_can_be_read_for_good() {
        let stored = base64::engine::general_purpose::STANDARD
            .decode(STORED)
            .unwrap();
        assert_eq!(decompress(&stored).unwrap(), ORDER);
    }

    #[test]
    fn the_dictionary_saves_more_than_half() {
        let with = RawEncoder::new(true)
            .unwrap()
            .compress(ORDER)
            .unwrap()
            .unwrap();
        let without = zstd::bulk::compress(ORDER.as_bytes(), LEVEL).unwrap();
        let sizes = (with.len(), without.len());
        assert!(with.len() * 2 < without.len(), "{sizes:?}");
    }

    #[test]
    fn without_raw_only_the_hash_stays() {
        let mut press = RawEncoder::new(false).unwrap();
        let [a, b] = ["{}", "{ }"].map(|raw| press.content(raw).unwrap());
        assert!(a.compressed.is_none());
        assert_ne!(a.hash, b.hash);
        assert_eq!(a.hash, press.content("{}").unwrap().hash);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let mut press = RawEncoder::new(false).unwrap();
        let a = press.content_of(["ab", "c"]).unwrap();
        let b = press.content_of(["a", "bc"]).unwrap();
        assert_ne!(a.hash, b.hash);
    }
}
