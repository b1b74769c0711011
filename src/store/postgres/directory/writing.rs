//! Calls that write the directory, in groups. A group holds the lock of the directory's head from before it looks at anything to its
//! commit: replicas write one after another, and a revision is never seen before a smaller one.

use std::collections::HashMap;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    super::{
        batch::{self, Broken, Statement},
        link::{Conn, Failure, Link},
        queue::{Call, Writer},
        rows::{big, get, micros, number, parse, shown},
        steps::roll_back,
        time::Time,
    },
    plan::Plan,
    proposal,
};
use crate::store::{
    Decision, DirectoryEntry, DirectoryError, DirectoryRewrite, DirectoryWrite, NewProposal, Proposal, StoreError,
};

/// What is asked.
#[derive(Debug)]
pub(in super::super) enum Asked {
    Write(Vec<DirectoryWrite>),
    Propose(Box<NewProposal>),
    Decide(Box<(Uuid, Decision, Option<DirectoryWrite>)>),
    Rewrite(Box<DirectoryRewrite>),
}

/// What is answered.
#[derive(Debug)]
pub(in super::super) enum Written {
    Entries(Result<Vec<DirectoryEntry>, DirectoryError>),
    Proposed(Result<Box<Proposal>, DirectoryError>),
    Decided(Result<Box<(Proposal, Option<DirectoryEntry>)>, DirectoryError>),
}

/// Writes groups of calls.
pub(in super::super) struct Writing {
    pub link: Link,
    pub time: Time,
}

impl Asked {
    fn writes(&self) -> &[DirectoryWrite] {
        match self {
            Self::Write(writes) => writes,
            Self::Propose(_) => &[],
            Self::Decide(asked) => asked.2.as_slice(),
            Self::Rewrite(asked) => std::slice::from_ref(&asked.write),
        }
    }
}

impl Writer for Writing {
    type Asked = Asked;
    type Answer = Written;

    fn weight(asked: &Asked) -> usize {
        let proposed = match asked {
            Asked::Propose(new) => new.body.len(),
            Asked::Rewrite(asked) => {
                let versions = asked.versions.iter().map(|(_, body)| body.len());
                versions.chain(asked.proposals.iter().map(|(_, body)| body.len())).sum()
            }
            Asked::Write(_) | Asked::Decide(_) => 0,
        };
        asked.writes().iter().map(|write| write.body.len() + 256).sum::<usize>() + proposed + 128
    }

    async fn write(&self, group: &[Call<Asked, Written>]) -> Result<Vec<Written>, Broken> {
        let kept = |failure| Broken { failure, unknown: false };
        let conn = self.link.get().await.map_err(|e| kept(Failure::from(e)))?;
        let mut plan = match load(&conn, group).await {
            Ok(plan) => plan,
            Err(failure) => {
                roll_back(&conn).await;
                return Err(kept(failure));
            }
        };
        let now = self.time.now();
        let answers = group.iter().map(|call| plan.take(&call.asked, now)).collect();
        let statements = statements(&plan);
        if statements.is_empty() {
            roll_back(&conn).await;
            return Ok(answers);
        }
        let committed = batch::commit(&conn, false, &statements).await;
        if committed.is_err() {
            roll_back(&conn).await;
        }
        committed.map(|()| answers)
    }
}

/// Opens the transaction, takes the lock, and reads what the calls look at.
async fn load(conn: &Conn, group: &[Call<Asked, Written>]) -> Result<Plan, Failure> {
    conn.run("BEGIN").await?;
    // a statement of its own: those after it see what whoever held the lock before has committed
    let head = conn.query("SELECT revision FROM directory_head FOR UPDATE", &[]).await?;
    let head = head.first().ok_or_else(|| Failure::Cannot("the directory has no head".to_owned()))?;
    let mut plan = Plan { revision: number(head, "revision")?, ..Plan::default() };
    let writes = || group.iter().flat_map(|call| call.asked.writes());
    if writes().next().is_some() {
        let (kinds, ids): (Vec<&str>, Vec<Uuid>) = writes().map(|write| (write.kind.code(), write.id)).unzip();
        for row in conn.query(VERSIONS, &[&kinds, &ids]).await? {
            let key = (parse(&row, "kind")?, get(&row, "id")?);
            plan.versions.insert(key, number(&row, "version")?);
            loaded_source(&mut plan, &row)?;
        }
    }
    let sourced = || writes().filter_map(|write| Some((write.kind, write.source.as_ref()?)));
    if sourced().next().is_some() {
        let kinds: Vec<&str> = sourced().map(|(kind, _)| kind.code()).collect();
        let sources: Vec<&str> = sourced().map(|(_, source)| source.0.as_str()).collect();
        let names: Vec<&str> = sourced().map(|(_, source)| source.1.as_str()).collect();
        for row in conn.query(SOURCES, &[&kinds, &sources, &names]).await? {
            loaded_source(&mut plan, &row)?;
        }
    }
    let decided: Vec<Uuid> = group
        .iter()
        .filter_map(|call| if let Asked::Decide(asked) = &call.asked { Some(asked.0) } else { None })
        .collect();
    if !decided.is_empty() {
        let rows = conn.query(DECIDED, &[&decided]).await?;
        let found = rows.iter().map(|row| Ok((get(row, "id")?, proposal(row)?)));
        plan.proposals = found.collect::<Result<HashMap<_, _>, StoreError>>()?;
    }
    let providers: Vec<&str> = group
        .iter()
        .filter_map(|call| if let Asked::Propose(new) = &call.asked { Some(new.provider.as_str()) } else { None })
        .collect();
    if !providers.is_empty() {
        for row in conn.query(PENDING, &[&providers]).await? {
            plan.pending.insert(parse(&row, "provider")?, number(&row, "pending")?);
        }
    }
    Ok(plan)
}

fn loaded_source(plan: &mut Plan, row: &Row) -> Result<(), StoreError> {
    if let Some(source) = super::sourced(row)? {
        let (kind, id) = (parse(row, "kind")?, get(row, "id")?);
        plan.sources.insert((kind, source.clone()), id);
        plan.named.insert((kind, id), source);
    }
    Ok(())
}

macro_rules! statement {
    ($sql:expr; $($value:expr),+ $(,)?) => {
        Statement { sql: $sql, values: vec![$(Box::new($value)),+] }
    };
}

fn statements(plan: &Plan) -> Vec<Statement<'_>> {
    let mut all = Vec::new();
    if !plan.written.is_empty() {
        let rows = &plan.written;
        all.push(statement!(INSERT_VERSIONS;
            rows.iter().map(|e| e.kind.code()).collect::<Vec<_>>(),
            rows.iter().map(|e| e.id).collect::<Vec<_>>(),
            rows.iter().map(|e| big(e.version)).collect::<Vec<_>>(),
            rows.iter().map(|e| big(e.revision)).collect::<Vec<_>>(),
            rows.iter().map(|e| micros(e.last_updated)).collect::<Vec<_>>(),
            rows.iter().map(|e| e.source.as_ref().map(|s| s.0.as_str())).collect::<Vec<_>>(),
            rows.iter().map(|e| e.source.as_ref().map(|s| s.1.as_str())).collect::<Vec<_>>(),
            rows.iter().map(|e| shown(&e.by)).collect::<Vec<_>>(),
            rows.iter().map(|e| e.body.as_str()).collect::<Vec<_>>(),
        ));
        let rows = plan.current();
        all.push(statement!(SET_CURRENT;
            rows.iter().map(|e| e.kind.code()).collect::<Vec<_>>(),
            rows.iter().map(|e| e.id).collect::<Vec<_>>(),
            rows.iter().map(|e| big(e.version)).collect::<Vec<_>>(),
            rows.iter().map(|e| big(e.revision)).collect::<Vec<_>>(),
            rows.iter().map(|e| e.source.as_ref().map(|s| s.0.as_str())).collect::<Vec<_>>(),
            rows.iter().map(|e| e.source.as_ref().map(|s| s.1.as_str())).collect::<Vec<_>>(),
        ));
        all.push(statement!("UPDATE directory_head SET revision = $1"; big(plan.revision)));
    }
    for rewrite in &plan.rewritten {
        let (kind, id) = (rewrite.write.kind.code(), rewrite.write.id);
        all.push(statement!(REWRITE_VERSIONS;
            kind, id,
            rewrite.versions.iter().map(|(version, _)| big(*version)).collect::<Vec<_>>(),
            rewrite.versions.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(),
        ));
        all.push(statement!(REWRITE_PROPOSALS;
            kind, id,
            rewrite.proposals.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            rewrite.proposals.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(),
        ));
    }
    for Proposal { new, at, status, .. } in &plan.proposed {
        all.push(statement!(INSERT_PROPOSAL;
            new.id, new.provider.as_str(), new.kind.code(), new.entry, big(new.over),
            new.source.as_ref().map(|s| s.0.as_str()), new.source.as_ref().map(|s| s.1.as_str()),
            micros(*at), status.code(), new.body.as_str(),
        ));
    }
    for (id, proposal) in &plan.decided {
        let Some(decided) = &proposal.decided else { continue };
        all.push(statement!(DECIDE;
            *id, proposal.status.code(), micros(decided.at), shown(&decided.by), decided.reason.as_deref().map(shown),
            decided.version.map(big),
        ));
    }
    all
}

const VERSIONS: &str = "SELECT c.kind, c.id, c.version, c.source, c.source_name
    FROM UNNEST($1::text[], $2::uuid[]) AS w (kind, id)
    JOIN directory_current c ON c.kind = w.kind AND c.id = w.id";

const SOURCES: &str = "SELECT c.kind, c.id, c.source, c.source_name
    FROM UNNEST($1::text[], $2::text[], $3::text[]) AS w (kind, source, name)
    JOIN directory_current c ON c.kind = w.kind AND c.source = w.source AND c.source_name = w.name";

const DECIDED: &str = "SELECT * FROM directory_proposal WHERE id = ANY($1::uuid[])";

const PENDING: &str = "SELECT provider, count(*) AS pending FROM directory_proposal
    WHERE provider = ANY($1::text[]) AND status = 'pending' GROUP BY provider";

const INSERT_VERSIONS: &str =
    "INSERT INTO directory_version (kind, id, version, revision, last_updated, source, source_name, author, body)
    SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[],
                         $9::text[])";

const SET_CURRENT: &str = "INSERT INTO directory_current (kind, id, version, revision, source, source_name)
    SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
    ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, revision = excluded.revision,
        source = excluded.source, source_name = excluded.source_name";

const REWRITE_VERSIONS: &str = "UPDATE directory_version v SET body = n.body
    FROM UNNEST($3::bigint[], $4::text[]) AS n (version, body)
    WHERE v.kind = $1 AND v.id = $2 AND v.version = n.version";

const REWRITE_PROPOSALS: &str = "UPDATE directory_proposal p SET body = n.body
    FROM UNNEST($3::uuid[], $4::text[]) AS n (id, body)
    WHERE p.kind = $1 AND p.entry = $2 AND p.id = n.id";

const INSERT_PROPOSAL: &str =
    "INSERT INTO directory_proposal (id, provider, kind, entry, over, source, source_name, at, status, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const DECIDE: &str =
    "UPDATE directory_proposal SET status = $2, decided_at = $3, decided_by = $4, reason = $5, became_version = $6
    WHERE id = $1";
