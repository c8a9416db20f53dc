//! The token is taken out of what a command writes, and the command keeps its terminal. `script` (util-linux) makes the
//! person's.

use rustix::process::{Signal, kill_process};

use super::killed::{children, pid};
use super::machine::{Machine, Said, in_time, until};
use super::terminal::{CTRL_C, Terminal};

const CTRL_Z: &str = "\x1a";
const CTRL_D: &str = "\x04";
const CTRL_BACKSLASH: &str = "\x1c";
/// What begins every token of these tests.
const TOKEN: &str = "eyJ";

/// A shell's line that runs another one under `exec`, masked, and says how it ended. Whoever runs the tests may not hear
/// hang-ups; this one does.
fn masked(line: &str) -> String {
    format!(
        "env --default-signal=HUP \"$HALLPASS\" exec --mask --quiet --purpose x -- bash -c '{line}'; echo left with $?"
    )
}

#[tokio::test]
async fn a_token_is_masked_and_the_terminal_stays_one() {
    let machine = Machine::signed_in().await;
    let line = "test -t 0 && test -t 1 && test -t 2 && echo all three; stty size; tty; echo $HALLPASS_TOKEN; \
                printf %s $HALLPASS_TOKEN | base64 -w0; echo; echo $HALLPASS_TOKEN >&2; printf \"\\033[31mred\\033[0m\\n\"";
    let line = format!(
        "stty rows 41 cols 97; stty -a > before; {}; stty -a > after; cmp before after && echo same",
        masked(line)
    );
    let screen = Terminal::run(&machine, &line, &[]).end().await;
    assert!(!screen.contains(TOKEN) && screen.matches("[token]").count() >= 3, "{screen}");
    assert!(screen.contains("all three\r\n41 97\r\n/dev/pts/"), "{screen}");
    assert!(screen.contains("\x1b[31mred\x1b[0m\r\n") && screen.contains("left with 0"), "{screen}");
    assert!(screen.contains("same"), "the terminal is as it was: {screen}");
}

#[tokio::test]
async fn without_a_terminal_outputs_are_masked_and_stay_apart() {
    let machine = Machine::signed_in().await;
    let line = "echo out $HALLPASS_TOKEN; echo err $HALLPASS_TOKEN >&2; printf %s ${HALLPASS_TOKEN%?}; sleep 0.3; \
                printf %s ${HALLPASS_TOKEN#${HALLPASS_TOKEN%?}}; test -t 1 || exit 3";
    let said = machine.run(&["exec", "--mask", "--quiet", "--purpose", "x", "--", "bash", "-c", line]).await;
    assert_eq!((said.code(), said.err().as_str()), (3, "err [token]\n"));
    assert_eq!(said.out(), "out [token]\n[token]");
    // What is not masked is not touched.
    let said =
        machine.run(&["exec", "--quiet", "--purpose", "x", "--", "sh", "-c", "echo $HALLPASS_TOKEN"]).await;
    assert!(said.out().starts_with(TOKEN));
}

/// MiB of output that is no text.
const MUCH: usize = 64;
/// MiB that `hallpass` may hold more than before while it passes: a few pieces.
const HELD: usize = 16;

#[tokio::test]
async fn what_is_no_token_passes_to_the_byte_however_much_it_is() {
    let machine = Machine::signed_in().await;
    let line = "peak() { sed -n \"s/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p\" /proc/$PPID/status; }; \
                peak >&2; cat much; printf %s $HALLPASS_TOKEN; cat much; peak >&2";
    let line = format!(
        "head -c {0} /dev/urandom > much; {{ cat much; printf \"[token]\"; cat much; }} > expected; \
         \"$HALLPASS\" exec --mask --quiet --purpose x -- sh -c '{line}' | cmp - expected && echo same",
        MUCH / 2 * 1024 * 1024
    );
    let mut shell = tokio::process::Command::new("bash");
    shell
        .args(["-c", &line])
        .current_dir(machine.path(""))
        .env_clear()
        .env("HALLPASS", env!("CARGO_BIN_EXE_hallpass"));
    let prepared = machine.hallpass::<&str>(&[]);
    shell.envs(prepared.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = Said(in_time(shell.output()).await.unwrap());
    assert_eq!(said.out(), "same\n", "{}", said.err());
    let peaks: Vec<usize> = said.err().lines().map(|line| line.parse().unwrap()).collect();
    assert!(peaks[1] - peaks[0] < HELD * 1024, "{peaks:?} kB");
}

#[tokio::test]
async fn a_token_that_is_broken_into_lines_is_masked_too() {
    let machine = Machine::signed_in().await;
    // Both do: lines of 76 letters, and of 30.
    let line = "printf %s user:$HALLPASS_TOKEN | base64; echo; echo $HALLPASS_TOKEN | fold -w 30; echo end";
    let said = machine.run(&["exec", "--mask", "--quiet", "--purpose", "x", "--", "bash", "-c", line]).await;
    let (base64, folded) = said.out().split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(base64.contains("[token]") && base64.len() < 30, "{base64}");
    assert_eq!(folded, "[token]\nend\n");
    let screen = Terminal::run(&machine, &masked(line), &[]).end().await;
    assert!(screen.matches("[token]").count() == 2 && screen.contains("[token]\r\nend"), "{screen}");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_command_as_it_would_have() {
    let machine = Machine::signed_in().await;
    let line = "\"$HALLPASS\" exec --mask --quiet --purpose x -- yes | head -n 1; echo ${PIPESTATUS[0]}";
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["-c", line]).env_clear().env("HALLPASS", env!("CARGO_BIN_EXE_hallpass"));
    let prepared = machine.hallpass::<&str>(&[]);
    shell.envs(prepared.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = Said(in_time(shell.output()).await.unwrap());
    assert_eq!(said.out(), "y\n141\n", "{}", said.err());
}

#[tokio::test]
async fn only_outputs_that_are_terminals_are_ones() {
    let machine = Machine::signed_in().await;
    let line = "echo data | \"$HALLPASS\" exec --mask --quiet --purpose x -- \
                bash -c 'read x; test -t 1 && echo $x to a terminal $HALLPASS_TOKEN; stty size <&1; echo e $HALLPASS_TOKEN >&2' 2> err; \
                cat err; true | \"$HALLPASS\" exec --mask --quiet --purpose x -- sh -c 'test -t 1 || echo piped $HALLPASS_TOKEN' | cat";
    let screen = Terminal::run(&machine, &format!("stty rows 41 cols 97; {line}"), &[]).end().await;
    assert!(
        screen.contains("data to a terminal [token]\r\n41 97\r\ne [token]\r\npiped [token]\r\n"),
        "{screen}"
    );
    assert!(!screen.contains(TOKEN), "{screen}");
}

#[tokio::test]
async fn keys_arrive_at_once_and_a_password_is_not_shown() {
    let machine = Machine::signed_in().await;
    let line = "echo ready; read -r x; echo \"<$x>\"; read -rsp \"secret: \" y; echo; echo \"${#y} letters\"";
    let mut terminal = Terminal::run(&machine, &masked(line), &[]);
    terminal.shows("ready").await;
    for (key, seen) in [("e", "e"), ("y", "ey"), ("J", "eyJ"), ("!", "eyJ!")] {
        terminal.press(key).await;
        terminal.shows(&format!("ready\r\n{seen}")).await;
    }
    terminal.press("\r").await;
    terminal.shows("<eyJ!>").await;
    terminal.shows("secret: ").await;
    terminal.press("hunter2\r").await;
    let screen = terminal.end().await;
    assert!(screen.contains("7 letters") && !screen.contains("hunter2"), "{screen}");
}

#[tokio::test]
async fn the_code_is_the_command_s_and_ctrl_c_is_its_own_affair() {
    let machine = Machine::signed_in().await;
    for (line, code) in [("exit 7", 7), ("kill -9 $$", 137), ("exec no-such-program", 127)] {
        let screen = Terminal::run(&machine, &masked(line), &[]).end().await;
        assert!(screen.contains(&format!("left with {code}")), "{line}: {screen}");
    }
    let line = "trap \"echo heard; exit 9\" INT; echo ready; while :; do sleep 0.05; done";
    let mut terminal = Terminal::run(&machine, &masked(line), &[]);
    terminal.shows("ready").await;
    terminal.press(CTRL_C).await;
    let screen = terminal.end().await;
    assert!(screen.contains("heard") && screen.contains("left with 9"), "{screen}");
}

#[tokio::test]
async fn keys_that_end_the_input_or_the_command_do_so() {
    let machine = Machine::signed_in().await;
    let line = "trap \"echo heard; exit 9\" QUIT; echo ready; cat; echo over; read -r x < /dev/tty";
    let mut terminal = Terminal::run(&machine, &masked(line), &[]);
    terminal.shows("ready").await;
    terminal.press("hello\r").await;
    terminal.shows("hello\r\nhello\r\n").await;
    terminal.press(CTRL_D).await;
    terminal.shows("over").await;
    terminal.press(CTRL_BACKSLASH).await;
    let screen = terminal.end().await;
    assert!(screen.contains("heard") && screen.contains("left with 9"), "{screen}");
}

#[tokio::test]
async fn the_size_of_the_window_is_followed() {
    let machine = Machine::signed_in().await;
    let line = "trap \"stty size; exit\" WINCH; echo ready; while :; do sleep 0.05; done";
    let line = format!(
        "(until [ -e resize ]; do sleep 0.05; done; stty rows 33 cols 99 < /dev/tty) & {}",
        masked(line)
    );
    let terminal = Terminal::run(&machine, &line, &[]);
    terminal.shows("ready").await;
    std::fs::write(machine.path("resize"), "").unwrap();
    terminal.shows("33 99").await;
    assert!(terminal.end().await.contains("left with 0"));
}

/// Whether the terminal shows these words after the last of those.
fn shows_after(terminal: &Terminal, last: &str, words: &str) -> bool {
    terminal.screen().rsplit_once(last).is_some_and(|(_, after)| after.contains(words))
}

#[tokio::test]
async fn ctrl_z_stops_the_job_and_fg_goes_on_with_it() {
    let machine = Machine::signed_in().await;
    let mut terminal = Terminal::run(&machine, "exec bash --norc --noprofile -i", &[("PS1", "prompt> ")]);
    terminal.shows("prompt> ").await;
    let line = "read -r x; echo \"<$x>\"; read -r y; echo \"[$y]\"";
    terminal.press(&format!("{}\r", masked(&format!("echo rea''dy; {line}").replace("''", "\"\"")))).await;
    terminal.shows("ready\r\n").await;
    terminal.press("one\r").await;
    terminal.shows("<one>").await;
    terminal.press(CTRL_Z).await;
    terminal.shows("Stopped").await;
    terminal.press("echo at the $((1+1))nd shell; stty -a | grep -o ' icanon'; jobs\r").await;
    terminal.shows("at the 2nd shell\r\n icanon").await;
    terminal.press("fg\r").await;
    // What is typed before the keys have changed hands is for whoever had them.
    until("the job is in front", async || shows_after(&terminal, "fg\r\n", "exec --mask")).await;
    terminal.press("two\r").await;
    terminal.shows("[two]").await;
    until("the shell is in front", async || shows_after(&terminal, "[two]", "prompt> ")).await;
    terminal.press("exit\r").await;
    let screen = terminal.end().await;
    assert!(!screen.contains(TOKEN), "{screen}");
}

#[tokio::test]
async fn programs_that_draw_work() {
    let machine = Machine::signed_in().await;
    std::fs::write(machine.path("long"), (0..500).map(|n| format!("line {n}\n")).collect::<String>())
        .unwrap();
    let mut terminal = Terminal::run(&machine, &masked("vi -u NONE -N new; less long"), &[]);
    terminal.shows("new").await;
    terminal.press("ihello").await;
    terminal.shows("hello").await;
    terminal.press("\x1b:wq\r").await;
    terminal.shows("line 3").await;
    terminal.press("G").await;
    terminal.shows("line 499").await;
    terminal.press("q").await;
    let screen = terminal.end().await;
    assert!(screen.contains("left with 0"), "{screen}");
    assert_eq!(std::fs::read_to_string(machine.path("new")).unwrap(), "hello\n");
}

#[tokio::test]
async fn when_hallpass_is_killed_a_masked_command_hangs_up_and_its_token_dies() {
    let machine = Machine::signed_in().await;
    let line = masked(&format!("trap \": > heard; exit\" HUP; {}", machine.script().replace('\'', "\"")));
    let terminal = Terminal::run(&machine, &format!("{line} & wait"), &[]);
    let token = machine.token_of_run().await;
    assert!(machine.world.accepts(&token).await);
    let shell = children(pid(terminal.child())).remove(0).0;
    let run =
        children(shell).into_iter().find(|(_, arguments)| arguments.contains("--mask")).expect("it runs").0;
    kill_process(run, Signal::KILL).unwrap();
    machine.until_dead(&token).await;
    until("the command has heard it", async || machine.path("heard").exists()).await;
    terminal.end().await;
}
