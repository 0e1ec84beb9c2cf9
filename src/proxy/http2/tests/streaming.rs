//! Bodies, and answers before the answer.

use super::*;

#[tokio::test]
async fn both_ways_are_passed_on_message_by_message() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let (response, mut says) = client.begin(post("http://a.example/chat")).await;
    let ((request, mut respond), _driven) = next(accept(&outside).await).await;
    let mut hears = request.into_body();
    let mut answers = respond.send_response(Response::new(()), false).unwrap();
    let mut answered = timeout(SOON, response).await.unwrap().unwrap().into_body();
    for word in ["one", "two", "three"] {
        says.send_data(word.into(), false).unwrap();
        assert_eq!(
            timeout(SOON, hears.data()).await.unwrap().unwrap().unwrap(),
            word
        );
        answers.send_data(word.into(), false).unwrap();
        assert_eq!(
            timeout(SOON, answered.data())
                .await
                .unwrap()
                .unwrap()
                .unwrap(),
            word
        );
    }
    says.send_data(Bytes::new(), true).unwrap();
    assert!(
        hears
            .data()
            .await
            .is_none_or(|data| data.unwrap().is_empty())
    );
    answers
        .send_trailers(fields(&[("grpc-status", "0")]))
        .unwrap();
    let (rest, trailers) = whole(&mut answered).await.unwrap();
    assert_eq!(
        (rest.len(), trailers),
        (0, Some(fields(&[("grpc-status", "0")])))
    );
    client.end().await;
    assert_eq!(rig.record().await.ended, Some(Ended::Closed));
}

#[tokio::test]
async fn interim_answers_come_before_the_answer() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let mut request = post("http://a.example/");
    request
        .headers_mut()
        .insert("expect", "100-continue".parse().unwrap());
    let (mut response, mut says) = client.begin(request).await;
    let ((request, mut respond), _driven) = next(accept(&outside).await).await;
    assert_eq!(request.headers()["expect"], "100-continue");
    for (status, link) in [(100, None), (103, Some("</a.css>"))] {
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(link) = link {
            interim.headers_mut().insert("link", link.parse().unwrap());
        }
        respond.send_informational(interim).unwrap();
        let got = std::future::poll_fn(|cx| response.poll_informational(cx));
        let got = timeout(SOON, got).await.unwrap().unwrap().unwrap();
        assert_eq!(got.status(), status);
        assert_eq!(
            got.headers().get("link").map(|link| link.to_str().unwrap()),
            link
        );
    }
    says.send_data("body".into(), true).unwrap();
    let (body, _) = whole(&mut request.into_body()).await.unwrap();
    assert_eq!(body, b"body");
    respond.send_response(Response::new(()), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    client.end().await;
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    const SIZE: usize = 3_000_000;
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let (response, says) = client.begin(post("http://a.example/")).await;
    let ((request, mut respond), _driven) = next(accept(&outside).await).await;
    let answers = respond.send_response(Response::new(()), false).unwrap();
    let mut answered = response.await.unwrap().into_body();
    let mut asked = request.into_body();
    let ((), (), (sent, _), (got, _)) = tokio::join!(
        pour(says, SIZE, 1),
        pour(answers, SIZE, 2),
        async { whole(&mut asked).await.unwrap() },
        async { whole(&mut answered).await.unwrap() },
    );
    assert!(sent == pattern(SIZE, 1) && got == pattern(SIZE, 2));
    client.end().await;
    let record = rig.record().await;
    assert_eq!(
        (record.bytes_out, record.bytes_in),
        (SIZE as u64, SIZE as u64)
    );
}

fn pattern(size: usize, seed: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at * 7 + at / 251 + seed).to_le_bytes()[0])
        .collect()
}

/// Waits until there is some room.
async fn room(stream: &mut SendStream<Bytes>) {
    if stream.capacity() == 0 {
        let more = std::future::poll_fn(|cx| stream.poll_capacity(cx));
        more.await.unwrap().unwrap();
    }
}

/// Sends so many bytes in frames of many sizes, as fast as the other takes them.
async fn pour(mut stream: SendStream<Bytes>, size: usize, seed: usize) {
    let mut left = Bytes::from(pattern(size, seed));
    let mut at = 0;
    while !left.is_empty() {
        at += 1;
        let wanted = [1, 100, 16_000, 5000, 70_000][at % 5].min(left.len());
        stream.reserve_capacity(wanted);
        room(&mut stream).await;
        let part = left.split_to(stream.capacity().min(wanted));
        stream.send_data(part, left.is_empty()).unwrap();
    }
}

/// What is under way from one who sends to one who doesn't read is what windows allow, and comes back.
#[tokio::test]
async fn who_does_not_read_stops_who_sends_and_the_others_go_on() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    // Its own window of the connection isn't what others wait for.
    let mut client = Client::with(
        &rig,
        h2::client::Builder::new().initial_connection_window_size(1 << 20),
    )
    .await;
    let (response, _says) = client.begin(post("http://a.example/slow")).await;
    let mut connection = accept(&outside).await;
    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
    let mut slow = respond.send_response(Response::new(()), false).unwrap();
    tokio::spawn(async move {
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(echo_one(request, respond));
        }
    });
    let mut unread = response.await.unwrap().into_body();
    let mut sent = 0;
    loop {
        slow.reserve_capacity(16_384);
        if timeout(Duration::from_millis(300), room(&mut slow))
            .await
            .is_err()
        {
            break;
        }
        let part = vec![1; slow.capacity()];
        sent += part.len();
        slow.send_data(part.into(), false).unwrap();
    }
    assert!(sent < 1_000_000, "{sent}");
    for _ in 0..20 {
        assert_eq!(
            client
                .ask(get("http://a.example/quick"))
                .await
                .unwrap()
                .status,
            200
        );
    }
    slow.send_data(Bytes::new(), true).unwrap();
    assert_eq!(whole(&mut unread).await.unwrap().0.len(), sent);
}

/// Many times what windows allow, to a reader that is slower than the sender: on its way between them
/// is never more than their windows and buffers.
#[tokio::test]
async fn little_is_on_its_way_however_much_passes() {
    const SIZE: usize = 24 << 20;
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let (response, _says) = client.begin(post("http://a.example/")).await;
    let ((_request, mut respond), _driven) = next(accept(&outside).await).await;
    let mut answers = respond.send_response(Response::new(()), false).unwrap();
    let mut answered = response.await.unwrap().into_body();
    let sent = std::cell::Cell::new(0);
    let pouring = async {
        let part = Bytes::from(vec![1; 16 * 1024]);
        for at in 1..=SIZE / part.len() {
            answers.reserve_capacity(part.len());
            while answers.capacity() < part.len() {
                let more = std::future::poll_fn(|cx| answers.poll_capacity(cx));
                more.await.unwrap().unwrap();
            }
            let is_last = at == SIZE / part.len();
            answers.send_data(part.clone(), is_last).unwrap();
            sent.set(sent.get() + part.len());
        }
    };
    let taking = async {
        let (mut got, mut most) = (0, 0);
        while let Some(part) = answered.data().await {
            let part = part.unwrap();
            got += part.len();
            answered
                .flow_control()
                .release_capacity(part.len())
                .unwrap();
            most = most.max(sent.get() - got);
            // Slower than who sends.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        (got, most)
    };
    let ((), (got, most)) = tokio::join!(pouring, taking);
    assert_eq!(got, SIZE);
    assert!(most < 8 << 20, "{most}");
    client.end().await;
    assert_eq!(rig.record().await.bytes_in, SIZE as u64);
}
