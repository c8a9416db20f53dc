//! Signing in by an address that is pasted at the terminal, and where nobody is at one.

use hallpass_testkit::small_provider::{Manner, SmallProvider};

use super::machine::{Home, until};
use super::terminal::{CTRL_C, Terminal};

const SSH: (&str, &str) = ("SSH_CONNECTION", "x");
const PROMPT: &str = "paste it here (";

/// Starts a sign-in over SSH, and reads where to go from what it shows. The line runs on after it, also after Ctrl-C, which
/// is a signal to the shell as well.
async fn asked(home: &Home, provider: &SmallProvider, flags: &str, after: &str) -> (Terminal, String) {
    let line = format!(
        "trap : INT; stty -a > before; \"$HALLPASS\" login {} --client-id hallpass-cli {flags}; echo left with $?; \
         stty -a > after; cmp before after && echo same{after}",
        provider.issuer
    );
    let terminal = Terminal::run(home, &line, &[SSH]);
    terminal.shows(PROMPT).await;
    let screen = terminal.screen();
    let address = screen.split_whitespace().find(|word| word.contains("/authorize?")).unwrap().to_owned();
    (terminal, address)
}

/// Where a browser elsewhere ends.
async fn last_address(address: &str) -> String {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let answer = client.get(address).send().await.unwrap();
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// So many lines were refused.
async fn refused(terminal: &Terminal, times: usize) {
    let asked = || terminal.screen().matches(PROMPT).count();
    until("it asks again", async || asked() == times + 1).await;
}

#[tokio::test]
async fn where_codes_are_forbidden_an_address_is_pasted_and_nothing_of_it_is_shown() {
    let manner = Manner { ours: false, refuses_codes: Some("unauthorized_client"), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let home = Home::new();
    let (mut terminal, address) = asked(&home, &provider, "", "; \"$HALLPASS\" token").await;
    let last = last_address(&address).await;
    let code = last.split("code=").nth(1).unwrap().split('&').next().unwrap();

    terminal.press(&format!("{code}\r")).await;
    refused(&terminal, 1).await;
    // One paste of two lines is one wrong line, and not two.
    terminal.press(&last.replace("&state", "\r&state")).await;
    terminal.press("\r").await;
    refused(&terminal, 2).await;
    terminal.press(&format!("{last}&x={}\r", "x".repeat(60_000))).await;
    refused(&terminal, 3).await;
    terminal.press(&format!("\x1b[200~{last}\x1b[201~\r")).await;
    terminal.shows("left with 0").await;
    let screen = terminal.end().await;
    for said in [
        "a code to type in any browser: you came in over SSH",
        "no code can be had: ",
        "AADSTS53003",
        "an address to paste from any browser: this provider gives no codes",
        "not the code alone (4 more tries)",
        "line breaks in it: copy the address as one line (3 more tries)",
        "too long to be an address (2 more tries)",
        "same",
    ] {
        assert!(screen.contains(said), "{said}: {screen}");
    }
    assert!(!screen.contains(code) && !screen.contains("xxxxx"), "{screen}");
    let token = screen.lines().last().unwrap();
    assert_eq!(token.split('.').count(), 3, "its token can be had: {screen}");
    assert_eq!(provider.asked("authorization_code"), 1);
}

#[tokio::test]
async fn ctrl_c_while_an_address_is_waited_for_leaves_the_terminal_as_it_was() {
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    for (key, code) in [(CTRL_C, 130), ("\x04", 130), ("\x1c", 130)] {
        let (mut terminal, _) = asked(&home, &provider, "--flow paste", "").await;
        terminal.press("\x1a").await; // it would stop us, with a terminal that shows nothing
        terminal.press(key).await;
        terminal.shows(&format!("left with {code}")).await;
        let screen = terminal.end().await;
        assert!(screen.contains("same") && screen.contains("nothing was kept"), "{screen}");
    }
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn where_nobody_is_at_a_terminal_nobody_is_asked_for_anything() {
    let manner = Manner { refuses_codes: Some("unauthorized_client"), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let home = Home::new();
    for (ci, more) in [
        (None, &[][..]),
        (None, &["--flow", "paste"]),
        (Some("true"), &[]),
        (Some("1"), &["--flow", "paste"]),
    ] {
        let mut command = home.hallpass(&[&["login", &provider.issuer], more].concat());
        let said = super::machine::Said(command.envs(ci.map(|ci| ("CI", ci))).output().await.unwrap());
        assert_eq!(said.code(), 4, "{}", said.err());
        let words = said.err();
        assert!(
            words.contains("nobody is there to sign in") && words.contains("identity of its own"),
            "{words}"
        );
        assert_eq!(said.out(), "");
    }
    let asked = provider.last_form("device_authorization");
    assert!(asked.is_empty() && provider.last_form("authorize").is_empty());

    // A terminal of a job's own changes nothing, as little as one at which nobody is to be asked.
    for (line, environment) in [
        ("\"$HALLPASS\" login $ISSUER --flow paste --no-input; echo left with $?", vec![SSH]),
        ("\"$HALLPASS\" login $ISSUER --no-input; echo left with $?", vec![SSH]),
        ("\"$HALLPASS\" login $ISSUER --flow paste < /dev/null; echo left with $?", vec![("CI", "true")]),
    ] {
        let environment = [environment, vec![("ISSUER", provider.issuer.as_str())]].concat();
        let screen = Terminal::run(&home, line, &environment).end().await;
        assert!(screen.contains("left with 4") && !screen.contains(PROMPT), "{screen}");
    }
}
