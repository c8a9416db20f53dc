//! A change: its form, which says what will happen, and what comes of it.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;
use zeroize::Zeroizing;

use super::asking::{self, question, shown_fields};
use super::hints::Place;
use super::kinds::{self, Action, Kind, Part};
use super::look::text;
use super::one::{lines, load};
use super::{Visit, told, weighed};
use crate::admin::forms::Revealed;
use crate::admin::{Refused, Verb};
use crate::authorize::see_other;
use crate::login::Target;
use crate::pages::Here;
use crate::pages::answer::page;
use crate::pages::console::{FormPage, MadePage};
use crate::trouble::Trouble;
use crate::web::Person;

/// `POST /{org}/admin/{page}`: does what a form asks.
pub(crate) async fn change(person: Person) -> Response {
    let visit = match Visit::begin(person).await {
        Ok(visit) => visit,
        Err(response) => return response,
    };
    answer(&visit).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(visit: &Visit) -> Result<Response, Trouble> {
    let kind = kinds::find(visit.person.visit.segment(2)).ok_or_else(|| visit.no_page())?;
    let found = visit.find("do").and_then(|name| kind.action(name));
    let (action, part) = found.ok_or_else(|| Trouble::no_answer().at(visit.person.head()))?;
    let asked = Asked::read(visit, kind, action, part).await?;
    // SECURITY: nothing is changed from a browser that was left unlocked.
    if !asked.may_be_done_now(visit) {
        return Ok(asked.log_in(visit));
    }
    let form = &visit.person.visit.form;
    let known = asking::Known {
        name: asked.of.as_deref().unwrap_or_default(),
        id: asked.thing.as_ref().and_then(|thing| text(thing, "id")).unwrap_or_default(),
        which: asked.which.as_deref().unwrap_or_default(),
    };
    let answered = match question(action, &known, form) {
        Ok(question) => visit.ask(action.verb, &question).await,
        Err(refused) => Err(refused),
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(refused) => return asked.form(visit, refused.kind.status(), Some(&refused)),
    };
    if action.weighs {
        return Ok(weighed::show(visit, &asked, &answer));
    }
    let named = asked.of.clone().or_else(|| form.find(kind.name).map(|name| name.trim().to_owned()));
    let mut query: Vec<(&str, &str)> =
        named.as_deref().filter(|_| !kind.is_only_one()).map(|of| ("of", of)).into_iter().collect();
    if let Some(reveal) = &action.reveals {
        let secret = Zeroizing::new(text(&answer, reveal.member).unwrap_or_default());
        let shown = MadePage {
            frame: visit.person.frame(Here::Console, reveal.title),
            chrome: visit.chrome(kind.page, None),
            title: reveal.title,
            what: named.clone().filter(|_| !kind.is_only_one()).unwrap_or_default(),
            told: reveal.told,
            secret: Revealed::new(secret),
            back: visit.path(kind.page, &query),
        };
        return Ok(page(StatusCode::OK, &shown));
    }
    query.push(("done", action.name));
    if answer.get("suspended").and_then(Value::as_array).is_some_and(|left| !left.is_empty()) {
        query.push(("left", "1"));
    }
    Ok(see_other(&visit.path(kind.page, &query)))
}

/// An action that is asked for: of what kind, on which thing, on which line of its page.
pub(super) struct Asked {
    pub(super) kind: &'static Kind,
    pub(super) action: &'static Action,
    thing: Option<Value>,
    /// The thing's name.
    pub(super) of: Option<String>,
    which: Option<String>,
    /// What a person reads of the thing, or of the line.
    pub(super) what: String,
}

impl Asked {
    /// Finds what it is about, if they may see it, and whether they may do it.
    pub(super) async fn read(
        visit: &Visit,
        kind: &'static Kind,
        action: &'static Action,
        part: Option<&'static Part>,
    ) -> Result<Self, Trouble> {
        let adds = kind.add.as_ref().is_some_and(|add| add.name == action.name);
        let thing = if adds { None } else { Some(load(visit, kind, visit.find("of")).await?) };
        let owner = thing.as_ref().and_then(|thing| text(thing, "owner"));
        if !visit.seat.may(action.verb, owner.as_deref()) {
            visit.person.refuse_role().await.map_err(|trouble| trouble.at(visit.person.head()))?;
            return Err(told(visit, visit.seat.refusal(action.verb)));
        }
        let of = thing.as_ref().and_then(|thing| text(thing, kind.name));
        let itself = of.as_deref().is_some_and(|of| kind.page == "people" && visit.seat.is(of));
        if action.to_others && itself {
            return Err(Trouble::not_yourself().at(visit.person.head()));
        }
        let which = visit.find("which").map(str::to_owned);
        let mut what = thing.as_ref().and_then(|thing| text(thing, kind.heading)).unwrap_or_default();
        if let (Some(part), Some(thing)) = (part, &thing) {
            // A line that is gone is nothing to be asked about.
            let line = lines(visit, kind, part, thing)
                .await?
                .into_iter()
                .find(|line| text(line, part.which) == which)
                .ok_or_else(|| told(visit, Refused::not_there("it is not there any more")))?;
            let said = part.columns.first().and_then(|column| text(&line, column.member));
            what = said.or_else(|| which.clone()).unwrap_or_default();
        }
        Ok(Self { kind, action, thing, of, which, what })
    }

    /// Whether their login is recent enough for it: looking wants no new one.
    fn may_be_done_now(&self, visit: &Visit) -> bool {
        let only_looks = crate::admin::find(self.action.verb).is_some_and(Verb::is_reading);
        only_looks || visit.person.is_recent()
    }

    /// The page they came from.
    pub(super) fn back(&self, visit: &Visit) -> String {
        match &self.of {
            Some(of) => visit.path(self.kind.page, &[("of", of)]),
            None => visit.path(self.kind.page, &[]),
        }
    }

    /// A login that leads back to this form.
    fn log_in(&self, visit: &Visit) -> Response {
        Target::of(&visit.path(self.kind.page, &[]), &visit.person.visit.form)
            .to_login_again(visit.person.org.org.name.as_str())
    }

    /// The form, with what was typed where it came back, and why.
    pub(super) fn form(
        &self,
        visit: &Visit,
        status: StatusCode,
        refused: Option<&Refused>,
    ) -> Result<Response, Trouble> {
        // SECURITY: before anything is typed, and again when it comes.
        if !self.may_be_done_now(visit) {
            return Ok(self.log_in(visit));
        }
        let typed = refused.map(|_| &visit.person.visit.form);
        let shown = FormPage {
            frame: visit.person.frame(Here::Console, self.action.label),
            chrome: visit.chrome(self.kind.page, None),
            action: visit.path(self.kind.page, &[]),
            name: self.action.name,
            of: self.of.clone(),
            which: self.which.clone(),
            what: self.what.clone(),
            title: self.action.label,
            told: self.action.told,
            ends: self.action.ends,
            changes: !self.action.weighs,
            fields: shown_fields(self.action, self.thing.as_ref(), typed),
            error: refused.map(|refused| {
                let place =
                    Place { kind: Some(self.kind), action: Some(self.action), of: self.of.as_deref() };
                let hint = refused.hint.as_deref().map(|hint| visit.looking().hint(hint, place));
                (asking::sentence(&refused.message), hint.unwrap_or_default())
            }),
            back: self.back(visit),
        };
        Ok(page(status, &shown))
    }
}
