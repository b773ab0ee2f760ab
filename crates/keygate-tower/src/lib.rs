//! keygate as a tower layer.
