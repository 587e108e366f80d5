//! A writer to etcd that keeps its connection: for many changes in a short time, where starting `etcdctl` would be
//! most of it.

use std::fmt;
use std::time::Duration;

use etcd_client::{Client, Txn, TxnOp};
use tokio::runtime::Runtime;

/// How long one write may take on a busy machine.
const ANSWER: Duration = Duration::from_secs(30);

/// Is a key with its new value; `None` deletes it.
pub type Change = (String, Option<String>);

/// Is a connection to one member, used on the thread that opened it.
pub struct Writer {
    runtime: Runtime,
    client: Client,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Connects from the calling thread's namespace.
    pub fn connect(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("make a runtime");
        let client = runtime
            .block_on(Client::connect([url], None))
            .expect("connect to etcd");
        Self { runtime, client }
    }

    /// Writes a key; returns when etcd has answered.
    pub fn put(&mut self, key: &str, value: &str) {
        self.transaction([(key.to_owned(), Some(value.to_owned()))]);
    }

    /// Writes and deletes keys in one transaction; returns when etcd has answered.
    pub fn transaction(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.try_transaction(changes)
            .unwrap_or_else(|reason| panic!("write to etcd: {reason}"));
    }

    /// Writes and deletes keys in one transaction, where the server may be gone.
    pub fn try_transaction(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), String> {
        let operations: Vec<TxnOp> = changes
            .into_iter()
            .map(|(key, value)| match value {
                Some(value) => TxnOp::put(key, value, None),
                None => TxnOp::delete(key, None),
            })
            .collect();
        let transaction = Txn::new().and_then(operations);
        let client = &mut self.client;
        let outcome = self
            .runtime
            .block_on(async { tokio::time::timeout(ANSWER, client.txn(transaction)).await });
        match outcome {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }
}
