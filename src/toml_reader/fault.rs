//! One thing that is wrong with a file, told so that the person who wrote it can put it right.

use std::fmt;

use serde::Serialize;

/// What is wrong and where. Never holds the text of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file as it was named, `environment` or `command line`.
    pub file: String,
    /// The line, from 1; 0 where the file as a whole, or the environment, is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 where there is no line.
    pub column: usize,
    /// The key, such as `system[0].ods-code`, or the name of the environment variable or option; may be empty.
    pub key: String,
    /// What was found and what is allowed.
    pub message: String,
}

// === impl Fault ===

impl Fault {
    /// A fault of a file as a whole, such as one that cannot be read.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, key: String::new(), message: message.into() }
    }

    /// What is wrong, and, where it says so, what is allowed or needed, with that word.
    pub fn divided(&self) -> (&str, Option<String>) {
        for word in ["allowed", "needed"] {
            if let Some((wrong, right)) = self.message.split_once(&format!("; {word}: ")) {
                return (wrong, Some(format!("{word}: {right}")));
            }
        }
        (&self.message, None)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        match self.key.as_str() {
            "" => write!(f, ": {}", self.message),
            key => write!(f, " {key}: {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}
