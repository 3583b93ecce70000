//! Whom to trust when a server or the broker is asked over TLS.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The public authorities, and those of a file of certificates (PEM) where one is given.
pub(crate) fn config(authorities: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(file) = authorities {
        let context = || format!("cannot use the certificates of {}", file.display());
        let mut found = 0;
        for certificate in CertificateDer::pem_file_iter(file).with_context(context)? {
            let certificate = certificate.with_context(context)?;
            roots.add(certificate).with_context(context)?;
            found += 1;
        }
        ensure!(found > 0, "there is no certificate in {}", file.display());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("cannot use TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_certificates_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("empty.pem", Some("")),
            ("key.pem", Some("hello")),
            (
                "bad.pem",
                Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            ),
            ("cut.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n")),
            ("none.pem", None),
        ] {
            let path = folder.path().join(name);
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = format!("{:#}", config(Some(&path)).unwrap_err());
            assert!(error.contains(name), "{name}: {error}");
        }
        assert!(config(None).is_ok());
    }
}
