//! How long anything lives: the one table. Orgs may shorten, never lengthen.
//!
//! "Never" has no entry, no value and no column.

use crate::time::Lifetime;

/// An authorization code: time for one redirect on one machine (FAPI 2.0 allows 60 s).
pub const AUTHORIZATION_CODE: Lifetime = Lifetime::seconds(60);
/// A device code and its user code: long enough to fetch a phone, short enough that guessing is hopeless.
pub const DEVICE_CODE: Lifetime = Lifetime::minutes(10);
/// An access token unless less is asked for: what a thief of one gets where no cut can reach.
pub const ACCESS_TOKEN: Lifetime = Lifetime::minutes(5);
/// An access token at most, and so how long any cut must be remembered by verifiers.
pub const ACCESS_TOKEN_MAX: Lifetime = Lifetime::minutes(15);
/// A pass for one command unless `--ttl` says otherwise.
pub const EXEC_PASS: Lifetime = Lifetime::minutes(10);
/// An ID token: read once, at login.
pub const ID_TOKEN: Lifetime = Lifetime::minutes(5);
/// A session nobody has refreshed: a month of holiday.
pub const SESSION_IDLE: Lifetime = Lifetime::days(30);
/// A session, however busy: four logins a year.
pub const SESSION_ABSOLUTE: Lifetime = Lifetime::days(90);
/// A bearer-only session's retry: the time in which an honest client that lost an answer asks again.
pub const BEARER_RETRY: Lifetime = Lifetime::seconds(30);
/// A session that was cut is remembered so long: its holder is told why it ended, and its person sees a theft.
pub const CUT_SESSION_KEPT: Lifetime = Lifetime::days(7);
/// A copy of a machine's sign-ins that was found elsewhere is told to its person so long, as a theft is.
pub const COPY_TOLD: Lifetime = Lifetime::days(7);
/// And recorded again only after so long: a copy that is found once is found at every renewal.
pub const COPY_RECORDED_AGAIN: Lifetime = Lifetime::days(1);
/// A web login nobody uses: a person's working session at one desk.
pub const WEB_IDLE: Lifetime = Lifetime::minutes(30);
/// A web login, however busy: one working day.
pub const WEB_ABSOLUTE: Lifetime = Lifetime::hours(12);
/// A login recent enough to change how people log in: the person is still at the browser they logged in with.
pub const RECENT_LOGIN: Lifetime = Lifetime::minutes(10);
/// A login recent enough to change an org by a tool: the working day it was made on.
pub const ADMINISTERING_LOGIN: Lifetime = Lifetime::hours(8);
/// A passkey ceremony: the browser's own prompt gives up after five minutes.
pub const CEREMONY: Lifetime = Lifetime::minutes(5);
/// A request waiting at the login page: as long as the ceremony and a second try.
pub const AUTHORIZE_REQUEST: Lifetime = Lifetime::minutes(10);
/// A request that was pushed (RFC 9126, section 2.2): the browser is sent on at once.
pub const PUSHED_REQUEST: Lifetime = Lifetime::seconds(60);
/// A client that is known by its document, and that nobody said yes to: a day on, whoever looked at it has gone.
pub const DOCUMENT_CLIENT_UNUSED: Lifetime = Lifetime::hours(24);
/// An initial access token unless somebody says: the working day on which the programs are set up.
pub const INITIAL_ACCESS_TOKEN: Lifetime = Lifetime::hours(24);
/// An initial access token at most: it crosses a mailbox, and whoever got it is on holiday for a week.
pub const INITIAL_ACCESS_TOKEN_MAX: Lifetime = Lifetime::days(7);
/// A registration access token from its last use on: as long as a session, so that a client that looks after its registration
/// four times a year keeps it.
pub const REGISTRATION_TOKEN: Lifetime = SESSION_ABSOLUTE;
/// The set-up link of the first administrator: the operator is at the terminal.
pub const SETUP_LINK: Lifetime = Lifetime::minutes(15);
/// An enrolment link sent to a person: a working day, as it crosses a mailbox or a chat.
pub const ENROLMENT_LINK: Lifetime = Lifetime::hours(24);
/// How long a run whose connection dropped may take to come back before its pass is cut.
pub const RUN_RESUME: Lifetime = Lifetime::seconds(10);
/// A DPoP proof's `iat` may be this far from our clock, either way (RFC 9449, section 11.1).
pub const DPOP_WINDOW: Lifetime = Lifetime::seconds(60);
/// A DPoP nonce: rotated at half of this, accepted for all of it (RFC 9449, section 8).
pub const DPOP_NONCE: Lifetime = Lifetime::minutes(10);
/// A client assertion at most (RFC 7523, section 3): made for one request.
pub const CLIENT_ASSERTION_MAX: Lifetime = Lifetime::minutes(5);
/// How far ahead a client may be let off the newer form of assertions (RFC 10070) at most: by then its library has caught
/// up, or somebody looks again.
pub const OLDER_ASSERTIONS: Lifetime = Lifetime::days(365);
/// A client's secret at most: changed four times a year, so that the change is a thing people know how to do.
pub const CLIENT_SECRET: Lifetime = Lifetime::days(90);
/// A client's older secret once a newer one was made, unless less is asked for: a week's deployments carry the new one out.
pub const CLIENT_SECRET_OVERLAP: Lifetime = Lifetime::days(7);
/// How far ahead a client may be let off having a key at most: by then it has one, or somebody looks again.
pub const CLIENT_SECRETS: Lifetime = Lifetime::days(365);
/// A use is written down again only after so long: "last used" is about days, and no request should pay for it.
pub const USE_NOTED_AGAIN: Lifetime = Lifetime::minutes(1);
/// What an outside issuer says of somebody, as an authorization grant (RFC 7523, section 2.1), at most: the longest job. Its
/// `jti` is remembered so long.
pub const GRANT_ASSERTION_MAX: Lifetime = Lifetime::hours(24);
/// An API key unless somebody says: as long as it takes to give its user an identity of their own, once.
pub const API_KEY: Lifetime = Lifetime::days(30);
/// An API key at most: as long as a session, so that four times a year somebody looks whether it must still be there. Nothing
/// that a cut must kill lives longer, and so no cut is remembered longer.
pub const API_KEY_MAX: Lifetime = SESSION_ABSOLUTE;
/// How long the old API key is good beside the new one: time to carry it to every place by hand, and to see who was missed.
pub const API_KEY_OVERLAP: Lifetime = Lifetime::days(7);
/// How long it is known who used an API key, from their last use on: no key lives longer, so nobody who uses one is forgotten,
/// and once it is over somebody may ask who must be told.
pub const API_KEY_USERS_KEPT: Lifetime = Lifetime::days(90);
/// How long owners are told of what was ended that they answer for: as long as anything lives that it could have killed.
pub const NOTICES_KEPT: Lifetime = SESSION_ABSOLUTE;
/// One run of an agent unless its person says otherwise: a working day.
pub const AGENT_RUN: Lifetime = Lifetime::hours(8);
/// One run of an agent at most: whoever lets one go on for longer looks at it once a day.
pub const AGENT_RUN_MAX: Lifetime = Lifetime::hours(24);
/// Clocks of honest machines differ by so much.
pub const CLOCK_SKEW: Lifetime = Lifetime::seconds(30);
/// How long a clock must have gone evenly before anything is thrown away for being old by it: long enough that whoever
/// set it wrong has noticed, or been asked why nobody can log in.
pub const STEADY_CLOCK: Lifetime = Lifetime::hours(1);
/// A signing key signs so long, unless somebody replaces it earlier: often enough that replacing it is nothing new to anybody.
pub const SIGNING_KEY: Lifetime = Lifetime::days(90);
/// A signing key is published so long before it signs: longer than anybody keeps the published keys without asking again.
pub const SIGNING_KEY_AHEAD: Lifetime = Lifetime::minutes(10);
/// A signing key stays published this long after its last use: everything it signed is dead by then.
pub const SIGNING_KEY_OVERLAP: Lifetime = Lifetime::hours(1);
/// An introspection answer may be kept this long by its caller.
pub const INTROSPECTION_CACHE: Lifetime = Lifetime::seconds(10);
/// A poll of the token endpoint is held open this long at most (`Prefer: wait`, RFC 7240).
pub const DEVICE_POLL_HOLD: Lifetime = Lifetime::seconds(25);
/// The device flow's poll interval (RFC 8628, section 3.2), and what each `slow_down` adds (section 3.5).
pub const DEVICE_POLL_INTERVAL: Lifetime = Lifetime::seconds(5);

/// The table, for people and tests: name, length, reason.
pub const TABLE: &[(&str, Lifetime, &str)] = &[
    ("authorization code", AUTHORIZATION_CODE, "one redirect on one machine"),
    ("device code and user code", DEVICE_CODE, "time to fetch a phone; guessing stays hopeless"),
    ("access token", ACCESS_TOKEN, "what a thief gets where no cut can reach"),
    ("access token, at most", ACCESS_TOKEN_MAX, "bounds how long verifiers remember a cut"),
    ("pass for one command", EXEC_PASS, "most commands are over sooner; it is revoked at the end anyway"),
    ("ID token", ID_TOKEN, "read once, at login"),
    ("session, idle", SESSION_IDLE, "a month of holiday"),
    ("session, absolute", SESSION_ABSOLUTE, "four logins a year"),
    ("bearer-only session's retry", BEARER_RETRY, "an honest client that lost an answer asks again at once"),
    (
        "session that was cut, remembered",
        CUT_SESSION_KEPT,
        "its holder and its person are told why, after a holiday",
    ),
    ("copy found elsewhere, told", COPY_TOLD, "its person is told, after a holiday"),
    (
        "copy found elsewhere, recorded again",
        COPY_RECORDED_AGAIN,
        "a copy that is found once is found at every renewal",
    ),
    ("web login, idle", WEB_IDLE, "one sitting"),
    ("web login, absolute", WEB_ABSOLUTE, "one working day"),
    ("login recent enough to change passkeys", RECENT_LOGIN, "the person is still at that browser"),
    ("login recent enough to change an org by a tool", ADMINISTERING_LOGIN, "the working day it was made on"),
    ("passkey ceremony", CEREMONY, "the browser's own prompt gives up then"),
    ("request waiting for login", AUTHORIZE_REQUEST, "a ceremony and a second try"),
    ("pushed authorization request", PUSHED_REQUEST, "the browser is sent on at once"),
    ("client by document, unused", DOCUMENT_CLIENT_UNUSED, "whoever looked at it has gone"),
    ("initial access token", INITIAL_ACCESS_TOKEN, "the day on which the programs are set up"),
    ("initial access token, at most", INITIAL_ACCESS_TOKEN_MAX, "it crosses a mailbox, and a holiday"),
    (
        "registration access token, after its last use",
        REGISTRATION_TOKEN,
        "a client that looks after its registration four times a year keeps it",
    ),
    ("set-up link", SETUP_LINK, "the operator is at the terminal"),
    ("enrolment link", ENROLMENT_LINK, "it crosses a mailbox or a chat"),
    ("run without its connection", RUN_RESUME, "a network blip, no more"),
    ("DPoP proof, either way", DPOP_WINDOW, "clocks differ; replay memory stays small"),
    ("DPoP nonce", DPOP_NONCE, "bounds how early a proof can be made"),
    ("client assertion, at most", CLIENT_ASSERTION_MAX, "made for one request"),
    ("older client assertions, at most", OLDER_ASSERTIONS, "a library catches up, or somebody looks again"),
    ("client secret, at most", CLIENT_SECRET, "changed four times a year"),
    (
        "client secret, once there is a newer one",
        CLIENT_SECRET_OVERLAP,
        "a week's deployments carry the new one out",
    ),
    ("client without a key, at most", CLIENT_SECRETS, "it gets one, or somebody looks again"),
    ("last use, written down again", USE_NOTED_AGAIN, "it is about days, and no request should pay for it"),
    (
        "authorization grant by an assertion, at most",
        GRANT_ASSERTION_MAX,
        "the longest job; its `jti` is remembered so long",
    ),
    ("API key", API_KEY, "time to give its user an identity of their own"),
    ("API key, at most", API_KEY_MAX, "four times a year somebody looks whether it must still be there"),
    ("API key, old beside new", API_KEY_OVERLAP, "carried to every place by hand"),
    ("notice to an owner", NOTICES_KEPT, "as long as anything lives that the cut could have killed"),
    (
        "API key's user, known after the last use",
        API_KEY_USERS_KEPT,
        "once it is over somebody asks who must be told",
    ),
    ("run of an agent", AGENT_RUN, "a working day"),
    ("run of an agent, at most", AGENT_RUN_MAX, "its person looks at it once a day"),
    ("clock skew", CLOCK_SKEW, "honest clocks differ so much"),
    (
        "clock, gone evenly before old things are thrown away",
        STEADY_CLOCK,
        "a clock set wrong is noticed by then",
    ),
    ("signing key", SIGNING_KEY, "replaced often enough that it is nothing new to anybody"),
    (
        "signing key, published before it signs",
        SIGNING_KEY_AHEAD,
        "whoever keeps the published keys has asked again",
    ),
    ("retired signing key", SIGNING_KEY_OVERLAP, "everything it signed is dead by then"),
    ("introspection answer", INTROSPECTION_CACHE, "bounds what a cache can miss"),
    ("held device poll", DEVICE_POLL_HOLD, "under every proxy's idle limit"),
    ("device poll interval", DEVICE_POLL_INTERVAL, "RFC 8628's default"),
];
