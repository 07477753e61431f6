//! A JSON object read field by field: each known one is taken out with its type checked, and what is left over was not known.

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::exchange::Refusal;

/// What is left of an object.
#[derive(Debug)]
pub(super) struct Fields {
    name: &'static str,
    left: Map<String, Value>,
}

impl Fields {
    /// A request's body; an empty one is an empty object.
    pub(super) fn of_body(body: &[u8]) -> Result<Fields, Refusal> {
        if body.is_empty() {
            return Ok(Fields { name: "", left: Map::new() });
        }
        let left = serde_json::from_slice(body).map_err(|_| Refusal::invalid("request_body_malformed"))?;
        Ok(Fields { name: "", left })
    }

    /// Takes a field; `null` is as good as absent.
    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        field: &str,
        otherwise: &'static str,
    ) -> Result<Option<T>, Refusal> {
        match self.left.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(|_| Refusal::invalid(otherwise)),
        }
    }

    /// Takes a text of at most `longest` characters.
    pub(super) fn take_text(
        &mut self,
        field: &str,
        longest: usize,
        otherwise: &'static str,
    ) -> Result<Option<String>, Refusal> {
        let text: Option<String> = self.take(field, otherwise)?;
        match text {
            Some(text) if text.chars().count() > longest => Err(Refusal::invalid(otherwise)),
            text => Ok(text),
        }
    }

    /// Takes a URL that a browser can be sent to.
    pub(super) fn take_url(&mut self, field: &str, otherwise: &'static str) -> Result<Option<String>, Refusal> {
        match self.take_text(field, 1024, otherwise)? {
            Some(url) if !is_url(&url) => Err(Refusal::invalid(otherwise)),
            url => Ok(url),
        }
    }

    /// Takes an object; an absent one is empty.
    pub(super) fn take_object(&mut self, field: &'static str, otherwise: &'static str) -> Result<Fields, Refusal> {
        let left = self.take(field, otherwise)?.unwrap_or_default();
        Ok(Fields { name: field, left })
    }

    /// Takes an object without reading it, to be shown again as it came.
    pub(super) fn take_echo<T: DeserializeOwned + Into<Value>>(
        &mut self,
        field: &str,
        otherwise: &'static str,
    ) -> Result<Option<Value>, Refusal> {
        Ok(self.take::<T>(field, otherwise)?.map(Into::into))
    }

    /// Notes the names of what was left over.
    pub(super) fn note_left(self, unknown: &mut Vec<String>) {
        let name = self.name;
        let left = self.left.into_iter().filter(|(_, value)| !value.is_null());
        unknown.extend(left.map(|(field, _)| match name {
            "" => field,
            _ => format!("{name}.{field}"),
        }));
    }
}

/// Whether `text` is `prefix` and so many letters, digits or underscores.
pub(super) fn is_id(text: &str, prefix: &str, length: RangeInclusive<usize>) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        length.contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
