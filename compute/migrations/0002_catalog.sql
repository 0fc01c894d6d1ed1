CREATE TABLE compute_flavors (
	seq SERIAL PRIMARY KEY,
	id VARCHAR(255) NOT NULL,
	name VARCHAR(255) NOT NULL,
	description TEXT,
	vcpus INTEGER NOT NULL,
	memory_mib INTEGER NOT NULL,
	disk_gib INTEGER NOT NULL,
	ephemeral_gib INTEGER NOT NULL,
	swap_mib INTEGER NOT NULL,
	rxtx_factor DOUBLE PRECISION NOT NULL,
	disabled BOOLEAN NOT NULL,
	public BOOLEAN NOT NULL,
	extra_specs TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP
);

CREATE UNIQUE INDEX compute_flavors_id ON compute_flavors (id);

CREATE UNIQUE INDEX compute_flavors_name ON compute_flavors (name);

CREATE TABLE compute_flavor_access (
	flavor_id VARCHAR(255) NOT NULL,
	project_id VARCHAR(255) NOT NULL,
	PRIMARY KEY (flavor_id, project_id)
);

CREATE INDEX compute_flavor_access_project ON compute_flavor_access (project_id);

CREATE TABLE compute_keypairs (
	seq SERIAL PRIMARY KEY,
	user_id VARCHAR(64) NOT NULL,
	name VARCHAR(255) NOT NULL,
	type VARCHAR(16) NOT NULL,
	fingerprint VARCHAR(255) NOT NULL,
	public_key TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX compute_keypairs_name ON compute_keypairs (user_id, name);

-- Server groups. Their members are the servers that have the group's id.
CREATE TABLE compute_groups (
	seq SERIAL PRIMARY KEY,
	id VARCHAR(64) NOT NULL,
	project_id VARCHAR(64) NOT NULL,
	user_id VARCHAR(64) NOT NULL,
	name VARCHAR(255) NOT NULL,
	policy VARCHAR(32) NOT NULL,
	max_server_per_host INTEGER,
	created_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX compute_groups_id ON compute_groups (id);

CREATE INDEX compute_groups_project ON compute_groups (project_id, seq);

CREATE TABLE compute_aggregates (
	id SERIAL PRIMARY KEY,
	uuid VARCHAR(64) NOT NULL,
	name VARCHAR(255) NOT NULL,
	metadata TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL,
	updated_at TIMESTAMP
);

CREATE UNIQUE INDEX compute_aggregates_name ON compute_aggregates (name);

CREATE TABLE compute_aggregate_hosts (
	aggregate_id BIGINT NOT NULL,
	host VARCHAR(255) NOT NULL,
	PRIMARY KEY (aggregate_id, host)
);

CREATE INDEX compute_aggregate_hosts_host ON compute_aggregate_hosts (host);

-- The numbers by which old microversions know hosts.
CREATE TABLE compute_host_numbers (
	number SERIAL PRIMARY KEY,
	host VARCHAR(255) NOT NULL
);

CREATE UNIQUE INDEX compute_host_numbers_host ON compute_host_numbers (host);

-- Limits that differ from the defaults: of projects and of quota classes.
CREATE TABLE compute_quotas (
	kind VARCHAR(16) NOT NULL,
	owner VARCHAR(255) NOT NULL,
	resource VARCHAR(64) NOT NULL,
	hard_limit INTEGER NOT NULL,
	PRIMARY KEY (kind, owner, resource)
);

-- What a project uses is counted whenever it boots.
CREATE INDEX compute_servers_usage ON compute_servers (project_id, deleted, vcpus, memory_mib);
