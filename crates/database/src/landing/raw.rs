//! Raw records: a hash that tells whether the content changed, and the compressed
//! text for runs that keep it.

use domain::failure::Failure;
use twox_hash::XxHash3_128;

/// XXH3 with 128 bits: enough to tell two contents of one record apart, and a tenth of
/// the time of a cryptographic hash. A shop that forges its own records deceives only
/// itself.
const HASH_BYTES: usize = 16;

/// Part of every hash. Raise it when the translation of records reads more than
/// before, so that importing again writes rows whose raw text has not changed.
const READING: &[u8] = b"reading 1\n";

/// The fastest level: it halves the time of the default one and loses little.
const LEVEL: i32 = 1;

pub(crate) struct Content {
    pub(crate) hash: [u8; HASH_BYTES],
    pub(crate) compressed: Option<Vec<u8>>,
}

/// Hashes and, where the run keeps raw records, compresses them.
pub(crate) struct Press {
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl Press {
    pub(crate) fn new(keep_raw: bool) -> Result<Self, Failure> {
        let compressor = keep_raw
            .then(|| zstd::bulk::Compressor::new(LEVEL))
            .transpose()
            .map_err(|_| broken())?;
        Ok(Self { compressor })
    }

    pub(crate) fn content(&mut self, raw: &str) -> Result<Content, Failure> {
        self.content_of([raw])
    }

    /// The content of a record that came in parts; only the first is compressed.
    pub(crate) fn content_of<const N: usize>(
        &mut self,
        parts: [&str; N],
    ) -> Result<Content, Failure> {
        let mut hasher = XxHash3_128::new();
        hasher.write(READING);
        for part in parts {
            hasher.write(&part.len().to_le_bytes());
            hasher.write(part.as_bytes());
        }
        let hash: [u8; HASH_BYTES] = hasher.finish_128().to_le_bytes();
        let compressed = match parts.first() {
            Some(raw) => self.compress(raw)?,
            None => None,
        };
        Ok(Content { hash, compressed })
    }

    pub(crate) fn compress(&mut self, raw: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.compressor
            .as_mut()
            .map(|compressor| compressor.compress(raw.as_bytes()))
            .transpose()
            .map_err(|_| broken())
    }
}

/// The raw text of a stored record.
pub(crate) fn decompress(stored: &[u8]) -> Result<String, Failure> {
    let bytes = zstd::decode_all(stored).map_err(|_| broken())?;
    String::from_utf8(bytes).map_err(|_| broken())
}

fn broken() -> Failure {
    Failure::Bug {
        what: "a raw record could not be compressed or decompressed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let raw = "{\"name\":\"متجر\"}".repeat(50);
        let content = Press::new(true).unwrap().content(&raw).unwrap();
        let stored = content.compressed.unwrap();
        assert!(stored.len() < raw.len());
        assert_eq!(decompress(&stored).unwrap(), raw);
    }

    #[test]
    fn without_raw_only_the_hash_stays() {
        let mut press = Press::new(false).unwrap();
        let [a, b] = ["{}", "{ }"].map(|raw| press.content(raw).unwrap());
        assert!(a.compressed.is_none());
        assert_ne!(a.hash, b.hash);
        assert_eq!(a.hash, press.content("{}").unwrap().hash);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let mut press = Press::new(false).unwrap();
        let a = press.content_of(["ab", "c"]).unwrap();
        let b = press.content_of(["a", "bc"]).unwrap();
        assert_ne!(a.hash, b.hash);
    }
}
