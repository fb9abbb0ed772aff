//! What is wrong, where, and what to write.
