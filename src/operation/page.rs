//! Long lists, in parts.

use std::str::FromStr;

use super::{Failure, Out};

/// Which part of a list.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Page {
    /// At most so many [default: all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only those after this one: what the part before said under `next`
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    after: Option<String>,
}

impl Page {
    /// How many are still asked for after so many, where that has a limit.
    pub(super) fn left(&self, after: usize) -> Option<u32> {
        let after = u32::try_from(after).unwrap_or(u32::MAX);
        self.limit.map(|limit| limit.saturating_sub(after))
    }

    /// The same, of no more than `most`.
    pub(super) fn at_most(&self, most: u32) -> Self {
        Self {
            limit: Some(self.limit.map_or(most, |limit| limit.min(most))),
            after: self.after.clone(),
        }
    }

    /// The part of `all` that is asked for, and after which of them the next part begins, if there is one.
    /// They come in the order of their names, so nobody is left out or told twice who was there all along.
    pub(super) fn of<K, T>(
        &self,
        all: impl IntoIterator<Item = (K, T)>,
    ) -> Result<(Vec<T>, Option<String>), Failure>
    where
        K: FromStr + Ord + ToString,
    {
        let after = self.after.as_deref().map(|name| {
            let key = name.parse::<K>();
            key.map_err(|_| {
                Failure::Usage(format!(
                    "--after {name:?} is nothing that was said under next"
                ))
            })
        });
        let after = after.transpose()?;
        let all = all.into_iter();
        let mut rest = all.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok());
        let Some(limit) = limit else {
            return Ok((rest.map(|(_, one)| one).collect(), None));
        };
        let (mut part, mut last) = (Vec::new(), None);
        for (key, one) in rest.by_ref().take(limit) {
            part.push(one);
            last = Some(key);
        }
        let is_more = rest.next().is_some();
        Ok((part, last.filter(|_| is_more).map(|key| key.to_string())))
    }
}

/// Tells people how to get the next part.
pub(super) fn tell_next(next: Option<&str>, out: &mut Out) {
    if let (Some(next), false) = (next, out.is_json()) {
        out.note(format!("there are more: the same with --after {next}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_list_are_the_whole_of_it() {
        let all = || (0..10_u32).map(|number| (number, number));
        for limit in 1..=11 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = Page {
                    limit: Some(limit),
                    after,
                };
                let (part, next) = page.of(all()).unwrap();
                assert!(part.len() <= usize::try_from(limit).unwrap());
                seen.extend(part);
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, (0..10).collect::<Vec<_>>(), "{limit}");
        }
        let page = |after: &str| Page {
            limit: None,
            after: Some(after.to_owned()),
        };
        assert_eq!(page("7").of(all()).unwrap().0, [8, 9]);
        assert!(matches!(page("x").of(all()), Err(Failure::Usage(_))));
    }
}
