//! What curl was asked for, read as curl reads it: which options there are and which take a value, the curl on this
//! machine says itself (`curl --help all`).

use std::collections::HashMap;
use std::ffi::OsString;

use url::Url;

use crate::failure::Failure;

/// Redirects followed at most, unless `--max-redirs` says otherwise: curl's own limit.
const REDIRECTS_MAX: usize = 50;

/// What cannot go with a token of ours, and why.
const REFUSED: &[(&[&str], &str)] = &[
    (&["config"], "what is in that file could send the token elsewhere; give the options here"),
    (&["next"], "one request at a time: each needs a proof of its own"),
    (&["retry"], "a proof is good for one request; run the command again"),
    (&["location-trusted"], "the token is for one API and goes nowhere else; use `--location`"),
    (&["insecure"], "whoever stands between would get the token; name the certificate with `--cacert`"),
    (
        &[
            "user",
            "oauth2-bearer",
            "netrc",
            "netrc-file",
            "netrc-optional",
            "basic",
            "digest",
            "ntlm",
            "ntlm-wb",
            "negotiate",
            "anyauth",
            "aws-sigv4",
            "delegation",
        ],
        "hallpass says who asks",
    ),
    (
        &["trace", "trace-ascii", "libcurl", "stderr", "trace-config"],
        "it would write the token into a file; use `--verbose`, where the token is left out",
    ),
    (
        &["variable", "expand-url", "expand-header", "expand-data"],
        "say it as it is, so that it can be read here",
    ),
    (&["request-target"], "a proof is for the address itself"),
    (&["help", "manual", "version", "ai-help"], "ask curl itself"),
];

/// What is done here and not by curl.
const OURS: &[&str] = &[
    "url",
    "request",
    "location",
    "no-location",
    "max-redirs",
    "dump-header",
    "disable",
    "globoff",
    "suppress-connect-headers",
];

/// What brings a body, and so makes a request a POST.
const BODIES: &[&str] =
    &["data", "data-ascii", "data-binary", "data-raw", "data-urlencode", "json", "form", "form-string"];

/// The options of one curl: the short ones' long names, and which take a value.
pub(super) struct Known {
    short: HashMap<char, String>,
    takes_value: HashMap<String, bool>,
}

impl Known {
    /// From what `curl --help all` prints: ` -X, --request <method>  Specify request method to use`.
    pub(super) fn read(help: &str) -> Self {
        let mut known = Self { short: HashMap::new(), takes_value: HashMap::new() };
        for line in help.lines() {
            let mut words = line.split_whitespace();
            let Some(mut word) = words.next() else { continue };
            let mut short = None;
            if let Some(letter) = word.strip_prefix('-').and_then(|rest| rest.strip_suffix(',')) {
                short = letter.chars().next();
                word = words.next().unwrap_or_default();
            }
            let Some(long) = word.strip_prefix("--") else { continue };
            let value = words.next().is_some_and(|next| next.starts_with('<'));
            if let Some(letter) = short {
                known.short.insert(letter, long.to_owned());
            }
            known.takes_value.insert(long.to_owned(), value);
        }
        known
    }

    /// Whether a long option takes a value. `None` if there is none of that name.
    fn takes_value(&self, long: &str) -> Option<bool> {
        // Every switch has an opposite, which the list does not show.
        let positive = long.strip_prefix("no-").unwrap_or(long);
        match (self.takes_value.get(long), self.takes_value.get(positive)) {
            (Some(value), _) => Some(*value),
            (None, Some(false)) => Some(false),
            _ => None,
        }
    }
}

/// One option, by its long name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    name: String,
    value: Option<OsString>,
}

/// What curl was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Where to. Passed on to curl in this very form, so that both mean the same.
    pub(super) url: Url,
    /// Whether redirects are followed, and how often.
    pub(super) redirects: usize,
    /// Where the headers of the answer go (`--dump-header`).
    pub(super) dump_header: Option<OsString>,
    method: Option<String>,
    given: Vec<Given>,
}

impl Asked {
    pub(super) fn read(arguments: &[OsString], known: &Known) -> Result<Self, Failure> {
        let (mut given, mut addresses) = (Vec::new(), Vec::new());
        let mut rest = arguments.iter();
        let mut options_over = false;
        while let Some(argument) = rest.next() {
            let text = argument.to_str();
            match text {
                Some("--") if !options_over => options_over = true,
                Some(long) if !options_over && long.starts_with("--") => {
                    let name = &long[2..];
                    let takes = known.takes_value(name).ok_or_else(|| no_option(long))?;
                    let value = takes.then(|| value_of(long, rest.next().cloned())).transpose()?;
                    given.push(Given { name: name.to_owned(), value });
                }
                Some(cluster) if !options_over && cluster.starts_with('-') && cluster.len() > 1 => {
                    for (at, letter) in cluster[1..].char_indices() {
                        let shown = format!("-{letter}");
                        let name = known.short.get(&letter).ok_or_else(|| no_option(&shown))?;
                        if known.takes_value(name) != Some(true) {
                            given.push(Given { name: name.clone(), value: None });
                            continue;
                        }
                        let attached = &cluster[1 + at + letter.len_utf8()..];
                        let value =
                            if attached.is_empty() { rest.next().cloned() } else { Some(attached.into()) };
                        given.push(Given { name: name.clone(), value: Some(value_of(&shown, value)?) });
                        break;
                    }
                }
                _ => addresses.push(argument.clone()),
            }
        }
        Self::judge(given, addresses)
    }

    fn judge(given: Vec<Given>, mut addresses: Vec<OsString>) -> Result<Self, Failure> {
        for option in &given {
            let name = option.name.strip_prefix("expand-").map_or(option.name.as_str(), |_| "variable");
            if let Some((_, why)) = REFUSED.iter().find(|(names, _)| names.contains(&name)) {
                return Err(Failure::refused(format_args!(
                    "`--{}` does not go with a token: {why}",
                    option.name
                )));
            }
            if matches!(name, "header") && option.value.as_ref().is_some_and(is_ours) {
                return Err(Failure::refused(
                    "`Authorization` and `DPoP` are the headers that hallpass makes",
                ));
            }
        }
        let last = |name: &str| {
            given.iter().rev().find(|option| option.name == name).and_then(|option| option.value.clone())
        };
        addresses.extend(given.iter().filter(|option| option.name == "url").filter_map(|o| o.value.clone()));
        let url = match addresses.as_slice() {
            [one] => parse_address(&one.to_string_lossy())?,
            [] => return Err(Failure::usage("an address is needed")),
            _ => return Err(Failure::usage("one address at a time: each needs a proof of its own")),
        };
        let limit = last("max-redirs").and_then(|limit| limit.to_str()?.parse::<i64>().ok());
        let follows =
            given.iter().rev().find(|option| matches!(option.name.as_str(), "location" | "no-location"));
        let redirects = match follows.is_some_and(|option| option.name == "location") {
            true => limit.map_or(REDIRECTS_MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            false => 0,
        };
        let method = last("request").map(|method| method.to_string_lossy().into_owned());
        let dump_header = last("dump-header");
        let given = given.into_iter().filter(|option| !OURS.contains(&option.name.as_str())).collect();
        Ok(Self { url, redirects, dump_header, method, given })
    }

    /// The method that curl will use.
    pub(super) fn method(&self) -> &str {
        let has = |name: &str| self.given.iter().any(|option| option.name == name);
        match &self.method {
            Some(method) => method,
            None if has("head") => "HEAD",
            None if has("get") => "GET",
            None if has("upload-file") => "PUT",
            None if self.given.iter().any(is_body) => "POST",
            None => "GET",
        }
    }

    /// Whether the body is read from standard input, which can be read once.
    pub(super) fn reads_input(&self) -> bool {
        self.given.iter().any(|option| {
            let value = option.value.as_ref().map(|value| value.to_string_lossy()).unwrap_or_default();
            match option.name.as_str() {
                "upload-file" => value == "-" || value == ".",
                "header" => value == "@-",
                "form" => value.contains("=@-") || value.contains("=<-"),
                _ if is_body(option) => value.ends_with("@-"),
                _ => false,
            }
        })
    }

    /// Whether the answer goes into a file.
    pub(super) fn goes_into_a_file(&self) -> bool {
        let file = |option: &Given| {
            matches!(option.name.as_str(), "remote-name" | "remote-name-all")
                || (option.name == "output" && option.value.as_ref().is_some_and(|value| value != "-"))
        };
        self.given.iter().any(file)
    }

    /// For the next request, to where a redirect leads (RFC 9110, section 15.4): all but a 307 and a 308 are asked without
    /// the body, and a POST becomes a GET.
    pub(super) fn redirected(&mut self, status: u16, to: Url) {
        self.url = to;
        let posts = self.method() == "POST";
        if status == 303 || (posts && matches!(status, 301 | 302)) {
            self.given.retain(|option| !is_body(option) && option.name != "upload-file");
        }
    }

    /// The options and the address, as curl is given them.
    pub(super) fn render(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        for option in &self.given {
            all.push(format!("--{}", option.name).into());
            all.extend(option.value.clone());
        }
        if let Some(method) = &self.method {
            all.extend(["--request".into(), method.into()]);
        }
        all.extend(["--url".into(), self.url.as_str().into()]);
        all
    }
}

fn is_body(option: &Given) -> bool {
    BODIES.contains(&option.name.as_str())
}

/// Whether a header is one that is made here.
fn is_ours(header: &OsString) -> bool {
    let text = header.to_string_lossy();
    let name = text.split([':', ';']).next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("dpop")
}

fn parse_address(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| url.has_host()).ok_or_else(|| {
        Failure::usage(format_args!("`{text}` is not an address")).hint("say `https://` before the host")
    })?;
    Ok(url)
}

fn value_of(option: &str, value: Option<OsString>) -> Result<OsString, Failure> {
    value.ok_or_else(|| Failure::usage(format_args!("`{option}` needs a value")))
}

fn no_option(option: &str) -> Failure {
    Failure::usage(format_args!("the curl on this machine has no `{option}`"))
        .hint("write long options in full; `curl --help all` lists them")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "\
Usage: curl [options...] <url>
 -K, --config <file>      Read config from a file
 -d, --data <data>        HTTP POST data
     --json <data>        HTTP POST JSON
 -f, --fail               Fail fast
 -F, --form <name=content> Specify multipart MIME data
 -G, --get                Put the post data in the URL and use GET
 -I, --head               Show document info only
 -H, --header <header/@file> Pass custom header(s) to server
 -k, --insecure           Allow insecure server connections
 -L, --location           Follow redirects
     --location-trusted   Like --location, and send auth to other hosts
     --max-redirs <num>   Maximum number of redirects allowed
 -o, --output <file>      Write to file instead of stdout
 -X, --request <method>   Specify request method to use
     --retry <num>        Retry request if transient problems occur
 -s, --silent             Silent mode
 -S, --show-error         Show error even when -s is used
     --trace <file>       Write a debug trace to FILE
 -T, --upload-file <file> Transfer local FILE to destination
     --url <url>          URL to work with
 -u, --user <user:password> Server user and password
";

    fn asked(words: &[&str]) -> Result<Asked, Failure> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Asked::read(&words, &Known::read(HELP))
    }

    fn rendered(words: &[&str]) -> (String, String) {
        let asked = asked(words).unwrap();
        let all: Vec<_> = asked.render().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        (asked.method().to_owned(), all.join(" "))
    }

    const A: &str = "https://api.example/x";

    #[test]
    fn methods_are_what_curl_would_use() {
        for (words, method) in [
            (&[A][..], "GET"),
            (&["-d", "x", A], "POST"),
            (&["--json", "{}", A], "POST"),
            (&["-F", "a=b", A], "POST"),
            (&["-G", "-d", "x", A], "GET"),
            (&["-I", A], "HEAD"),
            (&["-T", "file", A], "PUT"),
            (&["-X", "PATCH", "-d", "x", A], "PATCH"),
            (&["-sSXDELETE", A], "DELETE"),
            (&["-sSfX", "PURGE", A], "PURGE"),
        ] {
            assert_eq!(asked(words).unwrap().method(), method, "{words:?}");
        }
    }

    #[test]
    fn what_is_passed_on_is_what_was_given_with_the_address_in_one_form() {
        let (method, all) =
            rendered(&["-sLo", "out", "--url", "HTTPS://API.example:443/a/../x", "-H", "X: 1"]);
        assert_eq!(method, "GET");
        assert_eq!(all, "--silent --output out --header X: 1 --url https://api.example/x");
        assert_eq!(rendered(&["-fd@body", "--", A]).1, format!("--fail --data @body --url {A}"));
    }

    #[test]
    fn what_would_send_the_token_elsewhere_or_write_it_down_is_refused() {
        for words in [
            &["-K", "file", A][..],
            &["-sk", A],
            &["--location-trusted", A],
            &["--trace", "-", A],
            &["-u", "a:b", A],
            &["--retry", "3", A],
            &["-H", "authorization: Basic x", A],
            &["-HDPoP:x", A],
            &["-H", "Authorization;", A],
        ] {
            assert_eq!(asked(words).unwrap_err().exit(), crate::failure::Exit::REFUSED, "{words:?}");
        }
    }

    #[test]
    fn what_curl_would_not_understand_is_not_guessed() {
        for words in
            [&[][..], &[A, A], &["--loc", A], &["-y", A], &["api.example/x"], &[A, "-X"], &["mailto:x"]]
        {
            assert_eq!(asked(words).unwrap_err().exit(), crate::failure::Exit::USAGE, "{words:?}");
        }
    }

    #[test]
    fn a_redirect_takes_the_body_along_only_where_the_standard_has_it() {
        let to = || Url::parse("https://api.example/y").unwrap();
        for (status, method, body) in
            [(303, "GET", false), (302, "GET", false), (307, "POST", true), (308, "POST", true)]
        {
            let mut asked = asked(&["-Ld", "x", A]).unwrap();
            assert_eq!(asked.redirects, REDIRECTS_MAX);
            asked.redirected(status, to());
            assert_eq!(asked.method(), method, "{status}");
            assert_eq!(asked.render().contains(&"--data".into()), body, "{status}");
        }
        assert_eq!(asked(&["-L", "--max-redirs", "2", A]).unwrap().redirects, 2);
        assert_eq!(asked(&[A]).unwrap().redirects, 0);
    }

    #[test]
    fn a_body_from_standard_input_is_known_to_be_one() {
        for (words, reads) in [
            (&["-d", "@-", A][..], true),
            (&["-T", "-", A], true),
            (&["-F", "file=@-", A], true),
            (&["-d", "@file", A], false),
            (&[A], false),
        ] {
            assert_eq!(asked(words).unwrap().reads_input(), reads, "{words:?}");
        }
    }
}
