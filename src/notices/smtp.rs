//! Letters through the mail server of `[smtp]`: only to where `[outbound]` allows, to the very address that was looked at, under TLS wherever it
//! is not this machine. What a server says is not repeated but for its code: it may repeat anything.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use lettre::{
    Address, Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
    },
};

use super::{Letter, Post, PostError};
use crate::{
    config::{Outbound, Smtp, SmtpTls},
    resolve::Resolver,
};

/// A connection that is not made by then is not made.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A letter that is not taken by then may have been taken or not.
const SEND_MAX: Duration = Duration::from_secs(60);
/// A file with certificates of authorities is not larger.
const ROOTS_MAX_BYTES: u64 = 1024 * 1024;

/// A mail server.
pub struct Server {
    /// How it is reached.
    pub smtp: Smtp,
    /// Who looks its name up.
    pub resolver: Resolver,
    /// Where may be connected to.
    pub outbound: Arc<Outbound>,
}

#[async_trait]
impl Post for Server {
    async fn send(&self, letter: &Letter) -> Result<(), PostError> {
        let late = || Err(PostError::Away(format!("not done within {SEND_MAX:?}")));
        tokio::time::timeout(SEND_MAX, self.hand_over(letter)).await.unwrap_or_else(|_| late())
    }
}

impl Server {
    /// Whether it takes letters from Onward: it is reached, TLS is agreed on, and it lets Onward log in. No letter is sent.
    ///
    /// # Errors
    /// [`PostError`]
    pub async fn greets(&self) -> Result<(), PostError> {
        let late = || Err(PostError::Away(format!("not done within {CONNECT_MAX:?}")));
        let met = async { self.ready().await.map(drop) };
        tokio::time::timeout(CONNECT_MAX, met).await.unwrap_or_else(|_| late())
    }

    /// A connection over which a letter can be handed over.
    async fn ready(&self) -> Result<AsyncSmtpConnection, PostError> {
        let Smtp { from, user, tls, .. } = &self.smtp;
        let hello = ClientId::Domain(domain_of(from).to_owned());
        let mut connection = self.connect(&hello).await?;
        if *tls == SmtpTls::Starttls {
            connection.starttls(self.tls().await?, &hello).await.map_err(|error| away("STARTTLS", &error))?;
        }
        if let Some((user, password)) = user {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            let asked = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            asked.map_err(|error| away("logging in", &error))?;
        }
        Ok(connection)
    }

    async fn hand_over(&self, letter: &Letter) -> Result<(), PostError> {
        let Smtp { from, .. } = &self.smtp;
        let message = message(letter, from, domain_of(from)).map_err(PostError::Refused)?;
        let (from, to) = (address(from).map_err(PostError::Away)?, address(&letter.to).map_err(PostError::Refused)?);
        let mut connection = self.ready().await?;
        let mail = connection.command(Mail::new(Some(from), vec![])).await;
        mail.map_err(|error| away("the sender", &error))?;
        connection.command(Rcpt::new(to, vec![])).await.map_err(|error| match error.is_permanent() {
            true => PostError::Refused(told("the address", &error)),
            false => away("the address", &error),
        })?;
        connection.command(Data).await.map_err(|error| away("the letter", &error))?;
        connection.message(&message).await.map_err(|error| away("the letter", &error))?;
        // it has been taken: how the connection ends changes nothing
        connection.abort().await;
        Ok(())
    }

    async fn connect(&self, hello: &ClientId) -> Result<AsyncSmtpConnection, PostError> {
        let Smtp { host, port, tls, .. } = &self.smtp;
        let not_allowed = || PostError::Away("not connected to: [outbound] does not allow it".to_owned());
        // a mail server that is spoken to under TLS is as good as https
        if !self.outbound.allows_url(if *tls == SmtpTls::None { "http" } else { "https" }, host) {
            return Err(not_allowed());
        }
        let found = self.resolver.resolve(host).await.map_err(|error| PostError::Away(error.to_string()))?;
        let allowed = found.into_iter().filter(|ip| {
            let clear_elsewhere = *tls == SmtpTls::None && !ip.is_loopback();
            self.outbound.allows(*ip) && !clear_elsewhere
        });
        let mut last = not_allowed();
        for ip in allowed {
            let implicit = if *tls == SmtpTls::Implicit { Some(self.tls().await?) } else { None };
            let at = SocketAddr::new(ip, *port);
            match AsyncSmtpConnection::connect_tokio1(at, Some(CONNECT_MAX), hello, implicit, None).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = away("connecting", &error),
            }
        }
        Err(last)
    }

    /// The certificates are read each time, so that a changed file is taken up.
    async fn tls(&self) -> Result<TlsParameters, PostError> {
        let unusable = |why: &str| PostError::Away(format!("roots of [smtp]: {why}"));
        let mut builder = TlsParameters::builder(self.smtp.host.clone());
        if let Some(file) = &self.smtp.roots {
            let file = file.clone();
            let read = move || match std::fs::metadata(&file) {
                Ok(about) if about.len() > ROOTS_MAX_BYTES => Err("the file is too large"),
                _ => std::fs::read(&file).map_err(|_| "the file cannot be read"),
            };
            let pem = tokio::task::spawn_blocking(read).await.unwrap_or(Err("the file was not read"));
            let pem = pem.map_err(unusable)?;
            let roots = Certificate::from_pem(&pem).map_err(|_| unusable("the file holds no certificates in PEM"))?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(roots);
        }
        builder.build_rustls().map_err(|_| PostError::Away("TLS cannot be spoken: no usable certificates".to_owned()))
    }
}

/// The domain of an address.
fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("localhost", |(_, domain)| domain)
}

fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|_| "not an address".to_owned())
}

fn away(what: &str, error: &lettre::transport::smtp::Error) -> PostError {
    PostError::Away(told(what, error))
}

/// What failed and the server's code, without its words.
fn told(what: &str, error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("{what}: the server said {code}"),
        None if error.is_timeout() => format!("{what}: no answer in time"),
        None if error.is_tls() => format!("{what}: TLS failed"),
        None => format!("{what}: no connection, or no answer that can be read"),
    }
}

/// A letter as it goes out (RFC 5322), marked as sent by a program (RFC 3834, 5), so that nobody's absence is told to us.
fn message(letter: &Letter, from: &str, domain: &str) -> Result<Vec<u8>, String> {
    let mailbox =
        |name: Option<&str>, text: &str| Ok::<_, String>(Mailbox::new(name.map(str::to_owned), address(text)?));
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let message = Message::builder()
        .from(mailbox(Some("Onward"), from)?)
        .to(mailbox(None, &letter.to)?)
        .subject(&letter.subject)
        .date(std::time::UNIX_EPOCH + Duration::try_from(letter.made.as_duration()).unwrap_or_default())
        .message_id(Some(format!("<{}@{domain}>", letter.id)))
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text.clone())
        .map_err(|_| "the letter cannot be written".to_owned())?;
    Ok(message.formatted())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// Whatever a service is called, it stays in its header.
    #[test]
    fn nothing_ends_a_header() {
        let letter = Letter {
            id: "0198.1f".into(),
            to: "team@charity.example".into(),
            made: "2026-03-02T09:00:00Z".parse::<Timestamp>().unwrap(),
            subject: "1 referral waits at Chœur\r\nBcc: all@evil.example\r\n\r\nbody".into(),
            text: "x\r\n.\r\nMAIL FROM:<a@b.c>\r\n".into(),
        };
        let text = String::from_utf8(message(&letter, "onward@trust.example", "trust.example").unwrap()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        for told in
            ["To: team@charity.example", "Auto-Submitted: auto-generated", "Message-ID: <0198.1f@trust.example>"]
        {
            assert!(head.contains(told), "{told}: {head}");
        }
        assert!(head.contains("Date: Mon, 02 Mar 2026 09:00:00 +0000"), "{head}");
        assert!(text.is_ascii());
    }
}
