//! What the source is told of the cluster.

use std::fmt;
use std::path::PathBuf;

/// How an etcd cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdSettings {
    /// The URLs of its members, without a path.
    pub endpoints: Vec<String>,
    /// The files that connections with `https` need.
    pub tls: EtcdTls,
    /// Whom to log in as.
    pub login: Option<EtcdLogin>,
}

/// Files in PEM form, read anew whenever they change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EtcdTls {
    /// The authorities that may sign a server's certificate; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A user and the password, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for EtcdLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLogin")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
