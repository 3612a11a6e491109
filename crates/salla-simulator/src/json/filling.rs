//! What makes a record longer than anything a shop holds.

use crate::scenario::{Filling, LongRecords};

/// Noise does not repeat within what a compressor looks back.
const NOISE: usize = 256 << 10;

impl LongRecords {
    /// A value of about this number of bytes.
    pub(crate) fn write(self, out: &mut String) {
        match self.filling {
            Filling::Letter => text(out, &"x".repeat(self.bytes)),
            Filling::Noise => {
                let mut random = fastrand::Rng::with_seed(1);
                let noise: String = (0..self.bytes.min(NOISE))
                    .map(|_| random.alphanumeric())
                    .collect();
                let mut whole = noise.repeat(self.bytes.div_ceil(NOISE));
                whole.truncate(self.bytes);
                text(out, &whole);
            }
            Filling::Items => {
                const ITEM: &str = r#"{"id":1},"#;
                out.push('[');
                out.push_str(&ITEM.repeat(self.bytes / ITEM.len()));
                out.push_str("{}]");
            }
        }
    }
}

fn text(out: &mut String, text: &str) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}
