//! From a body to what it means.

use domain::resource::Resource;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Event, settings};
use crate::lenient::{Json, Kind, NoObject, Object, read_object, readable};
use crate::oauth::read_tokens;

/// Beyond this a name is none of Salla's.
const MAX_NAME_LENGTH: usize = 64;

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeliveryWire<'a> {
    #[serde(borrow)]
    event: Json<'a>,
    merchant: Json<'a>,
    created_at: Json<'a>,
    data: Json<'a>,
}

/// Where the id of a record may be: in its own object beside the id of something else, such as an
/// entry of an order's history, or at the top.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RecordWire<'a> {
    #[serde(borrow)]
    id: Json<'a>,
    order: Object<IdWire<'a>>,
    order_id: Json<'a>,
    product: Object<IdWire<'a>>,
    product_id: Json<'a>,
    customer: Object<IdWire<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IdWire<'a> {
    #[serde(borrow)]
    id: Json<'a>,
}

pub(super) fn read(body: &[u8], now: Timestamp) -> Result<Event, &'static str> {
    let body = readable(body);
    let delivery: DeliveryWire<'_> = read_object(&body).map_err(|reason| match reason {
        NoObject::NotJson => "it is not JSON, or was cut off",
        NoObject::Other => "it is not an object",
        NoObject::Twice => "a member occurs twice",
    })?;
    let name = delivery.event.text().ok_or("it names no event")?;
    if !is_name(&name) {
        return Err("its event has no name of Salla's form");
    }
    match &*name {
        "app.store.authorize" => Ok(Event::StoreAuthorized {
            merchant: delivery.merchant()?,
            tokens: read_tokens(delivery.data()?.as_bytes(), now)
                .ok_or("its data has no access token")?,
            created_at: delivery.created_at(),
        }),
        "app.uninstalled" => Ok(Event::Uninstalled {
            merchant: delivery.merchant()?,
            created_at: delivery.created_at(),
        }),
        name if is_settings(name) => {
            let settings = settings::read(delivery.data().unwrap_or("{}"));
            Ok(Event::SettingsChanged {
                merchant: delivery.merchant()?,
                code: settings.code,
                depth_months: settings.depth_months,
            })
        }
        name => match resource(name) {
            Some(resource) => delivery.about(resource, name),
            None => Ok(Event::Other {
                event: name.to_owned(),
            }),
        },
    }
}

/// The onboarding step is a form that Salla shows after the install; its name ends the event's.
fn is_settings(event: &str) -> bool {
    event == "app.settings.updated" || event.starts_with("app.onboarding.step.")
}

/// Names are logged, so they hold nothing but letters, digits, points and dashes.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= MAX_NAME_LENGTH && text.bytes().all(is_part)
}

/// What an event is about. New ones are added to orders and products often
/// (docs/salla-api.md#events), and one record fetched in vain costs less than one change
/// missed.
fn resource(event: &str) -> Option<Resource> {
    match event.split_once('.')? {
        ("order", _) => Some(Resource::Orders),
        ("product", _) => Some(Resource::Products),
        // A customer who logs in is the same afterwards.
        ("customer", "login" | "otp.request") => None,
        ("customer", _) => Some(Resource::Customers),
        _ => None,
    }
}

impl DeliveryWire<'_> {
    fn merchant(&self) -> Result<i64, &'static str> {
        self.merchant.reference().ok_or("it names no merchant")
    }

    fn created_at(&self) -> Option<Timestamp> {
        let created_at = crate::dates::instant(self.created_at).ok().flatten();
        created_at.map(|at| at.instant)
    }

    fn data(&self) -> Result<&str, &'static str> {
        match self.data.kind() {
            Kind::Object(text) => Ok(text),
            _ => Err("it has no data"),
        }
    }

    fn about(&self, resource: Resource, event: &str) -> Result<Event, &'static str> {
        let merchant = self.merchant()?;
        let data: RecordWire<'_> = read_object(self.data()?.as_bytes())
            .map_err(|_| "a member of its data occurs twice")?;
        let id = data
            .id_of(resource, event)
            .ok_or("its data names no record")?;
        let is_gone = event
            .split_once('.')
            .is_some_and(|(_, what)| what == "deleted");
        Ok(match is_gone {
            true => Event::RecordDeleted {
                merchant,
                resource,
                id,
            },
            false => Event::RecordChanged {
                merchant,
                resource,
                id,
            },
        })
    }
}

impl RecordWire<'_> {
    fn id_of(&self, resource: Resource, event: &str) -> Option<i64> {
        let of = |object: &Object<IdWire<'_>>| object.get().and_then(|wire| wire.id.reference());
        let own = match resource {
            Resource::Orders => of(&self.order).or(self.order_id.reference()),
            Resource::Products => of(&self.product).or(self.product_id.reference()),
            Resource::Customers => of(&self.customer),
            Resource::Categories | Resource::OrderStatuses => None,
        };
        // `id` is here that of the entry in the order's history.
        let top = (event != "order.status.updated").then(|| self.id.reference());
        own.or(top.flatten())
    }
}
