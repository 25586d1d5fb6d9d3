//! Handlers made of handlers: behind a pointer, two as one, from a closure, and none at all.
//!
//! Each of them forwards every method of [`FailureHandler`]: they are made from the table of methods, and the tests
//! compare that table with the trait.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use super::handler::with_methods;
use super::{
    Alert, AutoReply, Bounce, Cancelled, Complaint, Delay, Delivered, Event, Failure, FailureHandler, HandlerError,
    HandlerResult, MAX_BATCH, Other, Reply, Success, Suppressed, Uncertain, Unsubscribe,
};

macro_rules! forward_through_pointer {
    (($pointer:ident) $($method:ident: $view:ident of $kind:ident,)*) => {
        #[async_trait]
        impl<H: FailureHandler + ?Sized> FailureHandler for $pointer<H> {
            $(
                async fn $method(&self, event: &$view) -> HandlerResult {
                    (**self).$method(event).await
                }
            )*

            fn batch(&self) -> usize {
                (**self).batch()
            }

            async fn on_events(&self, events: &[Event]) -> HandlerResult {
                (**self).on_events(events).await
            }

            fn concurrency(&self) -> usize {
                (**self).concurrency()
            }
        }
    };
}

with_methods!(forward_through_pointer, Arc);
with_methods!(forward_through_pointer, Box);

/// The handler of an application that does not want to hear anything. Everything is acknowledged; it still counts in
/// the reports and can be replayed.
#[async_trait]
impl FailureHandler for () {
    async fn on_fail(&self, _: &Failure) -> HandlerResult {
        Ok(())
    }

    async fn on_bounce(&self, _: &Bounce) -> HandlerResult {
        Ok(())
    }

    fn batch(&self) -> usize {
        MAX_BATCH
    }

    async fn on_events(&self, _: &[Event]) -> HandlerResult {
        Ok(())
    }
}

/// Two handlers as one: both get every event, at the same time, and both must say `Ok`.
///
/// If one of them fails, the event comes again to both, so the other one sees it twice, with the same id. It goes to
/// the dead letters at once only if every one that failed wants to [give up](HandlerError::give_up). The time limit of
/// a call holds for both together; a panic of one drops the call of the other. The smaller
/// [`batch`](FailureHandler::batch) and the smaller [`concurrency`](FailureHandler::concurrency) hold.
///
/// ```
/// use returnpath::event::{Event, Tee, from_fn};
///
/// let handler = Tee::new(
///     from_fn(|event: Event| async move { Ok(println!("{}", event.to_json())) }),
///     (), // the application's own
/// );
/// # fn assert_handler(_: impl returnpath::FailureHandler) {}
/// # assert_handler(handler);
/// ```
#[derive(Debug, Clone)]
pub struct Tee<A, B> {
    first: A,
    second: B,
}

impl<A: FailureHandler, B: FailureHandler> Tee<A, B> {
    /// Both handlers as one. For more than two, nest.
    pub fn new(first: A, second: B) -> Tee<A, B> {
        Tee { first, second }
    }
}

macro_rules! forward_to_both {
    (() $($method:ident: $view:ident of $kind:ident,)*) => {
        #[async_trait]
        impl<A: FailureHandler, B: FailureHandler> FailureHandler for Tee<A, B> {
            $(
                async fn $method(&self, event: &$view) -> HandlerResult {
                    both(tokio::join!(self.first.$method(event), self.second.$method(event)))
                }
            )*

            fn batch(&self) -> usize {
                self.first.batch().min(self.second.batch())
            }

            async fn on_events(&self, events: &[Event]) -> HandlerResult {
                both(tokio::join!(self.first.on_events(events), self.second.on_events(events)))
            }

            fn concurrency(&self) -> usize {
                self.first.concurrency().min(self.second.concurrency())
            }
        }
    };
}

with_methods!(forward_to_both);

/// One answer from two.
fn both(answers: (HandlerResult, HandlerResult)) -> HandlerResult {
    match answers {
        (Ok(()), answer) | (answer, Ok(())) => answer,
        (Err(first), Err(second)) => {
            let text = format!("{}; and: {}", first.in_full(), second.in_full());
            let give_up = first.is_final() && second.is_final();
            Err(if give_up { HandlerError::give_up(text) } else { HandlerError::message(text) })
        }
    }
}

/// A handler from a closure, which gets every event of every kind.
///
/// ```
/// use returnpath::event::{Event, EventKind, from_fn};
///
/// let handler = from_fn(|event: Event| async move {
///     if matches!(event.kind(), EventKind::Fail | EventKind::Bounce) {
///         println!("{:?}: {}", event.recipient(), event.text().unwrap_or("no words"));
///     }
///     Ok(())
/// });
/// # fn assert_handler(_: impl returnpath::FailureHandler) {}
/// # assert_handler(handler);
/// ```
pub fn from_fn<F, Fut>(call: F) -> impl FailureHandler
where
    F: Fn(Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'static,
{
    FromFn(call)
}

struct FromFn<F>(F);

macro_rules! call_closure {
    (() $($method:ident: $view:ident of $kind:ident,)*) => {
        #[async_trait]
        impl<F, Fut> FailureHandler for FromFn<F>
        where
            F: Fn(Event) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = HandlerResult> + Send + 'static,
        {
            $(
                async fn $method(&self, event: &$view) -> HandlerResult {
                    (self.0)((**event).clone()).await
                }
            )*
        }
    };
}

with_methods!(call_closure);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::event::{EventKind, EventRecord, Origin, deliver};
    use crate::id::EventId;
    use crate::time::Timestamp;

    /// Writes down the method of each call, and fails where it is told to.
    #[derive(Default)]
    struct Probe {
        calls: Mutex<Vec<&'static str>>,
        fails: Option<&'static str>,
        gives_up: bool,
    }

    impl Probe {
        fn failing(method: &'static str) -> Probe {
            Probe { fails: Some(method), ..Probe::default() }
        }

        fn called(&self, method: &'static str) -> HandlerResult {
            self.calls.lock().unwrap().push(method);
            match self.fails {
                Some(fails) if fails == method && self.gives_up => Err(HandlerError::give_up(method)),
                Some(fails) if fails == method => Err(HandlerError::message(method)),
                _ => Ok(()),
            }
        }

        fn taken(&self) -> Vec<&'static str> {
            std::mem::take(&mut self.calls.lock().unwrap())
        }
    }

    macro_rules! define_probe {
        (() $($method:ident: $view:ident of $kind:ident,)*) => {
            #[async_trait]
            impl FailureHandler for Probe {
                $(
                    async fn $method(&self, event: &$view) -> HandlerResult {
                        assert_eq!(event.kind(), EventKind::$kind);
                        self.called(stringify!($method))
                    }
                )*

                fn batch(&self) -> usize {
                    self.called("batch").map_or(0, |()| 7)
                }

                async fn on_events(&self, _: &[Event]) -> HandlerResult {
                    self.called("on_events")
                }

                fn concurrency(&self) -> usize {
                    self.called("concurrency").map_or(0, |()| 5)
                }
            }

            /// Every method that takes one event, and its kind.
            const METHODS: &[(&str, EventKind)] = &[$((stringify!($method), EventKind::$kind)),*];

            /// Calls one method of the handler by its name, not through `deliver`.
            async fn call(handler: &dyn FailureHandler, method: &str) -> HandlerResult {
                match method {
                    $(stringify!($method) => handler.$method(&$view(event(EventKind::$kind))).await,)*
                    "on_events" => handler.on_events(&[event(EventKind::Fail), event(EventKind::Bounce)]).await,
                    other => panic!("no method {other}"),
                }
            }
        };
    }

    with_methods!(define_probe);

    fn event(kind: EventKind) -> Event {
        let id = EventId::derive(&[kind.name().as_bytes()]);
        Event::new(EventRecord::bare(id, kind, Timestamp::EPOCH, Origin::Local))
    }

    /// All asynchronous methods.
    fn methods() -> impl Iterator<Item = &'static str> {
        METHODS.iter().map(|(name, _)| *name).chain(["on_events"])
    }

    /// Every method of `outer` must reach the same method of `probe`, with its answer.
    async fn assert_forwards(outer: &dyn FailureHandler, probe: &Probe) {
        for method in methods() {
            let answer = call(outer, method).await;
            assert_eq!(probe.taken(), [method]);
            assert_eq!(answer.is_err(), probe.fails == Some(method), "{method}");
        }
        assert_eq!((outer.batch(), outer.concurrency()), (7, 5));
        assert_eq!(probe.taken(), ["batch", "concurrency"]);
    }

    #[test]
    fn the_table_has_every_method_of_the_trait() {
        let source = include_str!("handler.rs");
        let body = source.split("pub trait FailureHandler").nth(1).unwrap().split("\n}\n").next().unwrap();
        let mut declared: Vec<&str> = body
            .lines()
            .filter_map(|line| line.strip_prefix("    async fn ").or_else(|| line.strip_prefix("    fn ")))
            .map(|line| line.split('(').next().unwrap())
            .collect();
        declared.sort_unstable();
        let mut known: Vec<&str> = methods().chain(["batch", "concurrency"]).collect();
        known.sort_unstable();
        assert_eq!(declared, known, "a method that wrappers would not forward");
        assert_eq!(METHODS.iter().map(|(_, kind)| *kind).collect::<std::collections::BTreeSet<_>>().len(), 14);
    }

    #[tokio::test]
    async fn pointers_forward_every_method() {
        for fails in methods().map(Some).chain([None]) {
            let probe = Arc::new(Probe { fails, ..Probe::default() });
            assert_forwards(&Arc::clone(&probe), &probe).await;
            assert_forwards(&(Arc::clone(&probe) as Arc<dyn FailureHandler>), &probe).await;
            assert_forwards(&Box::new(Arc::clone(&probe)), &probe).await;
            assert_forwards(&(Box::new(Arc::clone(&probe)) as Box<dyn FailureHandler>), &probe).await;
        }
    }

    #[tokio::test]
    async fn tee_forwards_every_method_to_both() {
        for (first, second) in [(None, None), (Some("on_fail"), None), (None, Some("on_events"))] {
            let first = Arc::new(Probe { fails: first, ..Probe::default() });
            let second = Arc::new(Probe { fails: second, ..Probe::default() });
            let tee = Tee::new(Arc::clone(&first), Arc::clone(&second));
            for method in methods() {
                let answer = call(&tee, method).await;
                assert_eq!((first.taken(), second.taken()), (vec![method], vec![method]));
                let fails = first.fails == Some(method) || second.fails == Some(method);
                assert_eq!(answer.is_err(), fails, "{method}: both must say Ok");
            }
            assert_eq!((tee.batch(), tee.concurrency()), (7, 5));
            assert_eq!(first.taken(), ["batch", "concurrency"]);
            assert_eq!(second.taken(), ["batch", "concurrency"]);
            assert_eq!(Tee::new((), first).batch(), 7, "the smaller one");
        }
    }

    #[tokio::test]
    async fn tee_gives_up_only_where_every_failed_one_does() {
        let gives_up = || Probe { gives_up: true, ..Probe::failing("on_fail") };
        for (first, second, is_final) in [
            (gives_up(), Probe::default(), true),
            (gives_up(), Probe::failing("on_fail"), false),
            (Probe::failing("on_fail"), gives_up(), false),
            (gives_up(), gives_up(), true),
        ] {
            let error = call(&Tee::new(first, second), "on_fail").await.unwrap_err();
            assert_eq!(error.is_final(), is_final, "{error}");
        }
    }

    #[tokio::test]
    async fn the_null_handler_says_ok_to_everything() {
        for method in methods() {
            assert!(call(&(), method).await.is_ok(), "{method}");
        }
    }

    #[tokio::test]
    async fn a_closure_gets_every_kind_and_answers_for_it() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handler = from_fn({
            let seen = Arc::clone(&seen);
            move |event: Event| {
                seen.lock().unwrap().push(event.kind());
                async move { if event.kind() == EventKind::Alert { Err(HandlerError::message("no")) } else { Ok(()) } }
            }
        });
        for (method, kind) in METHODS {
            let answer = call(&handler, method).await;
            assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), [*kind]);
            assert_eq!(answer.is_err(), *kind == EventKind::Alert);
        }
    }

    #[tokio::test]
    async fn an_event_reaches_the_method_of_its_kind() {
        let probe = Probe::default();
        for (method, kind) in METHODS {
            deliver(&probe, &event(*kind)).await.unwrap();
            assert_eq!(probe.taken(), [*method]);
        }
    }

    #[tokio::test]
    async fn without_an_override_a_batch_goes_one_by_one_and_ends_at_the_first_error() {
        struct Plain(Mutex<Vec<EventKind>>);

        #[async_trait]
        impl FailureHandler for Plain {
            async fn on_fail(&self, failure: &Failure) -> HandlerResult {
                self.0.lock().unwrap().push(failure.kind());
                Ok(())
            }

            async fn on_bounce(&self, bounce: &Bounce) -> HandlerResult {
                self.0.lock().unwrap().push(bounce.kind());
                Err(HandlerError::message("no"))
            }
        }

        let plain = Plain(Mutex::new(Vec::new()));
        let events = [EventKind::Alert, EventKind::Fail, EventKind::Bounce, EventKind::Fail].map(event);
        assert_eq!(plain.on_events(&events).await.unwrap_err().to_string(), "no");
        assert_eq!(*plain.0.lock().unwrap(), [EventKind::Fail, EventKind::Bounce]);
    }
}
