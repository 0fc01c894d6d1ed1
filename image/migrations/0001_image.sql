CREATE TABLE image_images (
	id VARCHAR(36) PRIMARY KEY,
	name VARCHAR(255),
	status VARCHAR(16) NOT NULL,
	visibility VARCHAR(16) NOT NULL,
	owner VARCHAR(255),
	disk_format VARCHAR(32),
	container_format VARCHAR(32),
	min_disk BIGINT NOT NULL,
	min_ram BIGINT NOT NULL,
	protected BOOLEAN NOT NULL,
	hidden BOOLEAN NOT NULL,
	size BIGINT,
	virtual_size BIGINT,
	checksum VARCHAR(32),
	hash_algo VARCHAR(64),
	hash_value VARCHAR(128),
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	blob_id VARCHAR(80),
	owner_key VARCHAR(255)
);

CREATE INDEX image_images_owner ON image_images (owner, created_at, id);

CREATE INDEX image_images_created ON image_images (created_at, id);

CREATE INDEX image_images_updated ON image_images (updated_at, id);

CREATE INDEX image_images_visibility ON image_images (visibility, created_at, id);

CREATE INDEX image_images_name ON image_images (name);

CREATE INDEX image_images_status ON image_images (status);

CREATE INDEX image_images_checksum ON image_images (checksum);

CREATE INDEX image_images_hash ON image_images (hash_value);

CREATE UNIQUE INDEX image_images_blob ON image_images (blob_id);

CREATE UNIQUE INDEX image_images_owner_key ON image_images (owner_key);

CREATE TABLE image_properties (
	image_id VARCHAR(36) NOT NULL,
	name VARCHAR(255) NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (image_id, name)
);

CREATE INDEX image_properties_name ON image_properties (name);

CREATE TABLE image_tags (
	image_id VARCHAR(36) NOT NULL,
	tag VARCHAR(255) NOT NULL,
	PRIMARY KEY (image_id, tag)
);

CREATE INDEX image_tags_tag ON image_tags (tag);

CREATE TABLE image_members (
	image_id VARCHAR(36) NOT NULL,
	member_id VARCHAR(255) NOT NULL,
	status VARCHAR(16) NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP NOT NULL,
	PRIMARY KEY (image_id, member_id)
);

CREATE INDEX image_members_member ON image_members (member_id, status);

-- Attempts to upload that somebody is working on, or was when the process died.
CREATE TABLE image_uploads (
	blob_id VARCHAR(80) PRIMARY KEY,
	image_id VARCHAR(36) NOT NULL,
	beat_at TIMESTAMP NOT NULL
);

-- IDs of deleted images: an ID that somebody trusts never names other bytes. The
-- owner key is kept when it was not the owner that deleted the image.
CREATE TABLE image_deleted (
	id VARCHAR(36) PRIMARY KEY,
	owner_key VARCHAR(255),
	deleted_at TIMESTAMP NOT NULL
);

CREATE INDEX image_deleted_owner_key ON image_deleted (owner_key);

CREATE TABLE image_secrets (
	name VARCHAR(64) PRIMARY KEY,
	value VARCHAR(255) NOT NULL
);
