//! Releases of Linux, as people and `uname -r` write them.

use execmem_sim::policy::Release;

/// Major and minor number of `6.1`, `6.12.95+deb12-amd64` or the like. `None` if it does not begin so.
pub(crate) fn release_of(text: &str) -> Option<Release> {
    let (major, rest) = text.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The same for an argument, with an error.
pub(crate) fn parse_release(text: &str) -> Result<Release, String> {
    release_of(text).ok_or(format!("`{text}` is no release of Linux, as 6.1 or what `uname -r` says"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_are_read_from_what_uname_says() {
        assert_eq!(release_of("6.1"), Some((6, 1)));
        assert_eq!(release_of("6.12.95+deb12-amd64"), Some((6, 12)));
        assert_eq!(release_of("7.2-rc1"), Some((7, 2)));
        assert_eq!((release_of("6"), release_of("x.1"), release_of("6.x")), (None, None, None));
        assert!(parse_release("six").is_err());
    }
}
