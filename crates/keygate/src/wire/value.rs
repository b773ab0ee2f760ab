use std::{
    any::Any,
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

/// The value of a header field: visible ASCII. Reads as a `str`.
#[derive(Clone)]
pub struct FieldValue(Text);

#[derive(Clone)]
enum Text {
    Own(String),
    Shared(Arc<Shared>),
}

/// A text that is the same for many responses.
struct Shared {
    text: Box<str>,
    /// What an adapter made of it.
    made: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl FieldValue {
    /// A value that is cheap to clone, and turned into a framework's type once.
    pub(super) fn shared(text: String) -> Self {
        Self(Text::Shared(Arc::new(Shared { text: text.into(), made: OnceLock::new() })))
    }

    /// The value in a framework's own type, which is kept where the text is shared and cloned from
    /// then on. `make` is pure: what it makes of a text stands for all the others.
    ///
    /// ```
    /// # use keygate::wire::FieldValue;
    /// let value = FieldValue::from("burst".to_owned());
    /// assert_eq!(value.into_made(String::into_bytes), b"burst");
    /// ```
    pub fn into_made<T: Clone + Send + Sync + 'static>(self, make: impl FnOnce(String) -> T) -> T {
        let shared = match self.0 {
            Text::Own(text) => return make(text),
            Text::Shared(shared) => shared,
        };
        if let Some(made) = shared.made.get().and_then(|made| made.downcast_ref::<T>()) {
            return made.clone();
        }
        let made = make(String::from(&*shared.text));
        // Where two frameworks share a gate the first is remembered.
        let _ = shared.made.set(Box::new(made.clone()));
        made
    }
}

impl Deref for FieldValue {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Own(text) => text,
            Text::Shared(shared) => &shared.text,
        }
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self(Text::Own(text))
    }
}

impl PartialEq for FieldValue {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for FieldValue {}

impl fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_of_a_shared_value_is_kept_for_the_type_that_came_first() {
        let value = FieldValue::shared("a".to_owned());
        assert_eq!(value.clone().into_made(String::into_bytes), b"a");
        assert_eq!(value.clone().into_made(|_| b"made anew".to_vec()), b"a");
        assert_eq!(value.clone().into_made(|text| text.len()), 1);
        assert_eq!(value.into_made(|text| text + "b"), "ab");
    }

    #[test]
    fn a_value_of_its_own_is_handed_over_as_it_is() {
        let text = String::from("burst");
        let place = text.as_ptr();
        let made = FieldValue::from(text).into_made(|text| text);
        assert_eq!(made.as_ptr(), place);
    }
}
