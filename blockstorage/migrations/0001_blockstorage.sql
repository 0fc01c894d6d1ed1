CREATE TABLE blockstorage_volumes (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	user_id VARCHAR(255) NOT NULL,
	name VARCHAR(255),
	description TEXT,
	size_gib INTEGER NOT NULL,
	status VARCHAR(32) NOT NULL,
	migration_status VARCHAR(32) NOT NULL,
	zone VARCHAR(255) NOT NULL,
	type_id VARCHAR(36) NOT NULL,
	snapshot_id VARCHAR(36) NOT NULL,
	source_volume_id VARCHAR(36) NOT NULL,
	image_id VARCHAR(36) NOT NULL,
	bootable BOOLEAN NOT NULL,
	read_only BOOLEAN,
	metadata TEXT NOT NULL,
	image_metadata TEXT NOT NULL,
	format VARCHAR(16) NOT NULL,
	reason TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP,
	owner_key VARCHAR(255),
	new_size INTEGER NOT NULL,
	target_id VARCHAR(36) NOT NULL,
	busy_by VARCHAR(36) NOT NULL,
	busy_until TIMESTAMP
);

CREATE INDEX blockstorage_volumes_project ON blockstorage_volumes (project_id, created_at, id);

CREATE INDEX blockstorage_volumes_created ON blockstorage_volumes (created_at, id);

CREATE INDEX blockstorage_volumes_name ON blockstorage_volumes (name);

CREATE INDEX blockstorage_volumes_status ON blockstorage_volumes (status);

CREATE INDEX blockstorage_volumes_type ON blockstorage_volumes (type_id);

CREATE INDEX blockstorage_volumes_source ON blockstorage_volumes (source_volume_id);

CREATE INDEX blockstorage_volumes_snapshot ON blockstorage_volumes (snapshot_id);

CREATE UNIQUE INDEX blockstorage_volumes_owner_key ON blockstorage_volumes (owner_key);

CREATE TABLE blockstorage_snapshots (
	id VARCHAR(36) PRIMARY KEY,
	project_id VARCHAR(255) NOT NULL,
	user_id VARCHAR(255) NOT NULL,
	volume_id VARCHAR(36) NOT NULL,
	name VARCHAR(255),
	description TEXT,
	size_gib INTEGER NOT NULL,
	type_id VARCHAR(36) NOT NULL,
	status VARCHAR(32) NOT NULL,
	progress VARCHAR(8) NOT NULL,
	metadata TEXT NOT NULL,
	image_metadata TEXT NOT NULL,
	bootable BOOLEAN NOT NULL,
	reason TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP,
	owner_key VARCHAR(255),
	busy_by VARCHAR(36) NOT NULL,
	busy_until TIMESTAMP
);

CREATE INDEX blockstorage_snapshots_project ON blockstorage_snapshots (project_id, created_at, id);

CREATE INDEX blockstorage_snapshots_created ON blockstorage_snapshots (created_at, id);

CREATE INDEX blockstorage_snapshots_name ON blockstorage_snapshots (name);

CREATE INDEX blockstorage_snapshots_volume ON blockstorage_snapshots (volume_id, created_at);

CREATE UNIQUE INDEX blockstorage_snapshots_owner_key ON blockstorage_snapshots (owner_key);

CREATE TABLE blockstorage_attachments (
	id VARCHAR(36) PRIMARY KEY,
	volume_id VARCHAR(36) NOT NULL,
	project_id VARCHAR(255) NOT NULL,
	server_id VARCHAR(255) NOT NULL,
	host VARCHAR(255) NOT NULL,
	mountpoint VARCHAR(255) NOT NULL,
	mode VARCHAR(8) NOT NULL,
	status VARCHAR(16) NOT NULL,
	connector TEXT NOT NULL,
	connection TEXT NOT NULL,
	connecting BOOLEAN NOT NULL,
	owner_key VARCHAR(255),
	created_at TIMESTAMP NOT NULL,
	attached_at TIMESTAMP,
	detached_at TIMESTAMP
);

CREATE INDEX blockstorage_attachments_volume ON blockstorage_attachments (volume_id);

CREATE INDEX blockstorage_attachments_project ON blockstorage_attachments (project_id, created_at, id);

CREATE INDEX blockstorage_attachments_server ON blockstorage_attachments (server_id);

CREATE UNIQUE INDEX blockstorage_attachments_owner_key ON blockstorage_attachments (owner_key);

CREATE TABLE blockstorage_types (
	id VARCHAR(36) PRIMARY KEY,
	name VARCHAR(255) NOT NULL,
	description TEXT,
	is_public BOOLEAN NOT NULL,
	extra_specs TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP
);

CREATE UNIQUE INDEX blockstorage_types_name ON blockstorage_types (name);

CREATE TABLE blockstorage_type_access (
	type_id VARCHAR(36) NOT NULL,
	project_id VARCHAR(255) NOT NULL,
	PRIMARY KEY (type_id, project_id)
);

CREATE TABLE blockstorage_default_types (
	project_id VARCHAR(255) PRIMARY KEY,
	type_id VARCHAR(36) NOT NULL
);

CREATE TABLE blockstorage_quotas (
	project_id VARCHAR(255) NOT NULL,
	resource VARCHAR(255) NOT NULL,
	quota BIGINT NOT NULL,
	PRIMARY KEY (project_id, resource)
);

INSERT INTO blockstorage_types (id, name, description, is_public, extra_specs, created_at)
	VALUES ('5c1d6f2e-3b84-4c6b-9f1a-7e0d2a94c350', '__DEFAULT__', 'Default Volume Type', TRUE, '{}', '2026-01-01 00:00:00+00:00');
