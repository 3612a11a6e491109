//! A place where Salla sends an object, or one of the many things PHP writes for
//! "no object".

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::{Kind, odd_scalars, text_or_absent, without_nul};

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
