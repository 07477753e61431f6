//! What a file calls its columns: our names, or its own, each told by `--map THEIRS=ours`.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::columns::{self, IGNORED, REASON};

/// One `THEIRS=ours`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The name in the file.
    theirs: String,
    /// Our column, or [`IGNORED`].
    ours: &'static str,
}

impl FromStr for Renamed {
    type Err = String;

    /// Reads `THEIRS=ours`. Theirs may hold an equals sign, ours never does.
    fn from_str(text: &str) -> Result<Self, String> {
        let (theirs, ours) = text.rsplit_once('=').ok_or("it has the form THEIRS=ours")?;
        let (theirs, ours) = (theirs.trim(), ours.trim());
        if theirs.is_empty() {
            return Err("there is no name before the equals sign".to_owned());
        }
        if theirs == REASON || ours == REASON {
            return Err(format!("{REASON} is what a rejects file adds, and has no other name"));
        }
        let column = if ours == IGNORED { Some(IGNORED) } else { columns::known(ours) };
        let ours = column.ok_or_else(|| format!("{}; {}", columns::unknown(ours, 1), columns::targets()))?;
        Ok(Renamed { theirs: theirs.to_owned(), ours })
    }
}

/// All columns that are called otherwise.
#[derive(Debug, Clone, Default)]
pub struct Mapping(BTreeMap<String, &'static str>);

impl Mapping {
    /// A mapping of these.
    ///
    /// # Errors
    /// Where one name is mapped twice, or two are mapped onto one column.
    pub fn new(renamed: impl IntoIterator<Item = Renamed>) -> Result<Mapping, String> {
        let mut mapping = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for Renamed { theirs, ours } in renamed {
            if ours != IGNORED && !taken.insert(ours) {
                return Err(format!("two columns are mapped onto {ours}"));
            }
            if mapping.contains_key(&theirs) {
                return Err(format!("{theirs} is mapped twice"));
            }
            mapping.insert(theirs, ours);
        }
        Ok(Mapping(mapping))
    }

    /// Whether every column has our name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Our column of that name in the file.
    pub fn column(&self, name: &str) -> Option<&'static str> {
        self.0.get(name).copied().or_else(|| columns::known(name))
    }

    /// What is wrong with a file or an object that has these names: those that are mapped and are not there, and two that are one
    /// column.
    pub fn faults<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut first: BTreeMap<&str, &str> = BTreeMap::new();
        let mut absent: BTreeSet<&str> = self.0.keys().map(String::as_str).collect();
        for name in names {
            absent.remove(name);
            let Some(column) = self.column(name).filter(|column| *column != IGNORED) else { continue };
            match first.insert(column, name) {
                None => {}
                Some(other) if other == name => faults.push(format!("{name} stands there twice")),
                Some(other) => faults.push(format!("{other} and {name} are both {column}")),
            }
        }
        faults.extend(absent.into_iter().map(|name| format!("{name}, which --map names, is not there")));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_maps_nothing_is_refused_with_its_reason() {
        for (text, why) in [
            ("plan", "it has the form THEIRS=ours"),
            (" =plan", "there is no name before the equals sign"),
            ("Note=reason", "reason is what a rejects file adds, and has no other name"),
            ("reason=plan", "reason is what a rejects file adds, and has no other name"),
            ("Tariff=plans", "plans is no column; did you mean plan?; "),
            ("Tariff=", "the name of column 1 is none; "),
        ] {
            let refused = text.parse::<Renamed>().unwrap_err();
            assert!(refused.starts_with(why), "{text}: {refused}");
        }
        let parsed = |texts: &[&str]| Mapping::new(texts.iter().map(|text| text.parse().unwrap()));
        assert_eq!(parsed(&["A=plan", "B=plan"]).unwrap_err(), "two columns are mapped onto plan");
        assert_eq!(parsed(&["A=plan", "A=country"]).unwrap_err(), "A is mapped twice");
        assert_eq!(parsed(&["a=b=plan", "C=-", "D=-"]).unwrap().column("a=b"), Some("plan"));
    }
}
