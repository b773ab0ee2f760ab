mod conformance;
mod differential;
mod edits;
mod foreign;
mod healing;
mod migration;
mod support;
