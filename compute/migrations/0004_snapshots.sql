CREATE TABLE compute_snapshots (
	server_id VARCHAR(64) PRIMARY KEY,
	image_id VARCHAR(64) NOT NULL,
	name VARCHAR(255) NOT NULL,
	metadata TEXT NOT NULL,
	action VARCHAR(255) NOT NULL,
	created_at TIMESTAMP NOT NULL
);
