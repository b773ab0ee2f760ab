//! Compiles the program that the README shows, so that it stays true.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
