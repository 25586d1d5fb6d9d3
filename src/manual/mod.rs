//! The long form: how a message travels, what is durable when, what each default is and why.
//!
//! Nothing here is code to be called; each page is a module whose documentation it is.

macro_rules! pages {
    ($($page:ident: $file:literal;)*) => {
        $(
            #[doc = include_str!($file)]
            pub mod $page {}
        )*
    };
}

pages! {
    flow: "flow.md";
    store: "store.md";
    fleet: "fleet.md";
    events: "events.md";
    verdicts: "verdicts.md";
    defaults: "defaults.md";
    security: "security.md";
    deploy: "deploy.md";
    changelog: "changelog.md";
}
