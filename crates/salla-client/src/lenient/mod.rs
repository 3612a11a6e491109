//! JSON values as Salla really sends them (docs/salla-api.md#empty-values-and-types):
//! numbers as strings, `{}`, `[]`, `""`, `"null"` and null for "nothing", booleans as 0
//! and 1.
//!
//! The types here never fail to deserialize because of a wrong type. A [`Json`] keeps the text of a
//! value, which is interpreted later, where it is known whether the field matters and where in the
//! record it is; [`Object`] and [`List`] record that they were given something else. So a record is
//! decoded in one pass, and a bad field costs no second one.
//!
//! Numbers are read from their text: no amount ever passes through a float.

mod mend;
pub(crate) mod number;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use rust_decimal::Decimal;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

pub(crate) use mend::{mend, readable};
pub(crate) use number::NumberError;

/// The JSON text of one value, or nothing where the key is absent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Json<'a>(Option<&'a str>);

/// What a [`Json`] turns out to be.
pub(crate) enum Kind<'a> {
    /// Key absent, null, `""`, `"null"`, `{}` or `[]`.
    Absent,
    /// A string that holds more than blanks.
    Text(Cow<'a, str>),
    /// A number, as written.
    Number(&'a str),
    Flag(bool),
    /// An object with members, as written.
    Object(&'a str),
    /// An array with elements.
    List,
}

impl<'a> Json<'a> {
    #[cfg(test)]
    pub(crate) fn new(text: &'a str) -> Self {
        Self(Some(text.trim_ascii()))
    }

    pub(crate) fn kind(self) -> Kind<'a> {
        let Some(json) = self.0 else {
            return Kind::Absent;
        };
        match json.as_bytes().first() {
            Some(b'"') => string(json),
            Some(b'{') if is_hollow(json) => Kind::Absent,
            Some(b'{') => Kind::Object(json),
            Some(b'[') if is_hollow(json) => Kind::Absent,
            Some(b'[') => Kind::List,
            Some(b't') => Kind::Flag(true),
            Some(b'f') => Kind::Flag(false),
            Some(b'n') | None => Kind::Absent,
            Some(_) => Kind::Number(json),
        }
    }

    pub(crate) fn is_absent(self) -> bool {
        matches!(self.kind(), Kind::Absent)
    }

    /// This value, or `other` where this one says nothing.
    pub(crate) fn or(self, other: Self) -> Self {
        if self.is_absent() { other } else { self }
    }

    /// Text; a number counts as its digits, because Salla sends mobile numbers and
    /// SKUs as either. Anything else is absent: no text is ever required.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Text(text) => Some(text),
            Kind::Number(digits) => Some(Cow::Borrowed(digits)),
            _ => None,
        }
    }

    pub(crate) fn string(self) -> Option<String> {
        self.text().map(Cow::into_owned)
    }

    /// `true`, `1`, `"1"`, `"true"` and their opposites; anything else is absent.
    pub(crate) fn flag(self) -> Option<bool> {
        let word = match self.kind() {
            Kind::Flag(flag) => return Some(flag),
            Kind::Number(digits) => Cow::Borrowed(digits),
            Kind::Text(text) => text,
            _ => return None,
        };
        match word.trim() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        }
    }

    /// An exact number, from a JSON number or from a string in Western or
    /// Arabic-Indic digits.
    pub(crate) fn decimal(self) -> Result<Option<Decimal>, NumberError> {
        match self.kind() {
            Kind::Absent => Ok(None),
            Kind::Number(text) => number::decimal(text).map(Some),
            Kind::Text(text) => number::decimal(&text).map(Some),
            _ => Err(NumberError::NotANumber),
        }
    }

    /// A whole number.
    pub(crate) fn integer(self) -> Result<Option<i64>, NumberError> {
        match self.kind() {
            Kind::Absent => Ok(None),
            Kind::Number(text) => number::integer(text).map(Some),
            Kind::Text(text) => number::integer(&text).map(Some),
            _ => Err(NumberError::NotANumber),
        }
    }

    /// A reference to another record: absent where it is unreadable, and where it
    /// is 0, which is how Salla writes "none".
    pub(crate) fn reference(self) -> Option<i64> {
        self.integer().ok().flatten().filter(|id| *id > 0)
    }
}

/// `{}` or `[]`, blanks inside permitted.
fn is_hollow(json: &str) -> bool {
    json.len() >= 2 && json[1..json.len() - 1].trim_ascii().is_empty()
}

/// Escapes that make no text, such as half of a pair of surrogates, become U+FFFD: the
/// rest of the text is worth keeping.
fn string(json: &str) -> Kind<'_> {
    let inner = json
        .get(1..json.len().saturating_sub(1))
        .unwrap_or_default();
    if !inner.contains('\\') {
        return text_or_absent(Cow::Borrowed(inner));
    }
    let text =
        serde_json::from_str::<String>(json).or_else(|_| serde_json::from_str(&mend::mended(json)));
    text_or_absent(Cow::Owned(without_nul(text.unwrap_or_default())))
}

fn text_or_absent(text: Cow<'_, str>) -> Kind<'_> {
    if text.trim().is_empty() || text == "null" {
        Kind::Absent
    } else {
        Kind::Text(text)
    }
}

/// JSON permits U+0000 in a string and PostgreSQL does not: one such name would
/// otherwise fail the transaction of its whole page.
fn without_nul(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        Ok(Self(Some(raw.get())))
    }
}

/// Visitor methods for the scalars that can stand neither for an object nor for an
/// array.
macro_rules! odd_scalars {
    ($odd:expr) => {
        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok($odd)
        }

        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($odd)
        }

        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($odd)
        }

        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($odd)
        }
    };
}

// A place where Salla sends an array, or one of the many things PHP writes for
// "no array".

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

// A place where Salla sends an object, or one of the many things PHP writes for
// "no object".

#[derive(Default)]
pub(crate) enum Object<T> {
    /// The key is absent.
    #[default]
    Missing,
    /// null, `[]`, `""` or `"null"`. An empty object is `Is` with nothing in it.
    Empty,
    Is(T),
    /// A string in place of the object: the status of an order is one in some
    /// webhooks (docs/salla-api.md#events).
    Text(String),
    /// Something that no known quirk explains.
    Odd,
}

/// Why a body cannot be read as an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoObject {
    NotJson,
    Other,
    /// A member stands twice, so that two readers may read two things.
    Twice,
}

/// Reads a whole body. Types that do not fit are never an error, as everywhere here.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, NoObject> {
    let text = std::str::from_utf8(body).map_err(|_| NoObject::NotJson)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_json::from_str::<Object<T>>(text) {
        Ok(Object::Is(object)) => Ok(object),
        Ok(_) => Err(NoObject::Other),
        Err(error) => Err(match error.classify() {
            Category::Syntax | Category::Eof | Category::Io => NoObject::NotJson,
            Category::Data => NoObject::Twice,
        }),
    }
}

impl<T> Object<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Missing | Self::Empty | Self::Text(_) | Self::Odd => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object::Is)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = 0_usize;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            elements += 1;
        }
        Ok(if elements == 0 {
            Object::Empty
        } else {
            Object::Odd
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(match text_or_absent(Cow::Borrowed(text)) {
            Kind::Text(text) => Object::Text(without_nul(text.into_owned())),
            _ => Object::Empty,
        })
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Object::Empty)
    }

    odd_scalars!(Object::Odd);
}
