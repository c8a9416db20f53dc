//! Whole lives of the model's nouns, explored.

mod rotation;
