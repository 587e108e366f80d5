//! Authorities and certificates, made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a certificate says of whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names<'a> {
    /// These alternative names, as `IP:127.0.0.1` or `DNS:localhost`.
    Alternative(&'a str),
    /// Its common name alone.
    CommonAlone,
}

/// How long a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// For as long as any test.
    Usual,
    /// Not any more.
    Over,
}

/// Is a certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
}

impl Pair {
    /// Writes the public key into a file of its own.
    pub fn public_key(&self) -> PathBuf {
        let file = self.key.with_extension("public");
        openssl(&format!(
            "pkey -in {} -pubout -out {}",
            self.key.display(),
            file.display()
        ));
        file
    }
}

/// Is an authority that signs certificates into a directory.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    name: String,
    pair: Pair,
}

impl Authority {
    /// Makes an authority.
    pub fn new(directory: &Path, name: &str) -> Self {
        let pair = files(directory, name);
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout {} -out {}",
            pair.key.display(),
            pair.certificate.display()
        ));
        Self {
            directory: directory.to_owned(),
            name: name.to_owned(),
            pair,
        }
    }

    /// Returns the file of its own certificate.
    pub fn certificate(&self) -> &Path {
        &self.pair.certificate
    }

    /// Signs a certificate whose common name and file name are `name`.
    pub fn sign(&self, name: &str, names: Names<'_>) -> Pair {
        self.sign_for(name, names, Life::Usual)
    }

    /// Signs a certificate with another life.
    pub fn sign_for(&self, name: &str, names: Names<'_>, life: Life) -> Pair {
        let days = match life {
            Life::Usual => "2",
            Life::Over => "-1",
        };
        let pair = files(&self.directory, name);
        let request = self.directory.join(format!("{name}.csr"));
        let extensions = self.directory.join(format!("{name}.ext"));
        let text = match names {
            Names::Alternative(names) => format!("subjectAltName={names}\n"),
            Names::CommonAlone => String::new(),
        };
        std::fs::write(
            &extensions,
            format!("{text}extendedKeyUsage=serverAuth,clientAuth\n"),
        )
        .expect("write the extensions");
        openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {} -out {}",
            pair.key.display(),
            request.display()
        ));
        openssl(&format!(
            "x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days {days} -extfile {} -out {}",
            request.display(),
            self.pair.certificate.display(),
            self.pair.key.display(),
            extensions.display(),
            pair.certificate.display()
        ));
        pair
    }

    /// Returns the authority's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn files(directory: &Path, name: &str) -> Pair {
    Pair {
        certificate: directory.join(format!("{name}.pem")),
        key: directory.join(format!("{name}-key.pem")),
    }
}

fn openssl(arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .expect("start openssl");
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
