//! The fixed statuses of an order and how an order's age decides its status.
//! The ids and slugs are Salla's own lookup table (docs.salla.dev, List Order
//! Statuses), which is the same for every shop.

use super::draw::Draw;
use serde::{Deserialize, Serialize};

/// A status that every shop has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Original {
    PaymentPending,
    UnderReview,
    InProgress,
    Completed,
    Delivering,
    Delivered,
    Shipped,
    Canceled,
    Restored,
    Restoring,
}

impl Original {
    pub const ALL: [Self; 10] = [
        Self::PaymentPending,
        Self::UnderReview,
        Self::InProgress,
        Self::Completed,
        Self::Delivering,
        Self::Delivered,
        Self::Shipped,
        Self::Canceled,
        Self::Restored,
        Self::Restoring,
    ];

    /// Id, slug, and name in Arabic and English.
    fn facts(self) -> (i64, &'static str, &'static str, &'static str) {
        match self {
            Self::PaymentPending => (
                1_473_353_380,
                "payment_pending",
                "بإنتظار الدفع",
                "Payment pending",
            ),
            Self::UnderReview => (
                566_146_469,
                "under_review",
                "بإنتظار المراجعة",
                "Under review",
            ),
            Self::InProgress => (1_939_592_358, "in_progress", "قيد التنفيذ", "In progress"),
            Self::Completed => (1_298_199_463, "completed", "تم التنفيذ", "Completed"),
            Self::Delivering => (349_994_915, "delivering", "جاري التوصيل", "Delivering"),
            Self::Delivered => (1_723_506_348, "delivered", "تم التوصيل", "Delivered"),
            Self::Shipped => (814_202_285, "shipped", "تم الشحن", "Shipped"),
            Self::Canceled => (525_144_736, "canceled", "ملغي", "Canceled"),
            Self::Restored => (989_286_562, "restored", "مسترجع", "Restored"),
            Self::Restoring => (1_548_352_431, "restoring", "قيد الإسترجاع", "Restoring"),
        }
    }

    pub fn id(self) -> i64 {
        self.facts().0
    }

    pub fn slug(self) -> &'static str {
        self.facts().1
    }

    pub fn arabic(self) -> &'static str {
        self.facts().2
    }

    pub fn english(self) -> &'static str {
        self.facts().3
    }

    /// Fresh orders wait, week-old ones travel, old ones are settled.
    pub(crate) fn for_age(age_seconds: i64, draw: &mut Draw) -> Self {
        const DAY: i64 = 86_400;
        if age_seconds < 2 * DAY {
            draw.weighted(&[
                (2, Self::PaymentPending),
                (4, Self::UnderReview),
                (4, Self::InProgress),
            ])
        } else if age_seconds < 7 * DAY {
            draw.weighted(&[
                (2, Self::InProgress),
                (3, Self::Shipped),
                (3, Self::Delivering),
                (4, Self::Delivered),
                (4, Self::Completed),
                (1, Self::Canceled),
            ])
        } else {
            draw.weighted(&[
                (70, Self::Completed),
                (18, Self::Delivered),
                (8, Self::Canceled),
                (3, Self::Restored),
                (1, Self::Restoring),
            ])
        }
    }
}
