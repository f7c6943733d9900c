//! The errors of channels: what they say, what they give back, and what they turn into.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Debug;
use throng::chan::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError, TryReadyError,
    TryRecvError, TrySelectError, TrySendError,
};

/// Has no trait but those that every type has.
struct Opaque(i32);

const NO_RECEIVERS: &str = "the channel has no receivers left";
const NO_SENDERS: &str = "the channel is empty and has no senders left";

#[track_caller]
fn says(error: impl Error + Send + Sync + 'static, debug: &str, display: &str) {
    assert_eq!(format!("{error:?}"), debug);
    assert_eq!(error.to_string(), display);
    // Both obey a width.
    assert_eq!(format!("{error:>80}"), format!("{display:>80}"));
    assert!(error.source().is_none());
    let error: Box<dyn Error + Send + Sync> = error.into();
    assert_eq!(error.to_string(), display);
}

#[track_caller]
fn is_plain<E: Copy + Eq + Debug + Send + Sync + Unpin>(errors: &[E]) {
    for (i, a) in errors.iter().enumerate() {
        for (j, b) in errors.iter().enumerate() {
            let copy = *a;
            assert_eq!(copy == *b, i == j);
        }
    }
    let texts: HashSet<String> = errors.iter().map(|error| format!("{error:?}")).collect();
    println!("{texts:?}");
}

#[test]
fn they_have_words() {
    says(SendError(1), "SendError(..)", NO_RECEIVERS);
    says(TrySendError::Full(1), "Full(..)", "the channel is full");
    says(TrySendError::Disconnected(1), "Disconnected(..)", NO_RECEIVERS);
    says(SendTimeoutError::Timeout(1), "Timeout(..)", "the message was not taken in time");
    says(SendTimeoutError::Disconnected(1), "Disconnected(..)", NO_RECEIVERS);
    says(RecvError, "RecvError", NO_SENDERS);
    says(TryRecvError::Empty, "Empty", "the channel is empty");
    says(TryRecvError::Disconnected, "Disconnected", NO_SENDERS);
    says(RecvTimeoutError::Timeout, "Timeout", "no message came in time");
    says(RecvTimeoutError::Disconnected, "Disconnected", NO_SENDERS);
    says(TrySelectError, "TrySelectError", "no operation is ready");
    says(SelectTimeoutError, "SelectTimeoutError", "no operation became ready in time");
    says(TryReadyError, "TryReadyError", "no operation is ready");
    says(ReadyTimeoutError, "ReadyTimeoutError", "no operation became ready in time");
}

#[test]
fn they_are_values() {
    is_plain(&[SendError(1), SendError(2)]);
    is_plain(&[TrySendError::Full(1), TrySendError::Full(2), TrySendError::Disconnected(1)]);
    is_plain(&[SendTimeoutError::Timeout(1), SendTimeoutError::Timeout(2), SendTimeoutError::Disconnected(1)]);
    is_plain(&[RecvError]);
    is_plain(&[TryRecvError::Empty, TryRecvError::Disconnected]);
    is_plain(&[RecvTimeoutError::Timeout, RecvTimeoutError::Disconnected]);
    is_plain(&[TrySelectError]);
    is_plain(&[SelectTimeoutError]);
    is_plain(&[TryReadyError]);
    is_plain(&[ReadyTimeoutError]);
}

#[test]
fn a_message_without_traits_is_an_error_all_the_same() {
    says(SendError(Opaque(1)), "SendError(..)", NO_RECEIVERS);
    says(TrySendError::Full(Opaque(1)), "Full(..)", "the channel is full");
    says(SendTimeoutError::Timeout(Opaque(1)), "Timeout(..)", "the message was not taken in time");
}

#[test]
fn the_message_comes_back() {
    assert_eq!(SendError(Opaque(1)).into_inner().0, 1);
    assert_eq!(SendError(Opaque(2)).0.0, 2);
    assert_eq!(TrySendError::Full(Opaque(3)).into_inner().0, 3);
    assert_eq!(TrySendError::Disconnected(Opaque(4)).into_inner().0, 4);
    assert_eq!(SendTimeoutError::Timeout(Opaque(5)).into_inner().0, 5);
    assert_eq!(SendTimeoutError::Disconnected(Opaque(6)).into_inner().0, 6);
}

#[test]
fn the_questions() {
    assert!(TrySendError::Full(Opaque(1)).is_full());
    assert!(!TrySendError::Full(Opaque(1)).is_disconnected());
    assert!(!TrySendError::Disconnected(Opaque(1)).is_full());
    assert!(TrySendError::Disconnected(Opaque(1)).is_disconnected());

    assert!(SendTimeoutError::Timeout(Opaque(1)).is_timeout());
    assert!(!SendTimeoutError::Timeout(Opaque(1)).is_disconnected());
    assert!(!SendTimeoutError::Disconnected(Opaque(1)).is_timeout());
    assert!(SendTimeoutError::Disconnected(Opaque(1)).is_disconnected());

    assert!(TryRecvError::Empty.is_empty());
    assert!(!TryRecvError::Empty.is_disconnected());
    assert!(!TryRecvError::Disconnected.is_empty());
    assert!(TryRecvError::Disconnected.is_disconnected());

    assert!(RecvTimeoutError::Timeout.is_timeout());
    assert!(!RecvTimeoutError::Timeout.is_disconnected());
    assert!(!RecvTimeoutError::Disconnected.is_timeout());
    assert!(RecvTimeoutError::Disconnected.is_disconnected());
}

#[test]
fn a_disconnection_is_one_everywhere() {
    assert_eq!(TrySendError::from(SendError(1)), TrySendError::Disconnected(1));
    assert_eq!(SendTimeoutError::from(SendError(1)), SendTimeoutError::Disconnected(1));
    assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
    assert_eq!(RecvTimeoutError::from(RecvError), RecvTimeoutError::Disconnected);
}

#[test]
fn a_question_mark_takes_them() {
    fn exchange() -> Result<i32, Box<dyn Error>> {
        let (s, r) = throng::chan::bounded(1);
        s.send(5)?;
        assert!(s.try_send(6).is_err());
        let five = r.recv()?;
        drop(r);
        s.try_send(five)?;
        Ok(five)
    }
    let error = exchange().unwrap_err();
    assert_eq!(*error.downcast::<TrySendError<i32>>().unwrap(), TrySendError::Disconnected(5));
}
