//! One connection to one member.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, Error as EtcdError};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tracing::warn;

use super::settings::{EtcdLogin, EtcdSettings, EtcdTls};
use crate::datastore::error::Error;
use crate::telemetry::ErrorChain;

/// How long connecting, the handshake and the login may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After how long a silent connection is asked whether it lives; servers refuse to be asked more often than every
/// five seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long it may take to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer may be on its way, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same of all answers of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// What is said of a connection that has ended.
const ENDED: &str = "transport error";
/// The largest answer that is read, in bytes.
pub(super) const MAX_MESSAGE: usize = 64 << 20;

/// The largest file of certificates that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// What etcd says to who logs in where there are no users to tell apart.
const NO_AUTH: &str = "authentication is not enabled";

/// What the files of TLS held when they were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Certificates {
    authorities: Option<Vec<u8>>,
    /// The client's certificate and key.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// Fails where one cannot be read.
    pub(super) fn read(files: &EtcdTls) -> Result<Self, Error> {
        let read = |path: &PathBuf| {
            contents(path).map_err(|source| Error::ReadFile {
                path: path.clone(),
                source,
            })
        };
        let identity = files.identity.as_ref();
        Ok(Self {
            authorities: files.ca_file.as_ref().map(read).transpose()?,
            identity: identity
                .map(|(certificate, key)| Ok((read(certificate)?, read(key)?)))
                .transpose()?,
        })
    }

    fn tls(&self) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new();
        let tls = match &self.authorities {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_native_roots(),
        };
        match &self.identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        }
    }
}

/// Reads a file that is not larger than such a file can be.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let reason = format!("larger than {MAX_FILE} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Connects to a member and logs in.
///
/// # Errors
/// Fails where the member cannot be reached, is not who it should be, or refuses the login.
pub(super) async fn connect(
    url: &str,
    settings: &EtcdSettings,
    certificates: &Certificates,
) -> Result<Client, Error> {
    match timeout(CONNECT_TIMEOUT, attempt(url, settings, certificates)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(silent(url, CONNECT_TIMEOUT)),
    }
}

async fn attempt(
    url: &str,
    settings: &EtcdSettings,
    certificates: &Certificates,
) -> Result<Client, Error> {
    let failed = |source| Error::Connect {
        url: url.to_owned(),
        source,
    };
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(failed)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(Some(KEEP_ALIVE))
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if Path::new(url).starts_with("https:") {
        endpoint = endpoint.tls_config(certificates.tls()).map_err(failed)?;
    }
    let channel = endpoint.connect().await.map_err(failed)?;
    let connect = async |login: Option<&EtcdLogin>| {
        let mut options = ConnectOptions::new()
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(login) = login {
            options = options.with_user(&login.user, &login.password);
        }
        Client::from_channel(Channel::Tonic(channel.clone()), Some(options)).await
    };
    let mut connected = connect(settings.login.as_ref()).await;
    if connected.as_ref().is_err_and(asks_for_no_login) {
        warn!(url, "etcd asks for no login, and is used without");
        connected = connect(None).await;
    }
    connected.map_err(|error| in_doubt(refused(url, &error)))
}

/// Tells whether a login was refused because everybody may do everything, as other clients of etcd go on then.
fn asks_for_no_login(error: &EtcdError) -> bool {
    if let EtcdError::GRpcStatus(status) = error {
        status.code() == Code::FailedPrecondition && status.message().contains(NO_AUTH)
    } else {
        false
    }
}

/// Says what is likely where a connection with TLS ends before the first answer: of version 1.3 the handshake is over
/// for the client before the server has looked at its certificate.
pub(super) fn in_doubt(mut error: Error) -> Error {
    if let Error::Refused { url, reason } = &mut error
        && url.starts_with("https:")
        && reason.contains(ENDED)
    {
        reason.push_str("; a server that refuses the client's certificate ends it so");
    }
    error
}

/// Says that a member has not answered in time.
pub(super) fn silent(url: &str, limit: Duration) -> Error {
    Error::Silent {
        url: url.to_owned(),
        seconds: limit.as_secs(),
    }
}

/// Says what a member has answered in place of what was asked.
pub(super) fn refused(url: &str, error: &EtcdError) -> Error {
    let reason = if let EtcdError::GRpcStatus(status) = error {
        let cause = std::error::Error::source(status).map(|cause| ErrorChain(cause).to_string());
        match cause {
            Some(cause) => format!("{}: {cause}", status.message()),
            None => status.message().to_owned(),
        }
    } else {
        ErrorChain(error).to_string()
    };
    refusal(url, reason)
}

/// Says why a member is of no use.
pub(super) fn refusal(url: &str, reason: String) -> Error {
    Error::Refused {
        url: url.to_owned(),
        reason,
    }
}
