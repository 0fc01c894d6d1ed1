CREATE TABLE blockstorage_transfers (
	id VARCHAR(36) PRIMARY KEY,
	volume_id VARCHAR(36) NOT NULL,
	project_id VARCHAR(255) NOT NULL,
	name VARCHAR(255),
	no_snapshots BOOLEAN NOT NULL,
	salt VARCHAR(64) NOT NULL,
	hash VARCHAR(64) NOT NULL,
	created_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX blockstorage_transfers_volume ON blockstorage_transfers (volume_id);

CREATE INDEX blockstorage_transfers_project ON blockstorage_transfers (project_id, created_at, id);
