-- What is known of bytes that are staged, for when they are imported.
CREATE TABLE image_staged (
	image_id VARCHAR(36) PRIMARY KEY,
	checksum VARCHAR(32) NOT NULL,
	hash_value VARCHAR(128) NOT NULL,
	info TEXT NOT NULL
);
