//! An origin that speaks HTTP/2 in the clear.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use h2::{
    RecvStream,
    server::{Builder, SendResponse},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
};

/// An HTTP/2 origin; it ends when it is dropped.
pub(crate) struct StreamOrigin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _stop: oneshot::Sender<()>,
}

/// What it saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Paths of requests, in the order of their coming.
    pub(crate) paths: Vec<String>,
    pub(crate) connections: usize,
    /// Connections that have ended.
    pub(crate) ended: usize,
}

// === impl StreamOrigin ===

impl StreamOrigin {
    /// Answers every request by `answer`, which gets the number of the request, from 0.
    pub(crate) fn answering(
        answer: impl Fn(usize, http::Request<RecvStream>, SendResponse<Bytes>) + Send + Sync + 'static,
    ) -> Self {
        Self::with(Builder::new(), answer)
    }

    /// The same, and takes extended CONNECT (RFC 8441).
    pub(crate) fn connecting(
        answer: impl Fn(usize, http::Request<RecvStream>, SendResponse<Bytes>) + Send + Sync + 'static,
    ) -> Self {
        let mut builder = Builder::new();
        builder.enable_connect_protocol();
        Self::with(builder, answer)
    }

    fn with(
        builder: Builder,
        answer: impl Fn(usize, http::Request<RecvStream>, SendResponse<Bytes>) + Send + Sync + 'static,
    ) -> Self {
        let (address, given) = std::sync::mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let seen = Arc::<Mutex<Seen>>::default();
        let (answer, shared) = (Arc::new(answer), Arc::clone(&seen));
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, builder, answer, shared) => {}
                }
            });
        });
        Self { address: given.recv().unwrap(), seen, _stop: stop }
    }

    /// What it has seen up to now.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

async fn accept<F>(listener: TcpListener, builder: Builder, answer: Arc<F>, seen: Arc<Mutex<Seen>>)
where
    F: Fn(usize, http::Request<RecvStream>, SendResponse<Bytes>) + Send + Sync + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, seen, builder) = (Arc::clone(&answer), Arc::clone(&seen), builder.clone());
        seen.lock().unwrap().connections += 1;
        tokio::spawn(async move {
            if let Ok(connection) = builder.handshake(stream).await {
                serve(connection, &*answer, &seen).await;
            }
            seen.lock().unwrap().ended += 1;
        });
    }
}

async fn serve(
    mut connection: h2::server::Connection<TcpStream, Bytes>,
    answer: &impl Fn(usize, http::Request<RecvStream>, SendResponse<Bytes>),
    seen: &Mutex<Seen>,
) {
    while let Some(Ok((request, respond))) = connection.accept().await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.paths.push(request.uri().path().to_owned());
            seen.paths.len() - 1
        };
        answer(number, request, respond);
    }
}

/// Sends a response with this body.
pub(crate) fn respond(mut to: SendResponse<Bytes>, status: u16, body: &'static str) {
    let response = http::Response::builder().status(status).body(()).unwrap();
    if let Ok(mut stream) = to.send_response(response, false) {
        drop(stream.send_data(Bytes::from_static(body.as_bytes()), true));
    }
}

/// Asks over HTTP/2 in the clear with a body of these pieces, as far as they are wanted; gives the response and its body.
pub(crate) fn ask(
    address: SocketAddr,
    request: http::Request<()>,
    body: &[&'static [u8]],
) -> (http::Response<()>, Vec<u8>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let (response, mut sending) = sender.send_request(request, body.is_empty()).unwrap();
        for (at, piece) in body.iter().enumerate() {
            drop(sending.send_data(Bytes::from_static(piece), at + 1 == body.len()));
        }
        let (head, mut body) = response.await.unwrap().into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        (http::Response::from_parts(head, ()), bytes)
    })
}
