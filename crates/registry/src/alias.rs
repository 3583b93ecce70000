/// The names by which each index is known: to the master as an index, to the master
/// as an underlying of contracts, and to people.
///
/// This is the whole table; the front page of the crate shows it too.
const GROUPS: [&[&str]; 8] = [
    &["NIFTY", "NIFTY 50", "NIFTY50"],
    &["BANKNIFTY", "NIFTY BANK", "NIFTYBANK", "BANK NIFTY"],
    &[
        "FINNIFTY",
        "NIFTY FIN SERVICE",
        "NIFTY FINANCIAL SERVICES",
        "FIN NIFTY",
    ],
    &[
        "MIDCPNIFTY",
        "NIFTY MID SELECT",
        "NIFTY MIDCAP SELECT",
        "MIDCAPNIFTY",
    ],
    &["NIFTYNXT50", "NIFTY NEXT 50", "NIFTYNEXT50"],
    &["SENSEX", "BSE SENSEX", "S&P BSE SENSEX"],
    &["BANKEX", "BSE BANKEX", "S&P BSE BANKEX"],
    &["SENSEX50", "SNSX50", "SENSEX 50", "BSE SENSEX 50"],
];

/// All names of the index that `name` is a name of; empty when it is none's.
pub(crate) fn names(name: &str) -> &'static [&'static str] {
    GROUPS
        .into_iter()
        .find(|group| group.iter().any(|alias| alias.eq_ignore_ascii_case(name)))
        .unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_in_two_groups() {
        for group in GROUPS {
            for name in group {
                assert_eq!(names(&name.to_lowercase()), group);
            }
        }
        assert!(names("RELIANCE").is_empty());
    }
}
