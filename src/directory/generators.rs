//! Valid documents.
