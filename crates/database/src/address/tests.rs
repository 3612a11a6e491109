use super::*;

fn options(url: &str) -> PgConnectOptions {
    Address::parse(url).unwrap().options()
}

#[test]
fn an_address_says_where_the_database_is() {
    for (url, place) in [
        (
            "postgres://u:p@db.example:5433/shop",
            "db.example:5433/shop",
        ),
        ("postgresql://u@db.example/shop", "db.example/shop"),
        ("postgres://u@[::1]:5433/shop", "::1:5433/shop"),
        (
            "postgres://u@%2Frun%2Fpostgresql/shop",
            "/run/postgresql/shop",
        ),
        (
            "postgres://localhost:5432/shop?host=/tmp/pg-1",
            "/tmp/pg-1:5432/shop",
        ),
        ("postgres:///shop", "localhost/shop"),
        (
            "postgres://?host=db.example&dbname=shop&port=1",
            "db.example:1/shop",
        ),
        ("postgres://متجر.example/shop", "متجر.example/shop"),
    ] {
        assert_eq!(Address::parse(url).unwrap().place(), place, "{url}");
    }
}

#[test]
fn options_are_what_the_address_says() {
    let built = options("postgres://u%40x:p@[::1]:5433/a%20b?sslmode=verify-full");
    assert_eq!(built.get_host(), "::1", "without the brackets of a URL");
    assert_eq!(built.get_port(), 5433);
    assert_eq!(built.get_username(), "u@x");
    assert_eq!(built.get_database(), Some("a b"));
    assert!(matches!(built.get_ssl_mode(), PgSslMode::VerifyFull));
    let built = options("postgres://u@h/d?host=/tmp/pg-1&options=-c%20jit%3Doff%20--geqo=off");
    assert_eq!(built.get_socket(), Some(&"/tmp/pg-1".into()));
    let set = built.get_options().unwrap();
    assert_eq!(set, "-c jit=off -c geqo=off");
    let built = options("postgres://u@h/d?options=-csearch_path%3Da,%5C%20b");
    assert_eq!(built.get_options(), Some("-c search_path=a,\\ b"));
}

#[test]
fn psql_gets_the_same() {
    for (url, expected) in [
        (
            "postgres://u%40x:p+w@db.example:5433/shop?sslmode=verify-full",
            vec![
                ("PGHOST", "db.example"),
                ("PGPORT", "5433"),
                ("PGDATABASE", "shop"),
                ("PGUSER", "u@x"),
                ("PGPASSWORD", "p+w"),
                ("PGSSLMODE", "verify-full"),
            ],
        ),
        (
            "postgres://a%26b:p&w%26@[::1]/x&y?sslcert=/c.pem&sslkey=/k.pem",
            vec![
                ("PGHOST", "::1"),
                ("PGDATABASE", "x&y"),
                ("PGUSER", "a&b"),
                ("PGPASSWORD", "p&w&"),
                ("PGSSLCERT", "/c.pem"),
                ("PGSSLKEY", "/k.pem"),
            ],
        ),
        (
            "postgres://postgres@localhost:5432/salla?host=/tmp/pg-1",
            vec![
                ("PGHOST", "/tmp/pg-1"),
                ("PGPORT", "5432"),
                ("PGDATABASE", "salla"),
                ("PGUSER", "postgres"),
            ],
        ),
    ] {
        let found = Address::parse(url).unwrap().libpq_environment();
        let found: Vec<_> = found.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(found, expected, "{url}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_without_a_quotation() {
    for (url, expected) in [
        (
            "postgres://app:12?s3cretTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:12/s3cretTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:12#s3cretTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:12@s3cretTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:10%s3cretTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:s3cretTail10%@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:%zzs3cretTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:%ffs3cretTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:%00s3cretTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:s3cret\nTail@127.0.0.1:1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://app:12?s3cretTail/x?y@127.0.0.1/shop",
            AddressError::Unencoded,
        ),
        (
            "postgres://h/d?password=s3cret@Tail",
            AddressError::Unencoded,
        ),
        ("postgres://app:s3cretTail", AddressError::Port),
        ("postgres://app:12s3cretTail/shop", AddressError::Port),
        ("postgres://app:p@h:s3cretTail/shop", AddressError::Port),
        ("postgres://app:p@h:0/shop", AddressError::Port),
        ("postgres://app:12?s3cretTail", AddressError::Parameter),
        ("postgres://h/d?s3cretTail=x", AddressError::Parameter),
        ("postgres://h/d?sslmode=s3cretTail", AddressError::SslMode),
        (
            "postgres://h/d?options=-d%20s3cretTail",
            AddressError::Options,
        ),
        (
            "postgres://h/d?channel_binding=s3cretTail",
            AddressError::Unsupported("channel_binding"),
        ),
        (
            "postgres://h/d?sslpassword=s3cretTail",
            AddressError::Unsupported("sslpassword"),
        ),
        ("postgres://u@a,b:5433/d", AddressError::SeveralHosts),
        ("postgres://u@h/d?host=a,b", AddressError::SeveralHosts),
        ("postgres://u@::1/d", AddressError::Port),
        ("postgres://u@[s3cretTail]/d", AddressError::Host),
        ("postgres://u@[::1]s3cretTail/d", AddressError::Host),
        ("postgres://u@s3cret$Tail/d", AddressError::Host),
        ("'postgres://u@h/s3cretTail'", AddressError::Scheme),
        ("mysql://u:s3cretTail@h/d", AddressError::Scheme),
        ("host=h password=s3cretTail", AddressError::Scheme),
    ] {
        let error = Address::parse(url).unwrap_err();
        assert_eq!(error, expected, "{url}");
        let text = error.to_string();
        assert!(!text.contains("s3cret") && !text.contains("Tail"), "{text}");
        assert!(!text.contains('\n'), "{text}");
        let says_how = text.contains("percent-encode user and password");
        assert_eq!(says_how, expected != AddressError::Scheme, "{text}");
    }
}

/// Each character of a keyboard at each place of a password: either it is read as it is, or
/// the whole address is refused.
#[test]
fn no_character_of_a_password_ends_up_elsewhere() {
    for special in (' '..='~').filter(|c| !c.is_ascii_alphanumeric()) {
        for password in [
            format!("{special}s3cretTail"),
            format!("s3cret{special}Tail"),
            format!("s3cretTail{special}"),
            format!("s3cret{special}{special}Tail"),
        ] {
            let raw = format!("postgres://app:{password}@db.example:5433/shop");
            if let Ok(address) = Address::parse(&raw) {
                assert_eq!(address.get("password"), Some(password.as_str()), "{raw}");
                assert_eq!(address.place(), "db.example:5433/shop", "{raw}");
            }
            let byte = u32::from(special);
            let encoded = password.replace(special, &format!("%{byte:02X}"));
            for url in [
                format!("postgres://app:{encoded}@db.example:5433/shop"),
                format!("postgres://app@db.example:5433/shop?password={encoded}"),
            ] {
                let address = Address::parse(&url).unwrap();
                assert_eq!(address.get("password"), Some(password.as_str()), "{url}");
                assert!(!format!("{address:?}").contains("s3cret"), "{url}");
            }
        }
    }
}

#[test]
fn the_way_to_another_machine_needs_a_word_for_how_it_is_secured() {
    let unsecured = Err(AddressError::Unsecured);
    for (url, expected) in [
        ("postgres://u@db.example/shop", unsecured),
        ("postgres://u@db/shop", unsecured),
        ("postgres://u@10.0.0.7/shop", unsecured),
        ("postgres://u@192.168.1.4:6432/shop", unsecured),
        ("postgres://u@[2001:db8::1]/shop", unsecured),
        ("postgres://u@[fe80::1%25eth0]/shop", unsecured),
        ("postgres://u@localhost.example/shop", unsecured),
        ("postgres://u@localhost/shop?host=db.example", unsecured),
        ("postgres://u@localhost/shop?hostaddr=10.0.0.7", unsecured),
        ("postgres://u@db.example/shop?sslmode=", unsecured),
        ("postgres://u@db.example/shop?sslmode=verify-full", Ok(())),
        ("postgres://u@db.example/shop?sslmode=require", Ok(())),
        ("postgres://u@db.example/shop?sslmode=prefer", Ok(())),
        ("postgres://u@db.example/shop?sslmode=disable", Ok(())),
        ("postgres://u@localhost/shop", Ok(())),
        ("postgres://u@LocalHost/shop", Ok(())),
        ("postgres://u@127.0.0.2/shop", Ok(())),
        ("postgres://u@[::1]/shop", Ok(())),
        ("postgres://u@[::ffff:127.0.0.1]/shop", Ok(())),
        ("postgres://u@db.example/shop?host=/run/postgresql", Ok(())),
        ("postgres://u@%2Frun%2Fpostgresql/shop", Ok(())),
        ("postgres://u@db.example/shop?hostaddr=127.0.0.1", Ok(())),
    ] {
        let address = Address::parse(url).unwrap();
        assert_eq!(address.check_security(), expected, "{url}");
    }
}

#[test]
fn parameters_that_change_nothing_are_accepted() {
    let url = "postgres://u@h/d?keepalives=1&connect_timeout=5&target_session_attrs=read-write&";
    assert_eq!(Address::parse(url).unwrap().place(), "h/d");
}
