//! Notifications about the end of an import: who gets them, and their text.

use crate::contact::one_line;
use crate::job::NotificationKind;
use crate::numbers::grouped;

/// Whom a channel reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The merchant, or the app that informs the merchant: gets every ending.
    Merchant,
    /// The team that runs salla-sync: gets what operators or developers must act on.
    Operator,
}

impl Audience {
    /// Whether this audience is notified of an ending: a failure goes to those who must act on it.
    pub fn receives(self, kind: NotificationKind) -> bool {
        match (self, kind) {
            (Self::Merchant, _) | (Self::Operator, NotificationKind::SyncFailed) => true,
            // Only the merchant can act on a lost connection, and no one needs to act on a success.
            (
                Self::Operator,
                NotificationKind::SyncComplete | NotificationKind::ReconnectNeeded,
            ) => false,
        }
    }
}

/// A short text in both languages of Salla's merchants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bilingual {
    pub ar: String,
    pub en: String,
}

/// What a notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    pub title: Bilingual,
    pub body: Bilingual,
    /// What to do next, for a text that stands outside the app.
    pub next: Bilingual,
}

/// The counts in a notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub orders: u64,
    pub customers: u64,
    pub products: u64,
}

/// So much of a shop's name is shown: merchants call their shops what they like.
const SHOP_NAME: usize = 80;

/// The words for the merchant of `shop`.
pub fn wording(kind: NotificationKind, shop: &str, counts: Counts) -> Wording {
    let (orders, customers, products) = (
        grouped(counts.orders),
        grouped(counts.customers),
        grouped(counts.products),
    );
    let shop = one_line(shop, SHOP_NAME);
    match kind {
        NotificationKind::SyncComplete => Wording {
            title: Bilingual {
                ar: "اكتمل استيراد بيانات متجرك".to_owned(),
                en: "Your shop's history has been imported".to_owned(),
            },
            body: Bilingual {
                ar: format!(
                    "اكتمل استيراد بيانات متجر «{shop}». الطلبات: {orders}، العملاء: {customers}، \
                     المنتجات: {products}."
                ),
                en: format!(
                    "The history of {shop} has been imported. Orders: {orders}, customers: \
                     {customers}, products: {products}."
                ),
            },
            next: Bilingual {
                ar: "سجّل الدخول لعرض طلباتك وعملائك ومنتجاتك.".to_owned(),
                en: "Sign in to see your orders, customers and products.".to_owned(),
            },
        },
        NotificationKind::SyncFailed => Wording {
            title: Bilingual {
                ar: "توقّف استيراد بيانات متجرك".to_owned(),
                en: "The import of your shop's history has stopped".to_owned(),
            },
            body: Bilingual {
                ar: format!(
                    "تعذّر إكمال استيراد بيانات متجر «{shop}». ما تم استيراده محفوظ (الطلبات: \
                     {orders})، وقد أُبلغ فريقنا بالأمر."
                ),
                en: format!(
                    "The history of {shop} could not be imported completely. What has been \
                     imported is saved (orders: {orders}), and our team has been notified."
                ),
            },
            next: Bilingual {
                ar: "لبدء الاستيراد من جديد سجّل الدخول واختر «ابدأ من جديد»: يُستأنف من حيث \
                     توقّف ولا يُستورد شيء مرتين."
                    .to_owned(),
                en: "To start it again, sign in and choose “Start again”: it resumes where it \
                     stopped, and nothing is imported twice."
                    .to_owned(),
            },
        },
        NotificationKind::ReconnectNeeded => Wording {
            title: Bilingual {
                ar: "يلزم إعادة ربط متجرك".to_owned(),
                en: "Please connect your shop again".to_owned(),
            },
            body: Bilingual {
                ar: format!(
                    "انقطع الربط مع متجر «{shop}» فتوقّف استيراد بياناته. أعد ربط المتجر ليُستأنف \
                     الاستيراد من حيث توقّف؛ ما تم استيراده محفوظ."
                ),
                en: format!(
                    "The connection to {shop} no longer works, so the import has stopped. Connect \
                     the shop again and the import resumes where it stopped; what has been \
                     imported is saved."
                ),
            },
            next: Bilingual {
                ar: "سجّل الدخول واختر «ربط المتجر».".to_owned(),
                en: "Sign in and choose “Connect shop”.".to_owned(),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_notified_of_what_they_can_act_on() {
        for kind in NotificationKind::ALL {
            assert!(Audience::Merchant.receives(kind));
            let expected = kind == NotificationKind::SyncFailed;
            assert_eq!(Audience::Operator.receives(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn both_languages_name_the_shop_and_the_counts() {
        let counts = Counts {
            orders: 12_345,
            customers: 678,
            products: 90,
        };
        for kind in NotificationKind::ALL {
            let wording = wording(kind, "متجر النخلة", counts);
            for text in [&wording.body.ar, &wording.body.en] {
                assert!(text.contains("متجر النخلة"), "{text}");
            }
            for text in [&wording.title.ar, &wording.next.ar, &wording.next.en] {
                assert!(!text.is_empty());
            }
            assert!(wording.title.en.is_ascii());
        }
        let complete = wording(NotificationKind::SyncComplete, "x", counts);
        for text in [complete.body.ar, complete.body.en] {
            for number in ["12,345", "678", "90"] {
                assert!(text.contains(number), "{text}");
            }
        }
    }
}
