-- +goose Up

-- What a person has allowed a client exactly: scopes by API, and authorization details (RFC 9396). The columns scope and
-- resources go on saying all of it together.

ALTER TABLE consents ADD COLUMN allowed TEXT NOT NULL DEFAULT '';
ALTER TABLE consents ADD COLUMN details TEXT NOT NULL DEFAULT '';
