use proptest::prelude::*;

use super::*;

/// `instant/reading` of a JSON value.
fn reading(json: &str) -> String {
    match instant(Json::new(json)) {
        Ok(Some(read)) => format!("{} {}", read.instant, read.reading.as_str()),
        Ok(None) => "absent".to_owned(),
        Err(NotADate) => "not a date".to_owned(),
    }
}

#[test]
fn every_form_of_a_date() {
    let table = [
        (
            r#"{"date":"2024-02-15 08:23:05.000000","timezone_type":3,"timezone":"Asia/Riyadh"}"#,
            "2024-02-15T05:23:05Z riyadh",
        ),
        (
            r#"{ "date" : "2024-02-15 08:23:05" }"#,
            "2024-02-15T05:23:05Z riyadh",
        ),
        (
            r#"{"date":"2024-07-15 08:23:05","timezone":"Europe\/Berlin"}"#,
            "2024-07-15T06:23:05Z named_zone",
        ),
        (
            r#"{"date":"2024-07-15 08:23:05","timezone_type":1,"timezone":"+05:30"}"#,
            "2024-07-15T02:53:05Z named_zone",
        ),
        (
            r#"{"date":"2024-07-15 08:23:05","timezone":"UTC"}"#,
            "2024-07-15T08:23:05Z named_zone",
        ),
        (r#""2022-12-31 12:31:25""#, "2022-12-31T09:31:25Z riyadh"),
        (
            r#""2022-12-31 12:31:25.123456""#,
            "2022-12-31T09:31:25.123456Z riyadh",
        ),
        (r#""2022-12-31T12:31:25""#, "2022-12-31T09:31:25Z riyadh"),
        (r#""2022-12-31""#, "2022-12-30T21:00:00Z riyadh"),
        (r#"" ٢٠٢٢-١٢-٣١ ١٢:٣١:٢٥ ""#, "2022-12-31T09:31:25Z riyadh"),
        (r#""2022-12-31T12:31:25Z""#, "2022-12-31T12:31:25Z offset"),
        (
            r#""2022-12-31T12:31:25.5+03:00""#,
            "2022-12-31T09:31:25.5Z offset",
        ),
        (
            r#""2022-12-31 12:31:25 -0130""#,
            "2022-12-31T14:01:25Z offset",
        ),
        (
            r#""Sun Jun 26 2022 12:21:48 GMT+0300""#,
            "2022-06-26T09:21:48Z offset",
        ),
        (
            r#""Sun Jun 26 2022 12:21:48 GMT+0300 (Arabian Standard Time)""#,
            "2022-06-26T09:21:48Z offset",
        ),
        ("1634819484", "2021-10-21T12:31:24Z epoch"),
        (r#""1634819484""#, "2021-10-21T12:31:24Z epoch"),
        (r#""١٦٣٤٨١٩٤٨٤""#, "2021-10-21T12:31:24Z epoch"),
    ];
    for (json, expected) in table {
        assert_eq!(reading(json), expected, "{json}");
    }
}

#[test]
fn nothing_is_no_date_and_no_error() {
    for json in [
        "null",
        "{}",
        "[]",
        r#""""#,
        r#""null""#,
        "{ }",
        r#"{"date":null}"#,
    ] {
        assert_eq!(reading(json), "absent", "{json}");
    }
    assert_eq!(instant(Json::default()), Ok(None));
}

#[test]
fn what_is_no_date() {
    let table = [
        r#""0000-00-00 00:00:00""#,
        r#""-0001-11-30 00:00:00""#,
        r#"{"date":"0000-00-00 00:00:00.000000","timezone":"Asia/Riyadh"}"#,
        r#"{"date":"2024-02-15 08:23:05","timezone":"Middle/Earth"}"#,
        r#"{"date":true}"#,
        r#""2024-02-30 00:00:00""#,
        r#""2024-02-15 24:00:00""#,
        r#""2024-02-15 08:23""#,
        r#""2024-02-15 08:23:05.""#,
        r#""2024-02-15 08:23:05 soon""#,
        r#""15-02-2024 08:23:05""#,
        r#""Sun Jum 26 2022 12:21:48 GMT+0300""#,
        r#""Sun Jun 26 2022 12:21:48""#,
        r#""yesterday""#,
        "0",
        "20240215",
        "1634819484000",
        "1.5",
        "-5",
        "true",
        "[1]",
    ];
    for json in table {
        assert_eq!(reading(json), "not a date", "{json}");
    }
}

#[test]
fn the_text_is_kept_as_sent() {
    let json = Json::new(r#"{"date":"2024-02-15 08:23:05.000000","timezone":"Asia\/Riyadh"}"#);
    let read = instant(json).unwrap().unwrap();
    assert_eq!(read.raw, "2024-02-15 08:23:05.000000");
    assert_eq!(read.reading, DateReading::Riyadh);
}

#[test]
fn a_birthday_is_a_day_and_not_an_instant() {
    let table = [
        (
            r#"{"date":"1998-08-07 00:00:00.000000","timezone":"Asia/Riyadh"}"#,
            Some("1998-08-07"),
        ),
        (r#""1998-08-07""#, Some("1998-08-07")),
        (r#""0000-00-00""#, None),
        ("null", None),
        (r#""7 August""#, None),
    ];
    for (json, expected) in table {
        assert_eq!(
            day(Json::new(json)).map(|d| d.to_string()).as_deref(),
            expected,
            "{json}"
        );
    }
}

proptest! {
    #[test]
    fn a_civil_time_survives(seconds in 0i64..4_000_000_000, micros in 0i64..1_000_000) {
        let instant = Timestamp::from_microsecond(seconds * 1_000_000 + micros).unwrap();
        let civil = RIYADH.to_datetime(instant);
        let text = civil.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
        let read = read(text, None).unwrap();
        prop_assert_eq!(read.instant, instant);
    }

    #[test]
    fn any_text_is_taken_calmly(text in "\\PC*", near in "[0-9]{0,5}-?[0-9]{0,3}-?[0-9T :.+Z]{0,30}") {
        let _ = understand(&text, Some(&near));
        let _ = understand(&near, Some(&text));
    }
}
