-- +goose Up

-- Sessions of browser applications at the token handler, by session. What is sealed opens with the secret in the
-- browser's cookie and the master ring together. The indexes serve back-channel logout, which knows no session id.

CREATE TABLE app_sessions (
    tenant           TEXT   NOT NULL,
    shard            BIGINT NOT NULL,
    id               TEXT   NOT NULL,
    application      TEXT   NOT NULL,
    issuer           TEXT   NOT NULL,
    client_id        TEXT   NOT NULL,
    subject          TEXT   NOT NULL,
    sid              TEXT   NOT NULL,
    sealed           BYTEA  NOT NULL,
    created_at       BIGINT NOT NULL,
    last_used_at     BIGINT NOT NULL,
    idle_until       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    ended_at         BIGINT NOT NULL,
    refreshed_at     BIGINT NOT NULL,
    refreshing_until BIGINT NOT NULL,
    refresher        TEXT   NOT NULL,
    version          BIGINT NOT NULL,
    purge_at         BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard, id)
);
CREATE INDEX app_sessions_by_sid ON app_sessions (tenant, application, sid);
CREATE INDEX app_sessions_by_subject ON app_sessions (tenant, application, subject);
CREATE INDEX app_sessions_purge ON app_sessions (purge_at);
