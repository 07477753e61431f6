//! Customers: the only table with personal data. A change of the data makes a new version, because a request that is sent again
//! must be the same to the byte.

pub mod erase;

use std::collections::BTreeMap;

use super::StoreError;
use super::db::{Rows, Statement, Tx, ids};
use crate::cells;
use crate::clock::Instant;
use crate::row;

/// Who pays, as the merchant tells it. Its `Debug` shows no personal data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewCustomer {
    /// The merchant's own reference.
    pub reference: String,
    /// Personal data.
    pub name: Option<String>,
    /// Personal data.
    pub email: Option<String>,
    /// ISO 3166 alpha-2.
    pub country: String,
}

impl std::fmt::Debug for NewCustomer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewCustomer").field("reference", &self.reference).finish_non_exhaustive()
    }
}

row! {
    CustomerRow { id: i64, reference: String, version: i64, name: Option<String>, email: Option<String>, country: String }
}

row! {
    IdRow { id: i64, reference: String }
}

row! {
    /// What completes a request body.
    pub PersonRow {
        /// Its id.
        id: i64,
        /// Personal data.
        name: Option<String>,
        /// Personal data.
        email: Option<String>,
    }
}

impl Tx {
    /// Makes sure of these customers; the id of each one's current version by its reference.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn know_customers(
        &mut self,
        customers: &[NewCustomer],
        now: Instant,
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        let wanted: BTreeMap<&str, &NewCustomer> = customers.iter().map(|it| (it.reference.as_str(), it)).collect();
        let mut references = Rows::new(&["reference"], "t");
        for reference in wanted.keys() {
            references.push(cells![*reference]);
        }
        let known: Vec<CustomerRow> = self
            .all(
                Statement::new(
                    "SELECT c.id, c.reference, c.version, c.name, c.email, c.country FROM customers c \
                     JOIN {v} ON c.reference = v.reference ORDER BY c.version",
                )
                .rows("v", references),
            )
            .await?;
        let latest: BTreeMap<String, CustomerRow> = known.into_iter().map(|row| (row.reference.clone(), row)).collect();
        let mut found = BTreeMap::new();
        let mut new = Rows::new(&["reference", "version", "name", "email", "country"], "tittt");
        for (reference, customer) in wanted {
            let version = match latest.get(reference) {
                Some(row)
                    if (&row.name, &row.email, &row.country)
                        == (&customer.name, &customer.email, &customer.country) =>
                {
                    found.insert(reference.to_owned(), row.id);
                    continue;
                }
                Some(row) => row.version + 1,
                None => 1,
            };
            new.push(cells![
                reference,
                version,
                customer.name.clone(),
                customer.email.clone(),
                customer.country.clone()
            ]);
        }
        if !new.is_empty() {
            let made: Vec<IdRow> = self
                .all(
                    Statement::new(
                        "INSERT INTO customers (reference, version, name, email, country, created_at) \
                         SELECT v.reference, v.version, v.name, v.email, v.country, $1 FROM {v} \
                         RETURNING id, reference",
                    )
                    .bind(now)
                    .rows("v", new),
                )
                .await?;
            found.extend(made.into_iter().map(|row| (row.reference, row.id)));
        }
        Ok(found)
    }

    /// Name and e-mail of these versions.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn people(&mut self, customer_ids: Vec<i64>) -> Result<BTreeMap<i64, PersonRow>, StoreError> {
        let rows: Vec<PersonRow> = self
            .all(
                Statement::new("SELECT c.id, c.name, c.email FROM customers c JOIN {v} ON c.id = v.id")
                    .rows("v", ids(customer_ids)),
            )
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}
