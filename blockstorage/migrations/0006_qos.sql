CREATE TABLE blockstorage_qos (
	id VARCHAR(36) PRIMARY KEY,
	name VARCHAR(255) NOT NULL,
	consumer VARCHAR(16) NOT NULL,
	specs TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP
);

CREATE UNIQUE INDEX blockstorage_qos_name ON blockstorage_qos (name);

CREATE INDEX blockstorage_qos_created ON blockstorage_qos (created_at, id);

ALTER TABLE blockstorage_types ADD COLUMN qos_id VARCHAR(36) NOT NULL DEFAULT '';

CREATE INDEX blockstorage_types_qos ON blockstorage_types (qos_id);

ALTER TABLE blockstorage_volumes ADD COLUMN limited BOOLEAN NOT NULL DEFAULT FALSE;
