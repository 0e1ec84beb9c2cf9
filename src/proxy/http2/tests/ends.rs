//! Ends that are not in order, and ends of connections.

use super::*;

#[tokio::test]
async fn a_client_that_cancels_cancels_at_the_server_with_its_reason() {
    for (answered, reason) in [
        (false, Reason::CANCEL),
        (true, Reason::CANCEL),
        (true, Reason::INTERNAL_ERROR),
    ] {
        let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
        let mut client = Client::of(&rig).await;
        let (response, mut says) = client.begin(post("http://a.example/")).await;
        let ((request, mut respond), _driven) = next(accept(&outside).await).await;
        let _answered = if answered {
            respond.send_response(Response::new(()), false).unwrap();
            Some(response.await.unwrap())
        } else {
            None
        };
        says.send_reset(reason);
        let error = timeout(SOON, whole(&mut request.into_body()))
            .await
            .unwrap();
        let error = error.unwrap_err();
        assert!(error.is_remote() && error.is_reset(), "{error}");
        assert_eq!(error.reason(), Some(reason), "{answered}");
        client.end().await;
        let record = rig.record().await;
        assert_eq!(
            (record.ended, record.by),
            (Some(Ended::Reset), Some(Side::Client))
        );
    }
}

#[tokio::test]
async fn a_client_that_is_gone_cancels_what_it_asked() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let (_response, _says) = client.begin(post("http://a.example/")).await;
    let ((request, _respond), _driven) = next(accept(&outside).await).await;
    client.connection.abort();
    assert!(
        timeout(SOON, whole(&mut request.into_body()))
            .await
            .unwrap()
            .is_err()
    );
    let record = rig.record().await;
    assert_eq!(
        (record.ended, record.by),
        (Some(Ended::Reset), Some(Side::Client))
    );
}

#[tokio::test]
async fn a_server_that_resets_resets_at_the_client_with_its_reason() {
    for (answered, reason) in [
        (false, Reason::REFUSED_STREAM),
        (false, Reason::HTTP_1_1_REQUIRED),
        (true, Reason::INTERNAL_ERROR),
    ] {
        let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
        let mut client = Client::of(&rig).await;
        let (response, _says) = client.begin(post("http://a.example/")).await;
        let ((_request, mut respond), _driven) = next(accept(&outside).await).await;
        let error = if answered {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data("part".into(), false).unwrap();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "part");
            stream.send_reset(reason);
            timeout(SOON, whole(&mut body)).await.unwrap().unwrap_err()
        } else {
            respond.send_reset(reason);
            timeout(SOON, response).await.unwrap().unwrap_err()
        };
        assert!(error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(reason));
        client.end().await;
        let record = rig.record().await;
        assert_eq!(
            (record.ended, record.by),
            (Some(Ended::Reset), Some(Side::Server))
        );
    }
}

#[tokio::test]
async fn an_answer_before_the_requests_end_is_whole_and_the_rest_is_not_wanted() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let (response, mut says) = client.begin(post("http://a.example/")).await;
    let ((request, mut respond), _driven) = next(accept(&outside).await).await;
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data("enough".into(), true).unwrap();
    drop((request, respond, stream));
    let heard = heard(response.await.unwrap()).await.unwrap();
    assert_eq!(heard.text(), "enough");
    let reason = std::future::poll_fn(|cx| says.poll_reset(cx));
    let reason = timeout(SOON, reason).await.unwrap().unwrap();
    assert_eq!(reason, Reason::NO_ERROR);
    client.end().await;
    assert_eq!(rig.record().await.ended, Some(Ended::Closed));
}

#[tokio::test]
async fn a_denied_upload_is_answered_and_the_connection_goes_on() {
    let (rig, outside) = Rig::new(&["method=GET domain=a.example path=/*"], &[]).await;
    let served = echo(outside);
    let mut client = Client::of(&rig).await;
    let (response, mut says) = client.begin(post("http://a.example/up")).await;
    says.send_data(vec![0; 60_000].into(), false).unwrap();
    assert_eq!(heard(response.await.unwrap()).await.unwrap().status, 403);
    for _ in 0..5 {
        assert_eq!(
            client.ask(get("http://a.example/")).await.unwrap().status,
            200
        );
    }
    client.end().await;
    served.abort();
}

#[tokio::test]
async fn after_a_goaway_new_streams_get_a_new_connection_and_old_ones_end() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let (response, _says) = client.begin(post("http://a.example/old")).await;
    let mut connection = accept(&outside).await;
    let (_, mut old) = connection.accept().await.unwrap().unwrap();
    connection.graceful_shutdown();
    let ending = tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let mut stream = old.send_response(Response::new(()), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    let served = echo(outside);
    loop {
        // Until it has been heard, streams are begun on it, and refused.
        match client.ask(get("http://a.example/new")).await {
            Ok(heard) => break assert_eq!(heard.status, 200),
            Err(error) => assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM), "{error}"),
        }
    }
    stream.send_data("late".into(), true).unwrap();
    assert_eq!(whole(&mut body).await.unwrap().0, b"late");
    drop((stream, old));
    timeout(SOON, ending).await.unwrap().unwrap();
    assert_eq!(rig.dialled().len(), 2);
    client.end().await;
    served.abort();
}

#[tokio::test]
async fn a_kept_connection_that_broke_is_made_anew_unseen() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let mut client = Client::of(&rig).await;
    let serving = async {
        let ((_, mut respond), driven) = next(accept(&outside).await).await;
        respond.send_response(Response::new(()), true).unwrap();
        (respond, driven)
    };
    let (heard, (respond, driven)) = tokio::join!(client.ask(get("http://a.example/")), serving);
    assert_eq!(heard.unwrap().status, 200);
    driven.abort();
    drop(respond);
    let served = echo(outside);
    assert_eq!(
        client.ask(get("http://a.example/")).await.unwrap().status,
        200
    );
    client.end().await;
    assert_eq!(rig.records().await.len(), 2);
    served.abort();
}

#[tokio::test]
async fn streams_at_once_share_one_connection_and_thousands_follow_each_other() {
    let (rig, outside) = Rig::new(&["domain=a.example"], &[]).await;
    let served = echo(outside);
    let client = Client::of(&rig).await;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let send = client.send.clone();
        asking.spawn(async move {
            for _ in 0..40 {
                let mut send = send.clone().ready().await.unwrap();
                let request = get("http://a.example/");
                let (response, _) = send.send_request(request, true).unwrap();
                assert_eq!(heard(response.await.unwrap()).await.unwrap().status, 200);
            }
        });
    }
    while let Some(done) = asking.join_next().await {
        done.unwrap();
    }
    client.end().await;
    assert_eq!(rig.dialled().len(), 1);
    served.abort();
}

#[tokio::test]
async fn what_said_nothing_is_recorded_as_such() {
    let (rig, _outside) = Rig::new(&["domain=a.example"], &[]).await;
    let client = Client::of(&rig).await;
    client.end().await;
    let record = rig.record().await;
    assert_eq!(record.verdict, "deny");
    assert!(record.reason.unwrap().contains("no request"));
}
