//! How a drawn Salla treats its readers: shop, limits, faults, lies and drift.

use salla_simulator::{
    AppAge, Block, BusyDay, Ceiling, CeilingBehavior, Currency, CurrencyShare, CustomerDates,
    CustomersLimit, DateFilter, Drift, DriftCounts, EmptyLinks, EndlessPages, Endpoint, Fault,
    FaultRates, FilterZone, FloatDigits, InvalidRates, ItemLoss, ItemProduct, Latency,
    LifetimeField, LimiterKind, Limits, ListBehavior, Lists, Oauth, Outage, OutageLength,
    Plan as SallaPlan, Quirks, Repeats, ResourceDrift, RetryAfter, Scenario, ShopSpec, TextDamage,
    ThrottleBody,
};

use crate::draw::SeededChoices;
use crate::plan::{DriftEnd, Plan, clock};

pub(crate) fn scenario(draw: &mut SeededChoices) -> Scenario {
    let app_age = draw.pick(&[
        AppAge::Expanded,
        AppAge::Expanded,
        AppAge::FullDetails,
        AppAge::LightDetails,
    ]);
    Scenario {
        seed: draw.seed(),
        shop: shop(draw, app_age),
        app_age,
        limits: limits(draw),
        oauth: oauth(draw),
        page_cap: draw.pick(&[60, 60, 60, 30, 15]),
        orders_page_cap: draw.pick(&[60, 60, 30, 15]),
        empty_links: draw.pick(&[EmptyLinks::Object, EmptyLinks::Array]),
        date_filter: DateFilter {
            from_inclusive: draw.chance(0.7),
            to_inclusive: draw.chance(0.7),
            zone: draw.pick(&[FilterZone::Riyadh, FilterZone::Utc]),
        },
        customer_dates: draw.pick(&[
            CustomerDates::AsNamed,
            CustomerDates::Swapped,
            CustomerDates::Ignored,
        ]),
        item_loss: draw.maybe(0.15, item_loss),
        item_product: draw.pick(&[ItemProduct::Nested, ItemProduct::Nested]),
        outages: draw.maybe(0.15, outages),
        quirks: draw.maybe(0.5, quirks),
        invalid: draw.maybe(0.4, |draw| InvalidRates {
            orders: draw.share(0.04),
            customers: draw.share(0.04),
            products: draw.share(0.04),
        }),
        latency: Latency {
            fixed_ms: draw.mostly_small(300),
            jitter_ms: draw.mostly_small(400),
        },
        faults: draw.maybe(0.6, faults),
        endpoint_faults: draw.maybe(0.5, |draw| {
            [(Endpoint::OauthToken, token_faults(draw))].into()
        }),
        date_ahead_seconds: draw.maybe(0.2, date_ahead),
        ..Scenario::default()
    }
}

/// The response of the accounts host, which may or may not have carried out the request.
fn token_faults(draw: &mut SeededChoices) -> FaultRates {
    let mut rate = || draw.share(0.12);
    FaultRates {
        status_500: rate(),
        status_503: rate(),
        status_504: rate(),
        empty_502: rate(),
        text_503: rate(),
        reset: rate(),
        lost_answer: rate(),
        truncate: rate(),
        html: rate(),
        throttle: rate(),
        hang: rate() / 4.0,
        done_503: rate(),
        done_html: rate(),
        ..FaultRates::default()
    }
}

/// A little, as clocks are, and so much that one must be set.
fn date_ahead(draw: &mut SeededChoices) -> i64 {
    match draw.chance(0.8) {
        true => draw.between(0, 16) as i64 - 8,
        false => draw.pick(&[-600, 600]),
    }
}

/// Another shop of the same platform.
pub(crate) fn neighbour(draw: &mut SeededChoices) -> ShopSpec {
    ShopSpec {
        seed: draw.seed(),
        orders: draw.between(0, 300),
        customers: draw.between(0, 80),
        products: draw.between(0, 60),
        plan: SallaPlan::Unlimited,
        ..ShopSpec::default()
    }
}

fn shop(draw: &mut SeededChoices, app_age: AppAge) -> ShopSpec {
    // Orders whose details are asked for one by one make a case long.
    let most = match app_age {
        AppAge::Expanded => 3_000,
        AppAge::FullDetails => 900,
        AppAge::LightDetails => 500,
    };
    let orders = match draw.between(0, 19) {
        0 => draw.between(0, 2),
        _ => draw.mostly_small(most),
    };
    ShopSpec {
        seed: draw.seed(),
        orders,
        customers: draw.mostly_small(600),
        products: draw.mostly_small(300),
        categories: draw.mostly_small(80),
        months: u32::try_from(draw.between(1, 26)).unwrap(),
        busy_day: draw.chance(0.1).then(|| BusyDay {
            days_ago: u32::try_from(draw.between(0, 40)).unwrap(),
            orders: orders / 2,
        }),
        plan: draw.pick(&[
            SallaPlan::Plus,
            SallaPlan::Pro,
            SallaPlan::Special,
            SallaPlan::Unlimited,
        ]),
        currencies: draw.maybe(0.7, |draw| {
            vec![
                CurrencyShare::new(Currency::Aed, draw.share(0.3)),
                CurrencyShare::new(Currency::Kwd, draw.share(0.3)),
                CurrencyShare::new(Currency::Usd, draw.share(0.3)),
            ]
        }),
        deleted_products_share: draw.share(0.2),
        guests_share: draw.share(0.2),
        repeats: draw.maybe(0.3, |draw| Repeats {
            ids: draw.share(0.2),
            copies: draw.share(0.2),
        }),
        long_skus: if draw.chance(0.1) { 3 } else { 0 },
        ..ShopSpec::default()
    }
}

fn limits(draw: &mut SeededChoices) -> Limits {
    Limits {
        temperament: draw.pick(&[LimiterKind::FixedWindow, LimiterKind::LeakyBucket]),
        retry_after: draw.pick(&[
            RetryAfter::UntilReset,
            RetryAfter::UntilNext,
            RetryAfter::Absent,
        ]),
        throttle_body: draw.pick(&[ThrottleBody::Json, ThrottleBody::Html, ThrottleBody::Empty]),
        customers: CustomersLimit {
            enabled: draw.chance(0.7),
            ..CustomersLimit::default()
        },
        other_app_per_minute: draw.maybe(0.15, |draw| draw.between(1, 40) as u32),
        block: draw.chance(0.1).then_some(Block {
            after_429s: 30,
            seconds: 120,
        }),
    }
}

fn oauth(draw: &mut SeededChoices) -> Oauth {
    Oauth {
        access_token_requests: draw.chance(0.25).then(|| draw.between(60, 900)),
        lifetime_field: draw.pick(&[
            LifetimeField::ExpiresIn,
            LifetimeField::ExpiresSeconds,
            LifetimeField::ExpiresEpoch,
        ]),
        invalid_grant_status: draw.pick(&[400, 401]),
        invalid_grant_code: draw
            .pick(&[
                "invalid_grant",
                "invalid_grant",
                "token_inactive",
                "invalid_request",
            ])
            .to_owned(),
        omit_refresh_token: draw.chance(0.05),
        lifetime_members: draw.chance(0.2).then(|| {
            let members = [
                r#""expires_in":0"#,
                r#""expires_in":-1,"expires":null"#,
                r#""expires_in":"soon""#,
                r#""expires":1"#,
                "",
            ];
            draw.pick(&members).to_owned()
        }),
        user_info_in_data: draw.chance(0.5),
        ..Oauth::default()
    }
}

fn item_loss(draw: &mut SeededChoices) -> ItemLoss {
    let after = draw.between(0, 80);
    match draw.between(0, 2) {
        0 => ItemLoss {
            details_after: Some(after),
            ..ItemLoss::default()
        },
        1 => ItemLoss {
            rows_without_items_after: Some(after / 4),
            ..ItemLoss::default()
        },
        _ => ItemLoss {
            expanded_ignored_after: Some(after / 4),
            ..ItemLoss::default()
        },
    }
}

fn outages(draw: &mut SeededChoices) -> Vec<Outage> {
    let outage = |draw: &mut SeededChoices| Outage {
        from_request: draw.between(3, 120),
        lasts: match draw.chance(0.5) {
            true => OutageLength::Requests(draw.between(1, 40)),
            false => OutageLength::Seconds(draw.between(1, 120)),
        },
        how: draw.pick(&[
            Fault::Status(503),
            Fault::Status(500),
            Fault::EmptyStatus(502),
            Fault::TextStatus(503),
            Fault::Status(504),
            Fault::Reset,
            Fault::Html,
        ]),
    };
    (0..draw.between(1, 2)).map(|_| outage(draw)).collect()
}

fn quirks(draw: &mut SeededChoices) -> Quirks {
    Quirks {
        string_numbers: draw.share(0.4),
        // A telephone number is a text, and stays as it was written.
        arabic_digits: 0.0,
        empty_forms: draw.share(0.4),
        literal_null: draw.share(0.3),
        date_forms: draw.share(0.4),
        utc_labelled_dates: draw.chance(0.2),
        float_digits: draw.pick(&[
            FloatDigits::Shortest,
            FloatDigits::Seventeen,
            FloatDigits::All,
        ]),
        damaged_texts: draw.chance(0.3).then(|| {
            draw.pick(&[
                TextDamage::StrayByte,
                TextDamage::Latin1,
                TextDamage::RawControl,
                TextDamage::RawNul,
                TextDamage::UnknownEscape,
            ])
        }),
        // A damaged name is another one than the truth's.
        damage_spares_names: true,
        ..Quirks::default()
    }
}

fn faults(draw: &mut SeededChoices) -> FaultRates {
    let mut rate = || draw.share(0.02);
    FaultRates {
        status_500: rate(),
        status_502: rate(),
        status_503: rate(),
        status_504: rate(),
        empty_502: rate(),
        text_503: rate(),
        reset: rate(),
        lost_answer: rate(),
        truncate: rate(),
        html: rate(),
        throttle: rate(),
        hang: rate() / 10.0,
        slow: rate(),
        slow_ms: 2_000,
        ..FaultRates::default()
    }
}

/// Wrong counts that two agreeing scans may settle.
pub(crate) fn lists(draw: &mut SeededChoices) -> Lists {
    let manners = |draw: &mut SeededChoices| {
        let off = draw.between(0, 6) as i64 - 3;
        let jitter = draw.between(0, 3 - off.unsigned_abs()) as u32;
        ListBehavior {
            total_off: off,
            total_jitter: if draw.chance(0.3) { jitter } else { 0 },
            pages_follow_total: draw.chance(0.5),
            ceiling: None,
            endless_pages: draw.pick(&[
                None,
                None,
                Some(EndlessPages::LastPage),
                Some(EndlessPages::LastPageGrowing),
            ]),
        }
    };
    let orders = ListBehavior {
        ceiling: draw.chance(0.15).then(|| ceiling(draw)),
        ..manners(draw)
    };
    Lists {
        orders,
        customers: manners(draw),
        products: manners(draw),
    }
}

/// Of any height and manner, but one that no filter helps against.
fn ceiling(draw: &mut SeededChoices) -> Ceiling {
    Ceiling {
        rows: draw.between(200, 1_500),
        how: draw.pick(&[
            CeilingBehavior::Empty,
            CeilingBehavior::Error,
            CeilingBehavior::RepeatLast,
        ]),
        whole_pages: draw.chance(0.5),
        ..Ceiling::default()
    }
}

pub(crate) fn drift(
    draw: &mut SeededChoices,
    scenario: &Scenario,
    months: u16,
    end: DriftEnd,
) -> Drift {
    if end == DriftEnd::Still {
        return Drift::default();
    }
    let requests = Plan::requests(scenario, months);
    let never = end == DriftEnd::Never;
    let every = |draw: &mut SeededChoices| draw.maybe(0.6, |draw| draw.between(2, 12));
    // What customers and products do after their list has been read shows nowhere, and
    // edits of them only on the page that has them.
    let mut of = |until: u64, all: bool| ResourceDrift {
        arrive_every: every(draw),
        edit_every: if all { every(draw) } else { 0 },
        delete_every: every(draw),
        until_request: if never { 0 } else { until },
        pair_with_insert: draw.chance(0.4),
        silent_inserts: never && draw.chance(0.3),
    };
    let orders = of(10 + requests / 3, true);
    let early = 10 + scenario.shop.orders / 60 / 8;
    let mut customers = of(early, never);
    customers.pair_with_insert &= never || fits_one_page(scenario);
    Drift {
        customers,
        products: of(early, never),
        orders,
        seed: draw.seed(),
        counts: draw.pick(&[
            DriftCounts::OwnList,
            DriftCounts::OwnList,
            DriftCounts::AllRequests,
        ]),
    }
}

/// The customer who makes up for a deleted one appears in the middle of the list, and nothing
/// shows it (decision 8). The program only promises to see that where one page shows the
/// whole list, or when it reads all of it again. Salla lists customers by when they signed up,
/// so it does not happen there.
fn fits_one_page(scenario: &Scenario) -> bool {
    scenario.shop.customers + MAX_SIGN_UPS <= scenario.page_cap
}

/// More than sign up while a shop drifts that comes to rest early.
const MAX_SIGN_UPS: u64 = 10;

/// A program keeps real time, so Salla must not make it wait.
pub(crate) fn let_waiting_be_short(scenario: &mut Scenario) {
    scenario.shop.plan = SallaPlan::Unlimited;
    scenario.limits.customers.enabled = false;
    scenario.limits.other_app_per_minute = 0;
    scenario.outages.clear();
    for faults in scenario.endpoint_faults.values_mut() {
        faults.hang = 0.0;
        faults.throttle = 0.0;
    }
    scenario.faults = FaultRates {
        status_503: scenario.faults.status_503 / 4.0,
        reset: scenario.faults.reset / 4.0,
        truncate: scenario.faults.truncate / 4.0,
        lost_answer: scenario.faults.lost_answer / 4.0,
        ..FaultRates::default()
    };
    scenario.latency.fixed_ms = scenario.latency.fixed_ms.min(10) + 2;
    scenario.latency.jitter_ms = scenario.latency.jitter_ms.min(10);
    // Its orders must lie before today.
    *scenario = std::mem::take(scenario).moved_to(salla_simulator::present());
    scenario.clock = clock(scenario, 1.0);
}

/// Simulated time runs so fast that a case takes seconds.
pub(crate) fn let_time_fly(scenario: &mut Scenario, months: u16, draw: &mut SeededChoices) {
    let requests = Plan::requests(scenario, months);
    let scale = draw.between(40, 120) as f64;
    scenario.clock = clock(scenario, scale);
    // A slow plan and many requests are hours.
    if requests > 400 && scenario.shop.plan == SallaPlan::Plus {
        scenario.shop.plan = SallaPlan::Special;
    }
    if scenario.limits.other_app_per_minute > 0 && requests > 300 {
        scenario.limits.other_app_per_minute = 0;
    }
}
