CREATE TABLE events (
	seq SERIAL PRIMARY KEY,
	service VARCHAR(64) NOT NULL,
	type VARCHAR(255) NOT NULL,
	resource_id VARCHAR(255) NOT NULL,
	project_id VARCHAR(255) NOT NULL,
	user_id VARCHAR(255) NOT NULL,
	request_id VARCHAR(255) NOT NULL,
	at TIMESTAMP NOT NULL,
	data TEXT NOT NULL
);

CREATE INDEX events_resource ON events (resource_id, seq);

CREATE INDEX events_at ON events (at);

CREATE TABLE event_cursors (
	name VARCHAR(255) PRIMARY KEY,
	seq BIGINT NOT NULL
);

CREATE TABLE idempotency (
	owner VARCHAR(255) NOT NULL,
	key VARCHAR(255) NOT NULL,
	operation VARCHAR(255) NOT NULL,
	digest VARCHAR(255) NOT NULL,
	resource_id VARCHAR(255) NOT NULL,
	at TIMESTAMP NOT NULL,
	PRIMARY KEY (owner, key, operation)
);

CREATE INDEX idempotency_at ON idempotency (at);

CREATE TABLE work (
	kind VARCHAR(64) NOT NULL,
	id VARCHAR(255) NOT NULL,
	due BIGINT NOT NULL,
	attempts INTEGER NOT NULL,
	lease BIGINT NOT NULL,
	epoch BIGINT NOT NULL,
	wakes BIGINT NOT NULL,
	since BIGINT NOT NULL,
	user_id VARCHAR(255) NOT NULL,
	project_id VARCHAR(255) NOT NULL,
	request_id VARCHAR(255) NOT NULL,
	trace VARCHAR(255) NOT NULL,
	last_error TEXT NOT NULL,
	PRIMARY KEY (kind, id)
);

CREATE INDEX work_due ON work (lease, due, kind, id);
