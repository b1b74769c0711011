//! Who works a provider's referrals by the word of an issuer.

use async_trait::async_trait;

use super::{
    PostgresStore,
    link::Values,
    rows::{self, all, get, moment, shown},
};
use crate::{
    domain::ProviderId,
    store::{COLLEAGUES_MAX, Colleague, ColleagueStore, Store as _, StoreError, counts},
};

const ALL: &str =
    "SELECT * FROM colleague WHERE provider = $1 ORDER BY seen DESC, person COLLATE \"C\", name COLLATE \"C\"";

const NAMES: &str = "SELECT person, name FROM colleague WHERE provider = ANY($1::text[])
    GROUP BY person, name ORDER BY max(seen) DESC, person COLLATE \"C\", name COLLATE \"C\" LIMIT $2";

/// No row is touched twice by one statement: what ends is of other names or providers than what is kept, and what is forgotten is of other
/// people.
const KEEP: &str = "WITH ended AS (UPDATE colleague SET works = false
        WHERE person = $1 AND works AND NOT (name = $2 AND provider = ANY($3::text[]))),
    gone AS (DELETE FROM colleague USING
        (SELECT provider, person, name, row_number() OVER (PARTITION BY provider ORDER BY seen DESC, person, name) AS place
         FROM colleague WHERE provider = ANY($3::text[])) AS old
        WHERE old.person <> $1 AND old.place > $5::bigint - (SELECT count(*) = 0 FROM colleague AS own
            WHERE (own.provider, own.person, own.name) = (old.provider, $1, $2))::int
          AND (colleague.provider, colleague.person, colleague.name) = (old.provider, old.person, old.name))
    INSERT INTO colleague (provider, person, name, since, seen, works)
    SELECT DISTINCT provider, $1, $2, $4::bigint, $4::bigint, true FROM unnest($3::text[]) AS of (provider)
    ON CONFLICT (provider, person, name) DO UPDATE SET seen = excluded.seen, works = true";

#[async_trait]
impl ColleagueStore for PostgresStore {
    async fn keep_colleague(&self, person: &str, name: &str, providers: Vec<ProviderId>) -> Result<(), StoreError> {
        counts::written("keep_colleague");
        let providers: Vec<&str> = providers.iter().map(ProviderId::as_str).collect();
        let (now, most) = (rows::micros(self.now()), rows::limit(COLLEAGUES_MAX));
        let values: Values<'_> = &[&shown(person), &shown(name), &providers, &now, &most];
        self.chores.query(KEEP, values).await?;
        Ok(())
    }

    async fn colleagues(&self, provider: &ProviderId) -> Result<Vec<Colleague>, StoreError> {
        let rows = self.reader().query(ALL, &[&provider.as_str()]).await?;
        all(&rows, |row| {
            Ok(Colleague {
                person: get(row, "person")?,
                name: get(row, "name")?,
                since: moment(row, "since")?,
                seen: moment(row, "seen")?,
                works: get(row, "works")?,
            })
        })
    }

    async fn colleague_names(
        &self,
        providers: Vec<ProviderId>,
        most: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let providers: Vec<&str> = providers.iter().map(ProviderId::as_str).collect();
        let rows = self.reader().query(NAMES, &[&providers, &rows::limit(most)]).await?;
        all(&rows, |row| Ok((get(row, "person")?, get(row, "name")?)))
    }
}
