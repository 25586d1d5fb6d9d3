//! Any sequence of calls against a model that is simple enough to be believed.
//!
//! After each step all that a store shows is compared: states and attempts of every delivery, what is due, the
//! events that may be handed out, dead letters, bodies, counts. A sequence that fails is made shorter first.

mod simple;
mod step;

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use self::simple::Model;
use self::step::{BODIES, Step, steps};
use super::*;
use crate::store::{BodyId, CountBy};

/// What differs between a store and the model.
type Agreement = Result<(), String>;

pub(crate) async fn agrees_with_a_simple_model(site: &dyn Site) {
    let is_full = std::env::var("RETURNPATH_SCALE").is_ok_and(|scale| scale == "full");
    let (cases, mut runner) = if is_full { (500, TestRunner::default()) } else { (24, TestRunner::deterministic()) };
    let strategy = steps();
    for case in 0..cases {
        let mut tree = strategy.new_tree(&mut runner).expect("nothing is filtered");
        let Err(mut difference) = play(site, &tree.current()).await else { continue };
        let mut shortest = tree.current();
        let mut is_simpler = tree.simplify();
        while is_simpler {
            is_simpler = match play(site, &tree.current()).await {
                Err(difference_now) => {
                    (difference, shortest) = (difference_now, tree.current());
                    tree.simplify()
                }
                Ok(()) => tree.complicate(),
            };
        }
        panic!("case {case}: {difference}\nafter {shortest:#?}");
    }
}

/// Does the same to a store and to the model, and compares them after each step.
async fn play(site: &dyn Site, steps: &[Step]) -> Agreement {
    let mut store = site.open().await;
    let mut model = Model::default();
    for (n, step) in steps.iter().enumerate() {
        if let Step::Crash { down } = step {
            store = site.crash(store).await;
            model.now = model.now + *down;
        }
        let result = match model.step(&*store, step).await {
            Ok(()) => compare(&*store, &model).await,
            different => different,
        };
        result.map_err(|difference| format!("step {n}, {step:?}: {difference}"))?;
    }
    Ok(())
}

async fn compare(store: &dyn Store, model: &Model) -> Agreement {
    for (id, expected) in &model.deliveries {
        let found = store.find(*id).await.map_err(|error| error.to_string())?;
        let found = found.map(|found| {
            let reason = found.bounced.map(|verdict| verdict.reason);
            (found.state, found.attempts, reason, found.queued_at, found.recipient, found.return_path)
        });
        let expected = expected.is_kept.then(|| {
            let to = expected.new.clone();
            let reason = expected.bounced.as_ref().map(|verdict| verdict.reason);
            (expected.state, expected.attempts, reason, expected.queued_at, to.recipient, to.return_path)
        });
        same(&format!("delivery {id}"), found, expected)?;
    }
    let now = model.now;
    answers("open work", store.open_work().await, model.open_work())?;
    let next_due = store.next_due().await.map(|due| due.map(|due| due.max(now)));
    answers("the next due delivery", next_due, model.next_due())?;
    let events = store.claim_events(10_000, vec![], now).await;
    let events = events.map(|events| events.into_iter().map(|event| (event.record.id, event.attempts)).collect());
    answers("events to hand out", events, model.ready_events())?;
    let next_event = store.next_event_due(vec![]).await.map(|due| due.map(|due| due.max(now)));
    answers("the next event", next_event, model.next_event_due())?;
    let letters = store.dead_letters(10_000).await;
    let letters = letters.map(|letters| letters.into_iter().map(|event| event.record.id).collect());
    answers("dead letters", letters, model.dead_letters())?;
    for body in BODIES {
        let content = store.body(BodyId::of(body.as_bytes())).await.map(|body| body.is_some());
        answers(body, content, model.needs_body(body))?;
    }
    let counts = store.count(CountBy::Domain, Timestamp::EPOCH..Timestamp::MAX).await;
    answers("counts", counts, model.counts())
}

/// Whether a call gave this answer.
fn answers<T: PartialEq + Debug>(what: &str, answer: Result<T, StoreError>, expected: T) -> Agreement {
    same(what, answer.map_err(|error| error.to_string())?, expected)
}

/// Whether both sides have the same.
fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Agreement {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}
