//! What stands between a store and its server, and loses answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What becomes of what is asked and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    /// All goes through.
    Kind,
    /// Questions arrive, answers do not, and the connection stays.
    Swallow,
    /// Questions arrive; with the first answer the connection ends.
    Cut,
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    mood: Arc<AtomicU8>,
    /// Answers that were lost.
    lost: Arc<AtomicUsize>,
    broken: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}/0", listener.local_addr().unwrap());
        let mood = Arc::new(AtomicU8::new(Mood::Kind as u8));
        let lost = Arc::new(AtomicUsize::new(0));
        let broken = Arc::new(Notify::new());
        let each = (Arc::clone(&mood), Arc::clone(&lost), Arc::clone(&broken));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&socket).await else {
                    continue;
                };
                let (mood, lost, broken) = each.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(client, server, mood, lost) => {}
                        () = broken.notified() => {}
                    }
                });
            }
        });
        Self {
            url,
            mood,
            lost,
            broken,
            task,
        }
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.broken.notify_waiters();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, server: UnixStream, mood: Arc<AtomicU8>, lost: Arc<AtomicUsize>) {
    let (mut asking, mut answering) = client.into_split();
    let (mut answers, mut questions) = server.into_split();
    let asked = async {
        let _ = tokio::io::copy(&mut asking, &mut questions).await;
    };
    let answered = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(n @ 1..) = answers.read(&mut buffer).await {
            let mood = mood.load(Ordering::SeqCst);
            if mood != Mood::Kind as u8 {
                lost.fetch_add(1, Ordering::SeqCst);
            }
            if mood == Mood::Cut as u8 {
                return;
            }
            if mood == Mood::Kind as u8 && answering.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = asked => {}
        () = answered => {}
    }
}
