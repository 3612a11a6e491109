//! Whom of a shop e-mails reach, and in which language.

crate::names! {
    /// The languages of Salla's merchants, by their tags as HTML and headers have them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Language {
        #[default]
        Arabic = "ar",
        English = "en",
    }
}

impl Language {
    /// In which direction it is written, as HTML says it.
    pub fn direction(self) -> &'static str {
        match self {
            Self::Arabic => "rtl",
            Self::English => "ltr",
        }
    }
}

/// The address of a person. It is personal data, so neither `Debug` nor any error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

/// What SMTP permits.
const MAX_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;
const MAX_LABEL_BYTES: usize = 63;

impl EmailAddress {
    /// Takes what mail servers take without quotes: `name@host.example`, in any script.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let is_plain = |c: char| {
            let is_special = matches!(c, '@' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';');
            let is_quoting = matches!(c, ':' | '"' | '\\');
            !is_special && !is_quoting && !c.is_whitespace() && !is_invisible(c)
        };
        let is_label = |label: &str| {
            let is_inside = |c: char| c.is_alphanumeric() || c == '-' || !c.is_ascii();
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && label.chars().all(|c| is_inside(c) && is_plain(c))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_address = text.len() <= MAX_BYTES
            && (1..=MAX_LOCAL_BYTES).contains(&local.len())
            && local.chars().all(is_plain)
            && !local.split('.').any(str::is_empty)
            && domain.contains('.')
            && domain.split('.').all(is_label);
        is_address.then(|| Self(text.to_owned()))
    }

    /// For code that sends e-mail.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmailAddress")
    }
}

/// Who receives e-mails about a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub address: EmailAddress,
    pub language: Language,
}

/// Whether a character shows nothing and may change how others show: control characters,
/// marks of direction and joining, and what breaks lines.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fffc}'
        )
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A user-chosen name on one line, of at most `max` characters, without characters that change the
/// direction of the text around it.
pub fn one_line(name: &str, max: usize) -> String {
    let visible = |c: char| match c {
        c if c.is_whitespace() => Some(' '),
        // They join letters and turn nothing around.
        '\u{200c}' | '\u{200d}' => Some(c),
        c if is_invisible(c) => None,
        c => Some(c),
    };
    let visible: String = name.chars().filter_map(visible).collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let line = words.join(" ");
    match line.chars().count() > max {
        true => {
            let kept: String = line.chars().take(max.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end())
        }
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_mail_servers_take_them() {
        for text in [
            "a@example.com",
            "first.last+tag@mail.example.co",
            "o'hara@example.com",
            " padded@example.com ",
            "متجر@مثال.إختبار",
            "name@xn--mgbh0fb.xn--kgbechtv",
        ] {
            let address = EmailAddress::parse(text);
            assert_eq!(address.unwrap().as_str(), text.trim(), "{text}");
        }
        let long = format!("a@{}.com", "b".repeat(260));
        for text in [
            "",
            "@",
            "a@",
            "@example.com",
            "a@localhost",
            "a@b@example.com",
            "a b@example.com",
            "a@exa mple.com",
            "a@-example.com",
            "a@example..com",
            ".a@example.com",
            "a..b@example.com",
            "\"a\"@example.com",
            "a@example.com\r\nBcc: b@example.com",
            "a\u{202e}@example.com",
            "<a@example.com>",
            "a@[127.0.0.1]",
            &long,
        ] {
            assert_eq!(EmailAddress::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_address_is_not_shown() {
        let address = EmailAddress::parse("secret@example.com").unwrap();
        let contact = Contact {
            address,
            language: Language::English,
        };
        assert!(!format!("{contact:?}").contains("secret"));
    }

    #[test]
    fn names_stay_on_their_line_and_turn_nothing_around() {
        let table = [
            ("متجر النخلة", "متجر النخلة"),
            ("a\r\nBcc: x@example.com", "a Bcc: x@example.com"),
            ("\u{202e}evil\u{202c} \u{2066}x\u{2069}", "evil x"),
            ("  a\t\u{a0}b\u{2028}c  ", "a b c"),
            ("a\u{200f}\u{feff}\0b", "ab"),
            ("😀 shop", "😀 shop"),
        ];
        for (name, line) in table {
            assert_eq!(one_line(name, 80), line, "{name:?}");
        }
        assert_eq!(one_line("abcdefgh", 5), "abcd…");
        assert_eq!(one_line("abcde", 5), "abcde");
    }
}
