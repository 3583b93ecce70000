//! The server's certificate.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why certificate and key cannot be used. No message holds the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of the certificate holds none that can be read.
    #[error(
        "{} holds no certificate: expected PEM with `BEGIN CERTIFICATE`, the server's own first, \
         then those that lead to its authority", path.display()
    )]
    Certificate {
        /// Which.
        path: PathBuf,
    },
    /// The file of the key holds none that can be read.
    #[error("{} holds no private key: expected PEM with `BEGIN PRIVATE KEY`", path.display())]
    Key {
        /// Which.
        path: PathBuf,
    },
    /// They do not go together, or are of a kind that is not known.
    #[error(
        "the certificate {} cannot be used with the key {}: {source}",
        certificate.display(), key.display()
    )]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: tokio_rustls::rustls::Error,
    },
}

/// The certificate that the server shows, with its key; they can be exchanged while it
/// runs.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: ArcSwap<ServerConfig>,
    /// Of what both files held; held while they are read.
    digest: Mutex<[u8; 32]>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Of two PEM files: the certificate with those that lead to its authority, and its
    /// private key.
    ///
    /// # Errors
    ///
    /// When they cannot be read or do not go together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (config, digest) = read(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            config: ArcSwap::from(config),
            digest: Mutex::new(digest),
        })
    }

    /// Reads both files again; whether they hold something else. New connections are shown
    /// the new certificate.
    ///
    /// # Errors
    ///
    /// When they cannot be read or do not go together; then those that were there stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let mut known = self.digest.lock();
        let (config, digest) = read(&self.certificate, &self.key)?;
        if *known == digest {
            return Ok(false);
        }
        self.config.store(config);
        *known = digest;
        tracing::info!(certificate = %self.certificate.display(), "A new certificate is shown");
        Ok(true)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<(Arc<ServerConfig>, [u8; 32]), TlsError> {
    let file = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let (chain_pem, key_pem) = (file(certificate)?, file(key)?);
    let chain = CertificateDer::pem_slice_iter(&chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| TlsError::Certificate {
            path: certificate.to_owned(),
        })?;
    let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| TlsError::Key {
        path: key.to_owned(),
    })?;
    let unusable = |source| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let digest = Sha256::new()
        .chain_update(Sha256::digest(&chain_pem))
        .chain_update(Sha256::digest(&key_pem))
        .finalize();
    Ok((Arc::new(config), digest.into()))
}
