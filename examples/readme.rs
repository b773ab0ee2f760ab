//! Compiles the programs that the documentation shows, so that they stay true.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/openapi.md")]
struct OpenApi;
