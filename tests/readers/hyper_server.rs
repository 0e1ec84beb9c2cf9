//! hyper, in this process.

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::wire::hex;

/// Serves from a thread of its own, as long as the process lives.
pub(crate) fn start(port: u16) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let served = http1::Builder::new()
                    .half_close(true)
                    .serve_connection(TokioIo::new(connection), service_fn(tell));
                // What is wrong with a connection shows in what it says.
                tokio::spawn(async { drop(served.await) });
            }
        });
    });
}

async fn tell(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let host = head.headers.get(HOST).map(|host| host.as_bytes());
    let told = [
        hex(head.method.as_str()),
        hex(head.uri.to_string()),
        hex(host.unwrap_or_default()),
        hex(body.collect().await?.to_bytes()),
    ];
    let mut answer = Response::new(Empty::new());
    let told = told.join(",").parse().unwrap();
    answer.headers_mut().insert("x-saw", told);
    Ok(answer)
}
