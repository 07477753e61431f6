//! The effective values, each with its origin, for `dues check --show`. Secrets are masked here.

use config::{Map, Value, ValueKind};

use super::layers::BUILT_IN;
use super::section::origin;

/// One key, the value it has in the end, and where that value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The dotted key.
    pub key: String,
    /// The value as it is written there, with the password of an address masked.
    pub value_shown: String,
    /// A file, the name of a variable, `--set KEY`, `built-in` or `built-in preset NAME`.
    pub origin: String,
}

/// All values of the tree, in the order of their keys.
pub(super) fn effective(tree: &Map<String, Value>) -> Vec<Effective> {
    let mut values = Vec::new();
    flatten("", tree, &mut values);
    values
}

/// Where a key stands.
pub(super) fn origin_of(values: &[Effective], key: &str) -> String {
    let found = values.iter().find(|value| value.key == key);
    found.map_or_else(|| BUILT_IN.to_owned(), |value| value.origin.clone())
}

fn flatten(path: &str, table: &Map<String, Value>, values: &mut Vec<Effective>) {
    let mut keys: Vec<&String> = table.keys().collect();
    keys.sort_unstable();
    for name in keys {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let value = &table[name];
        match &value.kind {
            ValueKind::Table(inner) => flatten(&key, inner, values),
            ValueKind::String(url) if key == "database.url" => {
                values.push(Effective { key, value_shown: format!("{:?}", masked(url)), origin: origin(Some(value)) });
            }
            _ => {
                let value_shown = written(value).unwrap_or_else(|| "(hidden)".to_owned());
                values.push(Effective { key, value_shown, origin: origin(Some(value)) });
            }
        }
    }
}

/// Whether a text may be a secret key that strayed into the wrong place.
pub(super) fn looks_like_a_key(text: &str) -> bool {
    text.contains("sk_")
}

/// The value as a file has it; none where it looks like a secret key that strayed into the wrong place.
pub(super) fn written(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::String(text) if looks_like_a_key(text) => None,
        ValueKind::String(text) => Some(format!("{text:?}")),
        ValueKind::Array(items) => {
            items.iter().map(written).collect::<Option<Vec<_>>>().map(|items| format!("[{}]", items.join(", ")))
        }
        ValueKind::Table(_) => Some("{…}".to_owned()),
        ValueKind::Nil => Some("a date".to_owned()),
        // With its point, which is what is wrong with it.
        ValueKind::Float(number) => Some(format!("{number:?}")),
        other => Some(other.to_string()),
    }
}

/// The address of a database without its password. A password may hold any character, so rather too much is masked than too little.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (before_query, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    // A question mark inside a password would end the address too early: then the last @ stands in the query.
    if query.is_some_and(|query| query.contains('@')) {
        return format!("{scheme}://***");
    }
    let mut shown = match before_query.rsplit_once('@') {
        Some((who, place)) => match who.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:***@{place}"),
            None => format!("{scheme}://{who}@{place}"),
        },
        None => format!("{scheme}://{before_query}"),
    };
    if let Some(query) = query {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=***"),
            _ => pair.to_owned(),
        });
        shown.push('?');
        shown.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_address_is_shown_without_its_password() {
        for (url, shown) in [
            ("sqlite:/var/lib/dues/dues.db", "sqlite:/var/lib/dues/dues.db"),
            ("postgres://dues@db/dues", "postgres://dues@db/dues"),
            ("postgres://dues:geheim@db:5432/dues?sslmode=require", "postgres://dues:***@db:5432/dues?sslmode=require"),
            ("postgres://dues:ge@he/im@db/dues", "postgres://dues:***@db/dues"),
            ("postgres://dues:ge?heim@db/dues", "postgres://***"),
            ("postgres:///dues?host=/run&password=geheim", "postgres:///dues?host=/run&password=***"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }
}
