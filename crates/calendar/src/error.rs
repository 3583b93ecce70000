use jiff::civil::Date;

use crate::Class;

/// What is wrong with the text of a calendar.
///
/// The text has no name of its own here: who read it from a file puts the file's
/// name in front. Entries are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not TOML.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// What the parser of TOML says, in one line.
        message: String,
    },
    /// A key that nobody reads: a spelling mistake would otherwise go unnoticed.
    #[error("{place}: unknown key `{key}`, expected {expected}")]
    UnknownKey {
        /// The table or entry, as `holidays 2, days 3`.
        place: String,
        /// The key, cut to 64 characters.
        key: String,
        /// The keys that are known there.
        expected: String,
    },
    /// A key that must be there is not.
    #[error("{place}: `{key}` is missing, expected {expected}")]
    Missing {
        /// The table or entry.
        place: String,
        /// The key.
        key: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A value that is not what belongs there.
    #[error("{place}: {found} is not {expected}")]
    Value {
        /// The table, entry and field.
        place: String,
        /// The value, cut to 64 characters.
        found: String,
        /// What would have been accepted.
        expected: String,
    },
    /// The phases of a day do not follow each other.
    #[error("{place}: {reason}")]
    Phases {
        /// The table, entry and field.
        place: String,
        /// What is wrong, and what would have been accepted.
        reason: String,
    },
    /// The same text says something twice.
    #[error("{place}: {what} is already given in this file, expected it once")]
    Twice {
        /// The second table, entry and field.
        place: String,
        /// What is given twice.
        what: String,
    },
    /// A holiday closes half of a day of which nobody said where the halves meet.
    #[error(
        "holiday {date} of {class} closes the {half}, but the sessions of {class} on that day \
         have no `evening_from`, expected one in their [[sessions]] entry"
    )]
    NoHalves {
        /// The class of the holiday.
        class: Class,
        /// The day of the holiday.
        date: Date,
        /// `morning` or `evening`.
        half: &'static str,
    },
}
