use crate::TimeframeError;

/// The longest period of a study, in bars.
pub(crate) const MOST_PERIOD: u16 = 1_000;

/// A parameter that a study cannot be made with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A number outside of its limits.
    #[error("{name} {value}; expected {least} to {most}")]
    OutOfRange {
        /// What the parameter is called.
        name: &'static str,
        /// What it was.
        value: f64,
        /// The least that is accepted.
        least: f64,
        /// The most that is accepted.
        most: f64,
    },
    /// Two parameters whose order matters.
    #[error("{lesser} {is}; expected less than {greater}, which is {limit}")]
    NotBelow {
        /// The one that must be less.
        lesser: &'static str,
        /// What it was.
        is: f64,
        /// The one that must be greater.
        greater: &'static str,
        /// What that one was.
        limit: f64,
    },
}

/// What is wrong with the id of an indicator or with a timeframe.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such indicator.
    #[error("there is no indicator {text:?}; there are {}", .choices.join(", "))]
    UnknownIndicator {
        /// The name, cut after 32 letters.
        text: String,
        /// The names there are: those that are alike when some are, else all.
        choices: Vec<&'static str>,
    },
    /// A parameter that cannot be read or is outside of its limits.
    #[error("{name} {value:?} of indicator {indicator}; expected {expected}")]
    Parameter {
        /// The name of the indicator.
        indicator: &'static str,
        /// The name of the parameter.
        name: &'static str,
        /// What it was, cut after 32 letters.
        value: String,
        /// What would have been accepted.
        expected: String,
    },
    /// More parameters than the indicator has.
    #[error(
        "{given} parameters of indicator {indicator}; expected {most} at most, as in {example}"
    )]
    TooMany {
        /// The name of the indicator.
        indicator: &'static str,
        /// How many there were.
        given: usize,
        /// How many it has.
        most: usize,
        /// An id with all of them.
        example: String,
    },
    /// `_TV` on an indicator that has one convention only.
    #[error("option TV of indicator {indicator}, which has one convention only; expected none")]
    Option {
        /// The name of the indicator.
        indicator: &'static str,
    },
    /// Parameters that do not go together.
    #[error("indicator {indicator}: {source}")]
    Study {
        /// The name of the indicator.
        indicator: &'static str,
        /// What does not go together.
        source: StudyError,
    },
    /// A timeframe that cannot be read.
    #[error(transparent)]
    Timeframe(#[from] TimeframeError),
}

/// A period of at least `least` bars.
pub(crate) fn period(name: &'static str, value: u16, least: u16) -> Result<u16, StudyError> {
    if (least..=MOST_PERIOD).contains(&value) {
        return Ok(value);
    }
    Err(StudyError::OutOfRange {
        name,
        value: f64::from(value),
        least: f64::from(least),
        most: f64::from(MOST_PERIOD),
    })
}

/// A number between two others; what is not a number is not between them.
pub(crate) fn number(
    name: &'static str,
    value: f64,
    least: f64,
    most: f64,
) -> Result<f64, StudyError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(StudyError::OutOfRange {
        name,
        value,
        least,
        most,
    })
}
