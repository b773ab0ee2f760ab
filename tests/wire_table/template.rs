use std::ops::RangeInclusive;

/// A text in which `{3590-3600}` stands for any whole number from the first to the second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template<'t>(pub(crate) &'t str);

impl Template<'_> {
    /// Whether a text is one of those that this stands for.
    pub(crate) fn fits(self, text: &str) -> bool {
        let Some((start, range, rest)) = self.split() else { return self.0 == text };
        let Some(text) = text.strip_prefix(start) else { return false };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, text) = text.split_at(digits);
        number.parse().is_ok_and(|number| range.contains(&number)) && Template(rest).fits(text)
    }

    /// What stands before the first range, the range, and what follows it.
    fn split(&self) -> Option<(&str, RangeInclusive<u64>, &str)> {
        let (start, rest) = self.0.split_once('{')?;
        let (range, rest) = rest.split_once('}')?;
        let (first, last) = range.split_once('-')?;
        Some((start, first.parse().ok()?..=last.parse().ok()?, rest))
    }
}

#[test]
fn a_template_fits_numbers_of_its_ranges_and_nothing_else() {
    let template = Template("\"a\";t={9-11}, \"b\";t={0-0}");
    for text in ["\"a\";t=9, \"b\";t=0", "\"a\";t=11, \"b\";t=0"] {
        assert!(template.fits(text), "{text}");
    }
    for text in ["", "\"a\";t=8, \"b\";t=0", "\"a\";t=12, \"b\";t=0", "\"a\";t=, \"b\";t=0"] {
        assert!(!template.fits(text), "{text}");
    }
    assert!(!template.fits("\"a\";t=9, \"b\";t=0 "));
    assert!(Template("{a}").fits("{a}") && !Template("{a}").fits("1"));
}
