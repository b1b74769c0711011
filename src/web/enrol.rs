//! `/enrol`: somebody makes her password and sets up her device, with a code that was handed to her.

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};

use super::{
    Shared, Web,
    form::{Form, MADE_FOR},
    frame::Frame,
    login::{Told, away, in_words, ways},
    page::{self, Fault},
    qr::{Picture, picture},
};
use crate::{
    config::is_same_secret,
    people::{Enrolling, NotEnrolled, PASSWORD_CHARS_MIN, Token, totp},
};

/// The first page: name, code, password.
#[derive(Template)]
#[template(path = "enrol.html")]
struct EnrolPage<'t> {
    frame: Frame,
    faults: Vec<Fault>,
    name: &'t str,
    hint: String,
}

/// The second: the key for the device, and its first code.
#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    frame: Frame,
    faults: Vec<Fault>,
    key: String,
    link: String,
    /// The link, for the camera of another device.
    picture: Option<Picture>,
    made_for: String,
}

/// `GET /enrol`.
pub(super) async fn page() -> Response {
    first(StatusCode::OK, vec![], "")
}

fn first(status: StatusCode, faults: Vec<Fault>, name: &str) -> Response {
    let hint = format!("{PASSWORD_CHARS_MIN} characters or more; three words that do not belong together are good");
    page::shown(status, &EnrolPage { frame: Frame::outside(), faults, name, hint })
}

fn second(status: StatusCode, faults: Vec<Fault>, token: &Token, enrolling: &Enrolling) -> Response {
    let (key, link) = (totp::shown(&enrolling.key), totp::link(&enrolling.key, &enrolling.name));
    let (frame, picture, made_for) = (Frame::outside(), picture(&link), token.for_forms());
    page::shown(status, &DevicePage { frame, faults, key, link, picture, made_for })
}

/// `POST /enrol`.
pub(super) async fn begin(State(web): State<Shared>, form: Form) -> Response {
    let name = form.text("name").trim();
    let password = form.secret("password");
    if !is_same_secret(password.as_bytes(), form.secret("again").as_bytes()) {
        let fault = Fault::at("again", "Type the same password twice: the two are not the same");
        return first(StatusCode::UNPROCESSABLE_ENTITY, vec![fault], name);
    }
    match web.people.enrol(name, form.text("enrolment-code"), password, form.from).await {
        Ok(Ok((token, enrolling))) => {
            let shown = second(StatusCode::OK, vec![], &token, &enrolling);
            page::with_cookie(shown, web.cookies().set_login(token.reveal()))
        }
        Ok(Err(why)) => first(StatusCode::UNPROCESSABLE_ENTITY, vec![said(why)], name),
        Err(error) => away(&error),
    }
}

/// `POST /enrol/device`.
pub(super) async fn device(State(web): State<Shared>, form: Form) -> Response {
    let token = web.cookies().login(&form.headers).and_then(|text| Token::read(&text));
    let Some(token) = token.filter(|token| token.made_form(form.text(MADE_FOR))) else {
        return first(StatusCode::UNPROCESSABLE_ENTITY, vec![said(NotEnrolled::Over)], "");
    };
    let done = |web: &Web| {
        let told = "Your account is ready. Log in with the next code that your device shows.";
        page::with_cookie(ways(web, StatusCode::OK, Told::Done(told), "/", ""), web.cookies().set_login(""))
    };
    match web.people.set_up(&token, form.text("code")).await {
        Ok(Ok(())) => done(&web),
        Ok(Err((why, Some(enrolling)))) => {
            second(StatusCode::UNPROCESSABLE_ENTITY, vec![said(why)], &token, &enrolling)
        }
        Ok(Err((why, None))) => first(StatusCode::UNPROCESSABLE_ENTITY, vec![said(why)], ""),
        Err(error) => away(&error),
    }
}

fn said(why: NotEnrolled) -> Fault {
    let told = match why {
        NotEnrolled::Refused => {
            "Name or enrolment code is not right, or the code is used or too old. Ask whoever gave it to you for a new one.".to_owned()
        }
        NotEnrolled::Password => format!("The password must have {PASSWORD_CHARS_MIN} characters or more, and not be your name."),
        NotEnrolled::Device => "That is not the code of this moment. See that the clock of your device is right.".to_owned(),
        NotEnrolled::Over => "That took too long, or your account was changed meanwhile. Begin again.".to_owned(),
        NotEnrolled::Later(wait) => format!("This was tried too often. Try again in {}.", in_words(wait)),
    };
    let field = match why {
        NotEnrolled::Password => "password",
        NotEnrolled::Device => "code",
        NotEnrolled::Refused | NotEnrolled::Over | NotEnrolled::Later(_) => "",
    };
    Fault::at(field, told)
}
