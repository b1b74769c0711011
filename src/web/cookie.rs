//! Cookies: how they are named, sent and read.
//!
//! Behind `https://` they are `__Host-` cookies: sent over TLS only, to this host alone, and no other host can put one in their place
//! (RFC 6265bis, 4.1.3.2). A service that only this machine reaches speaks plain HTTP, where browsers keep no such cookie; there it has
//! a plain name and is not `Secure`. Elsewhere nobody can log in without TLS (`config/people.rs`).

use axum::http::{HeaderMap, HeaderValue, header};

use crate::people::DEVICE_HOLDS;

/// What stands in the cookie of a session that is over, instead of its secret: that there was one is known, so that what is sent after it is
/// held (`held.rs`), and nothing is looked up for it again.
const OVER: &str = "over";

/// How cookies are named and sent.
#[derive(Debug, Clone, Copy)]
pub struct Cookies {
    secure: bool,
}

/// What a cookie is for.
#[derive(Debug, Clone, Copy)]
enum Use {
    /// A session.
    Session,
    /// A log-in that was begun.
    LogIn,
    /// A browser in which somebody has logged in.
    Device,
}

impl Cookies {
    /// As Onward is reached.
    pub fn at(base_url: &str) -> Self {
        Self { secure: base_url.starts_with("https://") }
    }

    /// What the browser shows as its session.
    pub fn session(self, headers: &HeaderMap) -> Option<String> {
        self.read(headers, Use::Session)
    }

    /// What it shows as its log-in that was begun.
    pub fn login(self, headers: &HeaderMap) -> Option<String> {
        self.read(headers, Use::LogIn)
    }

    /// `Set-Cookie` for a session; an empty one takes it away.
    pub fn set_session(self, value: &str) -> Option<HeaderValue> {
        self.set(Use::Session, value)
    }

    /// `Set-Cookie` for a session that is over: its secret is taken away.
    pub fn end_session(self) -> Option<HeaderValue> {
        self.set(Use::Session, OVER)
    }

    /// `Set-Cookie` for a log-in that was begun; an empty one takes it away.
    pub fn set_login(self, value: &str) -> Option<HeaderValue> {
        self.set(Use::LogIn, value)
    }

    /// Whether a `Set-Cookie` is that of a session.
    pub fn is_of_session(self, set: &HeaderValue) -> bool {
        set.to_str().is_ok_and(|set| set.split_once('=').is_some_and(|(name, _)| name == self.name(Use::Session)))
    }

    /// What it shows to be known as one in which somebody has logged in.
    pub fn device(self, headers: &HeaderMap) -> Option<String> {
        self.read(headers, Use::Device)
    }

    /// `Set-Cookie` for that, which outlasts the browser's end and a log-out.
    pub fn set_device(self, value: &str) -> Option<HeaderValue> {
        self.set(Use::Device, value)
    }

    const fn name(self, of: Use) -> &'static str {
        match (of, self.secure) {
            (Use::Session, true) => "__Host-onward",
            (Use::Session, false) => "onward",
            (Use::LogIn, true) => "__Host-onward-login",
            (Use::LogIn, false) => "onward-login",
            (Use::Device, true) => "__Host-onward-device",
            (Use::Device, false) => "onward-device",
        }
    }

    /// The value; none where it is there twice, for then one of them is not ours.
    fn read(self, headers: &HeaderMap, of: Use) -> Option<String> {
        let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut own = pairs.filter(|(name, _)| *name == self.name(of)).map(|(_, value)| value.to_owned());
        own.next().filter(|_| own.next().is_none())
    }

    fn set(self, of: Use, value: &str) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        // but for one it ends with the browser; when it is of no use any more is known here
        let lasts = match of {
            _ if value.is_empty() => "; Max-Age=0".to_owned(),
            Use::Device => format!("; Max-Age={}", DEVICE_HOLDS.as_secs()),
            Use::Session | Use::LogIn => String::new(),
        };
        let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{lasts}", self.name(of));
        HeaderValue::try_from(text).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn behind_tls_nobody_else_can_set_or_read_it() {
        let cookies = Cookies::at("https://onward.trust.nhs.uk");
        let set = cookies.set_session("abc").unwrap();
        assert_eq!(set.to_str().unwrap(), "__Host-onward=abc; Path=/; HttpOnly; SameSite=Lax; Secure");
        assert!(set.is_sensitive());
        let gone = cookies.set_login("").unwrap();
        assert_eq!(gone.to_str().unwrap(), "__Host-onward-login=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
        assert_eq!(cookies.session(&headers(&["onward=x"])), None, "without its prefix it is not ours");
        let device = cookies.set_device("abc").unwrap();
        let told = "__Host-onward-device=abc; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=7776000";
        assert_eq!(device.to_str().unwrap(), told);
        assert_eq!(cookies.session(&headers(&["__Host-onward-device=abc"])), None, "it is no session");
    }

    #[test]
    fn of_a_session_that_is_over_no_secret_stays() {
        let cookies = Cookies::at("https://a");
        let set = cookies.end_session().unwrap();
        assert_eq!(set.to_str().unwrap(), "__Host-onward=over; Path=/; HttpOnly; SameSite=Lax; Secure");
        let shown = cookies.session(&headers(&["__Host-onward=over"])).unwrap();
        assert!(crate::people::Token::read(&shown).is_none(), "nothing is looked up for it");
    }

    #[test]
    fn on_this_machine_alone_it_is_a_plain_one() {
        let set = Cookies::at("http://127.0.0.1:8787").set_session("abc").unwrap();
        assert_eq!(set.to_str().unwrap(), "onward=abc; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn one_that_is_there_twice_is_not_believed() {
        let cookies = Cookies::at("https://a");
        assert_eq!(cookies.session(&headers(&["a=b; __Host-onward=x; c=d"])).as_deref(), Some("x"));
        assert_eq!(cookies.session(&headers(&["a=b", "__Host-onward=x"])).as_deref(), Some("x"));
        assert_eq!(cookies.session(&headers(&["__Host-onward=x; __Host-onward=y"])), None);
        assert_eq!(cookies.session(&headers(&["__Host-onward=x", "__Host-onward=x"])), None);
        assert_eq!(cookies.session(&headers(&["x__Host-onward=x"])), None);
    }
}
