//! Why there is no connection, as far as it can be told without a word of the other side. Pure.

use std::{
    error::Error,
    io::{self, ErrorKind},
};

use rustls::{AlertDescription, CertificateError, PeerIncompatible};

/// Why there is no connection: of a closed set, so that nothing that the other side says, or its certificate, stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoConnection {
    /// The name has no address.
    #[error("no address of its name can be found")]
    NoAddress,
    /// The connection was refused.
    #[error("nobody listens there")]
    Refused,
    /// There was no answer.
    #[error("nobody answers there")]
    Silent,
    /// The network says that it does not lead there.
    #[error("no way of the network leads there")]
    NoWay,
    /// Nobody who is trusted here has issued its certificate.
    #[error("its certificate is of an authority that is not trusted here")]
    UnknownIssuer,
    /// Its certificate does not hold now.
    #[error("its certificate has ended or does not hold yet")]
    OutOfDate,
    /// Its certificate is for somebody else.
    #[error("its certificate is for another name")]
    WrongName,
    /// Its certificate cannot be used otherwise.
    #[error("its certificate cannot be used")]
    Certificate,
    /// It speaks other versions of TLS.
    #[error("it speaks neither TLS 1.2 nor 1.3")]
    Version,
    /// It does not take the certificate that it was shown, or was shown none.
    #[error("it does not take the certificate that it is shown or wants to be shown one")]
    TurnedAway,
    /// TLS was not agreed on otherwise.
    #[error("no TLS comes about")]
    Handshake,
    /// It cannot be told.
    #[error("it cannot be told why")]
    Unknown,
}

/// No address was found of a name; whoever looked it up has said why, and that is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("no address")]
pub(super) struct NoAddress;

// === impl NoConnection ===

impl NoConnection {
    /// By what a connector says.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        causes(error).find_map(of_one).unwrap_or(Self::Unknown)
    }
}

/// An error and all that it comes from; what an I/O error carries is not among its sources.
pub(super) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'e (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(within) => Some(within as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn of_one(error: &(dyn Error + 'static)) -> Option<NoConnection> {
    if error.is::<NoAddress>() {
        return Some(NoConnection::NoAddress);
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(of_tls(error));
    }
    match error.downcast_ref::<io::Error>()?.kind() {
        ErrorKind::ConnectionRefused => Some(NoConnection::Refused),
        ErrorKind::TimedOut => Some(NoConnection::Silent),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Some(NoConnection::NoWay),
        // there was a connection, and it ended before TLS was agreed on
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => Some(NoConnection::Handshake),
        _ => None,
    }
}

fn of_tls(error: &rustls::Error) -> NoConnection {
    use rustls::Error::{AlertReceived, InvalidCertificate, PeerIncompatible as Incompatible};
    match error {
        InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => NoConnection::UnknownIssuer,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => NoConnection::OutOfDate,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                NoConnection::WrongName
            }
            _ => NoConnection::Certificate,
        },
        Incompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | AlertReceived(AlertDescription::ProtocolVersion) => NoConnection::Version,
        AlertReceived(
            AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired,
        ) => NoConnection::TurnedAway,
        _ => NoConnection::Handshake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As hyper-rustls and tokio-rustls pack what TLS says.
    fn packed(error: rustls::Error) -> io::Error {
        io::Error::other(io::Error::new(ErrorKind::InvalidData, error))
    }

    #[test]
    fn each_cause_is_told_apart_and_without_a_word_of_the_other_side() {
        use rustls::{Error as Tls, pki_types::ServerName};
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.example").unwrap(),
            presented: vec!["secret.example".to_owned()],
        };
        let of = |kind: ErrorKind| io::Error::from(kind);
        for (error, cause) in [
            (io::Error::other(NoAddress), NoConnection::NoAddress),
            (of(ErrorKind::ConnectionRefused), NoConnection::Refused),
            (of(ErrorKind::TimedOut), NoConnection::Silent),
            (of(ErrorKind::HostUnreachable), NoConnection::NoWay),
            (packed(CertificateError::UnknownIssuer.into()), NoConnection::UnknownIssuer),
            (packed(CertificateError::Expired.into()), NoConnection::OutOfDate),
            (packed(name.into()), NoConnection::WrongName),
            (packed(CertificateError::BadSignature.into()), NoConnection::Certificate),
            (packed(PeerIncompatible::ServerDoesNotSupportTls12Or13.into()), NoConnection::Version),
            (packed(Tls::AlertReceived(AlertDescription::ProtocolVersion)), NoConnection::Version),
            (packed(Tls::AlertReceived(AlertDescription::CertificateRequired)), NoConnection::TurnedAway),
            (packed(Tls::AlertReceived(AlertDescription::HandshakeFailure)), NoConnection::Handshake),
            (io::Error::other(of(ErrorKind::UnexpectedEof)), NoConnection::Handshake),
            (io::Error::other("whatever"), NoConnection::Unknown),
        ] {
            let found = NoConnection::of(&error);
            assert_eq!(found, cause, "{error:?}");
            assert!(!found.to_string().contains("example"), "{found}");
        }
    }
}
