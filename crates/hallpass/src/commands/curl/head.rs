//! The status line and headers of an answer, as curl dumps them.

use hallpass_holder::Told;
use url::Url;

/// Headers at most, in bytes: curl itself takes no more than 300 KB.
pub(super) const HEAD_MAX: usize = 300 * 1024;

/// The head of the last answer that is one: not a `100 Continue`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads what came so far. `None` until a whole head did.
    pub(super) fn read(dumped: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(dumped);
        let mut lines = text.split_inclusive('\n');
        loop {
            let first = whole(lines.next()?)?;
            let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            let mut headers = Vec::new();
            loop {
                match whole(lines.next()?)? {
                    "" => break,
                    line => headers.extend(
                        line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())),
                    ),
                }
            }
            if !(100..200).contains(&status) {
                return Some(Self { status, headers });
            }
        }
    }

    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = move |(header, _): &&(String, String)| header.eq_ignore_ascii_case(name);
        let named: Vec<_> = self.headers.iter().filter(named).map(|(_, value)| value.as_str()).collect();
        named.into_iter()
    }

    /// The challenges, one a line.
    pub(super) fn challenge(&self) -> String {
        self.all("www-authenticate").collect::<Vec<_>>().join("\n")
    }

    /// What matters to the next request.
    pub(super) fn told<'a>(&'a self, challenge: &'a str) -> Told<'a> {
        let date = self.all("date").next().and_then(hallpass_holder::http_date);
        Told::new(self.status).challenge(challenge).nonce(self.all("dpop-nonce").next()).date(date)
    }

    /// Where it redirects to.
    pub(super) fn redirects_to(&self, from: &Url) -> Option<Url> {
        if !matches!(self.status, 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let to = from.join(self.all("location").next()?).ok()?;
        matches!(to.scheme(), "http" | "https").then_some(to)
    }
}

/// A line that is there to its end, without that.
fn whole(line: &str) -> Option<&str> {
    line.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    const MOVED: &str = "HTTP/2 302 \r\nLocation: ../other?x#y\r\nDPoP-Nonce: n\r\n\r\n";

    #[test]
    fn a_head_is_read_once_it_is_whole_and_the_one_that_counts() {
        let all = format!("{CONTINUE}{MOVED}");
        for len in 0..all.len() {
            assert_eq!(Head::read(&all.as_bytes()[..len]), None, "{len}");
        }
        let head = Head::read(all.as_bytes()).unwrap();
        assert_eq!((head.status, head.told("").nonce), (302, Some("n")));
        let to = head.redirects_to(&"https://api.example/a/b".parse().unwrap()).unwrap();
        assert_eq!(to.as_str(), "https://api.example/other?x#y");
    }

    #[test]
    fn a_redirect_leads_to_the_web_or_nowhere() {
        let from = "https://api.example/".parse().unwrap();
        for (text, leads) in [
            ("HTTP/1.1 302 x\nLocation: file:///etc/passwd\n\n", false),
            ("HTTP/1.1 200 x\nLocation: /x\n\n", false),
            ("HTTP/1.1 302 x\n\n", false),
            ("HTTP/1.1 308 x\nlocation: https://other.example/\n\n", true),
        ] {
            assert_eq!(Head::read(text.as_bytes()).unwrap().redirects_to(&from).is_some(), leads, "{text}");
        }
    }
}
