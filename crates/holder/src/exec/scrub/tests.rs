use super::*;

const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl";
/// An opaque one that changes when it is escaped.
const OPAQUE: &str = "ab+/cd==ef~gh/ij";

fn words() -> Words {
    Words::of([TOKEN.as_bytes(), OPAQUE.as_bytes()].into_iter())
}

fn scrubbed(mask: Mask, pieces: &[&[u8]]) -> String {
    let (words, mut scrubber, mut out) = (words(), Scrubber::new(mask), Vec::new());
    for piece in pieces {
        scrubber.push(&words, piece, &mut out);
    }
    scrubber.finish(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_token_is_taken_out_wherever_the_pieces_of_it_end() {
    let text = format!("before {TOKEN} and {OPAQUE}{TOKEN} after");
    let stars = |text: &str| "*".repeat(text.len());
    let clean = format!("before {} and {}{} after", stars(TOKEN), stars(OPAQUE), stars(TOKEN));
    for size in 1..text.len() {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        assert_eq!(scrubbed(Mask::Stars, &pieces), clean, "pieces of {size}");
    }
    assert_eq!(scrubbed(Mask::Label, &[text.as_bytes()]), "before [token] and [token][token] after");
}

#[test]
fn base64_of_a_token_is_taken_out_whatever_stands_around_it() {
    use hallpass_model::jose::base64url;
    for secret in [TOKEN, OPAQUE] {
        for before in ["", "x", "ab", "user:", "Bearer "] {
            for after in ["", "y", "zz", "\n"] {
                let url = base64url::render(format!("{before}{secret}{after}"));
                let standard = url.replace('-', "+").replace('_', "/");
                for encoded in [url, standard] {
                    let out = scrubbed(Mask::Stars, &[encoded.as_bytes()]);
                    let left = out.replace('*', "").len();
                    // What is left tells what stands around it, and two bytes of the token at most.
                    let around = (before.len() + after.len()).div_ceil(3) * 4 + 6;
                    assert!(out.contains("********") && left <= around, "{before}{after}: {out}");
                }
            }
        }
    }
}

#[test]
fn a_token_in_lines_is_taken_out_and_lines_stay_lines() {
    use hallpass_model::jose::base64url;
    let folded = |text: &str, width: usize, end: &str| {
        let lines: Vec<_> =
            text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        lines.join(end)
    };
    let base64 = base64url::render(format!("user:{TOKEN}{TOKEN}")).replace('-', "+").replace('_', "/");
    for end in ["\n", "\r\n"] {
        for width in [4, 20, 64, 76] {
            let text = format!("{}{end}after", folded(&base64, width, end));
            for size in [1, 7, text.len()] {
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                let out = scrubbed(Mask::Stars, &pieces);
                assert_eq!(
                    (out.len(), out.matches(end).count()),
                    (text.len(), text.matches(end).count()),
                    "{out}"
                );
                let left = out.replace(['*', '\r', '\n'], "");
                assert!(out.ends_with("after") && left.len() <= 20 + "after".len(), "{width}: {out}");
            }
        }
        let (before, rest) = TOKEN.split_at(TOKEN.len() / 2);
        assert_eq!(
            scrubbed(Mask::Label, &[format!("{before}{end}{rest}{end}").as_bytes()]),
            format!("[token]{end}")
        );
        // Paragraphs are no lines of one word.
        let apart = format!("{before}{end}{end}{end}{rest}");
        assert_eq!(scrubbed(Mask::Label, &[apart.as_bytes()]), apart);
    }
}

#[test]
fn escaped_forms_are_taken_out() {
    for escaped in ["ab%2B%2Fcd%3D%3Def~gh%2Fij", "ab%2b%2fcd%3d%3def~gh%2fij", r"ab+\/cd==ef~gh\/ij", OPAQUE]
    {
        assert_eq!(scrubbed(Mask::Label, &[escaped.as_bytes()]), "[token]", "{escaped}");
    }
}

#[test]
fn what_is_no_token_comes_out_as_it_went_in() {
    let almost = &TOKEN[..TOKEN.len() - 1];
    let text = format!("{almost}X eeeeeyJeyJhb {almost}");
    for size in 1..text.len() {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        assert_eq!(scrubbed(Mask::Stars, &pieces), text);
    }
    // A short one would be found everywhere.
    let words = Words::of([b"short".as_slice()].into_iter());
    assert!(words.taken_out_of(b"this is short").is_none());
}

#[test]
fn only_what_may_be_a_token_is_held_back_and_never_for_long() {
    let (words, mut scrubber, mut out) = (words(), Scrubber::new(Mask::Label), Vec::new());
    scrubber.push(&words, b"typed:", &mut out);
    assert_eq!((out.as_slice(), scrubber.patience()), (b"typed:".as_slice(), None));
    scrubber.push(&words, b" e", &mut out);
    assert_eq!(
        (out.as_slice(), scrubber.patience()),
        (b"typed: ".as_slice(), Some(PATIENCE_WITH_COINCIDENCE))
    );
    scrubber.let_go(&mut out);
    assert_eq!((out.as_slice(), scrubber.patience()), (b"typed: e".as_slice(), None));
    scrubber.push(&words, b"x", &mut out);
    assert_eq!(out, b"typed: ex");
    scrubber.push(&words, &TOKEN.as_bytes()[..20], &mut out);
    assert_eq!(scrubber.patience(), Some(PATIENCE));
}

#[test]
fn what_was_let_go_is_remembered_and_the_rest_taken_out() {
    let words = words();
    for mask in [Mask::Label, Mask::Stars] {
        let (mut scrubber, mut out) = (Scrubber::new(mask), Vec::new());
        for letter in TOKEN.as_bytes().chunks(10) {
            scrubber.push(&words, letter, &mut out);
            if out.is_empty() {
                scrubber.let_go(&mut out);
            }
        }
        scrubber.push(&words, b" after", &mut out);
        scrubber.finish(&mut out);
        let rest = if mask == Mask::Label { "[token]".into() } else { "*".repeat(TOKEN.len() - 10) };
        assert_eq!(String::from_utf8(out).unwrap(), format!("{}{rest} after", &TOKEN[..10]));
    }
}

#[test]
fn what_was_let_go_and_was_no_token_is_not_shown_twice() {
    let (words, mut scrubber, mut out) = (words(), Scrubber::new(Mask::Label), Vec::new());
    for piece in ["eyJhb", "eyJhbGci", "e", "ab+", "ab+/cd", "?"] {
        scrubber.push(&words, piece.as_bytes(), &mut out);
        scrubber.let_go(&mut out);
    }
    scrubber.finish(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "eyJhbeyJhbGcieab+ab+/cd?");
}
