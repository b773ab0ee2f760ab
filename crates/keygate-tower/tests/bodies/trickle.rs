//! A body of one's own.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// A body that makes each frame when it is asked for it, and counts how often it was.
pub(crate) struct Trickle {
    frames: VecDeque<Frame<Bytes>>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Trickle {
    pub(crate) fn of(chunks: &[&'static str]) -> Self {
        Self::counted_by(Arc::default(), chunks)
    }

    pub(crate) fn counted_by(asked: Arc<AtomicUsize>, chunks: &[&'static str]) -> Self {
        let data = chunks.iter().map(|chunk| Frame::data(Bytes::from_static(chunk.as_bytes())));
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("abc"));
        let frames = data.chain([Frame::trailers(trailers)]).collect();
        Self { frames, asked }
    }
}

impl Body for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.asked.fetch_add(1, SeqCst);
        Poll::Ready(self.frames.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(42)
    }
}

/// Reads a body that `asked` counts for to its end: each frame is made when it is asked for and not
/// before.
pub(crate) async fn reads_frame_by_frame(
    mut body: impl Body<Data = Bytes, Error = Infallible> + Unpin,
    asked: Arc<AtomicUsize>,
    chunks: &[&'static str],
) {
    assert_eq!(body.size_hint().exact(), Some(42));
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(asked.load(SeqCst), index, "nobody reads ahead");
        assert!(!body.is_end_stream());
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), *chunk);
    }
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["x-checksum"], "abc");
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}
