//! The anti-corruption layer against Salla's published examples, against hand-made
//! oddities and against chance.

#![expect(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod classification;
mod envelopes;
mod oddities;
mod orders;
mod proptests;
mod published;
mod published_errors;
mod webhooks;
