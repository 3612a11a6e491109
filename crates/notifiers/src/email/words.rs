//! What an e-mail says, and how it is set.
//!
//! Mail readers know little of style sheets, and some turn a page around that says nothing of
//! its direction: so every cell says its own, and styles are inline.

use domain::contact::{Language, one_line};
use domain::job::NotificationKind;
use domain::notification::{Bilingual, Counts, wording};
use importer::ports::notifications::Notice;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use url::Url;

/// So much of a shop's name is in a subject.
const NAME_IN_SUBJECT: usize = 60;
/// And in a separate row.
const NAME: usize = 120;
/// Riyadh has had no other time since 1947.
const RIYADH: Offset = jiff::tz::offset(3);

const ARABIC_MONTHS: [&str; 12] = [
    "يناير",
    "فبراير",
    "مارس",
    "أبريل",
    "مايو",
    "يونيو",
    "يوليو",
    "أغسطس",
    "سبتمبر",
    "أكتوبر",
    "نوفمبر",
    "ديسمبر",
];

/// A letter in one language.
pub(super) struct Letter {
    language: Language,
    pub(super) subject: String,
    title: String,
    paragraphs: Vec<String>,
    action: &'static str,
    sign_in: String,
    /// Labels and values.
    facts: Vec<(&'static str, String)>,
    footer: &'static str,
}

impl Letter {
    pub(super) fn new(notice: &Notice, language: Language, sign_in: &Url) -> Self {
        let progress = &notice.progress;
        let counts = Counts {
            orders: progress.orders,
            customers: progress.customers,
            products: progress.products,
        };
        let words = wording(notice.kind, &notice.shop.name, counts);
        let chosen = |text: Bilingual| match language {
            Language::Arabic => text.ar,
            Language::English => text.en,
        };
        let word = |ar, en| match language {
            Language::Arabic => ar,
            Language::English => en,
        };
        let title = chosen(words.title);
        // A name that looks like an encoded word would be decoded by mail readers.
        let subject_name = one_line(&notice.shop.name, NAME_IN_SUBJECT).replace("=?", "= ?");
        let action = match notice.kind {
            NotificationKind::SyncComplete => word("تسجيل الدخول", "Sign in"),
            NotificationKind::SyncFailed => {
                word("تسجيل الدخول للبدء من جديد", "Sign in to start again")
            }
            NotificationKind::ReconnectNeeded => {
                word("تسجيل الدخول لربط المتجر", "Sign in to connect the shop")
            }
        };
        Self {
            language,
            subject: match subject_name.is_empty() {
                true => title.clone(),
                false => format!("{title} – {subject_name}"),
            },
            title,
            paragraphs: vec![chosen(words.body), chosen(words.next)],
            action,
            sign_in: sign_in.to_string(),
            facts: vec![
                (word("المتجر", "Shop"), one_line(&notice.shop.name, NAME)),
                (
                    word("رقم المتجر", "Shop number"),
                    notice.shop.salla_id.to_string(),
                ),
                (word("الوقت", "Time"), moment(notice.ended_at, language)),
            ],
            footer: word(
                "تصلك هذه الرسالة لأن متجرك مرتبط بهذا التطبيق. لا تتضمن الرسالة كلمة مرور، ولن نطلبها منك بالبريد.",
                "You receive this message because your shop is connected to this app. It contains \
                 no password, and we never ask for one by e-mail.",
            ),
        }
    }

    /// As plain text. A value that may run the other way is isolated from what is around it.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for paragraph in &self.paragraphs {
            text.push_str(&format!("{paragraph}\n\n"));
        }
        text.push_str(&format!("{}:\n{}\n\n", self.action, self.sign_in));
        for (label, value) in &self.facts {
            text.push_str(&format!("{label}: \u{2068}{value}\u{2069}\n"));
        }
        text.push_str(&format!("\n-- \n{}\n", self.footer));
        text
    }

    pub(super) fn html(&self) -> String {
        let language = self.language.as_str();
        let direction = self.language.direction();
        let align = match self.language {
            Language::Arabic => "right",
            Language::English => "left",
        };
        let cell = |style: &str, inside: &str| {
            format!(
                "<td dir=\"{direction}\" align=\"{align}\" style=\"direction:{direction};\
                 text-align:{align};font-family:Tahoma,Arial,sans-serif;{style}\">{inside}</td>"
            )
        };
        let row = |style: &str, inside: &str| format!("<tr>{}</tr>\n", cell(style, inside));
        let mut rows = row(
            "padding:24px 24px 0;font-size:20px;line-height:30px;font-weight:bold;color:#1f2933",
            &escaped(&self.title),
        );
        for paragraph in &self.paragraphs {
            rows.push_str(&row(
                "padding:12px 24px 0;font-size:16px;line-height:26px;color:#1f2933",
                &escaped(paragraph),
            ));
        }
        let link = format!(
            "<a href=\"{}\" style=\"display:inline-block;padding:12px 24px;background-color:#004d5a;\
             color:#ffffff;text-decoration:none;font-weight:bold\">{}</a>",
            escaped(&self.sign_in),
            escaped(self.action)
        );
        rows.push_str(&row("padding:20px 24px 0;font-size:16px", &link));
        let facts: String = self
            .facts
            .iter()
            .map(|(label, value)| {
                let small = "padding:4px 0;font-size:14px;line-height:22px;color:#52606d";
                format!(
                    "<tr>{}{}</tr>\n",
                    cell(&format!("{small};padding-inline-end:16px"), &escaped(label)),
                    cell(small, &format!("<bdi>{}</bdi>", escaped(value)))
                )
            })
            .collect();
        let facts = format!(
            "<table role=\"presentation\" dir=\"{direction}\" cellpadding=\"0\" cellspacing=\"0\" \
             border=\"0\">\n{facts}</table>"
        );
        rows.push_str(&row("padding:20px 24px 0", &facts));
        rows.push_str(&row(
            "padding:20px 24px 24px;font-size:12px;line-height:20px;color:#52606d",
            &escaped(self.footer),
        ));
        format!(
            "<!doctype html>\n<html lang=\"{language}\" dir=\"{direction}\">\n<head>\n\
             <meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{}</title>\n</head>\n\
             <body dir=\"{direction}\" style=\"margin:0;padding:0;background-color:#f5f7fa\">\n\
             <table role=\"presentation\" dir=\"{direction}\" width=\"100%\" cellpadding=\"0\" \
             cellspacing=\"0\" border=\"0\">\n<tr><td dir=\"{direction}\" align=\"center\" \
             style=\"padding:24px 8px\">\n\
             <table role=\"presentation\" dir=\"{direction}\" width=\"100%\" cellpadding=\"0\" \
             cellspacing=\"0\" border=\"0\" style=\"max-width:600px;background-color:#ffffff\">\n\
             {rows}</table>\n</td></tr>\n</table>\n</body>\n</html>\n",
            escaped(&self.subject)
        )
    }
}

/// When something happened, in Riyadh, with the digits that Salla shows in both languages.
fn moment(at: Timestamp, language: Language) -> String {
    let at = at.to_zoned(TimeZone::fixed(RIYADH));
    let month = usize::try_from(at.month() - 1).unwrap_or_default();
    match language {
        Language::Arabic => format!(
            "{} {} {}، {:02}:{:02} (بتوقيت الرياض)",
            at.day(),
            ARABIC_MONTHS.get(month).copied().unwrap_or_default(),
            at.year(),
            at.hour(),
            at.minute()
        ),
        Language::English => at.strftime("%-d %B %Y, %H:%M (Riyadh time)").to_string(),
    }
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use domain::run::RunId;
    use domain::shop::MerchantId;
    use importer::ports::runs::{ShopSummary, StoredProgress};
    use uuid::Uuid;

    use super::*;

    fn notice(kind: NotificationKind, name: &str) -> Notice {
        Notice {
            id: Uuid::from_u128(7),
            kind,
            shop: ShopSummary {
                merchant: MerchantId(Uuid::from_u128(1)),
                salla_id: 42,
                name: name.to_owned(),
                plan: "plus".to_owned(),
            },
            run: RunId(Uuid::from_u128(2)),
            // The day is another one in Riyadh.
            ended_at: "2026-06-14T22:05:00Z".parse().unwrap(),
            progress: StoredProgress {
                orders: 12_345,
                ..StoredProgress::default()
            },
            failure: None,
        }
    }

    fn letter(kind: NotificationKind, name: &str, language: Language) -> Letter {
        let sign_in = "https://sync.example.com/".parse().unwrap();
        Letter::new(&notice(kind, name), language, &sign_in)
    }

    #[test]
    fn every_cell_says_which_way_it_runs() {
        for kind in NotificationKind::ALL {
            for (language, direction) in [(Language::Arabic, "rtl"), (Language::English, "ltr")] {
                let html = letter(kind, "متجر", language).html();
                let cells = html.matches("<td").count();
                assert!(cells > 8, "{cells}");
                let directed = html
                    .matches(&format!("<td dir=\"{direction}\" align="))
                    .count();
                assert_eq!(directed, cells);
                assert!(html.contains(&format!(
                    "<html lang=\"{}\" dir=\"{direction}\">",
                    language.as_str()
                )));
                assert_eq!(html.matches("<tr").count(), html.matches("</tr>").count());
            }
        }
    }

    #[test]
    fn both_forms_say_the_same_and_lead_to_signing_in() {
        for kind in NotificationKind::ALL {
            for language in Language::ALL {
                let letter = letter(kind, "متجر", language);
                let (text, html) = (letter.text(), letter.html());
                for part in letter
                    .paragraphs
                    .iter()
                    .chain([&letter.title, &letter.sign_in])
                {
                    assert!(text.contains(part.as_str()), "{part}");
                    assert!(html.contains(&escaped(part)), "{part}");
                }
                assert!(text.contains("12,345") == (kind != NotificationKind::ReconnectNeeded));
            }
        }
        let failed = letter(NotificationKind::SyncFailed, "x", Language::English).text();
        assert!(failed.contains("start it again"), "{failed}");
    }

    #[test]
    fn the_name_of_a_shop_is_text_and_nothing_else() {
        let name = "<b>\u{202e}x\"&'\r\nBcc: a@example.com</b>";
        for language in Language::ALL {
            let letter = letter(NotificationKind::SyncComplete, name, language);
            assert!(!letter.subject.contains(['\r', '\n', '\u{202e}']));
            let html = letter.html();
            assert!(
                !html.contains("<b>") && !html.contains('\u{202e}'),
                "{html}"
            );
            assert!(html.contains("&lt;b&gt;x&quot;&amp;&#39; Bcc"), "{html}");
            assert!(!letter.text().contains('\u{202e}'));
        }
    }

    #[test]
    fn times_are_those_of_riyadh() {
        let at = "2026-06-14T22:05:00Z".parse().unwrap();
        assert_eq!(
            moment(at, Language::English),
            "15 June 2026, 01:05 (Riyadh time)"
        );
        assert_eq!(
            moment(at, Language::Arabic),
            "15 يونيو 2026، 01:05 (بتوقيت الرياض)"
        );
    }
}
