//! A place where Salla sends an array, or one of the many things PHP writes for
//! "no array".

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Kind, odd_scalars, text_or_absent};

#[derive(Default)]
pub(crate) enum List<T> {
    /// The key is absent.
    #[default]
    Missing,
    /// null, `""` or `"null"`.
    Empty,
    /// An array; `{}`, which PHP writes for an empty one; or the values of an
    /// object whose keys are numbers, which PHP writes for an array with holes.
    Of(Vec<T>),
    /// Something that no known quirk explains.
    Odd,
}

impl<T> List<T> {
    pub(crate) fn rows(&self) -> &[T] {
        match self {
            Self::Of(rows) => rows,
            Self::Missing | Self::Empty | Self::Odd => &[],
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element()? {
            rows.push(row);
        }
        Ok(List::Of(rows))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key.bytes().all(|byte| byte.is_ascii_digit()) {
                rows.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(List::Odd);
            }
        }
        Ok(List::Of(rows))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(match text_or_absent(Cow::Borrowed(text)) {
            Kind::Absent => List::Empty,
            _ => List::Odd,
        })
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(List::Empty)
    }

    odd_scalars!(List::Odd);
}
