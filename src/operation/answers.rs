//! What operations answer, as JSON Schema. It is made of the types that they print, so that nobody
//! describes them a second time.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Makes the schema of an answer; what it refers to is left with the generator.
pub(crate) type Answer = fn(&mut SchemaGenerator) -> Schema;

/// The schema of what `T` is printed as.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// One of two: which, what was asked for says.
pub(super) struct Or<A, B>(PhantomData<(A, B)>);

impl<A: JsonSchema, B: JsonSchema> JsonSchema for Or<A, B> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}_or_{}", A::schema_name(), B::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [A::json_schema(generator), B::json_schema(generator)] })
    }
}

/// What makes schemas of answers, whose parts lie at `definitions` in the end.
pub(crate) fn generator(definitions: &'static str) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = definitions.into();
    settings.meta_schema = None;
    let settings = settings.with_transform(RecursiveTransform(join_lines));
    settings.into_generator()
}

/// A comment's lines end where the source is full; a description's do not.
pub(crate) fn join_lines(schema: &mut Schema) {
    if let Some(serde_json::Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}
