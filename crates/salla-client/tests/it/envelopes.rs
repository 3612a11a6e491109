//! Envelopes as they should be, as they are, and as they should never be.

use importer::ports::platform::Pagination;
use salla_client::envelope::{EnvelopeError, split_list, split_one};

const PAGE: &str =
    r#""pagination":{"count":1,"total":31,"perPage":15,"currentPage":2,"totalPages":3,"links":{}}"#;

const SECOND_OF_THREE: Pagination = Pagination {
    count: 1,
    total: 31,
    per_page: 15,
    current_page: 2,
    total_pages: 3,
};

fn rows(body: &str) -> Result<(Vec<String>, Pagination), EnvelopeError> {
    let (rows, pagination) = split_list(body.as_bytes())?;
    Ok((
        rows.iter().map(|r| r.get().to_owned()).collect(),
        pagination,
    ))
}

fn single_page(rows: u32) -> Pagination {
    Pagination {
        count: rows,
        total: u64::from(rows),
        per_page: rows,
        current_page: 1,
        total_pages: 1,
    }
}

#[test]
fn records_stay_as_they_were_sent() {
    let body = format!(r#"{{"data":[{{"a" : 1.50}}, "x" ,7],{PAGE},"success":true,"status":200}}"#);
    let (rows, pagination) = rows(&body).unwrap();
    assert_eq!(rows, [r#"{"a" : 1.50}"#, r#""x""#, "7"]);
    assert_eq!(pagination, SECOND_OF_THREE);
}

#[test]
fn nothing_has_many_forms() {
    for data in ["null", "{}", "[]", r#""""#] {
        let body = format!(r#"{{"status":200,"success":true,"data":{data},{PAGE}}}"#);
        let (rows, pagination) = rows(&body).unwrap();
        assert!(rows.is_empty(), "{data}");
        assert_eq!(pagination, SECOND_OF_THREE, "{data}");
    }
}

#[test]
fn an_array_with_holes_is_an_object_in_php() {
    let (rows, _) = rows(r#"{"success":true,"data":{"0":{"id":1},"2":{"id":3}}}"#).unwrap();
    assert_eq!(rows, [r#"{"id":1}"#, r#"{"id":3}"#]);
}

#[test]
fn pagination_in_every_form() {
    let links = [
        r#"{}"#,
        r#"[]"#,
        "null",
        r#"["http://x"]"#,
        r#"{"next":"http://x","previous":null}"#,
        "7",
    ];
    for links in links {
        let numbers = r#""count":"1","total":"31","perPage":"15","currentPage":2,"totalPages":"3""#;
        let body = format!(r#"{{"data":[1],"pagination":{{{numbers},"links":{links}}}}}"#);
        assert_eq!(rows(&body).unwrap().1, SECOND_OF_THREE, "{links}");
    }
    for pagination in ["null", "{}", "[]"] {
        let body = format!(r#"{{"success":true,"data":[1,2],"pagination":{pagination}}}"#);
        assert_eq!(rows(&body).unwrap().1, single_page(2), "{pagination}");
    }
    assert_eq!(
        rows(r#"{"success":true,"data":[1,2]}"#).unwrap().1,
        single_page(2)
    );
}

#[test]
fn numbers_that_prove_a_scan_are_never_guessed() {
    for (good, bad) in [
        (r#""total":31"#, r#""total":"many""#),
        (r#""total":31"#, r#""total":-1"#),
        (r#""perPage":15"#, r#""perPage":null"#),
        (r#""currentPage":2"#, r#""currentPage":{}"#),
        (r#""totalPages":3"#, r#""totalPages":99999999999"#),
    ] {
        let body = format!(r#"{{"data":[1],{}}}"#, PAGE.replace(good, bad));
        assert!(
            matches!(rows(&body), Err(EnvelopeError::NotAnEnvelope(_))),
            "{bad}"
        );
    }
}

#[test]
fn no_json_and_cut_off_json_pass() {
    let whole = format!(r#"{{"status":200,"success":true,"data":[{{"id":1}}],{PAGE}}}"#);
    for length in 0..whole.len() {
        assert_eq!(
            rows(&whole[..length]),
            Err(EnvelopeError::NotJson),
            "{length}"
        );
        assert_eq!(
            split_one(&whole.as_bytes()[..length]).err(),
            Some(EnvelopeError::NotJson)
        );
    }
    for body in [
        "<html></html>",
        "Service Unavailable",
        "{}{}",
        "{\"data\":[}",
    ] {
        assert_eq!(rows(body), Err(EnvelopeError::NotJson), "{body}");
    }
    assert_eq!(
        split_list(b"{\"data\":[\"\xff\"]}").err(),
        Some(EnvelopeError::NotJson)
    );
    assert!(rows(&format!("\u{feff}{whole}")).is_ok());
}

#[test]
fn sound_json_that_is_no_envelope_is_broken() {
    let table = [
        "[]",
        r#"[200,true,[],{},null]"#,
        "7",
        "null",
        "{}",
        r#"{"success":true}"#,
        r#"{"success":true,"data":null}"#,
        r#"{"success":true,"data":"","pagination":{}}"#,
        r#"{"success":true,"data":{"message":"done","code":7}}"#,
        r#"{"success":true,"data":7}"#,
        r#"{"success":true,"data":[],"pagination":[1]}"#,
        r#"{"success":true,"data":[],"data":[]}"#,
    ];
    for body in table {
        assert!(
            matches!(rows(body), Err(EnvelopeError::NotAnEnvelope(_))),
            "{body}"
        );
    }
}

#[test]
fn an_error_envelope_is_recognized_by_its_members() {
    let table = [
        r#"{"success":false,"status":404,"error":{"code":404,"message":"gone"}}"#,
        r#"{"status":404,"error":{"code":"404"},"success":false}"#,
        r#"{"error":{"code":404,"message":"gone"},"status":404}"#,
        r#"{"status":404,"success":"0","data":[],"error":{"code":404}}"#,
    ];
    for body in table {
        let Err(EnvelopeError::Api(error)) = rows(body) else {
            panic!("{body}");
        };
        assert_eq!(
            (error.status, error.code.as_deref()),
            (Some(404), Some("404")),
            "{body}"
        );
    }
}

#[test]
fn one_record() {
    let body = r#"{"status":200,"success":true,"data":{"id":7}}"#;
    assert_eq!(split_one(body.as_bytes()).unwrap().get(), r#"{"id":7}"#);
    for nothing in [r#","data":null"#, r#","data": null "#, ""] {
        let body = format!(r#"{{"status":200,"success":true{nothing}}}"#);
        let refused = split_one(body.as_bytes()).err();
        assert_eq!(
            refused,
            Some(EnvelopeError::NotAnEnvelope("there is no data"))
        );
    }
}
