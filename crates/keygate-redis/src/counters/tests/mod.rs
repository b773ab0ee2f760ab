mod conformance;
mod differential;
mod edits;
mod foreign;
mod healing;
mod many;
mod migration;
mod support;
