//! A message as its reader sees it: headers and parts, decoded (RFC 2045, 2047, 5322).

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// As it came over the wire, lines ended by CR LF.
    pub raw: String,
}

impl Mail {
    /// The value of a header, decoded, of the first that has this name.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.raw, name).map(|value| decoded_words(&value))
    }

    /// The names of all headers, in their order.
    pub fn header_names(&self) -> Vec<String> {
        let names = unfolded(&self.raw);
        let names = names.iter().filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.to_ascii_lowercase()).collect()
    }

    /// The decoded text of the first part of this type, such as `text/plain`.
    pub fn part(&self, mime_type: &str) -> Option<String> {
        part(&self.raw, mime_type)
    }
}

/// The head's lines, each whole.
fn unfolded(entity: &str) -> Vec<String> {
    let head = entity.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match (line.starts_with([' ', '\t']), lines.last_mut()) {
            (true, Some(last)) => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

fn header(entity: &str, name: &str) -> Option<String> {
    unfolded(entity).into_iter().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

fn part(entity: &str, wanted: &str) -> Option<String> {
    let kind = header(entity, "content-type").unwrap_or_default();
    let (_, body) = entity.split_once("\r\n\r\n")?;
    if let Some((_, rest)) = kind.split_once("boundary=") {
        let boundary = rest.split(';').next()?.trim().trim_matches('"');
        let separator = format!("--{boundary}");
        let parts = body.split(separator.as_str()).skip(1);
        return parts
            .filter(|part| !part.starts_with("--"))
            .find_map(|part| self::part(part.trim_start_matches("\r\n"), wanted));
    }
    kind.starts_with(wanted).then(|| {
        let encoding = header(entity, "content-transfer-encoding").unwrap_or_default();
        let bytes = match encoding.to_ascii_lowercase().as_str() {
            "base64" => base64(body),
            "quoted-printable" => quoted_printable(body),
            _ => body.as_bytes().to_vec(),
        };
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Encoded words; blanks between two of them are not part of the text.
fn decoded_words(value: &str) -> String {
    let mut text = String::new();
    let mut last_was_encoded = false;
    for word in value.split_whitespace() {
        let decoded = decoded_word(word);
        let continues_encoded = last_was_encoded && decoded.is_some();
        if !text.is_empty() && !continues_encoded {
            text.push(' ');
        }
        last_was_encoded = decoded.is_some();
        text.push_str(decoded.as_deref().unwrap_or(word));
    }
    text
}

fn decoded_word(word: &str) -> Option<String> {
    let inside = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut fields = inside.splitn(3, '?');
    let (charset, encoding, text) = (fields.next()?, fields.next()?, fields.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "b" => base64(text),
        "q" => quoted_printable(&text.replace('_', " ")),
        _ => return None,
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

fn quoted_printable(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'=' {
            bytes.push(*first);
            continue;
        }
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            // The line continues.
            None => rest = after.strip_prefix(b"\r\n").unwrap_or(after),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_its_sender_meant_it() {
        let raw = "Subject: =?utf-8?B?2YXYqtis2LE=?= =?utf-8?Q?_a=C3=A9?=\r\n x\r\n\
                   Content-Type: multipart/alternative;\r\n boundary=\"b\"\r\n\r\n\
                   --b\r\nContent-Type: text/plain; charset=utf-8\r\n\
                   Content-Transfer-Encoding: quoted-printable\r\n\r\n\
                   a=3Db =D9=85=\r\nc\r\n--b\r\nContent-Type: text/html\r\n\
                   Content-Transfer-Encoding: base64\r\n\r\nPGI+\r\n--b--\r\n";
        let mail = Mail {
            from: String::new(),
            to: Vec::new(),
            raw: raw.to_owned(),
        };
        assert_eq!(mail.header("subject").unwrap(), "متجر aé x");
        assert_eq!(mail.header_names(), ["subject", "content-type"]);
        assert_eq!(mail.part("text/plain").unwrap(), "a=b مc\r\n");
        assert_eq!(mail.part("text/html").unwrap(), "<b>");
        assert_eq!(mail.part("text/calendar"), None);
    }
}
