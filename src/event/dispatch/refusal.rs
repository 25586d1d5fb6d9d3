//! Why a call did not take its events: the handler's error, its panic, or no answer in time.

use std::time::Duration;

use tokio::task::JoinError;

use crate::event::HandlerResult;

/// Why a call did not take its events.
pub(super) struct Refusal {
    pub(super) text: String,
    pub(super) give_up: bool,
}

impl Refusal {
    pub(super) fn unless_ok(answer: HandlerResult) -> Result<(), Refusal> {
        answer.map_err(|error| Refusal { text: shortened(error.in_full()), give_up: error.is_final() })
    }

    pub(super) fn out_of_time(limit: Duration) -> Refusal {
        Refusal { text: format!("no answer within {limit:?}"), give_up: false }
    }

    /// The task of the call, or of the store, did not end well.
    pub(super) fn panicked(error: JoinError) -> Refusal {
        let text = match error.try_into_panic() {
            Ok(panic) => match panic.downcast::<String>() {
                Ok(text) => *text,
                Err(panic) => {
                    panic.downcast::<&'static str>().map_or_else(|_| "no words".into(), |text| (*text).into())
                }
            },
            Err(error) => return Refusal { text: error.to_string(), give_up: false },
        };
        Refusal { text: shortened(format!("panicked: {text}")), give_up: false }
    }
}

/// The text as far as it is stored with the event.
fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_ERROR_TEXT));
    text
}

/// Bytes of a handler's error that are stored with the event.
const MAX_ERROR_TEXT: usize = 1000;
