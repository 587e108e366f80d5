//! Encryption, and who may ask.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    self, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};

use super::settings::{ClientAuth, Tls};

/// Why a server cannot be encrypted as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// A file holds no certificate or key that can be read.
    #[error("read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: pem::Error,
    },
    /// One of the two files of the server is not named.
    #[error("PrometheusMetricsCertFile and PrometheusMetricsKeyFile belong together")]
    Incomplete,
    /// A file holds no certificate at all.
    #[error("`{path}` holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Clients' certificates are to be valid, and no file says by whose word.
    #[error("PrometheusMetricsCAFile is missing, which says whose certificates are valid")]
    NoAuthorities,
    /// The authorities cannot be used.
    #[error("the authorities of clients' certificates")]
    Authorities(#[source] VerifierBuilderError),
    /// Certificate and key cannot be used.
    #[error("certificate and key")]
    Certificate(#[source] rustls::Error),
}

/// The state of the files that encryption was set up from.
pub(super) type Stamp = Vec<Option<(SystemTime, u64)>>;

/// Returns the present state of the files.
pub(super) fn stamp(tls: &Tls) -> Stamp {
    let state = |path: &Path| -> io::Result<(SystemTime, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len()))
    };
    [
        Some(&tls.certificate),
        Some(&tls.key),
        tls.authorities.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(|path| state(path).ok())
    .collect()
}

/// Reads the files.
pub(super) fn server_config(tls: &Tls) -> Result<ServerConfig, TlsError> {
    if [&tls.certificate, &tls.key]
        .iter()
        .any(|path| path.as_os_str().is_empty())
    {
        return Err(TlsError::Incomplete);
    }
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&tls.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|source| TlsError::Read {
        path: tls.key.clone(),
        source,
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Certificate)?;
    let builder = match tls.client {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Any => builder.with_client_cert_verifier(Arc::new(AnyClient { provider })),
        ClientAuth::ValidIfGiven | ClientAuth::Valid => {
            let path = tls.authorities.as_ref().ok_or(TlsError::NoAuthorities)?;
            let mut authorities = RootCertStore::empty();
            for certificate in certificates(path)? {
                authorities
                    .add(certificate)
                    .map_err(TlsError::Certificate)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
            let verifier = if tls.client == ClientAuth::ValidIfGiven {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            builder.with_client_cert_verifier(verifier.build().map_err(TlsError::Authorities)?)
        }
    };
    builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Certificate)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(read)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(read)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

/// Asks for a certificate, whoever signed it, and for proof that the client has its key.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
