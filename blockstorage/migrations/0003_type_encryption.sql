CREATE TABLE blockstorage_type_encryption (
	type_id VARCHAR(36) PRIMARY KEY,
	id VARCHAR(36) NOT NULL,
	provider VARCHAR(255) NOT NULL,
	control_location VARCHAR(32) NOT NULL,
	cipher VARCHAR(255),
	key_size INTEGER,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP
);
