//! All that the listener answers, as an OpenAPI document (version 3.1). It is made of what the operations
//! and their answers are in the code, so that it says nothing else than they do.

use std::sync::LazyLock;

use http::StatusCode;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::answer::{Document, PROBLEMS};
use super::{handshakes, reload};
use crate::observe::Snapshot;
use crate::operation::{Answer, OFFERED, Offered, Parameter, Role, Takes, generator, of};

/// Where the parts of answers are in it.
const SCHEMAS: &str = "/components/schemas";

/// What is answered beside operations.
struct Page {
    path: &'static str,
    is_post: bool,
    role: Role,
    /// What it is, in a sentence, and more of it.
    about: (&'static str, &'static str),
    parameters: &'static [(&'static str, &'static str)],
    answer: Answer,
}

const PAGES: &[Page] = &[
    Page {
        path: "/handshakes",
        is_post: false,
        role: Role::Viewer,
        about: (
            "Show which TLS handshakes failed at this gateway, why, and what to do",
            "Since it started; moments are seconds since the Unix epoch.",
        ),
        parameters: &[
            ("reason", "Only those that failed for this reason"),
            ("address", "Only those from this IP address"),
        ],
        answer: of::<handshakes::Report>,
    },
    Page {
        path: "/observations",
        is_post: false,
        role: Role::Viewer,
        about: (
            "Show what this gateway would have refused",
            "Only of a gateway that observes; moments are seconds since the Unix epoch.",
        ),
        parameters: &[],
        answer: of::<Snapshot>,
    },
    Page {
        path: "/openapi.json",
        is_post: false,
        role: Role::Viewer,
        about: ("Show this document", ""),
        parameters: &[],
        answer: of::<Map<String, Value>>,
    },
    Page {
        path: "/reload",
        is_post: true,
        role: Role::Admin,
        about: (
            "Make this gateway read its configuration again, and show what changed",
            "It does so by itself within seconds after a file has changed; this waits for it.",
        ),
        parameters: &[],
        answer: of::<reload::Report>,
    },
];

/// The document, which is the same as long as the program runs.
pub(super) static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// Makes the document.
pub(crate) fn document() -> Value {
    let mut schemas = generator(SCHEMAS);
    let mut paths = Map::new();
    for offered in OFFERED {
        let item = operation(*offered, &mut schemas);
        paths.insert(format!("/v1/{}", offered.name), item);
    }
    for one in PAGES {
        paths.insert(one.path.to_owned(), page(one, &mut schemas));
    }
    let problem = schemas.subschema_for::<Document<'_>>();
    let problems = PROBLEMS.map(|(status, what)| {
        let problem = json!({
            "description": what,
            "content": { "application/problem+json": { "schema": problem } },
        });
        (name_of(status), problem)
    });
    let components = json!({
        "schemas": schemas.take_definitions(true),
        "responses": Map::from_iter(problems),
        "parameters": {
            "IdempotencyKey": {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Chosen by whoever asks, another one for each change: when the answer is lost, the same request with the same key is not done a second time, but answered as the first was. Each token has keys of its own. This gateway remembers them for a day, and an answer that holds a secret for ten minutes",
                "schema": { "type": "string", "pattern": "^[!-~]{16,255}$" },
            },
        },
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token that `keyferry token` made, and that [[admin.tokens]] of the configuration knows",
            },
        },
    });
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Keyferry admin API",
            "description": "What the operator's commands do, of one gateway and its store. docs/API.md tells how to use it.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": components,
    })
}

/// An operation: `GET` with its parameters in the query, or `POST` with them in the body.
fn operation(offered: Offered, schemas: &mut SchemaGenerator) -> Value {
    let (summary, rest) = offered.about();
    let parameters = offered.parameters();
    let name: String = { offered.name.split(['/', '-']) }.map(capital).collect();
    let answer = with_notes((offered.answer)(schemas));
    let answer = define(schemas, format!("{name}Answer"), answer);
    let item = json!({
        "operationId": offered.name.replace(['/', '-'], "_"),
        "summary": summary,
        "description": described(&rest, offered.role),
        "tags": offered.words().take(1).collect::<Vec<_>>(),
        "security": [{ "bearer": [offered.role] }],
        "responses": responses(&answer, offered.changes, false),
    });
    if offered.changes {
        let schema = in_body(&parameters);
        let key = json!([{ "$ref": "#/components/parameters/IdempotencyKey" }]);
        let item = with(with(item, "parameters", key), "requestBody", body(&schema));
        return json!({ "post": item });
    }
    let parameters = parameters.iter().map(in_query);
    json!({ "get": with(item, "parameters", parameters.collect()) })
}

fn page(page: &Page, schemas: &mut SchemaGenerator) -> Value {
    let name = page.path.trim_matches('/').replace('.', "_");
    let answer = (page.answer)(schemas);
    let called: String = name.split('_').map(capital).collect();
    let answer = define(schemas, format!("{called}Answer"), answer);
    let parameters = page.parameters.iter();
    let parameters = parameters.map(|(name, help)| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "query", "description": help, "schema": schema })
    });
    let item = json!({
        "operationId": name,
        "summary": page.about.0,
        "description": described(page.about.1, page.role),
        "tags": ["gateway"],
        // Whoever is on the gateway's machine needs none.
        "security": [{ "bearer": [page.role] }, {}],
        "parameters": parameters.collect::<Value>(),
        "responses": responses(&answer, page.is_post, true),
    });
    if page.is_post {
        let empty = json!({ "type": "object", "maxProperties": 0 });
        return json!({ "post": with(item, "requestBody", body(&empty)) });
    }
    json!({ "get": item })
}

/// The object with one more in it.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
    object
}

fn body(schema: &Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

/// The answer, with notes beside it.
fn with_notes(mut answer: Schema) -> Schema {
    let notes = json!({
        "type": "array",
        "items": { "type": "string" },
        "description": "What a reader has to know beside it, when there is something",
    });
    let object = answer.ensure_object();
    let properties = object.remove("properties").unwrap_or_else(|| json!({}));
    object.insert("properties".to_owned(), with(properties, "notes", notes));
    answer
}

/// Keeps `schema` under `name`; gives what refers to it.
fn define(schemas: &mut SchemaGenerator, name: String, schema: Schema) -> Value {
    let reference = json!({ "$ref": format!("#{SCHEMAS}/{name}") });
    schemas.definitions_mut().insert(name, schema.to_value());
    reference
}

fn described(rest: &str, role: Role) -> String {
    let role = role.as_str();
    let rest: Vec<_> = rest.split_whitespace().collect();
    let role = format!("For the role {role} and those above it.");
    match rest.join(" ") {
        rest if rest.is_empty() => role,
        rest => format!("{} {role}", with_stop(&rest)),
    }
}

fn with_stop(text: &str) -> String {
    let ends = text.ends_with(['.', ':', ')']);
    format!("{text}{}", if ends { "" } else { "." })
}

fn responses(answer: &Value, is_post: bool, is_page: bool) -> Value {
    let mut responses = Map::new();
    let body = json!({ "application/json": { "schema": answer } });
    let done = json!({ "description": "Done, or what was found", "content": body });
    responses.insert("200".to_owned(), done);
    for (status, _) in PROBLEMS {
        let is_of_posts = status == StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let is_of_pages = status == StatusCode::MISDIRECTED_REQUEST;
        if (is_of_posts && !is_post) || (is_of_pages && !is_page) {
            continue;
        }
        let to = format!("#/components/responses/{}", name_of(status));
        responses.insert(status.as_str().to_owned(), json!({ "$ref": to }));
    }
    Value::Object(responses)
}

/// `BadRequest` for 400.
fn name_of(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    reason.split(' ').map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

fn in_query(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.help,
        "schema": schema(parameter),
    })
}

fn in_body(parameters: &[Parameter]) -> Value {
    let required = parameters.iter().filter(|one| one.required);
    let required: Vec<_> = required.map(|one| one.name.as_str()).collect();
    let properties = parameters.iter().map(|one| {
        let content = " The content in PEM stands here, not the name of a file.";
        let more = if one.is_content { content } else { "" };
        let described = format!("{}{more}", with_stop(&one.help)).into();
        (
            one.name.clone(),
            with(schema(one), "description", described),
        )
    });
    let schema = json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    if required.is_empty() {
        return schema;
    }
    with(schema, "required", json!(required))
}

fn schema(parameter: &Parameter) -> Value {
    let mut one = if parameter.is_number {
        json!({ "type": "integer", "minimum": 0 })
    } else {
        json!({ "type": "string", "minLength": 1 })
    };
    if !parameter.values.is_empty() {
        one = json!({ "type": "string", "enum": parameter.values });
    }
    if let Some((_, pattern)) = PATTERNS.iter().find(|(kind, _)| *kind == parameter.kind) {
        one = json!({ "type": "string", "pattern": pattern });
    }
    if let Some(default) = &parameter.default {
        let number = default.parse::<u64>().ok().filter(|_| parameter.is_number);
        let default = number.map_or_else(|| json!(default), |number| json!(number));
        one = with(one, "default", default);
    }
    match parameter.takes {
        Takes::Switch => json!({ "type": "boolean", "default": false }),
        Takes::One => one,
        Takes::Several => {
            json!({ "type": "array", "items": one, "minItems": u8::from(parameter.required) })
        }
    }
}

/// What values look like, by what commands call them.
const PATTERNS: &[(&str, &str)] = &[
    ("CLIENT", "^[a-z0-9._-]{1,64}$"),
    ("FINGERPRINT", "^[0-9a-f]{8,64}$"),
    ("ID", "^[a-z0-9._-]{1,64}$"),
    ("KEY_ID", "^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$"),
    ("PATH", "^/[!\"$->@-~]*$"),
    ("SCOPE", "^[A-Za-z0-9._:/-]{1,64}$"),
    ("TAG", "^[a-z0-9._/=-]{1,64}$"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_current() {
        let current = serde_json::to_string_pretty(&*DOCUMENT).unwrap();
        let kept = include_str!("../../docs/openapi.json").trim_end();
        assert!(
            kept == current,
            "docs/openapi.json is old; write it again: make reference"
        );
    }

    #[test]
    fn every_part_has_a_name_of_its_own_and_every_reference_leads_somewhere() {
        let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
        // Of two types with one name, the second gets a number.
        let numbered = |name: &&String| name.ends_with(|c: char| c.is_ascii_digit());
        assert_eq!(schemas.keys().find(numbered), None, "rename one of them");
        let text = DOCUMENT.to_string();
        let mut references = text.split("\"$ref\":\"#").skip(1);
        assert!(references.clone().count() > 100);
        let leads_nowhere = references.find(|rest| {
            let (path, _) = rest.split_once('"').unwrap();
            DOCUMENT.pointer(path).is_none()
        });
        assert_eq!(leads_nowhere, None);
    }

    #[test]
    fn whatever_is_asked_is_explained() {
        for offered in OFFERED {
            let (summary, _) = offered.about();
            assert!(!summary.is_empty(), "{}", offered.name);
            for parameter in offered.parameters() {
                assert!(
                    !parameter.help.is_empty(),
                    "{} {}",
                    offered.name,
                    parameter.name
                );
            }
        }
    }
}
