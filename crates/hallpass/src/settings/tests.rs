use super::*;

/// Settings from a file's text, an environment and flags, as on a machine where nothing else is set.
fn read(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &[&str])]) -> Result<Settings, BadSetting> {
    Settings::read(&layers(file, env, flags)?)
}

fn layers(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &[&str])]) -> Result<Layers, BadSetting> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hallpass.toml");
    std::fs::write(&path, file).unwrap();
    let variable = |asked: Variable| {
        env.iter().find(|(known, _)| *known == asked.name).map(|(_, value)| (*value).to_owned())
    };
    let around = Surroundings {
        folder: Path::new("/here"),
        data: PathBuf::from("/var/lib/hallpass"),
        variable: &variable,
    };
    let flags = flags.iter().map(|(key, values)| (*key, values.iter().map(|v| (*v).to_owned()).collect()));
    Layers::collect(&around, Some(&path), flags).map_err(|mut bad| {
        bad.message = bad.message.replace(folder.path().to_str().unwrap(), "");
        bad
    })
}

fn refusal(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &[&str])]) -> String {
    let bad = read(file, env, flags).unwrap_err();
    match bad.hint {
        Some(hint) => format!("{} | {hint}", bad.message),
        None => bad.message,
    }
}

#[test]
fn nothing_said_is_loopback_and_the_default_folder() {
    let settings = read("", &[], &[]).unwrap();
    assert_eq!(settings.data, Path::new("/var/lib/hallpass"));
    assert!(settings.listen.ip().is_loopback());
    assert_eq!(settings.kek.path, Path::new("/var/lib/hallpass/keys/kek"));
    assert_eq!(settings.base_url, None);
    assert!(!settings.local_approval);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nlog_format = \"text\"\nlog = \"warn\"\n";
    let env = [("HALLPASS_LISTEN", "127.0.0.1:2"), ("HALLPASS_LOG_FORMAT", "json")];
    let settings = read(file, &env, &[("listen", &["127.0.0.1:3"])]).unwrap();
    assert_eq!(settings.listen.port(), 3);
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.log, LogLevel::Warn);
}

#[test]
fn each_value_says_where_it_came_from() {
    let layers = layers(
        "[server]\n\nlog = \"warn\"\n",
        &[("HALLPASS_LOG_FORMAT", "json")],
        &[("listen", &["127.0.0.1:3"])],
    )
    .unwrap();
    let source = |key: &str| layers.explain().into_iter().find(|row| row.key == key).unwrap().source;
    assert!(source("log").ends_with("hallpass.toml, line 3"), "{}", source("log"));
    assert_eq!(source("log_format"), "HALLPASS_LOG_FORMAT");
    assert_eq!(source("listen"), "--listen");
    assert_eq!(source("data"), "default");
    assert_eq!(layers.explain().len(), TABLE.len());
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    let said = refusal("[server]\nlisten = \"127.0.0.1:1\"\nlisetn = \"10s\"\n", &[], &[]);
    assert_eq!(said, "in `/hallpass.toml`, line 3: unknown key `lisetn` | did you mean `listen`?");
    let said = refusal("[sever]\n", &[], &[]);
    assert_eq!(said, "in `/hallpass.toml`, line 1: unknown table `sever` | did you mean `server`?");
    assert!(refusal("[server]\nzzzzzz = 1\n", &[], &[]).contains("known here: data, listen"));
}

#[test]
fn a_value_of_the_wrong_shape_is_named_with_its_place() {
    assert!(refusal("[server]\nlisten = 5\n", &[], &[]).contains("line 2: `listen` must be text"));
    assert!(refusal("[server\n", &[], &[]).starts_with("in `/hallpass.toml`, line 1: "));
    let said = refusal("", &[("HALLPASS_LISTEN", "8484")], &[]);
    assert_eq!(
        said,
        "`listen` is `8484` (HALLPASS_LISTEN): it must be an address and port such as `127.0.0.1:8484`"
    );
    assert!(
        refusal("[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n", &[], &[])
            .contains("must be one value")
    );
}

#[test]
fn plain_http_leaves_this_machine_only_behind_a_named_proxy() {
    assert!(
        refusal("", &[], &[("listen", &["0.0.0.0:80"])])
            .starts_with("will not serve plain HTTP on `0.0.0.0:80`")
    );
    let behind: &[(&str, &[&str])] = &[
        ("listen", &["0.0.0.0:80"]),
        ("trusted_proxies", &["10.0.0.0/8"]),
        ("base_url", &["https://id.example"]),
    ];
    assert!(read("", &[], behind).is_ok());
}

#[test]
fn a_base_url_is_https_or_localhost_and_has_no_path() {
    let said = |url: &str| refusal("", &[], &[("base_url", &[url])]);
    assert!(said("http://127.0.0.1:8484").contains("passkeys cannot belong to an IP address"));
    assert!(said("http://id.example").contains("http://localhost for this machine alone"));
    assert!(said("https://id.example").contains("nothing here speaks TLS"));
    for bad in [
        "id.example",
        "https://id.example/auth",
        "https://u:p@id.example",
        "ftp://id.example",
        "https://id.example?x",
    ] {
        assert!(said(bad).contains("(--base-url): it "), "{bad}: {}", said(bad));
    }
    assert!(read("", &[], &[("base_url", &["http://localhost:9"])]).is_ok());
}

#[test]
fn a_certificate_and_its_key_come_together() {
    assert!(refusal("", &[], &[("tls_cert", &["c.pem"])]).starts_with("`tls_key` is missing"));
    let both: &[(&str, &[&str])] =
        &[("tls_cert", &["c.pem"]), ("tls_key", &["k.pem"]), ("base_url", &["https://id.example"])];
    let tls = read("", &[], both).unwrap().tls.unwrap();
    assert_eq!(tls.cert, Path::new("/here/c.pem"));
}
