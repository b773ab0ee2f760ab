use std::{fs, path::Path, process::Command};

use rcgen::{CertifiedKey, generate_simple_self_signed};

/// A certificate for 127.0.0.1 that vouches for itself.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    #[track_caller]
    pub(super) fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        Self { certificate: cert.pem(), key: signing_key.serialize_pem() }
    }

    pub(super) fn root(&self) -> &str {
        &self.certificate
    }

    /// Makes a server show it on its only port.
    #[track_caller]
    pub(super) fn serve(&self, server: &mut Command, port: u16, folder: &Path) {
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        fs::write(&certificate, &self.certificate).unwrap();
        fs::write(&key, &self.key).unwrap();
        server.args(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
        server.arg("--tls-cert-file").arg(&certificate).arg("--tls-key-file").arg(&key);
        server.arg("--tls-ca-cert-file").arg(&certificate);
    }
}
