//! What the pages say.

use super::Page;

pub(super) struct Words {
    pub(super) title: String,
    pub(super) texts: Vec<String>,
    /// What a button says that sends the same address again.
    pub(super) button: Option<&'static str>,
}

fn words(title: &str, texts: &[&str]) -> Words {
    Words {
        title: title.to_owned(),
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        button: None,
    }
}

fn with_button(words: Words, label: &'static str) -> Words {
    Words {
        button: Some(label),
        ..words
    }
}

impl Page {
    pub(super) fn arabic(&self) -> Words {
        match self {
            Self::Connected { shop, imports, .. } => {
                let next = match imports {
                    true => "بدأ استيراد بيانات المتجر، ولا يلزمك فعل شيء.",
                    false => "لم يبدأ الاستيراد بعد؛ سيبدأ عند طلبه.",
                };
                words("تم ربط متجرك", &[&format!("تم ربط متجر «{shop}»."), next])
            }
            Self::AlreadyConnected { shop, .. } => words(
                "متجرك مرتبط من قبل",
                &[
                    &format!("كان متجر «{shop}» مرتبطًا، وقد جُدّد الربط."),
                    "يستمر الاستيراد كما هو، ولا يلزمك فعل شيء.",
                ],
            ),
            Self::Denied => words(
                "لم يتم الربط",
                &["لم تُمنح الموافقة في سلة، فلم يُربط المتجر ولم تُقرأ أي بيانات."],
            ),
            Self::BeginHere => words(
                "خطوة واحدة لإكمال الربط",
                &["بدأ التثبيت من سلة. لحماية متجرك يبدأ الربط من هذه الصفحة؛ اضغط للمتابعة."],
            ),
            Self::Suspicious => words(
                "تعذّر التحقق من الطلب",
                &[
                    "لم يبدأ هذا الطلب من هذا المتصفح، أو استُخدم من قبل، فلم يُربط أي متجر.",
                    "ابدأ الربط من جديد من هذا المتصفح.",
                ],
            ),
            Self::Expired => words(
                "انتهت مهلة الربط",
                &["مرّ وقت طويل على بدء الربط، فلم يُربط المتجر. ابدأ من جديد."],
            ),
            Self::Busy => words(
                "يجري ربط متجرك",
                &["وصل الطلب ويجري إكماله. أعد تحميل هذه الصفحة بعد لحظات."],
            ),
            Self::CodeRefused => words(
                "لم تقبل سلة رمز الموافقة",
                &["انتهت صلاحية الرمز أو استُخدم من قبل، فلم يُربط المتجر. ابدأ من جديد."],
            ),
            Self::SallaAway => words(
                "لم تستجب سلة",
                &["تعذّر إكمال الربط مع سلة الآن، فلم يُربط المتجر. حاول بعد قليل."],
            ),
            Self::Pending => words(
                "وصلت موافقتك",
                &[
                    "حُفظت الموافقة، لكن سلة لا تستجيب الآن. سيكتمل ربط متجرك من تلقاء نفسه، ولا يلزمك فعل شيء.",
                ],
            ),
            Self::Scopes => words(
                "صلاحيات التطبيق غير مناسبة",
                &[
                    "لا يملك التطبيق الصلاحيات التي يحتاجها للقراءة، أو يملك صلاحيات لا يجوز له أن يملكها.",
                    "أُبلغ فريقنا بالأمر، ولم يُحفظ أي رمز. حاول لاحقًا.",
                ],
            ),
            Self::Outdated => words(
                "متجرك مرتبط بموافقة أحدث",
                &["توجد موافقة أحدث لهذا المتجر، وهي المستخدمة. لا يلزمك فعل شيء."],
            ),
            Self::OtherShop => words(
                "الموافقة تخص متجرًا آخر",
                &["تختلف بيانات سلة عن المتجر المقصود، فلم يُربط أي متجر. أُبلغ فريقنا بالأمر."],
            ),
            Self::OtherAccount => words(
                "متجرك مرتبط بحساب آخر",
                &[
                    "هذا المتجر مرتبط بحساب آخر في التطبيق، ولا يُنقل من حساب إلى حساب. يستمر الربط كما هو.",
                    "سجّل الدخول إلى التطبيق بالحساب الذي يملك المتجر، أو راسل الدعم.",
                ],
            ),
            Self::Link => with_button(
                words(
                    "متابعة",
                    &["هذا الرابط لك وحدك ويُستخدم مرة واحدة. اضغط للمتابعة."],
                ),
                "متابعة",
            ),
            Self::ToSalla => words("إلى سلة", &["يجري نقلك إلى سلة لتوافق على ربط متجرك."]),
            Self::LinkOver => words(
                "لم يعد الرابط صالحًا",
                &["استُخدم الرابط من قبل أو انتهت صلاحيته. اطلب رابطًا جديدًا من التطبيق."],
            ),
            Self::TooMany => words(
                "محاولات كثيرة",
                &["تكررت المحاولة من هنا مرات كثيرة. انتظر دقيقة ثم حاول من جديد."],
            ),
            Self::Failed => words(
                "تعذّر إكمال الربط",
                &["حدث خلل في خدمتنا، وقد سُجّل. حاول بعد قليل."],
            ),
            Self::Unreadable => words(
                "تعذّرت قراءة الطلب",
                &["الرابط ناقص أو تالف. ابدأ الربط من جديد."],
            ),
            Self::NotOffered => words(
                "الربط غير متاح من هنا",
                &["لا يُربط المتجر من هذا العنوان. ثبّت التطبيق من متجر تطبيقات سلة."],
            ),
        }
    }

    pub(super) fn english(&self) -> Words {
        match self {
            Self::Connected { shop, imports, .. } => {
                let next = match imports {
                    true => "Its import has started, and there is nothing you need to do.",
                    false => "No import has started yet; it starts when it is requested.",
                };
                words(
                    "Your shop is connected",
                    &[&format!("{shop} is connected."), next],
                )
            }
            Self::AlreadyConnected { shop, .. } => words(
                "Your shop was connected already",
                &[
                    &format!("{shop} was connected, and its connection has been refreshed."),
                    "Its import continues, and there is nothing you need to do.",
                ],
            ),
            Self::Denied => words(
                "Your shop was not connected",
                &["Consent was not given at Salla, so no shop was connected and nothing was read."],
            ),
            Self::BeginHere => words(
                "One more step to connect your shop",
                &[
                    "The installation started at Salla. To protect your shop, the connection \
                     starts on this page; press to continue.",
                ],
            ),
            Self::Suspicious => words(
                "This request could not be verified",
                &[
                    "It did not start in this browser, or it was used before, so no shop was \
                     connected.",
                    "Start again in this browser.",
                ],
            ),
            Self::Expired => words(
                "Connecting took too long",
                &["This connection has timed out, so the shop was not connected. Start again."],
            ),
            Self::Busy => words(
                "Your shop is being connected",
                &["Your request is being processed. Reload this page in a moment."],
            ),
            Self::CodeRefused => words(
                "Salla did not accept the consent code",
                &[
                    "The code has expired or was used before, so the shop was not connected. Start \
                     again.",
                ],
            ),
            Self::SallaAway => words(
                "Salla did not respond",
                &[
                    "The connection could not be completed with Salla now, so the shop was not \
                   connected. Try again in a while.",
                ],
            ),
            Self::Pending => words(
                "Your consent has arrived",
                &[
                    "It is saved, but Salla is not responding now. Your shop will be connected \
                     automatically, and there is nothing you need to do.",
                ],
            ),
            Self::Scopes => words(
                "The app's permissions are not right",
                &[
                    "The app lacks permissions that it needs to read, or has some that it must \
                     not have.",
                    "Our team has been notified, and no token was stored. Try again later.",
                ],
            ),
            Self::Outdated => words(
                "A newer consent connects your shop",
                &[
                    "There is a newer consent for this shop, and that one is used. There is nothing \
                   you need to do.",
                ],
            ),
            Self::OtherShop => words(
                "This consent is for another shop",
                &[
                    "Salla's data is for another shop than the one intended, so none was \
                     connected. Our team has been notified.",
                ],
            ),
            Self::OtherAccount => words(
                "Your shop belongs to another account",
                &[
                    "This shop is connected to another account of the app, and was not moved from \
                     one to the other. It stays connected as it was.",
                    "Sign in to the app with the account that has the shop, or contact support.",
                ],
            ),
            Self::Link => with_button(
                words(
                    "Continue",
                    &["This link is for you alone and is used once. Press to continue."],
                ),
                "Continue",
            ),
            Self::ToSalla => words(
                "Continue to Salla",
                &["You are being redirected to Salla to approve the connection of your shop."],
            ),
            Self::LinkOver => words(
                "This link is no longer valid",
                &["It was used before, or it has expired. Request a new one in the app."],
            ),
            Self::TooMany => words(
                "Too many attempts",
                &["There were too many attempts from here. Wait a minute, then try again."],
            ),
            Self::Failed => words(
                "The connection could not be completed",
                &["Something failed in our service and has been recorded. Try again in a while."],
            ),
            Self::Unreadable => words(
                "The request could not be read",
                &["The link is incomplete or damaged. Start again."],
            ),
            Self::NotOffered => words(
                "Shops are not connected here",
                &[
                    "Shops cannot be connected at this address. Install the app from Salla's App \
                     Store.",
                ],
            ),
        }
    }
}
