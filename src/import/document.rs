//! Documents in YAML and JSON, as trees whose nodes know their lines.
//!
//! They are held whole, unlike files of lines, and so have a largest size.

use std::io::{self, BufRead, Read as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::{Sink, Why};

/// The largest document.
const LARGEST: u64 = 256 << 20;

/// A part of a document.
#[derive(Debug)]
pub(super) struct Node(Spanned<Value>);

#[derive(Debug)]
enum Value {
    /// Text, or a number that is written in plain decimal digits.
    Scalar(Box<str>),
    /// A truth value or a number, in one form for all in which it can be written.
    Odd(Box<str>),
    List(Vec<Node>),
    Map(Vec<(Box<str>, Node)>),
    Nothing,
}

/// Reads the documents of a file, and hands each to `each`.
pub(super) fn read(
    input: &mut dyn BufRead,
    each: &dyn Fn(&Node, Sink<'_>),
    sink: Sink<'_>,
) -> io::Result<u32> {
    let mut text = String::new();
    match input
        .take(LARGEST.saturating_add(1))
        .read_to_string(&mut text)
    {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            sink(1, Why::File("it is not UTF-8").into());
            return Ok(1);
        }
        Err(error) => return Err(error),
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    if text.len() as u64 > LARGEST {
        sink(
            lines,
            Why::File("it is larger than 256 MiB; split it").into(),
        );
        return Ok(lines);
    }
    match serde_saphyr::from_multiple_with_options::<Node>(text, options()) {
        Ok(mut documents) => {
            for document in &mut documents {
                document.settle(text);
                each(document, sink);
            }
        }
        // What the error says repeats what stands there.
        Err(error) => {
            let line = error
                .location()
                .map_or(1, |location| number(location.line()));
            sink(
                line,
                Why::File("it is neither YAML nor JSON, or a key stands twice").into(),
            );
        }
    }
    Ok(lines)
}

/// No more than the file is long, except what little an alias repeats.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

fn number(line: impl TryInto<u32>) -> u32 {
    line.try_into().unwrap_or(u32::MAX)
}

impl Node {
    /// Makes text of the numbers that stand in `source` as they read.
    fn settle(&mut self, source: &str) {
        let span = self.0.defined.span();
        match &mut self.0.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.settle(source)),
            Value::Map(pairs) => {
                for (_, node) in pairs {
                    node.settle(source);
                }
            }
            Value::Odd(value) => {
                let place = |at: Option<u64>| usize::try_from(at?).ok();
                let from = place(span.byte_offset());
                let rest = from.and_then(|from| source.get(from..));
                let length = place(span.byte_len());
                let written = rest.and_then(|rest| rest.get(..length?));
                let is_plain = value.bytes().all(|b| b.is_ascii_digit());
                if is_plain && written == Some(&**value) {
                    self.0.value = Value::Scalar(std::mem::take(value));
                }
            }
            Value::Scalar(_) | Value::Nothing => {}
        }
    }

    /// The line in which it begins.
    pub(super) fn line(&self) -> u32 {
        number(self.0.referenced.line())
    }

    /// The text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.0.value {
            Value::Scalar(text) | Value::Odd(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null, or left out.
    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self.0.value, Value::Nothing)
    }

    /// What `name` calls somebody, where it is there and not empty.
    ///
    /// # Errors
    ///
    /// Where it is no text: two who are called apart could become one (`0x1F` and `31`, `yes` and `on`).
    pub(super) fn name_of(&self, name: &str) -> Result<Option<&str>, Why> {
        match self.get(name).map(|node| &node.0.value) {
            None | Some(Value::Nothing) => Ok(None),
            Some(Value::Scalar(text)) => Ok((!text.is_empty()).then_some(text)),
            Some(Value::Odd(_) | Value::List(_) | Value::Map(_)) => Err(Why::Syntax(
                "a name is no text but a number or a truth value; write it in quotes",
            )),
        }
    }

    /// What is listed; nothing where it is no list.
    pub(super) fn items(&self) -> &[Self] {
        match &self.0.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The names of a map and what they stand for; nothing where it is none.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &Self)> {
        let pairs = match &self.0.value {
            Value::Map(pairs) => pairs.as_slice(),
            _ => &[],
        };
        pairs.iter().map(|(name, node)| (&**name, node))
    }

    /// What `name` stands for in a map.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let mut pairs = self.pairs();
        pairs.find_map(|(found, node)| (found == name).then_some(node))
    }

    /// The text that `name` stands for.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    /// Whether `name` stands for true.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text_of(name) == Some("true")
    }

    /// Whether `name` stands for anything else than true.
    pub(super) fn is_other_than_true(&self, name: &str) -> bool {
        self.get(name).is_some() && !self.is_true(name)
    }

    /// What is listed under `name`.
    pub(super) fn list(&self, name: &str) -> &[Self] {
        self.get(name).map_or(&[], Self::items)
    }

    /// Calls `each` with every map within, outer ones first.
    pub(super) fn each_map(&self, each: &mut dyn FnMut(&Self)) {
        self.each_map_while(&mut |map| {
            each(map);
            true
        });
    }

    /// The same, but passes over all that is within a map for which `each` gives false.
    pub(super) fn each_map_while(&self, each: &mut dyn FnMut(&Self) -> bool) {
        match &self.0.value {
            Value::List(items) => {
                for item in items {
                    item.each_map_while(each);
                }
            }
            Value::Map(pairs) => {
                if each(self) {
                    for (_, node) in pairs {
                        node.each_map_while(each);
                    }
                }
            }
            Value::Scalar(_) | Value::Odd(_) | Value::Nothing => {}
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Odd(if value { "true" } else { "false" }.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Odd(value.to_string().into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Odd(value.to_string().into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Odd(value.to_string().into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Odd(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Odd(value.to_string().into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Value::Map(pairs))
    }
}
