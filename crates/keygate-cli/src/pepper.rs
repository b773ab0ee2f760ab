//! How keys are digested here: as in the services, or they would never find them.

use std::{env, ffi::OsString, fs};

use keygate::key::{DigestScheme, Digester, Pepper};

use crate::error::Failure;

const FILE: &str = "KEYGATE_PEPPER_FILE";
const TEXT: &str = "KEYGATE_PEPPER";
const VERSION: &str = "KEYGATE_PEPPER_VERSION";

/// The digester that the environment asks for: plain SHA-256 without a pepper.
///
/// A pepper comes from a file or from the environment. An argument would show in `ps`.
pub(crate) fn digester() -> Result<Digester, Failure> {
    let [file, text, number] = [FILE, TEXT, VERSION].map(given);
    let secret = match (file, text) {
        (Some(_), Some(_)) => {
            return Err(usage(format_args!("{FILE} and {TEXT} are both set; unset one of them")));
        }
        (Some(path), None) => from_file(path)?,
        (None, Some(text)) => text.into_encoded_bytes(),
        (None, None) if number.is_some() => {
            return Err(usage(format_args!("{VERSION} is set without a pepper; set {FILE} too")));
        }
        (None, None) => return Ok(Digester::sha256()),
    };
    let pepper = Pepper::new(version(number)?, secret);
    pepper.map(Digester::peppered).map_err(|error| usage(format_args!("{FILE} or {TEXT}: {error}")))
}

/// The scheme that a digester issues keys under.
pub(crate) fn scheme(digester: &Digester) -> DigestScheme {
    digester.digest(b"").scheme()
}

/// A variable that is set; an empty one is not.
fn given(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}

fn version(given: Option<OsString>) -> Result<u16, Failure> {
    let Some(given) = given else { return Ok(1) };
    let version = given.to_str().and_then(|text| text.parse().ok());
    version.ok_or_else(|| usage(format_args!("{VERSION} is no number from 1 to 65535")))
}

fn from_file(path: OsString) -> Result<Vec<u8>, Failure> {
    let secret = fs::read(path);
    let secret =
        secret.map_err(|error| usage(format_args!("{FILE}: the file cannot be read: {error}")))?;
    Ok(without_line_end(secret))
}

/// A line end after a text is the editor's; after other bytes it is one of them.
fn without_line_end(mut secret: Vec<u8>) -> Vec<u8> {
    if let Ok(text) = str::from_utf8(&secret) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        secret.truncate(text.strip_suffix('\r').unwrap_or(text).len());
    }
    secret
}

fn usage(message: std::fmt::Arguments<'_>) -> Failure {
    Failure::Usage(message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_loses_its_line_end_and_bytes_lose_nothing() {
        let kept = |bytes: &[u8]| without_line_end(bytes.to_vec());
        assert_eq!(kept(b"secret"), b"secret");
        assert_eq!(kept(b"secret\n"), b"secret");
        assert_eq!(kept(b"secret\r\n"), b"secret");
        assert_eq!(kept(b"secret\n\n"), b"secret\n");
        assert_eq!(kept(b"\xFF\n"), b"\xFF\n");
    }

    #[test]
    fn a_version_counts_from_one() {
        assert_eq!(version(None).unwrap(), 1);
        assert_eq!(version(Some("7".into())).unwrap(), 7);
        assert!(version(Some("v7".into())).is_err());
    }
}
