//! Where a message goes: the mail exchangers of a domain, or the route that the user configured.

mod mx;
mod resolver;

pub(crate) use mx::{Candidate, Exchangers, candidates, exchangers};
pub(crate) use resolver::{DnsError, Mx, Resolver};
