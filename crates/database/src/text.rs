//! Text on its way into PostgreSQL.

use std::borrow::Cow;

/// What a nullable text column takes.
pub(crate) type OptionalText<'a> = Option<Cow<'a, str>>;

/// PostgreSQL's text cannot hold the character U+0000, which JSON can. It is left
/// out here; the raw record keeps it.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', ""))
    } else {
        Cow::Borrowed(text)
    }
}

pub(crate) fn optional(text: &Option<String>) -> OptionalText<'_> {
    text.as_deref().map(storable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_null_characters_are_left_out() {
        assert_eq!(storable("a\0ب\0"), "aب");
        assert!(matches!(storable("متجر"), Cow::Borrowed("متجر")));
    }
}
