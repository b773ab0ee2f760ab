mod conformance;
mod differential;
mod foreign;
mod healing;
mod support;
