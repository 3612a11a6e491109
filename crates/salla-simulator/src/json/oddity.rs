//! Decides which field of which record is odd. With all chances at zero it
//! costs one comparison per field.

use crate::scenario::{Filling, FloatDigits, LongRecords, Quirks};
use crate::shop::{Draw, Stream};

#[derive(Debug)]
pub(crate) struct Oddity {
    quirks: Quirks,
    any: bool,
    draw: Draw,
}

pub(crate) enum Emptiness {
    Null,
    Object,
    Array,
    Absent,
}

pub(crate) enum Dating {
    Object,
    Plain,
    IsoUtc,
    Epoch,
}

impl Oddity {
    pub(crate) fn new(quirks: Quirks) -> Self {
        let none = Quirks {
            utc_labelled_dates: quirks.utc_labelled_dates,
            float_digits: quirks.float_digits,
            damaged_texts: quirks.damaged_texts,
            damage_spares_names: quirks.damage_spares_names,
            long_records: quirks.long_records,
            gzip: quirks.gzip,
            ..Quirks::default()
        };
        Self {
            quirks,
            any: quirks != none,
            draw: Draw::of(0, Stream::Quirk, 0),
        }
    }

    pub(crate) fn begin(&mut self, seed: u64, index: u64) {
        if self.any {
            self.draw = Draw::of(seed, Stream::Quirk, index);
        }
    }

    pub(crate) fn long_record(&self, id: i64) -> Option<LongRecords> {
        let is_one = |long: &LongRecords| id.unsigned_abs().is_multiple_of(long.one_of.max(1));
        self.quirks.long_records.filter(is_one)
    }

    pub(crate) fn string_number(&mut self) -> bool {
        self.happens(self.quirks.string_numbers)
    }

    pub(crate) fn arabic_digits(&mut self) -> bool {
        self.happens(self.quirks.arabic_digits)
    }

    pub(crate) fn literal_null(&mut self) -> bool {
        self.happens(self.quirks.literal_null)
    }

    pub(crate) fn emptiness(&mut self) -> Emptiness {
        if !self.happens(self.quirks.empty_forms) {
            return Emptiness::Null;
        }
        match self.draw.below(3) {
            0 => Emptiness::Object,
            1 => Emptiness::Array,
            _ => Emptiness::Absent,
        }
    }

    pub(crate) fn dating(&mut self) -> Dating {
        if !self.happens(self.quirks.date_forms) {
            return Dating::Object;
        }
        match self.draw.below(3) {
            0 => Dating::Plain,
            1 => Dating::IsoUtc,
            _ => Dating::Epoch,
        }
    }

    pub(crate) fn float_digits(&self) -> FloatDigits {
        self.quirks.float_digits
    }

    pub(crate) fn utc_labelled(&self) -> bool {
        self.quirks.utc_labelled_dates
    }

    fn happens(&mut self, chance: f64) -> bool {
        self.any && self.draw.chance(chance)
    }
}

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
