-- +goose Up

-- Every table begins with its tenant. Tables that grow with use have the key (tenant, shard, …): shard is a
-- 16-bit bucket of the id, of the account, or of the looked-up value, and the column a sharded PostgreSQL
-- distributes by. Times are microseconds UTC, 0 for none. purge_at is when a row may go; 0 keeps it.

CREATE TABLE objects (
    tenant     TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    revision   BIGINT NOT NULL,
    managed_by TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind, name)
);

CREATE TABLE settings (
    tenant TEXT  NOT NULL,
    name   TEXT  NOT NULL,
    value  BYTEA NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE signing_keys (
    tenant       TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    alg          TEXT   NOT NULL,
    purpose      TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    public_jwk   TEXT   NOT NULL,
    sealed       BYTEA  NOT NULL,
    external_ref TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    activate_at  BIGINT NOT NULL,
    retire_at    BIGINT NOT NULL,
    gone_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE leases (
    tenant     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    holder     TEXT   NOT NULL,
    fence      BIGINT NOT NULL,
    held_until BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- People, by account.

CREATE TABLE accounts (
    tenant              TEXT    NOT NULL,
    shard               BIGINT  NOT NULL,
    id                  TEXT    NOT NULL,
    username            TEXT    NOT NULL,
    user_handle         BYTEA   NOT NULL,
    disabled            BOOLEAN NOT NULL,
    claims              TEXT    NOT NULL,
    password_hash       TEXT    NOT NULL,
    managed_by          TEXT    NOT NULL,
    password_changed_at BIGINT  NOT NULL,
    created_at          BIGINT  NOT NULL,
    updated_at          BIGINT  NOT NULL,
    version             BIGINT  NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX accounts_in_order ON accounts (tenant, id);

CREATE TABLE account_names (
    tenant     TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    name       TEXT   NOT NULL,
    account_id TEXT   NOT NULL,
    PRIMARY KEY (tenant, shard, name)
);

CREATE TABLE account_handles (
    tenant     TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    handle     BYTEA  NOT NULL,
    account_id TEXT   NOT NULL,
    PRIMARY KEY (tenant, shard, handle)
);

CREATE TABLE passkeys (
    tenant             TEXT   NOT NULL,
    shard              BIGINT NOT NULL,
    account_id         TEXT   NOT NULL,
    id                 TEXT   NOT NULL,
    rp_id              TEXT   NOT NULL,
    name               TEXT   NOT NULL,
    public_key         BYTEA  NOT NULL,
    aaguid             BYTEA  NOT NULL,
    sign_count         BIGINT NOT NULL,
    flags              BIGINT NOT NULL,
    transports         TEXT   NOT NULL,
    attestation_format TEXT   NOT NULL,
    created_at         BIGINT NOT NULL,
    last_used_at       BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, account_id, id)
);

CREATE TABLE passkey_ids (
    tenant     TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    id         TEXT   NOT NULL,
    account_id TEXT   NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);

CREATE TABLE consents (
    tenant     TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    account_id TEXT   NOT NULL,
    client_id  TEXT   NOT NULL,
    scope      TEXT   NOT NULL,
    resources  TEXT   NOT NULL,
    granted_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, account_id, client_id)
);

CREATE TABLE mailed_codes (
    tenant     TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    account_id TEXT   NOT NULL,
    purpose    TEXT   NOT NULL,
    code_hash  TEXT   NOT NULL,
    tries      BIGINT NOT NULL,
    sent_at    BIGINT NOT NULL,
    purge_at   BIGINT NOT NULL,
    spent_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, account_id, purpose)
);
CREATE INDEX mailed_codes_purge ON mailed_codes (purge_at);

-- Sessions and what is authorized in them, by session or grant.

CREATE TABLE sessions (
    tenant         TEXT   NOT NULL,
    shard          BIGINT NOT NULL,
    id             TEXT   NOT NULL,
    secret_hash    TEXT   NOT NULL,
    account_id     TEXT   NOT NULL,
    factors        TEXT   NOT NULL,
    acr            TEXT   NOT NULL,
    amr            TEXT   NOT NULL,
    user_agent     TEXT   NOT NULL,
    address_prefix TEXT   NOT NULL,
    auth_time      BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    last_used_at   BIGINT NOT NULL,
    idle_until     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    purge_at       BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX sessions_of_account ON sessions (tenant, account_id);
CREATE INDEX sessions_purge ON sessions (purge_at);

CREATE TABLE codes (
    tenant      TEXT   NOT NULL,
    shard       BIGINT NOT NULL,
    grant_id    TEXT   NOT NULL,
    secret_hash TEXT   NOT NULL,
    auth        TEXT   NOT NULL,
    issued_at   BIGINT NOT NULL,
    purge_at    BIGINT NOT NULL,
    spent_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, grant_id)
);
CREATE INDEX codes_purge ON codes (purge_at);

CREATE TABLE grants (
    tenant     TEXT    NOT NULL,
    shard      BIGINT  NOT NULL,
    id         TEXT    NOT NULL,
    account_id TEXT    NOT NULL,
    auth       TEXT    NOT NULL,
    jkt        TEXT    NOT NULL,
    x5t        TEXT    NOT NULL,
    bearer     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,
    revoked_at BIGINT  NOT NULL,
    version    BIGINT  NOT NULL,
    purge_at   BIGINT  NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX grants_of_account ON grants (tenant, account_id);
CREATE INDEX grants_purge ON grants (purge_at);

CREATE TABLE refresh_tokens (
    tenant       TEXT   NOT NULL,
    shard        BIGINT NOT NULL,
    grant_id     TEXT   NOT NULL,
    secret_hash  TEXT   NOT NULL,
    issued_at    BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    idle_until   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    spent_at     BIGINT NOT NULL,
    purge_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, grant_id, secret_hash)
);
CREATE INDEX refresh_tokens_purge ON refresh_tokens (purge_at);

CREATE TABLE access_tokens (
    tenant      TEXT   NOT NULL,
    shard       BIGINT NOT NULL,
    id          TEXT   NOT NULL,
    secret_hash TEXT   NOT NULL,
    grant_id    TEXT   NOT NULL,
    client_id   TEXT   NOT NULL,
    claims      TEXT   NOT NULL,
    issued_at   BIGINT NOT NULL,
    purge_at    BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, id, secret_hash)
);
CREATE INDEX access_tokens_purge ON access_tokens (purge_at);

CREATE TABLE pushed_requests (
    tenant      TEXT   NOT NULL,
    shard       BIGINT NOT NULL,
    id          TEXT   NOT NULL,
    secret_hash TEXT   NOT NULL,
    client_id   TEXT   NOT NULL,
    params      TEXT   NOT NULL,
    open_until  BIGINT NOT NULL,
    purge_at    BIGINT NOT NULL,
    spent_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX pushed_requests_purge ON pushed_requests (purge_at);

-- What is stored as a hash, by that hash.

CREATE TABLE spends (
    tenant   TEXT   NOT NULL,
    shard    BIGINT NOT NULL,
    id       BYTEA  NOT NULL,
    purge_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX spends_purge ON spends (purge_at);

CREATE TABLE failures (
    tenant        TEXT   NOT NULL,
    shard         BIGINT NOT NULL,
    id            BYTEA  NOT NULL,
    failed        BIGINT NOT NULL,
    last_at       BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL,
    purge_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX failures_purge ON failures (purge_at);

-- Streams, by their own ids.

CREATE TABLE mails (
    tenant        TEXT   NOT NULL,
    shard         BIGINT NOT NULL,
    id            TEXT   NOT NULL,
    recipient     TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    text_body     TEXT   NOT NULL,
    html_body     TEXT   NOT NULL,
    attempts      BIGINT NOT NULL,
    next_at       BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL,
    sent_at       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    last_error    TEXT   NOT NULL,
    purge_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX mails_due ON mails (tenant, sent_at, next_at);
CREATE INDEX mails_purge ON mails (purge_at);

CREATE TABLE events (
    tenant     TEXT   NOT NULL,
    shard      BIGINT NOT NULL,
    id         TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    event_key  TEXT   NOT NULL,
    not_before BIGINT NOT NULL,
    purge_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX events_in_order ON events (at);
CREATE INDEX events_purge ON events (purge_at);

CREATE TABLE audits (
    tenant         TEXT   NOT NULL,
    shard          BIGINT NOT NULL,
    id             TEXT   NOT NULL,
    at             BIGINT NOT NULL,
    request_id     TEXT   NOT NULL,
    actor_kind     TEXT   NOT NULL,
    actor_id       TEXT   NOT NULL,
    action         TEXT   NOT NULL,
    object_kind    TEXT   NOT NULL,
    object_id      TEXT   NOT NULL,
    client         TEXT   NOT NULL,
    outcome        TEXT   NOT NULL,
    code           TEXT   NOT NULL,
    reason         TEXT   NOT NULL,
    address_prefix TEXT   NOT NULL,
    detail         TEXT   NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX audits_in_order ON audits (tenant, at);
